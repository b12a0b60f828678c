"""Parameter-efficient intermediate-task training for zero-shot cross-lingual transfer.

A name is loaded when it is first asked for: ``import xadapt`` alone takes no time.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xadapt.backbone.packing import Packed, pack
    from xadapt.common.errors import UserError
    from xadapt.common.measure import Spread, side_by_side
    from xadapt.data.reading import Reading
    from xadapt.grid.grid import Grid
    from xadapt.kinds.choose import Choose
    from xadapt.kinds.classify import Classify
    from xadapt.kinds.extract import Extract
    from xadapt.kinds.kind import Item, Kind
    from xadapt.kinds.mlm import Mlm
    from xadapt.kinds.tag import Tag
    from xadapt.mount import Mounted
    from xadapt.record.figure import (
        Amount,
        Curve,
        Difference,
        Entry,
        Figure,
        Forest,
        Front,
        Heatmap,
        Point,
        Series,
        Table,
        front_of,
    )
    from xadapt.record.record import StudyRecord, recorded
    from xadapt.record.recording import record_of
    from xadapt.record.scaling import encoder_sizes, per_doubling, scaling
    from xadapt.report.filling import Filling
    from xadapt.report.page import check_report, write_report
    from xadapt.report.progress import Bars
    from xadapt.report.recipe import RecipeOptions, shown
    from xadapt.report.script import script, show, write_json
    from xadapt.report.tracking import Tracked
    from xadapt.stacks.methods import Bottleneck, Full, LoRA
    from xadapt.stacks.stack import Stack
    from xadapt.statistics.estimate import Estimate
    from xadapt.store.store import Store
    from xadapt.study.available import available, training_languages
    from xadapt.study.backbone import Backbone
    from xadapt.study.evidence import Contrast, Evidence, Row, average
    from xadapt.study.one_call import run
    from xadapt.study.opening import Module, load
    from xadapt.study.predictor import Predictor
    from xadapt.study.results import Results
    from xadapt.study.study import Study
    from xadapt.tasks.catalogue import BENCHMARKS, NINE_INTERMEDIATE
    from xadapt.tasks.examples import Answer, Chosen, Classified, Extracted, Paired, Sought, Tagged, Text
    from xadapt.tasks.languages import basis_of, grouped
    from xadapt.tasks.task import File, Hub, Task

__all__ = [
    "BENCHMARKS",
    "NINE_INTERMEDIATE",
    "Amount",
    "Answer",
    "Backbone",
    "Bars",
    "Bottleneck",
    "Choose",
    "Chosen",
    "Classified",
    "Classify",
    "Contrast",
    "Curve",
    "Difference",
    "Entry",
    "Estimate",
    "Evidence",
    "Extract",
    "Extracted",
    "Figure",
    "File",
    "Filling",
    "Forest",
    "Front",
    "Full",
    "Grid",
    "Heatmap",
    "Hub",
    "Item",
    "Kind",
    "LoRA",
    "Mlm",
    "Module",
    "Mounted",
    "Packed",
    "Paired",
    "Point",
    "Predictor",
    "Reading",
    "RecipeOptions",
    "Results",
    "Row",
    "Series",
    "Sought",
    "Spread",
    "Stack",
    "Store",
    "Study",
    "StudyRecord",
    "Table",
    "Tag",
    "Tagged",
    "Task",
    "Text",
    "Tracked",
    "UserError",
    "available",
    "average",
    "basis_of",
    "check_report",
    "encoder_sizes",
    "front_of",
    "grouped",
    "load",
    "pack",
    "per_doubling",
    "record_of",
    "recorded",
    "run",
    "scaling",
    "script",
    "show",
    "shown",
    "side_by_side",
    "training_languages",
    "write_json",
    "write_report",
]

_HOMES = {
    "backbone.packing": ("Packed", "pack"),
    "common.errors": ("UserError",),
    "common.measure": ("Spread", "side_by_side"),
    "data.reading": ("Reading",),
    "grid.grid": ("Grid",),
    "kinds.choose": ("Choose",),
    "kinds.classify": ("Classify",),
    "kinds.extract": ("Extract",),
    "kinds.kind": ("Item", "Kind"),
    "kinds.mlm": ("Mlm",),
    "kinds.tag": ("Tag",),
    "mount": ("Mounted",),
    "record.figure": (
        "Amount",
        "Curve",
        "Difference",
        "Entry",
        "Figure",
        "Forest",
        "Front",
        "Heatmap",
        "Point",
        "Series",
        "Table",
        "front_of",
    ),
    "record.record": ("StudyRecord", "recorded"),
    "record.recording": ("record_of",),
    "record.scaling": ("encoder_sizes", "per_doubling", "scaling"),
    "report.filling": ("Filling",),
    "report.page": ("check_report", "write_report"),
    "report.progress": ("Bars",),
    "report.recipe": ("RecipeOptions", "shown"),
    "report.script": ("script", "show", "write_json"),
    "report.tracking": ("Tracked",),
    "stacks.methods": ("Bottleneck", "Full", "LoRA"),
    "stacks.stack": ("Stack",),
    "statistics.estimate": ("Estimate",),
    "store.store": ("Store",),
    "study.available": ("available", "training_languages"),
    "study.backbone": ("Backbone",),
    "study.evidence": ("Contrast", "Evidence", "Row", "average"),
    "study.one_call": ("run",),
    "study.opening": ("Module", "load"),
    "study.predictor": ("Predictor",),
    "study.results": ("Results",),
    "study.study": ("Study",),
    "tasks.catalogue": ("BENCHMARKS", "NINE_INTERMEDIATE"),
    "tasks.examples": (
        "Answer",
        "Chosen",
        "Classified",
        "Extracted",
        "Paired",
        "Sought",
        "Tagged",
        "Text",
    ),
    "tasks.languages": ("basis_of", "grouped"),
    "tasks.task": ("File", "Hub", "Task"),
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("xadapt")
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"xadapt.{home}"), name)
    raise AttributeError(f"module 'xadapt' has no attribute {name!r}")
