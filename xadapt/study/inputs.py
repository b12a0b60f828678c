"""Examples and their items, loaded and encoded once a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from xadapt.common.errors import UserError
from xadapt.common.randomness import generator
from xadapt.data.lazy import Joined, Lazy, Selection
from xadapt.data.reading import sampled
from xadapt.kinds import kind_of
from xadapt.kinds.candidates import counted, with_answers
from xadapt.study.item_cache import Notes, Request, encoded, items_address
from xadapt.study.state import Inputs, Run
from xadapt.study.trunk_cache import with_states
from xadapt.tasks import Task
from xadapt.tasks.examples import Example, notes_of

FAULTS = ("dropped", "repaired", "blank", "NUL")  # of the notes, what a run shows of its data


def load_examples(run: Run, task: Task, lang: str, split: str) -> Sequence[Example]:
    """Examples of one split; never none. Rows that the files lost or had repaired are noted, once a run.

    Raises:
        UserError: there are none, or the files are broken.
    """
    examples = run.source.load(task.name, lang, split)
    if not examples:
        raise UserError(f"{run.source.name} has no {split} examples of {task.name} in {lang}")
    _note(run, task, lang, split, notes_of(run.source, task.name, lang, split))
    return examples


def _note(run: Run, task: Task, lang: str, split: str, counts: Mapping[str, int]) -> None:
    if (task.name, lang, split) in run.notes:
        return
    run.notes[task.name, lang, split] = counts
    faults = [f"{count:,} {name}" for name, count in counts.items() if name in FAULTS]
    if faults:
        run.progress.note(f"{task.name} {split} in {lang}: {', '.join(faults)}")


def load_inputs(
    run: Run,
    task: Task,
    data: Task,
    *,
    languages: Sequence[str],
    split: str,
    max_length: int,
    size: int | None = None,
    sample: int | None = None,
    seed: int = 0,
    depth: int = 0,
    visits: int | None = None,
) -> Inputs:
    """Examples and their items.

    Args:
        task: whose kind encodes them.
        data: whose examples they are.
        languages: in this order, one after the other.
        size: take so many of them, of all languages together, shuffled by ``seed``.
        sample: take so many from all over them (``data.reading.sampled``), whatever the ``seed``.
        depth: with what the backbone's first ``depth`` layers make of them, as far as the run's ``cache_gb``
            allows; 0 without.
        visits: how many items are looked at in all; with fewer than there are, nothing is kept: what is
            looked at once need not be.

    Raises:
        UserError: broken data, or fewer examples than ``size``.
    """
    drawn = seed if size else None
    key = (task.name, data.name, tuple(languages), split, max_length, size, sample, drawn, depth)
    if key not in run.inputs:
        revisions = {lang: run.source.revision(data.name, lang, split) for lang in languages}

        def load() -> tuple[Sequence[Example], Notes]:
            parts = {lang: load_examples(run, data, lang, split) for lang in languages}
            # By the data, not by its name: what two names stand for may be one set.
            chosen = _chosen(parts, data.name, size, sample, (seed, "subset", *revisions.values()))
            return chosen, {lang: dict(run.notes[data.name, lang, split]) for lang in languages}

        request = Request(
            task,
            {"split": split, "revisions": revisions, "size": size, "sample": sample, "seed": drawn},
            load,
            at_most=size if sample is None else sample,
            max_length=max_length,
            training=split == "train",
            shown=f"{data.name} {split} in {', '.join(languages)}",
        )
        pool = run.pools.setdefault((task.name, max_length), {})
        found = encoded(request, run.backbone, run.store, run.progress, pool)
        for lang in languages:
            _note(run, data, lang, split, found.notes[lang])
        items = found.items
        if depth and (visits is None or visits > len(items)):
            items = with_states(
                items,
                items_address(request, run.backbone),
                depth,
                kind_of(task),
                run.backbone,
                run.store,
                run.progress,
                at_most=run.plan.cache_gb,
                shown=request.shown,
            )
        run.inputs[key] = found.examples, items
    return run.inputs[key]


def _chosen(
    parts: Mapping[str, Sequence[Example]],
    name: str,
    size: int | None,
    sample: int | None,
    drawn_from: tuple[object, ...],
) -> Sequence[Example]:
    """The examples of all languages as one sequence, or ``size`` or ``sample`` of them."""
    (first, *others) = parts.values()
    examples = Joined(parts.items()) if others else first
    if size is None:
        return sample_of(examples, sample)
    chosen = counted(examples)
    if size > len(chosen):
        raise UserError(
            f"{name}[{size}]: there are {len(chosen)} training examples",
            do=f"ask for {len(chosen)} at most, or leave the size out",
        )
    order = generator(*drawn_from).permutation(len(chosen))[:size]
    drawn = Selection(chosen, order) if isinstance(chosen, Lazy) else [chosen[i] for i in order]
    return with_answers(drawn if sample is None else sampled(drawn, sample), examples)


def sample_of(examples: Sequence[Example], sample: int | None) -> Sequence[Example]:
    """So many of them, taken evenly, with all that they are answered from; None for all."""
    return examples if sample is None else with_answers(sampled(counted(examples), sample), examples)
