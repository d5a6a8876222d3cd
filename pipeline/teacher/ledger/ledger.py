"""The ledger: every request that was sent and every reply that came, in one SQLite file that is only added to, but for
requests that never left: those may move from one batch job to another.

`requests` holds the intents, written before each attempt leaves. `replies` holds what came of each: the whole body,
or that nothing came. `samples` is an index: which choice of which reply answers which key. What a reply says is read
from its body each time; the token counts beside it are there for sums alone. `settled` holds the requests that the
user says were not billed, `learnt` what a teacher turned out to take, `batches` and `batch_events` the jobs of its
batch API.
"""

import asyncio
import contextlib
import json
import sqlite3
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from tenacity import retry, retry_if_exception, stop_after_delay, wait_random

from pipeline.errors import UsageError
from pipeline.teacher import dialect
from pipeline.teacher.ledger.writer import T, Writer

VERSION = 2
"""`user_version` of the file that this code reads and writes."""

LOCKED_SECONDS = 60
"""Longest wait for another process that opens the file or writes to it."""

REPLIES_AT_HAND = 8
"""Replies that were read last and are kept in memory."""

SECOND = f"""
CREATE TABLE settled (request INTEGER PRIMARY KEY REFERENCES requests (id), at REAL NOT NULL);
CREATE TABLE learnt (
    id INTEGER PRIMARY KEY, at REAL NOT NULL, identity TEXT NOT NULL, model TEXT NOT NULL, what TEXT NOT NULL,
    value TEXT NOT NULL
);
CREATE INDEX learnt_by_teacher ON learnt (identity, model, what);
CREATE TABLE batches (
    id INTEGER PRIMARY KEY, at REAL NOT NULL, run TEXT NOT NULL, step TEXT NOT NULL, identity TEXT NOT NULL,
    model TEXT NOT NULL, nonce TEXT NOT NULL UNIQUE
);
CREATE TABLE batch_events (
    id INTEGER PRIMARY KEY, batch INTEGER NOT NULL REFERENCES batches (id), at REAL NOT NULL, kind TEXT NOT NULL,
    body TEXT NOT NULL
);
CREATE INDEX batch_events_by_batch ON batch_events (batch);
CREATE INDEX requests_by_batch ON requests (batch);
PRAGMA user_version = {VERSION};
"""
"""What version 2 added, beside `requests.batch`."""

SCHEMA = f"""
CREATE TABLE requests (
    id INTEGER PRIMARY KEY, sent_at REAL NOT NULL, run TEXT NOT NULL, step TEXT NOT NULL, identity TEXT NOT NULL,
    model TEXT NOT NULL, first_index INTEGER NOT NULL, n INTEGER NOT NULL, max_tokens INTEGER,
    body_bytes INTEGER NOT NULL, keys TEXT NOT NULL, body BLOB NOT NULL, batch INTEGER
);
CREATE INDEX requests_by_run ON requests (run);
CREATE INDEX requests_by_teacher ON requests (identity, model);
CREATE TABLE replies (
    id INTEGER PRIMARY KEY, request INTEGER NOT NULL UNIQUE REFERENCES requests (id), at REAL NOT NULL,
    kind TEXT NOT NULL, status INTEGER, prompt_tokens INTEGER, cached_tokens INTEGER, completion_tokens INTEGER,
    headers TEXT NOT NULL, body BLOB NOT NULL
);
CREATE TABLE samples (
    id INTEGER PRIMARY KEY, key TEXT NOT NULL, reply INTEGER NOT NULL REFERENCES replies (id),
    choice INTEGER NOT NULL, ended INTEGER NOT NULL, max_tokens INTEGER
);
CREATE INDEX samples_by_key ON samples (key);
CREATE INDEX samples_by_reply ON samples (reply);
{SECOND}"""

Kind = Literal["reply", "refused", "failed", "lost", "unknown"]
"""`lost`: no answer after it was sent, so it may be billed; `unknown`: the process died before it could tell."""


@dataclass(frozen=True)
class Intent:
    """A request about to leave."""

    run: str
    step: str
    identity: str
    model: str
    first_index: int
    max_tokens: int | None
    keys: tuple[str, ...]
    """One a sample, in the order of the indices."""
    body: bytes
    batch: int | None = None
    """The batch job that it is part of; None where it is sent by itself."""


@dataclass(frozen=True)
class Outcome:
    """What came of an intent."""

    kind: Kind
    status: int | None = None
    """HTTP status; None where no answer came."""
    headers: Mapping[str, str] | None = None
    body: bytes = b""
    usage: dialect.Usage = dialect.NOTHING_TOLD


@dataclass(frozen=True)
class Sample:
    """An index entry about to be written: which choice answers which key."""

    key: str
    choice: int
    ended: bool
    """It ended by itself, or was refused: a higher limit would give nothing else."""
    max_tokens: int | None
    """The limit that it was given."""


@dataclass(frozen=True)
class Entry:
    """A sample found."""

    kind: Kind
    status: int | None
    headers: Mapping[str, str]
    body: bytes
    choice: int


@dataclass(frozen=True)
class MaybeBilled:
    """A request that was in flight when its process died: nobody knows what came of it."""

    request: int
    sent_at: float
    run: str
    step: str
    model: str
    keys: tuple[str, ...]


class Ledger:
    """The one file of paid replies, shared by all runs.

    Args:
        path: the file; made where it is not there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._reading = _open(path)
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


def _open(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, timeout=LOCKED_SECONDS)
    try:
        _write_ahead(connection)
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("BEGIN IMMEDIATE")
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            _run(connection, SCHEMA)
        connection.execute("COMMIT")
        if version == 1:
            _migrate(connection, path)
    except sqlite3.DatabaseError as error:
        connection.close()
        raise UsageError(f"{path}: cannot be opened: {error}", "move it away, or free the disk that it is on") from None
    if version > VERSION:
        connection.close()
        raise UsageError(
            f"{path} was written by a newer cot-distill: its version is {version}, known here is {VERSION}",
            "update cot-distill, or choose another folder for the outputs",
        )
    return connection


def _is_locked(error: BaseException) -> bool:
    return isinstance(error, sqlite3.OperationalError) and error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY


@retry(
    retry=retry_if_exception(_is_locked),
    wait=wait_random(0.01, 0.1),
    stop=stop_after_delay(LOCKED_SECONDS),
    reraise=True,
)
def _write_ahead(connection: sqlite3.Connection) -> None:
    """Set the journal's mode; for this alone SQLite does not wait while another process opens the new file."""
    connection.execute("PRAGMA journal_mode=WAL")


def _run(connection: sqlite3.Connection, statements: str) -> None:
    for statement in statements.split(";\n"):
        connection.execute(statement)


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    """Bring a ledger of version 1 to this version, after a copy of it was made beside it."""
    copy = path.with_name(f"{path.name}.version-1")
    copy.unlink(missing_ok=True)
    connection.execute("VACUUM INTO ?", (str(copy),))
    connection.execute("BEGIN IMMEDIATE")
    if connection.execute("PRAGMA user_version").fetchone()[0] == 1:  # no other process was faster
        connection.execute("ALTER TABLE requests ADD COLUMN batch INTEGER")
        _run(connection, SECOND)
    connection.execute("COMMIT")


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
