"""The one writer of the ledger: a thread that commits whatever queued during its last commit."""

import asyncio
import shutil
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from pipeline.errors import StageError

T = TypeVar("T")
Job = Callable[[sqlite3.Connection], Any]
Queued = tuple[Job, "asyncio.Future[Any]"]


class Writer:
    """Takes writes from one event loop; a write's future resolves when it is on the disk.

    Args:
        path: the database, which is there already.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._loop = asyncio.get_running_loop()
        self._queue: SimpleQueue[Queued | None] = SimpleQueue()
        self.free_bytes = shutil.disk_usage(path.parent).free
        """Free space beside the ledger, as of the last commit."""
        self._connection = sqlite3.connect(path, isolation_level=None, timeout=60, check_same_thread=False)
        self._connection.execute("PRAGMA synchronous=FULL")
        self._thread = threading.Thread(target=self._run, name="ledger writer", daemon=True)
        self._thread.start()

    def write(self, job: Callable[[sqlite3.Connection], T]) -> "asyncio.Future[T]":
        """Queue a write; the future gives what the job returned, after the commit that holds it."""
        future: asyncio.Future[T] = self._loop.create_future()
        self._queue.put((job, future))
        return future

    def close(self) -> None:
        """Commit what is queued and end the thread."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        connection = self._connection
        open_ = True
        while open_:
            batch, open_ = self._batch()
            if batch:
                self._commit(connection, batch)
        connection.close()

    def _batch(self) -> tuple[list[Queued], bool]:
        """Everything queued, waiting for the first; False beside it once nothing more will come."""
        batch: list[Queued] = []
        item = self._queue.get()
        while item is not None:
            batch.append(item)
            try:
                item = self._queue.get_nowait()
            except Empty:
                return batch, True
        return batch, False

    def _commit(self, connection: sqlite3.Connection, batch: list[Queued]) -> None:
        try:
            connection.execute("BEGIN IMMEDIATE")
            results = [job(connection) for job, _ in batch]
            connection.execute("COMMIT")
            self.free_bytes = shutil.disk_usage(self._path.parent).free
        except Exception as error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            told = self._told(error)
            self._loop.call_soon_threadsafe(_fail, [future for _, future in batch], told)
            return
        self._loop.call_soon_threadsafe(_resolve, [future for _, future in batch], results)

    def _told(self, error: Exception) -> Exception:
        if not isinstance(error, sqlite3.OperationalError):
            return error
        return StageError(
            f"{self._path}: cannot be written: {error}",
            "make room on that disk and run again; everything that was stored before is kept",
        )


def _resolve(futures: list["asyncio.Future[Any]"], results: list[Any]) -> None:
    for future, result in zip(futures, results, strict=True):
        if not future.cancelled():
            future.set_result(result)


def _fail(futures: list["asyncio.Future[Any]"], error: Exception) -> None:
    for future in futures:
        if not future.cancelled():
            future.set_exception(error)
