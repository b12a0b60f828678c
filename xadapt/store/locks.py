"""Locks between processes: ROOT/locks/<name>.lock. A process that dies lets go of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from xadapt.common.files import explained


class Locks:
    """The locks of one store. Making the object touches no disk."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @contextmanager
    def hold(self, name: str, on_wait: Callable[[], None] | None = None) -> Iterator[None]:
        """Have the lock within the block, and wait for it if need be. Not to be nested.

        Args:
            on_wait: called once, if another process has it.

        Raises:
            UserError: the disk refuses.
        """
        from filelock import FileLock, Timeout

        path = self._path(name)
        with explained(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = FileLock(path)
            try:
                lock.acquire(timeout=0)
            except Timeout:
                if on_wait:
                    on_wait()
                lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def held(self, name: str) -> bool:
        """Whether a process has it at this moment."""
        from filelock import FileLock, Timeout

        path = self._path(name)
        with explained(path, "read"):
            if not path.exists():
                return False
            lock = FileLock(path)
            try:
                lock.acquire(timeout=0)
            except Timeout:
                return True
            lock.release()
        return False

    def _path(self, name: str) -> Path:
        return self.root / f"{name}.lock"
