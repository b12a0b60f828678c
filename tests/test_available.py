"""What a source can serve, and what a data set's texts look like to the frozen encoder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from xadapt.backbone.backbone import Backbone
from xadapt.common.errors import UserError
from xadapt.study.available import available, training_languages
from xadapt.study.study import Study


def test_tasks_that_the_data_lack_are_named(world: Path) -> None:
    there, lacking = available(["mnli", "xnli", "panx"], str(world / "xtreme"))
    assert there == ("mnli", "xnli")
    assert "no train data of panx" in lacking["panx"]


def test_languages_of_training_data(world: Path) -> None:
    assert training_languages("mnli", str(world / "xtreme")) == ("en",)
    assert set(training_languages("mnli", "pocket")) == {"en", "de", "es", "ru", "tr", "sw", "hi"}
    assert training_languages("tatoeba", "pocket") == ()  # it trains on nothing
    with pytest.raises(UserError, match="unknown task"):
        training_languages("mnl", "pocket")


@pytest.fixture
def study(world: Path, backbone: Backbone, tmp_path: Path) -> Study:
    return Study(["xnli"], backbone, world / "xtreme", store=tmp_path)


def test_a_data_set_is_one_vector_of_its_texts(study: Study, backbone: Backbone) -> None:
    vector = study.text_embedding("udpos", 4)
    assert vector.shape == (backbone.config.hidden_size,)
    assert np.isfinite(vector).all()
    np.testing.assert_array_equal(vector, study.text_embedding("udpos", 4))
    np.testing.assert_allclose(
        study.text_embedding("mlqa"), study.text_embedding("xquad")
    )  # both are SQuAD's
    assert not np.allclose(vector, study.text_embedding("xquad"))
    backbone.verify()


def test_a_task_without_training_data_has_no_texts(study: Study) -> None:
    with pytest.raises(UserError, match="tatoeba has no training data"):
        study.text_embedding("tatoeba")
