"""Adds to the ledger what another one exported and this one lacks.

A request is the same in both where it was sent at the same instant for the same keys, whatever its run is called.
Samples that come in stand behind those that are there, so no earlier answer changes.
"""

import asyncio
import base64
import json
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from pipeline.choices import first_fault
from pipeline.errors import UsageError
from pipeline.teacher.ledger.entries import Kind
from pipeline.teacher.ledger.ledger import Ledger, pack

BATCHES = "INSERT OR IGNORE INTO batches VALUES (NULL, ?, ?, ?, ?, ?, ?)"
SAMPLES = """
INSERT INTO samples SELECT NULL, ?1, ?2, ?3, ?4, ?5
WHERE NOT EXISTS (SELECT 1 FROM samples WHERE key = ?1 AND reply = ?2 AND choice = ?3)
"""


class Encoded(BaseModel):
    """A body that is no UTF-8."""

    base64: str


class Raw(BaseModel):
    """All that a ledger has of a request and its answer."""

    model_config = ConfigDict(frozen=True, strict=True)

    first_index: int
    max_tokens: int | None
    keys: list[str]
    body: str | Encoded
    batch: str | None
    settled_at: float | None
    answered_at: float
    kind: Kind
    status: int | None
    prompt_tokens: int | None
    cached_tokens: int | None
    completion_tokens: int | None
    headers: dict[str, str]
    answer: str | Encoded


class Line(BaseModel):
    """One exported line; what is there for readers alone is not read."""

    model_config = ConfigDict(frozen=True, strict=True)

    run: str
    step: str
    identity: str
    model: str
    sent_at: float
    request: int
    raw: Raw | None
    key: str | None = None
    choice: int = 0
    ended: bool = True
    max_tokens: int | None = None


@dataclass
class Added:
    """What an import came to."""

    requests: int = 0
    samples: int = 0
    there: int = 0
    """Requests that the ledger had already."""


def import_file(ledger: Ledger, path: Path, prefix: str) -> Added:
    """Add all of a file or nothing; the lock on the ledger must be held.

    Args:
        ledger: what is added to.
        path: the exported file.
        prefix: put before each run's name, so that what it spent counts in the budget of no run that is here.

    Raises:
        UsageError: a line that is none of an export; says which.
    """

    async def write() -> Added:
        with ledger.writing(), path.open("rb") as lines:
            return await ledger.write(lambda connection: _Import(connection, path.name, prefix).take(lines))

    return asyncio.run(write())


@dataclass
class _Import:
    """One import, within its transaction."""

    connection: sqlite3.Connection
    name: str
    prefix: str
    added: Added = field(default_factory=Added)
    there: dict[tuple[float, str], int] = field(default_factory=dict)
    replies: dict[int, int] = field(default_factory=dict)
    """Request as the file numbers it -> its reply here."""

    def take(self, lines: Iterable[bytes]) -> Added:
        for number, sent_at, keys in self.connection.execute("SELECT id, sent_at, keys FROM requests"):
            self.there[sent_at, keys] = number
        for number, line in enumerate(lines, 1):
            self._add(self._parsed(line, f"{self.name}:{number}"), f"{self.name}:{number}")
        return self.added

    def _parsed(self, line: bytes, place: str) -> Line:
        try:
            return Line.model_validate(json.loads(line))
        except ValidationError as error:
            fault = first_fault(error)
        except ValueError as error:
            fault = f"not JSON: {error}"
        raise UsageError(f"{place}: {fault}", "nothing was added; give a file that `ledger export` wrote")

    def _add(self, line: Line, place: str) -> None:
        if line.raw is not None:
            self.replies[line.request] = self._reply(line, line.raw)
        if line.key is None:
            return
        if line.request not in self.replies:
            raise UsageError(
                f"{place}: request {line.request} has no line with `raw` before this one",
                "nothing was added; give the file whole, as `ledger export` wrote it",
            )
        row = (line.key, self.replies[line.request], line.choice, line.ended, line.max_tokens)
        self.added.samples += self.connection.execute(SAMPLES, row).rowcount

    def _reply(self, line: Line, raw: Raw) -> int:
        """The reply's id here; it is added where it is lacking."""
        request = self.there.get((line.sent_at, " ".join(raw.keys)))
        if request is None:
            request = self._request(line, raw)
            self.added.requests += 1
        else:
            self.added.there += 1
        found = self.connection.execute("SELECT id FROM replies WHERE request = ?", (request,)).fetchone()
        if found is not None:
            return int(found[0])
        values = (request, raw.answered_at, raw.kind, raw.status, raw.prompt_tokens, raw.cached_tokens,
                  raw.completion_tokens, json.dumps(raw.headers), pack(_bytes(raw.answer)))  # fmt: skip
        return self._insert("INSERT INTO replies VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?)", values)

    def _request(self, line: Line, raw: Raw) -> int:
        body = _bytes(raw.body)
        keys = " ".join(raw.keys)
        values = (line.sent_at, self.prefix + line.run, line.step, line.identity, line.model, raw.first_index,
                  len(raw.keys), raw.max_tokens, len(body), keys, pack(body), self._batch(line, raw))  # fmt: skip
        request = self._insert("INSERT INTO requests VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", values)
        if raw.settled_at is not None:
            self.connection.execute("INSERT INTO settled VALUES (?, ?)", (request, raw.settled_at))
        self.there[line.sent_at, keys] = request
        return request

    def _batch(self, line: Line, raw: Raw) -> int | None:
        """The batch job that it was part of, which is over."""
        if raw.batch is None:
            return None
        values = (line.sent_at, self.prefix + line.run, line.step, line.identity, line.model, raw.batch)
        if self.connection.execute(BATCHES, values).rowcount:
            self.connection.execute(
                "INSERT INTO batch_events SELECT NULL, id, ?, 'ended', '{}' FROM batches WHERE nonce = ?",
                (raw.answered_at, raw.batch),
            )
        found = self.connection.execute("SELECT id FROM batches WHERE nonce = ?", (raw.batch,)).fetchone()
        return int(found[0])

    def _insert(self, statement: str, values: tuple[Any, ...]) -> int:
        return self.connection.execute(statement, values).lastrowid or 0


def _bytes(text: str | Encoded) -> bytes:
    return text.encode() if isinstance(text, str) else base64.b64decode(text.base64)
