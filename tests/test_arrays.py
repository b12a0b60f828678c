"""Arrays as text."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from xadapt.common.arrays import as_text, from_text
from xadapt.common.files import json_text

VALUES = st.one_of(st.integers(0, 2), st.integers(0, 2**40), st.floats(allow_nan=False, allow_infinity=False))


@given(arrays(np.float64, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=40), elements=VALUES))
def test_an_array_comes_back_to_the_bit(array: np.ndarray) -> None:
    said = as_text(array)
    json_text(said)
    back = from_text(said)
    assert back.dtype == np.float64
    np.testing.assert_array_equal(back, array)


def test_five_thousand_hits_take_about_a_kilobyte() -> None:
    hits = np.stack([np.random.default_rng(0).random(5000) < 0.7, np.ones(5000)], axis=1).astype(float)
    assert len(as_text(hits)["data"]) < 1600


def test_no_items_are_an_array_too() -> None:
    assert from_text(as_text(np.zeros((0, 2)))).shape == (0, 2)


@pytest.mark.parametrize(
    "said",
    [
        None,
        {},
        {"type": "O", "columns": 2, "data": ""},
        {"type": "<u1", "columns": 2, "data": "!"},
        {"type": "<u1", "columns": 2, "data": "AAAA"},
    ],
)
def test_what_is_no_array_is_refused(said: object) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        from_text(said)
