"""Combinations, drops and languages: what they mean, how they are printed, what is refused and where."""

import pytest

from xadapt.common.errors import UserError
from xadapt.stacks.combinations import COMBINATIONS, MERGES
from xadapt.stacks.methods import Bottleneck, Full, LoRA
from xadapt.stacks.parser import Combined, Dropped, Operand, Stack, Term, parse

TASKS = ("mnli", "qqp", "squad_v1", "hellaswag", "xnli", "tatoeba")


def read(text: str) -> Stack:
    return parse(text, TASKS, untrained=("tatoeba",), languages=("de", "en", "ru", "sw"))


def message(text: str) -> str:
    with pytest.raises(UserError) as caught:
        read(text)
    return str(caught.value)


def of(*tasks: str) -> tuple[Operand, ...]:
    return tuple(Operand(Stack((Term(task),))) for task in tasks)


# -- what they mean -----------------------------------------------------------------------------


def test_a_joint_is_one_module_on_a_mixture() -> None:
    stack = read("joint(mnli, squad_v1[10k], cap = 65536)@lora(r=16) > xnli")
    joint = Combined(
        "joint",
        (Operand(Stack((Term("mnli"),))), Operand(Stack((Term("squad_v1", 10_000),)))),
        (("cap", 65_536),),
        LoRA(r=16),
    )
    assert stack == Stack((joint, Term("xnli")))
    assert joint.settings == {"cap": 65_536, "temperature": 1.0}


def test_a_merge_has_weights_and_stacks_within() -> None:
    stack = read("mean(0.7*mnli, 3*(qqp > squad_v1), joint(mnli, qqp)) > xnli")
    merge = stack.parts[0]
    assert isinstance(merge, Combined)
    assert [o.weight for o in merge.operands] == [0.7, 3, 1]
    assert merge.operands[1].stack == read("qqp > squad_v1")
    assert str(stack) == "mean(0.7*mnli, 3*(qqp > squad_v1), joint(mnli, qqp)) > xnli"


def test_only_options_that_differ_from_the_defaults_are_printed_and_in_one_order() -> None:
    for text, printed in {
        "joint(mnli, qqp, temperature=1, cap=131072)": "joint(mnli, qqp)",
        "joint(mnli, qqp, temperature=2, cap=10k)": "joint(mnli, qqp, cap=10000, temperature=2.0)",
        "ties(mnli, qqp, majority_sign_method=total, density=0.20)": "ties(mnli, qqp)",
        "svd(1*mnli, 0.50*(qqp), rank=4)": "svd(mnli, 0.5*qqp, rank=4)",
        "cat(-1*mnli, 2k*qqp)": "cat(-1*mnli, 2000*qqp)",
    }.items():
        assert str(read(f"{text} > xnli")) == f"{printed} > xnli"
        assert read(f"{printed} > xnli") == read(f"{text} > xnli")


def test_the_defaults_are_those_of_the_papers() -> None:
    assert Combined("joint", of("a")).settings == {"cap": 2**17, "temperature": 1.0}
    ties = {"density": 0.2, "majority_sign_method": "total", "rank": None}
    assert Combined("ties", of("a")).settings == ties
    assert Combined("svd", of("a")).settings == {"rank": None}
    assert Combined("mean", of("a")).settings == {}


@pytest.mark.parametrize("how", COMBINATIONS)
def test_a_combination_of_one_is_allowed(how: str) -> None:
    assert str(read(f"{how}(mnli) > xnli")) == f"{how}(mnli) > xnli"


def test_a_fuse_hands_its_method_to_its_modules() -> None:
    assert read("fuse(mnli, qqp@bottleneck(reduction=8))@bottleneck > xnli") == read(
        "fuse(mnli@bottleneck, qqp@bottleneck(reduction=8)) > xnli"
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("mean((mnli > qqp), squad_v1) > xnli", "a stack of bottleneck modules"),
        ("fuse((mnli > qqp), squad_v1) > xnli", "a stack of bottleneck modules"),
        ("fuse(mean(mnli, qqp), squad_v1) > xnli", "attends over single bottleneck modules"),
    ],
)
def test_what_bottlenecks_cannot_do_is_said_before_anything_is_trained(text: str, says: str) -> None:
    with pytest.raises(UserError, match=says):
        read(text).with_method(Bottleneck())
    with pytest.raises(UserError, match=says):
        read(text.replace("qqp", "qqp@bottleneck").replace("mnli", "mnli@bottleneck"))
    assert read(text).with_method(LoRA())


def test_the_experiments_method_reaches_every_module() -> None:
    stack = read("joint(mnli, qqp) > fuse((mnli > qqp), squad_v1) > drop(mnli, 0-2) > xnli@lora(r=2)")
    assert str(stack.with_method(LoRA())) == (
        "joint(mnli, qqp)@lora > fuse((mnli@lora > qqp@lora), squad_v1@lora) > drop(mnli@lora, 0-2)"
        " > xnli@lora(r=2)"
    )
    assert stack.with_method(LoRA()).with_method(Bottleneck()) == stack.with_method(LoRA())


def test_a_drop_names_layers_from_the_lowest() -> None:
    drop = read("drop(mean(mnli, qqp), 0 - 5) > drop(xnli, 3)").parts
    assert drop == (Dropped(Combined("mean", of("mnli", "qqp")), 0, 5), Dropped(Term("xnli"), 3, 3))
    assert list(drop[0].layers) == [0, 1, 2, 3, 4, 5]  # type: ignore[union-attr]
    assert read("drop(xnli, 3)").target == Term("xnli")


def test_languages_are_a_set_and_english_alone_is_the_default() -> None:
    assert read("mnli[10k, ru+de] > xnli[en]") == read("mnli[10000,de+ru] > xnli")
    assert str(read("mnli[ru+de+en] > xnli")) == "mnli[de+en+ru] > xnli"
    assert Term("mnli", languages=("ru", "de")).languages == ("de", "ru")


def test_a_stack_may_be_written_as_text_and_then_ends_in_anything() -> None:
    assert Stack("mnli > xnli") == read("mnli > xnli")
    assert Stack("mean(mnli, qqp)").top == Combined("mean", of("mnli", "qqp"))
    with pytest.raises(UserError, match="cannot be evaluated"):
        _ = Stack("mean(mnli, qqp)").target


# -- where errors point -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "carets", "says"),
    [
        # weights
        ("fuse(0.7*mnli, qqp) > xnli", "     ^", "fuse learns its weights"),
        ("joint(mnli, 2*qqp) > xnli", "            ^", "by their number of examples"),
        ("mean(-1*mnli, qqp) > xnli", "     ^", "cannot be negative"),
        ("cat(0*mnli, qqp) > xnli", "    ^", "weight 0 does nothing"),
        ("cat(1e999*mnli, qqp) > xnli", "    ^", "a weight must be"),
        ("cat(mnli*2) > xnli", "        ^", "'*' does not belong here"),
        ("0.7*mnli > xnli", "^", "only a merge has weights"),
        ("mnli > -1*xnli", "       ^", "only a merge has weights"),
        # options
        ("ties(mnli, densty=1, densty=2) > xnli", "           ^         ^", "did you mean 'density'?"),
        ("ties(mnli, density=0) > xnli", "           ^", "a share of the values from 0.001 to 1"),
        ("dare_linear(mnli, qqp, density=1e-300) > xnli", "                       ^", "from 0.001 to 1"),
        ("joint(mnli, qqp, temperature=1e-300) > xnli", "                 ^", "from 0.1 to 1000"),
        ("joint(mnli, qqp, temperature=1e400) > xnli", "                 ^", "from 0.1 to 1000"),
        ("cat(1e-300*mnli, qqp) > xnli", "    ^", "does nothing"),
        ("mnli@lora(dropout=0.99999999) > xnli", "          ^", "from 0 to 0.9"),
        ("ties(mnli, majority_sign_method=most) > xnli", "           ^", "'total' or 'frequency'"),
        ("svd(mnli, svd_rank=4) > xnli", "          ^", "did you mean 'rank'?"),
        ("joint(mnli, cap=0, temperature=x) > xnli", "            ^      ^", "cap must be"),
        ("mean(mnli, cap=2) > xnli", "           ^", "options of mean: none"),
        ("joint(cap=2, mnli) > xnli", "      ^", "what to combine before the options"),
        ("joint(mnli, cap=2, qqp) > xnli", "                      ^", "and a value after 'qqp'"),
        ("mean() > xnli", "     ^", "what to combine, as in mean("),
        # methods
        ("mean(mnli, qqp)@lora > xnli", "               ^", "mean trains nothing"),
        ("fuse(mnli, qqp)@full > xnli", "               ^", "fuse cannot take full"),
        ("mean(mnli@lora, qqp@full) > xnli", "                ^", "cannot combine full modules"),
        ("ties(mnli@bottleneck) > xnli", "     ^", "ties cannot combine bottleneck modules"),
        ("svd(mnli@full) > xnli", "    ^", "svd cannot combine full modules, only lora"),
        ("fuse(mnli, qqp@full) > xnli", "           ^", "fuse cannot combine full"),
        ("mnli@lora > mean(qqp@full) > xnli", "                 ^", "cannot combine full modules"),
        ("joint(mnli@lora, qqp) > xnli", "      ^", "as in joint(...)@lora"),
        # operands
        ("mean(mnli, 2*mnli) > xnli", "           ^", "as in 2*mnli"),
        ("fuse(mnli, qqp, mnli) > xnli", "                ^", "twice in one fuse"),
        ("fuse(mnli, mnli@lora)@lora > xnli", "           ^", "twice in one fuse"),
        ("joint(mnli, mnli[de]) > xnli", "            ^", "select its data once"),
        ("joint((mnli > qqp), xnli) > xnli", "      ^", "mnli > qqp is not a task"),
        ("joint(mean(mnli), qqp) > xnli", "      ^", "combine modules with mean"),
        ("mean(fuse(mnli, qqp), xnli) > xnli", "     ^", "fuse within mean"),
        ("fuse((fuse(mnli, qqp) > xnli), mnli) > xnli", "     ^", "fuse within fuse"),
        ("mean((mnli >), qqp) > xnli", "            ^", "a task, such as mnli"),
        ("mean((mnli@lora > qqp@full)) > xnli", "                  ^", "cannot stand on a lora"),
        ("fuse(mnli, qqp) > mean(xnli) > xnli", "                  ^", "trains nothing"),
        ("drop(fuse(mnli, qqp), 0) > fuse(mnli) > xnli", "                           ^", "trains nothing"),
        ("(mnli > qqp) > xnli", "^", "only within a combination"),
        ("mean(mnli, qqp > xnli", "               ^", "the next operand, or ')'"),
        # the target
        ("xnli > mean(mnli, qqp)", "       ^", "must be a single task"),
        ("drop(joint(mnli, qqp), 0-3)", "^", "must be a single task"),
        # drop
        ("drop(mnli, 5-0) > xnli", "           ^", "expected: 0-5"),
        ("drop(mnli) > xnli", "         ^", "the layers to drop"),
        ("drop(mnli, top4) > xnli", "           ^", "counted from 0"),
        ("drop(mnli, 1.5) > xnli", "           ^", "is not a layer"),
        ("drop(drop(mnli, 0), 2) > xnli", "     ^", "one range of layers"),
        ("drop((mnli > qqp), 2) > xnli", "     ^", "drop layers of each"),
        ("drop(mnli@full, 2) > xnli", "     ^", "no module to drop"),
        # languages
        ("mnli[dee] > xnli", "     ^", "did you mean 'de'?"),
        ("mnli[de+de] > xnli", "        ^", "given twice"),
        ("mnli[de, 10k] > xnli", "       ^", "as in mnli[10k, de]"),
        ("mnli[10k, ] > xnli", "          ^", "a language, such as de"),
        ("mnli[] > xnli", "     ^", "as in mnli[10k] and mnli[de+ru]"),
        # what the catalogue forbids
        ("joint(tatoeba, mnli) > xnli", "      ^", "put tatoeba last"),
        ("mean(mnli, tatoeba) > xnli", "           ^", "put tatoeba last"),
        ("tatoeba > xnli", "^", "put tatoeba last"),
        ("mnli > tatoeba@lora", "       ^", "write tatoeba alone"),
        ("drop(tatoeba, 0-5)", "     ^", "put tatoeba last, by itself"),
        ("fuse(mnli, qqp) > tatoeba", "                  ^", "a task that trains between them"),
        ("mean(mnl, drop(qq, 2)) > xnli", "     ^         ^", "did you mean 'qqp'?"),
    ],
)
def test_each_mistake_is_pointed_at_and_explained(text: str, carets: str, says: str) -> None:
    got = message(text)
    assert f"\n{text}\n{carets}\n" in got + "\n"
    assert says in got


def test_what_is_built_by_hand_is_checked_too() -> None:
    mnli, qqp = of("mnli", "qqp")
    for build in (
        lambda: Combined("blend", (mnli, qqp)),
        lambda: Combined("mean", ()),
        lambda: Combined("mean", (mnli, mnli)),
        lambda: Combined("fuse", (Operand(mnli.stack, 2.0), qqp)),
        lambda: Combined("cat", (Operand(mnli.stack, float("nan")), qqp)),
        lambda: Combined("cat", (Operand(mnli.stack, True), qqp)),
        lambda: Combined("ties", (mnli, qqp), (("density", 2.0),)),
        lambda: Combined("ties", (mnli, qqp), (("density", 0.1), ("density", 0.2))),
        lambda: Combined("mean", (mnli, qqp), (), LoRA()),
        lambda: Combined("mean", of("mnli", "qqp"), (("cap", 1),)),
        lambda: Dropped(Term("mnli"), 3, 2),
        lambda: Dropped(Term("mnli"), -1, 2),
        lambda: Dropped(Term("mnli", method=Full()), 0, 2),
        lambda: Dropped(Dropped(Term("mnli"), 0, 1), 2, 3),  # type: ignore[arg-type]
        lambda: Term("mnli", languages=("de", "de")),
        lambda: Term("mnli", languages=("de, en",)),
    ):
        with pytest.raises(UserError):
            build()


@pytest.mark.parametrize("how", [how for how in MERGES if "bottleneck" not in COMBINATIONS[how].methods])
def test_the_experiments_method_is_refused_where_it_cannot_be_merged(how: str) -> None:
    with pytest.raises(UserError, match=f"{how} cannot combine bottleneck"):
        read(f"{how}(mnli, qqp) > xnli").with_method(Bottleneck())
