"""Fusions: weights of their own over frozen modules, trained with the module above, cheap when done."""

from __future__ import annotations

import pytest
import torch
from adapters.composition import Average
from adapters.methods.modeling import BertFusion
from mount_common import BATCH, module, outputs, run
from tiny import tiny_backbone
from torch import Tensor

from xadapt.backbone.backbone import Backbone
from xadapt.common.errors import UserError
from xadapt.mount import Dropped, Element, Fused, Merged, Mounted, Part, mount, split_fusion
from xadapt.mount.adapter_fusion import LeanFusion
from xadapt.mount.bottleneck import Bottlenecks
from xadapt.mount.lora_fusion import NAME
from xadapt.stacks.methods import Bottleneck, LoRA, Method

METHODS = [LoRA(r=4), Bottleneck(reduction=4)]


def three(backbone: Backbone, method: Method) -> tuple[Part, ...]:
    """Modules of different sizes and layers."""
    if isinstance(method, LoRA):
        others: list[Method] = [LoRA(r=2, targets="qv"), LoRA(r=3, layers="top2")]
    else:
        others = [Bottleneck(reduction=2), Bottleneck(reduction=4, layers="top2")]
    return tuple(module(backbone, m, n) for n, m in enumerate([method, *others]))


def trained(mounted: Mounted, seed: int = 0) -> dict[str, Tensor]:
    """The weights of a mount after something like training; the mount has them too."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in mounted.trainable.values():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)
    return mounted.weights()


@pytest.mark.parametrize("method", METHODS, ids=str)
@pytest.mark.parametrize("above", METHODS, ids=str)
def test_a_fusion_and_the_module_above_are_trained_together_and_come_back(
    backbone: Backbone, method: Method, above: Method
) -> None:
    parts = three(backbone, method)
    mounted = mount(backbone, [Fused("fuse", parts, None), Part("new", above, None)], seed=(1,))
    able = {id(p) for p in mounted.model.parameters() if p.requires_grad}
    assert able == {id(p) for p in mounted.trainable.values()}
    mounted.encode(BATCH).square().sum().backward()
    assert all(p.grad is not None for p in mounted.trainable.values())
    fusion, top = split_fusion(trained(mounted))
    assert fusion
    assert fusion.keys() | top.keys() == mounted.trainable.keys()
    assert mounted.fusion
    assert mounted.config
    stack: list[Element] = [Fused("fuse", parts, fusion), Part("new", above, top)]
    for fold in (False, "cat", True):
        again = mount(backbone, stack, fold=fold)  # type: ignore[arg-type]
        torch.testing.assert_close(run(again), run(mounted), atol=1e-5, rtol=0)
        assert not again.trainable
    backbone.verify()


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_a_fusion_alone_can_be_trained(backbone: Backbone, method: Method) -> None:
    parts = three(backbone, method)
    mounted = mount(backbone, [Fused("fuse", parts, None)], seed=(1,))
    weights = trained(mounted)
    assert split_fusion(weights) == (weights, {})
    again = outputs(backbone, Fused("fuse", parts, weights))
    torch.testing.assert_close(again, run(mounted), atol=1e-5, rtol=0)


def test_a_mixture_of_loras_begins_as_their_mean(backbone: Backbone) -> None:
    parts = three(backbone, LoRA(r=4))
    fresh = mount(backbone, [Fused("fuse", parts, None)])
    assert list(fresh.trainable) == [NAME]
    mean = Merged("mean", "mean", tuple((1.0, part) for part in parts))
    torch.testing.assert_close(run(fresh), outputs(backbone, mean), atol=1e-5, rtol=0)


def test_coefficients_of_one_and_zero_pick_a_module(backbone: Backbone) -> None:
    parts = three(backbone, LoRA(r=4))
    chosen = torch.zeros(backbone.layers, 3)
    chosen[:, 1] = 1.0
    torch.testing.assert_close(
        outputs(backbone, Fused("fuse", parts, {NAME: chosen})),
        outputs(backbone, parts[1]),
        atol=2e-6,
        rtol=0,
    )


def test_a_fusion_attends_in_the_layers_where_its_modules_stand(backbone: Backbone) -> None:
    parts = tuple(module(backbone, Bottleneck(layers="top2"), n) for n in (1, 2))
    mounted = mount(backbone, [Fused("fuse", parts, None)])
    assert {name.split(".")[2] for name in mounted.trainable} == {"2", "3"}


def test_the_cheap_form_has_the_gradients_of_the_library(backbone: Backbone) -> None:
    parts = three(backbone, Bottleneck())
    weights = trained(mount(backbone, [Fused("fuse", parts, None)]))
    below = Fused("fuse", parts, weights)
    slow, fast = (
        mount(backbone, [below, Part("new", Bottleneck(), None)], fold=fold)  # type: ignore[arg-type]
        for fold in (False, "cat")
    )
    assert not any(isinstance(m, LeanFusion) for m in slow.model.modules())
    assert sum(isinstance(m, LeanFusion) for m in fast.model.modules()) == backbone.layers
    assert not any(isinstance(m, BertFusion) for m in fast.model.modules())
    with torch.no_grad():
        for name, parameter in fast.trainable.items():
            parameter.copy_(slow.trainable[name])
    for mounted in (slow, fast):
        mounted.model.train()  # what is finished has done with dropout, a fusion too
        mounted.encode(BATCH).square().mean().backward()
    for name, parameter in slow.trainable.items():
        torch.testing.assert_close(parameter.grad, fast.trainable[name].grad, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("nested", [False, True])
def test_a_mean_of_bottlenecks_is_the_average_of_their_outputs(backbone: Backbone, nested: bool) -> None:
    """As ``adapters.composition.Average`` means it. Version 1.3 scales the average by 1/n once more, hidden
    state and all; weights n times too large undo that."""
    a, b = (module(backbone, Bottleneck(reduction=r), r) for r in (2, 4))
    model = backbone.skeleton()
    library = Bottlenecks(model)
    names = [str(library._build(part)[0]) for part in (a, b)]
    library.active = [Average(*names, weights=[2 * 0.7, 2 * 0.3], normalize_weights=False)]  # type: ignore[list-item]
    for output in library._outputs():
        output.adapters_config.active_setup = library.active[0]
    expected = run(Mounted(backbone, model.eval(), {}, {}))
    inner = Merged("inner", "mean", ((3.0, b),)) if nested else b
    mean = Merged("mean", "mean", ((7.0, a), (3.0, inner)))
    torch.testing.assert_close(outputs(backbone, mean), expected, atol=1e-5, rtol=0)


def test_a_mean_of_one_bottleneck_is_that_module(backbone: Backbone) -> None:
    for part in three(backbone, Bottleneck()):
        one = Merged("mean", "mean", ((0.3, part),))
        torch.testing.assert_close(outputs(backbone, one), outputs(backbone, part), atol=2e-6, rtol=0)


def test_a_bottleneck_missing_in_a_layer_counts_as_zero_there(backbone: Backbone) -> None:
    part = module(backbone, Bottleneck(), 1)
    weights = part.weights or {}
    half = {k: w * 0.5 if ".adapter_up." in k else w for k, w in weights.items()}
    above = module(backbone, Bottleneck(layers="top2"), 2)
    mean = Merged("mean", "mean", ((1.0, part), (1.0, Dropped(above, 2, 2))))
    low = Dropped(mean, 3, 3)
    expected = Dropped(Part("half", part.method, half), 3, 3)
    torch.testing.assert_close(outputs(backbone, low), outputs(backbone, expected), atol=1e-6, rtol=0)


# -- dropped layers -----------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_a_dropped_module_is_one_without_its_weights_in_these_layers(
    backbone: Backbone, method: Method
) -> None:
    part = module(backbone, method, 1)
    dead = ("lora_B", "adapter_up")
    weights = {
        k: torch.zeros_like(w) if any(d in k for d in dead) and ".layer.3." not in k else w
        for k, w in (part.weights or {}).items()
    }
    silent = outputs(backbone, Part("silent", method, weights))
    dropped = Dropped(part, 0, 2)
    torch.testing.assert_close(outputs(backbone, dropped), silent, atol=2e-6, rtol=0)
    mounted = mount(backbone, [dropped])
    assert mounted.lowest == 3
    with torch.no_grad():
        below = mounted.encode(BATCH, 3)
    torch.testing.assert_close(below, mount(backbone, []).encode(BATCH, 3))


@pytest.mark.parametrize("method", METHODS, ids=str)
@pytest.mark.parametrize("fold", [False, "cat", True])
def test_layers_are_dropped_from_a_fusion_and_a_merge_below_another_module(
    backbone: Backbone, method: Method, fold: bool | str
) -> None:
    parts = three(backbone, method)
    weights = trained(mount(backbone, [Fused("fuse", parts, None)]))
    top = module(backbone, method, 9)
    fused = Fused("fuse", parts, weights)
    whole = outputs(backbone, fused, top, fold=fold)
    low = outputs(backbone, Dropped(fused, 0, 1), top, fold=fold)
    assert not torch.allclose(whole, low, atol=1e-3)
    reference = outputs(backbone, Dropped(fused, 0, 1), top)
    torch.testing.assert_close(low, reference, atol=1e-5, rtol=0)
    merged = Merged("mean", "mean", tuple((1.0, part) for part in parts))
    each = Merged("mean", "mean", tuple((1.0, Dropped(part, 0, 1)) for part in parts))
    torch.testing.assert_close(
        outputs(backbone, Dropped(merged, 0, 1), top, fold=fold),
        outputs(backbone, each, top),
        atol=1e-5,
        rtol=0,
    )


def test_what_cannot_be_dropped_or_fused_is_refused(backbone: Backbone) -> None:
    part = module(backbone, LoRA(r=4), 1)
    bottleneck = module(backbone, Bottleneck(), 1)
    with pytest.raises(UserError, match="layers from 0 to 3"):
        mount(backbone, [Dropped(part, 0, 4)])
    with pytest.raises(UserError, match="leaves nothing"):
        mount(backbone, [Dropped(part, 0, 3)])
    with pytest.raises(UserError, match="not trained yet"):
        Dropped(Part("new", LoRA(), None), 0, 1)
    with pytest.raises(UserError, match="bottleneck and lora"):
        Fused("f", (part, bottleneck), None)
    with pytest.raises(UserError, match="itself a combination"):
        Fused("f", (Merged("m", "mean", ((1.0, bottleneck),)), bottleneck), None)
    with pytest.raises(UserError, match="the shape"):
        mount(backbone, [Fused("f", (part, part), {NAME: torch.ones(4, 3)})])
    with pytest.raises(UserError, match="does not fit"):
        mount(backbone, [Fused("f", (bottleneck, bottleneck), {NAME: torch.ones(4, 2)})])
    with pytest.raises(ValueError, match="only the last"):
        mount(backbone, [Fused("f", (part, part), None), part, Part("new", LoRA(), None)])


def test_a_dead_operand_is_an_error(backbone: Backbone) -> None:
    for method in METHODS:
        part = module(backbone, method, 1)
        dead = Part("dead", method, {k: torch.zeros_like(w) for k, w in (part.weights or {}).items()})
        with pytest.raises(UserError, match="'dead' is mounted but changes nothing"):
            mount(backbone, [Fused("f", (part, dead), None)])


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_a_fusion_in_bfloat16_is_near_float32(method: Method) -> None:
    single = tiny_backbone()
    half = Backbone("tiny", tiny_backbone().model, single.tokenizer, dtype=torch.bfloat16)
    parts = three(single, method)
    weights = trained(mount(single, [Fused("fuse", parts, None)]))
    fused = Fused("fuse", parts, weights)
    exact = outputs(single, fused)
    for fold in (False, "cat", True):
        rough = outputs(half, fused, fold=fold).float()
        assert (rough - exact).norm() / exact.norm() < 0.03
    mounted = mount(half, [Fused("fuse", parts, None), Part("new", method, None)])
    mounted.encode(BATCH).float().square().sum().backward()
    assert all(p.dtype == torch.float32 and p.grad is not None for p in mounted.trainable.values())
    half.verify()


def test_the_penalty_keeps_the_value_matrices_near_the_identity(backbone: Backbone) -> None:
    bottlenecks = three(backbone, Bottleneck())
    mounted = mount(backbone, [Fused("fuse", bottlenecks, None)])
    trained(mounted)
    penalty = mounted.penalty()
    assert penalty is not None
    assert penalty > 0
    library = Bottlenecks(backbone.skeleton())
    library.add(Fused("fuse", bottlenecks, mounted.weights()))
    torch.testing.assert_close(penalty, library.model.get_fusion_regularization_loss())
    assert mount(backbone, [Fused("fuse", three(backbone, LoRA(r=4)), None)]).penalty() is None
