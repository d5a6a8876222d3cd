"""Releasing requests that may have been billed, once the user has seen at the provider that they were not."""

import asyncio
import sqlite3
import time
from dataclasses import dataclass

from pipeline.teacher.accounts import MAYBE
from pipeline.teacher.ledger.ledger import Ledger

FOUND = f"""
SELECT q.id, q.run, q.step, q.identity, q.model, q.body_bytes + q.n * IFNULL(q.max_tokens, 0)
FROM requests q JOIN replies r ON r.request = q.id
WHERE {MAYBE} AND r.completion_tokens IS NULL AND (?1 IS NULL OR q.run = ?1) ORDER BY q.id
"""


@dataclass(frozen=True)
class Released:
    """Requests of one step to one teacher that count as not billed from now on."""

    run: str
    step: str
    identity: str
    model: str
    requests: int
    tokens: int
    """Most that they could have used."""


def release(ledger: Ledger, run: str | None) -> list[Released]:
    """Settle every request that may have been billed, of one run or of all; the lock on the ledger must be held."""

    def job(connection: sqlite3.Connection) -> list[Released]:
        rows = connection.execute(FOUND, (run,)).fetchall()
        now = time.time()
        connection.executemany("INSERT INTO settled VALUES (?, ?)", [(number, now) for number, *_ in rows])
        groups: dict[tuple[str, str, str, str], list[int]] = {}
        for _, *where, tokens in rows:
            groups.setdefault(tuple(where), []).append(tokens)
        return [Released(*where, requests=len(tokens), tokens=sum(tokens)) for where, tokens in groups.items()]

    async def write() -> list[Released]:
        with ledger.writing():
            await ledger.settle_orphans()
            return await ledger.write(job)

    return asyncio.run(write())
