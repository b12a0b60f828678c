"""Merges: one module is itself, sums are sums, and what cannot be merged is refused by name."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from importlib.metadata import version

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mount_common import BATCH, module, outputs
from packaging.version import Version
from peft import LoraConfig, PeftModel
from torch import Tensor, nn

from xadapt.backbone.backbone import Backbone
from xadapt.common.errors import UserError
from xadapt.mount import Dropped, Element, Fused, Merged, Part, linear_shapes, mount
from xadapt.mount.effect import effect_of
from xadapt.mount.low_rank import Factors, inner_product, lora_of
from xadapt.mount.merge import merge
from xadapt.stacks.combinations import COMBINATIONS, MERGES
from xadapt.stacks.methods import Bottleneck, Full, LoRA

NAME = "encoder.layer.0.attention.self.query"
WAYS = sorted(MERGES)


def factors(seed: int, rank: int, scale: float = 1.0, out: int = 12, width: int = 8) -> Factors:
    generator = torch.Generator().manual_seed(seed)
    down, up = torch.randn(rank, width, generator=generator), torch.randn(out, rank, generator=generator)
    return Factors(down / math.sqrt(width), up / math.sqrt(out), scale)


def merged(how: str, terms: list[tuple[float, Factors]], seed: int = 0, **options: object) -> Tensor:
    return merge("m", how, [(w, {NAME: f}) for w, f in terms], options, seed)[NAME].dense()


def close(a: Tensor, b: Tensor) -> None:
    """To 1e-6, of the largest entry where that is above 1: float32 rounds each term of a sum."""
    torch.testing.assert_close(a, b, atol=1e-6 * max(1.0, float(b.abs().max())), rtol=0)


seeds = st.integers(0, 2**31)
ranks = st.integers(1, 6)
# alpha / r, and alpha / sqrt(r) of a rank-stabilised module
scales = st.one_of(st.just(1.0), st.just(2.0), ranks.map(lambda r: 2.0 / math.sqrt(r)))


@given(how=st.sampled_from(WAYS), seed=seeds, rank=ranks, scale=scales, data=st.data())
def test_any_merge_of_one_module_is_that_module(
    how: str, seed: int, rank: int, scale: float, data: st.DataObject
) -> None:
    options: dict[str, object] = {}
    if "density" in COMBINATIONS[how].options and data.draw(st.booleans()):
        options["density"] = data.draw(st.floats(0.05, 1))
    if "rank" in COMBINATIONS[how].options and data.draw(st.booleans()):
        options["rank"] = data.draw(st.integers(rank, 8))
    one = factors(seed, rank, scale)
    close(merged(how, [(1.0, one)], **options), one.dense())


@given(how=st.sampled_from(["cat", "linear", "svd", "ties", "dare_ties", "dare_linear"]), seed=seeds)
def test_a_merge_of_one_module_scales_with_its_weight_and_a_mean_does_not(how: str, seed: int) -> None:
    one = factors(seed, 3, 2.0)
    close(merged(how, [(-0.7, one)]), -0.7 * one.dense())
    close(merged("mean", [(0.7, one)]), one.dense())


@given(
    terms=st.lists(st.tuples(st.floats(-2, 2), seeds, ranks, scales), min_size=1, max_size=4),
    positive=st.booleans(),
)
def test_cat_is_the_sum_of_effects_and_mean_their_average_whatever_the_ranks(
    terms: list[tuple[float, int, int, float]], positive: bool
) -> None:
    several = [(abs(w) + 0.1 if positive else w, factors(*rest)) for w, *rest in terms]
    total = sum(w * f.dense() for w, f in several)
    close(merged("cat", several), total)  # type: ignore[arg-type]
    if positive:
        close(merged("mean", several), total / sum(w for w, _ in several))  # type: ignore[operator]
    close(merged("svd", several, rank=8), total)  # type: ignore[arg-type]


@given(seed=seeds, copies=st.integers(1, 4), rank=ranks, density=st.floats(0.1, 1))
def test_a_module_with_itself_is_itself(seed: int, copies: int, rank: int, density: float) -> None:
    one = factors(seed, rank)
    for how in ("mean", "ties", "dare_ties"):
        options = {} if how == "mean" else {"density": 1.0}
        close(merged(how, [(1.0, one)] * copies, **options), one.dense())
    # Trimmed alike, agreeing everywhere: the largest entries as they were, the others zero.
    trimmed = merged("ties", [(1.0, one)] * 2, density=density)
    kept = trimmed != 0
    assert int(kept.sum()) <= math.ceil(density * kept.numel())
    close(trimmed[kept], one.dense()[kept])


def test_ties_by_hand() -> None:
    a, b, c = (Factors(torch.eye(2), torch.tensor(rows)) for rows in (
        [[4.0, 1.0], [0.1, -3.0]], [[2.0, -5.0], [0.2, -1.0]], [[-1.0, -1.0], [0.0, 2.0]],
    ))  # fmt: skip
    got = merged("ties", [(1.0, a), (1.0, b), (1.0, c)], density=1.0)
    close(got, torch.tensor([[3.0, -3.0], [0.15, -2.0]]))
    close(merged("ties", [(1.0, a), (1.0, b)], density=0.5), torch.tensor([[3.0, -5.0], [0.0, -3.0]]))


@pytest.mark.parametrize("how", ["dare_linear", "dare_ties"])
def test_dare_draws_from_a_generator_of_its_own(how: str) -> None:
    terms = [(1.0, factors(1, 3)), (1.0, factors(2, 4))]
    state = torch.get_rng_state()
    first = merged(how, terms)
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(3)
    assert torch.equal(merged(how, terms), first)
    assert not torch.equal(merged(how, terms, seed=1), first)


def test_dare_keeps_the_expected_update() -> None:
    terms = [(0.6, factors(1, 3)), (0.4, factors(2, 4))]
    runs = torch.stack([merged("dare_linear", terms, density=0.5, seed=n) for n in range(400)])
    assert (runs.mean(0) - merged("cat", terms)).abs().max() < 0.12
    assert (runs[0] == 0).float().mean() > 0.1


def peft_merge(how: str, terms: list[tuple[float, Factors]], **options: object) -> Tensor:
    """The update that peft's own ``add_weighted_adapter`` makes of the same modules."""

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.query = nn.Linear(8, 12)

    model: PeftModel | None = None
    for i, (_, f) in enumerate(terms):
        config = LoraConfig(r=f.rank, lora_alpha=int(f.scale * f.rank), target_modules=["query"])
        if model is None:
            model = PeftModel(Net(), config, adapter_name=f"m{i}")  # type: ignore[arg-type]
        else:
            model.add_adapter(f"m{i}", config)
        layer = model.base_model.model.query
        layer.lora_A[f"m{i}"].weight.data = f.down.clone()
        layer.lora_B[f"m{i}"].weight.data = f.up
    assert model is not None
    names = [f"m{i}" for i in range(len(terms))]
    model.base_model.add_weighted_adapter(
        names, [w for w, _ in terms], "merged", combination_type=how, **options
    )
    return model.base_model.model.query.get_delta_weight("merged").detach()  # type: ignore[no-any-return]


@pytest.mark.parametrize("weights", [(1.0, 1.0), (0.7, 0.3), (1.0, -0.5)])
def test_merges_equal_pefts(weights: tuple[float, float]) -> None:
    two = [(w, factors(n, 4, 2.0)) for n, w in enumerate(weights)]
    for how in ("linear", "cat"):
        close(merged(how, two), peft_merge(how, two))
    if Version(version("peft")) < Version("0.21"):  # its svd and ties_svd scaled each module twice
        two = [(w, replace(f, scale=1.0)) for w, f in two]
    close(merged("svd", two), peft_merge("svd", two))
    cut = merged("ties", two, density=0.4, rank=8)
    close(cut, peft_merge("ties_svd", two, density=0.4, svd_rank=8))
    mixed = [(w, factors(n, 2 + n, 1.0)) for n, w in enumerate(weights)]
    for how in ("cat", "svd"):
        close(merged(how, mixed), peft_merge(how, mixed))


def test_linear_is_not_a_sum_of_effects() -> None:
    two = [(1.0, factors(1, 4)), (1.0, factors(2, 4))]
    assert (merged("linear", two) - merged("cat", two)).abs().max() > 0.1


@given(a=seeds, b=seeds, r=ranks, s=ranks)
def test_the_inner_product_needs_no_full_matrix(a: int, b: int, r: int, s: int) -> None:
    one, other = factors(a, r), factors(b, s)
    assert inner_product(one, other) == pytest.approx(float((one.dense() * other.dense()).sum()), abs=1e-5)


# -- on a backbone ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def loras(backbone: Backbone) -> list[Part]:
    """Mixed ranks, layers and targets; the last is rank-stabilised."""
    return [
        module(backbone, LoRA(r=4), 1),
        module(backbone, LoRA(r=2, targets="qv"), 2),
        module(backbone, LoRA(r=3, layers="top2"), 3),
        module(backbone, LoRA(r=4, alpha=4), 4, scaling=4 / math.sqrt(4)),
    ]


def one_of(how: str, part: Element) -> Merged:
    return Merged(f"{how}(a)", how, ((1.0, part),))


@pytest.mark.parametrize("how", WAYS)
def test_a_mounted_merge_of_one_is_that_module(backbone: Backbone, loras: list[Part], how: str) -> None:
    for part in loras:
        torch.testing.assert_close(
            outputs(backbone, one_of(how, part)), outputs(backbone, part), atol=2e-6, rtol=0
        )


def test_scaling_of_its_own_is_what_the_update_is_multiplied_by(
    backbone: Backbone, loras: list[Part]
) -> None:
    last = loras[-1]
    plain = Part("plain", LoRA(r=4, alpha=8), last.weights)  # alpha / r = 2 = 4 / sqrt(4)
    torch.testing.assert_close(outputs(backbone, last), outputs(backbone, plain), atol=1e-6, rtol=0)


@pytest.mark.parametrize("fold", [False, "cat", True])
def test_cat_is_the_modules_on_one_another(backbone: Backbone, loras: list[Part], fold: bool | str) -> None:
    cat = Merged("cat", "cat", tuple((1.0, part) for part in loras))
    stacked = outputs(backbone, *loras)
    torch.testing.assert_close(outputs(backbone, cat, fold=fold), stacked, atol=1e-5, rtol=0)
    torch.testing.assert_close(outputs(backbone, *loras, fold=fold), stacked, atol=1e-5, rtol=0)


def test_merges_nest_and_take_what_is_dropped(backbone: Backbone, loras: list[Part]) -> None:
    a, b, c, _ = loras
    inner_mean = Merged("mean(a, b)", "mean", ((1.0, a), (1.0, b)))
    nested = Merged("n", "mean", ((2.0, inner_mean), (1.0, Dropped(c, 3, 3))))
    flat = Merged("f", "mean", ((1.0, a), (1.0, b), (1.0, Dropped(c, 3, 3))))
    torch.testing.assert_close(outputs(backbone, nested), outputs(backbone, flat), atol=1e-6, rtol=0)
    ties = Merged("t", "ties", ((1.0, nested), (0.5, a)), {"density": 0.5})
    for fold in ("cat", True):
        torch.testing.assert_close(
            outputs(backbone, ties, c, fold=fold), outputs(backbone, ties, c), atol=1e-5, rtol=0
        )


def test_a_module_is_trained_above_a_merge(backbone: Backbone, loras: list[Part]) -> None:
    below = Merged("mean", "mean", tuple((1.0, part) for part in loras))
    for method in (LoRA(r=2), Bottleneck()):
        mounted = mount(backbone, [below, Part("new", method, None)], seed=(1,))
        mounted.encode(BATCH).square().sum().backward()
        assert mounted.trainable
        assert all(p.grad is not None for p in mounted.trainable.values())
    backbone.verify()


def test_a_merge_is_saved_as_one_lora_module(backbone: Backbone, loras: list[Part]) -> None:
    for how in ("mean", "ties"):
        merge_ = Merged("m", how, tuple((1.0, part) for part in loras))
        shapes = linear_shapes(backbone)
        method, weights = lora_of([effect_of(merge_, shapes)], shapes)
        whole = outputs(backbone, Part("one", method, weights))
        torch.testing.assert_close(whole, outputs(backbone, merge_), atol=1e-5, rtol=0)
    only = Merged("m", "mean", ((1.0, Dropped(loras[0], 0, 2)),))
    method, _ = lora_of([effect_of(only, shapes)], shapes)
    assert str(method) == "lora(r=4, alpha=4, layers=top1)"


def test_a_merge_that_changes_nothing_is_an_error(backbone: Backbone, loras: list[Part]) -> None:
    a = loras[0]
    nothing = Merged("a - a", "cat", ((1.0, a), (-1.0, copy.deepcopy(a))))
    dead = Part("dead", a.method, {k: torch.zeros_like(w) for k, w in (a.weights or {}).items()})
    for element in (nothing, Merged("m", "mean", ((1.0, a), (1.0, dead)))):
        with pytest.raises(UserError, match="changes nothing"):
            mount(backbone, [element])


def test_what_cannot_be_merged_is_refused(backbone: Backbone, loras: list[Part]) -> None:
    a, b = loras[:2]
    bottleneck = module(backbone, Bottleneck(), 1)
    full = Part("f", Full(), {})
    new = Part("new", LoRA(r=4), None)
    with pytest.raises(UserError, match="did you mean 'ties'"):
        Merged("m", "tis", ((1.0, a),))
    with pytest.raises(UserError, match="density"):
        Merged("m", "ties", ((1.0, a),), {"density": 1.5})
    with pytest.raises(UserError, match="options of mean: none"):
        Merged("m", "mean", ((1.0, a),), {"density": 0.5})
    with pytest.raises(UserError, match="bottleneck and lora"):
        Merged("m", "mean", ((1.0, a), (1.0, bottleneck)))
    with pytest.raises(UserError, match="combines full"):
        Merged("m", "mean", ((1.0, full),))
    with pytest.raises(UserError, match="ties of bottleneck"):
        Merged("m", "ties", ((1.0, bottleneck),))
    with pytest.raises(UserError, match="not trained yet"):
        Merged("m", "mean", ((1.0, new),))
    with pytest.raises(UserError, match="combines nothing"):
        Merged("m", "mean", ())
    with pytest.raises(UserError, match="sum above 0"):
        Merged("m", "mean", ((1.0, a), (-1.0, b)))
    with pytest.raises(UserError, match="differ in rank"):
        mount(backbone, [Merged("m", "linear", ((1.0, a), (1.0, b)))])
    with pytest.raises(UserError, match="does not fit this backbone"):
        mount(backbone, [Merged("m", "mean", ((1.0, Part("x", LoRA(r=3), a.weights)),))])
    fused = Fused("f", (bottleneck,), {})
    with pytest.raises(UserError, match="a fusion of bottleneck"):
        Merged("m", "mean", ((1.0, fused),))
