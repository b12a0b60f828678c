"""What a user's own tasks hold, as the model would see it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from xadapt.backbone.checkpoint import Checkpoint
from xadapt.common.errors import UserError
from xadapt.data.labels import OpenLabels
from xadapt.data.sources import open_source
from xadapt.data.user_tasks import read_tasks
from xadapt.kinds import kind_of
from xadapt.tasks import CATALOGUE
from xadapt.tasks.examples import notes_of


def checked(file: Path, examples: int, backbone: str) -> Iterator[str]:
    """Lines for people: of each task and split how many examples there are in which languages, what was
    dropped, and the first few examples as token texts with their labels.

    Raises:
        UserError: the file, or a file of data, is not right; nothing is there at all.
    """
    catalogue = read_tasks(file)
    source = open_source(str(file.absolute().parent), None, catalogue)
    checkpoint = Checkpoint.named(backbone)  # its weights are not needed
    tokenizer = checkpoint.tokenizer(checkpoint.config())
    for name in (name for name in catalogue if name not in CATALOGUE):
        row = catalogue[name]
        yield f"{name}: {row.kind}, {', '.join(row.metrics)}" + (
            f", labels {', '.join(row.labels)}" if row.labels else ""
        )
        seen = False
        for split in ("train", "dev", "test"):
            for lang in source.languages(name, split):
                rows = source.load(name, lang, split)
                notes = notes_of(source, name, lang, split)
                said = f" ({', '.join(f'{count} {what}' for what, count in notes.items())})" if notes else ""
                yield f"  {split} in {lang}: {len(rows):,} examples{said}"
                if seen:
                    continue
                seen = True
                kind = kind_of(OpenLabels(source).with_labels(row))
                few = rows[:examples]
                for item in kind.encode(few, tokenizer, row.max_length, training=False)[:examples]:
                    for sequence in item.sequences:
                        tokens = tokenizer.convert_ids_to_tokens(list(map(int, sequence)))
                        yield f"    {' '.join(tokens)}"
                    yield f"      -> {_target(few[item.example])}"
        if not seen:
            raise UserError(
                f"{name}: none of its files is there",
                do="see to the paths, which are absolute or relative to the file",
                path=file,
            )


def _target(example: object) -> str:
    """Its label, tags or answers, whatever it has."""
    for name in ("label", "tags", "answers", "target"):
        if hasattr(example, name):
            return f"{name}: {getattr(example, name)}"
    return "no label"
