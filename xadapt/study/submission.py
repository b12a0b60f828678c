"""A study's predictions as the files that XTREME's leaderboard takes, with what they come from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from xadapt.common.launch import leads
from xadapt.interop.xtreme_folder import write_predictions
from xadapt.study.plan import Plan
from xadapt.study.results import Predicted


def write(plan: Plan, made: Sequence[Predicted], out: Path, *, overwrite: bool = False) -> list[Path]:
    """Write the predictions of the plan's one expression into ``out/<task>/``; returns the files. Of several
    processes only the one that leads writes.

    Raises:
        UserError: there are some already (unless ``overwrite``), or the disk refuses.
    """
    if not leads():
        return []
    (evaluation,) = plan.evaluations
    provenance = {
        "expression": evaluation.expr,
        "seed": evaluation.seed,
        "split": evaluation.split,
        "max_length": evaluation.max_length,
        "layer": evaluation.layer,
        "modules": [
            {"expression": str(place), "address": address}
            for place, address in plan.addresses[evaluation.seed].items()
        ],
        "backbone": {
            "name": plan.backbone.name,
            "fingerprint": plan.backbone.fingerprint,
            "dtype": plan.backbone.dtype_name,
        },
        "data": {"source": plan.source.name, "revisions": {one.lang: one.revision for one in made}},
    }
    predicted = {one.lang: (one.examples, one.predictions) for one in made}
    return write_predictions(out, evaluation.task, predicted, provenance, overwrite=overwrite)
