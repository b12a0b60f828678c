"""The picture of a stack, as text."""

import pytest
from expressions import flat, prefixes, stacks
from hypothesis import given
from rich.console import Console

from xadapt.common.errors import UserError
from xadapt.report.tree import draw
from xadapt.stacks.methods import LoRA
from xadapt.stacks.places import nodes
from xadapt.stacks.stack import Stack
from xadapt.study.sizes import Facts

BASE = Facts("frozen", 278_000_000, 1_112_000_000)


def printed(stack: Stack, facts: dict[Stack, Facts], n_layers: int = 6, width: int = 200) -> str:
    console = Console(width=width, color_system=None)
    with console.capture() as captured:
        console.print(draw(stack, facts, backbone="base", base=BASE, n_layers=n_layers))
    return captured.get()


def test_what_is_frozen_trained_and_reused_stands_in_columns() -> None:
    stack = Stack("mnli@lora(layers=top2) > drop(xnli@lora, 0-1)")
    low, high = prefixes(stack)[0], Stack("mnli@lora(layers=top2) > xnli@lora")
    facts = {low: Facts("reused", 1500, 6_000, note="ab12"), high: Facts("trains", 12_000, 48_000)}
    assert printed(stack, facts).splitlines() == [
        "mnli@lora(layers=top2) > drop(xnli@lora, 0-1)",
        "trains 1: 12,000 parameters, 48.0 kB; reused 1: 1,500 parameters, 6.0 kB",
        "├── base                    frozen  278,000,000   1.1 GB  [######]",
        "├── mnli@lora(layers=top2)  reused        1,500   6.0 kB  [....##]  ab12",
        "└── drop layers 0-1                                       [--####]",
        "    └── xnli@lora           trains       12,000  48.0 kB  [######]",
    ]


def test_operands_are_indented_below_their_combination_with_their_weights() -> None:
    stack = Stack("mean(0.7*mnli@lora(layers=top1), (mnli@lora(layers=top1) > qqp@lora(layers=top2)))")
    mnli, qqp = Stack("mnli@lora(layers=top1)"), Stack("mnli@lora(layers=top1) > qqp@lora(layers=top2)")
    facts = {mnli: Facts("reused", 10, 100), qqp: Facts("trains", 20, 200)}
    assert printed(stack, facts, 4).splitlines()[1:] == [
        "trains 1: 20 parameters, 200 bytes; reused 1: 10 parameters, 100 bytes",
        "├── base                              frozen  278,000,000     1.1 GB  [####]",
        "└── mean                              merged                          [..##]",
        "    ├── 0.7 * mnli@lora(layers=top1)  reused           10  100 bytes  [...#]",
        "    └── stack",
        "        ├── mnli@lora(layers=top1)    reused                          [...#]"
        "  the same module as above",
        "        └── qqp@lora(layers=top2)     trains           20  200 bytes  [..##]",
    ]


def test_a_joint_shows_its_tasks_as_data_and_its_options() -> None:
    stack = Stack("joint(mnli[10k, de], qqp, cap=1000)@lora > xnli@lora")
    facts = dict.fromkeys(prefixes(stack), Facts("trains", 5, 50))
    lines = [" ".join(line.split()) for line in printed(stack, facts).splitlines()]
    assert lines[1].startswith("trains 2: 10 parameters, 100 bytes; reused nothing")
    assert lines[3:6] == [
        "├── joint (cap=1000)@lora trains 5 50 bytes [######]",
        "│ ├── mnli[10000, de] data",
        "│ └── qqp data",
    ]


def test_a_fuse_says_what_its_weights_are_learned_with() -> None:
    stack = Stack("fuse(mnli@lora, drop(qqp@lora, 0-2)) > xnli@lora")
    facts = {node.place: Facts("reused", 5, 50) for node in flat(nodes(stack)) if node.module}
    got = printed(stack, facts)
    assert "[######]  learned with xnli@lora" in got
    assert "reused 4: 20 parameters" in got
    assert "[---###]" in got
    alone = Stack("fuse(mnli@lora, qqp@lora)")
    assert "nothing above it" in printed(alone, {})


def test_a_target_that_does_not_train_has_no_module() -> None:
    stack = Stack("mnli@lora > tatoeba")
    got = printed(stack, {prefixes(stack)[0]: Facts("reused", 5, 50)})
    assert got.splitlines()[-1].endswith("[......]  no module of its own")


def test_layers_that_the_backbone_does_not_have_are_refused() -> None:
    with pytest.raises(UserError, match="top9 on a backbone of 6"):
        printed(Stack("xnli@lora(layers=top9)"), {Stack("xnli@lora(layers=top9)"): Facts("reused", 5, 50)})


def test_names_are_shown_as_they_are_and_a_narrow_screen_loses_nothing() -> None:
    stack = Stack("mnli[10]@lora > xnli@lora")
    facts = dict.fromkeys(prefixes(stack), Facts("trains", 5, 50, note="[red] to its end"))
    assert "[red] to its end" in printed(stack, facts)
    got = printed(stack, facts, width=40)
    assert max(map(len, got.splitlines())) <= 40
    assert "mnli[10]@lora" in got
    assert got.count("end") == 2


@given(stacks())
def test_every_stack_can_be_drawn_and_counts_each_module_once(stack: Stack) -> None:
    if "drop" in str(stack) or "top" in str(stack):
        return  # of layers that six do not have: refused, as the test above says
    filled = (
        stack.with_method(LoRA()) if "bottleneck" not in str(stack) and "full" not in str(stack) else stack
    )
    places = {node.place for node in flat(nodes(filled)) if node.module}
    facts = {place: Facts("trains", 7, 70) for place in places}
    got = printed(filled, facts, width=100_000)
    if places:
        assert f"trains {len(places)}: {7 * len(places):,} parameters" in got
