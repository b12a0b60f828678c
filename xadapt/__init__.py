"""Parameter-efficient intermediate-task training for zero-shot cross-lingual transfer.

The public names are those of ``xadapt.study.study``, which is loaded when the first of them is asked for:
``import xadapt`` alone takes no time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xadapt.study.study import (
        Backbone,
        Bottleneck,
        Full,
        LoRA,
        Module,
        Mounted,
        Packed,
        Results,
        Stack,
        Store,
        Study,
        UserError,
        pack,
        run,
    )

__all__ = [
    "Backbone",
    "Bottleneck",
    "Full",
    "LoRA",
    "Module",
    "Mounted",
    "Packed",
    "Results",
    "Stack",
    "Store",
    "Study",
    "UserError",
    "pack",
    "run",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from xadapt.study import study as api

        return getattr(api, name)
    raise AttributeError(f"module 'xadapt' has no attribute {name!r}")
