"""A backbone in bf16 keeps what float32 modules say: a weight has 8 significant bits there."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mount_common import BATCH, module
from tiny import save_tiny, tiny_backbone, tiny_model
from torch import Tensor

from xadapt.backbone.backbone import Backbone
from xadapt.backbone.encoder import encode
from xadapt.common.errors import UserError
from xadapt.mount import Element, Merged, Mounted, Part, mount
from xadapt.stacks.methods import Full, LoRA, Method


def rounded() -> Backbone:
    """In bf16, with weights of the size that a pretrained encoder's have."""
    return Backbone(
        "half", tiny_model(initializer_range=0.03), tiny_backbone().tokenizer, dtype=torch.bfloat16
    )


def exact(half: Backbone) -> Backbone:
    """The same rounded weights run in float32."""
    return Backbone("exact", half.unfrozen(exact=False), half.tokenizer)


def faint(backbone: Backbone, method: Method, seed: int) -> Part:
    """A module whose update is a few hundredths of the weight, as after a usual training run."""
    part = module(backbone, method, seed)
    weights = {k: w * 0.005 if "lora_B" in k else w for k, w in (part.weights or {}).items()}
    return Part(part.label, part.method, weights)


def hidden(mounted: Mounted) -> Tensor:
    """(T, H), every product in float32: what is left of the update, apart from bf16's own noise."""
    with torch.no_grad():
        return encode(mounted.model.float(), BATCH)


def lost(half: Backbone, elements: list[Element], fold: object) -> float:
    """Which share of a stack's effect on the hidden states a bf16 backbone gets wrong."""
    single = exact(half)
    bare = hidden(mount(single, []))
    wanted = hidden(mount(single, elements)) - bare
    got = hidden(mount(half, elements, fold=fold)) - bare  # type: ignore[arg-type]
    return float((got - wanted).norm() / wanted.norm())


def stacks(backbone: Backbone) -> dict[str, list[Element]]:
    operands = tuple((1.0, faint(backbone, LoRA(r=4), n)) for n in (1, 2))
    above = faint(backbone, LoRA(r=4), 3)
    return {
        "ties": [Merged("ties", "ties", operands)],
        "dare": [Merged("dare", "dare_ties", operands, seed=1)],
        "a module on ties": [Merged("ties", "ties", operands), above],
    }


@pytest.mark.parametrize("fold", [False, "cat"])
@pytest.mark.parametrize("name", ["ties", "dare", "a module on ties"])
def test_a_merge_of_full_rank_loses_no_more_than_a_hundredth(name: str, fold: object) -> None:
    half = rounded()
    share = lost(half, stacks(half)[name], fold)
    print(f"{name}, fold={fold}: {share:.2%} lost")
    assert share < 0.01


def test_a_module_keeps_its_own_term_beside_the_merge_that_it_was_trained_on() -> None:
    half = rounded()
    mounted = mount(half, stacks(half)["a module on ties"], fold="cat")
    own = dict(half.model.named_parameters())
    for name, parameter in mounted.model.named_parameters():
        if name in own:
            assert parameter is own[name]  # nothing is folded into a weight
    assert mounted.drift == {}


def test_folding_into_bf16_says_how_much_it_loses() -> None:
    half = rounded()
    elements = stacks(half)["ties"]
    mounted = mount(half, elements, fold=True)
    share = lost(half, elements, True)
    print(f"folded: {share:.2%} lost, said: {max(mounted.drift.values()):.2%}")
    assert 0.05 < share < 0.3
    assert 0.05 < max(mounted.drift.values()) < 0.3
    assert max(mount(exact(half), elements, fold=True).drift.values()) < 1e-4


def test_full_fine_tuning_starts_from_the_checkpoint_and_not_from_its_rounding(tmp_path: Path) -> None:
    model = tiny_model()
    wanted = {k: p.clone() for k, p in model.named_parameters()}
    folder = save_tiny(tmp_path)
    for half in (
        Backbone.from_pretrained(str(folder), dtype="bfloat16"),
        Backbone("in memory", model, tiny_backbone().tokenizer, dtype=torch.bfloat16),
    ):
        begun = mount(half, [Part("new", Full(), None)])
        assert begun.trainable.keys() == wanted.keys()
        assert all(torch.equal(p, wanted[k]) for k, p in begun.weights().items())
        begun.encode(BATCH).float().square().sum().backward()
        assert all(p.dtype == torch.float32 for p in begun.trainable.values())
        half.verify()


def test_full_fine_tuning_refuses_a_checkpoint_that_has_changed(tmp_path: Path) -> None:
    half = Backbone.from_pretrained(str(save_tiny(tmp_path)), dtype="bfloat16")
    save_tiny(tmp_path, seed=1)
    with pytest.raises(UserError, match="has changed since it was opened"):
        mount(half, [Part("new", Full(), None)])
