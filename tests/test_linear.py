"""The parts of a packed step equal torch's own: products with low-rank terms, dropout, attention."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from tiny import tiny_backbone, tiny_config
from torch import Tensor, nn
from transformers import XLMRobertaModel, XLMRobertaXLConfig, XLMRobertaXLModel

from xadapt.backbone import attention, blocks
from xadapt.backbone.dropout import Dropout, dropout
from xadapt.backbone.encoder import encode, prepare
from xadapt.backbone.linear import Linear, LowRank, product
from xadapt.backbone.packing import pack
from xadapt.mount import Part, mount
from xadapt.stacks.methods import Bottleneck, LoRA

SEQUENCES = [[0, 5, 6, 7, 2], [0, 9, 2], [0, *range(10, 60), 2], [0, 8, 4, 2, 2], [0, 77, 2]]


def draws(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed + sum(shape)))


def leaves(*tensors: Tensor) -> list[Tensor]:
    return [t.clone().requires_grad_() for t in tensors]


@given(
    st.integers(1, 9),
    st.integers(1, 7),
    st.integers(1, 7),
    st.lists(st.integers(1, 3), max_size=3),
    st.booleans(),
)
def test_a_product_with_terms_equals_torch_in_value_and_in_every_gradient(
    tokens: int, inner: int, out: int, ranks: list[int], bias: bool
) -> None:
    x, weight, shift = draws(tokens, inner), draws(out, inner, seed=1), draws(out)
    thin = [t for r in ranks for t in (draws(r, inner, seed=2), draws(out, r, seed=3))]

    def plain(x: Tensor, weight: Tensor, shift: Tensor, *thin: Tensor) -> Tensor:
        made = F.linear(x, weight, shift if bias else None)
        for i in range(len(ranks)):
            made = made + F.linear(F.linear(x, thin[2 * i]) * (i + 0.5), thin[2 * i + 1])
        return made

    def ours(x: Tensor, weight: Tensor, shift: Tensor, *thin: Tensor) -> Tensor:
        factors = [(thin[2 * i], thin[2 * i + 1], i + 0.5) for i in range(len(ranks))]
        return product(x, weight, shift if bias else None, factors)

    results = []
    for way in (plain, ours):
        given = leaves(x, weight, shift, *thin)
        made = way(*given)
        made.square().sum().backward()
        results.append([made.detach(), *(t.grad for t in given)])
        with torch.no_grad():
            torch.testing.assert_close(way(*given), made)
    for theirs, own in zip(*results, strict=True):
        assert (theirs is None) == (own is None)
        if theirs is not None:
            torch.testing.assert_close(own, theirs, atol=1e-4, rtol=1e-4)


@given(st.integers(1, 9), st.integers(1, 70), st.integers(1, 70), st.integers(0, 2))
def test_gelu_of_a_product_is_torch_s(tokens: int, inner: int, out: int, terms: int) -> None:
    x, weight, shift = draws(tokens, inner), draws(out, inner, seed=1), draws(out)
    factors = [(draws(2, inner, seed=2), draws(out, 2, seed=3), 0.5)] * terms
    x.requires_grad_()
    plain = F.gelu(product(x, weight, shift, factors))
    ours = product(x, weight, shift, factors, gelu=True)
    (slope,) = torch.autograd.grad(plain.square().sum(), x)
    torch.testing.assert_close(torch.autograd.grad(ours.square().sum(), x)[0], slope)
    torch.testing.assert_close(ours, plain)
    with torch.no_grad():
        torch.testing.assert_close(product(x, weight, shift, factors, gelu=True), plain, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("method", [None, LoRA(), LoRA(dropout=0.1), Bottleneck(reduction=4)])
@pytest.mark.parametrize("training", [False, True])
def test_the_blocks_of_a_mounted_stack_give_what_hf_s_give(
    method: LoRA | Bottleneck | None, training: bool
) -> None:
    """Against the same stack with the classes that the libraries put there, gradients too."""
    backbone = tiny_backbone()
    parts = [] if method is None else [Part("a", method, None)]
    found = []
    for way in (lambda model, steps=None: None, blocks.replace_blocks):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("xadapt.mount.replace_blocks", way)
            mounted = mount(backbone, parts, seed=(1,))
        for tensor in mounted.trainable.values():
            tensor.data.normal_(std=0.2, generator=torch.Generator().manual_seed(tensor.numel()))
        (mounted.train if training else mounted.model.eval)()
        hidden = mounted.encode(pack(SEQUENCES))
        found.append((mounted, hidden))
        if mounted.trainable and not (training and isinstance(method, LoRA) and method.dropout):
            hidden.square().sum().backward()
    (plain, theirs), (own, ours) = found
    assert isinstance(own.model.encoder.layer[0].output, blocks.Output)
    assert not isinstance(plain.model.encoder.layer[0].output, blocks.Output)
    if not (training and isinstance(method, LoRA) and method.dropout):  # each draws its own
        torch.testing.assert_close(ours, theirs, atol=2e-5, rtol=1e-5)
        for name, tensor in plain.trainable.items():
            torch.testing.assert_close(own.trainable[name].grad, tensor.grad, atol=1e-4, rtol=1e-4)
    with torch.no_grad():
        plain.model.eval(), own.model.eval()
        assert not torch.allclose(plain.encode(pack(SEQUENCES)), torch.zeros(()), atol=1e-3)
        torch.testing.assert_close(
            own.encode(pack(SEQUENCES)), plain.encode(pack(SEQUENCES)), atol=2e-5, rtol=1e-5
        )


@pytest.mark.parametrize("asked", ["x", "weight", "down", "up"])
def test_no_gradient_is_made_that_nobody_asked_for(asked: str) -> None:
    given = {"x": draws(5, 4), "weight": draws(3, 4), "down": draws(2, 4), "up": draws(3, 2)}
    given[asked].requires_grad_()
    made = product(given["x"], given["weight"], None, [(given["down"], given["up"], 2.0)])
    made.sum().backward()
    assert {name for name, t in given.items() if t.grad is not None} == {asked}


def test_the_input_is_kept_only_where_a_gradient_needs_it() -> None:
    x, weight = draws(5, 4).requires_grad_(), draws(3, 4)
    kept = product(x, weight, None).grad_fn.saved_tensors  # type: ignore[union-attr]
    assert all(t is None or t.data_ptr() != x.data_ptr() for t in kept)


def test_under_autocast_a_product_is_bf16_and_gradients_have_their_parameters_type() -> None:
    x, weight, down, up = leaves(draws(5, 8), draws(6, 8), draws(2, 8), draws(6, 2))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        made = product(x, weight, None, [(down, up, 2.0)])
        want = F.linear(x, weight) + F.linear(F.linear(x, down) * 2.0, up)
    assert made.dtype == torch.bfloat16
    torch.testing.assert_close(made.float(), want.float(), atol=0.2, rtol=0.05)
    made.float().sum().backward()
    assert {t.grad.dtype for t in (x, weight, down, up)} == {torch.float32}  # type: ignore[union-attr]


def test_a_term_with_dropout_drops_its_own_input_alone() -> None:
    linear = Linear(nn.Linear(6, 4))
    linear.terms.append(LowRank(nn.Parameter(draws(2, 6)), nn.Parameter(draws(4, 2)), 1.0, 0.5))
    x = draws(200, 6)
    linear.eval()
    whole = linear(x)
    linear.train()
    added = linear(x) - F.linear(x, linear.weight, linear.bias)
    assert not torch.allclose(added, whole - F.linear(x, linear.weight, linear.bias), atol=1e-3)
    many = torch.stack([linear(x) for _ in range(400)]).mean(0)
    torch.testing.assert_close(many.mean(0), whole.mean(0), atol=0.1, rtol=0)


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_dropout_drops_its_share_and_keeps_the_mean(rate: float) -> None:
    x = torch.ones(400, 501, requires_grad=True)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        out = dropout(x, rate)
        torch.manual_seed(0)
        again = dropout(x, rate)
    assert torch.equal(out, again)
    share = (out == 0).float().mean().item()
    assert share == pytest.approx(rate, abs=4 * math.sqrt(rate * (1 - rate) / x.numel()))
    for k in range(4):  # four values share a draw
        part = (out.reshape(-1)[k::4] == 0).float().mean().item()
        assert part == pytest.approx(rate, abs=8 * math.sqrt(rate * (1 - rate) / x.numel()))
    assert out.mean().item() == pytest.approx(1.0, abs=0.02)
    out.sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad, out.detach())  # what is kept has the gradient that it was scaled by


def test_dropout_of_nothing_or_in_evaluation_changes_nothing() -> None:
    x = draws(3, 4)
    assert dropout(x, 0.0) is x
    assert Dropout(0.5).eval()(x) is x
    assert dropout(draws(0, 4), 0.5).shape == (0, 4)


def reference(
    q: Tensor, k: Tensor, v: Tensor, starts_q: Tensor, starts_k: Tensor, most_q: int, most_k: int,
    rate: float, causal: bool, mask: bool,
) -> tuple[Tensor, ...]:  # fmt: skip
    """What torch's variable-length kernel gives, (T, heads, d): sequence by sequence."""
    assert starts_q.dtype == starts_k.dtype == torch.int32
    assert (rate, causal, mask) == (0.0, False, False)
    assert most_q == most_k == int(starts_q.diff().max())
    rows = []
    for a, b in zip(starts_q[:-1].tolist(), starts_q[1:].tolist(), strict=True):
        one = F.scaled_dot_product_attention(*(x[a:b].transpose(0, 1) for x in (q, k, v)))
        rows.append(one.transpose(0, 1))
    return (torch.cat(rows),)


def test_one_call_for_all_lengths_equals_a_call_for_each(monkeypatch: pytest.MonkeyPatch) -> None:
    batch = pack(SEQUENCES)
    q, k, v = (draws(len(batch.input_ids), 32, seed=i) for i in range(3))
    monkeypatch.setattr(torch.ops.aten, "_flash_attention_forward", reference)
    one = attention.in_one_call(q, k, v, batch, 4, 0.0)
    torch.testing.assert_close(one, attention.by_groups(q, k, v, batch, 4, 0.0), atol=1e-5, rtol=0)


def test_attention_with_dropout_keeps_the_mean() -> None:
    batch = pack(SEQUENCES)
    q, k, v = (draws(len(batch.input_ids), 32, seed=i) for i in range(3))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        many = torch.stack([attention.by_groups(q, k, v, batch, 4, 0.3) for _ in range(600)]).mean(0)
    torch.testing.assert_close(many, attention.by_groups(q, k, v, batch, 4, 0.0), atol=0.25, rtol=0)


@pytest.mark.parametrize("method", [LoRA(), LoRA(layers="top2", dropout=0.1), Bottleneck()])
def test_rows_that_are_read_equal_those_of_all_in_value_and_gradient(method: LoRA | Bottleneck) -> None:
    batch = pack(SEQUENCES)
    rows = torch.tensor([3, 0, 17, 17])
    results = []
    for few in (False, True):
        mounted = mount(tiny_backbone(), [Part("a", method, None)], seed=("rows",))
        for p in mounted.trainable.values():
            p.data += draws(*p.shape) * 0.05
        hidden = mounted.encode(batch, rows=rows) if few else mounted.encode(batch)[rows]
        hidden.square().sum().backward()
        results.append([hidden, *(p.grad for p in mounted.trainable.values())])
    for whole, part in zip(*results, strict=True):
        torch.testing.assert_close(part, whole, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("xl", [False, True])
def test_rows_are_read_at_any_layer_of_both_architectures(xl: bool) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        if xl:
            config = XLMRobertaXLConfig(**{**tiny_config().to_dict(), "model_type": "xlm-roberta-xl"})
            model: XLMRobertaModel = XLMRobertaXLModel(config, add_pooling_layer=False)  # type: ignore[assignment]
        else:
            model = XLMRobertaModel(tiny_config(), add_pooling_layer=False)
    prepare(model.eval())
    batch, rows = pack(SEQUENCES), torch.tensor([4, 1])
    with torch.no_grad():
        for layers in (0, 1, 4):
            torch.testing.assert_close(
                encode(model, batch, layers, rows), encode(model, batch, layers)[rows], atol=1e-5, rtol=0
            )


def test_nothing_is_drawn_below_the_lowest_layer_that_learns() -> None:
    backbone = tiny_backbone(hidden_dropout_prob=0.5, attention_probs_dropout_prob=0.5)
    batch = pack(SEQUENCES)
    top = mount(backbone, [Part("a", LoRA(layers="top1"), None)], seed=("a",))
    top.train()
    assert torch.equal(top.encode(batch, 3), top.encode(batch, 3))
    assert not torch.equal(top.encode(batch), top.encode(batch))
    every = mount(backbone, [Part("a", LoRA(), None)], seed=("a",))
    every.train()
    assert not torch.equal(every.encode(batch, 0), every.encode(batch, 0))
