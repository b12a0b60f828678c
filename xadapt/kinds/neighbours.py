"""Which vectors are near: an exact search, block by block, on any device."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

# Bytes of cosines that are held at once, however many there are in all: on the CPU, and on a device so fast
# that starting its work counts. Choosing among them takes several times that for a moment.
CPU_BLOCK, DEVICE_BLOCK = 2**26, 2**28

# (scores, indices) of the nearest, (N, k) each.
Nearest = tuple[np.ndarray, np.ndarray]


def nearest_neighbours(
    queries: np.ndarray, candidates: np.ndarray, k: int, *, device: torch.device | str = "cpu"
) -> Nearest:
    """The cosines and the indices of each query's ``k`` nearest candidates, the nearest first.

    The search is exact, in float32 on any device; of equally near ones the first comes first.

    Args:
        queries: (Q, H) rows of length 1, float32.
        candidates: (C, H) likewise.
        device: where it is computed. It holds the candidates, and cosines by the block.

    Returns:
        (Q, min(k, C)) each.
    """
    best = _Best(len(queries), min(k, len(candidates)), device)
    for row, column, cosines in _blocks(queries, candidates, device):
        best.see(cosines, row, column)
    return best.found()


def nearest_both_ways(
    queries: np.ndarray, candidates: np.ndarray, k: int, *, device: torch.device | str = "cpu"
) -> tuple[Nearest, Nearest]:
    """What ``nearest_neighbours`` gives for queries among candidates, and for candidates among queries; each
    cosine is computed once for both."""
    forward = _Best(len(queries), min(k, len(candidates)), device)
    backward = _Best(len(candidates), min(k, len(queries)), device)
    for row, column, cosines in _blocks(queries, candidates, device):
        forward.see(cosines, row, column)
        backward.see(cosines.T, column, row)
    return forward.found(), backward.found()


class _Best:
    """The ``k`` largest of each row of an (N, M) matrix, M >= k, whose blocks are seen from left to right."""

    def __init__(self, rows: int, k: int, device: torch.device | str) -> None:
        self.values = torch.full((rows, k), -torch.inf, device=device)
        self.columns = torch.zeros((rows, k), dtype=torch.int64, device=device)

    def see(self, block: Tensor, row: int, column: int) -> None:
        """Take note of a block whose upper left corner is at ``row`` and ``column``."""
        worst = self.values[row : row + len(block), -1]
        # Most rows of most blocks have nothing to add, and a maximum is found much faster than several. What
        # is only equal comes too late. NaN is not passed over: sorting takes it for the largest of all.
        better = (~(block.amax(1) <= worst)).nonzero()[:, 0]
        if len(better) == 0:
            return
        values, columns = _largest(
            block if len(better) == len(block) else block[better], self.values.shape[1]
        )
        rows = better + row
        values = torch.cat([self.values[rows], values], dim=1)
        columns = torch.cat([self.columns[rows], columns + column], dim=1)
        order = values.sort(dim=1, descending=True, stable=True).indices[:, : self.values.shape[1]]
        self.values[rows], self.columns[rows] = values.gather(1, order), columns.gather(1, order)

    def found(self) -> Nearest:
        return self.values.cpu().numpy(), self.columns.cpu().numpy()


def _largest(block: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The ``k`` largest of each row, or all of a narrower block, and their columns; of equal ones the first
    count, and stand in the order of their columns."""
    width = block.shape[1]
    top = block.topk(min(k + 1, width), dim=1)
    columns = top.indices[:, :k].sort(dim=1).values
    if width > k:
        # Which of equal values topk takes is not defined. It matters where one more is equal to the last.
        tied = (top.values[:, k - 1] == top.values[:, k]).nonzero()[:, 0]
        columns[tied] = block[tied].sort(dim=1, descending=True, stable=True).indices[:, :k]
    return block.gather(1, columns), columns


def _blocks(
    queries: np.ndarray, candidates: np.ndarray, device: torch.device | str
) -> Iterator[tuple[int, int, Tensor]]:
    """All cosines block by block: the first query, the first candidate, the cosines. Queries ascend, and for
    each block of them the candidates."""
    cells = (CPU_BLOCK if torch.device(device).type == "cpu" else DEVICE_BLOCK) // 4
    rows = max(1, int((cells / 16) ** 0.5))  # wide, since the candidates are mostly more
    columns = max(1, cells // rows)
    offered = torch.from_numpy(np.ascontiguousarray(candidates)).to(device)
    for row in range(0, len(queries), rows):
        asked = torch.from_numpy(np.ascontiguousarray(queries[row : row + rows])).to(device)
        for column in range(0, len(offered), columns):
            yield row, column, _product(asked, offered[column : column + columns])


def _product(left: Tensor, right: Tensor) -> Tensor:
    """(N, H), (M, H) -> (N, M), in float32 even where training was allowed shorter numbers (TF32), which
    would reorder what is near."""
    allowed = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        return left @ right.T
    finally:
        torch.set_float32_matmul_precision(allowed)
