"""Stacks in use: held and switched, run side by side, folded, and looked into."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from mount_common import BATCH, module, outputs, run
from safetensors.torch import load_file, save_file
from tiny import tiny_backbone

from xadapt.backbone.backbone import Backbone
from xadapt.common.errors import UserError
from xadapt.mount import (
    Dropped,
    Element,
    Fused,
    Merged,
    Part,
    encode_many,
    linear_shapes,
    mount,
)
from xadapt.mount.effect import effect_of
from xadapt.mount.elements import without
from xadapt.mount.interpret import fusion_weights, similarity
from xadapt.mount.lora_fusion import NAME
from xadapt.mount.low_rank import layer_of
from xadapt.stacks.methods import Bottleneck, Full, LoRA, Method

METHODS = [LoRA(r=4), Bottleneck(reduction=4)]


def fused(backbone: Backbone, method: Method, label: str = "fuse", n: int = 3) -> Fused:
    """A fusion with weights far from the first ones."""
    parts = tuple(module(backbone, method, i) for i in range(n))
    weights = mount(backbone, [Fused(label, parts, None)], seed=(1,)).weights()
    generator = torch.Generator().manual_seed(7)
    weights = {k: w + torch.randn(w.shape, generator=generator) * 0.3 for k, w in weights.items()}
    return Fused(label, parts, weights)


@pytest.mark.parametrize("fold", ["cat", True])
@pytest.mark.parametrize("fresh", [LoRA(r=4), Bottleneck(reduction=4), "fuse"], ids=str)
def test_what_is_trained_on_a_folded_stack_has_the_gradients_of_the_unfolded_one(
    backbone: Backbone, fresh: Method | str, fold: bool | str
) -> None:
    below: list[Element] = [module(backbone, LoRA(r=2), 1), module(backbone, LoRA(r=4), 2)]
    below.append(Merged("mean", "mean", ((1.0, below[0]), (0.5, module(backbone, LoRA(r=3), 3)))))
    if isinstance(fresh, str):
        operands = tuple(module(backbone, LoRA(r=2), n) for n in (4, 5))
        top: list[Element] = [Fused("fuse", operands, None), Part("new", LoRA(r=4), None)]
    else:
        top = [Part("new", fresh, None)]
    mounts = [mount(backbone, [*below, *top], fold=how) for how in (False, fold)]  # type: ignore[arg-type]
    plain, folded = mounts
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, parameter in plain.trainable.items():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.1)
            folded.trainable[name].copy_(parameter)
    assert plain.trainable.keys() == folded.trainable.keys()
    for mounted in mounts:
        mounted.encode(BATCH).square().mean().backward()
    for name, parameter in plain.trainable.items():
        torch.testing.assert_close(folded.trainable[name].grad, parameter.grad, atol=1e-5, rtol=1e-4)
    backbone.verify()


# -- several stacks -----------------------------------------------------------------------------


def test_stacks_side_by_side_give_what_each_gives_alone(backbone: Backbone) -> None:
    top = module(backbone, LoRA(r=4, layers="top1"), 1)
    stacks: list[list[Element]] = [
        [top],
        [],
        [module(backbone, Bottleneck(layers="top2"), 2), top],
        [module(backbone, LoRA(r=2), 3)],
        [Dropped(fused(backbone, Bottleneck()), 0, 1)],
        [module(backbone, Full(), 4)],
    ]
    held = [mount(backbone, stack) for stack in stacks]
    assert [m.lowest for m in held] == [3, 4, 2, 0, 2, -1]
    for layers in (None, 4, 3, 1, 0):
        with torch.no_grad():
            together = encode_many(backbone, held, BATCH, layers)
            for stack, hidden in zip(held, together, strict=True):
                torch.testing.assert_close(hidden, stack.encode(BATCH, layers), atol=1e-6, rtol=0)


def test_what_stacks_share_is_computed_once(backbone: Backbone) -> None:
    held = [mount(backbone, [module(backbone, LoRA(r=2, layers="top1"), n)]) for n in range(3)]
    calls: list[int] = []
    trees = [backbone.model, *(m.model for m in held)]
    hooks = [
        layer.attention.self.register_forward_hook(lambda *_, i=i: calls.append(i))
        for tree in trees
        for i, layer in enumerate(tree.encoder.layer)
    ]
    encode_many(backbone, held, BATCH)
    for hook in hooks:
        hook.remove()
    assert sorted(calls) == [0, 1, 2, 3, 3, 3]


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_a_module_is_swapped_for_another_of_its_shape(
    backbone: Backbone, method: Method, tmp_path: Path
) -> None:
    a, b, below = (module(backbone, method, n) for n in (1, 2, 3))
    save_file(dict(b.weights or {}), tmp_path / "b.safetensors")
    mounted = mount(backbone, [below, a])
    mounted.swap("module 1", load_file(tmp_path / "b.safetensors"), named="module 2")
    torch.testing.assert_close(run(mounted), outputs(backbone, below, b))
    mounted.swap("module 2", a.weights or {})
    torch.testing.assert_close(run(mounted), outputs(backbone, below, a))


def test_a_swap_that_does_not_fit_or_does_nothing_leaves_the_stack_as_it_was(backbone: Backbone) -> None:
    a = module(backbone, LoRA(r=4), 1)
    mounted = mount(backbone, [a])
    before = run(mounted)
    other = module(backbone, LoRA(r=2), 2).weights or {}
    dead = {k: torch.zeros_like(w) for k, w in (a.weights or {}).items()}
    last = list(a.weights or {})[-1]
    late = {k: torch.ones(1, 1) if k == last else w + 1 for k, w in (a.weights or {}).items()}
    for weights in (other, dead, late):
        with pytest.raises(UserError):
            mounted.swap(a.label, weights)
        assert torch.equal(run(mounted), before)
    with pytest.raises(UserError, match="no module 'x'"):
        mounted.swap("x", other)
    with pytest.raises(UserError, match="without fold"):
        mount(backbone, [a], fold=True).swap(a.label, other)


# -- folding ------------------------------------------------------------------------------------


def test_a_folded_stack_has_the_bare_encoders_products_and_the_same_outputs(backbone: Backbone) -> None:
    parts = [module(backbone, LoRA(r=4), 1), module(backbone, LoRA(r=3, targets="qv"), 2)]
    folded = mount(backbone, parts, fold=True)
    bare = mount(backbone, [])
    kinds = [type(m).__name__ for m in folded.model.modules()]
    assert kinds == [type(m).__name__ for m in bare.model.modules()]
    torch.testing.assert_close(run(folded), outputs(backbone, *parts), atol=1e-5, rtol=0)
    backbone.verify()


def test_nine_modules_run_as_one(backbone: Backbone) -> None:
    parts = [module(backbone, LoRA(r=1), n) for n in range(9)]
    one = mount(backbone, parts, fold="cat")
    names = [name for name, _ in one.model.named_modules() if ".terms." in name]
    assert len(names) == len(linear_shapes(backbone))
    torch.testing.assert_close(run(one), outputs(backbone, *parts), atol=1e-5, rtol=0)


def test_a_merge_of_full_rank_does_not_cost_two_more_products(backbone: Backbone) -> None:
    ties = Merged("t", "ties", tuple((1.0, module(backbone, LoRA(r=4), n)) for n in (1, 2)))
    assert not any(".terms." in name for name, _ in mount(backbone, [ties]).model.named_modules())
    backbone.verify()


@pytest.mark.parametrize("method", [Full(), *METHODS], ids=str)
def test_frozen_weights_are_cast_once_and_nothing_changes(method: Method) -> None:
    half = Backbone("tiny", tiny_backbone().model, tiny_backbone().tokenizer, dtype=torch.bfloat16)
    part = module(half, method, 1)
    mounted = mount(half, [part])
    linears = [m for m in mounted.model.modules() if isinstance(m, torch.nn.Linear)]
    assert all(m.weight.dtype == torch.bfloat16 for m in linears)
    before = run(mounted)
    for linear in linears:
        linear.float()
    torch.testing.assert_close(run(mounted), before, atol=0, rtol=0)


# -- looking in ---------------------------------------------------------------------------------


def test_weights_of_a_mixture_are_its_coefficients(backbone: Backbone) -> None:
    element = fused(backbone, LoRA(r=4))
    for fold in (False, "cat", True):
        ((label, got),) = fusion_weights(mount(backbone, [element], fold=fold))  # type: ignore[arg-type]
        assert label == "fuse"
        np.testing.assert_allclose(got, (element.weights or {})[NAME].numpy())


@pytest.mark.parametrize("fold", [False, "cat"])
def test_weights_of_a_fusion_are_what_adapters_attends_with(backbone: Backbone, fold: bool | str) -> None:
    element = fused(backbone, Bottleneck())
    above = fused(backbone, Bottleneck(), "other", 2)
    mounted = mount(backbone, [Dropped(element, 0, 0), above], fold=fold)  # type: ignore[arg-type]
    got = dict(fusion_weights(mounted, BATCH))
    assert {k: v.shape for k, v in got.items()} == {"fuse": (4, 3), "other": (4, 2)}
    assert np.isnan(got["fuse"][0]).all()
    np.testing.assert_allclose(got["fuse"][1:].sum(1), 1, rtol=1e-5)
    np.testing.assert_allclose(got["other"].sum(1), 1, rtol=1e-5)
    with pytest.raises(ValueError, match="batch"):
        fusion_weights(mounted)
    if fold is False:
        # The library reports them itself when asked to, in training's own forward.
        cheap = mount(backbone, [Dropped(element, 0, 0), above], fold="cat")
        for label, rows in fusion_weights(cheap, BATCH):
            np.testing.assert_allclose(got[label], rows, atol=1e-5)


def test_similarity_is_the_cosine_of_the_written_out_updates(backbone: Backbone) -> None:
    parts = [
        module(backbone, LoRA(r=4), 1),
        module(backbone, LoRA(r=2, targets="qv"), 2),
        module(backbone, LoRA(r=3, layers="top2"), 3),
    ]
    got = similarity(backbone, parts)
    assert got.shape == (4, 3, 3)
    shapes = linear_shapes(backbone)
    effects = [effect_of(part, shapes) for part in parts]
    for layer in range(4):
        rows = [
            torch.cat([
                (e[n].dense() if n in e else torch.zeros(shapes[n])).flatten()
                for n in shapes if layer_of(n) == layer
            ]) for e in effects
        ]  # fmt: skip
        for i in range(3):
            for j in range(3):
                if layer < 2 and 2 in (i, j):
                    assert np.isnan(got[layer, i, j])
                else:
                    cosine = torch.cosine_similarity(rows[i], rows[j], dim=0)
                    assert got[layer, i, j] == pytest.approx(float(cosine), abs=1e-5)
    mean = Merged("m", "mean", ((1.0, parts[0]),))
    np.testing.assert_allclose(similarity(backbone, [parts[0], mean]), 1, atol=1e-5)


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_one_operand_is_left_out(backbone: Backbone, method: Method) -> None:
    element = fused(backbone, method)
    a, b, c = element.operands
    less = without(element, 1)
    assert less.label == "fuse without module 1"
    assert not torch.allclose(outputs(backbone, less), outputs(backbone, element), atol=1e-4)
    mean = Merged("m", "mean", ((1.0, a), (5.0, b), (1.0, c)))
    expected = Merged("m", "mean", ((1.0, a), (1.0, c)))
    torch.testing.assert_close(outputs(backbone, without(mean, 1)), outputs(backbone, expected))
    with pytest.raises(ValueError, match="one operand"):
        without(Merged("m", "mean", ((1.0, a),)), 0)
    if isinstance(method, LoRA):
        zeroed = dict(element.weights or {})
        zeroed[NAME] = zeroed[NAME].clone()
        zeroed[NAME][:, 1] = 0
        same = outputs(backbone, Fused("f", element.operands, zeroed))
        torch.testing.assert_close(outputs(backbone, less), same, atol=1e-6, rtol=0)
