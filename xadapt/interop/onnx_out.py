"""A stack with its head for onnxruntime, in float32 and in int8: the one place that knows onnx.

What goes out is the plain model of ``merged``. Before the folder is there, both files have answered a whole
test set of the pocket world, and what they say has been compared with xadapt's own packed outputs. Its texts
need no file, and any text shows whether two programs compute the same.

    kind      inputs (int64)               outputs (float32)
    classify  (batch, tokens)              logits (batch, labels)
    tag       (batch, tokens)              logits (batch, tokens, labels), a word's at its first piece
    extract   (batch, tokens)              start_logits and end_logits (batch, tokens)
    choose    (batch, options, tokens)     logits (batch, options)

Inputs are ``input_ids`` and ``attention_mask``; batch, options and tokens are of any size.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedModel

from xadapt.backbone.backbone import Backbone
from xadapt.backbone.packing import Packed, budgeted, pack
from xadapt.common.errors import UserError
from xadapt.data.pocket.source import Pocket
from xadapt.interop.card import write_card
from xadapt.interop.export import Export
from xadapt.interop.folder import new_folder
from xadapt.interop.heads import form_of
from xadapt.interop.merged import merged
from xadapt.kinds import Item, Kind, kind_of
from xadapt.kinds.heads import first_token_logits, in_float32
from xadapt.mount import mount
from xadapt.tasks import task_named
from xadapt.tasks.examples import Example

# kind -> the task whose test set is answered, and what is left out of its examples: their labels.
CHECKED_ON: Mapping[str, tuple[str, str]] = {
    "classify": ("xnli", "label"),
    "tag": ("panx", "tags"),
    "extract": ("xquad", "answers"),
    "choose": ("xcopa", "label"),
}
LANGUAGE: Final = "de"
OPSET: Final = 17
TOLERANCE: Final = 1e-3
BATCH_TOKENS: Final = 4096
TOO_LARGE: Final = 2**31 - 2**20  # bytes that one onnx file holds; what is above lies beside it

WHOLE, INT8 = "model.onnx", "model-int8.onnx"


@dataclass(frozen=True)
class Agreement:
    """How far two exported files say what xadapt says on a whole test set of the pocket world.

    Attributes:
        task, language: of the test set.
        answers: labels, tags, spans or choices that were compared.
        same: how many of them are the same in float32.
        difference: the largest of any logit in float32.
        same_int8, difference_int8: likewise of the quantised file; reported and not asked for.
        megabytes, megabytes_int8: the files' sizes, in 10^6 bytes.
    """

    task: str
    language: str
    answers: int
    same: int
    difference: float
    same_int8: int
    difference_int8: float
    megabytes: float
    megabytes_int8: float

    def __str__(self) -> str:
        return (
            f"Of xadapt's {self.answers:,} answers to the pocket world's {self.task} in {self.language}, "
            f"{WHOLE} ({self.megabytes:,.1f} MB, float32) gives {self.same:,}, logits within "
            f"{self.difference:.0e}, and {INT8} ({self.megabytes_int8:,.1f} MB) {self.same_int8:,}, "
            f"within {self.difference_int8:.0e}"
        )


def export_onnx(exported: Export, backbone: Backbone, out: Path) -> Agreement:
    """Write ``model.onnx``, ``model-int8.onnx`` (dynamic quantisation: weights of matrix products and
    embeddings in 8 bits), the configuration with the labels' names, the tokenizer, and a README that runs.

    Args:
        exported: a module with all it stands on, and its head.
        backbone: in float32.
        out: a new or an empty folder.

    Returns:
        how far both files agree with xadapt.

    Raises:
        UserError: the packages are not installed; a bottleneck, no head, or one of another kind; another
            backbone; the float32 file does not say the same, and nothing is written.
    """
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
    except ImportError as error:
        raise UserError("onnx and onnxruntime are not installed", do='pip install "xadapt[onnx]"') from error
    manifest = exported.top.manifest
    if form_of(manifest, exported.head) is None:
        raise UserError(
            f"{exported.shown} without a head answers nothing",
            expected=f"a module with its head, of the kind {', '.join(CHECKED_ON)}",
            do="export its encoder --to merged",
        )
    kind: str = manifest["kind"]
    model = merged(exported, backbone)
    with new_folder(out) as folder:
        write_onnx(model, kind, folder)
        agreement = _agreement(exported, backbone, folder)
        if agreement.difference > TOLERANCE or agreement.same < 0.999 * agreement.answers:
            raise UserError(
                f"onnxruntime does not say what xadapt says. {agreement}",
                expected=f"the same answers, and logits within {TOLERANCE}",
                do="try other versions of torch and onnxruntime, or export it --to merged",
            )
        model.config.save_pretrained(folder)
        backbone.tokenizer.save_pretrained(folder)
        write_card(folder, exported, backbone, _CODE[kind], library="onnx", notes=f"{agreement}.")
    return agreement


def write_onnx(model: PreTrainedModel, kind: str, folder: Path, too_large: int = TOO_LARGE) -> None:
    """Both files, unproven.

    Args:
        too_large: bytes above which weights lie beside their file.
    """
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    axes = ["batch", "options", "tokens"] if kind == "choose" else ["batch", "tokens"]
    outputs = ["start_logits", "end_logits"] if kind == "extract" else ["logits"]
    kept = {"tag": ["batch", "tokens"], "extract": ["batch", "tokens"], "choose": ["batch", "options"]}
    dynamic = {name: dict(enumerate(axes)) for name in ("input_ids", "attention_mask")}
    dynamic |= {name: dict(enumerate(kept.get(kind, ["batch"]))) for name in outputs}
    padding = cast(int, model.config.pad_token_id)
    ids = torch.full((2, 3, 5)[-len(axes) :], padding + 4)
    mask = torch.ones_like(ids)
    mask[0, ..., 3:] = 0
    ids[mask == 0] = padding
    path = folder / WHOLE
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what tracing makes constant; the proof is the test set
        # By tracing: exporting by torch.export (dynamo=True) takes twenty times as long and a package more.
        torch.onnx.export(
            _Plain(model).eval(),
            (ids, mask),
            str(path),
            input_names=["input_ids", "attention_mask"],
            output_names=outputs,
            dynamic_axes=dynamic,
            opset_version=OPSET,
            dynamo=False,
        )
    large = sum(file.stat().st_size for file in folder.iterdir()) > too_large
    if large:  # torch has written a file a tensor: one instead
        whole = onnx.load(str(path))
        for file in folder.iterdir():
            file.unlink()
        onnx.save(whole, str(path), save_as_external_data=True, location=f"{WHOLE}.data")
    root, level = logging.getLogger(), logging.getLogger().level
    root.setLevel(logging.ERROR)  # it advises to prepare the model, which gains nothing here
    try:
        quantize_dynamic(
            str(path), str(folder / INT8), weight_type=QuantType.QInt8, use_external_data_format=large
        )
    finally:
        root.setLevel(level)


class _Plain(nn.Module):
    """A model of HF's with plain arguments and outputs."""

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, ...]:
        return self.model(input_ids=input_ids, attention_mask=attention_mask, return_dict=True).to_tuple()


def _agreement(exported: Export, backbone: Backbone, folder: Path) -> Agreement:
    manifest = exported.top.manifest
    name, truth = CHECKED_ON[manifest["kind"]]
    task = replace(task_named(name), labels=tuple(manifest.get("labels", ())))
    kind = kind_of(task)
    rows: list[Any] = [*Pocket().load(name, LANGUAGE, "test")]
    rows = [replace(row, **{truth: None}) for row in rows]
    length = min(task.max_length, backbone.max_length)
    items = kind.encode(rows, backbone.tokenizer, length, training=False)
    order = sorted(range(len(items)), key=lambda i: len(items[i]))
    batches = [
        [items[order[i]] for i in run] for run in budgeted([len(items[i]) for i in order], BATCH_TOKENS)
    ]
    own = _own(exported, backbone, kind, batches)
    expected = _answers(kind, rows, batches, own)
    found: list[tuple[int, float]] = []
    for file in (WHOLE, INT8):
        theirs = _theirs(folder / file, kind, batches, cast(int, backbone.config.pad_token_id))
        same = sum(a == b for a, b in zip(expected, _answers(kind, rows, batches, theirs), strict=True))
        found.append((same, max(float((a - b).abs().max()) for a, b in zip(own, theirs, strict=True))))
    sizes = [sum(p.stat().st_size for p in folder.glob(f"{file}*")) / 1e6 for file in (WHOLE, INT8)]
    return Agreement(name, LANGUAGE, len(expected), *found[0], *found[1], *sizes)


@torch.inference_mode()
def _own(exported: Export, backbone: Backbone, kind: Kind, batches: Sequence[Sequence[Item]]) -> list[Tensor]:
    """xadapt's logits, (T, outputs) a batch; of kinds that read ``<s>`` the same at all of a sequence."""
    mounted = mount(backbone, exported.elements, fold=True)
    head = kind.head(backbone.config)
    head.load_state_dict(dict(exported.head))
    mounted.model.eval()
    head.eval()
    found = []
    for items in batches:
        batch = _packed(items)
        hidden = mounted.encode(batch.to(mounted.device))
        if kind.serves in ("classify", "choose"):
            found.append(first_token_logits(head, hidden[batch.starts])[batch.owner].cpu())
        else:
            found.append(in_float32(head, hidden).cpu())
    return found


def _theirs(path: Path, kind: Kind, batches: Sequence[Sequence[Item]], padding: int) -> list[Tensor]:
    """The same of an onnx file, on padded input."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    found = []
    for items in batches:
        batch = _packed(items)
        rows = [torch.tensor(ids, dtype=torch.int64) for item in items for ids in item.sequences]
        ids = pad_sequence(rows, batch_first=True, padding_value=padding)
        mask = torch.arange(ids.shape[1]) < batch.lengths.unsqueeze(1)
        given = {"input_ids": ids.numpy(), "attention_mask": mask.long().numpy()}
        if kind.serves == "choose":  # all of a batch as the options of one item
            given = {name: array[None] for name, array in given.items()}
        made = [torch.from_numpy(array) for array in session.run(None, given)]
        if kind.serves == "classify":
            found.append(made[0][batch.owner])
        elif kind.serves == "choose":
            found.append(made[0].reshape(-1, 1)[batch.owner])
        else:
            table = made[0] if kind.serves == "tag" else torch.stack(made, dim=-1)
            found.append(table[batch.owner, batch.positions])
    return found


def _answers(
    kind: Kind, rows: Sequence[Example], batches: Sequence[Sequence[Item]], logits: Sequence[Tensor]
) -> list[Any]:
    """What the kind makes of logits: an answer an example, and where words are tagged an answer a word."""
    items = [item for run in batches for item in run]
    outputs: list[Any] = []
    for run, rated in zip(batches, logits, strict=True):  # which are what the head would make of them
        batch = _packed(run)
        read = kind.reads(batch, run)
        outputs += kind.outputs(nn.Flatten(), rated if read is None else rated[read], batch, run)
    decoded = kind.decode(rows, items, outputs)
    return [tag for tags in decoded for tag in tags] if kind.serves == "tag" else decoded


def _packed(items: Sequence[Item]) -> Packed:
    return pack([np.asarray(ids) for item in items for ids in item.sequences])


_OPENED = """\
import onnxruntime
from transformers import AutoConfig, AutoTokenizer
tokenizer, session = AutoTokenizer.from_pretrained("."), onnxruntime.InferenceSession("model.onnx")
"""
_CODE: Mapping[str, str] = {
    "classify": _OPENED
    + """\
logits = session.run(["logits"], dict(tokenizer("A man sleeps.", "He is awake.", return_tensors="np")))[0]
print(AutoConfig.from_pretrained(".").id2label[logits[0].argmax().item()])""",
    "tag": _OPENED
    + """\
names = AutoConfig.from_pretrained(".").id2label
batch = tokenizer("Anna lives in Berlin", return_tensors="np")
best = session.run(["logits"], dict(batch))[0][0].argmax(-1).tolist()
print([(piece, names[tag]) for piece, tag in zip(batch.tokens(), best)][1:-1])""",
    "extract": _OPENED.replace("AutoConfig, ", "")
    + """\
batch = tokenizer("Where does Anna live?", "Anna lives in Berlin.", return_tensors="np")
start, end = (logits[0].argmax() for logits in session.run(["start_logits", "end_logits"], dict(batch)))
print(tokenizer.decode(batch["input_ids"][0][start : end + 1]))""",
    "choose": _OPENED.replace("AutoConfig, ", "")
    + """\
batch = tokenizer(["The glass fell."] * 2, ["It broke.", "It flew away."], padding=True, return_tensors="np")
logits = session.run(["logits"], {name: ids[None] for name, ids in batch.items()})[0]
print(logits[0].argmax().item())""",
}
