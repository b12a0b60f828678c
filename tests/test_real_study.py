"""Every task whose real files lie in ``../shared`` runs on them, with the small pretrained XLM-R there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from tiny import SHARED

from xadapt.backbone.backbone import Backbone
from xadapt.common.errors import UserError
from xadapt.data.folder import Folder
from xadapt.stacks.methods import LoRA
from xadapt.store.store import Store
from xadapt.study.plan import Overrides, make_plan
from xadapt.study.run import run
from xadapt.tasks import CATALOGUE
from xadapt.tasks.examples import Example, Sought

HERE = (SHARED / "xtreme").is_dir() and (SHARED / "minilm-xlmr").is_dir()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not HERE, reason="no ../shared with xtreme/ and minilm-xlmr/"),
]


class Few(Folder):
    """The first forty examples of each file: whole files are read in ``test_folder_real.py``. Of a pool,
    forty queries, the candidates that answer them and forty others."""

    def load(self, task: str, language: str, split: str) -> Sequence[Example]:
        found = super().load(task, language, split)
        queries = [e for e in found if isinstance(e, Sought) and e.answers][:40]
        wanted = {answer for query in queries for answer in query.answers or ()}
        answers = [e for e in found if e.id in wanted]
        others = [e for e in found if not (isinstance(e, Sought) and (e.side == "query" or e.id in wanted))]
        return [*queries, *answers, *others[:40]]


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    return Backbone.from_pretrained(str(SHARED / "minilm-xlmr"))


@pytest.fixture(scope="module")
def source() -> Folder:
    return Few(SHARED / "xtreme")


@pytest.mark.parametrize("name", CATALOGUE)
def test_a_task_runs_on_its_real_files(backbone: Backbone, source: Folder, tmp_path: Path, name: str) -> None:
    task = CATALOGUE[name]
    if task.train is not None and "en" not in source.languages(task.train, "train"):
        pytest.skip(f"no training files of {task.train} in ../shared")
    expression = f"{name}[32]" if task.train else name
    languages = ["sw"]
    if task.role == "intermediate":
        expression += " > tatoeba"
    else:
        try:
            split = source.test_split(name)
        except UserError as error:  # placeholders alone
            pytest.skip(str(error))
        others = [lang for lang in source.languages(name, split) if lang != "en"]
        if not others:
            pytest.skip(f"no evaluation files of {name} in ../shared")
        languages = others[:1]
    plan = make_plan(
        [expression],
        backbone=backbone,
        source=source,
        method=LoRA(),
        languages=languages,
        overrides=Overrides(max_steps=1, batch_size=8),
    )
    found = run(plan, Store(tmp_path), baselines=False)
    assert found.cells
    assert all(0 <= c.score <= 100 and c.n > 0 for c in found.cells)
    assert all(m.trained for m in found.modules)
