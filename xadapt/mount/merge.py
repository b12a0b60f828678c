"""Several LoRA modules merged into one.

With W_i = s_i B_i A_i the update that module i makes to a linear layer, and w_i its weight:

    mean          sum of w_i W_i / sum of w_i
    cat           sum of w_i W_i                      peft's name; ranks add up
    svd           the best approximation of that sum of rank ``rank`` (the largest rank merged)
    linear        peft's: A = sum of sqrt(w_i s_i) A_i, B likewise. Not a sum of effects: each A also
                  meets the other modules' B. Equal ranks only; here for comparison, ``mean`` is sound
    ties          Yadav et al. 2023, arXiv 2306.01708: trim to the largest ``density`` of each update's
                  entries, elect a sign for each entry, average those that agree
    dare_linear   Yu et al. 2023, arXiv 2311.03099: keep each entry with probability ``density``, divide
                  what is kept by it, add up
    dare_ties     the same thinning, then ties' election and average

``ties`` and ``dare_*`` follow peft's functions, on the updates W_i. peft's own ``ties`` works on A and B
one by one, where signs mean nothing: (-B)(-A) is the same module. Ours are its ``ties_svd`` and so on,
exact, or cut to ``rank`` where that is given.

Every merge of one module with weight 1 is that module. Thinning makes room for the other modules; of one
module alone nothing is in the way, so ``density`` acts from two operands on. Its default is that of the
papers' setting for ties, 0.2; for dare 0.5.

All in float32 on the CPU: peft#1388 saw a merge in bf16 move the loss.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from peft.utils import merge_utils
from torch import Tensor

from xadapt.common.errors import UserError
from xadapt.common.own import found, is_own
from xadapt.common.randomness import seeded
from xadapt.mount.low_rank import Effect, Factors, from_dense, total
from xadapt.stacks.combinations import COMBINATIONS, combination

Terms = Sequence[tuple[float, Factors]]


def merge(
    label: str,
    how: str,
    effects: Sequence[tuple[float, Effect]],
    options: Mapping[str, Any],
    seed: int = 0,
) -> Effect:
    """One effect of several.

    Args:
        label: how messages name the merge.
        how: one of ``MERGES``, or a user's own.
        effects: with their weights. One that does not have a linear counts as zero there.
        options: of ``how``; what is left out is as ``COMBINATIONS`` has it.
        seed: names the draws of the ways that drop values at random.

    Raises:
        UserError: ``linear`` of modules that differ in rank or in their linears; a user's own that is none.
    """
    if how == "mean":
        weight = math.fsum(w for w, _ in effects)
        return total([(w / weight, effect) for w, effect in effects])
    if how == "cat":
        return total(effects)
    if how == "linear":
        return _linear(label, effects)
    names = list(dict.fromkeys(name for _, effect in effects for name in effect))
    if is_own(how):
        _check_alone(how, effects[0][1], options)
    merged: Effect = {}
    for name in names:
        terms = [(w, effect[name]) for w, effect in effects if name in effect]
        with seeded("dare", seed, name):
            if is_own(how):
                merged[name] = _own(how, terms, options)
            elif how == "svd":
                merged[name] = _svd(terms, options)
            else:
                merged[name] = _dense(how, terms, len(effects), options)
    return merged


def _own(how: str, terms: Terms, options: Mapping[str, Any]) -> Factors:
    """A user's own merge of one linear's updates.

    Raises:
        UserError: it gives no update of their shape, or numbers that are not finite.
    """
    updates = [f.dense() for _, f in terms]
    shape = updates[0].shape
    made = found(how)(updates, [w for w, _ in terms], **(combination(how).defaults | dict(options)))
    if not isinstance(made, Tensor) or made.shape != shape or not bool(made.isfinite().all()):
        got = f"a tensor {tuple(made.shape)}" if isinstance(made, Tensor) else type(made).__name__
        raise UserError(f"{how} gives {got}", expected=f"finite numbers of the updates' shape {tuple(shape)}")
    return from_dense(made.float())


def _check_alone(how: str, effect: Effect, options: Mapping[str, Any]) -> None:
    """Every merge of one module with weight 1 is that module; a UserError for a user's own that is not."""
    name, factors = next(iter(effect.items()))
    with seeded("dare", 0, name):
        made = _own(how, [(1.0, factors)], options).dense()
    if not torch.allclose(made, factors.dense(), atol=1e-5 * float(factors.dense().abs().max())):
        raise UserError(
            f"{how} of one module with weight 1 is not that module",
            expected="the update itself where it is the only one",
            do="leave out scaling and thinning where len(updates) == 1",
        )


def _linear(label: str, effects: Sequence[tuple[float, Effect]]) -> Effect:
    first = effects[0][1]
    alike = all(
        effect.keys() == first.keys() and all(f.rank == first[n].rank for n, f in effect.items())
        for _, effect in effects
    )
    if not alike:
        raise UserError(
            f"{label!r}: linear of modules that differ in rank, linears or layers",
            expected="equal ranks in equal places: linear adds A to A and B to B",
            do="write mean: it averages what the modules do, whatever their ranks",
        )
    merged: Effect = {}
    for name in first:
        # The root of the scaling s_i belongs to each side. Any split of it between the two
        # leaves one module as it is, but only peft's split gives peft's cross terms.
        sides = [_balanced(w, effect[name]) for w, effect in effects]
        down = torch.stack([f.down for f in sides]).sum(dim=0)
        up = torch.stack([f.up for f in sides]).sum(dim=0)
        merged[name] = Factors(down, up)
    return merged


def _balanced(weight: float, factors: Factors) -> Factors:
    root = math.sqrt(abs(weight))
    scale = math.sqrt(factors.scale)
    return Factors(factors.down * math.copysign(root, weight) * scale, factors.scaled * (root / scale))


def _svd(terms: Terms, options: Mapping[str, Any]) -> Factors:
    """Through the factors: QR of each side leaves a product of size R x R to decompose."""
    rank = options.get("rank", max(f.rank for _, f in terms))
    left, small_left = torch.linalg.qr(torch.cat([f.scaled * w for w, f in terms], dim=1).double())
    right, small_right = torch.linalg.qr(torch.cat([f.down for _, f in terms]).T.double())
    u, s, vh = torch.linalg.svd(small_left @ small_right.T, full_matrices=False)
    return Factors((vh[:rank] @ right.T).float(), (left @ u[:, :rank] * s[:rank]).float())


def _dense(how: str, terms: Terms, operands: int, options: Mapping[str, Any]) -> Factors:
    updates = [f.dense() for _, f in terms]
    weights = torch.tensor([w for w, _ in terms])
    options = COMBINATIONS[how].defaults | dict(options)
    density = options["density"] if operands > 1 else 1.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # peft warns that a density of 1 prunes nothing
        if how == "ties":
            update = merge_utils.ties(updates, weights, density, options["majority_sign_method"])
        elif how == "dare_ties":
            update = merge_utils.dare_ties(updates, weights, density, options["majority_sign_method"])
        else:
            update = merge_utils.dare_linear(updates, weights, density)
    return _cut(update, options["rank"]) if options["rank"] else from_dense(update)


def _cut(update: Tensor, rank: int) -> Factors:
    u, s, vh = torch.linalg.svd(update, full_matrices=False)
    return Factors(vh[:rank], u[:, :rank] * s[:rank])
