"""Packed equals padded: outputs and gradients, for every method. Padding exists only here."""

from __future__ import annotations

import adapters
import peft
import pytest
import torch
from adapters import SeqBnConfig
from hypothesis import given
from hypothesis import strategies as st
from tiny import tiny_backbone, tiny_config, tiny_model
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import XLMRobertaXLConfig, XLMRobertaXLModel

from xadapt.backbone.attention import pack_attention
from xadapt.backbone.encoder import encode
from xadapt.backbone.packing import budgeted, pack
from xadapt.kinds.heads import per_sequence
from xadapt.mount import Part, mount
from xadapt.mount.lora import lora_config
from xadapt.stacks.methods import Bottleneck, Full, LoRA

SEQUENCES = [[0, 5, 6, 7, 2], [0, 9, 2], [0, *range(10, 60), 2], [0, 8, 4, 2, 2], [0, 77, 2], [0, 3, 2]]


def padded(model: nn.Module, sequences: list[list[int]], **options: object) -> list[Tensor]:
    """HF's own padded forward, cut back to the sequences."""
    ids = pad_sequence([torch.tensor(s) for s in sequences], batch_first=True, padding_value=1)
    mask = (torch.arange(ids.shape[1]) < torch.tensor([len(s) for s in sequences])[:, None]).long()
    hidden = model(input_ids=ids, attention_mask=mask, **options).last_hidden_state
    return [hidden[i, : len(s)] for i, s in enumerate(sequences)]


def packed(model: nn.Module, sequences: list[list[int]]) -> list[Tensor]:
    batch = pack(sequences)
    hidden = encode(model, batch)
    return [hidden[a : a + n] for a, n in zip(batch.starts.tolist(), batch.lengths.tolist(), strict=True)]


def assert_equal(ours: list[Tensor], theirs: list[Tensor]) -> None:
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=0)


def objective(rows: list[Tensor]) -> Tensor:
    """Something whose gradient depends on every output."""
    return sum((row * torch.linspace(-1, 1, row.numel()).view_as(row)).sum() for row in rows) / 100  # type: ignore[return-value]


@given(st.lists(st.lists(st.integers(4, 299), min_size=1, max_size=40), min_size=1, max_size=12))
def test_the_row_holds_every_sequence_where_it_says(sequences: list[list[int]]) -> None:
    batch = pack(sequences)
    assert len(batch) == len(sequences)
    for i, sequence in enumerate(sequences):
        place = slice(int(batch.starts[i]), int(batch.starts[i] + batch.lengths[i]))
        assert batch.input_ids[place].tolist() == sequence
        assert batch.positions[place].tolist() == list(range(len(sequence)))
        assert set(batch.owner[place].tolist()) == {i}
    assert sum(count * length for _, count, length in batch.groups) == len(batch.input_ids)


@given(st.lists(st.lists(st.integers(4, 299), min_size=1, max_size=40), min_size=1, max_size=8))
def test_no_sequence_sees_its_neighbours(sequences: list[list[int]]) -> None:
    model = pack_attention(tiny_model())
    with torch.no_grad():
        together = packed(model, sequences)
        alone = [packed(model, [s])[0] for s in sequences]
    assert_equal(together, alone)


def test_plain_encoder_equals_hf_at_every_layer() -> None:
    reference = tiny_model()
    ours = pack_attention(tiny_model())
    batch = pack(SEQUENCES)
    with torch.no_grad():
        for layer in range(5):
            ids = torch.tensor([SEQUENCES[2]])
            theirs = reference(ids, output_hidden_states=True).hidden_states[layer][0]
            hidden = encode(ours, batch, layer)
            place = slice(int(batch.starts[2]), int(batch.starts[2] + batch.lengths[2]))
            torch.testing.assert_close(hidden[place], theirs, atol=1e-5, rtol=0)


def test_the_xl_architecture_equals_hf() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = XLMRobertaXLConfig(**{**tiny_config().to_dict(), "model_type": "xlm-roberta-xl"})
        reference = XLMRobertaXLModel(config, add_pooling_layer=False).eval()
    with torch.no_grad():
        theirs = padded(reference, SEQUENCES)
        assert_equal(packed(pack_attention(reference), SEQUENCES), theirs)


def elements_written(objective: Tensor) -> int:
    """By all of a backward pass, views left out."""

    class Counting(TorchDispatchMode):
        total = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            out = func(*args, **(kwargs or {}))
            if not func.is_view:
                made = out if isinstance(out, tuple | list) else [out]
                self.total += sum(t.numel() for t in made if isinstance(t, Tensor))
            return out

    with Counting() as counting:
        objective.backward()
    return counting.total


def test_backward_through_attention_does_not_grow_with_the_number_of_lengths() -> None:
    attention = pack_attention(tiny_model()).encoder.layer[0].attention.self
    written = []
    for lengths in ([20] * 32, [*range(4, 36)]):
        batch = pack([[5] * n for n in lengths])
        hidden = torch.randn(sum(lengths), 32, requires_grad=True)
        written.append(elements_written(attention(hidden, batch).sum()) / sum(lengths))
    assert written[1] < 2 * written[0]


def test_reducing_each_sequence_does_not_grow_with_the_number_of_lengths_in_backward() -> None:
    written = []
    for lengths in ([20] * 32, [*range(4, 36)]):
        batch = pack([[5] * n for n in lengths])
        values = torch.randn(sum(lengths), 4, requires_grad=True)
        reduced = per_sequence(batch, values, lambda rows: rows.sum(dim=1))
        written.append(elements_written(reduced.sum()) / sum(lengths))
    assert written[1] < 2 * written[0]


def test_splitting_the_row_once_gives_the_bits_of_slicing_it_for_each_length() -> None:
    """What attention did before, written out."""
    attention = pack_attention(tiny_model()).encoder.layer[0].attention.self
    batch = pack(SEQUENCES)

    def sliced(hidden: Tensor) -> Tensor:
        rows = []
        projected = [linear(hidden) for linear in (attention.query, attention.key, attention.value)]
        for first, count, length in batch.groups:
            q, k, v = (
                x[first : first + count * length].view(count, length, attention.heads, -1).transpose(1, 2)
                for x in projected
            )
            out = nn.functional.scaled_dot_product_attention(q, k, v)
            rows.append(out.transpose(1, 2).reshape(count * length, -1))
        return torch.cat(rows)

    results = []
    for attend in (sliced, lambda hidden: attention(hidden, batch)):
        hidden = torch.randn(len(batch.input_ids), 32, generator=torch.Generator().manual_seed(0))
        hidden.requires_grad_()
        attention.zero_grad()
        out = attend(hidden)
        objective(list(out)).backward()
        results.append([out, hidden.grad, *(p.grad.clone() for p in attention.parameters())])
    for ours, theirs in zip(*results, strict=True):
        assert torch.equal(ours, theirs)


def test_full_outputs_and_gradients_equal_hf() -> None:
    reference = tiny_model()
    mounted = mount(tiny_backbone(), [Part("a", Full(), None)])
    ours, theirs = packed(mounted.model, SEQUENCES), padded(reference, SEQUENCES)
    assert_equal(ours, theirs)
    objective(ours).backward()
    objective(theirs).backward()
    compared = 0
    for name, parameter in reference.named_parameters():
        if parameter.grad is not None:
            torch.testing.assert_close(mounted.trainable[name].grad, parameter.grad, atol=1e-5, rtol=1e-4)
            compared += 1
    assert compared == len(list(reference.parameters()))


@pytest.mark.parametrize("method", [LoRA(r=4), LoRA(r=2, targets="qv"), LoRA(r=3, layers="top2")], ids=str)
def test_lora_outputs_and_gradients_equal_peft_on_hf(method: LoRA) -> None:
    reference = tiny_model()
    theirs = peft.PeftModel(
        reference, lora_config(method, reference.config.num_hidden_layers), adapter_name="default"
    )
    mounted = mount(tiny_backbone(), [Part("a", method, None)])
    state = peft.get_peft_model_state_dict(theirs)
    assert state.keys() == mounted.trainable.keys()
    same = dict.fromkeys(state)
    for i, (name, parameter) in enumerate(mounted.trainable.items()):
        values = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(i)) * 0.2
        parameter.data.copy_(values)
        same[name] = values
    peft.set_peft_model_state_dict(theirs, same)
    a, b = packed(mounted.model, SEQUENCES), padded(theirs, SEQUENCES)
    assert_equal(a, b)
    objective(a).backward()
    objective(b).backward()
    for name, parameter in theirs.named_parameters():
        if ".default." in name:
            ours = mounted.trainable[name.replace(".default.", ".")]
            torch.testing.assert_close(ours.grad, parameter.grad, atol=1e-5, rtol=1e-4)


def test_bottleneck_outputs_and_gradients_equal_adapters_on_hf() -> None:
    reference = tiny_model()
    adapters.init(reference)
    reference.add_adapter("module", config=SeqBnConfig(reduction_factor=4))
    reference.set_active_adapters("module")
    mounted = mount(tiny_backbone(), [Part("a", Bottleneck(reduction=4), None)])
    theirs = {k: p for k, p in reference.named_parameters() if ".adapters.module." in k}
    assert theirs.keys() == mounted.trainable.keys()
    for i, (name, parameter) in enumerate(mounted.trainable.items()):
        values = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(i)) * 0.2
        parameter.data.copy_(values)
        theirs[name].data.copy_(values)
    a, b = packed(mounted.model, SEQUENCES), padded(reference, SEQUENCES)
    assert_equal(a, b)
    objective(a).backward()
    objective(b).backward()
    for name, parameter in mounted.trainable.items():
        torch.testing.assert_close(parameter.grad, theirs[name].grad, atol=1e-5, rtol=1e-4)


@given(st.lists(st.integers(1, 50), max_size=40), st.integers(1, 100))
def test_budgeted_keeps_order_and_budget(lengths: list[int], budget: int) -> None:
    runs = list(budgeted(lengths, budget))
    assert [i for run in runs for i in run] == list(range(len(lengths)))
    assert all(len(run) == 1 or sum(lengths[i] for i in run) <= budget for run in runs)


def test_an_empty_sequence_is_refused() -> None:
    with pytest.raises(ValueError, match="length 0"):
        pack([[1, 2], []])
