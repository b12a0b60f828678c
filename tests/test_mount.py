"""What is mounted acts, fits, and leaves the backbone as it was."""

from __future__ import annotations

import pytest
import torch
from mount_common import BATCH, run, trained
from tiny import tiny_backbone
from torch import Tensor

from xadapt.backbone.backbone import Backbone
from xadapt.common.errors import UserError
from xadapt.mount import Part, mount
from xadapt.stacks.methods import Bottleneck, Full, LoRA, Method

METHODS = [LoRA(r=4), LoRA(r=4, layers="top2", targets="qv"), Bottleneck(reduction=4), Full()]


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_a_module_taken_off_and_mounted_again_gives_the_same_outputs(
    backbone: Backbone, method: Method
) -> None:
    fresh = mount(backbone, [Part("a", method, None)])
    weights = trained(backbone, method)
    with torch.no_grad():
        for name, parameter in fresh.trainable.items():
            parameter.copy_(weights[name])
    again = mount(backbone, [Part("a", method, fresh.weights())])
    assert torch.equal(run(fresh), run(again))
    assert not torch.equal(run(again), run(mount(backbone, [])))


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_the_backbone_is_the_same_after_mounting_training_and_letting_go(
    backbone: Backbone, method: Method
) -> None:
    before = run(mount(backbone, []))
    mounted = mount(backbone, [Part("a", method, None)])
    optimizer = torch.optim.AdamW(mounted.trainable.values(), lr=0.1)
    for _ in range(2):
        mounted.encode(BATCH).square().sum().backward()
        optimizer.step()
    assert not torch.equal(run(mounted), before)
    backbone.verify()
    assert torch.equal(run(mount(backbone, [])), before)
    assert not any(p.requires_grad or p.grad is not None for p in backbone.model.parameters())


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_only_the_fresh_module_can_be_trained(backbone: Backbone, method: Method) -> None:
    below = Part("below", method, trained(backbone, method))
    mounted = mount(backbone, [below, Part("above", method, None)])
    able = {id(p) for p in mounted.model.parameters() if p.requires_grad}
    assert able == {id(p) for p in mounted.trainable.values()}
    assert not mount(backbone, [below]).trainable
    frozen = {n: p.clone() for n, p in mounted.model.named_parameters() if not p.requires_grad}
    optimizer = torch.optim.AdamW(mounted.trainable.values(), lr=0.1)
    mounted.encode(BATCH).square().sum().backward()
    optimizer.step()
    now = dict(mounted.model.named_parameters())
    assert all(torch.equal(now[n], p) for n, p in frozen.items())


@pytest.mark.parametrize("method", [LoRA(r=4), Bottleneck(reduction=4)], ids=str)
def test_what_lies_below_acts_and_the_order_is_kept(backbone: Backbone, method: Method) -> None:
    a = Part("a", method, trained(backbone, method, 1))
    b = Part("b", method, trained(backbone, method, 2))
    one, both, turned = (run(mount(backbone, parts)) for parts in ([b], [a, b], [b, a]))
    assert not torch.allclose(one, both, atol=1e-3)
    if isinstance(method, Bottleneck):
        assert not torch.allclose(both, turned, atol=1e-3)  # one works on the other's output
    else:
        torch.testing.assert_close(both, turned, atol=1e-5, rtol=0)  # LoRA effects add up


def test_lora_stands_on_a_fully_fine_tuned_copy(backbone: Backbone) -> None:
    below = Part("full", Full(), trained(backbone, Full()))
    mounted = mount(backbone, [below, Part("lora", LoRA(r=4), None)])
    torch.testing.assert_close(run(mounted), run(mount(backbone, [below])))  # a fresh LoRA changes nothing
    backbone.verify()


def test_a_full_copy_starts_from_the_full_copy_below_it(backbone: Backbone) -> None:
    low, high = (Part(f"full {n}", Full(), trained(backbone, Full(), n)) for n in (1, 2))
    begun = mount(backbone, [low, high, Part("new", Full(), None)])
    assert all(torch.equal(t, high.weights[k]) for k, t in begun.weights().items())  # type: ignore[index]
    torch.testing.assert_close(run(begun), run(mount(backbone, [high])))


def test_the_first_weights_are_a_function_of_the_seed_alone(backbone: Backbone) -> None:
    def draw(seed: int) -> dict[str, Tensor]:
        return mount(backbone, [Part("a", LoRA(r=4), None)], seed=(seed,)).weights()

    state = torch.get_rng_state()
    first = draw(1)
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(3)
    assert all(torch.equal(t, first[k]) for k, t in draw(1).items())
    assert any(not torch.equal(t, first[k]) for k, t in draw(2).items())


def test_a_module_without_effect_is_an_error(backbone: Backbone) -> None:
    weights = trained(backbone, LoRA(r=4))
    dead = {k: torch.zeros_like(t) if "lora_B" in k else t for k, t in weights.items()}
    with pytest.raises(UserError, match="changes nothing"):
        mount(backbone, [Part("dead", LoRA(r=4), dead)])


def test_missing_unknown_and_misshapen_weights_are_errors(backbone: Backbone) -> None:
    weights = trained(backbone, LoRA(r=4))
    name = next(iter(weights))
    for broken in (
        {k: t for k, t in weights.items() if k != name},
        weights | {"stranger": torch.zeros(1)},
        weights | {name: torch.zeros(3, 3)},
    ):
        with pytest.raises(UserError, match="module 'broken'"):
            mount(backbone, [Part("broken", LoRA(r=4), broken)])
    with pytest.raises(UserError, match="does not fit"):
        mount(backbone, [Part("other", LoRA(r=4, layers="top2"), weights)])


@pytest.mark.parametrize("below", [LoRA(r=4), Bottleneck(reduction=4), Full()], ids=str)
@pytest.mark.parametrize("above", [LoRA(r=4), Bottleneck(reduction=4)], ids=str)
def test_methods_stand_on_one_another(backbone: Backbone, below: Method, above: Method) -> None:
    low, high = (Part(str(m), m, trained(backbone, m, n)) for n, m in enumerate((below, above)))
    alone = run(mount(backbone, [low]))
    both = mount(backbone, [low, high])
    assert not torch.allclose(run(both), alone, atol=1e-3)
    # Trained above what is below, it is the same as mounted from its weights.
    fresh = mount(backbone, [low, Part("new", above, None)])
    able = {id(p) for p in fresh.model.parameters() if p.requires_grad}
    assert able == {id(p) for p in fresh.trainable.values()}
    fresh.encode(BATCH).square().sum().backward()
    assert all(p.grad is not None for p in fresh.trainable.values())
    with torch.no_grad():
        for name, parameter in fresh.trainable.items():
            parameter.copy_(high.weights[name])  # type: ignore[index]
    torch.testing.assert_close(run(fresh), run(both))
    backbone.verify()


def test_lora_and_bottleneck_commute(backbone: Backbone) -> None:
    lora = Part("lora", LoRA(r=4), trained(backbone, LoRA(r=4)))
    bottleneck = Part("bn", Bottleneck(), trained(backbone, Bottleneck()))
    one, other = (run(mount(backbone, parts)) for parts in ([lora, bottleneck], [bottleneck, lora]))
    torch.testing.assert_close(one, other)


def test_a_full_copy_above_modules_is_refused(backbone: Backbone) -> None:
    lora = Part("lora", LoRA(r=4), trained(backbone, LoRA(r=4)))
    with pytest.raises(UserError, match="cannot stand above"):
        mount(backbone, [lora, Part("full", Full(), None)])


@pytest.mark.parametrize("method", [LoRA(r=4), Bottleneck(reduction=4), Full()], ids=str)
def test_bfloat16_is_near_float32(method: Method) -> None:
    single = tiny_backbone()
    half = Backbone("tiny", tiny_backbone().model, single.tokenizer, dtype=torch.bfloat16)
    assert half.fingerprint == single.fingerprint
    weights = trained(single, method)
    a = run(mount(single, [Part("a", method, weights)]))
    b = run(mount(half, [Part("a", method, weights)])).float()
    assert (a - b).norm() / a.norm() < 0.03
    mounted = mount(half, [Part("a", method, weights), Part("b", method, None)])
    assert all(p.dtype == torch.float32 for p in mounted.trainable.values())
    mounted.encode(BATCH).float().square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in mounted.trainable.values())
    half.verify()
