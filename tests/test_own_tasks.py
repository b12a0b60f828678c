"""Tasks of a user's own: a TOML file becomes rows, and what is wrong with it is said all at once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tiny import tiny_backbone

from xadapt.cli.main import main
from xadapt.common.errors import UserError
from xadapt.data.folder import Folder
from xadapt.data.readers import READERS
from xadapt.data.sources import open_source
from xadapt.data.user_tasks import read_tasks
from xadapt.interop.xtreme_scores import FolderScores, score_folder
from xadapt.stacks.methods import LoRA
from xadapt.study.imported import Imported
from xadapt.study.module_plan import DEMONSTRATION_STEPS
from xadapt.study.plan import Plan, make_plan
from xadapt.tasks import CATALOGUE, File
from xadapt.tasks.examples import Classified, notes_of

STANCE = """
[[task]]
name = "stance"
kind = "classify"
role = "target"
summary = "for or against"
languages = ["en", "nah"]
train = "stance"
metrics = ["accuracy"]
labels = ["for", "against"]
max_length = 64
files.train = [{ path = "stance/train.tsv", reader = "pairs" }]
files.test = [{ path = "stance/{lang}.tsv", reader = "pairs", but = ["en"] }]
licence = "CC0"
url = "https://example.org"
"""

SUPERTAGS = """
[[task]]
name = "super"
kind = "tag"
role = "target"
languages = ["en", "zh-Hant"]
train = "super"
metrics = ["accuracy"]
open_labels = true
files.train = [{ path = "train.tsv", reader = "tagged" }]
files.test = [{ path = "{lang}.tsv", reader = "tagged", but = ["en"] }]
"""


@pytest.fixture
def own(tmp_path: Path) -> Path:
    file = tmp_path / "own" / "tasks.toml"
    (file.parent / "stance").mkdir(parents=True)
    file.write_text(STANCE, encoding="utf-8")
    (file.parent / "stance" / "train.tsv").write_text("a\tb\tfor\n" * 20, encoding="utf-8")
    (file.parent / "stance" / "nah.tsv").write_text("c\td\tagainst\n", encoding="utf-8")
    return file


def said(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as caught:
        read_tasks(path)
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_a_row_is_added_to_ours(own: Path) -> None:
    catalogue = read_tasks(own)
    assert list(catalogue) == [*CATALOGUE, "stance"]
    row = catalogue["stance"]
    assert (row.kind, row.labels, row.languages, row.train) == (
        "classify", ("for", "against"), ("en", "nah"), "stance"
    )  # fmt: skip
    assert row.files["train"] == (File(f"{own.parent}/stance/train.tsv", "pairs"),)
    assert "stance" not in CATALOGUE


def test_files_lie_beside_the_toml_whatever_the_data_folder(own: Path) -> None:
    """A language that we have no row for is as good as any."""
    catalogue = read_tasks(own)
    (own.parent.parent / "empty").mkdir()
    source = open_source(str(own.parent.parent / "empty"), catalogue=catalogue)
    assert source.languages("stance", "train") == ("en",)
    assert source.languages("stance", "test") == ("nah",)
    assert source.load("stance", "nah", "test") == [Classified("0", "c", "d", "against")]
    assert (len(source.load("stance", "en", "train")), len(source.load("stance", "en", "dev"))) == (18, 2)


@pytest.mark.parametrize("name", ["pocket", "hub"])
def test_its_files_are_read_beside_the_pocket_world_and_the_hub(own: Path, name: str) -> None:
    """So MNLI from there can lie below it."""
    source, bare = open_source(name, catalogue=read_tasks(own)), open_source(name)
    assert source.load("stance", "nah", "test") == [Classified("0", "c", "d", "against")]
    assert (source.languages("stance", "test"), source.test_split("stance")) == (("nah",), "test")
    assert source.held_out("stance", "en")
    assert notes_of(source, "stance", "nah", "test") == {}
    assert (source.name, source.generated) == (bare.name, bare.generated)
    assert source.languages("mnli", "train") == bare.languages("mnli", "train") != ()
    assert source.revision("mnli", "en", "train") == bare.revision("mnli", "en", "train")


def test_what_stands_on_the_pocket_world_is_called_so_and_one_s_own_data_are_not(own: Path) -> None:
    catalogue = read_tasks(own)

    def planned(*expressions: str) -> Plan:
        source = open_source("pocket", catalogue=catalogue)
        return make_plan(
            expressions, backbone=tiny_backbone(), source=source, method=LoRA(), catalogue=catalogue
        )

    plan = planned("stance", "mnli > stance")
    alone, on_mnli = plan.evaluations
    assert (plan.generated(alone), plan.generated(on_mnli), plan.generated()) == (False, True, True)
    assert not planned("stance").generated()
    # A demonstration's limit of steps is for made-up data alone.
    limits = {module.shown: module.settings.max_steps for module in plan.modules}
    assert limits == {"stance": None, "mnli": DEMONSTRATION_STEPS, "mnli > stance": None}


def test_a_hub_row_with_files_too_is_read_from_where_one_says(own: Path) -> None:
    hub = '[task.hub]\nid = "owner/name"\nrevision = "' + "a" * 40 + '"\nsplits = { test = "test" }\n'
    columns = 'columns = { text = "a", pair = "b", label = "c" }\nlabels = { "0" = "for", "1" = "against" }\n'
    own.write_text(STANCE + hub + columns, encoding="utf-8")
    catalogue = read_tasks(own)
    assert open_source("hub", catalogue=catalogue).languages("stance", "train") == ()
    assert open_source("pocket", catalogue=catalogue).languages("stance", "train") == ("en",)


def test_braces_in_the_folders_own_name(tmp_path: Path) -> None:
    file = tmp_path / "{lang} [a]*" / "tasks.toml"
    file.parent.mkdir()
    file.write_text(STANCE.replace("stance/train.tsv", "train.tsv"), encoding="utf-8")
    (file.parent / "train.tsv").write_text("a\tb\tfor\n", encoding="utf-8")
    source = open_source(str(tmp_path), catalogue=read_tasks(file))
    assert source.languages("stance", "train") == ("en",)


def test_a_hub_row(own: Path) -> None:
    hub = (
        '[task.hub]\nid = "owner/name"\nrevision = "' + "a" * 40 + '"\n'
        'splits = { train = "train", test = "test" }\n'
        'columns = { text = "a", pair = "b", label = "c" }\nlabels = { "0" = "for", "1" = "against" }\n'
    )
    text = "\n".join(line for line in STANCE.splitlines() if not line.startswith("files"))
    own.write_text(text + "\n" + hub, encoding="utf-8")
    source = open_source("hub", catalogue=read_tasks(own))
    assert source.revision("stance", "nah", "test").startswith(f"owner/name@{'a' * 40}/default/test/")
    assert source.languages("stance", "dev") == ("en",), "held out of training"


def test_it_is_shown_and_run_like_any_other(
    own: Path, workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["tasks", "--data", str(own.parent), "--tasks", str(own)])
    shown = capsys.readouterr().out
    assert "25 tasks" in shown
    assert "stance" in shown
    main(
        ["run", "stance", "--data", str(own.parent), "--tasks", str(own), "--backbone", "./backbone",
         "--max-steps", "2"]
    )  # fmt: skip
    said = capsys.readouterr().out
    assert "1 modules trained" in said
    assert "stance: accuracy on test" in said


LANGUAGES = """
[[task]]
name = "mood"
kind = "classify"
role = "intermediate"
languages = ["en"]
trains_in = ["en", "nah", "zh-Hant"]
train = "mood"
metrics = ["accuracy"]
labels = ["for", "against"]
files.train = [{ path = "{lang}.tsv", reader = "pairs" }]
"""


def plan_of(expression: str, tasks: Path, imported: dict[str, Imported] | None = None) -> Plan:
    rows = read_tasks(tasks)
    return make_plan(
        [expression],
        backbone=tiny_backbone(),
        source=Folder(tasks.parent, catalogue=rows),
        method=LoRA(),
        catalogue=rows,
        imported=imported,
    )


def test_its_languages_can_be_chosen_whatever_they_are(own: Path) -> None:
    own.write_text(STANCE + LANGUAGES, encoding="utf-8")
    for lang in ("en", "nah", "zh-Hant"):
        (own.parent / f"{lang}.tsv").write_text("a\tb\tfor\nc\td\tagainst\n" * 20, encoding="utf-8")
    lower, _ = plan_of("mood[10, nah+zh-Hant] > stance", own).modules
    assert lower.shown == "mood[10, nah+zh-Hant]"
    assert lower.tasks[0].languages == ("nah", "zh-Hant")
    with pytest.raises(UserError, match="'nahh' is not a language; did you mean 'nah'"):
        plan_of("mood[nahh] > stance", own)


def test_a_name_of_a_task_and_of_an_imported_module_is_refused(own: Path) -> None:
    own.write_text(STANCE + LANGUAGES, encoding="utf-8")
    (own.parent / "en.tsv").write_text("a\tb\tfor\nc\td\tagainst\n" * 20, encoding="utf-8")
    module = Imported("0" * 20, CATALOGUE["xnli"], LoRA())
    for name, expression in {"stance": "stance", "mood": "mood > stance"}.items():
        with pytest.raises(UserError, match=f"'{name}' is both a task and an imported module"):
            plan_of(expression, own, {name: module})
    assert plan_of("stance", own, {"mood": module}).modules, "another's name does no harm"


def test_its_predictions_are_made_and_scored_like_any_other(
    own: Path, workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (own.parent / "stance" / "nah.tsv").write_text("c\td\tagainst\nc\td\tfor\n", encoding="utf-8")
    common = ["--tasks", str(own)]
    main(
        ["predict", "stance", "--task", "stance", "--data", str(own.parent), *common,
         "--backbone", "./backbone", "--max-steps", "2"]
    )  # fmt: skip
    file = workdir / "predictions" / "stance" / "test-nah.tsv"
    assert set(file.read_text(encoding="utf-8").split()) <= {"for", "against"}
    file.write_text("against\nagainst\n", encoding="utf-8")
    capsys.readouterr()
    main(["score", "predictions", "--labels", str(own.parent), *common, "--json", "scores.json"])
    assert "leaderboards have them" not in capsys.readouterr().out
    (row,) = json.loads((workdir / "scores.json").read_text())["scores"]
    assert (row["task"], row["lang"], row["split"]) == ("stance", "nah", "test")
    assert row["scores"] == {"accuracy": 50.0}


def test_predictions_with_an_open_label_set_and_a_code_with_a_hyphen(tmp_path: Path) -> None:
    """The labels are those of the training data; gold tags beyond them are never right."""
    file = tmp_path / "tasks.toml"
    file.write_text(SUPERTAGS, encoding="utf-8")
    (tmp_path / "train.tsv").write_text("old\tN/N\nman\tN\n\n", encoding="utf-8")
    (tmp_path / "zh-Hant.tsv").write_text("a\tN\nb\tS\n\n", encoding="utf-8")
    (tmp_path / "system" / "super").mkdir(parents=True)
    predicted = tmp_path / "system" / "super" / "test-zh-Hant.tsv"
    predicted.write_text("N\nN/N\n", encoding="utf-8")
    rows = read_tasks(file)

    def scored() -> FolderScores:
        return score_folder(tmp_path / "system", open_source(str(tmp_path), catalogue=rows), catalogue=rows)

    assert scored().by_task() == {"super": {"zh-Hant": {"accuracy": 50.0}}}
    predicted.write_text("N\nNP\n", encoding="utf-8")
    with pytest.raises(UserError, match="unknown tag 'NP'"):
        scored()
    (tmp_path / "train.tsv").unlink()
    with pytest.raises(UserError, match="nothing can be scored\n  super in zh-Hant"):
        scored()


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ('kind = "classify"', 'kind = "clasify"', "kind = 'clasify', expected one of classify, choose"),
        ('role = "target"', "", "no 'role'"),
        ("max_length", "max_lenght", "unknown key 'max_lenght'; did you mean 'max_length'?"),
        ("max_length = 64", "max_length = true", "max_length = True, expected a whole number above 0"),
        ('["for", "against"]', '["for", "for"]', "expected every label once"),
        ('labels = ["for", "against"]', "", "kind classify needs labels"),
        ('"en", "nah"', '"English"', "languages = ['English'], expected a list of codes"),
        (
            'reader = "pairs" }]\nfiles.test',
            'reader = "pears" }]\nfiles.test',
            "expected one of pairs, table",
        ),
        ('"pairs", but', '"pairs", options = { comma = 1 }, but', "reader pairs has no option 'comma'"),
        (
            'reader = "pairs", but',
            'reader = "table", but',
            "files.test[0]: reader table needs options.columns",
        ),
        ("stance/{lang}.tsv", "stance/{language}.tsv", "in braces only {lang} or {iso3}"),
        ("files.test", "files.tests", "files.tests: expected a list of files for train, dev, test"),
        ('train = "stance"', 'train = "stanse"', "train = 'stanse' is no task; did you mean 'stance'?"),
        ('train = "stance"', 'train = "panx"', "it trains on panx, which has another kind or other labels"),
        ('name = "stance"', 'name = "mnli"', "there is a task of this name already"),
        (
            'kind = "classify"',
            'kind = "tag"',
            "files.train[0]: reader pairs is for the kind classify, this task is of kind tag: tagged, super",
        ),
        ('name = "stance"', 'name = "joint"', "name = 'joint', expected a word"),
        ('name = "stance"', 'name = "full"', "name = 'full', expected a word"),
        ('name = "stance"', 'name = "lora"', "name = 'lora', expected a word"),
        ('name = "stance"', 'name = "my task"', "name = 'my task', expected a word"),
        (
            'role = "target"',
            'role = "intermediate"\nopen_labels = 1',
            "open_labels = 1, expected true or false",
        ),
    ],
)
def test_what_is_wrong_is_said(own: Path, old: str, new: str, what: str) -> None:
    assert old in STANCE
    message = said(own, STANCE.replace(old, new))
    assert what in message
    assert "thing" in message


def test_all_at_once(own: Path) -> None:
    message = said(own, STANCE.replace('role = "target"', "role = 1\ncolour = 2") + STANCE)
    assert "2 things to put right" in message
    assert "task 'stance': unknown key 'colour'" in message
    assert "role = 1, expected one of intermediate, target" in message


def test_a_file_that_is_no_list_of_tasks(own: Path) -> None:
    assert ":2: broken TOML" in said(own, "[[task]]\nname = \n")
    assert "nested too deeply" in said(own, "a = " + "[" * 20_000 + "]" * 20_000)
    assert "broken TOML" in said(own, "a = " + "9" * 5000)
    assert "got 'tasks' at the top" in said(own, "[tasks]\n")
    assert "got 'task' at the top" in said(own, "[task]\nname = 'x'\n")
    with pytest.raises(UserError, match="no such file"):
        read_tasks(own.parent / "other.toml")


PLAIN = [
    name
    for name, task in CATALOGUE.items()
    if not task.parts
    and task.files
    and (task.train is None or CATALOGUE[task.train].kind == task.kind)
    and not any(
        "intermediate:" in path or set(path) & set("*[]")
        for files in task.files.values()
        for file in files
        for path in (file.path, *file.beside)
    )
    and all(file.reader != "unusable" for files in task.files.values() for file in files)
]


@pytest.mark.parametrize("name", PLAIN)
def test_a_row_is_printed_as_toml_that_reads_back(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert len(PLAIN) > 8
    main(["tasks", "show", name])
    text = (
        capsys.readouterr()
        .out.replace(f'name = "{name}"', 'name = "mine"')
        .replace(f'train = "{name}"', 'train = "mine"')
    )
    file = tmp_path / "mine.toml"
    file.write_text(text, encoding="utf-8")
    made, row = read_tasks(file)["mine"], CATALOGUE[name]
    for attribute in (
        "kind",
        "role",
        "languages",
        "metrics",
        "labels",
        "max_length",
        "stride",
        "hub",
        "licence",
    ):
        assert getattr(made, attribute) == getattr(row, attribute)
    assert {split: [f.reader for f in files] for split, files in made.files.items()} == {
        split: [f.reader for f in files] for split, files in row.files.items()
    }


def test_readers_are_listed_with_what_they_take(capsys: pytest.CaptureFixture[str]) -> None:
    main(["tasks", "readers"])
    said = capsys.readouterr().out
    for name in READERS:
        assert f"\n{name} (" in f"\n{said}"
    assert "table (classify): columns, ragged = 0" in said


def test_own_tasks_are_shown_as_the_model_sees_them(
    own: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["tasks", "check", str(own), "--examples", "2", "--backbone", str(checkpoint)])
    said = capsys.readouterr().out
    assert "stance: classify, accuracy, labels for, against" in said
    assert "train in en: 18 examples" in said  # dev is the end of it
    assert "test in nah: 1 examples" in said
    assert said.count("<s>") == 2
    assert "-> label: for" in said
    (own.parent / "stance" / "nah.tsv").unlink()
    (own.parent / "stance" / "train.tsv").unlink()
    with pytest.raises(SystemExit):
        main(["tasks", "check", str(own), "--backbone", str(checkpoint)])
    assert "none of its files is there" in capsys.readouterr().err


def test_a_path_may_be_absolute(own: Path) -> None:
    place = own.parent / "stance"
    own.write_text(STANCE.replace('path = "stance/', f'path = "{place}/'))
    elsewhere = own.parent / "deeper" / "tasks.toml"
    elsewhere.parent.mkdir()
    own.rename(elsewhere)
    source = open_source(str(elsewhere.parent), None, read_tasks(elsewhere))
    assert len(source.load("stance", "en", "train")) == 18
