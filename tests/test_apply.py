"""``xadapt apply``: lines in, lines out, as a user would."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest

from xadapt import Backbone, Store, Study
from xadapt.cli.main import main
from xadapt.common.errors import UserError
from xadapt.data.given import given_rows
from xadapt.kinds.answers import Found
from xadapt.study.applying import applied as given_answers
from xadapt.study.applying import as_object

PAIRS = [("a man eats", "he eats"), ("a woman sleeps", "he eats"), ("the apple is red", "an apple")]


@pytest.fixture(scope="module")
def study(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Study:
    backbone = Backbone.from_pretrained(str(checkpoint), device="cpu", dtype="float32")
    store = tmp_path_factory.mktemp("apply") / "store"
    expressions = ["mnli > xnli", "panx", "xquad", "xcopa"]
    made = Study(
        expressions, backbone, languages=("en",), max_steps=1, looks=1, dev_examples=40, items=8, store=store
    )
    made.run(baselines=False)
    return made


def applied(*words: str, given: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "xadapt", "apply", *words]
    return subprocess.run(command, input=given, capture_output=True, text=True, check=False)


def of(study: Study) -> list[str]:
    return ["--store", str(study.store), "--dtype", "float32"]


def test_standard_input_is_answered_line_by_line(study: Study) -> None:
    done = applied("mnli > xnli", *of(study), given="".join(f"{a}\t{b}\n" for a, b in PAIRS))
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    expected = study.predictor("mnli > xnli")(*map(list, zip(*PAIRS, strict=True)))
    assert [one["label"] for one in found] == [answer.label for answer in expected]
    for one, answer in zip(found, expected, strict=True):
        assert one["probabilities"] == pytest.approx(dict(answer.probabilities), abs=1e-5)


def test_every_kind_reads_and_writes_files(study: Study, tmp_path: Path) -> None:
    lines = {
        "panx": "Anna lebt in Rom\n",
        "xquad": "who eats?\tthe man eats an apple\n",
        "xcopa": "it rains\ta cloud\tthe sun\n",
    }
    objects = {
        "panx": {"text": "Anna lebt in Rom"},
        "xquad": {"question": "who eats?", "context": "the man eats an apple"},
        "xcopa": {"premise": "it rains", "options": ["a cloud", "the sun"]},
    }
    for expr, text in lines.items():
        (tmp_path / "in.tsv").write_text(text, encoding="utf-8")
        (tmp_path / "in.jsonl").write_text(json.dumps(objects[expr]) + "\n", encoding="utf-8")
        for name in ("in.tsv", "in.jsonl"):
            out = tmp_path / f"{expr}-{name}.jsonl"
            main(["apply", expr, "--in", str(tmp_path / name), "--out", str(out), *of(study)])
        answers = [(tmp_path / f"{expr}-{name}.jsonl").read_text() for name in ("in.tsv", "in.jsonl")]
        assert answers[0] == answers[1]
        (answer,) = map(json.loads, answers[0].splitlines())
        assert {"tags", "answer", "choice"} & set(answer)
        out = tmp_path / f"{expr}.tsv"
        main(["apply", expr, "--in", str(tmp_path / "in.tsv"), "--out", str(out), *of(study)])
        alone = answer.get("tags") or [str(answer.get("answer", answer.get("choice")))]
        assert out.read_text() == " ".join(alone) + "\n"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("a\tb\nc\n", ":2"),
        ("a\tb\tc\n", "3 columns"),
        ("", "empty"),
        ("premise\thypothesis\na\tb\n", "remove the header"),
    ],
)
def test_a_line_of_another_form_is_named_and_nothing_is_written(
    study: Study, tmp_path: Path, given: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = tmp_path / "in.tsv", tmp_path / "out.jsonl"
    source.write_text(given)
    out.write_text("as it was")
    with pytest.raises(SystemExit) as ended:
        main(["apply", "mnli > xnli", "--in", str(source), "--out", str(out), *of(study)])
    assert ended.value.code == 2
    assert message in capsys.readouterr().err
    assert out.read_text() == "as it was"
    assert [p.name for p in tmp_path.iterdir() if "tmp" in p.name.lower()] == []


def test_texts_are_not_overwritten(study: Study, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, link = tmp_path / "pairs.tsv", tmp_path / "link.tsv"
    source.write_text("a\tb\n")
    link.symlink_to(source)
    for out in (source, link):
        with pytest.raises(SystemExit):
            main(["apply", "mnli > xnli", "--in", str(source), "--out", str(out), *of(study)])
        assert "the same file" in capsys.readouterr().err
    assert source.read_text() == "a\tb\n"


def test_objects_are_known_by_the_first_line_and_keep_what_else_they_have(
    study: Study, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"id": n, "premise": a, "hypothesis": b} for n, (a, b) in enumerate(PAIRS)]
    rows[1]["gold"] = {"by": ["hand"]}
    source, out = tmp_path / "in.data", tmp_path / "out.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    main(["apply", "mnli > xnli", "--in", str(source), "--out", str(out), *of(study)])
    assert "passed on, not read: id" in capsys.readouterr().err
    found = [json.loads(line) for line in out.read_text().splitlines()]
    expected = study.predictor("mnli > xnli")(*map(list, zip(*PAIRS, strict=True)))
    assert [(one["id"], one["label"]) for one in found] == [(n, a.label) for n, a in enumerate(expected)]
    assert ["gold" in one for one in found] == [False, True, False]
    assert found[1]["gold"] == {"by": ["hand"]}


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"premise": "a", "hypotesis": "b"}, "did you mean 'hypothesis'"),
        ({"premise": "a", "hypothesis": "b", "label": "neutral"}, "gold_label"),
        ({"premise": "a", "hypothesis": "b", "weight": math.nan}, "NaN"),
        ({"id": 1}, "no text"),
    ],
)
def test_what_cannot_be_passed_on_is_said(study: Study, row: dict[str, object], said: str) -> None:
    with pytest.raises(UserError, match=said):
        list(given_answers(study.predictor("mnli > xnli"), [row]))


@pytest.mark.parametrize(
    ("first", "header"),
    [
        ("premise\tchoice1\tchoice2", True),
        ("Premise\toption_1\toption_2", True),
        ("premise\ta\tb", False),
        ("it rains\tchoice1\tchoice2", False),
    ],
)
def test_a_header_is_known_by_all_its_words(tmp_path: Path, first: str, header: bool) -> None:
    source = tmp_path / "in.tsv"
    source.write_text(first + "\n")
    rows = given_rows(source, "tsv", ["context", "options"], {"context", "premise", "options"})
    with pytest.raises(UserError, match="remove the header") if header else nullcontext():
        assert len(list(rows)) == 1


def test_a_module_that_is_not_there_is_said(study: Study) -> None:
    done = applied("qqp > xnli", *of(study), given="a\tb\n")
    assert done.returncode == 2
    assert "is not in" in done.stderr
    assert Store(study.store).modules()  # type: ignore[arg-type]


def test_a_pipe_is_written_as_it_is_and_stays_one(study: Study, tmp_path: Path) -> None:
    pipe, source = tmp_path / "pipe", tmp_path / "in.tsv"
    os.mkfifo(pipe)
    source.write_text("a man eats\the eats\n")
    with subprocess.Popen(["cat", str(pipe)], stdout=subprocess.PIPE, text=True) as reader:
        main(["apply", "mnli > xnli", "--in", str(source), "--out", str(pipe), *of(study)])
        said, _ = reader.communicate(timeout=60)
    assert json.loads(said)["label"] in ("entailment", "neutral", "contradiction")
    assert pipe.is_fifo()


def test_an_answer_without_any_span_has_no_score() -> None:
    assert as_object(Found("", None, None, -math.inf))["score"] is None  # JSON has no word for infinity
