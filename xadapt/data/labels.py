"""Label sets that are not in the row: those of a task's training data (CCG supertags)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from xadapt.common.errors import UserError
from xadapt.tasks.examples import Example, Labelling, Source, Tagged
from xadapt.tasks.task import Task

# As usual in supertagging (Clark and Curran 2007): a tag that is seen fewer than RARE times in a
# training set of LARGE sentences or more is no label, and is wrong wherever it is gold.
RARE, LARGE = 10, 10_000


class OpenLabels:
    """Fills in open label sets from one source. What was read is kept, so that asking again costs nothing."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self._known: dict[str, tuple[str, ...]] = {}

    def with_labels(self, task: Task) -> Task:
        """The task with the labels of its English training data; itself where its labels are its row's.

        Raises:
            UserError: the source has no training data for it.
        """
        if not task.open_labels or task.train is None:
            return task
        revision = self.source.revision(task.train, "en", "train")
        if revision not in self._known:
            known = self.source.labels(task.train) if isinstance(self.source, Labelling) else ()
            self._known[revision] = known or labels_of(self.source.load(task.train, "en", "train"))
        return replace(task, labels=self._known[revision])


def labels_of(examples: Sequence[Example]) -> tuple[str, ...]:
    """The tags that tagged examples have, sorted; rare ones only of a small training set.

    Raises:
        UserError: there is none.
    """
    counts = Counter(tag for e in examples if isinstance(e, Tagged) for tag in e.tags or ())
    least = RARE if len(examples) >= LARGE else 1
    labels = tuple(sorted(tag for tag, count in counts.items() if count >= least))
    if not labels:
        raise UserError(
            f"no tag is seen {least} times in {len(examples):,} training examples",
            expected="tagged sentences",
            do="look into the training file",
        )
    return labels
