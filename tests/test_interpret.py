"""What is measured on modules and combinations, held to what is written out by hand; and how it is drawn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mount_common import BATCH, module, outputs
from rich.console import Console

from xadapt.backbone.backbone import Backbone
from xadapt.mount import Dropped, Element, Fused, Merged, Part, mount
from xadapt.mount.elements import without
from xadapt.mount.interpret import effect_similarity, fusion_weights, similarity
from xadapt.mount.lora_fusion import NAME
from xadapt.report.heatmap import heat_map
from xadapt.stacks.methods import Bottleneck, Full, LoRA, Method

METHODS = [LoRA(r=4), Bottleneck(reduction=4), Full()]


# -- similarity -----------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_a_module_under_two_names_is_like_itself(backbone: Backbone, method: Method) -> None:
    part = module(backbone, method, 1)
    other = Part("another name", part.method, part.weights)
    np.testing.assert_allclose(effect_similarity(backbone, [part, other], BATCH), 1, atol=1e-5)
    if isinstance(method, LoRA):
        np.testing.assert_allclose(similarity(backbone, [part, other]), 1, atol=1e-5)


def test_the_opposite_update_is_the_opposite(backbone: Backbone) -> None:
    part = module(backbone, LoRA(r=4), 1)
    turned = {name: -w if "lora_B" in name else w for name, w in (part.weights or {}).items()}
    opposite = Part("opposite", part.method, turned)
    np.testing.assert_allclose(similarity(backbone, [part, opposite])[:, 0, 1], -1, atol=1e-5)
    # The encoder is not linear, so effects are opposite only where they are small.
    small = [
        Part(p.label, p.method, {n: w * 1e-3 if "lora_B" in n else w for n, w in (p.weights or {}).items()})
        for p in (part, opposite)
    ]
    np.testing.assert_allclose(effect_similarity(backbone, small, BATCH)[:, 0, 1], -1, atol=1e-2)


def test_effects_are_compared_token_by_token_after_each_layer(backbone: Backbone) -> None:
    parts: list[Element] = [
        module(backbone, Bottleneck(reduction=4), 1),
        module(backbone, LoRA(r=4, layers="top2"), 2),
        module(backbone, Full(), 3),
        Dropped(module(backbone, Bottleneck(), 4), 0, 0),
    ]
    got = effect_similarity(backbone, parts, BATCH)
    assert got.shape == (4, 4, 4)
    with torch.no_grad():
        bare = list(mount(backbone, []).states(BATCH))
        changed = [list(mount(backbone, [part]).states(BATCH)) for part in parts]
    lowest = [0, 2, 0, 1]
    for layer in range(4):
        effects = [states[layer + 1] - bare[layer + 1] for states in changed]
        for i, a in enumerate(effects):
            for j, b in enumerate(effects):
                if layer < max(lowest[i], lowest[j]):
                    assert np.isnan(got[layer, i, j])
                else:
                    expected = torch.cosine_similarity(a, b, dim=-1).mean()
                    assert got[layer, i, j] == pytest.approx(float(expected), abs=1e-5)
    backbone.verify()


# -- fusions --------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", [LoRA(r=4), Bottleneck(reduction=4)], ids=str)
def test_fusions_of_one_label_are_told_apart_by_their_order(backbone: Backbone, method: Method) -> None:
    parts = tuple(module(backbone, method, i) for i in range(3))
    fusions = []
    for seed, operands in ((1, parts), (2, parts[:2])):
        weights = mount(backbone, [Fused("fuse", operands, None)], seed=(seed,)).weights()
        generator = torch.Generator().manual_seed(seed)
        moved = {k: w + torch.randn(w.shape, generator=generator) * 0.3 for k, w in weights.items()}
        fusions.append(Fused("fuse", operands, moved))
    found = fusion_weights(mount(backbone, fusions), BATCH)
    assert [(label, weights.shape) for label, weights in found] == [("fuse", (4, 3)), ("fuse", (4, 2))]
    if isinstance(method, LoRA):
        for fused, (_, weights) in zip(fusions, found, strict=True):
            np.testing.assert_allclose(weights, (fused.weights or {})[NAME].numpy())


@pytest.mark.parametrize("how", ["mean", "linear", "cat"])
def test_without_an_operand_of_weight_0_all_is_the_same(backbone: Backbone, how: str) -> None:
    a, b = (module(backbone, LoRA(r=4), n) for n in (1, 2))
    merged = Merged("m", how, ((1.0, a), (0.0, b)))
    torch.testing.assert_close(
        outputs(backbone, without(merged, 1)), outputs(backbone, merged), atol=1e-6, rtol=0
    )


def test_an_operand_is_left_out_within_a_drop(backbone: Backbone) -> None:
    a, b = (module(backbone, LoRA(r=4), n) for n in (1, 2))
    dropped = Dropped(Merged("m", "mean", ((1.0, a), (3.0, b))), 0, 1)
    torch.testing.assert_close(
        outputs(backbone, without(dropped, 0)), outputs(backbone, Dropped(b, 0, 1)), atol=1e-6, rtol=0
    )
    with pytest.raises(ValueError, match="no operands"):
        without(Dropped(a, 0, 1), 0)


# -- tables ---------------------------------------------------------------------------------------


def drawn(values: np.ndarray, names: list[str], **options: bool | float) -> list[list[str]]:
    console = Console(width=160)
    with console.capture() as capture:
        console.print(heat_map("title", names, values, **options))  # type: ignore[arg-type]
    said = capture.get()
    assert max(map(len, said.splitlines())) <= 160
    return [[c.strip() for c in line.split("│")[1:-1]] for line in said.splitlines() if "│" in line]


def test_a_deep_encoder_has_its_layers_in_several_tables_and_one_mean() -> None:
    values = np.linspace(0, 1, 24)[:, None]
    first, second = drawn(values, ["module"], full=1.0, mean=True)
    assert (len(first), len(second)) == (1 + 16, 1 + 24 - 16 + 1)
    assert first[:2] == ["module", "0.00"]
    assert second[0] == "module", "said again"
    assert second[-2:] == ["1.00 █", "0.50 ▒"]


def test_shades_go_with_the_size_and_nothing_is_a_point() -> None:
    rows = drawn(np.array([[0.1, np.nan], [-0.2, np.nan]]), ["a", "b"], mean=True)
    assert rows == [["a", "0.10 ▒", "-0.20 █", "-0.05 ░"], ["b", "·", "·", "·"]]
    assert drawn(np.array([[0.1]]), ["a"], full=1.0) == [["a", "0.10"]]
