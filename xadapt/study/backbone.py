"""The backbone as users have it: stacks can be mounted on it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from torch import Tensor

from xadapt.backbone import backbone as _backbone
from xadapt.backbone.packing import Packed
from xadapt.common.errors import UserError
from xadapt.interop.module import Module
from xadapt.mount import Element, Fold, Mounted, encode_many, mount
from xadapt.stacks.stack import Stack

if TYPE_CHECKING:
    from xadapt.study.study import Study


class Backbone(_backbone.Backbone):
    """A frozen XLM-R that stacks can be mounted on. ``from_pretrained`` opens one."""

    @contextmanager
    def mount(
        self,
        stack: Stack | str | Module | None,
        study: Study | None = None,
        *,
        seed: int = 0,
        language: str | None = None,
        fold: Fold = False,
    ) -> Iterator[Mounted]:
        """A stack on this backbone, as long as the block lasts; the backbone stays as it is, and several
        stacks can be held at once.

        Args:
            stack: an expression whose modules ``study`` has trained, or a module with all it stands on; None
                for the bare encoder.
            study: whose store and settings; needed for an expression.
            seed: of the study's modules.
            language: of a stack with ``lang(...)``: on which language module.
            fold: as in ``xadapt.mount.mount``: ``True`` or ``"cat"`` for cheaper inference.

        Yields:
            ``mounted.encode(batch)`` gives hidden states (tokens, width) of packed sequences.

        Raises:
            UserError: not trained yet, another backbone, weights that do not fit or change nothing.
        """
        parts: list[Element]
        if stack is None:
            parts = []
        elif isinstance(stack, Module):
            parts = stack.elements(self)
        elif study is None:
            raise UserError(
                f"'{stack}' without a study",
                expected="a study that says with which data and settings its modules are trained",
                do="give study=Study([...], backbone), or a Module",
            )
        else:
            parts = study.elements(stack, seed, self, language=language)
        yield mount(self, parts, fold=fold)

    def encode_many(
        self, stacks: Sequence[Mounted], batch: Packed, layers: int | None = None
    ) -> list[Tensor]:
        """One batch under each of several held stacks; what lies below all their modules is computed once.

        Args:
            stacks: mounted on this backbone; fusions and merges among them.
            batch: packed sequences, T tokens, on the backbone's device.
            layers: how many layers to run; all by default.

        Returns:
            hidden states (T, width) of each stack, equal to its own ``encode``.
        """
        return encode_many(self, stacks, batch, layers)
