"""What the provider counts: every request it met, what it answered, and what it would be paid for."""

import hashlib
import json
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode
SERIES = ("admitted", "refused", "charged", "answered", "tokens")


@dataclass(slots=True)
class Note:
    """One request."""

    place: int
    """How many were met before it."""
    digest: bytes
    """SHA-256 of the body."""
    raw: bytes
    """The body; empty where bodies are not kept."""
    n: int
    seed: int | None
    at: float
    """Unix time, ours."""
    authorization: str | None
    status: int | None = None
    """What was answered; None while it waits, and for an answer that never is whole."""

    def told(self) -> dict[str, Any]:
        """The fields of a `Seen`."""
        return {
            "digest": self.digest.hex(), "body": json.loads(self.raw or b"{}"), "n": self.n, "seed": self.seed,
            "at": self.at, "status": self.status, "authorization": self.authorization,
        }  # fmt: skip


class Books:
    """All that happened since the start or the last `reset`."""

    def __init__(self) -> None:
        self.notes: list[Note] = []
        self.billed: Counter[bytes] = Counter()
        self._begun: float | None = None
        self._series = {name: Counter[int]() for name in SERIES}
        self._statuses: Counter[int] = Counter()
        self._samples = self._tokens = self._most_in_flight = 0
        self._last_at: float | None = None

    def meet(self, raw: bytes, body: dict[str, Any], authorization: str | None, keep_body: bool) -> Note:
        """A request came."""
        n, seed = body.get("n") or 1, body.get("seed")
        kept = raw if keep_body else b""
        note = Note(len(self.notes), hashlib.sha256(raw).digest(), kept, n, seed, time.time(), authorization)
        self.notes.append(note)
        return note

    def refuse(self, note: Note, status: int, now: float) -> None:
        """A request was refused at the door."""
        self._count("refused", now, 1)
        self._close(note, status)

    def admit(self, charged_tokens: int, in_flight: int, now: float) -> None:
        """A request was let in."""
        self._count("admitted", now, 1)
        self._count("charged", now, charged_tokens)
        self._most_in_flight = max(self._most_in_flight, in_flight)

    def leave(self, note: Note, status: int | None, body: dict[str, Any], tokens: int, now: float) -> None:
        """A request that was let in was answered; a status of None is no answer."""
        if status is None:
            return
        self._count("answered", now, 1)
        self._count("tokens", now, tokens)
        self._close(note, status)
        if status == 200:
            self._samples += note.n
            self._tokens += tokens
            self.bill(body)

    def bill(self, body: dict[str, Any]) -> None:
        """A request was answered 200, online or in a batch."""
        self.billed[hashlib.sha256(canonical(body).encode()).digest()] += 1

    def _close(self, note: Note, status: int) -> None:
        note.status = status
        self._statuses[status] += 1
        self._last_at = time.time()

    def _count(self, name: str, now: float, amount: int) -> None:
        if self._begun is None:
            self._begun = now
        self._series[name][int(now - self._begun)] += amount

    def stats(self) -> dict[str, Any]:
        """Every count; `seconds` are series of the provider's seconds from the first request on."""
        length = 1 + max((second for series in self._series.values() for second in series), default=-1)
        return {
            "requests": len(self.notes),
            "samples": self._samples,
            "tokens": self._tokens,
            "statuses": {str(status): count for status, count in sorted(self._statuses.items())},
            "most_in_flight": self._most_in_flight,
            "first_at": self.notes[0].at if self.notes else None,
            "last_at": self._last_at,
            "seconds": {name: [series[second] for second in range(length)] for name, series in self._series.items()},
        }
