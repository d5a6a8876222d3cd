"""The tables of the ledger's file, and how it is opened.

`requests` holds the intents, written before each attempt leaves. `replies` holds what came of each: the whole body,
or that nothing came. `samples` is an index: which choice of which reply answers which key. What a reply says is read
from its body each time; the token counts beside it are there for sums alone. `settled` holds the requests that the
user says were not billed, `learnt` what a teacher turned out to take, `batches` and `batch_events` the jobs of its
batch API.
"""

import sqlite3
from pathlib import Path

from tenacity import retry, retry_if_exception, stop_after_delay, wait_random

from pipeline.errors import UsageError

VERSION = 2
"""`user_version` of the file that this code reads and writes."""

LOCKED_SECONDS = 60
"""Longest wait for another process that opens the file or writes to it."""

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


def open_ledger(path: Path) -> sqlite3.Connection:
    """Open the file, made or brought to this version where it must be.

    Raises:
        UsageError: it is no ledger, or one of a newer version.
    """
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
