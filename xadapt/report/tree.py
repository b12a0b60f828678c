"""A stack as a tree: what is frozen, what trains, what is reused, how large it is and where it sits.

    drop(mnli, 0-1) > xnli
    trains 1: 9,000 parameters, 36.0 kB; reused 1: 9,000 parameters, 36.0 kB
    ├── pocket               frozen  1,000,000    4.0 MB  [####]
    ├── drop layers 0-1                                   [--##]
    │   └── mnli@lora        reused      9,000   36.0 kB  [####]
    └── xnli@lora            trains      9,000   36.0 kB  [####]

The lowest part comes first, as in the text. A layer bar has one sign a layer, the lowest on the left:
``#`` where there is something of the part, ``-`` where it was dropped, ``.`` where there is nothing.
Nothing is looked up here: facts come from whoever knows the store and the backbone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from rich.filesize import decimal
from rich.text import Text
from rich.tree import Tree

from xadapt.stacks.places import Node, acting_layers, nodes
from xadapt.stacks.stack import Combined, Dropped, Operand, Stack, is_fuse
from xadapt.stacks.term import Term
from xadapt.study.sizes import Facts, State, Trunk

_STYLES: Final[Mapping[str, str]] = {"frozen": "dim", "trains": "yellow", "reused": "green"}
_INDENT = 4  # columns that rich draws a level


@dataclass(frozen=True)
class _Row:
    """One line: how deep it is indented, what it says, and its facts, if they are to be counted."""

    depth: int
    name: str
    bar: str = ""
    facts: Facts | None = None
    note: str = ""
    state: str = ""  # where there are no facts


def draw(stack: Stack, facts: Mapping[Stack, Facts], *, backbone: str, base: Facts, n_layers: int) -> Tree:
    """The tree of ``stack``, to be printed with rich.

    Args:
        stack: with methods filled in.
        facts: by place (``xadapt.stacks.places``), for each term, joint and fuse that has weights; those of a
            fuse are its fusion's own. A place that is left out has none (a target that does not train).
        backbone: its name.
        base: facts of the backbone.
        n_layers: of the backbone.

    Raises:
        UserError: a method names more layers than the backbone has.
    """
    rows = [_Row(1, backbone, _bar(set(range(n_layers)), n_layers), base, base.note)]
    seen: dict[Stack, Facts] = {}
    for node in nodes(stack):
        rows += _rows(node, 1, "", facts, n_layers, seen)

    head = Text(str(stack), style="bold")
    head.append("\n" + _sums(seen.values()), style="not bold")
    tree = Tree(head)
    above = [tree]
    for row, label in zip(rows, _labels(rows), strict=True):
        del above[row.depth :]
        above.append(above[-1].add(label))
    return tree


def trunk_line(trunk: Trunk) -> str:
    """What runs below all modules, and what keeping its output would save."""
    which = "layer 0 carries" if trunk.depth == 1 else f"layers 0 to {trunk.depth - 1} carry"
    return (
        f"{which} no module: without gradients, alike in all steps, seeds and stacks. Kept on disk "
        f"(--cache-gb), what comes out takes {decimal(trunk.token_bytes)} a token and saves "
        f"{trunk.of_training:.0%} of a training step's layers from the second pass on, "
        f"{trunk.of_evaluation:.0%} of an evaluation's"
    )


def _rows(
    node: Node, depth: int, weight: str, facts: Mapping[Stack, Facts], n_layers: int, seen: dict[Stack, Facts]
) -> Iterator[_Row]:
    """A part and, indented below it, what it is made of; ``seen`` collects what has weights."""
    part = node.part
    known = facts.get(node.place)
    trained = known is not None or bool(node.branches)
    layers = acting_layers(node, n_layers) if trained else set()
    again = node.place in seen
    if isinstance(part, Dropped):
        name = "drop layers " + "-".join(map(str, dict.fromkeys((part.first, part.last))))
        whole = acting_layers(node.branches[0].nodes[0], n_layers)
        yield _Row(depth, weight + name, _bar(layers, n_layers, whole - layers))
    else:
        if known is not None:
            seen[node.place] = known
        merged = "merged" if isinstance(part, Combined) and node.branches and not is_fuse(part) else ""
        state = known.state if known else merged
        note = "the same module as above" if again else _note(node, known)
        bar = _bar(layers, n_layers)
        yield _Row(depth, weight + _name(node), bar, None if again else known, note, state)
    if isinstance(part, Combined) and part.how == "joint":
        for operand in part.operands:
            yield _Row(depth + 1, str(operand), state="data")
    for branch in node.branches:
        given = f"{text} * " if (text := _weight(branch.weight)) else ""
        if len(branch.nodes) > 1:
            yield _Row(depth + 1, given + "stack")
            for one in branch.nodes:
                yield from _rows(one, depth + 2, "", facts, n_layers, seen)
        else:
            yield from _rows(branch.nodes[0], depth + 1, given, facts, n_layers, seen)


def _name(node: Node) -> str:
    """A term as it is written; of a combination the word, with its options and method."""
    part = node.part
    if not isinstance(part, Combined):
        return str(part)
    options = ", ".join(f"{name}={value}" for name, value in part.options)
    method = f"@{part.method}" if part.method else ""
    return f"{part.how}{f' ({options})' if options else ''}{method}"


def _note(node: Node, known: Facts | None) -> str:
    notes = [known.note] if known and known.note else []
    if is_fuse(node.part):
        above = node.module.top if node.module else None
        notes.append(f"learned with {above}" if above else "nothing above it to learn its weights with")
    elif known is None and isinstance(node.part, Term):
        notes.append("no module of its own")
    return "; ".join(notes)


def _weight(weight: float) -> str:
    """As an operand prints it; nothing for 1."""
    return str(Operand(Stack((Term("x"),)), weight)).removesuffix("x").removesuffix("*")


def _bar(layers: set[int], n_layers: int, dropped: set[int] | frozenset[int] = frozenset()) -> str:
    signs = ("#" if i in layers else "-" if i in dropped else "." for i in range(n_layers))
    return f"[{''.join(signs)}]"


def _labels(rows: Sequence[_Row]) -> Iterator[Text]:
    """The rows as text, in columns that stand below each other whatever the indentation."""
    cells = [
        (f.state, f"{f.parameters:,}", decimal(f.bytes)) if (f := row.facts) else (row.state, "", "")
        for row in rows
    ]
    wide = max(row.depth * _INDENT + len(row.name) for row in rows)
    widths = [max(len(cell[i]) for cell in cells) for i in range(3)]
    for row, (state, parameters, size) in zip(rows, cells, strict=True):
        label = Text(row.name.ljust(wide - row.depth * _INDENT), overflow="fold")
        label.append("  " + state.ljust(widths[0]), style=_STYLES.get(state, "dim"))
        label.append(f"  {parameters.rjust(widths[1])}  {size.rjust(widths[2])}  {row.bar}")
        label.append(f"  {row.note}" if row.note else "", style="dim")
        label.rstrip()
        yield label


def _sums(found: Iterable[Facts]) -> str:
    """How much trains and how much is reused; every module once."""
    by_state: dict[State, list[Facts]] = {"trains": [], "reused": []}
    for facts in found:
        by_state.setdefault(facts.state, []).append(facts)
    return "; ".join(
        f"{state} {len(some)}: {sum(f.parameters for f in some):,} parameters, "
        f"{decimal(sum(f.bytes for f in some))}"
        if some
        else f"{state} nothing"
        for state, some in by_state.items()
    )
