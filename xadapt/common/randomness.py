"""Named randomness: every draw is a function of what it is for, never of what ran before."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from xadapt.common.launch import processes

if TYPE_CHECKING:
    import torch
    from torch import Tensor


def seed_of(*key: object) -> int:
    """A 63-bit seed from a name: ``seed_of(seed, "epoch", 3)``."""
    digest = hashlib.sha256("\x1f".join(map(str, key)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def generator(*key: object) -> np.random.Generator:
    """A NumPy generator of its own for ``key``."""
    return np.random.default_rng(seed_of(*key))


@contextmanager
def seeded(*key: object) -> Iterator[None]:
    """Run torch code that can only draw from the global generator (dropout, ``nn.init``)
    as if that generator were named ``key``; it is put back afterwards."""
    import torch  # here: what only draws numbers need not wait for it

    devices = []
    if torch.cuda.is_initialized():  # of several processes each leaves the others' GPUs alone
        several = processes() > 1
        devices = [torch.cuda.current_device()] if several else list(range(torch.cuda.device_count()))
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed_of(*key))
        yield


class Streams:
    """Draws under several names that take turns: each goes on where it was, as if it were alone within
    ``seeded(*key)``. To be used within ``seeded()``, which puts the global generator back.

    Args:
        keys: the name of each.
        device: where it is drawn, beside the CPU.
    """

    def __init__(self, keys: Sequence[Sequence[object]], device: torch.device) -> None:
        self._device = device
        self._states = []
        for key in keys:
            with seeded(*key):
                self._states.append(self._now())

    @contextmanager
    def of(self, i: int) -> Iterator[None]:
        """Draw from number ``i``."""
        import torch

        cpu, gpu = self._states[i]
        torch.set_rng_state(cpu)
        if gpu is not None:
            torch.cuda.set_rng_state(gpu, self._device)
        yield
        self._states[i] = self._now()

    def _now(self) -> tuple[Tensor, Tensor | None]:
        import torch

        on_gpu = self._device.type == "cuda"
        return torch.get_rng_state(), torch.cuda.get_rng_state(self._device) if on_gpu else None
