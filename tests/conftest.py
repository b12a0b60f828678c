"""What every test may rely on: an environment without settings of a user's shell, and the fixtures."""

import os

import pytest

# What a shell may have set: for the hub's client, for colours and widths, for this package. Cleared for the
# tests and for the processes that they start, before anything is imported that reads it.
_OTHERS = ("HF_", "HUGGINGFACE_", "TRANSFORMERS_", "DATASETS_", "XADAPT_", "PYTHON_TYRO_")
_WIDTHS = ("COLUMNS", "LINES", "TERM", "NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE")
for _name in list(os.environ):
    if _name.startswith(_OTHERS) or _name in _WIDTHS:
        del os.environ[_name]
# Several processes of tests: a thread each, as a core is all that each has.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ["OMP_NUM_THREADS"] = "1"

pytest_plugins = ["worlds"]

# The files that take longest though they hold few tests: first, or one core would wait for them at the end.
_LONG = ("test_readme", "test_train", "test_backbone_hub", "test_benchmarks")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the files; within one the order stays."""
    items.sort(key=lambda item: item.path.stem not in _LONG)
