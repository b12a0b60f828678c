"""The ``README.md`` of an exported folder: what it is, and a few lines of Python that run where it lies."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from xadapt.backbone.backbone import POCKETS, Backbone
from xadapt.interop.export import Export
from xadapt.store.summary import facts
from xadapt.tasks import CATALOGUE

# kind -> HF's pipeline, its options, and what is asked of it. A head of another kind has none: ``CHOOSE``.
PIPELINES: Mapping[str, tuple[str, str, str]] = {
    "classify": ("text-classification", "", '"A man sleeps."'),
    "tag": ("token-classification", 'aggregation_strategy="first"', '"Anna lives in Berlin"'),
    "extract": (
        "question-answering",
        "",
        'question="Where does Anna live?", context="Anna lives in Berlin."',
    ),
    "mlm": ("fill-mask", "", '"Anna lives in <mask>."'),
}
PAIR = '{"text": "A man sleeps.", "text_pair": "He is awake."}'
ENCODER = ("feature-extraction", "", '"A man sleeps."')
CHOOSE = """\
batch = tokenizer(["The glass fell."] * 2, ["It broke.", "It flew away."], padding=True, return_tensors="pt")
print(model(**{name: ids.unsqueeze(0) for name, ids in batch.items()}).logits.softmax(-1))"""


def write_card(
    folder: Path, exported: Export, backbone: Backbone, code: str, *, library: str, notes: str = ""
) -> None:
    """Write it.

    Args:
        code: Python that runs with ``folder`` as the working folder.
        library: that the hub shows the folder under.
        notes: paragraphs behind the code.
    """
    manifest = exported.top.manifest
    head = [f"library_name: {library}"]
    if on_hub(backbone):
        head.append(f"base_model: {backbone.name}")
    if name := pipeline_of(exported):
        head.append(f"pipeline_tag: {name[0]}")
    says = "its encoder alone" if not exported.head else f"{manifest.get('kind')}: {manifest.get('task')}"
    labels = ", ".join(map(str, manifest.get("labels", ()))) if exported.head else ""
    lines = ["---", *head, "---", "", f"# {exported.shown}", ""]
    lines += [f"{says}{f' ({labels})' if labels else ''}, on {backbone.name}. In this folder:", ""]
    lines += ["```python", code.strip(), "```", "", 'Elsewhere, its path or hub id stands for `"."`.', ""]
    lines += [notes.strip(), ""] if notes else []
    lines += [f"- {key}: {value}" for key, value in facts(manifest).items() if key != "expression"]
    (folder / "README.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def on_hub(backbone: Backbone) -> bool:
    """Whether its name is one that HF's libraries find on any machine."""
    return backbone.name not in POCKETS and not Path(backbone.name).expanduser().exists()


def pipeline_of(exported: Export) -> tuple[str, str, str] | None:
    """HF's pipeline for the head, its options, and what to ask; None where HF has none."""
    manifest: Mapping[str, Any] = exported.top.manifest
    if not exported.head:
        return ENCODER
    found = PIPELINES.get(manifest["kind"])
    if manifest["kind"] == "classify" and manifest.get("task") in CATALOGUE:  # all of which compare two texts
        return "text-classification", "", PAIR
    return found


def pipeline_code(exported: Export, model: str = '"."', opened: str = "", imported: str = "") -> str:
    """Lines that open the folder and print an answer.

    Args:
        model: what a pipeline is given for its model.
        opened: a line that makes it, where it is a name.
        imported: what that line needs.
    """
    found = pipeline_of(exported)
    tokenizer = ', tokenizer="."' if opened else ""
    if found is not None:
        name, options, given = found
        if not exported.head and not opened:
            options = 'model_kwargs={"add_pooling_layer": False}'  # which was not trained
        asked = f'ask = pipeline("{name}", {model}{tokenizer}{f", {options}" if options else ""})'
        shown = f"ask({given})" if exported.head else f"ask({given})[0][0][:3]"
        lines = [imported, "from transformers import pipeline", opened, asked, f"print({shown})"]
    else:
        auto = "AutoModelForMultipleChoice"
        if not opened:
            imported = f"from transformers import {auto}, AutoTokenizer"
            opened = f'model = {auto}.from_pretrained(".")'
        else:
            imported += "\nfrom transformers import AutoTokenizer"
        lines = [imported, opened, 'tokenizer = AutoTokenizer.from_pretrained(".")', CHOOSE]
    return "\n".join(line for line in lines if line)
