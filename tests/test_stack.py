"""Expressions: what they mean, how they are printed, and where an error points."""

import pytest
from expressions import methods, prefixes, stacks
from hypothesis import given
from hypothesis import strategies as st

from xadapt.common.errors import UserError
from xadapt.stacks.methods import Bottleneck, Full, LoRA, Method, layer_range, parse_method
from xadapt.stacks.parser import KEYWORDS, Stack, Term, parse

TASKS = ("mnli", "qqp", "squad_v1", "xnli", "xquad")


def message(text: str, tasks: tuple[str, ...] | None = TASKS) -> str:
    with pytest.raises(UserError) as caught:
        parse(text, tasks)
    return str(caught.value)


def pointed_at(text: str) -> str:
    """What the caret stands under, to the end of the expression."""
    lines = message(text).splitlines()
    where = lines.index(text)
    return text[lines[where + 1].index("^") :]


# -- what an expression means -------------------------------------------------------------------


def test_a_stack_is_its_terms_lowest_first() -> None:
    stack = parse("mnli[10k]>squad_v1@lora( r = 16 ,layers=top4) > xnli", TASKS)
    assert stack.parts == (
        Term("mnli", 10_000),
        Term("squad_v1", method=LoRA(r=16, layers="top4")),
        Term("xnli"),
    )
    assert str(stack) == "mnli[10000] > squad_v1@lora(r=16, layers=top4) > xnli"
    assert stack.target == Term("xnli")
    assert str(stack.below) == "mnli[10000] > squad_v1@lora(r=16, layers=top4)"
    assert [len(prefix) for prefix in prefixes(stack)] == [1, 2, 3]
    assert prefixes(stack)[-1] == stack


def test_a_target_alone_stands_on_the_backbone() -> None:
    assert parse("xnli").below is None
    assert prefixes(parse("xnli")) == (parse("xnli"),)


@pytest.mark.parametrize(("text", "size"), [("10k", 10_000), ("2M", 2_000_000), ("1.5k", 1500), ("007", 7)])
def test_sizes_may_be_written_short_and_are_printed_long(text: str, size: int) -> None:
    assert str(parse(f"mnli[{text}]")) == f"mnli[{size}]"


def test_the_experiments_method_fills_in_terms_without_one() -> None:
    filled = parse("mnli@lora(r=2) > xnli").with_method(LoRA())
    assert filled == parse("mnli@lora(r=2) > xnli@lora")
    assert filled.with_method(Full()) == filled


@given(stacks())
def test_parse_undoes_print(stack: Stack) -> None:
    again = parse(str(stack), open_top=True)
    assert (again, hash(again), str(again)) == (stack, hash(stack), str(stack))
    assert Stack(str(stack)) == stack


@given(stacks(task_on_top=True))
def test_a_stack_with_a_task_on_top_can_be_evaluated(stack: Stack) -> None:
    assert parse(str(stack)).target == stack.target == stack.top


@given(stacks())
def test_the_parts_of_a_stack_make_the_stack(stack: Stack) -> None:
    assert (*(stack.below or ()), stack.top) == stack.parts
    assert [prefix.top for prefix in prefixes(stack)] == list(stack)


@st.composite
def damaged(draw: st.DrawFn) -> str:
    """A well-formed text with a piece cut out, doubled, or moved in from elsewhere."""
    text = str(draw(stacks()))
    start, end = sorted(draw(st.tuples(*[st.integers(0, len(text))] * 2)))
    piece = draw(st.sampled_from(["", text[start:end] * 2, *"()[]>,@=*-+", "drop(", "mean(", "2*", "0-5"]))
    return text[:start] + piece + text[end if draw(st.booleans()) else start :]


@given(st.text() | st.text("mnlixq>[]()@=,.*+- 0123456789kM\t\n") | damaged())
def test_any_text_is_a_stack_or_a_user_error(text: str) -> None:
    try:
        stack = parse(text, open_top=True)
    except UserError:
        with pytest.raises(UserError, match=r"\^"):
            parse(text, open_top=True)
    else:
        assert parse(str(stack), open_top=True) == stack


@pytest.mark.parametrize("opening", ["mean(", "mean((", "drop(", "fuse((a > ", "joint(", "("])
def test_endless_nesting_is_refused_like_any_mistake(opening: str) -> None:
    with pytest.raises(UserError, match=r"\^"):
        parse(opening * 5000)


# -- where errors point -------------------------------------------------------------------------


def test_the_caret_stands_under_the_place() -> None:
    assert "mnli >> xnli\n      ^\n" in message("mnli >> xnli")


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("", ""),
        ("mnli >", ""),
        ("> xnli", "> xnli"),
        ("mnli xnli", "xnli"),
        ("mnli[0] > xnli", "0] > xnli"),
        ("mnli[1.5]", "1.5]"),
        ("mnli[12x]", "12x]"),
        (f"mnli[{'9' * 5000}]", f"{'9' * 5000}]"),
        ("mnli[10", ""),
        ("mnli(3)", "(3)"),
        ("mnli@", ""),
        ("mnli@xnli", "xnli"),
        ("mnli@lora(r=8", ""),
        ("mnli@lora(r 8)", "8)"),
        ("mnli@lora(r=8 alpha=2)", "alpha=2)"),
        ("mnli@lora(r=0)", "r=0)"),
        ("mnli@lora(r=8, r=8)", "r=8)"),
        ("mnli@full(r=8)", "r=8)"),
        ("mnli ; xnli", "; xnli"),
        ("lora > xnli", "lora > xnli"),
    ],
)
def test_each_mistake_is_pointed_at(text: str, place: str) -> None:
    if len(text) > 100:  # only a part of it is shown
        assert "\n" + " " * text.index(place) + "^\n" in message(text)
    else:
        assert pointed_at(text) == place


def test_unknown_tasks_are_all_named_with_the_nearest() -> None:
    got = message("mnl > SQUAD_V1 > xnli")
    assert "'mnl' is not a task; did you mean 'mnli'?" in got
    assert "'SQUAD_V1' is not a task; did you mean 'squad_v1'?" in got
    assert "mnl > SQUAD_V1 > xnli\n^     ^\n" in got


def test_wrong_options_are_all_named_with_the_nearest() -> None:
    got = message("mnli@lora(layer=top4, r=0, dropout=1, targets=q)")
    for part in ("did you mean 'layers'?", "r must be", "dropout must be", "targets must be"):
        assert part in got
    assert got.count("^") == 4
    assert "did you mean 'lora'?" in message("mnli@Lora")


@pytest.mark.parametrize("word", KEYWORDS)
def test_words_of_the_grammar_are_no_tasks(word: str) -> None:
    for text in (f"{word} > xnli", f"{word}[10k] > xnli", f"{word}@lora"):
        assert pointed_at(text) == text
        assert f"expected: {word}(" in message(text)


def test_a_misspelt_form_is_recognised() -> None:
    assert "did you mean 'joint'?" in message("jiont(mnli, qqp) > xnli")
    assert "did you mean 'dare_ties'?" in message("dare_tie(mnli, qqp) > xnli", None)


def test_any_white_space_separates_and_does_not_shift_the_caret() -> None:
    assert parse("mnli\t>\n\u3000xnli") == parse("mnli > xnli")
    assert "mnli  xnli\n      ^" in message("mnli\t\u3000xnli")


# -- what cannot stand on what ------------------------------------------------------------------


@pytest.mark.parametrize("text", ["mnli@lora > xnli@full", "mnli@bottleneck > qqp > xnli@full"])
def test_full_fine_tuning_cannot_stand_on_a_module(text: str) -> None:
    assert pointed_at(text) == "xnli@full"


def test_modules_may_stand_on_full_fine_tuning() -> None:
    assert parse("mnli@full > qqp@full > xnli@lora").target.method == LoRA()


def test_lora_and_bottleneck_stand_on_each_other() -> None:
    for text in ("mnli@lora > xnli@bottleneck", "mnli@bottleneck > qqp@lora > xnli@bottleneck"):
        assert str(parse(text)) == text
    assert str(parse("mnli@lora > xnli").with_method(Bottleneck())) == "mnli@lora > xnli@bottleneck"
    with pytest.raises(UserError, match="cannot stand on"):
        parse("mnli@lora > xnli").with_method(Full())


def test_a_stack_built_by_hand_is_checked_too() -> None:
    for task, size in (
        ("joint", None),
        ("lora", None),
        ("a b", None),
        ("", None),
        ("mnli", 0),
        ("mnli", True),
    ):
        with pytest.raises(UserError):
            Term(task, size)
    with pytest.raises(UserError):
        Stack(())
    with pytest.raises(UserError, match="a@lora > b@full\n         \\^"):
        Stack((Term("a", method=LoRA()), Term("b", method=Full())))


# -- methods ------------------------------------------------------------------------------------


@given(methods)
def test_parse_undoes_print_for_methods(method: Method) -> None:
    assert parse_method(str(method)) == method


def test_only_what_differs_from_the_defaults_is_printed() -> None:
    assert str(parse_method("lora()")) == str(parse_method("lora(r=8, alpha=16)")) == "lora"
    assert str(LoRA(r=16)) == "lora(r=16)"
    assert LoRA(r=16).alpha == 32
    assert str(LoRA(r=16, alpha=16)) == "lora(r=16, alpha=16)"
    assert str(Bottleneck(reduction=16, layers="top2")) == "bottleneck(reduction=16, layers=top2)"
    assert str(Full()) == "full"


def test_all_wrong_options_are_named_at_once() -> None:
    with pytest.raises(UserError) as caught:
        LoRA(r=True, dropout=float("nan"), targets="k")
    assert all(word in str(caught.value) for word in ("r=True", "dropout=nan", "targets='k'"))


def test_layers_are_counted_from_the_top() -> None:
    assert layer_range("all", 12) == range(12)
    assert layer_range("top4", 12) == range(8, 12)
    with pytest.raises(UserError, match="top1 to top12"):
        layer_range("top13", 12)


def test_nothing_may_follow_a_method() -> None:
    with pytest.raises(UserError, match="lora > xnli\n     \\^"):
        parse_method("lora > xnli")
