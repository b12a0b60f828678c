"""What must be trained for a stack, in which order and on top of what."""

import pickle

from expressions import flat, prefixes, stacks
from hypothesis import given

from xadapt.stacks.methods import LoRA
from xadapt.stacks.parser import parse
from xadapt.stacks.places import needs, nodes
from xadapt.stacks.stack import Stack, trains


def trained(text: str) -> list[str]:
    return [str(need.stack) for need in needs(Stack(text))]


def test_a_sequence_needs_its_prefixes() -> None:
    stack = Stack("mnli[10k] > qqp > xnli")
    assert [need.stack for need in needs(stack)] == list(prefixes(stack))
    assert [need.below for need in needs(stack)] == [None, *prefixes(stack)[:-1]]


def test_a_lower_part_of_a_stack_is_the_stack_that_is_written_alone() -> None:
    whole = Stack("mnli > mean(qqp, anli) > drop(mnli, 0-1) > xnli")
    written = ["mnli", "mnli > mean(qqp, anli)", "mnli > mean(qqp, anli) > drop(mnli, 0-1)", str(whole)]
    assert list(whole.lower) == [Stack(text) for text in written]
    assert [hash(stack) for stack in whole.lower] == [hash(Stack(text)) for text in written]
    assert whole.below == Stack(written[2])
    assert Stack("mnli").below is None
    assert pickle.loads(pickle.dumps(whole)) == whole


def test_operands_stand_on_what_lies_below_their_combination() -> None:
    assert trained("mnli > mean(qqp, (squad_v1 > pawsx)) > xnli") == [
        "mnli",
        "mnli > qqp",
        "mnli > squad_v1",
        "mnli > squad_v1 > pawsx",
        "mnli > mean(qqp, (squad_v1 > pawsx)) > xnli",
    ]


def test_a_joint_is_one_module_and_its_tasks_are_none() -> None:
    assert trained("joint(mnli, qqp) > xnli") == ["joint(mnli, qqp)", "joint(mnli, qqp) > xnli"]
    assert trained("mean(joint(mnli, qqp), mnli)") == ["joint(mnli, qqp)", "mnli"]


def test_what_several_operands_stand_on_is_needed_once() -> None:
    assert trained("cat((mnli > qqp), (mnli > squad_v1), mnli)") == ["mnli", "mnli > qqp", "mnli > squad_v1"]


def test_fusion_weights_belong_to_the_module_above() -> None:
    stack = Stack("fuse(mnli, qqp) > squad_v1 > xnli")
    *operands, above, top = needs(stack)
    assert [str(need.stack) for need in operands] == ["mnli", "qqp"]
    assert [need.below for need in (above, top)] == list(prefixes(stack)[:2])
    assert nodes(stack)[0].module == above.stack == Stack("fuse(mnli, qqp) > squad_v1")
    assert nodes(Stack("fuse(mnli, qqp)"))[0].module is None


def test_what_is_dropped_is_trained_whole_and_is_gone_for_what_stands_on_it() -> None:
    assert trained("drop(mnli, 0-5) > drop(xnli, 0-2)") == ["mnli", "drop(mnli, 0-5) > xnli"]
    fused = Stack("drop(fuse(mnli, qqp), 0-5) > drop(xnli, 3)")
    assert [list(need.dropped) for need in needs(fused)] == [[], [], [0, 1, 2, 3, 4, 5]]
    (fuse,) = (node for node in flat(nodes(fused)) if node.part == Stack("fuse(mnli, qqp)").top)
    assert fuse.module == needs(fused)[-1].stack == Stack("drop(fuse(mnli, qqp), 0-5) > xnli")


def test_weights_of_operands_are_where_they_are_mounted() -> None:
    (merge,) = nodes(Stack("cat(2*mnli, -0.5*(qqp > pawsx))"))
    assert [branch.weight for branch in merge.branches] == [2, -0.5]
    assert [len(branch.nodes) for branch in merge.branches] == [1, 2]


def test_the_default_method_is_filled_in_and_what_was_typed_is_kept() -> None:
    found = needs(parse("mean(mnli, (mnli@lora > qqp)) > xnli"), LoRA())
    assert [str(need.stack) for need in found] == [
        "mnli@lora",
        "mnli@lora > qqp@lora",
        "mean(mnli@lora, (mnli@lora > qqp@lora)) > xnli@lora",
    ]
    assert [str(need.shown) for need in found] == [
        "mnli",
        "mnli@lora > qqp",
        "mean(mnli, (mnli@lora > qqp)) > xnli",
    ]


@given(stacks())
def test_every_module_comes_once_and_after_all_that_it_stands_on(stack: Stack) -> None:
    found = needs(stack)
    places = [need.stack for need in found]
    assert len(set(places)) == len(places)
    for at, need in enumerate(found):
        assert trains(need.stack.top)
        assert need.below == need.stack.below
        under = flat(nodes(need.stack))
        modules = {node.module for node in under if node.module} - {need.stack}
        assert modules <= set(places[:at])


@given(stacks(task_on_top=True))
def test_every_part_that_has_weights_is_in_a_needed_module(stack: Stack) -> None:
    places = {need.stack for need in needs(stack)}
    for node in flat(nodes(stack)):
        has_weights = trains(node.part) or getattr(node.part, "how", "") == "fuse"
        assert (node.module in places) is has_weights
