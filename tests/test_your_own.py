"""Tasks, readers, kinds, methods and merges of a user's own: docs/your-own.md runs as it stands."""

from __future__ import annotations

import hashlib
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mount_common import trained

import xadapt
from xadapt.backbone.backbone import Backbone
from xadapt.cli.main import main
from xadapt.common.own import found, version_of
from xadapt.mount import Merged, Part, mount
from xadapt.stacks.methods import LoRA, Own, parse_method
from xadapt.tasks.task import asked, reading_of

PAGE = (Path(__file__).parent.parent / "docs" / "your-own.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', PAGE, re.DOTALL | re.MULTILINE)
FILES = {title: text for _, title, text in BLOCKS if title}
COMMANDS = [line for language, _, text in BLOCKS if language == "sh" for line in text.splitlines()]
LONGEST = 40  # lines of a user's code

DATA = {
    "stance/train.tsv": "we need more trains\ttrains are slow\tagainst\nwe need more trains\tso we do\tfor\n"
    * 10,
    "stance/dev-en.tsv": "buses are best\tthey are\tfor\n" * 3 + "buses are best\tno\tagainst\n",
    "stance/dev-de.tsv": "Busse sind gut\tja\tfor\n" * 3 + "Busse sind gut\tnein\tagainst\n",
    "verdicts-train.csv": "text,judged\nno idea,\n" + "good,good\nbad,bad\n" * 20,
    "verdicts-test.csv": "text,judged\nno idea,\n" + "not good,bad\nnot bad,good\n",
    "stars-train.tsv": "".join(f"rated\t{n} of five\t{n}\n" for n in range(1, 6)) * 8,
    "stars-test.tsv": "".join(f"rated\t{n} of 5\t{n}\n" for n in range(1, 6)),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page's files, and data for them."""
    root = tmp_path_factory.mktemp("own")
    for name, text in (FILES | DATA).items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    return root


@pytest.fixture
def here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, as Python and the command line have it."""
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(folder)
    return folder


@pytest.mark.parametrize("name", FILES)
def test_it_takes_fewer_than_forty_lines(name: str) -> None:
    assert len(FILES[name].splitlines()) < LONGEST


@pytest.mark.parametrize("command", COMMANDS)
def test_the_commands_of_the_page_run(command: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program, *words = shlex.split(command)
    assert program == "xadapt"
    main(words)
    assert capsys.readouterr().out.strip()


@pytest.mark.parametrize("name", [n for n, text in FILES.items() if "xadapt.Study(" in text])
def test_the_scripts_of_the_page_run(name: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(name, run_name="__main__")
    assert capsys.readouterr().out.strip()


def test_the_command_finds_code_in_the_working_folder(folder: Path) -> None:
    entry = "import sys; sys.path.remove(''); from xadapt.__main__ import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", entry, "tasks", "check", "sheet.toml"],
        cwd=folder, env={"PYTHONPATH": str(Path(__file__).parent.parent), "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "1 without a verdict" in done.stdout


# -- what is an own name's version, and what is refused --------------------------------------------


def task(kind: str = "classify", reader: str = "pairs", **row: object) -> xadapt.Task:
    files = {"train": (xadapt.File("train.tsv", reader),), "test": (xadapt.File("{lang}.tsv", reader),)}
    usual: dict[str, object] = {"metrics": ("accuracy",), "labels": ("a", "b"), "files": files}
    usual |= {
        "name": "own",
        "kind": kind,
        "role": "target",
        "summary": "",
        "languages": ("en",),
        "train": "own",
    }
    return xadapt.Task(**(usual | row))  # type: ignore[arg-type]


@pytest.fixture
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that Python finds modules in, and a working folder."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_version_is_what_the_file_states_or_else_a_hash_of_it(code: Path) -> None:
    (code / "v_stated.py").write_text("VERSION = 7\ndef read(): ...\n", encoding="utf-8")
    for name, text in (("v_one", "def read(): ...\n"), ("v_two", "def read(): ...  # other\n")):
        (code / f"{name}.py").write_text(text, encoding="utf-8")
    assert version_of("v_stated.read") == "v_stated.read:7"
    one, two = version_of("v_one.read").split(":")[1], version_of("v_two.read").split(":")[1]
    assert len(one) == len(two) == 16
    assert one != two


def test_the_version_is_that_of_the_users_files_wherever_the_object_is_from(code: Path) -> None:
    (code / "w_made.py").write_text("VERSION = 2\ndef read(): ...\n", encoding="utf-8")
    (code / "w_part.py").write_text(
        "import functools, w_made\n"
        "from w_made import read\n"
        "m = functools.partial(int)\n"
        "r = functools.partial(read)\n",
        encoding="utf-8",
    )
    digest = hashlib.sha256((code / "w_part.py").read_bytes()).hexdigest()[:16]
    assert version_of("w_made.read") == "w_made.read:2"
    assert version_of("w_part.m") == f"w_part.m:{digest}"
    assert version_of("w_part.r") == f"w_part.r:{digest}:2"
    assert version_of("w_part.read") == f"w_part.read:{digest}:2"


def test_it_stands_in_what_a_task_asks_and_in_how_its_data_are_read(code: Path) -> None:
    (code / "stands_in.py").write_text(
        "import xadapt\nVERSION = 3\nclass Mine(xadapt.Classify): ...\ndef read(paths, task, split): ...\n",
        encoding="utf-8",
    )
    row = task("stands_in.Mine", "stands_in.read")
    assert asked(row)["kind"] == "stands_in.Mine:3"
    how = reading_of(row, row.files["train"][0])
    assert (how["row"]["kind"], how["file"]["reader"]) == ("stands_in.Mine:3", "stands_in.read:3")
    ours = task()
    assert (asked(ours)["kind"], reading_of(ours, ours.files["train"][0])["file"]["reader"]) == (
        "classify",
        "pairs",
    )


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no_such_file.read", "there is no Python module 'no_such_file'"),
        ("broken_own.read", "importing 'broken_own' fails: ZeroDivisionError"),
        ("plain_own.raed", "has no 'raed'; did you mean 'read'"),
        ("plain_own.x", r"'plain_own.x' is int 3\n  expected: a function or a class"),
    ],
)
def test_code_that_cannot_be_had_is_said(name: str, message: str, code: Path) -> None:
    (code / "broken_own.py").write_text("1 / 0\n", encoding="utf-8")
    (code / "plain_own.py").write_text("x = 3\ndef read(): ...\n", encoding="utf-8")
    with pytest.raises(xadapt.UserError, match=message):
        found(name)


READERS = """
import xadapt
def nothing(paths, task, split): return xadapt.Reading([], True)
def lists(paths, task, split): return []
def other(paths, task, split): return xadapt.Reading([xadapt.Text("0", "a")], True)
class Kindless: ...
"""


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"reader": "odd_own.nothing"}, "finds no example"),
        ({"reader": "odd_own.lists"}, "gives list"),
        ({"reader": "odd_own.other"}, "examples of class Text"),
        ({"kind": "odd_own.Kindless"}, "a class that serves one of classify"),
        ({"kind": "clasify"}, "or module.name of a class of your own"),
        ({"labels": ()}, "kind classify needs labels"),
        ({"name": "xnli"}, "a task of this name already"),
        ({"train": "nothing"}, "is no task"),
    ],
)
def test_a_task_made_in_python_is_checked_before_anything_is_trained(
    row: dict[str, str], message: str, code: Path, checkpoint: Path
) -> None:
    (code / "odd_own.py").write_text(READERS, encoding="utf-8")
    for name in ("train", "en"):
        (code / f"{name}.tsv").write_text("x\ty\ta\n", encoding="utf-8")
    given = task(**row)
    study = xadapt.Study(
        given.name, str(checkpoint), data=".", tasks=given, max_steps=1, store=code / "store"
    )
    with pytest.raises(xadapt.UserError, match=message):
        study.run(baselines=False)
    assert not list((code / "store").glob("modules/*"))


def test_a_module_of_an_own_kind_is_opened_where_its_code_is_the_same(here: Path, tmp_path: Path) -> None:
    study = xadapt.Study("stars", data=".", tasks="grades.toml", max_steps=2, store=tmp_path / "store")
    study.run(baselines=False)
    module = xadapt.Module.from_store(xadapt.Store(tmp_path / "store"), study.addresses("stars")[-1])
    folder = module.save_pretrained(tmp_path / "sent")
    assert xadapt.Module.from_pretrained(folder).predictor()(["rated"])[0].label in "12345"
    code = sys.modules.pop("grades")
    try:
        with pytest.raises(xadapt.UserError, match="import grades first"):
            xadapt.Module.from_pretrained(folder)
        code.VERSION = "another"  # type: ignore[attr-defined]
        sys.modules["grades"] = code
        with pytest.raises(xadapt.UserError, match="trained with other code of its kind"):
            xadapt.Module.from_pretrained(folder).predictor()
    finally:
        del code.VERSION  # type: ignore[attr-defined]


# -- merges ----------------------------------------------------------------------------------------

MERGES = """
import torch
from mount_common import trained
def total(updates, weights, *, times=1.0):
    return (times if len(updates) > 1 else 1) * sum(w * u for w, u in zip(weights, updates))
def halved(updates, weights): return updates[0] / 2
def one_number(updates, weights): return updates[0].sum()
def thinned(updates, weights, *, keep=0.5):
    if len(updates) == 1: return updates[0]
    return sum(u * (torch.rand(u.shape) < keep) for u in updates)
def listed(updates, weights, *, ways=()): return updates[0]
def raises(updates, weights): raise RuntimeError("boom")
"""


@pytest.fixture
def merges(code: Path) -> str:
    """A module of merges, of a name that no other test has."""
    name = f"merges_{code.name.replace('-', '_')}"
    (code / f"{name}.py").write_text(MERGES, encoding="utf-8")
    return name


def test_a_merge_of_ones_own_is_text_like_any_other(merges: str) -> None:
    stack = xadapt.Stack(f"{merges}.total(0.5*mnli, qqp, times=2) > xnli")
    assert xadapt.Stack(str(stack)) == stack
    assert str(stack) == f"{merges}.total(0.5*mnli, qqp, times=2.0) > xnli"
    assert str(xadapt.Stack(f"{merges}.total(mnli, qqp, times=1)")) == f"{merges}.total(mnli, qqp)"


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("nowhere.total(mnli, qqp) > xnli", "there is no Python module 'nowhere'"),
        ("MERGES.totl(mnli, qqp) > xnli", "has no 'totl'; did you mean 'total'"),
        ("MERGES.total(mnli, qqp, tims=1) > xnli", "no option 'tims'; did you mean 'times'"),
        ("MERGES.total(mnli, qqp, times=much) > xnli", "times must be a number"),
        ("MERGES.total(mnli@bottleneck, qqp@bottleneck) > xnli", "cannot combine bottleneck modules"),
        ("MERGES.total(mnli, mnli) > xnli", "stands twice"),
        ("MERGES.total(mnli, qqp)@lora > xnli", "trains nothing"),
        ("MERGES.listed(mnli, qqp) > xnli", "is no merge"),
        ("MERGES.total > xnli", "cannot be the name of a task"),
        ("xnli.total", "cannot be the name of a task"),
    ],
)
def test_what_is_wrong_with_it_is_said_in_the_expression(expression: str, message: str, merges: str) -> None:
    with pytest.raises(xadapt.UserError, match=message):
        xadapt.Stack(expression.replace("MERGES", merges))


def lora(seed: int, backbone: Backbone) -> Part:
    """A trained module with effects in every linear of its targets."""
    fresh = mount(backbone, [Part("new", LoRA(r=2, targets="qv"), None)], seed=(seed,)).weights()
    draw = torch.Generator().manual_seed(seed)
    return Part(
        f"m{seed}",
        LoRA(r=2, targets="qv"),
        {n: torch.randn(w.shape, generator=draw) for n, w in fresh.items()},
    )


def test_it_computes_what_it_says(merges: str, backbone: Backbone) -> None:
    one, other = lora(1, backbone), lora(2, backbone)
    batch = xadapt.pack([[0, 17, 33, 2]])

    def outputs(how: str, **options: object) -> torch.Tensor:
        merged = Merged("it", how, ((0.5, one), (2.0, other)), options)
        with torch.inference_mode():
            return mount(backbone, [merged]).encode(batch)

    torch.testing.assert_close(outputs(f"{merges}.total"), outputs("cat"), atol=1e-5, rtol=1e-4)
    assert not torch.allclose(outputs(f"{merges}.total", times=1.5), outputs("cat"), atol=1e-3)
    for wrong, message in (("halved", "is not that module"), ("one_number", "updates' shape")):
        with pytest.raises(xadapt.UserError, match=message):
            outputs(f"{merges}.{wrong}")


def test_its_draws_are_the_seeds_and_its_code_is_in_the_address(
    merges: str, checkpoint: Path, world: Path
) -> None:
    def study(**more: object) -> xadapt.Study:
        text, data = f"{merges}.thinned(mnli, udpos) > xnli", world / "xtreme"
        return xadapt.Study(text, str(checkpoint), data, max_steps=1, looks=1, langs="en", **more)  # type: ignore[arg-type]

    first = study(store="one", seeds=(0, 1)).run(baselines=False)
    again = study(store="two", seeds=(0,)).run(baselines=False)
    cells = {(c.seed, c.metric): c.score for c in first.cells}
    assert {(c.seed, c.metric): c.score for c in again.cells}.items() <= cells.items()
    before = study(store="one").plan.modules
    module = xadapt.Module.from_store(xadapt.Store("one"), before[-1].address)
    home = sys.modules[merges]
    home.VERSION = 2  # type: ignore[attr-defined]
    after = study(store="one").plan.modules
    assert [a.address == b.address for a, b in zip(before, after, strict=True)] == [True, True, False]
    with pytest.raises(xadapt.UserError, match="was merged with other code"):
        module.predictor(str(checkpoint))


# -- methods ---------------------------------------------------------------------------------------

METHODS = """
import torch
from mount_common import trained
def shift(model, *, size=1.0, where="last"):
    layer = model.encoder.layer[-1 if where == "last" else 0]
    dense = layer.output.dense
    bias = getattr(dense, "base_layer", dense)
    bias.bias = torch.nn.Parameter(bias.bias.detach().float().clone())
    name = next(n for n, m in model.named_modules() if m is bias)
    return {f"{name}.bias": bias.bias}
shift.lr = 0.5
def shared(model): return {"word": model.embeddings.word_embeddings.weight}
def nothing(model): return {}
def raises(model): raise RuntimeError("boom")
def writes(model):
    with torch.no_grad():
        next(iter(model.parameters())).add_(1)
    return shift(model)
"""


@pytest.fixture
def methods(code: Path) -> str:
    """A module of methods, of a name that no other test has."""
    name = f"methods_{code.name.replace('-', '_')}"
    (code / f"{name}.py").write_text(METHODS, encoding="utf-8")
    return name


def test_a_method_of_ones_own_is_text_like_any_other(methods: str) -> None:
    stack = xadapt.Stack(f"mnli@{methods}.shift(where=first, size=1) > xnli")
    assert str(stack) == f"mnli@{methods}.shift(where=first) > xnli"
    assert xadapt.Stack(str(stack)) == stack
    assert parse_method(f"{methods}.shift(size=2)") == Own(f"{methods}.shift", (("size", 2),))


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("mnli@nowhere.shift > xnli", "there is no Python module 'nowhere'"),
        ("mnli@METHODS.shit > xnli", "has no 'shit'; did you mean 'shift'"),
        ("mnli@METHODS.shift(sise=1) > xnli", "no option 'sise'; did you mean 'size'"),
        ("mnli@METHODS.shift(where=1) > xnli", "where must be a word"),
        ("mean(mnli@METHODS.shift, qqp@METHODS.shift) > xnli", "cannot combine"),
        ("fuse(mnli@METHODS.shift, qqp@METHODS.shift) > xnli", "cannot combine"),
        ("drop(mnli@METHODS.shift, 0-1) > xnli", "no module to drop"),
    ],
)
def test_what_is_wrong_with_a_method_is_said_in_the_expression(
    expression: str, message: str, methods: str
) -> None:
    with pytest.raises(xadapt.UserError, match=message):
        xadapt.Stack(expression.replace("METHODS", methods))


def test_it_acts_is_taken_off_and_leaves_the_backbone_as_it_was(methods: str, backbone: Backbone) -> None:
    batch, method = xadapt.pack([[0, 17, 33, 2]]), parse_method(f"{methods}.shift")
    with torch.no_grad():
        bare = mount(backbone, []).encode(batch)
    fresh = mount(backbone, [lora(1, backbone), Part("own", method, None)])
    (name,) = fresh.trainable
    assert name == "encoder.layer.3.output.dense.bias"
    assert [n for n, p in fresh.model.named_parameters() if p.requires_grad] != []
    optimizer = torch.optim.AdamW(fresh.trainable.values(), lr=0.1)
    fresh.encode(batch).square().sum().backward()
    optimizer.step()
    own = Part("own", method, fresh.weights())
    with torch.no_grad():
        again = mount(backbone, [lora(1, backbone), own])
        torch.testing.assert_close(again.encode(batch), fresh.encode(batch))
        assert not again.trainable
        assert not any(p.requires_grad for p in again.model.parameters())
        folded = mount(backbone, [lora(1, backbone), own], fold=True)
        torch.testing.assert_close(folded.encode(batch), fresh.encode(batch), atol=1e-5, rtol=1e-4)
        above = mount(backbone, [own, lora(1, backbone)])
        torch.testing.assert_close(above.encode(batch), fresh.encode(batch), atol=1e-5, rtol=1e-4)
        assert torch.equal(mount(backbone, []).encode(batch), bare)
    backbone.verify()


def test_a_method_that_gives_nothing_or_the_backbones_own_is_refused(
    methods: str, backbone: Backbone
) -> None:
    for name, message in (("shared", "of the backbone itself"), ("nothing", "gives no parameters")):
        with pytest.raises(xadapt.UserError, match=message):
            mount(backbone, [Part("own", parse_method(f"{methods}.{name}"), None)])


def test_what_its_code_raises_is_said_in_a_line(
    methods: str, merges: str, checkpoint: Path, world: Path
) -> None:
    for text, name in (
        (f"mnli@{methods}.raises > xnli", f"{methods}.raises"),
        (f"{merges}.raises(mnli, udpos) > xnli", f"{merges}.raises"),
    ):
        study = xadapt.Study(text, str(checkpoint), world / "xtreme", max_steps=1, looks=1, store="one")
        with pytest.raises(xadapt.UserError, match=rf"^{name} fails: RuntimeError: boom \(\w+\.py:\d+\)$"):
            study.run(baselines=False)


def test_what_is_trained_on_a_changed_backbone_is_not_kept(
    methods: str, checkpoint: Path, world: Path
) -> None:
    backbone = xadapt.Backbone.from_pretrained(str(checkpoint), device="cpu", dtype="float32")
    for text, who in ((f"mnli@{methods}.writes > xnli", f"{methods}.writes"), ("xnli", "something")):
        study = xadapt.Study(text, backbone, world / "xtreme", max_steps=1, looks=1, langs="en", store="one")
        with pytest.raises(xadapt.UserError, match=f"is not kept: {who}.* has changed the backbone's own"):
            study.run(baselines=False)
    assert not list(Path("one").glob("modules/*"))
    assert not list(Path("one").glob("work/*"))


def test_its_code_is_in_the_address_and_its_module_is_opened_again(
    methods: str, checkpoint: Path, world: Path
) -> None:
    def study() -> xadapt.Study:
        text, data = f"mnli@{methods}.shift > xnli@{methods}.shift(where=first)", world / "xtreme"
        return xadapt.Study(text, str(checkpoint), data, max_steps=2, looks=1, langs="en", store="one")

    first = study()
    first.run(baselines=False)
    assert [m.settings.lr for m in first.plan.modules] == [0.5, 0.5]
    assert not any(m.trained for m in study().run(baselines=False).modules)
    predictor = xadapt.load(first.expressions[0], store="one", backbone=str(checkpoint))
    assert predictor(["the man eats"], ["the man eats"]) == first.predictor()(
        ["the man eats"], ["the man eats"]
    )
    sent = xadapt.Module.from_store(xadapt.Store("one"), first.plan.modules[-1].address)
    folder = sent.save_pretrained("sent")
    code = sys.modules.pop(methods)
    with pytest.raises(xadapt.UserError, match=f"import {methods} first"):
        xadapt.Module.from_pretrained(folder)
    code.VERSION = 2  # type: ignore[attr-defined]
    sys.modules[methods] = code
    assert not {m.address for m in study().plan.modules} & {m.address for m in first.plan.modules}
    with pytest.raises(xadapt.UserError, match="trained with other code of its method"):
        xadapt.Module.from_pretrained(folder).predictor(str(checkpoint))


@pytest.mark.parametrize("below", ["nothing", "lora", "bottleneck"])
def test_the_pages_method_stands_on_any_other(below: str, here: Path, backbone: Backbone) -> None:
    low = [] if below == "nothing" else [Part("low", m := parse_method(below), trained(backbone, m))]
    fresh = mount(backbone, [*low, Part("own", parse_method("bitfit.biases"), None)])
    alone = mount(backbone, [Part("own", parse_method("bitfit.biases"), None)])
    assert alone.trainable.keys() <= fresh.trainable.keys()
    if below != "bottleneck":  # whose own biases are trained with it
        assert alone.trainable.keys() == fresh.trainable.keys()
    fresh.encode(xadapt.pack([[0, 17, 33, 2]])).square().sum().backward()
    assert all(p.grad is not None for p in fresh.trainable.values())
