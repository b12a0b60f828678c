"""``xadapt explain``: an expression as a tree, before anything is run; and what its modules have learned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import tyro

from xadapt.cli.checks import words
from xadapt.cli.options import Planned, study_of
from xadapt.common.errors import UserError

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True)
class Explain(Planned):
    """Draw an expression: what is frozen, trains, is reused; sizes; where each part sits in the layers."""

    expression: tyro.conf.Positional[str]
    """a stack expression, such as "fuse(mnli, squad_v1) > xnli" """
    weights: bool = False
    """also what each fusion has learned, by layer and module (--data tells on which English dev examples)"""
    similarity: bool = False
    """also how alike the modules are, two by two and layer by layer"""
    importance: bool = False
    """also what each operand of a fusion or merge is worth: dev scores with it left out"""
    langs: str | None = None
    """languages of --importance, such as en,de, or all; by default English, all where there is none. With
    lang(...), those whose language modules are planned; by default that of the training data alone"""
    seed: int = 0
    """the seed of every module"""


def explain(options: Explain, console: Console, errors: Console) -> None:
    """Plan the expression and draw it, with the tables that are asked for; nothing is trained."""
    exchanged = "lang(" in options.expression
    if options.langs is not None and not (options.importance or exchanged):
        raise UserError("--langs without --importance", do="add --importance, which it belongs to")
    languages = None if options.langs is None else words(options.langs, "--langs")

    from xadapt.report.ablation_table import ablation_table
    from xadapt.report.heatmap import fusion_map, similarity_map
    from xadapt.report.progress import Bars
    from xadapt.report.tree import draw, trunk_line
    from xadapt.stacks.parser import parse
    from xadapt.study.sizes import facts_of_backbone, trunk_of

    term = parse(options.expression).exchanged if exchanged else None
    planned = (languages or term.reads) if term else None
    study = study_of(options, [options.expression], seeds=[options.seed], languages=planned)
    watch = Bars(errors)
    (evaluation,) = study.plan.evaluations
    backbone = study.plan.backbone
    base = facts_of_backbone(backbone)
    if evaluation.stack is None:
        console.print(
            f"{options.expression}: the bare {backbone.name}, {base.parameters:,} parameters, nothing trains"
        )
    else:
        tree = draw(
            evaluation.stack, study.facts(), backbone=backbone.name, base=base, n_layers=backbone.layers
        )
        console.print(tree)
        if (trunk := trunk_of(evaluation.stack, backbone)).depth:
            console.print(trunk_line(trunk), highlight=False)
    world = f", {study.plan.source.name} world" if study.plan.generated() else ""
    if options.weights:
        for weights in study.fusion_weights(watch=watch):
            console.print(fusion_map(weights, world))
    if options.similarity:
        console.print(similarity_map(study.similarities(watch=watch), world))
    if options.importance:
        for ablation in study.ablations(languages, watch=watch):
            console.print(ablation_table(ablation, world))
