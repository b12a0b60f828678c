"""Several stacks that differ in their fresh LoRA module alone, trained in one pass over what they share.

The tokens of all lie one behind the other in one row. Each product with a frozen matrix is made for the whole
row in one call, and each module's thin products for its own rows of it (``backbone.linear``). Attention and
dropout are each stack's own, on its own rows, so that a module learns what it would learn alone.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import XLMRobertaModel

from xadapt.backbone.attention import PackedSelfAttention
from xadapt.backbone.dropout import Dropout
from xadapt.backbone.encoder import continued, encode
from xadapt.backbone.linear import ALL, Linear, LowRank, product
from xadapt.backbone.packing import Packed, joined
from xadapt.common.randomness import Streams
from xadapt.mount.mounted import Mounted


@dataclass(frozen=True)
class Share:
    """What one stack has in a pass.

    Attributes:
        stack: which of them.
        packed: its tokens.
        rows: (R,) which of them are wanted of the last layer; None for all.
        done: after how many layers its states are known, and these (T, H); None where they are not.
    """

    stack: int
    packed: Packed
    rows: Tensor | None = None
    done: tuple[int, Tensor] | None = None


class Together:
    """Stacks that are the same below their fresh LoRA modules, which may differ in rank, layers and scale.

    Their equal frozen weights become one and the same. Each can still be used alone.

    Raises:
        ValueError: they are not the same below.
    """

    def __init__(self, stacks: Sequence[Mounted]) -> None:
        self.stacks = stacks
        for stack in stacks[1:]:
            _share_frozen(stacks[0].model, stack.model)
        self._pass = _Pass()
        self._model = _tree([stack.model for stack in stacks], self._pass)

    def encode(self, shares: Sequence[Share], streams: Streams) -> list[Tensor]:
        """The hidden states (T, H), or (R, H), of each share; equal to what its stack gives for it alone.

        Args:
            shares: of any of the stacks, each of them once at most.
            streams: what each stack's dropout is drawn from, by its number.
        """
        packed = joined([share.packed for share in shares])
        self._pass.begin(shares, streams)
        rows = self._rows(shares)
        first = self.stacks[0]
        with first.autocast():
            if (done := _done(shares)) is None:
                hidden = encode(self._model, packed, rows=rows)
            else:
                hidden = continued(self._model, done[1], packed, done[0], rows=rows)
        return list(hidden.split(self._pass.sizes(hidden)))

    def _rows(self, shares: Sequence[Share]) -> Tensor | None:
        """The wanted rows of all in the joined row."""
        if all(share.rows is None for share in shares):
            return None
        found, begin = [], 0
        for share in shares:
            count = len(share.packed.input_ids)
            rows = torch.arange(count, device=self.stacks[0].device) if share.rows is None else share.rows
            found.append(rows + begin)
            begin += count
        return torch.cat(found)


class _Pass:
    """Whose the rows of the current pass are."""

    streams: Streams

    def __init__(self) -> None:
        self.shares: Sequence[Share] = ()
        self._tokens: list[int] = []
        self._wanted: list[int] = []

    def begin(self, shares: Sequence[Share], streams: Streams) -> None:
        self.shares, self.streams = shares, streams
        self._tokens = [len(share.packed.input_ids) for share in shares]
        self._wanted = [len(share.packed.input_ids if share.rows is None else share.rows) for share in shares]

    def sizes(self, x: Tensor) -> list[int]:
        """How many rows of x (..., T or R, H) each share has. Nobody wants more rows than it has tokens, so
        where the sums are equal, so are the parts."""
        return self._tokens if x.shape[-2] == sum(self._tokens) else self._wanted


class _Dropouts(nn.Module):
    """Each stack's own dropout on its own rows, drawn from its own stream."""

    def __init__(self, current: _Pass, parts: Sequence[Dropout]) -> None:
        super().__init__()
        self.current, self.parts = current, tuple(parts)  # no children: each keeps its own tree's mode

    def forward(self, x: Tensor) -> Tensor:
        """(..., T, H) -> (..., T, H)"""
        current = self.current
        if not any(self.parts[s.stack].training and self.parts[s.stack].p for s in current.shares):
            return x
        out = []
        for share, piece in zip(current.shares, x.split(current.sizes(x), dim=-2), strict=True):
            with current.streams.of(share.stack):
                out.append(self.parts[share.stack](piece))
        return torch.cat(out, dim=-2)


class _Attentions(nn.Module):
    """The linears of all, and each stack's own attention on its own rows."""

    def __init__(self, current: _Pass, shared: Any, parts: Sequence[PackedSelfAttention]) -> None:
        super().__init__()
        self.query, self.key, self.value = shared.query, shared.key, shared.value
        self.current, self.parts = current, tuple(parts)

    def forward(self, hidden: Tensor, batch: Packed) -> Tensor:
        """(T, H) -> (T, H)"""
        current, sizes = self.current, self.current.sizes(hidden)
        pieces = [linear(hidden).split(sizes) for linear in (self.query, self.key, self.value)]
        out = []
        for share, q, k, v in zip(current.shares, *pieces, strict=True):
            with current.streams.of(share.stack):
                out.append(self.parts[share.stack].attend(q, k, v, share.packed))
        return torch.cat(out)


class _Linears(nn.Module):
    """A frozen linear, its frozen terms for all rows, and each stack's fresh ones for its own."""

    def __init__(self, current: _Pass, shared: Linear, parts: Sequence[Linear]) -> None:
        super().__init__()
        self.shared = shared
        self.current = current
        self.fresh = tuple(tuple(term for term in part.terms if _learns(term)) for part in parts)
        shared.terms = nn.ModuleList(term for term in shared.terms if not _learns(term))

    def forward(self, x: Tensor) -> Tensor:
        """(..., T, in) -> (..., T, out)"""
        sizes, begin = self.current.sizes(x), 0
        inside, rows, beside = [], [], {}
        for n, (share, size) in enumerate(zip(self.current.shares, sizes, strict=True)):
            for term in self.fresh[share.stack]:
                assert isinstance(term, LowRank), "what is fresh is LoRA"
                if term.plain:
                    inside.append((term.down, term.up, term.scale))
                    rows.append(slice(begin, begin + size))
                else:
                    beside[n] = term
            begin += size
        for term in self.shared.terms:
            if isinstance(term, LowRank):
                inside.append((term.down, term.up, term.scale))
                rows.append(ALL)
        out = product(x, self.shared.weight, self.shared.bias, inside, rows)
        for term in self.shared.terms:
            if not isinstance(term, LowRank):
                out = out + term(x)
        return self._beside(x, out, sizes, beside) if beside else out

    def _beside(self, x: Tensor, out: Tensor, sizes: list[int], beside: dict[int, LowRank]) -> Tensor:
        """With the terms whose input has dropout."""
        pieces = list(out.split(sizes, dim=-2))
        for n, term in beside.items():
            with self.current.streams.of(self.current.shares[n].stack):
                pieces[n] = pieces[n] + term(x.split(sizes, dim=-2)[n])
        return torch.cat(pieces, dim=-2)


def _tree(models: Sequence[XLMRobertaModel], current: _Pass) -> XLMRobertaModel:
    """A tree of its own over the tensors of the first, whose parts look after all."""
    first = models[0]
    shared: dict[int, Any] = {id(t): t for t in (*first.parameters(), *first.buffers())}
    tree = copy.deepcopy(first, shared).eval()
    for path, holder in list(tree.named_modules()):
        for name, part in list(holder.named_children()):
            whole = f"{path}.{name}" if path else name
            if isinstance(part, Linear | Dropout | PackedSelfAttention):
                own: list[Any] = [model.get_submodule(whole) for model in models]
                if isinstance(part, Dropout):
                    setattr(holder, name, _Dropouts(current, own))
                elif isinstance(part, PackedSelfAttention):
                    _put_linears(part, current, own)
                    setattr(holder, name, _Attentions(current, part, own))
                elif not isinstance(holder, PackedSelfAttention):
                    setattr(holder, name, _Linears(current, part, own))
    return tree


def _put_linears(part: PackedSelfAttention, current: _Pass, own: Sequence[Any]) -> None:
    for name in ("query", "key", "value"):
        setattr(part, name, _Linears(current, getattr(part, name), [getattr(each, name) for each in own]))


def _learns(term: nn.Module) -> bool:
    return any(p.requires_grad for p in term.parameters())


def _share_frozen(first: nn.Module, other: nn.Module) -> None:
    """Give ``other`` the frozen parameters of ``first`` in the place of its own, which are equal."""
    known = {name: p for name, p in first.named_parameters() if not p.requires_grad}
    for path, part in other.named_modules():
        for name, parameter in list(part.named_parameters(recurse=False)):
            if not parameter.requires_grad:
                same = known.get(f"{path}.{name}" if path else name)
                if same is None or not torch.equal(same, parameter):
                    raise ValueError(f"the stacks differ in {path}.{name}")
                setattr(part, name, same)


def _done(shares: Sequence[Share]) -> tuple[int, Tensor] | None:
    """What is known of all rows; None where it is not, or not after the same layer."""
    known = [share.done for share in shares if share.done is not None]
    if len(known) < len(shares) or len({depth for depth, _ in known}) > 1:
        return None
    return known[0][0], torch.cat([states for _, states in known])
