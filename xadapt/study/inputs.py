"""Examples and their items, loaded and encoded once a run; large sets are kept on disk beyond it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from xadapt.backbone.backbone import Backbone
from xadapt.common.errors import UserError
from xadapt.common.progress import Watch
from xadapt.common.randomness import generator
from xadapt.data.lazy import Joined, Lazy, Taken
from xadapt.data.reading import sampled
from xadapt.kinds.kind import Item
from xadapt.kinds.pools import completed, counted
from xadapt.store.store import Store
from xadapt.study.item_cache import Encoder, Wanted
from xadapt.tasks import Task
from xadapt.tasks.examples import Example, Source, notes_of

FAULTS = ("dropped", "repaired", "blank", "NUL")  # of the notes, what a run says of its data
Both = tuple[Sequence[Example], Sequence[Item]]


class Data:
    """What one run reads of a source."""

    def __init__(self, source: Source, backbone: Backbone, store: Store, watch: Watch) -> None:
        self.source, self.watch = source, watch
        self._encoder = Encoder(backbone, store, watch)
        self._encoded: dict[tuple[Any, ...], Both] = {}
        self._notes: dict[tuple[str, str, str], Mapping[str, int]] = {}

    def examples(self, task: Task, lang: str, split: str) -> Sequence[Example]:
        """Examples of one split; never none. Rows that the files lost or had repaired are said, once."""
        examples = self.source.load(task.name, lang, split)
        if not examples:
            raise UserError(f"{self.source.name} has no {split} examples of {task.name} in {lang}")
        self._note(task, lang, split, notes_of(self.source, task.name, lang, split))
        return examples

    def notes(self, task: Task, lang: str, split: str) -> Mapping[str, int]:
        """What was dropped, repaired or found odd in examples that this run has loaded, or found encoded."""
        return self._notes.get((task.name, lang, split), {})

    def _note(self, task: Task, lang: str, split: str, counts: Mapping[str, int]) -> None:
        if (task.name, lang, split) in self._notes:
            return
        self._notes[task.name, lang, split] = counts
        faults = [f"{count:,} {name}" for name, count in counts.items() if name in FAULTS]
        if faults:
            self.watch.note(f"{task.name} {split} in {lang}: {', '.join(faults)}")

    def encoded(
        self,
        task: Task,
        data: Task,
        *,
        languages: Sequence[str],
        split: str,
        max_length: int,
        size: int | None = None,
        sample: int | None = None,
        seed: int = 0,
    ) -> Both:
        """Examples and their items.

        Args:
            task: whose kind encodes them.
            data: whose examples they are.
            languages: in this order, one after the other.
            size: take so many of them, of all languages together, shuffled by ``seed``.
            sample: take so many from all over them (``data.reading.sampled``), whatever the ``seed``.
        """

        def noted(kept: Mapping[str, Mapping[str, int]]) -> None:
            for lang in languages:
                self._note(data, lang, split, kept[lang])

        drawn = seed if size else None
        key = (task.name, data.name, tuple(languages), split, max_length, size, sample, drawn)
        if key not in self._encoded:
            revisions = {lang: self.source.revision(data.name, lang, split) for lang in languages}
            which = {"split": split, "revisions": revisions}
            self._encoded[key] = self._encoder(
                Wanted(
                    task,
                    which | {"size": size, "sample": sample, "seed": drawn},
                    lambda: self._chosen(data, languages, split, size, sample, seed),
                    at_most=size if sample is None else sample,
                    max_length=max_length,
                    training=split == "train",
                    shown=f"{data.name} {split} in {', '.join(languages)}",
                    notes=lambda: {lang: dict(self.notes(data, lang, split)) for lang in languages},
                    noted=noted,
                )
            )
        return self._encoded[key]

    def _chosen(
        self,
        data: Task,
        languages: Sequence[str],
        split: str,
        size: int | None,
        sample: int | None,
        seed: int,
    ) -> Sequence[Example]:
        parts = [self.examples(data, lang, split) for lang in languages]
        examples = parts[0] if len(parts) == 1 else Joined(zip(languages, parts, strict=True))
        if size is None and sample is None:
            return examples
        chosen = counted(examples)
        if size is not None:
            if size > len(chosen):
                raise UserError(
                    f"{data.name}[{size}]: there are {len(chosen)} training examples",
                    do=f"ask for {len(chosen)} at most, or leave the size out",
                )
            # By the data, not by its name: what two names stand for may be one set.
            revisions = [self.source.revision(data.name, lang, split) for lang in languages]
            order = generator(seed, "subset", *revisions).permutation(len(chosen))[:size]
            chosen = Taken(chosen, order) if isinstance(chosen, Lazy) else [chosen[i] for i in order]
        return completed(chosen if sample is None else sampled(chosen, sample), examples)
