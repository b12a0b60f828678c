"""In which languages a target is scored: those of its data, less those that its training data hold out."""

from __future__ import annotations

from collections.abc import Sequence

from xadapt.common.errors import UserError, nearest
from xadapt.tasks import Task
from xadapt.tasks.examples import Source


def languages_of(
    task: Task, source: Source, wanted: Sequence[str] | None, split: str | None
) -> tuple[str, tuple[str, ...]]:
    """The split to evaluate on and the languages to do it in.

    Raises:
        UserError: an intermediate task, no data to score on, none of the languages wanted.
    """
    if task.role != "target":
        raise UserError(
            f"{task.name} is an intermediate task: it has no languages to transfer to",
            expected="a target task at the end of a stack",
            do=f"write '{task.name} > xnli', say; 'xadapt tasks' lists the targets",
        )
    split = split or source.test_split(task.name)
    held = held_out(task, source, split)
    there = available(task, source, split)
    if held and not there:
        raise UserError(
            f"{source.name} has no dev set of {task.name}: in {', '.join(held)} the end of the training data "
            "serves as one, and chooses checkpoints only",
            expected="a file to score on: a dev or a test set with labels",
            do="put one there, or name another folder with --data",
        )
    if not there:
        raise UserError(
            f"{source.name} has no {split} data for {task.name}",
            do="see 'xadapt tasks', or name another folder with --data",
        )
    if wanted is None:
        return split, there
    chosen = tuple(lang for lang in there if lang in wanted)
    if not chosen:
        raise UserError(
            f"{task.name} ({split}) has no data in: {', '.join(wanted)}"
            + (nearest(wanted[0], there) if len(wanted) == 1 else ""),
            expected=f"some of {', '.join(there)}, or all",
            do="change --langs",
        )
    return split, chosen


def available(task: Task, source: Source, split: str) -> tuple[str, ...]:
    """The languages that can be scored."""
    held = held_out(task, source, split)
    return tuple(lang for lang in source.languages(task.name, split) if lang not in held)


def held_out(task: Task, source: Source, split: str) -> tuple[str, ...]:
    """The languages whose dev set is held out of the training data: they are not scored."""
    if split != "dev":
        return ()
    return tuple(lang for lang in source.languages(task.name, split) if source.held_out(task.name, lang))
