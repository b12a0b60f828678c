"""From expressions to what must be trained and evaluated; nothing is run here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, cast

from xadapt.backbone.known import Known
from xadapt.common.errors import UserError, nearest
from xadapt.common.text_tables import TextTable, html_first
from xadapt.data.labels import OpenLabels
from xadapt.kinds import kind_of
from xadapt.stacks.description import description
from xadapt.stacks.methods import Method
from xadapt.stacks.parser import parse
from xadapt.stacks.places import needs
from xadapt.stacks.stack import Stack, undropped
from xadapt.stacks.term import Term
from xadapt.study.imported import Imported, names_of
from xadapt.study.module_plan import ModulePlan, Planner
from xadapt.study.overrides import Overrides
from xadapt.study.scored_languages import available, languages_of
from xadapt.tasks import CATALOGUE, Catalogue, Task
from xadapt.tasks.examples import Source, generates
from xadapt.tasks.languages import LANGUAGES

if TYPE_CHECKING:
    from transformers import PretrainedConfig

    from xadapt.backbone.backbone import Backbone

__all__ = ["Evaluation", "Imported", "Layer", "ModulePlan", "Overrides", "Plan", "make_plan"]

LARGEST_SEED = 10**9 - 1
Layer = int | Literal["every"] | None


@dataclass(frozen=True)
class Lowest:
    """What stands in the place of a language module in a language.

    Attributes:
        instead: what that is in words, where it is not the language's own module; else empty.
        mounted: what identifies it.
        modules: the addresses of what it is made of.
    """

    instead: str
    mounted: Any
    modules: tuple[str, ...]


@dataclass(frozen=True)
class Evaluation:
    """One expression, one seed, one target task, in its languages.

    Attributes:
        expr: as the user wrote it.
        stack: what is mounted, methods filled in; None for the bare backbone.
        mounted: what identifies that, for the addresses of scores (``stacks.description``).
        lowest: of ``lang(...)``: for each language but the one it is trained on, what stands lowest there.
        module: the address of the target's module, whose head answers; None where the target trains nothing.
        layer: whose hidden states are read, as in HF's ``hidden_states``; None for the last.
        data: whose examples are asked, where they are not the task's own: the data that it trains on.
        sample: evaluate on so many items, taken evenly from all over them; None for all.
    """

    expr: str
    seed: int
    task: Task
    languages: tuple[str, ...]
    split: str
    stack: Stack | None
    mounted: Any
    module: str | None
    max_length: int
    layer: int | None
    data: Task | None = None
    sample: int | None = None
    lowest: Mapping[str, Lowest] = field(default_factory=dict)

    def mounted_in(self, lang: str) -> Any:
        """What identifies what is mounted for a language.

        Raises:
            UserError: the stack has a language module, and the plan none for this language.
        """
        if lang in self.lowest:
            return {"lowest": self.lowest[lang].mounted, "of": self.mounted}
        term = self.stack.exchanged if self.stack else None
        if term is not None and (lang,) != term.reads:
            raise UserError(
                f"{self.expr} was planned without {lang}: which language module is to stand there?",
                expected=f"one of {', '.join((*term.reads, *self.lowest))}",
            )
        return self.mounted

    @property
    def exchanged(self) -> tuple[str, ...]:
        """The addresses of the modules that ``lang(...)`` puts below, those of other languages."""
        return tuple(dict.fromkeys(a for lowest in self.lowest.values() for a in lowest.modules))

    @property
    def asks(self) -> Task:
        """Whose examples are asked."""
        return self.data or self.task


@dataclass(frozen=True)
class Plan:
    """What a study consists of: modules in the order in which they can be trained, then cells.

    Attributes:
        on: the backbone, or what is known of one that is not opened before it is needed.
        method: where an expression names none.
        addresses: seed -> the module at each place of the study's stacks, imported ones included.
        dtype: what the modules are trained in; scores are computed in the backbone's.
        twins: a module's address -> the address that it has where it is trained in ``other_dtype``.
        cache_gb: gigabytes of the store that may hold what the layers below all modules make of the data.
        together: how many modules at most are trained in one pass.
    """

    on: Backbone | Known
    source: Source
    method: Method
    modules: tuple[ModulePlan, ...]
    evaluations: tuple[Evaluation, ...]
    addresses: Mapping[int, Mapping[Stack, str]]
    dtype: str
    twins: Mapping[str, str]
    cache_gb: float = 0.0
    together: int = 1

    @cached_property
    def backbone(self) -> Backbone:
        """The backbone, opened.

        Raises:
            UserError: it cannot be, or is not what the plan was made for.
        """
        return self.on.opened() if isinstance(self.on, Known) else self.on

    def __repr__(self) -> str:
        seeds = len({e.seed for e in self.evaluations})
        return (
            f"Plan({len(self.modules)} modules and {len(self.evaluations)} evaluations, {seeds} "
            f"seed{'s' * (seeds != 1)}, {self.on.name} on {self.source.name})"
        )

    def _repr_html_(self) -> str:
        """What a notebook shows: what must be trained, and what is evaluated."""
        modules = [
            (m.shown, m.seed, " + ".join(t.task.name for t in m.tasks), str(m.method), m.address)
            for m in self.modules
        ]
        cells = [
            (e.expr, e.seed, e.task.name, e.split, " ".join(e.languages), ", ".join(e.task.metrics))
            for e in self.evaluations
        ]
        made = TextTable(("module", "seed", "trained on", "method", "address"), tuple(modules))
        scored = TextTable(("evaluated", "seed", "task", "split", "languages", "metrics"), tuple(cells))
        return html_first(made) + html_first(scored)

    def generated(self, evaluation: Evaluation | None = None) -> bool:
        """Whether any data of an evaluation are made up, or of all: what is trained on, or what is asked."""
        chosen = self.evaluations if evaluation is None else (evaluation,)
        used = {a for e in chosen for a in e.exchanged}
        used |= {self.addresses[e.seed][n.stack] for e in chosen if e.stack for n in needs(e.stack)}
        names = {t.data.name for module in self.modules if module.address in used for t in module.tasks}
        return any(generates(self.source, name) for name in names | {e.asks.name for e in chosen})

    @property
    def other_dtype(self) -> str:
        """What ``twins`` are trained in."""
        return _other(self.dtype)


def make_plan(
    expressions: Sequence[str],
    *,
    backbone: Backbone | Known,
    source: Source,
    method: Method,
    seeds: Sequence[int] = (0,),
    languages: Sequence[str] | None = None,
    split: str | None = None,
    overrides: Overrides | None = None,
    catalogue: Catalogue = CATALOGUE,
    imported: Mapping[str, Imported] | None = None,
    layer: Layer = None,
    items: int | None = None,
) -> Plan:
    """Work out what ``expressions`` need.

    Args:
        languages: where to evaluate, of those that a task has; None for all of them.
        split: what to evaluate on; None for ``test`` where its labels are real, else ``dev``.
        catalogue: the tasks, those of a user's own among them; ``source`` must have the same.
        imported: modules of the store that stand under a name of their own in expressions.
        overrides: settings of the user's; of ``trained_in``, where it is not what the backbone computes in,
            modules of the store are evaluated, and none can be trained.
        layer: the hidden layer that retrieval is read at, 0 for the embeddings; ``every`` makes each an
            evaluation of its own; None for the one that the kind reads.
        items: how many of a language to evaluate on, taken evenly from all over them; None for all.

    Raises:
        UserError: all problems at once, one below the other.
    """
    if not expressions:
        raise UserError("no expression", expected="one or more, such as 'xnli' or 'mnli > xnli'")
    overrides = overrides or Overrides()
    for seed in seeds:
        _check_seed(seed)
    if items is not None and items < 1:
        raise UserError(f"--items {items}", expected="a whole number above 0, or none for all")
    dtype = overrides.trained_in or backbone.dtype_name
    planner = Planner(backbone, OpenLabels(source), method, overrides, catalogue, imported or {}, dtype)
    other = replace(planner, dtype=_other(dtype))
    twins: dict[str, str] = {}
    problems: list[UserError] = []
    modules: dict[str, ModulePlan] = {}
    places: dict[int, dict[Stack, str]] = {seed: {} for seed in seeds}
    evaluations: list[Evaluation] = []
    for stack in _parsed(expressions, catalogue, planner.imported, problems):
        with collecting(problems):
            target = planner.task(stack.target.task)
            chosen_split, chosen = languages_of(target, source, languages, split)
            _check_tuning(target, source, chosen_split, chosen)
            read = _layers_read(target, backbone, layer)
            length = planner.length(target)
            filled = planner.filled(stack).with_method(method)
            on = filled if target.train is not None else filled.below
            below = _lowest(planner, stack, target, chosen)
            for seed in seeds:
                addresses = places[seed]
                for one in (stack, *filter(None, below.values())):
                    needed, found = planner.modules(one, seed)
                    for module in needed:
                        # the first that asks for it gives it its name
                        modules.setdefault(module.address, module)
                    addresses.update(found)
                    others, _ = other.modules(one, seed)
                    twins |= {m.address: twin.address for m, twin in zip(needed, others, strict=True)}
                mounted = description(on, addresses, seed)
                head = addresses[Stack((*filled.parts[:-1], undropped(filled.top)))] if target.train else None
                evaluations += [
                    Evaluation(
                        str(stack),
                        seed,
                        target,
                        chosen,
                        chosen_split,
                        on,
                        mounted,
                        head,
                        length,
                        each,
                        sample=items,
                        lowest={
                            lang: _stands(planner, stands, lang, addresses, seed)
                            for lang, stands in below.items()
                        },
                    )
                    for each in read
                ]
    if len(problems) == 1:
        raise problems[0]
    if problems:
        raise UserError("\n".join(str(p) for p in problems))
    _check_of_use(languages, layer, evaluations, source)
    return Plan(
        backbone,
        source,
        method,
        tuple(modules.values()),
        tuple(evaluations),
        places,
        dtype,
        twins,
        overrides.cache_gb or 0.0,
        overrides.together or 1,
    )


def _lowest(
    planner: Planner, stack: Stack, target: Task, languages: Sequence[str]
) -> dict[str, Stack | None]:
    """For each language but that of the training data: what takes the place of the language module there.

    Raises:
        UserError: a language without a module, of which nothing is said; a target of two languages at once.
    """
    term = stack.exchanged
    if term is None:
        return {}
    if target.kind == "retrieve":
        raise UserError(
            f"{target.name} compares sentences of two languages, and lang(...) stands for one",
            expected="a target whose items are of one language",
            do=f"write {term.plain} > {target.name} for the module of {term.reads[0]} alone",
        )
    problems: list[UserError] = []
    found: dict[str, Stack | None] = {}
    for lang in languages:
        if (lang,) != term.reads:
            with collecting(problems):
                found[lang] = planner.exchanged_for(term, lang)
    if problems:
        raise UserError("\n".join(map(str, problems)))
    return found


def _stands(
    planner: Planner, shown: Stack | None, lang: str, addresses: Mapping[Stack, str], seed: int
) -> Lowest:
    if shown is None:
        return Lowest("no language module", None, ())
    stack = planner.filled(shown).with_method(planner.method)
    modules = tuple(dict.fromkeys(addresses[need.stack] for need in needs(stack)))
    own = isinstance(stack.top, Term) and stack.top.reads == (lang,)
    return Lowest("" if own else str(shown), description(stack, addresses, seed), modules)


def _other(dtype: str) -> str:
    return "float32" if dtype == "bfloat16" else "bfloat16"


def _parsed(
    expressions: Sequence[str],
    catalogue: Catalogue,
    imported: Mapping[str, Imported],
    problems: list[UserError],
) -> list[Stack]:
    """The expressions that can be read, each once; the others are among the ``problems`` then."""
    rows = catalogue.values()
    spoken = (code for row in rows for code in (*row.languages, *row.added, *row.trains_in))
    codes = dict.fromkeys((*LANGUAGES, *spoken))
    untrained = {task.name for task in rows if task.train is None}
    names = (*catalogue, *names_of(imported))
    stacks: dict[Stack, None] = {}
    for text in expressions:
        with collecting(problems):
            stacks[parse(text, names, untrained=untrained, languages=codes)] = None
    return list(stacks)


def _check_of_use(
    languages: Sequence[str] | None, layer: Layer, evaluations: Sequence[Evaluation], source: Source
) -> None:
    """Refuse a language or a layer that no evaluation has."""
    evaluated = {lang for e in evaluations for lang in e.languages}
    if unknown := [lang for lang in languages or () if lang not in evaluated]:
        known = sorted({lang for e in evaluations for lang in available(e.task, source, e.split)})
        near = nearest(unknown[0], known) if len(unknown) == 1 else ""
        raise UserError(
            f"no target of these expressions has data in: {', '.join(unknown)}{near}",
            expected=f"some of {', '.join(known)}, or all",
            do="change --langs",
        )
    if layer is not None and all(e.layer is None for e in evaluations):
        raise UserError(
            f"--layer {layer} would change nothing",
            expected="a target that is read at a hidden layer, such as tatoeba or bucc",
            do="leave it out",
        )


@contextmanager
def collecting(problems: list[UserError]) -> Iterator[None]:
    """Keep a problem, once, and go on."""
    try:
        yield
    except UserError as error:
        if str(error) not in map(str, problems):
            problems.append(error)


def _check_seed(seed: int) -> None:
    if type(seed) is not int or not 0 <= seed <= LARGEST_SEED:
        got = seed if type(seed) is not int or abs(seed) <= LARGEST_SEED else f"of {seed.bit_length()} bits"
        raise UserError(f"the seed {got} is none", expected=f"a whole number from 0 to {LARGEST_SEED}")


def _layers_read(task: Task, backbone: Backbone | Known, layer: Layer) -> list[int | None]:
    """The layers that ``task`` is read at; None for the last, where it reads no other."""
    wanted = range(backbone.layers + 1) if layer == "every" else [layer]
    config = cast("PretrainedConfig", backbone.config)  # or its shape, which is all that a kind asks for here
    read = [kind_of(task, each).layer(config) for each in wanted]
    if layer == "every" and None in read:
        raise UserError(
            f"{task.name} is read at the last layer only",
            expected="a task that compares vectors of the encoder as it is, such as tatoeba or bucc",
        )
    return read


def _check_tuning(task: Task, source: Source, split: str, languages: Sequence[str]) -> None:
    """Refuse a split that cannot be scored because what must be fitted on dev cannot be."""
    if not kind_of(task).tuned or split == "dev":
        return
    without = [lang for lang in languages if lang not in source.languages(task.name, "dev")]
    if without:
        raise UserError(
            f"{task.name} ({split}) in {', '.join(without)}: {source.name} has no dev data in it",
            expected="a dev set in each language: the threshold above which a pair counts is fitted on it",
            do="add the dev files, leave these languages out with --langs, or take --split dev",
        )
