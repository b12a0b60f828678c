"""``xadapt layers``: retrieval at every hidden layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import tyro

from xadapt.cli.options import with_target
from xadapt.cli.run import Evaluated, evaluated, run
from xadapt.common.output import write_output

if TYPE_CHECKING:
    from rich.console import Console

    from xadapt.study.results import Results


@dataclass(frozen=True)
class Layers(Evaluated):
    """Score retrieval at every hidden layer, in one pass over the data, and show the curve."""

    expressions: tyro.conf.Positional[tuple[str, ...]] = ()
    """what to evaluate, such as "mnli" "squad_v1"; the bare backbone where none is named"""
    task: str = "tatoeba"
    """a retrieval task that trains nothing, such as tatoeba or bucc"""


def sweep(options: Layers, console: Console, errors: Console) -> Results | None:
    """The same as ``run`` with each ``--layer`` in turn, in one pass over the data."""
    from xadapt.data.user_tasks import catalogue_with

    rows = catalogue_with(options.tasks)
    expressions = [with_target(e, options.task, rows) for e in options.expressions]
    study = evaluated(options, expressions or [options.task], layer="every")
    results = run(study, options, console, errors, baselines=False)
    if results is not None:
        from xadapt.report.layer_curve import best_layers, print_layers
        from xadapt.report.tables import as_json

        print_layers(results, console)
        if options.json is not None:
            write_output(options.json, as_json(results) | {"layers": best_layers(results)})
    return results
