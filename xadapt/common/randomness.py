"""Named randomness: every draw is a function of what it is for, never of what ran before."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from xadapt.common.launch import processes


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
