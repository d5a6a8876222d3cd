"""The ledger: every request that was sent and every reply that came, in one SQLite file that is only added to, but for
requests that never left: those may move from one batch job to another.
"""

import asyncio
import contextlib
import json
import sqlite3
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from pipeline.teacher.ledger.entries import Entry, Intent, Kind, MaybeBilled, Outcome, Sample
from pipeline.teacher.ledger.schema import open_ledger
from pipeline.teacher.ledger.writer import T, Writer

REPLIES_AT_HAND = 8
"""Replies that were read last and are kept in memory."""


class Ledger:
    """The one file of paid replies, shared by all runs.

    Args:
        path: the file; made where it is not there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._reading = open_ledger(path)
        self._replies: dict[int, tuple[Kind, int | None, dict[str, str], bytes]] = {}
        self._writer: Writer | None = None

    def __enter__(self) -> "Ledger":
        """Opened when made."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file."""
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._reading.close()

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Write from the running event loop while this lasts; the lock on the ledger must be held."""
        self._writer = Writer(self.path)
        try:
            yield
        finally:
            self._writer.close()
            self._writer = None

    @property
    def free_bytes(self) -> int:
        """Free space beside the ledger, as of the last write."""
        return self._writing.free_bytes

    def find(self, limits: Mapping[str, int | None]) -> dict[str, Entry]:
        """Samples by key: the earliest that ended by itself or was given at least the limit beside its key.

        Keys that have none are left out.
        """
        found: dict[str, Entry] = {}
        rows = self._reading.execute(
            "SELECT key, reply, choice, ended, max_tokens FROM samples"
            f" WHERE key IN ({','.join('?' * len(limits))}) ORDER BY id",
            tuple(limits),
        )
        for key, reply, choice, ended, given in rows:
            limit = limits[key]
            if key not in found and (ended or given is None or (limit is not None and given >= limit)):
                found[key] = Entry(*self._reply(reply), choice)
        return found

    def _reply(self, number: int) -> tuple[Kind, int | None, dict[str, str], bytes]:
        """Kind, status, headers and body of a reply; samples that came as one are looked up one after another."""
        known = self._replies.get(number)
        if known is None:
            kind, status, headers, body = self._reading.execute(
                "SELECT kind, status, headers, body FROM replies WHERE id = ?", (number,)
            ).fetchone()
            known = kind, status, json.loads(headers), zlib.decompress(body)
            if len(self._replies) == REPLIES_AT_HAND:
                self._replies.pop(next(iter(self._replies)))
            self._replies[number] = known
        return known

    def is_known(self, key: str) -> bool:
        """Whether there is any sample of the key, whatever its limit."""
        return self._reading.execute("SELECT 1 FROM samples WHERE key = ? LIMIT 1", (key,)).fetchone() is not None

    def ever_accepted(self, identity: str, model: str) -> bool:
        """Whether this teacher has ever given a reply."""
        found = self._reading.execute(
            "SELECT 1 FROM requests q JOIN replies r ON r.request = q.id"
            " WHERE q.identity = ? AND q.model = ? AND r.kind = 'reply' LIMIT 1",
            (identity, model),
        )
        return found.fetchone() is not None

    def maybe_billed(self) -> list[MaybeBilled]:
        """Every request that was in flight when its process died, as found when the lock was next taken."""
        rows = self._reading.execute(
            "SELECT q.id, q.sent_at, q.run, q.step, q.model, q.keys FROM requests q JOIN replies r ON r.request = q.id"
            " WHERE r.kind = 'unknown' ORDER BY q.id"
        )
        return [MaybeBilled(*told, keys=tuple(keys.split())) for *told, keys in rows]  # type: ignore[misc]

    def body_of(self, request: int) -> bytes:
        """The body of a request, as it was sent."""
        (body,) = self._reading.execute("SELECT body FROM requests WHERE id = ?", (request,)).fetchone()
        return zlib.decompress(body)

    def bodies_of(self, batch: int) -> Iterator[tuple[int, bytes]]:
        """Id and body of each request of a batch job, one by one."""
        query = "SELECT id, body FROM requests WHERE batch = ? ORDER BY id"
        for number, body in self._reading.execute(query, (batch,)):
            yield number, zlib.decompress(body)

    def rows(self, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Rows of a query, for sums."""
        return self._reading.execute(query, values).fetchall()

    def each(self, query: str, values: Sequence[Any] = ()) -> Iterator[tuple[Any, ...]]:
        """Rows of a query, one by one, where they are too large to be held together."""
        yield from self._reading.execute(query, values)

    def intend(self, intent: Intent) -> "asyncio.Future[int]":
        """Write an intent; gives its id once it is on the disk."""
        return self._writing.write(lambda connection: add_intent(connection, intent))

    def settle(self, request: int, outcome: Outcome, samples: Iterable[Sample]) -> "asyncio.Future[int]":
        """Write what came of an intent, with the samples that it answers; gives the reply's id."""
        return self._writing.write(lambda connection: _settle(connection, request, outcome, samples))

    def store(self, intent: Intent, outcome: Outcome, samples: Iterable[Sample]) -> "asyncio.Future[int]":
        """Write an intent and what came of it as one, for a reply that was had elsewhere; gives the reply's id."""
        return self._writing.write(
            lambda connection: _settle(connection, add_intent(connection, intent), outcome, samples)
        )

    def index(self, reply: int, samples: Iterable[Sample]) -> "asyncio.Future[None]":
        """Add samples of a reply that was stored before."""
        return self._writing.write(lambda connection: _index(connection, reply, samples))

    def learn(self, identity: str, model: str, what: str, value: Any) -> "asyncio.Future[None]":
        """Note what a teacher turned out to take; the last note counts."""

        def job(connection: sqlite3.Connection) -> None:
            row = (time.time(), identity, model, what, json.dumps(value))
            connection.execute("INSERT INTO learnt VALUES (NULL, ?, ?, ?, ?, ?)", row)

        return self._writing.write(job)

    def learnt(self, identity: str, model: str, what: str) -> Any:
        """What was noted last of this teacher; None where nothing was."""
        row = self._reading.execute(
            "SELECT value FROM learnt WHERE identity = ? AND model = ? AND what = ? ORDER BY id DESC LIMIT 1",
            (identity, model, what),
        ).fetchone()
        return json.loads(row[0]) if row else None

    def write(self, job: Callable[[sqlite3.Connection], T]) -> "asyncio.Future[T]":
        """Do all of a job's writes or none; gives what it returned once they are on the disk."""
        return self._writing.write(job)

    def settle_orphans(self) -> "asyncio.Future[int]":
        """Note, under the lock, the intents of which nobody will ever tell; gives how many are new.

        Those that are part of a batch job are not among them: its provider will tell.
        """
        return self._writing.write(
            lambda connection: (
                connection.execute(
                    "INSERT INTO replies SELECT NULL, id, ?, 'unknown', NULL, NULL, NULL, NULL, '{}', ? FROM requests"
                    " WHERE batch IS NULL AND id NOT IN (SELECT request FROM replies)",
                    (time.time(), pack(b"")),
                ).rowcount
            )
        )

    @property
    def _writing(self) -> Writer:
        assert self._writer is not None, "the ledger is written to only within writing()"
        return self._writer


def add_intent(connection: sqlite3.Connection, intent: Intent) -> int:
    """Write an intent within a transaction; gives its id."""
    added = connection.execute(
        "INSERT INTO requests VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (time.time(), intent.run, intent.step, intent.identity, intent.model, intent.first_index, len(intent.keys),
         intent.max_tokens, len(intent.body), " ".join(intent.keys), pack(intent.body), intent.batch),
    )  # fmt: skip
    return added.lastrowid or 0


def _settle(connection: sqlite3.Connection, request: int, outcome: Outcome, samples: Iterable[Sample]) -> int:
    usage = outcome.usage
    added = connection.execute(
        "INSERT INTO replies VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (request, time.time(), outcome.kind, outcome.status, usage.prompt_tokens, usage.cached_tokens,
         usage.completion_tokens, json.dumps(dict(outcome.headers or {})), pack(outcome.body)),
    )  # fmt: skip
    reply = added.lastrowid or 0
    _index(connection, reply, samples)
    return reply


def _index(connection: sqlite3.Connection, reply: int, samples: Iterable[Sample]) -> None:
    connection.executemany(
        "INSERT INTO samples VALUES (NULL, ?, ?, ?, ?, ?)",
        [(sample.key, reply, sample.choice, sample.ended, sample.max_tokens) for sample in samples],
    )


def pack(body: bytes) -> bytes:
    """A body as it is stored."""
    return zlib.compress(body, 1)
