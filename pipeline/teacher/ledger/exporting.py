"""The ledger as lines of JSON, one a sample, for reading elsewhere and for moving to another ledger.

The first line of each request holds, as `raw`, all that the ledger has of it; a request that gave no sample has a line
of its own for that. Requests without an answer, in flight or in a batch under way, are left out.
"""

import base64
import json
import zlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from pipeline.teacher import dialect
from pipeline.teacher.accounts import Books
from pipeline.teacher.ledger.entries import Entry
from pipeline.teacher.ledger.ledger import Ledger
from pipeline.teacher.prices import usd
from pipeline.teacher.replies import reply_of

REQUESTS = """
SELECT q.id, q.sent_at, q.run, q.step, q.identity, q.model, q.first_index, q.max_tokens, q.keys, q.body, b.nonce,
    t.at, r.id, r.at, r.kind, r.status, r.prompt_tokens, r.cached_tokens, r.completion_tokens, r.headers, r.body
FROM requests q JOIN replies r ON r.request = q.id
LEFT JOIN settled t ON t.request = q.id LEFT JOIN batches b ON b.id = q.batch
WHERE ?1 IS NULL OR q.run = ?1 ORDER BY q.id
"""
SAMPLES = "SELECT key, choice, ended, max_tokens FROM samples WHERE reply = ? ORDER BY id"


class _Request(NamedTuple):
    """One row of `REQUESTS`."""

    id: int
    sent_at: float
    run: str
    step: str
    identity: str
    model: str
    first_index: int
    max_tokens: int | None
    keys: str
    body: bytes
    batch: str | None
    settled_at: float | None
    reply: int
    at: float
    kind: Any
    status: int | None
    prompt_tokens: int | None
    cached_tokens: int | None
    completion_tokens: int | None
    headers: str
    answer: bytes


def exported(ledger: Ledger, books_of: Callable[[str], Books], run: str | None) -> Iterator[dict[str, Any]]:
    """Every line, in the order in which the requests were sent.

    Args:
        ledger: what is exported.
        books_of: the books of a run, which say what a sample cost.
        run: requests of this run alone; None takes all.
    """
    for row in ledger.each(REQUESTS, (run,)):
        request = _Request(*row)
        raw: dict[str, Any] | None = _raw(request)
        head = {name: getattr(request, name) for name in ("run", "step", "identity", "model", "sent_at")}
        samples = ledger.rows(SAMPLES, (request.reply,))
        for sample in samples:
            yield {**_read(request, books_of(request.run), *sample), **head, "request": request.id, "raw": raw}
            raw = None
        if not samples:
            yield {**head, "request": request.id, "raw": raw}


def _read(request: _Request, books: Books, key: str, choice: int, ended: int, max_tokens: int | None) -> dict[str, Any]:
    """A sample as a person or a program reads it, and its place in the ledger's index."""
    entry = Entry(request.kind, request.status, json.loads(request.headers), zlib.decompress(request.answer), choice)
    reply = reply_of(key, entry)
    keys = request.keys.split()
    body = dialect.parse(zlib.decompress(request.body)) or {}
    rates = books.rates(request.identity, request.model, request.batch is not None)
    prompt, cached, written = (
        (tokens or 0) / len(keys)
        for tokens in (request.prompt_tokens, request.cached_tokens, request.completion_tokens)
    )
    return {
        "key": key,
        "index": request.first_index + keys.index(key),
        "messages": body.get("messages", []),
        "fields": {name: value for name, value in body.items() if name not in ("model", "messages", "n")},
        "completion": reply.text,
        "thoughts": reply.thoughts,
        "finish": reply.problem or ("length" if reply.cut else "stop"),
        "tokens": None if request.completion_tokens is None else written,
        "cost_usd": usd(rates.cost(prompt, min(cached, prompt), written)) if rates else None,
        "choice": choice,
        "ended": bool(ended),
        "max_tokens": max_tokens,
    }


def _raw(request: _Request) -> dict[str, Any]:
    """All that the ledger has of a request and its answer."""
    return {
        "first_index": request.first_index,
        "max_tokens": request.max_tokens,
        "keys": request.keys.split(),
        "body": _text(zlib.decompress(request.body)),
        "batch": request.batch,
        "settled_at": request.settled_at,
        "answered_at": request.at,
        "kind": request.kind,
        "status": request.status,
        "prompt_tokens": request.prompt_tokens,
        "cached_tokens": request.cached_tokens,
        "completion_tokens": request.completion_tokens,
        "headers": json.loads(request.headers),
        "answer": _text(zlib.decompress(request.answer)),
    }


def _text(body: bytes) -> str | dict[str, str]:
    """A body that is no UTF-8, as some error pages are, is told in base 64."""
    try:
        return body.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(body).decode()}
