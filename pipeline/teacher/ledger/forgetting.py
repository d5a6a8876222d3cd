"""Removes requests with all that came of them, and leaves in the books what they cost."""

import asyncio
import sqlite3
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from pipeline.errors import StageError
from pipeline.teacher.ledger.ledger import Ledger, pack

GONE = "forgotten"
"""Stands where a key stood, so that a request has as many as it has samples."""

REQUESTS = f"SELECT id, keys, body FROM requests WHERE keys NOT LIKE '{GONE}%' ORDER BY id"
UNDER_WAY = """
SELECT COUNT(*) FROM requests WHERE id = ? AND batch IS NOT NULL AND id NOT IN (SELECT request FROM replies)
"""
SAMPLES = "SELECT COUNT(*) FROM samples s JOIN replies r ON r.id = s.reply WHERE r.request = ?"


def matching(ledger: Ledger, is_meant: Callable[[Sequence[str], bytes], bool]) -> list[int]:
    """The requests that are meant, told by their keys and the bodies that were sent."""
    return [number for number, keys, body in ledger.each(REQUESTS) if is_meant(keys.split(), zlib.decompress(body))]


def count(ledger: Ledger, requests: Sequence[int]) -> tuple[int, int]:
    """How many samples came of these requests, and how many of them wait for a batch job that is under way."""
    samples = sum(ledger.rows(SAMPLES, (number,))[0][0] for number in requests)
    return samples, sum(ledger.rows(UNDER_WAY, (number,))[0][0] for number in requests)


def forget(ledger: Ledger, requests: Sequence[int]) -> None:
    """Remove bodies, headers, keys and samples of these requests; the lock on the ledger must be held.

    Their times, token counts and numbers of samples stay: what was paid counts in the budgets as before.
    """

    def job(connection: sqlite3.Connection) -> None:
        for number in requests:
            connection.execute(
                "DELETE FROM samples WHERE reply IN (SELECT id FROM replies WHERE request = ?)", (number,)
            )
            connection.execute("UPDATE replies SET headers = '{}', body = ? WHERE request = ?", (pack(b""), number))
            (samples,) = connection.execute("SELECT n FROM requests WHERE id = ?", (number,)).fetchone()
            connection.execute(
                "UPDATE requests SET keys = ?, body = ? WHERE id = ?", (" ".join([GONE] * samples), pack(b""), number)
            )

    async def write() -> None:
        with ledger.writing():
            await ledger.settle_orphans()
            await ledger.write(job)

    asyncio.run(write())


def compact(path: Path) -> None:
    """Write the ledger anew without what was removed, so that its bytes are gone from the file, and from its copies.

    Raises:
        StageError: there is no room for the new file.
    """
    connection = sqlite3.connect(path, isolation_level=None, timeout=60)
    try:
        connection.execute("VACUUM")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except sqlite3.OperationalError as error:
        raise StageError(
            f"{path}: what was removed is still in the file: {error}",
            "make room for a second ledger on that disk, let nothing else run, and give the same command again",
        ) from None
    finally:
        connection.close()
    for copy in copies(path):
        copy.unlink()


def copies(path: Path) -> Iterator[Path]:
    """Copies of the ledger that were made before it was migrated."""
    yield from sorted(path.parent.glob(f"{path.name}.version-*"))
