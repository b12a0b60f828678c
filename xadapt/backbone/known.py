"""What a plan needs to know of a backbone, and of which ones it is known beforehand.

The pocket checkpoints come with the package: what they are is written down here, so that a plan on one of
them needs neither torch nor transformers, which take seconds to load. ``tests/test_startup.py`` opens them
and compares.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Final

from xadapt.common.errors import UserError

if TYPE_CHECKING:
    from xadapt.backbone.backbone import Backbone

# A fingerprint has the tokenizer's own record of itself in it, which another version may word otherwise.
TOKENIZERS: Final = "0.22.2"
# Name -> width, fingerprint, digest of the head for masked words.
POCKET: Final = {
    "pocket": (
        192,
        "50c7903ae6309ba947828cabe2470a77c70a107271a87fb8c6e47b5d7933e15b",
        "fc52c056bfad11afe76cfa38f0b1d50fa105aac8b58882e852d1516759923a1a",
    ),
    "pocket-medium": (
        96,
        "effee8b560a7bf02d9f771bcc8e044a964c5b09c8b2d598fad200f01d0d09a51",
        "ed588d92f3c0d3f72c6c619650480a88484f89c58e7f4a476710477ace28c518",
    ),
    "pocket-small": (
        64,
        "bd226b409cb60aecc9d6047675ea610dc581967e190641202d79c8e4dba25f4d",
        "e261184f05d756ef2e9e8d1439aedddfc683765fee1051b77b98c637a9810e95",
    ),
}
LAYERS, MAX_LENGTH = 4, 256  # of all of them


@dataclass(frozen=True)
class Shape:
    """Of HF's configuration what plans ask for."""

    hidden_size: int
    num_hidden_layers: int


@dataclass(frozen=True)
class Known:
    """A backbone that is not opened yet. Attributes and methods as of ``Backbone``.

    Attributes:
        opening: opens it.
    """

    name: str
    fingerprint: str
    dtype_name: str
    layers: int
    max_length: int
    config: Shape
    head: str | None
    opening: Callable[[], Backbone]

    def lm_head_digest(self) -> str | None:
        """What identifies the head for masked words."""
        return self.head

    def opened(self) -> Backbone:
        """The backbone itself.

        Raises:
            UserError: it cannot be opened, or is another one.
        """
        backbone = self.opening()
        if backbone.fingerprint != self.fingerprint:
            raise UserError(
                f"backbone {self.name!r} has the fingerprint {backbone.fingerprint[:16]}...",
                expected=f"{self.fingerprint[:16]}..., as it comes with xadapt",
                do="its files were altered: install xadapt again",
            )
        return backbone


def known(name: str, *, device: str, dtype: str, opening: Callable[[], Backbone]) -> Known | None:
    """What is known of the backbone of this name; None where it must be opened to know it.

    Args:
        device, dtype: as of ``Backbone.from_pretrained``. Others than the usual are tried by opening it.
        opening: opens it.
    """
    # ``auto`` is float32 everywhere: they are too narrow to gain from bf16 (``backbone.BF16_WIDTH``).
    plain = device in ("auto", "cpu") and dtype in ("auto", "float32", "fp32")
    if name not in POCKET or not plain or version("tokenizers") != TOKENIZERS:
        return None
    width, fingerprint, head = POCKET[name]
    return Known(name, fingerprint, "float32", LAYERS, MAX_LENGTH, Shape(width, LAYERS), head, opening)
