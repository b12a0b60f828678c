"""The frozen linears in int8, as the page of precision has them: close to float32, modules untouched."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from xadapt.backbone.backbone import Backbone
from xadapt.backbone.linear import Linear
from xadapt.backbone.packing import pack
from xadapt.mount import Element, Part, linear_shapes, mount
from xadapt.stacks.methods import parse_method

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
FORMS = ("weights", "weights, bf16", "dynamic")
BATCH = pack([[0, *range(40, 60), 2], [0, 9, 7, 2]])


@pytest.fixture(scope="module")
def benchmarks() -> Iterator[None]:
    """The benchmarks' folder, from which its scripts import one another."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        yield


@pytest.fixture(scope="module")
def pocket() -> Backbone:
    return Backbone.from_pretrained("pocket", device="cpu", dtype="float32")


def parts(backbone: Backbone, method: str) -> list[Element]:
    from modules import parts_of

    return list(parts_of(backbone, method, 1))


@torch.inference_mode()
def states(backbone: Backbone, elements: list[Element], form: Any = None) -> Tensor:
    """(T, H)"""
    from int8 import in_int8

    mounted = mount(backbone, elements, fold="cat")
    return (mounted if form is None else in_int8(backbone, mounted, form)).encode(BATCH)


@pytest.mark.usefixtures("benchmarks")
@pytest.mark.parametrize("method", ["lora", "bottleneck"])
@pytest.mark.parametrize("form", FORMS)
def test_int8_is_close_to_float32(pocket: Backbone, form: str, method: str) -> None:
    elements = parts(pocket, method)
    exact = states(pocket, elements)
    apart = float((states(pocket, elements, form) - exact).norm() / exact.norm())
    assert 0 < apart < (0.1 if form == "dynamic" else 0.02)  # of the states' own size


@pytest.mark.usefixtures("benchmarks")
@pytest.mark.parametrize("form", FORMS)
def test_what_a_lora_module_adds_stays_float(pocket: Backbone, form: Any) -> None:
    """Linear by linear: with the module minus without it is the very term."""
    from int8 import in_int8

    with_module = in_int8(pocket, mount(pocket, parts(pocket, "lora"), fold="cat"), form).model
    bare = in_int8(pocket, mount(pocket, []), form).model
    exact = mount(pocket, parts(pocket, "lora"), fold="cat").model
    for name, (_, width) in linear_shapes(pocket).items():
        x = torch.randn(5, width, generator=torch.Generator().manual_seed(0))
        mine, plain, first = (m.get_submodule(name) for m in (with_module, bare, exact))
        assert isinstance(first, Linear)
        (term,), (own,) = first.terms, mine.terms  # type: ignore[misc,union-attr]
        with torch.inference_mode():
            assert torch.equal(own(x), term(x))
            assert torch.equal(mine(x), plain(x) + term(x))


@pytest.mark.usefixtures("benchmarks")
def test_int8_weights_are_within_half_a_step(pocket: Backbone) -> None:
    from int8 import WeightOnly

    linear = pocket.model.encoder.layer[0].output.dense
    made = WeightOnly(linear, torch.float32)
    assert made.weight.dtype == torch.int8
    error = (made.weight.float() * made.scale[:, None] - linear.weight).abs()
    assert bool((error <= made.scale[:, None] * 0.5001).all())


@pytest.mark.usefixtures("benchmarks")
@pytest.mark.parametrize("form", FORMS)
def test_the_backbone_keeps_its_weights_and_the_stack_a_quarter_of_them(pocket: Backbone, form: Any) -> None:
    from int8 import bytes_of, in_int8

    layers = in_int8(pocket, mount(pocket, []), form).model.encoder
    pocket.verify()
    assert 0.25 < bytes_of(layers) / bytes_of(pocket.model.encoder) < 0.28


@pytest.mark.usefixtures("benchmarks")
def test_a_stack_that_is_trained_is_refused(pocket: Backbone) -> None:
    from int8 import in_int8

    fresh = mount(pocket, [Part("new", parse_method("lora"), None)])
    with pytest.raises(ValueError, match="to be trained"):
        in_int8(pocket, fresh, "weights")


@pytest.mark.usefixtures("benchmarks")
def test_the_page_says_what_each_form_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    import precision
    from results import as_json, as_markdown

    scored: list[str] = []
    monkeypatch.setattr(precision, "accuracy", lambda title, *_: scored.append(title) or [])
    options = precision.Options(
        model="pocket", device="cpu", rounds=1, methods=("lora",), batches=(1,), encoder=BENCHMARKS / "none"
    )
    found = precision.measure(options)
    made, text = as_json("precision", options, found), as_markdown("precision", options, found)
    assert made["model"]["weights"] == "its own"
    assert not {"encoder", "data", "out"} & made["options"].keys()
    *speed, left_out = made["rows"]
    assert [row["name"] for row in speed] == forms()
    for row in speed:
        assert row["batch of 1"]["median"] > 0
        assert 0 < row["layers, MB"] < row["with embeddings, MB"]
    assert scored == ["pocket world: generated text"]  # always, a real encoder only where it is there
    assert left_out["name"].startswith("not measured: ")
    assert left_out["name"] in text


@pytest.mark.usefixtures("benchmarks")
def test_accuracy_is_compared_item_by_item_in_english_and_german(checkpoint: Path, world: Path) -> None:
    from precision import PLAIN, Options, real

    data = world / "xtreme"
    rows = real(
        Options(model="pocket", device="cpu", encoder=checkpoint, data=data, training_steps=2, tested=6)
    )
    assert [row["name"] for row in rows] == forms() * 2
    assert ["XNLI dev in en, 6 items" in row["table"] for row in rows] == [True] * 6 + [False] * 6
    for row in rows:
        assert row["low"] <= row["accuracy"] <= row["high"]
        if row["name"] != PLAIN:
            assert row["its low"] <= row["minus float32"] <= row["its high"]
            assert 0 <= row["other answers"] <= 6


def forms() -> list[str]:
    from precision import INT8, PLAIN

    return [PLAIN, f"{PLAIN}, modules beside", "bf16", *INT8]
