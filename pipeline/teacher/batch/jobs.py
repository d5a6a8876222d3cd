"""Jobs for a teacher's batch API as the ledger knows them: the requests of each, and what happened to it.

A job and its requests are written before anything of it leaves. What happens after that is added as events: `uploaded`
(the provider has its file), `creating`, `created` (the provider named its batch), `refused` (its queue had no room),
`split` (the second half became a job of its own), `status`, `cancelled` (by the user) and `ended`, after which each
request has an answer or is noted as failed.
"""

import asyncio
import json
import secrets
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from pipeline.teacher.batch.api import ENDPOINT
from pipeline.teacher.ledger.entries import Intent
from pipeline.teacher.ledger.ledger import Ledger, add_intent, pack

LINE_ENDS = ((b"\xe2\x80\xa8", b"\\u2028"), (b"\xe2\x80\xa9", b"\\u2029"), (b"\xc2\x85", b"\\u0085"))
"""Characters of a text that a careless reader takes for the end of a line, and the same as JSON may write them."""

Kind = Literal["uploaded", "creating", "created", "refused", "split", "status", "cancelled", "ended"]

Rest = Literal["failed", "lost"]
"""What becomes of a job's requests that have no answer: they were not answered, or may have been."""

JOBS = """
SELECT b.id, b.at, b.run, b.step, b.identity, b.model, b.nonce,
    (SELECT COUNT(*) FROM requests q WHERE q.batch = b.id),
    (SELECT SUM(q.body_bytes) FROM requests q WHERE q.batch = b.id),
    (SELECT COUNT(*) FROM requests q JOIN replies r ON r.request = q.id WHERE q.batch = b.id AND r.kind = 'reply')
FROM batches b
"""
OPEN = "NOT EXISTS (SELECT 1 FROM batch_events e WHERE e.batch = b.id AND e.kind = 'ended')"


@dataclass(frozen=True)
class Job:
    """One job, as of now."""

    number: int
    begun_at: float
    """Unix time."""
    run: str
    step: str
    identity: str
    model: str
    nonce: str
    """Tells its requests and its batch from all others at the provider."""
    requests: int
    body_bytes: int
    replies: int
    """Of its requests, those that the ledger has a reply for."""
    attempts: int = 0
    """How often the provider was told to create it."""
    batch: str | None = None
    """What the provider calls it; None while it has none for it."""
    is_in_doubt: bool = False
    """Its creation was begun, and what came of that was not noted."""
    status: str = "not sent"
    """The last word of the provider, with the share done while it works on it."""
    is_cancelled: bool = False
    """The user cancelled it."""
    has_ended: bool = False

    @property
    def mark(self) -> str:
        """What its batch carries at the provider, another one for each attempt."""
        return f"{self.nonce}-{self.attempts}"


@dataclass(frozen=True)
class Waiting:
    """A request of a job that has no answer yet."""

    number: int
    """Id in the ledger."""
    keys: tuple[str, ...]
    """One a sample."""
    max_tokens: int | None
    body_bytes: int


class Jobs:
    """The jobs of a ledger.

    Args:
        ledger: where they stand.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def all(self) -> list[Job]:
        """Every job, in the order in which they were begun."""
        return self._found("ORDER BY b.id")

    def open(self, identity: str, model: str) -> list[Job]:
        """Those of one teacher, of any run, that have not ended."""
        return self._found(f"WHERE b.identity = ? AND b.model = ? AND {OPEN} ORDER BY b.id", (identity, model))

    def get(self, number: int) -> Job:
        """One job."""
        (job,) = self._found("WHERE b.id = ?", (number,))
        return job

    def begin(self, intents: Sequence[Intent]) -> "asyncio.Future[int]":
        """Write a job with all of its requests, or nothing; gives its number."""

        def job(connection: sqlite3.Connection) -> int:
            first = intents[0]
            number = _add(connection, first.run, first.step, first.identity, first.model)
            for intent in intents:
                add_intent(connection, replace(intent, batch=number))
            return number

        return self._ledger.write(job)

    def note(self, number: int, kind: Kind, **body: Any) -> "asyncio.Future[None]":
        """Write what happened to a job."""
        return self._ledger.write(lambda connection: _note(connection, number, kind, body))

    def split(self, job: Job) -> "asyncio.Future[int]":
        """Make the second half of a job that never left one of its own, whose number it gives."""

        def halve(connection: sqlite3.Connection) -> int:
            number = _add(connection, job.run, job.step, job.identity, job.model)
            connection.execute(
                "UPDATE requests SET batch = ?1 WHERE id IN"
                " (SELECT id FROM requests WHERE batch = ?2 ORDER BY id DESC LIMIT ?3)",
                (number, job.number, job.requests // 2),
            )
            _note(connection, job.number, "split", {"into": number})
            return number

        return self._ledger.write(halve)

    def end(self, number: int, rest: Rest, status: str) -> "asyncio.Future[None]":
        """Note what became of the requests without an answer, and that nothing more will come."""

        def job(connection: sqlite3.Connection) -> None:
            connection.execute(
                "INSERT INTO replies SELECT NULL, id, ?, ?, NULL, NULL, NULL, NULL, '{}', ? FROM requests"
                " WHERE batch = ? AND id NOT IN (SELECT request FROM replies)",
                (time.time(), rest, pack(b""), number),
            )
            _note(connection, number, "ended", {"status": status})

        return self._ledger.write(job)

    def waiting(self, job: Job) -> dict[str, Waiting]:
        """Its requests without an answer, by their custom ids."""
        rows = self._ledger.rows(
            "SELECT id, keys, max_tokens, body_bytes FROM requests"
            " WHERE batch = ? AND id NOT IN (SELECT request FROM replies)",
            (job.number,),
        )
        return {
            custom_id(job.nonce, number): Waiting(number, tuple(keys.split()), limit, body_bytes)
            for number, keys, limit, body_bytes in rows
        }

    def keys(self, job: Job) -> list[Sequence[str]]:
        """The keys of each of its requests, answered or not."""
        return [
            keys.split() for (keys,) in self._ledger.rows("SELECT keys FROM requests WHERE batch = ?", (job.number,))
        ]

    def lines(self, job: Job) -> Iterator[bytes]:
        """The lines of its file, one a request."""
        for number, body in self._ledger.bodies_of(job.number):
            yield line_of(custom_id(job.nonce, number), body)

    def _found(self, where: str, values: Sequence[Any] = ()) -> list[Job]:
        jobs = [Job(*row) for row in self._ledger.rows(JOBS + where, values)]
        return [_after(job, self._events(job.number)) for job in jobs]

    def _events(self, number: int) -> Iterable[tuple[str, Mapping[str, Any]]]:
        rows = self._ledger.rows("SELECT kind, body FROM batch_events WHERE batch = ? ORDER BY id", (number,))
        return ((kind, json.loads(body)) for kind, body in rows)


def custom_id(nonce: str, number: int) -> str:
    """What a request of a job is called at the provider."""
    return f"{nonce}-{number}"


def line_of(name: str, body: bytes) -> bytes:
    """One line of a job's file."""
    for character, escaped in LINE_ENDS:
        body = body.replace(character, escaped)
    return b'{"custom_id":"%s","method":"POST","url":"%s","body":%s}\n' % (name.encode(), ENDPOINT.encode(), body)


def _after(job: Job, events: Iterable[tuple[str, Mapping[str, Any]]]) -> Job:
    for kind, body in events:
        if kind == "uploaded":
            job = replace(job, status="uploaded")
        elif kind == "creating":
            job = replace(job, attempts=job.attempts + 1, is_in_doubt=True)
        elif kind == "created":
            job = replace(job, batch=body["batch"], is_in_doubt=False, status="created")
        elif kind in ("refused", "split"):
            job = replace(job, batch=None, is_in_doubt=False, status="not sent")
        elif kind == "status":
            job = replace(job, status=body["status"])
        elif kind == "cancelled":
            job = replace(job, is_cancelled=True)
        elif kind == "ended":
            job = replace(job, has_ended=True, is_in_doubt=False, status=body["status"])
    return job


def _add(connection: sqlite3.Connection, *teacher: str) -> int:
    row = (time.time(), *teacher, secrets.token_hex(8))
    return connection.execute("INSERT INTO batches VALUES (NULL, ?, ?, ?, ?, ?, ?)", row).lastrowid or 0


def _note(connection: sqlite3.Connection, number: int, kind: Kind, body: Mapping[str, Any]) -> None:
    row = (number, time.time(), kind, json.dumps(body))
    connection.execute("INSERT INTO batch_events VALUES (NULL, ?, ?, ?, ?)", row)
