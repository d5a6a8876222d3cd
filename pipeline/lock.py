"""One holder at a time for a file: the run's folder, the ledger."""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.errors import UsageError


@contextmanager
def hold(path: Path, what: str, wait: Callable[[str], None] | None = None) -> Iterator[None]:
    """Hold the lock at `path`; the kernel lets it go when the process dies, however it dies.

    Args:
        path: the lock file; made where it is missing, never removed.
        what: what is held, for the message of whoever comes second.
        wait: told who holds it, then this waits; None refuses instead.

    Raises:
        UsageError: somebody else holds it and `wait` is None.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip()
            if wait is None:
                fact = f"{holder}, is under way" if holder else f"{what} is under way"
                raise UsageError(fact, "wait for it, or choose another --run NAME") from None
            wait(holder or "another process")
            fcntl.flock(file, fcntl.LOCK_EX)
        file.truncate(0)
        file.write(f"{what}, process {os.getpid()}")
        file.flush()
        yield
        file.truncate(0)
