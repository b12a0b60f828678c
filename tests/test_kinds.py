"""What every kind has to answer to is asked where a kind is defined."""

import pytest

from xadapt.kinds import KINDS, RETRIEVAL
from xadapt.kinds.kind import Kind
from xadapt.kinds.untrained import Untrained


def test_a_kind_that_lacks_a_method_fails_where_it_is_defined() -> None:
    with pytest.raises(TypeError, match=r"the kind Half has no encode, head, units, loss, .* metrics"):
        type("Half", (Kind,), {})


def test_a_kind_that_names_no_metrics_fails_where_it_is_defined() -> None:
    whole = {name: lambda self: None for name in ("encode", "outputs", "decode", "counts", "baselines")}
    with pytest.raises(TypeError, match="the kind Silent has no metrics"):
        type("Silent", (Untrained,), whole)


def test_each_kind_serves_the_word_that_it_is_found_under() -> None:
    assert {word: kind.serves for word, kind in KINDS.items()} == {word: word for word in KINDS}
    assert {metric: kind.metrics for metric, kind in RETRIEVAL.items()} == {m: (m,) for m in RETRIEVAL}
