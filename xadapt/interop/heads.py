"""Heads in three forms: xadapt's, that of HF's ``AutoModelFor...``, and that of ``adapters``.

    kind      HF class                            xadapt            HF
    classify  AutoModelForSequenceClassification  dense, out_proj   classifier.dense, classifier.out_proj
    choose    AutoModelForMultipleChoice          dense, out_proj   roberta.pooler.dense, classifier
    tag       AutoModelForTokenClassification     classifier        classifier
    extract   AutoModelForQuestionAnswering       qa_outputs        qa_outputs
    mlm       AutoModelForMaskedLM                dense, layer_norm lm_head.dense, lm_head.layer_norm
                                                  bias              lm_head.bias

HF's multiple choice has no layer of its own before the last one, but reads the encoder's pooler: dense and
tanh on ``<s>``, which is what xadapt's head does first. All the others are HF's own. So each maps exactly.
A masked language model's output embeddings are the encoder's (``tied``): it goes out as plain weights only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import transformers
from torch import Tensor

from xadapt.common.errors import UserError
from xadapt.tasks import Task


@dataclass(frozen=True)
class Form:
    """How a kind's head is called elsewhere.

    Attributes:
        auto: HF's class.
        peft: PEFT's task type; None where it has none.
        save: the modules of HF's class that hold the head.
        hf: xadapt's linear -> HF's.
        flex: ``adapters``' type of head; its linears follow one another, with dropout and tanh between.
        rows: the linear with a row a label, where labels have names; else empty.
        tied: a weight of HF's class -> the one that it equals, by HF's names.
    """

    auto: Any
    peft: str | None
    save: tuple[str, ...]
    hf: Mapping[str, str]
    flex: str
    rows: str = ""
    tied: Mapping[str, str] = field(default_factory=dict)


FORMS: Mapping[str, Form] = {
    "classify": Form(
        transformers.AutoModelForSequenceClassification,
        "SEQ_CLS",
        ("classifier",),
        {"dense": "classifier.dense", "out_proj": "classifier.out_proj"},
        "classification",
        "out_proj",
    ),
    "choose": Form(
        transformers.AutoModelForMultipleChoice,
        None,
        ("classifier", "pooler"),
        {"dense": "roberta.pooler.dense", "out_proj": "classifier"},
        "multiple_choice",
    ),
    "tag": Form(
        transformers.AutoModelForTokenClassification,
        "TOKEN_CLS",
        ("classifier",),
        {"classifier": "classifier"},
        "tagging",
        "classifier",
    ),
    "extract": Form(
        transformers.AutoModelForQuestionAnswering,
        "QUESTION_ANS",
        ("qa_outputs",),
        {"qa_outputs": "qa_outputs"},
        "question_answering",
    ),
}

# What goes out as plain weights; neither PEFT nor ``adapters`` takes a head whose weights are the encoder's.
MERGED_FORMS: Mapping[str, Form] = {
    **FORMS,
    "mlm": Form(
        transformers.AutoModelForMaskedLM,
        None,
        (),
        {"": "lm_head", "dense": "lm_head.dense", "layer_norm": "lm_head.layer_norm"},
        "masked_lm",
        tied={
            "lm_head.decoder.weight": "roberta.embeddings.word_embeddings.weight",
            "lm_head.decoder.bias": "lm_head.bias",
        },
    ),
}


def form_of(
    manifest: Mapping[str, Any], head: Mapping[str, Tensor], forms: Mapping[str, Form] = FORMS
) -> Form | None:
    """The form of a stored module's head; None for a module without one.

    Args:
        forms: those that can be written, by kind.

    Raises:
        UserError: a head of another kind.
    """
    if not head:
        return None
    if manifest.get("kind") not in forms:
        elsewhere = "--to merged, or " if manifest.get("kind") in MERGED_FORMS else ""
        raise UserError(
            f"there is no class for the head of {manifest.get('task')} ({manifest.get('kind')})",
            expected=f"a module of the kind {', '.join(forms)}",
            do=f"export it {elsewhere}without its head (--no-head), or use it with xadapt",
        )
    return forms[manifest["kind"]]


def to_hf(form: Form, head: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A stored head under the names of HF's class."""
    return {_renamed(key, form.hf): tensor for key, tensor in head.items()}


def from_hf(form: Form, found: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """HF's names to xadapt's.

    Raises:
        UserError: weights missing, or of another head.
    """
    back = {hf_name: own for own, hf_name in form.hf.items()}
    wanted = {f"{name}.{part}" for name in back for part in ("weight", "bias")}
    if missing := sorted(wanted - found.keys()):
        reason = (
            " (HF's multiple choice reads the encoder's pooler: save it too)"
            if "pooler" in str(missing)
            else ""
        )
        raise UserError(f"the head lacks {', '.join(missing)}{reason}", **_without(path, sorted(wanted)))
    if extra := sorted(found.keys() - wanted):
        raise UserError(
            f"weights that are not this kind of head's: {', '.join(extra)}", **_without(path, sorted(wanted))
        )
    return {_renamed(key, back): tensor for key, tensor in found.items()}


def ordered(
    form: Form, head: dict[str, Tensor], task: Task, labels: Sequence[str] | None, path: Path
) -> dict[str, Tensor]:
    """The head with its rows in the order of the task's labels.

    Args:
        labels: what the rows stand for; None where the source does not say.

    Raises:
        UserError: another number of labels, other names, or no names.
    """
    if not form.rows:
        return head
    rows = head[f"{form.rows}.weight"].shape[0]
    if rows != len(task.labels):
        raise UserError(
            f"a head for {rows} labels",
            expected=f"{len(task.labels)}, as {task.name} has: {', '.join(task.labels)}",
            do="name the task that the module was trained on, or leave the head out by --no-head",
            path=path,
        )
    if labels is None:
        raise UserError(
            f"the folder does not say what the {rows} rows of its head stand for",
            expected=f"an order of {', '.join(task.labels)}",
            do=f"give it in the head's order, such as --labels {','.join(task.labels)}",
            path=path,
        )
    if sorted(labels) != sorted(task.labels):
        raise UserError(
            f"a head for the labels {', '.join(labels)}",
            expected=f"those of {task.name}, in any order: {', '.join(task.labels)}",
            do="say what the rows stand for by --labels, or leave the head out by --no-head",
            path=path,
        )
    order = [list(labels).index(label) for label in task.labels]
    return {key: tensor[order] if key.startswith(f"{form.rows}.") else tensor for key, tensor in head.items()}


def label_config(
    form: Form | None, manifest: Mapping[str, Any], head: Mapping[str, Tensor]
) -> dict[str, Any]:
    """``id2label`` and ``label2id`` for an HF configuration; empty where labels have no names."""
    labels = list(manifest.get("labels", ()))
    if form is None or not form.rows:
        return {}
    rows = head[f"{form.rows}.weight"].shape[0]
    if len(labels) != rows:
        raise UserError(
            f"module {manifest.get('address')} names {len(labels)} labels for the {rows} rows of its head",
            do="train it again with this version of xadapt",
        )
    return {"id2label": dict(enumerate(labels)), "label2id": {label: i for i, label in enumerate(labels)}}


def to_flex(form: Form, head: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """A stored head under the names that ``adapters`` gives the layers of a head called ``name``."""
    layers = {own: f"heads.{name}.{1 + 3 * i}" for i, own in enumerate(form.hf)}
    return {_renamed(key, layers): tensor for key, tensor in head.items()}


def from_flex(form: Form, found: Mapping[str, Tensor], name: str, path: Path) -> dict[str, Tensor]:
    """``adapters``' names to xadapt's; UserError as ``from_hf``."""
    layers = {f"heads.{name}.{1 + 3 * i}": hf_name for i, hf_name in enumerate(form.hf.values())}
    renamed = {_renamed(key, layers, keep=True): tensor for key, tensor in found.items()}
    return from_hf(form, renamed, path)


def _renamed(key: str, names: Mapping[str, str], *, keep: bool = False) -> str:
    module, _, parameter = key.rpartition(".")
    return key if keep and module not in names else f"{names[module]}.{parameter}"


def _without(path: Path, wanted: Sequence[str]) -> dict[str, Any]:
    do = "name a task of the head's kind, or leave the head out by --no-head"
    return {"expected": ", ".join(wanted), "do": do, "path": path}
