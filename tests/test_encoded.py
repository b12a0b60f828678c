"""Items that are kept on disk: the same training, the same scores, and never half a set."""

from __future__ import annotations

import errno
import functools
import os
import shutil
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from test_flat import same
from tiny import save_tiny

from xadapt.backbone.backbone import Backbone
from xadapt.common.errors import UserError
from xadapt.common.progress import Unwatched
from xadapt.data.folder import Folder
from xadapt.data.lazy import Joined
from xadapt.kinds.flat import FlatItems, Writer
from xadapt.stacks.methods import parse_method
from xadapt.store import cache
from xadapt.store.maintenance import gc
from xadapt.store.store import Store
from xadapt.study import item_cache, training
from xadapt.study import run as study
from xadapt.study.inputs import load_inputs
from xadapt.study.item_cache import Encoded, Notes, Request, encoded, find, items_address
from xadapt.study.plan import Overrides, make_plan
from xadapt.study.results import Results
from xadapt.study.state import Run
from xadapt.tasks import task_named
from xadapt.tasks.examples import Classified, Example, Sought
from xadapt.train.optimisation import TaskInputs

LABELS = ("entailment", "neutral", "contradiction")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("world")
    for name, n in (("train-en", 60), ("dev-en", 20), ("dev-de", 30)):
        path = root / "xtreme" / "xnli" / f"{name}.tsv"
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = [f"the man eats {i} apples\tthe woman {'sings ' * (i % 5)}\t{LABELS[i % 3]}" for i in range(n)]
        path.write_text("\n".join(rows))
    tagged = "the\tDET\nold\tADJ\nman\tNOUN\neats\tVERB\n.\tPUNCT\n\nAnna\tPROPN\nlives\tVERB\n\n"
    for name in ("train-en", "dev-en", "dev-de"):
        path = root / "xtreme" / "udpos" / f"{name}.tsv"
        path.parent.mkdir(exist_ok=True)
        path.write_text(tagged * 20)
    return root


def run(world: Path, backbone: Backbone, store: Path, source: Folder | None = None) -> Results:
    plan = make_plan(
        ["mnli[40] > xnli", "udpos"],
        backbone=backbone,
        source=source or Folder(world / "xtreme"),
        method=parse_method("lora"),
        overrides=Overrides(max_steps=8, batch_size=8),
    )
    return study.run(plan, Store(store))


def outcome(results: Results, store: Path) -> tuple[Any, ...]:
    files = {
        (path.parent.name, path.name): path.read_bytes()
        for path in (store / "modules").glob("*/*.safetensors")
    }
    return files, [(c.expr, c.lang, c.metric, c.score, c.n) for c in results.cells]


def keep_from(many: int, monkeypatch: pytest.MonkeyPatch, workers: int = 1) -> None:
    """Keep items on disk from so many examples on; encode them in so many processes."""
    monkeypatch.setattr(item_cache, "MANY", many)
    monkeypatch.setattr(item_cache, "SEVERAL", many)
    monkeypatch.setattr(item_cache, "processes", lambda: workers)


class Counted(Folder):
    """A folder that counts what is loaded from it."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.loaded: list[tuple[str, str, str]] = []

    def load(self, task: str, language: str, split: str) -> Sequence[Example]:
        self.loaded.append((task, language, split))
        return super().load(task, language, split)


def test_modules_and_scores_are_the_same_to_the_last_bit(
    world: Path, backbone: Backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = outcome(run(world, backbone, tmp_path / "plain"), tmp_path / "plain")
    assert not (tmp_path / "plain" / "cache").exists()
    keep_from(10, monkeypatch, workers=2)
    kept = outcome(run(world, backbone, tmp_path / "kept"), tmp_path / "kept")
    assert len(plain[0]) == 6  # three modules and their heads
    assert kept == plain
    assert len(list((tmp_path / "kept" / "cache").iterdir())) >= 5

    # A second start finds the items: no training set is read again.
    for module in (tmp_path / "kept" / "modules").iterdir():
        Store(tmp_path / "kept").remove(module.name)
    source = Counted(world / "xtreme")
    again = outcome(run(world, backbone, tmp_path / "kept", source), tmp_path / "kept")
    assert again == plain
    assert "train" not in {split for _, _, split in source.loaded}
    assert all(check.problem is None for check in Store(tmp_path / "kept").verify())
    assert not Store(tmp_path / "kept").leftovers()


class TwoParts(Folder):
    """Its English dev set is two sets joined, the first five times as large as what a look takes."""

    def load(self, task: str, language: str, split: str) -> Sequence[Example]:
        if (language, split) != ("en", "dev"):
            return super().load(task, language, split)
        sizes = {"first": 2500, "second": 500}
        return Joined(
            (name, [Classified(str(i), name, "eats", LABELS[i % 3]) for i in range(size)])
            for name, size in sizes.items()
        )


def test_every_module_of_some_data_is_selected_on_the_same_sample_of_all_of_dev(
    world: Path, backbone: Backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at: list[list[Classified]] = []

    class ReachedError(Exception):
        pass

    def begun(mounted: object, tasks: Sequence[TaskInputs], *_: object, **__: object) -> None:
        looked_at.append([e for e in tasks[0].dev[0] if isinstance(e, Classified)])
        raise ReachedError

    monkeypatch.setattr(training, "ModuleTraining", begun)
    for method, seed, expression in (("lora", 0, "xnli"), ("bottleneck", 7, "xnli[20]")):
        plan = make_plan(
            [expression],
            backbone=backbone,
            source=TwoParts(world / "xtreme"),
            method=parse_method(method),
            seeds=[seed],
        )
        with pytest.raises(ReachedError):
            study.run(plan, Store(tmp_path))
    one, other = looked_at
    assert one == other
    assert Counter(e.text for e in one) == {"first": 417, "second": 83}
    assert max(int(e.id.split("-")[1]) for e in one) > 2400


def test_a_sample_of_a_pool_has_queries_and_what_answers_them(
    world: Path, backbone: Backbone, tmp_path: Path
) -> None:
    class Pool(Folder):
        def load(self, task: str, language: str, split: str) -> Sequence[Example]:
            queries = [Sought(f"q{i}", "query", "who ?", "", (f"c{i}",)) for i in range(50)]
            return [*queries, *(Sought(f"c{i}", "candidate", f"the man {i}", "", None) for i in range(90))]

        def revision(self, task: str, language: str, split: str) -> str:
            return "1"

        def notes(self, task: str, language: str, split: str) -> dict[str, int]:
            return {}

    task = task_named("lareqa")
    plan = make_plan(["xnli"], backbone=backbone, source=Pool(world / "xtreme"), method=parse_method("lora"))
    examples, items = load_inputs(
        Run(plan, Store(tmp_path)), task, task, languages=["en"], split="dev", max_length=32, sample=10
    )
    ids = [e.id for e in examples]
    assert len(items) == len(ids) == 20
    assert ids[10:] == [f"c{i[1:]}" for i in ids[:10]]
    assert ids[:10] != [f"q{i}" for i in range(10)]


class Noted(Unwatched):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


class Made:
    """Items of 30 NLI examples, how often these were loaded, and what was said of it."""

    def __init__(self, backbone: Backbone, root: Path) -> None:
        self.backbone, self.store = backbone, Store(root)
        self.progress, self.loads = Noted(), 0

    def load(self) -> tuple[list[Classified], Notes]:
        self.loads += 1
        return [Classified(str(i), f"the man {i}", "eats", LABELS[i % 3]) for i in range(30)], {}

    def request(self, **changes: Any) -> Request:
        basis = Request(task_named("xnli"), {"revision": "r1"}, self.load, None, 16, True, "some")
        return basis._replace(**changes)

    def address(self, **changes: Any) -> str:
        return items_address(self.request(**changes), self.backbone)

    def encoded(self, **changes: Any) -> Encoded:
        return encoded(self.request(**changes), self.backbone, self.store, self.progress, {}, workers=1)

    def __call__(self, **changes: Any) -> Sequence[Any]:
        return self.encoded(**changes).items


@pytest.fixture
def made(backbone: Backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Made:
    keep_from(10, monkeypatch)
    return Made(backbone, tmp_path)


def test_items_are_kept_from_a_number_of_examples_on(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(made(), FlatItems)
    assert made.loads == 1
    examples, items, _ = made.encoded()
    assert made.loads == 1
    assert len(examples) == 30
    assert made.loads == 1
    assert list(examples) == made.load()[0]
    keep_from(31, monkeypatch)
    assert isinstance(items, FlatItems)
    assert same(items, made())
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_what_the_readers_noted_is_kept_with_the_items(made: Made) -> None:
    dropped = {"en": {"dropped": 2}}
    made(load=lambda: (made.load()[0], dropped))
    assert made.encoded().notes == dropped
    assert made.loads == 1


def test_what_was_dropped_is_told_once_a_run_where_rows_are_read_and_where_they_are_found(
    world: Path, backbone: Backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Dropping(Counted):
        def notes(self, task: str, language: str, split: str) -> dict[str, int]:
            return {"dropped": 2}

    keep_from(10, monkeypatch)
    source, xnli = Dropping(world / "xtreme"), task_named("xnli")
    plan = make_plan(["xnli"], backbone=backbone, source=source, method=parse_method("lora"))
    for _ in ("read", "found"):
        progress = Noted()
        loaded = Run(plan, Store(tmp_path), progress)
        for length in (16, 17):
            load_inputs(loaded, xnli, xnli, languages=["en"], split="train", max_length=length)
        assert progress.notes == ["xnli train in en: 2 dropped"]
        assert loaded.notes == {("xnli", "en", "train"): {"dropped": 2}}
    assert source.loaded == [("xnli", "en", "train")] * 2, "once for each length, by the first run"


def test_the_address_follows_from_what_determines_the_items(made: Made, tmp_path: Path) -> None:
    base = made.address()
    other = Backbone.from_pretrained(str(save_tiny(tmp_path / "other")))
    assert Made(other, tmp_path).address() == base  # the same tokenizer
    changed = [
        made.address(task=task_named("pawsx")),
        made.address(data={"revision": "r2"}),
        made.address(max_length=17),
        made.address(training=False),
        made.address(task=replace(task_named("xnli"), labels=LABELS[::-1])),
    ]
    assert base not in changed


def test_tasks_that_read_the_same_share_their_items(made: Made) -> None:
    def address(name: str, **changes: object) -> str:
        return made.address(task=replace(task_named(name), **changes))

    assert address("xquad") == address("mlqa") == address("squad_v1") == address("squad_v1", metrics=("f1",))
    assert address("squad_v2") != address("squad_v1")
    assert address("tatoeba") != address("tatoeba", metrics=("map@20",)), "the metric says what is compared"


@pytest.mark.parametrize("file", ["tokens.npy", "targets.npy", "example.npy", "manifest.json"])
@pytest.mark.parametrize("how", ["flipped", "truncated", "missing"])
def test_what_is_not_whole_is_made_again(made: Made, tmp_path: Path, file: str, how: str) -> None:
    items = list(made())
    (path,) = (tmp_path / "cache").glob(f"*/{file}")
    before = path.read_bytes()
    if how == "flipped":
        content = bytearray(before)
        content[len(content) * 2 // 3] ^= 1
        path.write_bytes(content)
    elif how == "truncated":
        path.write_bytes(before[:-4])
    else:
        path.unlink()
    assert same(made(), items)
    assert made.loads == 2
    assert path.read_bytes() == before
    assert [p.name for p in (tmp_path / "cache").iterdir()] == [path.parent.name]


def test_nothing_stays_of_what_was_stopped(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = [Classified(str(i), "a", "b", "maybe" if i == 25 else "neutral") for i in range(30)]
    with pytest.raises(UserError, match="unknown label 'maybe'"):
        made(load=lambda: (bad, {}))
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_disk_that_refuses_is_told_of_and_the_run_goes_on(made: Made, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    assert len(made()) == 30
    assert "some is not kept on disk: " in made.progress.notes[0]


def test_of_two_that_need_the_same_items_the_second_waits(made: Made, tmp_path: Path) -> None:
    address = made.address()
    found: list[Sequence[Any]] = []
    other = threading.Thread(target=lambda: found.append(made()))
    with Store(tmp_path).lock(address):
        other.start()
        while not made.progress.notes:
            other.join(0.01)
        assert not found
        assert made.progress.notes == ["waiting for another run that encodes some"]
    other.join()
    assert len(found[0]) == 30


# -- what gc removes ----------------------------------------------------------------------------


def test_gc_removes_items_that_other_code_made_once_nobody_used_them_for_a_day(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path)
    address = made.address()
    made()
    manifest = tmp_path / "cache" / address / "manifest.json"
    os.utime(manifest, (0, 0))
    assert gc(store).leftovers == ()  # this code finds it
    monkeypatch.setattr(cache, "code_version", lambda: "another")
    with store.lock(address):
        assert gc(store).leftovers == ()
    find(store.cache, address)  # the code that made it runs beside this one, and uses it
    assert gc(store).leftovers == ()
    os.utime(manifest, (0, 0))
    would = gc(store, dry_run=True)
    assert would.leftovers == (manifest.parent,)
    assert would.bytes > 1000
    assert gc(store) == would
    assert list((tmp_path / "cache").iterdir()) == []


def test_gc_removes_what_a_killed_run_left_half_written(made: Made, tmp_path: Path) -> None:
    address = made.address()
    half = tmp_path / "cache" / f".tmp-{address}-1-abcd"
    half.mkdir(parents=True)
    with Store(tmp_path).lock(address):
        assert gc(Store(tmp_path)).leftovers == ()
    assert gc(Store(tmp_path)).leftovers == (half,)
    assert not half.exists()


# -- a full disk --------------------------------------------------------------------------------


def test_items_are_not_kept_where_that_leaves_no_room_for_modules(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=cache.ROOM - 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    assert len(made()) == 30
    assert "some is not kept on disk: " in made.progress.notes[0]
    assert "less than 1,024 MB of the disk are free" in made.progress.notes[0]
    assert list((tmp_path / "cache").iterdir()) == []


def test_nothing_stays_of_items_that_the_disk_has_no_room_for(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    close = Writer.close

    def full(self: Writer) -> None:  # what is still in a file's buffer is written when it is closed
        close(self)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Writer, "close", full)
    assert len(made()) == 30
    assert "No space left" in made.progress.notes[0]
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_trained_module_without_room_keeps_its_checkpoint_and_says_what_to_do(
    world: Path, backbone: Backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync = os.fsync

    def full(handle: int) -> None:
        if "/modules/" in os.readlink(f"/proc/self/fd/{handle}"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(handle)

    at_once = functools.partial(training.ModuleTraining, checkpoint_seconds=0.0)
    monkeypatch.setattr(training, "ModuleTraining", at_once)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(
            UserError, match=r"(?s)mnli\[40\] is trained, and there is no room .*MB free"
        ) as said:
            run(world, backbone, tmp_path)
    (checkpoint,) = (tmp_path / "work").iterdir()
    assert f"training goes on from the checkpoint in {checkpoint}" in str(said.value)
    run(world, backbone, tmp_path)
    assert len(Store(tmp_path).modules()) == 3
    assert not Store(tmp_path).leftovers()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 2 MB, where the machine lets us mount one."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place)]
    try:
        done = subprocess.run(mount, capture_output=True, check=False)
    except OSError:
        pytest.skip("no mount here")
    if done.returncode:
        pytest.skip(f"no right to mount: {done.stderr.decode().strip()}")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_on_a_small_disk_a_cache_that_fills_it_gives_way_to_modules(
    world: Path, backbone: Backbone, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_from(10, monkeypatch)
    filled = small_disk / "cache" / ("0" * 20)
    filled.mkdir(parents=True)
    with suppress(OSError), (filled / "tokens.npy").open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)
    run(world, backbone, small_disk)
    store = Store(small_disk)
    assert [check.problem for check in store.verify()] == [None] * 3
    assert list((small_disk / "cache").iterdir()) == []
