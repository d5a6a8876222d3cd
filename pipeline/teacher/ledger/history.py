"""What the ledger tells of a teacher's earlier samples and requests: how large they were, and how fast."""

from collections.abc import Iterable
from dataclasses import astuple, dataclass

from pipeline.teacher.ledger.ledger import Ledger
from pipeline.teacher.prices import Rates, usd

LATEST = 2_000
"""Requests that the pace is read from; older ones tell of other days."""
INDEX_BYTES = 400
"""Of a sample in the ledger beside its bodies: its key, thrice, and its rows."""

SHARES = f"""
SELECT 1.0 / q.n, 1.0 * r.prompt_tokens / q.n, 1.0 * r.cached_tokens / q.n, 1.0 * r.completion_tokens / q.n,
    1.0 * (LENGTH(q.body) + LENGTH(r.body)) / q.n + {INDEX_BYTES}
FROM samples s JOIN replies r ON r.id = s.reply JOIN requests q ON q.id = r.request WHERE s.key = ?
"""

TIMES = """
SELECT q.sent_at, r.at FROM requests q JOIN replies r ON r.request = q.id
WHERE q.identity = ? AND q.model = ? AND q.batch IS NULL AND r.kind = 'reply' ORDER BY q.id DESC LIMIT ?
"""


@dataclass(frozen=True)
class Share:
    """What some samples took, as their share of the requests that they travelled in."""

    requests: float = 0.0
    prompt_tokens: float = 0.0
    cached_tokens: float = 0.0
    completion_tokens: float = 0.0
    bytes: float = 0.0

    def __add__(self, other: "Share") -> "Share":
        return Share(*(mine + its for mine, its in zip(astuple(self), astuple(other), strict=True)))

    def times(self, factor: float) -> "Share":
        """So many times as much."""
        return Share(*(factor * part for part in astuple(self)))

    @property
    def tokens(self) -> float:
        """Of prompt and reply."""
        return self.prompt_tokens + self.completion_tokens

    def cost_usd(self, rates: Rates) -> float:
        """What they would cost at these rates."""
        cached = min(self.cached_tokens, self.prompt_tokens)
        return usd(rates.cost(self.prompt_tokens, cached, self.completion_tokens))


@dataclass(frozen=True)
class Pace:
    """How fast a teacher answered."""

    latency_seconds: float
    """Mean time to one answer."""
    per_second: float
    """Answers a second, over the time in which something was in flight."""

    def seconds(self, requests: float, side_by_side: int) -> tuple[float, float]:
        """How long so many requests take: if all that may be in flight go as fast as one, and at the pace so far."""
        fastest = self.latency_seconds * max(1.0, requests / side_by_side)
        return fastest, max(fastest, requests / self.per_second)


def share_of(ledger: Ledger, keys: Iterable[str]) -> Share | None:
    """What the samples of these keys took, cut ones that were asked again included; None where nobody told."""
    rows = [row for key in dict.fromkeys(keys) for row in ledger.rows(SHARES, (key,))]
    if any(value is None for row in rows for value in row):
        return None
    return Share(*(sum(column) for column in zip(*rows, strict=True)))


def pace_of(ledger: Ledger, identity: str, model: str) -> Pace | None:
    """How fast this teacher answered of late; None where it never did."""
    spans = sorted(ledger.rows(TIMES, (identity, model, LATEST)))
    if not spans:
        return None
    busy_seconds, busy_until = 0.0, 0.0
    for sent_at, answered_at in spans:
        busy_seconds += max(0.0, answered_at - max(sent_at, busy_until))
        busy_until = max(busy_until, answered_at)
    latency_seconds = sum(answered_at - sent_at for sent_at, answered_at in spans) / len(spans)
    return Pace(latency_seconds, len(spans) / max(busy_seconds, 1e-9))
