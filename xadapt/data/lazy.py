"""Examples that are read when they are asked for: a million of them take some megabytes.

What a source loads may be such a sequence: validated in one pass by whoever makes it, and
read again from the file, the Arrow cache or another sequence, an example or a run at a time.
"""

from __future__ import annotations

import os
import weakref
from abc import abstractmethod
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import accumulate
from pathlib import Path
from typing import Any, Protocol, TypeVar, overload

import numpy as np

from xadapt.common.errors import UserError
from xadapt.tasks.examples import Text

LARGE = 20_000  # examples from which on a source gives a lazy sequence
RUN = 4096  # examples read at once
DOCUMENTS = 256  # documents read at once
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Lazy(Sequence[T_co]):
    """A sequence that holds no examples.

    Attributes:
        of: the class of every example in it, so that nobody has to look at each.
    """

    of: type

    @abstractmethod
    def read(self, first: int, last: int) -> Iterator[T_co]:
        """The examples ``first`` up to ``last`` (not included), in order, within the sequence."""

    @overload
    def __getitem__(self, index: int) -> T_co: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[T_co]: ...
    def __getitem__(self, index: int | slice) -> T_co | Sequence[T_co]:
        """An example; for a slice a list where it is short, else a view."""
        if isinstance(index, slice):
            picks = range(*index.indices(len(self)))
            view = Selection(self, picks)
            return view if len(picks) >= LARGE else list(view)
        place = index + len(self) if index < 0 else index
        if not 0 <= place < len(self):
            raise IndexError(f"example {index} of {len(self)}")
        return next(self.read(place, place + 1))

    def __iter__(self) -> Iterator[T_co]:
        return self.read(0, len(self))


class Selection(Lazy[T_co]):
    """Some examples of another sequence, in any order.

    Args:
        base: the sequence.
        picks: the indices in it, a range or (n,) integers.
    """

    def __init__(self, base: Lazy[T_co], picks: range | np.ndarray) -> None:
        self.base, self.picks, self.of = base, picks, base.of

    def __len__(self) -> int:
        return len(self.picks)

    def read(self, first: int, last: int) -> Iterator[T_co]:
        part = self.picks[first:last]
        if isinstance(part, range) and part.step == 1 and len(part):
            yield from self.base.read(part.start, part.stop)
            return
        for i in part:
            yield self.base[int(i)]


class Joined(Lazy[T_co]):
    """Several sequences as one; nothing is copied. An id begins with the name of its part, so that each
    stays unique.

    Args:
        parts: name and examples of each, all of one class; at least one has some.

    Attributes:
        sizes: how many examples each part has that has some.
    """

    def __init__(self, parts: Iterable[tuple[str, Sequence[T_co]]]) -> None:
        self._parts = [(name, examples) for name, examples in parts if len(examples)]
        self.sizes = [len(examples) for _, examples in self._parts]
        self._ends = list(accumulate(self.sizes))
        examples = self._parts[0][1]
        self.of = examples.of if isinstance(examples, Lazy) else type(examples[0])

    def __len__(self) -> int:
        return self._ends[-1]

    def read(self, first: int, last: int) -> Iterator[T_co]:
        while first < last:
            k = bisect_right(self._ends, first)
            name, part = self._parts[k]
            begin, stop = self._ends[k] - len(part), min(last, self._ends[k])
            run = part.read if isinstance(part, Lazy) else lambda a, b, part=part: iter(part[a:b])
            for example in run(first - begin, stop - begin):
                yield replace(example, id=f"{name}-{example.id}")
            first = stop


class Deferred(Lazy[T_co]):
    """Examples that are counted and not yet read: the first that is asked for loads them all.

    Args:
        count: how many there are.
        load: gives them.
    """

    def __init__(self, count: int, load: Callable[[], Sequence[T_co]]) -> None:
        self._count, self._load = count, load
        self._found: Sequence[T_co] | None = None

    def __len__(self) -> int:
        return self._count

    @property
    def of(self) -> type:  # type: ignore[override]  # known only when they are read
        """The class of the first."""
        return type(self[0])

    def read(self, first: int, last: int) -> Iterator[T_co]:
        if self._found is None:
            self._found = self._load()
            if len(self._found) != self._count:
                raise ValueError(f"{len(self._found)} examples where {self._count} were counted")
        if isinstance(self._found, Lazy):
            return self._found.read(first, last)
        return iter(self._found[first:last])


class Table(Protocol):
    """What ``TableRows`` reads: a ``datasets.Dataset``, memory-mapped from its Arrow cache."""

    def __len__(self) -> int: ...
    def __getitem__(self, key: Any) -> Any: ...


class TableRows(Lazy[T_co]):
    """Rows of a memory-mapped table.

    Args:
        data: the table; a slice of it is a dict of columns, each a list.
        of: the class of the examples.
        parse: from a row's number and its columns to the example.
    """

    def __init__(self, data: Table, of: type, parse: Callable[[int, dict[str, Any]], T_co]) -> None:
        self.data, self.of, self.parse = data, of, parse

    def __len__(self) -> int:
        return len(self.data)

    def read(self, first: int, last: int) -> Iterator[T_co]:
        for begin in range(first, last, RUN):
            stop = min(begin + RUN, last)
            columns = self.data[begin:stop]
            names = list(columns)
            for number, values in enumerate(zip(*columns.values(), strict=True), begin):
                yield self.parse(number, dict(zip(names, values, strict=True)))


class Paragraphs(Lazy[Text]):
    """The paragraphs of documents in a memory-mapped table: each line with something in it is an example.
    One pass counts them, 8 bytes a document; a text is read again when it is asked for.

    Args:
        data: the table; a slice of it is a dict of columns, each a list.
        texts: from such a dict to its documents, in order.
    """

    def __init__(self, data: Table, texts: Callable[[dict[str, list[Any]]], Iterable[str]]) -> None:
        self.data, self.texts, self.of = data, texts, Text
        counts = (len(_lines(text)) for text in self._documents(0, len(data)))
        self._ends = np.cumsum(np.fromiter(counts, dtype=np.int64, count=len(data)))

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def read(self, first: int, last: int) -> Iterator[Text]:
        if first >= last:
            return
        begin, final = np.searchsorted(self._ends, [first, last - 1], side="right").tolist()
        number = int(self._ends[begin - 1]) if begin else 0
        for text in self._documents(begin, final + 1):
            for line in _lines(text):
                if first <= number < last:
                    yield Text(str(number), line)
                number += 1

    def _documents(self, first: int, last: int) -> Iterator[str]:
        for begin in range(first, last, DOCUMENTS):
            yield from self.texts(self.data[begin : min(begin + DOCUMENTS, last)])


def _lines(text: str) -> list[str]:
    return [line for line in map(str.strip, text.split("\n")) if line]


class Parse(Protocol[T_co]):
    """From an example's number, from 0, and its line without the line's end."""

    def __call__(self, number: int, line: str, /) -> T_co: ...


class RowOffsets:
    """Where the rows of a file lie, collected while it is validated: 12 bytes a row."""

    def __init__(self) -> None:
        self.starts, self.sizes = array("q"), array("i")

    def add(self, start: int, size: int) -> None:
        """A row's first byte in the file, and its bytes without the line's end."""
        self.starts.append(start)
        self.sizes.append(size)

    def __len__(self) -> int:
        return len(self.starts)


class FileRows(Lazy[T_co]):
    """The rows of a text file that was validated; UTF-8, a row a line.

    Args:
        path: the file. It stays open, so that a file that takes its place is not read by mistake.
        places: its rows.
        of: the class of the examples.
        parse: from a line to the example.
    """

    def __init__(self, path: Path, places: RowOffsets, of: type, parse: Parse[T_co]) -> None:
        self.path, self.of, self.parse = path, of, parse
        self.starts = np.frombuffer(places.starts, dtype=np.int64)
        self.sizes = np.frombuffer(places.sizes, dtype=np.int32)
        self._file = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._file)
        self._stamp = self._now()

    def __len__(self) -> int:
        return len(self.starts)

    def read(self, first: int, last: int) -> Iterator[T_co]:
        """Raises ``UserError`` where the file was written to since it was validated."""
        for begin in range(first, last, RUN):
            stop = min(begin + RUN, last)
            if self._now() != self._stamp:
                raise UserError(
                    "the file has changed since it was checked",
                    expected="data that stay as they are during a run",
                    do="run again",
                    path=self.path,
                )
            starts = self.starts[begin:stop].tolist()
            sizes = self.sizes[begin:stop].tolist()
            base = starts[0]
            # pread has no position of its own: processes that share the file do not disturb each other.
            block = os.pread(self._file, starts[-1] + sizes[-1] - base, base)
            for number, start, size in zip(range(begin, stop), starts, sizes, strict=True):
                yield self.parse(number, block[start - base : start - base + size].decode())

    def _now(self) -> tuple[int, int]:
        stat = os.fstat(self._file)
        return stat.st_mtime_ns, stat.st_size


def list_if_few(rows: Lazy[T]) -> Sequence[T]:
    """The rows themselves where they are many, else a list of them."""
    return rows if len(rows) >= LARGE else list(rows)
