"""Items as flat arrays: a million of them on disk, mapped into memory, made when asked for.

The token ids of all items lie in one array, and so do the numbers of their targets and notes. What
a target or note is made of besides numbers is its *form*, a piece of JSON; items share a few forms.

    an item's target (3, 7)                     form ["ints", "tuple"], numbers 2 3 7
    a note Words(first=0, at=array([1, 2]))     form ["named", "Words", "int", ["array", "<i8", 1]], 0 2 1 2
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, overload

import numpy as np

from xadapt.kinds.extract import Window
from xadapt.kinds.kind import Item
from xadapt.kinds.mlm import Passage, Vocabulary
from xadapt.kinds.tag import Words

# The named tuples that stand in notes.
NAMED: Mapping[str, Any] = {named.__name__: named for named in (Window, Words, Passage, Vocabulary)}
MOST_FORMS = 4096
_INT32 = range(-(2**31), 2**31)

# Column -> its type; one file each.
COLUMNS: Mapping[str, str] = {
    "example": "<i8",  # an item: the index of its example
    "sequences": "<i4",  # an item: how many sequences it has
    "lengths": "<i4",  # a sequence: how many tokens
    "tokens": "<i4",
    "target_forms": "<i4",  # an item: the index of its target's form
    "target_sizes": "<i4",  # an item: how many numbers
    "targets": "<i4",
    "note_forms": "<i4",
    "note_sizes": "<i4",
    "notes": "<i4",
}


class UnplainError(TypeError):
    """A target or note that has no form here."""


@dataclass(frozen=True)
class Block:
    """Some items, flat. ``columns`` are those of ``COLUMNS``, ``forms`` JSON texts."""

    columns: Mapping[str, np.ndarray]
    forms: tuple[str, ...]


class Forms:
    """Forms by number."""

    def __init__(self) -> None:
        self.numbers: dict[Any, int] = {}

    def number(self, form: Any) -> int:
        """The form's number; a new one where it is new. Raises ``UnplainError`` where there are too many."""
        if form not in self.numbers and len(self.numbers) >= MOST_FORMS:
            raise UnplainError(f"more than {MOST_FORMS} forms of targets and notes")
        return self.numbers.setdefault(form, len(self.numbers))


def flatten(items: Sequence[Item], first: int = 0) -> Block:
    """Items as arrays.

    Args:
        first: added to each item's ``example``: where the examples that were encoded begin.

    Raises:
        UnplainError: a target or note is made of something else than None, integers, arrays of integers,
            tuples, lists and the named tuples of ``NAMED``.
    """
    columns = {name: array("q" if kind == "<i8" else "i") for name, kind in COLUMNS.items()}
    forms = Forms()
    lengths, tokens = columns["lengths"], columns["tokens"]
    for item in items:
        columns["example"].append(first + item.example)
        columns["sequences"].append(len(item.sequences))
        for sequence in item.sequences:
            lengths.append(len(sequence))
            tokens.extend(sequence)
        for value, name in ((item.target, "target"), (item.note, "note")):
            numbers = columns[f"{name}s"]
            before = len(numbers)
            columns[f"{name}_forms"].append(forms.number(form_of(value, numbers)))
            columns[f"{name}_sizes"].append(len(numbers) - before)
    return Block(
        {name: np.frombuffer(column.tobytes(), dtype=COLUMNS[name]) for name, column in columns.items()},
        tuple(json.dumps(form) for form in forms.numbers),
    )


def form_of(value: Any, numbers: array) -> Any:
    """The form of a value, as strings in nested tuples; its numbers are added to ``numbers``.

    Raises:
        UnplainError: there is none.
    """
    if value is None:
        return "none"
    if type(value) is int and value in _INT32:
        numbers.append(value)
        return "int"
    if isinstance(value, np.ndarray) and value.dtype.kind in "iub":
        if value.size and not (int(value.min()) in _INT32 and int(value.max()) in _INT32):
            raise UnplainError(f"an array with {value.max()}: not a 32-bit number")
        numbers.extend(value.shape)
        numbers.frombytes(np.ascontiguousarray(value, dtype="<i4").tobytes())
        return ("array", value.dtype.str, value.ndim)
    if type(value) in (tuple, list):
        kind = type(value).__name__
        if all(type(part) is int and part in _INT32 for part in value):
            numbers.append(len(value))
            numbers.extend(value)
            return ("ints", kind)
        return (kind, *(form_of(part, numbers) for part in value))
    if isinstance(value, tuple) and NAMED.get(type(value).__name__) is type(value):
        return ("named", type(value).__name__, *(form_of(part, numbers) for part in value))
    raise UnplainError(f"a target or note holds a {type(value).__name__}: {value!r:.80}")


Make = Callable[[np.ndarray, int], tuple[Any, int]]  # numbers, where to begin -> value, where it ends


def maker(form: Any) -> Make:
    """What makes the value of a form from its numbers."""
    if form == "none":
        return lambda numbers, at: (None, at)
    if form == "int":
        return lambda numbers, at: (int(numbers[at]), at + 1)
    head, *rest = form
    if head == "ints":
        shape: Any = {"tuple": tuple, "list": list}[rest[0]]
        return lambda numbers, at: (
            shape(numbers[at + 1 : at + 1 + numbers[at]].tolist()),
            at + 1 + int(numbers[at]),
        )
    if head == "array":
        return _array_maker(np.dtype(rest[0]), rest[1])
    build: Any = {"tuple": tuple, "list": list}.get(head)
    if head == "named":
        named, *rest = rest
        build = NAMED[named]._make
    parts = [maker(part) for part in rest]

    def make(numbers: np.ndarray, at: int) -> tuple[Any, int]:
        values = []
        for part in parts:
            value, at = part(numbers, at)
            values.append(value)
        return build(values), at

    return make


def _array_maker(kind: np.dtype, dimensions: int) -> Make:
    def make(numbers: np.ndarray, at: int) -> tuple[Any, int]:
        data = at + dimensions
        shape = numbers[at:data]
        stop = data + int(np.prod(shape, dtype=np.int64))
        return numbers[data:stop].astype(kind).reshape(shape), stop

    return make


class FlatItems(Sequence[Item]):
    """The items of a block, equal to those that it was made of; made anew at each call.

    Attributes:
        lengths: (items,) tokens in all, int64.
    """

    def __init__(self, block: Block) -> None:
        self._columns = block.columns
        self._makers = [maker(json.loads(form)) for form in block.forms]
        self._sequences = _ends(block.columns["sequences"])
        self._tokens = _ends(block.columns["lengths"])
        self._parts = [
            (block.columns[f"{name}_forms"], _ends(block.columns[f"{name}_sizes"]), block.columns[f"{name}s"])
            for name in ("target", "note")
        ]
        bounds = self._tokens[self._sequences]
        self.lengths: np.ndarray = np.diff(bounds)

    def __len__(self) -> int:
        return len(self.lengths)

    @overload
    def __getitem__(self, index: int) -> Item: ...
    @overload
    def __getitem__(self, index: slice) -> list[Item]: ...
    def __getitem__(self, index: int | slice) -> Item | list[Item]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        i = int(index) + len(self) if index < 0 else int(index)
        if not 0 <= i < len(self):
            raise IndexError(f"item {index} of {len(self)}")
        tokens = self._columns["tokens"]
        ends = self._tokens[self._sequences[i] : self._sequences[i + 1] + 1].tolist()
        sequences = tuple(array("i", tokens[a:b].tobytes()) for a, b in pairwise(ends))
        target, note = (
            self._makers[forms[i]](numbers, int(begins[i]))[0] for forms, begins, numbers in self._parts
        )
        return Item(int(self._columns["example"][i]), sequences, target, note)

    def __iter__(self) -> Iterator[Item]:
        return (self[i] for i in range(len(self)))


def _ends(sizes: np.ndarray) -> np.ndarray:
    """(n,) sizes -> (n + 1,) where each begins, and where the last one ends."""
    ends = np.zeros(len(sizes) + 1, dtype=np.int64)
    np.cumsum(sizes, out=ends[1:])
    return ends


def lengths_of(items: Sequence[Item]) -> np.ndarray:
    """(items,) tokens in all of each, int64, without making the items where it is known."""
    known: np.ndarray | None = getattr(items, "lengths", None)
    if known is not None:
        return known
    return np.fromiter((len(item) for item in items), dtype=np.int64, count=len(items))


class Written(NamedTuple):
    """What a writer wrote: a column's file name -> its number of elements, and all forms."""

    counts: dict[str, int]
    forms: list[str]


class Writer:
    """Blocks into a folder of ``.npy`` files, one after the other."""

    def __init__(self, folder: Path) -> None:
        self._files: dict[str, BinaryIO] = {}
        self._counts = dict.fromkeys(COLUMNS, 0)
        self._forms = Forms()
        for name in COLUMNS:
            self._files[name] = (folder / f"{name}.npy").open("w+b")
            self._head(name)

    def add(self, block: Block) -> None:
        """Append a block. Raises OSError, and ``UnplainError`` where there are too many forms."""
        numbers = np.array([self._forms.number(form) for form in block.forms], dtype="<i4")
        for name, column in block.columns.items():
            data = numbers[column] if name.endswith("_forms") else column
            self._files[name].write(np.ascontiguousarray(data).data)
            self._counts[name] += len(data)

    def finish(self) -> Written:
        """Complete the files."""
        for name, file in self._files.items():
            file.seek(0)
            self._head(name)
            file.flush()
        self.close()
        return Written(dict(self._counts), list(self._forms.numbers))

    def close(self) -> None:
        for file in self._files.values():
            file.close()

    def _head(self, name: str) -> None:
        # numpy pads the head so that it can be written again when the count has grown.
        head = {"descr": COLUMNS[name], "fortran_order": False, "shape": (self._counts[name],)}
        np.lib.format.write_array_header_1_0(self._files[name], head)


def mapped(folder: Path, forms: Sequence[str]) -> FlatItems:
    """What a ``Writer`` wrote, mapped into memory. Raises OSError, ValueError where it is none."""
    columns = {}
    for name in COLUMNS:
        path = folder / f"{name}.npy"
        found = np.load(path, allow_pickle=False)[:0] if _empty(path) else np.load(path, mmap_mode="r")
        columns[name] = np.asarray(found)
    return FlatItems(Block(columns, tuple(forms)))


def _empty(path: Path) -> bool:
    """Whether the array has no elements: such a one can't be mapped."""
    with path.open("rb") as file:
        np.lib.format.read_magic(file)
        shape, _, _ = np.lib.format.read_array_header_1_0(file)
    return 0 in shape
