"""What every test may rely on."""

import os

import pytest

# What a user's shell may have set: for the hub's client, for colours and widths, for this package.
_OTHERS = ("HF_", "HUGGINGFACE_", "TRANSFORMERS_", "DATASETS_", "XADAPT_", "PYTHON_TYRO_")
_WIDTHS = ("COLUMNS", "LINES", "TERM", "NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE")


def pytest_configure(config: pytest.Config) -> None:
    """Clear it for the tests and the processes that they start; most of it is read once, on import, which is
    after this."""
    for name in list(os.environ):
        if name.startswith(_OTHERS) or name in _WIDTHS:
            del os.environ[name]
