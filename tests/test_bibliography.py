"""BibTeX of what is used."""

from __future__ import annotations

import pytest

from xadapt.record.methods_text import _COMBINED, _METHODS, _STATISTICS
from xadapt.tasks import CATALOGUE
from xadapt.tasks.bibliography import bibtex, cited, key_of


@pytest.mark.parametrize("name", CATALOGUE)
def test_every_work_that_a_task_cites_has_an_entry(name: str) -> None:
    works = cited(CATALOGUE[name].citation)
    assert works
    for work in works:
        entry = bibtex([work])
        assert entry.startswith("@")
        assert f"{{{key_of(work)}," in entry
        assert f"year = {{{work[-4:]}}}" in entry
        assert entry.count("{") == entry.count("}")


def test_so_has_what_a_methods_paragraph_cites() -> None:
    for work in (*_COMBINED.values(), *(source for _, source in _METHODS.values() if source), *_STATISTICS):
        assert key_of(work) in bibtex([work])


def test_each_entry_stands_once_in_the_order_of_keys() -> None:
    text = bibtex(["Yang et al. 2019", "Artetxe et al. 2020", "Yang et al. 2019", "Nobody 2031"])
    assert text.count("@") == 2
    assert text.index("artetxe-etal-2020") < text.index("yang-etal-2019")
