"""The report of a study: what it holds, that it asks nothing of the network, that no name can break it."""

from __future__ import annotations

import csv
import re
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from report_common import results_by_hand

from xadapt.cli.main import main
from xadapt.common.errors import UserError
from xadapt.record.figure import Curve, Front, Point, Series, Table, front_of
from xadapt.record.record import StudyRecord
from xadapt.record.recording import record_of
from xadapt.report.markdown import POCKET
from xadapt.report.page import check_report, write_report
from xadapt.store.store import Store

HOSTILE = "<script>alert('$x_1$')</script> | `b` \"q\" [l](javascript:0)"


def made(store: Store, **changes: object) -> StudyRecord:
    generated = bool(changes.pop("generated", False))
    slope = results_by_hand(store).findings[0].estimate
    points = [Point(1, 60.0, 58.0, 62.0, "small"), Point(2, 59.0, name="old"), Point(9, 66.0, name="large")]
    front = Front(
        "Accuracy over time", "ms", "accuracy", front_of(points), tolerance=2.0, chosen="large"
    )  # fmt: skip
    series = Series("nli", (Point(10, 1.0), Point(100, 2.0)), slope)
    curve = Curve("Scaling", "examples", "accuracy", (series,))
    options = {
        "name": "by-hand", "question": "Does it help?", "answer": "It does: +13.2 (+10.1 to +16.0).",
        "literature": ["Phang et al. 2020 found that it does."], "command": "python by_hand.py --seeds 0,1",
        "figures": [front, curve],
    }  # fmt: skip
    return record_of(results_by_hand(store, generated=generated), store, **(options | changes))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a report."""
    root = tmp_path_factory.mktemp("report")
    write_report(made(Store(root / "store")), root / "out")
    return root / "out"


class Page(HTMLParser):
    """Elements with their attributes, and the text that is seen."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, {k: v or "" for k, v in attrs}))
        if tag not in ("meta", "br", "link", "img", "input", "hr"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, {k: v or "" for k, v in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"script", "style"} & set(self.open):
            self.text += data


def test_question_and_answer_come_first(report: Path) -> None:
    page = Page(report / "report.html")
    text = page.text
    order = ["It does: +13.2", "Phang et al. 2020", "\nResults", "\nMethods", "by_hand.py"]
    places = [text.index(part) for part in order]
    assert places == sorted(places)
    assert not page.open
    md = (report / "report.md").read_text()
    assert md.index("# Does it help?") < md.index("**Answer.** It does") < md.index("## Results")


def test_the_page_asks_nothing_of_the_network(report: Path) -> None:
    text = (report / "report.html").read_text()
    page = Page(report / "report.html")
    tags = {tag for tag, _ in page.found}
    assert not tags & {"link", "img", "iframe", "object", "embed", "base", "form", "image"}
    for tag, attributes in page.found:
        for name, value in attributes.items():
            if tag == "a" and name == "href":
                continue
            assert "//" not in value, (tag, name, value)
            assert name != "src"
            assert name not in ("href", "xlink:href") or value.startswith("#")
    policy = next(a["content"] for _, a in page.found if a.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy
    assert "@import" not in text
    assert "url(" not in re.sub(r"url\(#[\w-]+\)", "", text)


def test_pictures_can_be_read_in_light_and_dark(report: Path) -> None:
    page = Page(report / "report.html")
    pictures = [a for tag, a in page.found if tag == "svg"]
    assert len(pictures) == 6
    assert all(a["role"] == "img" and a["aria-label"] for a in pictures)
    text = (report / "report.html").read_text()
    drawn = "".join(re.findall(r"<svg.*?</svg>", text, re.S))
    assert "var(--ink)" in drawn
    assert not re.search(r"#[0-9a-f]{6}\b", drawn), "a colour that does not follow the page's"
    assert "prefers-color-scheme: dark" in text
    ids = re.findall(r'\bid="([^"]+)"', text)
    assert len(ids) == len(set(ids))


def test_tables_have_headers_and_sort(report: Path) -> None:
    page = Page(report / "report.html")
    heads = [a for tag, a in page.found if tag == "th"]
    assert heads
    assert all(a.get("scope") in ("col", "row") for a in heads)
    assert sum(tag == "table" for tag, _ in page.found) == sum(tag == "caption" for tag, _ in page.found)
    assert any("data-s" in a for tag, a in page.found if tag == "td")


def test_no_difference_is_said_in_words(report: Path) -> None:
    for name in ("report.html", "report.md", "findings.csv"):
        assert "no difference shown (" in (report / name).read_text()
    found = list(csv.DictReader((report / "findings.csv").open()))
    hidden = [row for row in found if row["shown"] == "False"]
    assert hidden
    assert all(row["text"].startswith("no difference shown") for row in hidden)


def test_every_figure_says_from_which_cells(report: Path) -> None:
    text = Page(report / "report.html").text
    assert "From all 48 cells of cells.csv" in text
    assert "From cells 1-24 of cells.csv (24 of 48)" in text


def test_cells_are_numbered_and_whole(report: Path, tmp_path: Path) -> None:
    record = made(Store(tmp_path))
    rows = list(csv.DictReader((report / "cells.csv").open()))
    assert [int(row["cell"]) for row in rows] == list(range(1, 49))
    for row, cell in zip(rows, record.results.cells, strict=True):
        assert (row["expr"], row["lang"], row["key"]) == (cell.expr, cell.lang, cell.key)
        assert float(row["score"]) == pytest.approx(cell.score, abs=1e-4)


def test_markdown_has_a_picture_for_each_drawing(report: Path) -> None:
    places = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", (report / "report.md").read_text())
    assert len(places) == 6
    for place in places:
        assert (report / place).read_bytes().startswith(b"\x89PNG")
    assert {p.name for p in (report / "figures").iterdir()} == {Path(place).name for place in places}


def test_a_report_is_small(report: Path) -> None:
    assert sum(p.stat().st_size for p in report.rglob("*") if p.is_file()) < 300_000


# -- the pocket world -------------------------------------------------------------------------


def test_the_pocket_world_is_named_at_every_table_and_picture(store: Store, tmp_path: Path) -> None:
    record = made(store, generated=True)
    page = write_report(record, tmp_path / "out")
    drawn = len(record.figures) + len(record.sources)
    assert page.read_text().count(POCKET) >= drawn
    assert (tmp_path / "out" / "report.md").read_text().count(POCKET) == drawn + 1
    for part in re.split(r"<h3>", page.read_text())[1:]:
        assert POCKET in part.split("<table")[0].split("<svg")[0]


def test_other_data_are_not(report: Path) -> None:
    assert POCKET not in (report / "report.html").read_text()


# -- names that want to be code ---------------------------------------------------------------


def test_hostile_names_stay_text(store: Store, tmp_path: Path) -> None:
    results = results_by_hand(store, expressions=("{}", HOSTILE))
    table = Table(HOSTILE, (HOSTILE, "n"), ((HOSTILE, 1), ("javascript:alert(1)", 2)), note=HOSTILE)
    series = Series(HOSTILE, (Point(1, 1.0, name=HOSTILE), Point(2, 2.0)), panel=HOSTILE)
    record = record_of(
        results, store, name="hostile", question=HOSTILE, answer=HOSTILE, literature=[HOSTILE],
        notes=[HOSTILE], command=HOSTILE, definition={"<script>": HOSTILE},
        figures=[table, Curve(HOSTILE, HOSTILE, HOSTILE, (series,))],
    )  # fmt: skip
    page = Page(write_report(record, tmp_path / "out"))
    assert not page.open
    assert [tag for tag, _ in page.found].count("script") == 1
    assert not any(a.get("href", "").startswith("javascript") for _, a in page.found)
    assert "<script>alert('$x_1$')</script>" in page.text
    md = (tmp_path / "out" / "report.md").read_text()
    outside = re.sub(r"(?ms)^```.*?^```", "", md)
    assert "<script>" not in outside
    assert "](javascript" not in outside.replace("\\](", "")
    lines = [line for line in outside.splitlines() if line.startswith("|")]
    widths = [len(re.findall(r"(?<!\\)\|", line)) for line in lines[:4]]
    assert set(widths) == {3}
    with (tmp_path / "out" / "cells.csv").open(newline="") as file:
        assert HOSTILE in {row["expr"] for row in csv.DictReader(file)}


# -- what a user can put right ----------------------------------------------------------------


def test_without_matplotlib_it_says_what_to_install(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UserError, match="pip install matplotlib"):
        check_report(tmp_path / "out")
    with pytest.raises(UserError, match="pip install matplotlib"):
        write_report(replace(made(store), figures=()), tmp_path / "out")


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(UserError, match="expected: a folder"):
        check_report(tmp_path / "out")


# -- the command ------------------------------------------------------------------------------


def test_the_command_lists_and_writes(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made(store)
    main(["report", "--store", str(store.root)])
    assert capsys.readouterr().out.split() == ["by-hand", "Does", "it", "help?"]
    main(["report", "by", "--store", str(store.root), "--out", str(tmp_path / "out")])
    assert capsys.readouterr().out.strip() == str(tmp_path / "out" / "report.html")
    assert (tmp_path / "out" / "report.md").exists()


def test_an_unknown_study_ends_with_status_2(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    made(store)
    with pytest.raises(SystemExit) as end:
        main(["report", "by-hnd", "--store", str(store.root)])
    assert end.value.code == 2
    assert "did you mean 'by-hand'" in capsys.readouterr().err
