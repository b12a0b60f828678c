"""The scores that a store holds, whichever studies made them, and how expressions compare by them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from xadapt.common.errors import UserError, nearest
from xadapt.statistics.intervals import holm
from xadapt.store.store import Store
from xadapt.study.choosing import Wanted, as_written, chosen, listed
from xadapt.study.evidence import Evidence
from xadapt.study.results import Cell, Finding, is_pocket


class KeptScore(NamedTuple):
    """A score and what else the store says of it.

    Attributes:
        generated: whether its data are.
        revision: of its data.
        created: when it was made, ISO 8601.
    """

    cell: Cell
    generated: bool
    revision: str
    created: str

    @property
    def pocket(self) -> bool:
        """Whether it is evidence for nothing about real languages."""
        return self.generated or is_pocket(self.cell.backbone)


@dataclass(frozen=True)
class Kept:
    """What a store holds.

    Attributes:
        scores: by task, metric, expression, language and seed, English first, then oldest first. Several may
            be of the same names: of other settings of training, of other items, of another revision.
        unnamed: files of scores that do not say what they are of: made before files said so.
    """

    scores: tuple[KeptScore, ...]
    unnamed: int

    @property
    def cells(self) -> tuple[Cell, ...]:
        """The scores alone."""
        return tuple(score.cell for score in self.scores)

    def select(
        self,
        *,
        task: Wanted = None,
        lang: Wanted = None,
        expr: Wanted = None,
        seed: Wanted = None,
        backbone: Wanted = None,
        method: Wanted = None,
        split: Wanted = None,
        metric: Wanted = None,
    ) -> Kept:
        """Fewer of them: one value or several of each; None for all.

        Raises:
            UserError: no score is of that, or of all that at once.
        """
        wanted = {
            "task": task, "lang": lang, "expr": expr, "seed": seed, "backbone": backbone,
            "method": method, "split": split, "metric": metric,
        }  # fmt: skip
        return replace(self, scores=tuple(chosen(self.scores, lambda score: score.cell, **wanted)))


def kept_scores(store: Store) -> Kept:
    """All scores of a store; expressions in the form that stacks print.

    Raises:
        UserError: the disk refuses.
    """
    scores: list[KeptScore] = []
    unnamed = 0
    for key, file in store.all_scores():
        found = _read(key, file)
        scores += found
        unnamed += not found and not _of_no_model(file)
    scores.sort(key=_order)
    return Kept(tuple(scores), unnamed)


def _read(key: str, file: dict[str, Any]) -> list[KeptScore]:
    """A file's scores, one a metric; none where it does not say what they are of."""
    try:
        about, n = file["about"], file["n"]
        named = {
            field: about[field]
            for field in ("seed", "task", "lang", "split", "layer", "module", "backbone", "method", "data")
        }
        cells = [
            Cell(
                expr=as_written(expr),
                metric=metric,
                score=score,
                n=n,
                key=key,
                instead=about.get("instead", ""),  # of earlier versions: nothing was ever exchanged
                **named,
            )
            for expr in (about["expr"], *about.get("also", ()))
            for metric, score in file["scores"].items()
        ]
        return [KeptScore(c, about["generated"], str(about["revision"]), about["created"]) for c in cells]
    except (KeyError, TypeError, AttributeError):
        return []


def _of_no_model(file: dict[str, Any]) -> bool:
    """Whether these are scores of baselines, which are no module's and are shown beside a run's."""
    scores = file.get("scores")
    return isinstance(scores, dict) and any(isinstance(one, dict) for one in scores.values())


def _order(score: KeptScore) -> tuple[Any, ...]:
    c = score.cell
    # A target alone before what stands on something.
    expr = (c.expr.count(">"), c.expr)
    layer = -1 if c.layer is None else c.layer
    return (c.task, c.metric, layer, *expr, c.lang != "en", c.lang, c.seed, score.created, c.key)


# -- comparisons ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Difference:
    """What an expression gains over another by the scores of a store.

    Attributes:
        finding: its mean over ``languages`` minus the other's, by the seeds that both have.
        languages: in which both have scores of the same items; English only where there is no other.
    """

    finding: Finding
    data: str
    split: str
    layer: int | None
    languages: tuple[str, ...]


@dataclass(frozen=True)
class Compared:
    """Every other expression against one.

    Attributes:
        differences: those of one task and metric are one family for Holm's method.
        older: how many scores a newer one of the same names and items stands for.
        lacking: what could not be compared, and why, for people.
    """

    against: str
    differences: tuple[Difference, ...]
    older: int
    lacking: tuple[str, ...]


class _Setting(NamedTuple):
    """What both sides of a comparison share; languages too, with as many items of one revision."""

    backbone: str
    method: str
    data: str
    task: str
    metric: str
    split: str
    layer: int | None


_ByLang = dict[str, dict[int, list[KeptScore]]]  # language -> seed -> scores, the newest last


def differences(scores: Sequence[KeptScore], against: str, store: Store, resamples: int = 10_000) -> Compared:
    """Each other expression's mean over languages minus that of ``against``, with intervals.

    Only scores of equal backbone, method, data, task, metric, split and layer are compared, and in a
    language only those of as many items of one revision: of several such, the most items. Of scores that
    differ in their module alone the newest counts.

    Raises:
        UserError: there is no score of ``against``, or none of anything else; scores are gone from the store.
    """
    against = as_written(against)
    known = list(dict.fromkeys(s.cell.expr for s in scores))
    if against not in known:
        raise UserError(
            f"no score of '{against}'{nearest(against, known)}", expected=f"one of {listed(known)}"
        )
    if len(known) == 1:
        raise UserError(f"no score of anything but '{against}'", do="evaluate another, or choose less")
    by: dict[_Setting, dict[str, list[KeptScore]]] = {}
    for score in scores:
        by.setdefault(_setting(score.cell), {}).setdefault(score.cell.expr, []).append(score)
    found: list[Difference] = []
    older: set[tuple[str, str]] = set()  # keys and metrics
    lacking: list[str] = []
    for setting, lines in by.items():
        base = lines.pop(against, [])
        for expr, line in lines.items():
            pair = _paired(line, base)
            if isinstance(pair, str):
                lacking.append(f"{expr} ({setting.task}, {setting.metric}): {pair}")
                continue
            found.append(_difference(setting, *pair, store, resamples))
            for side in pair:
                behind = [o.cell for by_seed in side.values() for of in by_seed.values() for o in of[:-1]]
                older.update((cell.key, cell.metric) for cell in behind)
    families: dict[tuple[str, str], list[int]] = {}
    for i, one in enumerate(found):
        families.setdefault((one.finding.task, one.finding.metric), []).append(i)
    for family in families.values():
        adjusted = holm([found[i].finding.estimate for i in family])
        for i, estimate in zip(family, adjusted, strict=True):
            found[i] = replace(found[i], finding=replace(found[i].finding, estimate=estimate))
    return Compared(against, tuple(found), len(older), tuple(lacking))


def _setting(cell: Cell) -> _Setting:
    return _Setting(cell.backbone, cell.method, cell.data, cell.task, cell.metric, cell.split, cell.layer)


def _paired(line: Iterable[KeptScore], base: Iterable[KeptScore]) -> tuple[_ByLang, _ByLang] | str:
    """The scores of both in the languages compared, or why there are none."""
    line, base = list(line), list(base)
    seeds = {score.cell.seed for score in [*line, *base]}
    above, below = _by_items(line, seeds), _by_items(base, seeds)
    if not below:
        return "the other has no score of it"
    sides: tuple[_ByLang, _ByLang] = ({}, {})
    for lang, of in above.items():
        there = below.get(lang, {})
        same = [items for items in of if items in there and there[items].keys() & of[items].keys()]
        if same:
            most = max(same, key=lambda items: (items[0], _newest(of[items])))
            sides[0][lang], sides[1][lang] = of[most], there[most]
    if not sides[0]:
        return "no language in which both have a seed's score of the same items"
    if len(sides[0]) > 1:  # English is what was trained on: it stands for no other language
        for side in sides:
            side.pop("en", None)
    if not set.intersection(*(set(by_seed) for side in sides for by_seed in side.values())):
        return "no seed that both have in all languages"
    return sides


def _by_items(
    scores: Iterable[KeptScore], seeds: Collection[int]
) -> dict[str, dict[tuple[int, str], dict[int, list[KeptScore]]]]:
    """Language -> (number of items, revision) -> seed -> scores, oldest first."""
    found: dict[str, dict[tuple[int, str], dict[int, list[KeptScore]]]] = {}
    for score in sorted(scores, key=lambda score: (score.created, score.cell.key)):
        items = (score.cell.n, score.revision)
        by_seed = found.setdefault(score.cell.lang, {}).setdefault(items, {})
        for seed in seeds if _seedless(score.cell) else [score.cell.seed]:
            by_seed.setdefault(seed, []).append(score._replace(cell=replace(score.cell, seed=seed)))
    return found


def _seedless(cell: Cell) -> bool:
    """Whether it is of the bare backbone and a head without weights: one score, the same with every seed."""
    return cell.module is None and ">" not in cell.expr


def _newest(by_seed: dict[int, list[KeptScore]]) -> str:
    return max(found[-1].created for found in by_seed.values())


def _difference(
    setting: _Setting, above: _ByLang, below: _ByLang, store: Store, resamples: int
) -> Difference:
    sides = [[of[-1].cell for by_seed in side.values() for of in by_seed.values()] for side in (above, below)]
    evidence = Evidence([*sides[0], *sides[1]], store, resamples)
    row, other = evidence.rows()[0], evidence.rows()[-1]
    languages = tuple(sorted(above))
    (estimate,) = evidence.estimate([evidence.mean(row, languages) - evidence.mean(other, languages)])
    gain = Finding(row.backbone, row.method, row.task, row.metric, row.expr, "gain", other.expr, estimate)
    return Difference(gain, setting.data, setting.split, setting.layer, languages)
