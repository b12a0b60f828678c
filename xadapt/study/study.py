"""A study: the one way in which anything is planned, run and looked into.

The command line, the recipes and the benchmarks stand on it. From Python:

import xadapt

backbone = xadapt.Backbone.from_pretrained("pocket")
study = xadapt.Study(["xnli", "mnli > xnli"], backbone, max_steps=100)
results = study.run()
with backbone.mount(xadapt.Stack("mnli > xnli"), study) as mounted:
    hidden = mounted.encode(batch)
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import InitVar, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from xadapt.backbone.known import Known, known
from xadapt.common.errors import UserError
from xadapt.data.sources import open_source
from xadapt.data.user_tasks import catalogue_with
from xadapt.kinds import kind_of
from xadapt.stacks.methods import Method, parse_method
from xadapt.stacks.places import needs
from xadapt.stacks.stack import Stack
from xadapt.store.store import Store
from xadapt.study.imported import imported_in
from xadapt.study.overrides import Overrides
from xadapt.study.plan import Evaluation, Layer, Plan, make_plan
from xadapt.study.versions import outdated
from xadapt.tasks.examples import Source

# What runs and looks into stacks takes seconds to load, and a plan needs none of it: imported where used.
if TYPE_CHECKING:
    import numpy as np
    from peft import PeftModel
    from transformers import PreTrainedModel

    from xadapt.backbone.backbone import Backbone
    from xadapt.backbone.packing import Packed
    from xadapt.common.progress import Watch
    from xadapt.interop.export import Export
    from xadapt.mount import Element
    from xadapt.study.ablation import Ablation
    from xadapt.study.analysis import LayerValues
    from xadapt.study.predictor import Predictor
    from xadapt.study.results import Predicted, Results
    from xadapt.study.sizes import Facts


@dataclass(frozen=True)
class Study(Overrides):
    """Expressions, and all that determines their modules and scores. What it names is opened when it is
    first needed, and then kept.

    Attributes:
        expressions: as on the command line; gains are against the first. One alone need not be in a list.
        backbone: opened, or a name for ``Backbone.from_pretrained``, which ``device`` and ``dtype`` are for.
        data: ``pocket``, ``hub``, a folder in XTREME's layout, or a source of your own.
        method: where an expression names none.
        languages: where to evaluate, a list or ``"en,de"``; None for all that the data has. The command
            line's name for it, ``langs``, is taken too.
        split: ``dev`` or ``test``; None, or ``auto``, for ``test`` where its labels are real.
        store: where modules and scores are kept.
        layer: the hidden layer that retrieval is read at, 0 for the embeddings, or ``every``; None for 14/24
            of the depth.
        items: how many of a language to evaluate on, taken evenly from all over them; None for all.
    """

    expressions: Sequence[str | Stack]
    backbone: Backbone | str = "pocket"
    data: Source | str | Path = "pocket"
    method: Method | str = "lora"
    seeds: Sequence[int] = (0,)
    languages: Sequence[str] | None = None
    split: str | None = None
    store: Store | str | Path = ".xadapt"
    layer: Layer = None
    items: int | None = None
    langs: InitVar[Sequence[str] | None] = None

    def __post_init__(self, langs: Sequence[str] | None) -> None:
        """Raises ``UserError`` for values that can mean nothing."""
        super().__post_init__()
        if langs is not None and self.languages is not None:
            raise UserError("languages and langs", expected="one of them: they mean the same")
        asked = self.languages if langs is None else langs
        if isinstance(asked, str):  # as on the command line
            asked = re.split(r"[,\s]+", asked.strip())
        alone = isinstance(self.expressions, str | Stack)
        plain = {
            "expressions": (self.expressions,) if alone else self.expressions,
            "seeds": (self.seeds,) if isinstance(self.seeds, int) else _numbers(self.seeds),
            "languages": None if asked == ["all"] else asked,
            "split": None if self.split == "auto" else self.split,
        }
        for name, value in plain.items():
            object.__setattr__(self, name, value)
        for seed in self.seeds:
            if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
                raise UserError(f"seed {seed!r}", expected="whole numbers from 0, such as (0, 1, 2)")
        if isinstance(self.method, str):
            parse_method(self.method)
        if self.split not in (None, "dev", "test"):
            raise UserError(
                f"split {self.split!r}", expected="'dev', 'test', or None for what has real labels"
            )
        if not (self.items is None or (type(self.items) is int and self.items > 0)):
            raise UserError(f"--items {self.items}", expected="a whole number above 0, or none for all")
        if not (self.layer in (None, "every") or (type(self.layer) is int and self.layer >= 0)):
            raise UserError(
                f"--layer {self.layer}", expected="a hidden layer, 0 for the embeddings, or 'every'"
            )

    @cached_property
    def plan(self) -> Plan:
        """What must be trained and evaluated; nothing is run.

        Raises:
            UserError: all problems at once.
        """
        if self.threads is not None:
            import torch

            torch.set_num_threads(self.threads)
        method = parse_method(self.method) if isinstance(self.method, str) else self.method
        rows = catalogue_with(self.tasks)
        source = self.data
        if isinstance(source, str | Path):
            source = open_source(str(source), self.intermediate, rows)
        return make_plan(
            [str(e) for e in self.expressions],
            backbone=self._known or self._opened(),
            source=source,
            method=method,
            seeds=self.seeds,
            languages=self.languages,
            split=self.split,
            overrides=self,
            catalogue=rows,
            imported=imported_in(self._store, rows),
            layer=self.layer,
            items=self.items,
        )

    @property
    def _known(self) -> Known | None:
        """What is enough for a plan, where that is known of the backbone by its name."""
        if not isinstance(self.backbone, str):
            return None
        return known(self.backbone, device=self.device, dtype=self.dtype, opening=self._opened)

    def _opened(self) -> Backbone:
        if not isinstance(self.backbone, str):
            return self.backbone
        from xadapt.study.backbone import Backbone

        return Backbone.from_pretrained(self.backbone, device=self.device, dtype=self.dtype)

    @cached_property
    def _store(self) -> Store:
        return self.store if isinstance(self.store, Store) else Store(self.store)

    def has(self, address: str) -> bool:
        """Whether the study's store holds a module."""
        return self._store.has(address)

    def outdated(self) -> int:
        """How many modules of its store an earlier version has trained, so that no plan asks for them."""
        return sum(map(outdated, self._store.modules()))

    # -- running ----------------------------------------------------------------------------

    def run(self, *, watch: Watch | None = None, baselines: bool = True) -> Results:
        """Train what the store does not hold, evaluate, compare.

        Args:
            watch: is told how far it is, such as ``xadapt.Bars()``.
            baselines: also scores that need no model.

        Returns:
            cells (scores in 0..100), modules, baselines.

        Raises:
            UserError: broken data, a store that cannot be written, a module that does not fit.
        """
        from xadapt.study.run import run

        return run(self.plan, self._store, watch=watch, baselines=baselines)

    def predict(self, *, watch: Watch | None = None) -> list[Predicted]:
        """Train what the store does not hold, and predict the one expression's target, a language each.

        Raises:
            UserError: as ``run``.
        """
        from xadapt.study.run import predict

        return predict(self.plan, self._store, watch=watch)

    # -- looking into the study's one expression --------------------------------------------

    def facts(self) -> dict[Stack, Facts]:
        """State and size of everything with weights, by place (``sizes.facts_of``); trained or not yet."""
        from xadapt.study.sizes import facts_of

        return facts_of(self.plan, self._store, self._evaluation)

    def fusion_weights(self, *, watch: Watch | None = None) -> list[LayerValues]:
        """What each fusion has learned. Raises ``UserError`` where there is none, or it is not trained."""
        from xadapt.study.analysis import fusion_weights
        from xadapt.study.state import Run

        return fusion_weights(Run(self.plan, self._store, watch), self._evaluation)

    def similarities(self, *, watch: Watch | None = None) -> LayerValues:
        """How alike the modules are, two by two. Raises ``UserError`` for fewer, or untrained ones."""
        from xadapt.study.analysis import similarities
        from xadapt.study.state import Run

        return similarities(Run(self.plan, self._store, watch), self._evaluation)

    def ablations(
        self, languages: Sequence[str] | None = None, *, watch: Watch | None = None
    ) -> Iterable[Ablation]:
        """Dev scores with each operand of a fusion or merge left out, in English where there is some.

        Raises:
            UserError: nothing that can be left out, no such language, or modules that are not trained.
        """
        from xadapt.study.ablation import ablations
        from xadapt.study.state import Run

        return ablations(Run(self.plan, self._store, watch), self._evaluation, languages)

    @property
    def _evaluation(self) -> Evaluation:
        (evaluation,) = self.plan.evaluations
        return evaluation

    # -- its trained stacks -----------------------------------------------------------------

    def addresses(self, stack: Stack | str, seed: int = 0) -> tuple[str, ...]:
        """The modules that a stack of this study is made of, lowest first, its target's own last.

        Raises:
            UserError: it is none of the study's.
        """
        evaluation = self._evaluation_of(stack, seed)
        places = self.plan.addresses[seed]
        found = needs(evaluation.stack) if evaluation.stack else ()
        return tuple(dict.fromkeys(places[need.stack] for need in found))

    def elements(
        self, stack: Stack | str, seed: int, backbone: Backbone, *, language: str | None = None
    ) -> list[Element]:
        """A trained stack of this study, as ``mount`` takes it.

        Args:
            language: of a stack with ``lang(...)``: on which language module.

        Raises:
            UserError: it is none of the study's, or on another backbone, or a module of it is not trained
                (others of the study need not be).
        """
        from xadapt.study.evaluation import elements_in, language_of
        from xadapt.study.state import Run

        evaluation = self._trained(stack, seed)
        if backbone.fingerprint != self.plan.backbone.fingerprint:
            raise UserError(
                f"the study is on {self.plan.backbone.name}, and this is {backbone.name}",
                do="mount it on the study's backbone",
            )
        return elements_in(Run(self.plan, self._store), evaluation, language_of(evaluation, language))

    def predictor(
        self, stack: Stack | str | None = None, seed: int | None = None, *, language: str | None = None
    ) -> Predictor:
        """A trained stack of this study that takes texts and gives answers: those that are scored.

        Args:
            stack: one of the study's expressions; its first by default.
            seed: one of the study's; its first by default.
            language: of the texts, where the stack has ``lang(...)``.

        Raises:
            UserError: it is none of the study's, or a module of it is not trained.
        """
        from xadapt.study.evaluation import language_of, mounted_with_head
        from xadapt.study.predictor import Predictor
        from xadapt.study.state import Run

        evaluation = self._trained(stack, seed)
        kind = kind_of(evaluation.task, evaluation.layer)
        run, language = Run(self.plan, self._store), language_of(evaluation, language)
        mounted, head = mounted_with_head(run, evaluation, kind, lang=language)
        tokenizer = self.plan.backbone.tokenizer
        return Predictor(evaluation.expr, kind, mounted, head, tokenizer, evaluation.max_length)

    def model(
        self, stack: Stack | str | None = None, seed: int | None = None, *, language: str | None = None
    ) -> PreTrainedModel:
        """A trained stack of LoRA or full modules as a plain model of ``transformers``, in float32:
        ``XLMRobertaFor...`` with the stack added to its weights and the labels' names in its configuration,
        for ``pipeline("text-classification", model=..., tokenizer=backbone.tokenizer)`` and ``Trainer``.
        A target that trains nothing gives the encoder. Arguments as of ``predictor``.

        Raises:
            UserError: as ``predictor``; a bottleneck, which is not linear; no module at all.
        """
        from xadapt.interop.merged import merged

        return merged(*self._export(stack, seed, language))

    def peft_model(
        self, stack: Stack | str | None = None, seed: int | None = None, *, language: str | None = None
    ) -> PeftModel:
        """A trained stack of LoRA modules as a ``PeftModel``: one LoRA of the summed rank, with the head;
        both can be trained on, by ``Trainer`` say. Arguments and errors as of ``model``."""
        from xadapt.interop.peft_out import peft_model

        return peft_model(*self._export(stack, seed, language))

    def batches(self, language: str, examples: int) -> list[Packed]:
        """The first examples of the first expression's target, encoded and packed as ``encode`` takes them:
        to measure with."""
        from xadapt.backbone.packing import budgeted, pack
        from xadapt.train.evaluate import BATCH_TOKENS

        evaluation, backbone = self.plan.evaluations[0], self.plan.backbone
        loaded = self.plan.source.load(evaluation.task.name, language, evaluation.split)[:examples]
        encode = kind_of(evaluation.task).encode
        items = sorted(encode(loaded, backbone.tokenizer, evaluation.max_length, training=False), key=len)
        runs = budgeted([len(item) for item in items], BATCH_TOKENS)
        rows = ([sequence for i in run for sequence in items[i].sequences] for run in runs)
        return [pack(sequences).to(backbone.device) for sequences in rows]

    def text_embedding(self, task: str, examples: int = 256) -> np.ndarray:
        """What the frozen encoder makes of a task's English training texts on average:
        (width,), ``text_embedding.py``. The task need not be in the study's expressions.

        Raises:
            UserError: an unknown task, or one that trains on nothing.
        """
        from xadapt.study.state import Run
        from xadapt.study.text_embedding import text_embedding

        run = Run(self.plan, self._store)
        return text_embedding(run, task, catalogue_with(self.tasks), examples)

    def _export(
        self, stack: Stack | str | None, seed: int | None, language: str | None
    ) -> tuple[Export, Backbone]:
        """What an expression consists of, and the backbone in float32."""
        from xadapt.backbone.backbone import Backbone
        from xadapt.interop.export import export_of
        from xadapt.study.evaluation import elements_in, language_of
        from xadapt.study.state import Run

        evaluation, backbone = self._trained(stack, seed), self.plan.backbone
        addresses = self.addresses(evaluation.expr, evaluation.seed)
        if not addresses:
            raise UserError(f"'{evaluation.expr}' is the backbone alone", do=f"open {backbone.name} itself")
        if backbone.dtype_name != "float32":
            backbone = Backbone.from_pretrained(backbone.name, device="cpu", dtype="float32")
        exported = export_of(self._store, addresses[-1], head=evaluation.module is not None)
        if language := language_of(evaluation, language):
            elements = elements_in(Run(self.plan, self._store), evaluation, language)
            exported = replace(exported, elements=tuple(elements))
        return exported, backbone

    def _trained(self, stack: Stack | str | None, seed: int | None) -> Evaluation:
        """None stands for the study's first. Raises ``UserError`` for what is none of its expressions and
        seeds, or has a module that is not trained."""
        first = self.plan.evaluations[0]
        stack, seed = first.expr if stack is None else stack, first.seed if seed is None else seed
        evaluation, needed = self._evaluation_of(stack, seed), self.addresses(stack, seed)
        missing = [s.shown for s in self.plan.modules if s.address in needed and not self.has(s.address)]
        if missing:
            raise UserError(f"not trained yet: {', '.join(missing)}", do="run the study first")
        return evaluation

    def _evaluation_of(self, stack: Stack | str, seed: int) -> Evaluation:
        asked = str(Stack(str(stack)))
        for evaluation in self.plan.evaluations:
            if (evaluation.seed, evaluation.expr) == (seed, asked):
                return evaluation
        raise UserError(
            f"'{stack}' (seed {seed}) is not in this study",
            expected=" or ".join(f"'{e.expr}' (seed {e.seed})" for e in self.plan.evaluations),
        )


def _numbers(seeds: Sequence[int]) -> Sequence[object]:
    words = re.split(r"[,\s]+", seeds.strip()) if isinstance(seeds, str) else seeds  # as on the command line
    return [int(w) if isinstance(w, str) and w.isdecimal() else w for w in words]
