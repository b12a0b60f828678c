"""Tables in any width: what gives way, in which order, and that nothing is lost without a word."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.text import Text

from xadapt.common.console import wide
from xadapt.report.sheet import Column, Sheet


def printed(sheet: Sheet, width: int) -> list[str]:
    console = Console(width=width)
    with console.capture() as capture:
        console.print(sheet)
    return [line.rstrip() for line in capture.get().splitlines()]


def modules() -> Sheet:
    sheet = Sheet(
        Column("address", whole=True),
        "expression",
        Column("score", right=True),
        Column("made", drop=2),
        Column("on disk", right=True, drop=1),
        title="what there is",
    )
    sheet.add("52eeebc4", "fuse(mnli, squad_v1, hellaswag) > xnli", "71.25", "2026-11-22", "1.2 MB")
    sheet.add("632c60fe", "xnli", "68.50", "2026-11-21", "1.2 MB")
    return sheet


def test_with_room_for_all_each_row_is_a_line() -> None:
    lines = printed(modules(), 100)
    assert len(lines) == 1 + 3 + 2 + 1
    assert "fuse(mnli, squad_v1, hellaswag) > xnli │ 71.25 │ 2026-11-22 │  1.2 MB" in lines[4]


def test_names_give_way_before_numbers_and_are_wrapped_between_words() -> None:
    text = "\n".join(printed(modules(), 70))
    assert "made" in text
    for whole in ("fuse(mnli,", "squad_v1,", "hellaswag)", "71.25", "52eeebc4", "1.2 MB"):
        assert whole in text


def test_columns_go_in_the_stated_order_and_it_is_said() -> None:
    left_out = [(w, printed(modules(), w)[-1].partition("for: ")[2]) for w in range(90, 30, -1)]
    orders = list(dict.fromkeys(said for _, said in left_out))
    assert orders == ["", "on disk", "made, on disk"]


def test_what_may_not_go_continues_in_a_further_table_with_the_first_column_again() -> None:
    sheet = Sheet("language", *(Column(f"task{i}", right=True) for i in range(12)))
    sheet.add("en", *(f"{i}0.25" for i in range(12)))
    lines = printed(sheet, 60)
    assert sum("language" in line for line in lines) == 3
    assert sum("│ en " in line for line in lines) == 3
    assert all(any(f"{i}0.25" in line for line in lines) for i in range(12))


def test_a_column_that_may_go_and_has_nothing_is_not_there() -> None:
    sheet = Sheet("a", Column("empty", drop=1))
    sheet.add("x", "")
    assert not any("empty" in line for line in printed(sheet, 80))


def test_a_row_has_a_cell_a_column() -> None:
    with pytest.raises(ValueError, match="1 cells in a table of 2 columns"):
        Sheet("a", "b").add("x")


def test_marks_of_rich_are_shown_as_they_are() -> None:
    sheet = Sheet("a")
    sheet.add("mnli[100] [red]")
    assert any("mnli[100] [red]" in line for line in printed(sheet, 80))


@given(
    st.lists(st.lists(st.text("ab c,", max_size=30), min_size=3, max_size=3), min_size=1, max_size=4),
    st.integers(30, 120),
)
def test_no_line_is_wider_than_the_screen_and_no_sign_is_lost(rows: list[list[str]], width: int) -> None:
    sheet = Sheet("n", "o", Column("p", right=True))
    for row in rows:
        sheet.add(*row)
    lines = printed(sheet, width)
    assert all(Text(line).cell_len <= width for line in lines)
    count = sum(line.count(sign) for line in lines for sign in "abc,")
    assert count == sum(cell.count(sign) for row in rows for cell in row for sign in "abc,")


def test_plain_rows_are_lines_without_lines_around_them(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    wide(plain=True).print(modules())
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].split("  ")[:2] == ["52eeebc4", "fuse(mnli, squad_v1, hellaswag) > xnli"]
    assert len(lines) == 4
    assert "\n".join(lines).isascii()


def test_columns_says_how_wide_a_pipe_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for said, width in (("70", 70), ("0", 160), ("many", 160)):
        monkeypatch.setenv("COLUMNS", said)
        assert wide().width == width
    monkeypatch.setenv("COLUMNS", "50")
    wide(plain=True).print(modules())
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 50
