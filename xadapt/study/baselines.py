"""What needs no model: scores beside those of a study's stacks, kept in the store as they are."""

from __future__ import annotations

from xadapt.kinds import kind_of
from xadapt.kinds.candidates import counted
from xadapt.store.store import address_of
from xadapt.study.inputs import load_examples, sample_of
from xadapt.study.results import Baseline
from xadapt.study.state import Run
from xadapt.study.versions import SCORING_VERSION
from xadapt.tasks import Task, asked
from xadapt.tasks.examples import Source


def baseline_scores(run: Run) -> list[Baseline]:
    """The baselines of every task of the plan, in its languages.

    Raises:
        UserError: broken data, a store that cannot be written.
    """
    rows: list[Baseline] = []
    for evaluation in {(e.task.name, e.split): e for e in run.plan.evaluations}.values():
        task, split, sample = evaluation.task, evaluation.split, evaluation.sample
        keys = {lang: _key(run.source, task, split, lang, sample) for lang in evaluation.languages}
        found = {lang: run.store.read_scores(key) for lang, key in keys.items()}
        missing = [lang for lang, cell in found.items() if cell is None]
        if missing:
            with run.progress.stage(f"baselines of {task.name}", None):
                train_rows = run.source.load(task.train, "en", "train") if task.train else ()
                tests = {lang: sample_of(load_examples(run, task, lang, split), sample) for lang in missing}
                scores = kind_of(task).baselines(train_rows, tests)
            for lang in missing:
                by_name = {name: dict(per[lang]) for name, per in scores.items()}
                cell = {"scores": by_name, "n": len(counted(tests[lang]))}
                run.store.write_scores(keys[lang], cell)
                found[lang] = cell
        rows += [
            Baseline(name, task.name, lang, split, metric, score, cell["n"])
            for lang, cell in found.items()
            if cell is not None
            for name, scores_here in cell["scores"].items()
            for metric, score in scores_here.items()
        ]
    return rows


def _key(source: Source, task: Task, split: str, lang: str, sample: int | None) -> str:
    """Where the store keeps the baselines of one language."""
    return address_of(
        {
            "baselines": SCORING_VERSION,
            "task": {"name": task.name, **asked(task)},
            "lang": lang,
            "split": split,
            "revision": source.revision(task.name, lang, split),
            "train": source.revision(task.train, "en", "train") if task.train else None,
        }
        | ({} if sample is None else {"sample": sample})
    )
