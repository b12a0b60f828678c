"""What the layers below all modules make of the data, kept on disk: the same training, the same scores."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny import save_tiny

from xadapt.backbone.backbone import Backbone
from xadapt.common.errors import UserError
from xadapt.common.progress import Unwatched
from xadapt.data.folder import Folder
from xadapt.mount import mount
from xadapt.store.maintenance import gc
from xadapt.store.store import Store
from xadapt.study import trunk_cache
from xadapt.study.results import Results
from xadapt.study.study import Study

LABELS = ("entailment", "neutral", "contradiction")
TOP, ABOVE = "xnli@lora(layers=top2)", "mnli@lora(layers=top2) > xnli@lora(layers=top1)"


class Heard(Unwatched):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("world") / "xtreme"
    for name, n in (("train-en", 30), ("dev-en", 12), ("dev-de", 14)):
        path = root / "xnli" / f"{name}.tsv"
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = [f"the man eats {i} apples\tthe woman {'sings ' * (i % 5)}\t{LABELS[i % 3]}" for i in range(n)]
        path.write_text("\n".join(rows))
    return root


@pytest.fixture(scope="module", params=["float32", "bfloat16"])
def backbone(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    folder = save_tiny(tmp_path_factory.mktemp("checkpoint") / "backbone", hidden_dropout_prob=0.1)
    return Backbone.from_pretrained(str(folder), dtype=request.param)


def study(data: Path, backbone: Backbone, store: Path, *expressions: str, **more: object) -> Study:
    options = {"epochs": 3, "batch_size": 8, "split": "dev", "max_length": 64, "seeds": (0,)} | more
    return Study(list(expressions or [TOP]), backbone, Folder(data), store=store, **options)  # type: ignore[arg-type]


def weights(made: Study) -> list[torch.Tensor]:
    store = made._store
    return [w for info in store.modules() for w in store.load(info.address).weights.values()]


def entries(store: Path) -> list[Path]:
    return sorted(path.parent for path in store.glob(f"cache/*/{trunk_cache.STATES}"))


def scores(found: Results) -> list[float]:
    return [cell.score for cell in found.cells]


def test_training_and_scores_are_those_of_a_run_without(
    data: Path, backbone: Backbone, tmp_path: Path
) -> None:
    plain, kept = (
        study(data, backbone, tmp_path / name, cache_gb=gb) for name, gb in (("a", None), ("b", 1))
    )
    assert scores(plain.run()) == scores(kept.run())
    loose = 0 if backbone.dtype == torch.float32 else 0.02
    for one, other in zip(weights(plain), weights(kept), strict=True):
        torch.testing.assert_close(other, one, atol=1e-5 + loose, rtol=0)
    assert not entries(tmp_path / "a")
    assert len(entries(tmp_path / "b")) == 4  # train, the looks at dev, dev in both languages
    size = sum((path / trunk_cache.STATES).stat().st_size for path in entries(tmp_path / "b"))
    assert size == trunk_cache.kept_bytes(kept._store.cache) > 0


def test_the_layers_run_once_for_all_seeds_and_stacks(
    data: Path, backbone: Backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    write = trunk_cache._write
    monkeypatch.setattr(
        trunk_cache,
        "_write",
        lambda *args: written.append(args[1]) or write(*args),  # type: ignore[func-returns-value]
    )
    study(data, backbone, tmp_path, TOP, "xnli@lora(r=4, layers=top2)", seeds=(0, 1), cache_gb=1).run()
    assert len(written) == len(set(written)) == 4
    study(data, backbone, tmp_path, TOP, seeds=(2,), cache_gb=1).run()
    assert len(written) == 4


def test_what_acts_in_the_first_layer_has_nothing_below_it(
    data: Path, backbone: Backbone, tmp_path: Path
) -> None:
    study(data, backbone, tmp_path, "xnli", cache_gb=1).run()
    assert not entries(tmp_path)


def test_what_does_not_fit_is_told_with_its_size_and_computed(
    data: Path, backbone: Backbone, tmp_path: Path
) -> None:
    watch = Heard()
    study(data, backbone, tmp_path, cache_gb=1e-5).run(watch=watch)
    assert not [path for path in entries(tmp_path) if path.name]
    assert any(
        "is not kept: it takes 0.00 GB" in note and "--cache-gb is 1e-05" in note for note in watch.notes
    )


def test_what_is_looked_at_once_is_not_kept(data: Path, backbone: Backbone, tmp_path: Path) -> None:
    study(data, backbone, tmp_path, max_steps=2, cache_gb=1).run()
    assert len(entries(tmp_path)) == 3  # those of dev: the 30 training items are not all seen


def test_a_damaged_entry_is_refused_where_it_is_read(data: Path, backbone: Backbone, tmp_path: Path) -> None:
    made = study(data, backbone, tmp_path, cache_gb=1)
    made.run()
    for path in entries(tmp_path):
        with (path / trunk_cache.STATES).open("r+b") as file:
            file.seek(100)
            file.write(b"\x7f\x7f\x7f\x7f")
    with pytest.raises(UserError, match="kept states of item"):
        study(data, backbone, tmp_path, seeds=(1,), cache_gb=1).run()


def test_what_is_cut_short_or_of_other_code_is_made_again_and_swept(
    data: Path, backbone: Backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = study(data, backbone, tmp_path, cache_gb=1)
    want = scores(made.run())
    for path in entries(tmp_path):
        (path / "manifest.json").unlink()
    assert scores(study(data, backbone, tmp_path, cache_gb=1).run()) == want
    monkeypatch.setattr("xadapt.store.cache.code_version", lambda: "other")
    monkeypatch.setattr("xadapt.store.cache.UNUSED", -1.0)
    assert set(entries(tmp_path)) <= set(gc(Store(tmp_path)).leftovers)
    assert not entries(tmp_path)


def test_states_of_too_many_layers_are_refused(backbone: Backbone) -> None:
    from mount_common import BATCH, module

    from xadapt.stacks.methods import LoRA

    mounted = mount(backbone, [module(backbone, LoRA(layers="top2"), 0)])
    with pytest.raises(ValueError, match="after 3 layers"):
        mounted.encode(BATCH, done=(3, torch.zeros(8, 32)))
