"""The modules that a stack needs: what each is trained on, on top of what, and where the store keeps it.

A module's address is a hash of all that determines its weights and of nothing else, so it is the same
wherever and whenever a study is planned, and tasks that train the same share it: XQuAD's module is SQuAD's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from xadapt.backbone.known import Known
from xadapt.common.errors import UserError
from xadapt.common.identity import canonical
from xadapt.common.own import found, version_of
from xadapt.data.labels import OpenLabels
from xadapt.kinds import kind_of
from xadapt.kinds.checks import check_length
from xadapt.stacks.description import description
from xadapt.stacks.methods import Method, Own, inverts
from xadapt.stacks.places import Need, acting_layers, needs, nodes
from xadapt.stacks.stack import Combined, Operand, Stack, methods_in, trains, undropped
from xadapt.stacks.term import Term
from xadapt.store.store import address_of
from xadapt.study.imported import Imported, filled, imported_as, languages_of
from xadapt.study.overrides import Overrides
from xadapt.study.versions import TRAINING_VERSION
from xadapt.tasks import Catalogue, Task, asked, task_named
from xadapt.tasks.examples import Source, generates
from xadapt.tasks.languages import related
from xadapt.train.settings import Settings

if TYPE_CHECKING:
    from xadapt.backbone.backbone import Backbone

# Peak learning rates by method, for encoders up to a width; the narrower the encoder, the higher. Tried at
# 192 on the pocket world and at 384 on English dev of XNLI and UDPOS; above, for XLM-R, the study's own for
# full and the field's for the others.
RATES = {
    256: {"lora": 3e-3, "bottleneck": 3e-3, "full": 5e-4},
    512: {"lora": 2e-3, "bottleneck": 3e-3, "full": 5e-4},
    math.inf: {"lora": 3e-4, "bottleneck": 1e-4, "full": 1e-5},
}

# A run on generated data is a demonstration: so many steps a task at most, unless told otherwise.
DEMONSTRATION_STEPS = 800


@dataclass(frozen=True)
class TrainingTask:
    """One task that a module is trained on.

    Attributes:
        task: whose head and kind it has.
        data: whose training data it is trained on (``task.train``).
        languages: of that data.
        size: so many examples of it, shuffled; None for all.
        max_length: tokens a sequence.
        dev: the language whose dev set chooses the checkpoint: English, as nothing else is known of a target
            that is to be transferred; but of running text in one other language that language.
    """

    task: Task
    data: Task
    languages: tuple[str, ...]
    size: int | None
    max_length: int
    dev: str = "en"


@dataclass(frozen=True)
class ModulePlan:
    """One module that a study needs.

    Attributes:
        address: where the store keeps it.
        need: its place in the expression, and what it stands on.
        tasks: what it is trained on: one, or several in a joint.
        mixing: how a joint draws from its tasks (``xadapt.train.task_sampling``); empty for one task.
        determinants: everything that the address is a hash of.
    """

    address: str
    need: Need
    seed: int
    tasks: tuple[TrainingTask, ...]
    mixing: Mapping[str, Any]
    method: Method
    settings: Settings
    determinants: Mapping[str, Any]

    @property
    def stack(self) -> Stack:
        """The expression up to and including it, methods filled in."""
        return self.need.stack

    @property
    def drawn_from(self) -> tuple[object, ...]:
        """What names the draw of the module's first weights: the seed, the method's name and, for each task,
        what it asks on which data (known by its English dev set, which is the same for every size and
        language that is selected).

        Neither what the module stands on nor a setting: so ``xnli`` and ``mnli > xnli`` of one seed start
        with the same weights, with any learning rate, and what differs between them at the end is the
        difference that was asked about. Modules of other tasks start with others, so two modules of one
        stack share no directions by chance; only where one stack trains the same task twice, as in
        ``xnli > xnli``, do both start alike.
        """
        rows = [[row["kind"], row["labels"], row["dev"]] for row in self.determinants["lessons"]]
        return (self.seed, self.method.name, canonical(rows))

    @property
    def shown(self) -> str:
        """The same as the user wrote it."""
        return str(self.need.shown.plain)


@dataclass(frozen=True)
class Planner:
    """What is the same for all stacks of a study; ``dtype`` is what its modules are trained in."""

    backbone: Backbone | Known
    open_labels: OpenLabels
    method: Method
    overrides: Overrides
    catalogue: Catalogue
    imported: Mapping[str, Imported]
    dtype: str
    _known: dict[tuple[str, str], tuple[str, ...]] = field(default_factory=dict, compare=False)

    @property
    def source(self) -> Source:
        """What the study's data are read from."""
        return self.open_labels.source

    def task(self, name: str) -> Task:
        """The row of a task, or of what an imported module was imported for; open labels filled in."""
        imported = self.named(Term(name))
        return imported.task if imported else self.open_labels.with_labels(task_named(name, self.catalogue))

    def named(self, term: Term) -> Imported | None:
        """The imported module that a term means, if it means one. Raises ``UserError``: ``imported_as``."""
        return imported_as(self.imported, term, self.catalogue)

    def modules(self, stack: Stack, seed: int) -> tuple[list[ModulePlan], dict[Stack, str]]:
        """What must be trained for ``stack``, in order, and the address of the module at each place.

        Raises:
            UserError: no data to train on, layers that the backbone does not have, a drop of all layers.
        """
        planned: list[ModulePlan] = []
        addresses: dict[Stack, str] = {}
        filled = self.filled(stack)
        for node in nodes(filled.with_method(self.method)):
            acting_layers(node, self.backbone.layers)
        for need in needs(filled, self.method):
            top = need.stack.top
            if isinstance(top, Term) and (imported := self.named(top)):
                addresses[need.stack] = self._imported(need, top, imported)
            elif not (isinstance(top, Term) and self.task(top.task).train is None):
                module = self._module(need, top, seed, addresses)
                planned.append(module)
                addresses[module.stack] = module.address
        return planned, addresses

    def exchanged_for(self, term: Term, language: str) -> Stack | None:
        """What stands in the place of a language module in ``language``: a stack of one part, or None for
        nothing; ``term.missing`` says what where the language has none of its own.

        Raises:
            UserError: the language has none, and nothing is said of that.
        """
        available = self._languages_of(term.task)
        if language in available:
            return Stack((term.of(language),))
        if term.missing == "none":
            return None
        if term.missing == "mean":
            modules = [Stack((term.of(lang),)) for lang in related(language, sorted(available))]
            if len(modules) < 2:
                return modules[0] if modules else None
            return Stack((Combined("mean", tuple(map(Operand, modules))),))
        raise UserError(
            f"there is no module of {term.plain} in {language}, and {self.source.name} has no data for one",
            expected=f"one of {', '.join(available)}" if available else None,
            do="leave it out with --langs, or say what is to stand there: "
            f"lang({term.plain}, mean) for its family's modules, lang({term.plain}, none) for nothing",
        )

    def _languages_of(self, name: str) -> tuple[str, ...]:
        """In which languages there are, or can be trained, modules of a task, or imported ones of a name."""
        if name not in self.catalogue:
            return languages_of(self.imported, name)
        return self.source.languages(self.task(name).train or name, "train")

    def filled(self, stack: Stack) -> Stack:
        """The stack with the methods of imported modules, which nobody has to write."""
        return filled(stack, self.imported, self.catalogue)

    def _imported(self, need: Need, top: Term, imported: Imported) -> str:
        if need.below is not None:
            raise UserError(
                f"{top.task} was imported as a module of the bare backbone, '{need.shown}' puts it on others",
                do="put it first in the stack, or first in a combination",
            )
        selects = top.size or (top.languages and top.task in self.imported)
        if selects or (top.method and str(top.method) != str(imported.method)):
            raise UserError(f"{top} is an imported module ({imported.method})", do=f"write {top.task} alone")
        return imported.address

    def _module(self, need: Need, top: Any, seed: int, addresses: Mapping[Stack, str]) -> ModulePlan:
        terms = [o.stack.target for o in top.operands] if isinstance(top, Combined) else [top]
        chosen = top.method or self.method
        if need.below and any(self.task(term.task).kind == "mlm" for term in terms):
            _refuse_means_of_inverses(need.below, need.shown)
        if need.dropped:
            first, last = need.dropped.start, need.dropped.stop - 1
            raise UserError(
                f"'{need.shown}' would train a fusion without the layers {first} to {last}",
                expected="a fusion in all layers",
                do="drop layers of the modules that are fused, or of the target",
            )
        tasks = tuple(self._training_task(term) for term in terms)
        mixing = dict(top.settings) if isinstance(top, Combined) else {}
        settings = self._settings(tasks, chosen)
        determinants: dict[str, Any] = {
            "training_version": TRAINING_VERSION,
            "backbone": self.backbone.fingerprint,
            "dtype": self.dtype,
            "below": description(need.below, addresses, seed),
            "lessons": [self._determines(t, named=len(tasks) > 1) for t in tasks],
            "mixing": mixing,
            "method": str(chosen),
            "settings": asdict(settings),
            "seed": seed,
        }
        if isinstance(chosen, Own):
            determinants["code"] = version_of(chosen.name)
        if any(t.task.form == "mlm" for t in tasks):
            # Its head starts as the checkpoint's, which the fingerprint leaves out.
            determinants["lm_head"] = self.backbone.lm_head_digest()
        return ModulePlan(address_of(determinants), need, seed, tasks, mixing, chosen, settings, determinants)

    def _training_task(self, term: Term) -> TrainingTask:
        task = self.task(term.task)
        assert task.train is not None, "the parser refuses to train what has no training data"
        data = self.open_labels.with_labels(task_named(task.train, self.catalogue))
        languages = term.reads
        available = self._languages(data.name, "train")
        if lacking := [lang for lang in ("en", *languages) if lang not in available]:
            lost = ", ".join(dict.fromkeys(lacking))
            raise UserError(
                f"{self.source.name} has no training data for {data.name} in {lost}"
                + (f", which {task.name} trains on" if data.name != task.name else ""),
                expected=f"some of {', '.join(available)}" if available else None,
                do="see 'xadapt tasks', name another folder with --data, or the intermediate tasks' "
                "folder with --intermediate",
            )
        own = task.kind == "mlm" and len(languages) == 1
        dev = languages[0] if own and languages[0] in self._languages(data.name, "dev") else "en"
        return TrainingTask(task, data, languages, term.size, self.length(task), dev)

    def _languages(self, data: str, split: str) -> tuple[str, ...]:
        """In which languages there are data; a folder is looked into once, however long a stack is."""
        if (data, split) not in self._known:
            self._known[data, split] = self.source.languages(data, split)
        return self._known[data, split]

    def length(self, task: Task) -> int:
        """Tokens a sequence of ``task``: the user's or the row's, no more than the backbone has places for.

        Raises:
            UserError: there is no room for text.
        """
        length = min(self.overrides.max_length or task.max_length, self.backbone.max_length)
        check_length(length, kind_of(task).least)
        return length

    def _determines(self, training: TrainingTask, *, named: bool) -> dict[str, Any]:
        """``named``: of several tasks, each has its head and its order of data by its name."""
        task, data = training.task, training.data
        return {
            **({"task": task.name} if named else {}),
            **asked(task),
            "metrics": task.metrics[0],  # selects the weights that are kept; the others are for scores
            "train": {lang: self.source.revision(data.name, lang, "train") for lang in training.languages},
            "dev": self.source.revision(data.name, "en", "dev"),
            **(
                {"dev_in": {training.dev: self.source.revision(data.name, training.dev, "dev")}}
                if training.dev != "en"
                else {}
            ),
            "size": training.size,
            "max_length": training.max_length,
        }

    def _settings(self, tasks: Sequence[TrainingTask], method: Method) -> Settings:
        """The tasks' and the method's settings, with the user's in front of them. A joint takes the most
        epochs and the largest batch of its tasks, and its limit of steps for each of them."""
        width = self.backbone.config.hidden_size
        settings = Settings(
            lr=_rate(method, width),
            epochs=max(t.data.epochs for t in tasks),
            batch_size=max(t.data.batch_size for t in tasks),
            max_steps=DEMONSTRATION_STEPS
            if any(generates(self.source, t.data.name) for t in tasks)
            else None,
            max_length=max(t.max_length for t in tasks),
        )
        names = ("lr", "epochs", "batch_size", "max_steps", "looks", "dev_examples")
        wanted = {name: getattr(self.overrides, name) for name in names}
        settings = replace(settings, **{name: value for name, value in wanted.items() if value is not None})
        limit = settings.max_steps
        return replace(settings, max_steps=limit and limit * len(tasks))


def _rate(method: Method, width: int) -> float:
    """The peak learning rate of a method on an encoder of this width; a user's own says it as ``lr``, and has
    LoRA's if it does not."""
    rates = next(rates for widest, rates in RATES.items() if width < widest)
    if isinstance(method, Own):
        return float(getattr(found(method.name), "lr", rates["lora"]))
    return rates[method.name]


def _refuse_means_of_inverses(below: Stack, shown: Stack) -> None:
    """A head that names words undoes what an invertible adapter does; a mean of several has no inverse."""
    for part in below.parts:
        whole = undropped(part)
        if isinstance(whole, Combined) and not trains(whole) and any(map(inverts, methods_in([whole]))):
            raise UserError(
                f"'{shown}' would name words on {part}, a mean of invertible adapters, which has no inverse",
                do="average modules without inv=nice there",
            )
