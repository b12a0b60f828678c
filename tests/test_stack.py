"""Expressions: what they mean, how they are printed, and where an error points."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xadapt.errors import UserError
from xadapt.methods import METHODS, Bottleneck, Full, LoRA, Method, layer_range, parse_method
from xadapt.stack import NOT_YET, Stack, Term, parse

calm = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
TASKS = ("mnli", "qqp", "squad_v1", "xnli", "xquad")

layers = st.just("all") | st.integers(1, 48).map("top{}".format)
loras = st.builds(
    LoRA,
    r=st.integers(1, 1024),
    alpha=st.none() | st.integers(1, 65536),
    dropout=st.floats(0, 1, exclude_max=True),
    targets=st.sampled_from(["all", "qv"]),
    layers=layers,
)
bottlenecks = st.builds(Bottleneck, reduction=st.integers(1, 1024), layers=layers)
methods = loras | bottlenecks | st.just(Full())
names = st.from_regex(r"[a-z_][a-z0-9_]{0,9}", fullmatch=True).filter(lambda n: n not in (*NOT_YET, *METHODS))
sizes = st.none() | st.integers(1, 10**9)


def terms(a_method: st.SearchStrategy[Method]) -> st.SearchStrategy[Term]:
    return st.builds(Term, task=names, size=sizes, method=st.none() | a_method)


alike = [st.lists(terms(one), min_size=1, max_size=5) for one in (loras, bottlenecks, st.just(Full()))]
stacks = st.one_of(alike).map(lambda many: Stack(tuple(many)))


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
    assert stack.terms == (
        Term("mnli", 10_000),
        Term("squad_v1", method=LoRA(r=16, layers="top4")),
        Term("xnli"),
    )
    assert str(stack) == "mnli[10000] > squad_v1@lora(r=16, layers=top4) > xnli"
    assert stack.target == Term("xnli")
    assert str(stack.below) == "mnli[10000] > squad_v1@lora(r=16, layers=top4)"
    assert [len(prefix) for prefix in stack.prefixes()] == [1, 2, 3]
    assert stack.prefixes()[-1] == stack


def test_a_target_alone_stands_on_the_backbone() -> None:
    assert parse("xnli").below is None
    assert parse("xnli").prefixes() == (parse("xnli"),)


@pytest.mark.parametrize(("text", "size"), [("10k", 10_000), ("2M", 2_000_000), ("1.5k", 1500), ("007", 7)])
def test_sizes_may_be_written_short_and_are_printed_long(text: str, size: int) -> None:
    assert str(parse(f"mnli[{text}]")) == f"mnli[{size}]"


def test_the_experiments_method_fills_in_terms_without_one() -> None:
    filled = parse("mnli@lora(r=2) > xnli").with_method(LoRA())
    assert filled == parse("mnli@lora(r=2) > xnli@lora")
    assert filled.with_method(Full()) == filled


@calm
@given(stacks)
def test_parse_undoes_print(stack: Stack) -> None:
    assert parse(str(stack)) == stack
    assert str(parse(str(stack))) == str(stack)


@calm
@given(stacks)
def test_the_parts_of_a_stack_make_the_stack(stack: Stack) -> None:
    assert (*(stack.below or ()), stack.target) == stack.terms
    assert [prefix.target for prefix in stack.prefixes()] == list(stack)


@calm
@given(st.text() | st.text("mnlixq>[]()@=,.*+- 0123456789kM\t\n") | stacks.map(str).map(lambda s: s[1:]))
def test_any_text_is_a_stack_or_a_user_error(text: str) -> None:
    try:
        stack = parse(text)
    except UserError:
        assert "^" in message(text, None)
    else:
        assert parse(str(stack)) == stack


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


@pytest.mark.parametrize(
    "text",
    [
        *(f"{word}(mnli, qqp) > xnli" for word in NOT_YET),
        "joint > xnli",
        "0.7*mnli > xnli",
        "mnli[de+ru] > xnli",
    ],
)
def test_forms_of_later_versions_are_said_to_be_so(text: str) -> None:
    assert "not built yet in this version" in message(text)


def test_a_misspelt_form_is_recognised() -> None:
    assert "did you mean 'joint'?" in message("jiont(mnli, qqp) > xnli")


def test_any_white_space_separates_and_does_not_shift_the_caret() -> None:
    assert parse("mnli\t>\n\u3000xnli") == parse("mnli > xnli")
    assert "mnli  xnli\n      ^" in message("mnli\t\u3000xnli")


# -- what cannot stand on what ------------------------------------------------------------------


@pytest.mark.parametrize("text", ["mnli@lora > xnli@full", "mnli@bottleneck > qqp > xnli@full"])
def test_full_fine_tuning_cannot_stand_on_a_module(text: str) -> None:
    assert pointed_at(text) == "xnli@full"


def test_modules_may_stand_on_full_fine_tuning() -> None:
    assert parse("mnli@full > qqp@full > xnli@lora").target.method == LoRA()


def test_mixed_methods_are_refused_however_they_come_about() -> None:
    assert "not supported yet" in message("mnli@lora > xnli@bottleneck")
    with pytest.raises(UserError, match="not supported yet"):
        parse("mnli@lora > xnli").with_method(Bottleneck())
    with pytest.raises(UserError, match="cannot stand on"):
        parse("mnli@lora > xnli").with_method(Full())
    with pytest.raises(UserError, match="mixed methods"):
        Stack((Term("a", method=LoRA()), Term("b", method=Bottleneck())))


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


# -- methods ------------------------------------------------------------------------------------


@calm
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
