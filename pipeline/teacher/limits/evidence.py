"""What the refusals of one teacher tell of its limits.

A limit is told by the words of a refusal, or by which of three numbers is the same at every refusal: the requests a
second since an earlier one, the tokens a second, or the requests in flight.
"""

import math
import re
from collections import deque
from dataclasses import dataclass, field
from statistics import fmean, pstdev
from typing import Literal

from pipeline.teacher.limits.headers import UNITS, Unit

What = Literal["requests", "tokens", "in_flight"]

ENOUGH = 64
"""Requests between two refusals that make a good measurement."""
LEAST = 8
"""Requests between two refusals without which there is none."""
LEAST_SECONDS = 1.0
HORIZON_SECONDS = 120.0
"""Older refusals tell nothing any more."""
EXPLAINS = 3
"""Measurements before it is asked what limits."""
SPREAD_MOST = 0.05
"""Relative spread up to which a rate explains the refusals well enough."""
RECENT = 16
"""Requests by which it is told how fast they were sent of late."""
ABOUT_TOKENS = re.compile(r"\btokens?\b.{0,20}\b(?:per|a|/)\s*min|\bTPM\b|\bITPM\b|\bOTPM\b", re.IGNORECASE)
ABOUT_REQUESTS = re.compile(r"\brequests?\b.{0,20}\b(?:per|a|/)\s*min|\bRPM\b", re.IGNORECASE)
ABOUT_FLIGHT = re.compile(r"concurren|in.?flight|simultaneous|parallel", re.IGNORECASE)


@dataclass(frozen=True)
class Mark:
    """What had been taken when a request left."""

    at: float
    requests: int
    tokens: float
    in_flight: int
    """Before it."""

    def amount(self, unit: Unit) -> float:
        """Taken of that unit."""
        return self.requests if unit == "requests" else self.tokens


@dataclass(frozen=True)
class Finding:
    """What one refusal told."""

    what: What
    """That limits, as far as is known."""
    is_sure: bool
    """There were measurements enough to tell it from the others."""
    amount: float | None
    """Of it, what is granted: a second, or in flight; None where there is no earlier refusal to measure from."""
    precision: float
    """Of the measurement, up to 1."""


@dataclass
class Evidence:
    """The sends and refusals of one teacher."""

    requests: int = 0
    """Sent so far, those left out that were refused."""
    tokens: float = 0.0
    """Reckoned for them."""
    _sends: deque[float] = field(default_factory=lambda: deque(maxlen=RECENT))
    _marks: deque[Mark] = field(default_factory=deque)
    _found: dict[What, deque[float]] = field(
        default_factory=lambda: {what: deque(maxlen=2 * EXPLAINS) for what in (*UNITS, "in_flight")}
    )

    def sent(self, now: float, tokens: float, in_flight: int) -> Mark:
        """One more leaves."""
        mark = Mark(now, self.requests, self.tokens, in_flight)
        self.requests += 1
        self.tokens += tokens
        self._sends.append(now)
        return mark

    def unsent(self, tokens: float) -> None:
        """One of them was not taken."""
        self.requests -= 1
        self.tokens -= tokens

    def forget_refusals(self) -> None:
        """What was refused of late tells nothing of what is granted."""
        self._marks.clear()

    def refused(self, mark: Mark, tokens: float, message: str) -> Finding:
        """A request that left at this mark, for so many tokens, was refused."""
        earlier = self._earlier(mark)
        if earlier is not None:
            for unit in UNITS:
                one_more = 1 if unit == "requests" else tokens
                self._found[unit].append((mark.amount(unit) - earlier.amount(unit) + one_more) / (mark.at - earlier.at))
            self._found["in_flight"].append(mark.in_flight)
        self._marks.append(mark)
        what = _told_by(message) or self._explains()
        is_sure = len(self._found[what]) >= EXPLAINS
        if what == "in_flight":
            found = self._found["in_flight"]
            return Finding(what, is_sure, min(found) if found else max(1, mark.in_flight * 3 // 4), 1.0)
        if earlier is None:
            return Finding(what, is_sure, None, 0.0)
        precision = min(1.0, (mark.requests - earlier.requests) / ENOUGH)
        return Finding(what, is_sure, self._found[what][-1], precision)

    def recent(self, unit: Unit) -> float:
        """Units a second that were sent of late; infinite where that cannot be told."""
        seconds = self._sends[-1] - self._sends[0] if len(self._sends) > 1 else 0.0
        if not seconds:
            return math.inf
        requests = (len(self._sends) - 1) / seconds
        return requests if unit == "requests" else requests * self.tokens / max(1, self.requests)

    def _explains(self) -> What:
        """Which of the three is the most alike at every refusal; a rate, as long as that explains them well."""
        if len(self._found["requests"]) < EXPLAINS:
            return "requests"
        spreads = {what: _spread(found) for what, found in self._found.items()}
        rate: Unit = "tokens" if spreads["tokens"] < 0.5 * spreads["requests"] else "requests"
        if spreads[rate] > SPREAD_MOST and spreads["in_flight"] < 0.5 * spreads[rate]:
            return "in_flight"
        return rate

    def _earlier(self, mark: Mark) -> Mark | None:
        """The last refusal that lies far enough back to measure by, else the first that does at all."""
        while self._marks and mark.at - self._marks[0].at > HORIZON_SECONDS:
            self._marks.popleft()
        usable = [
            other
            for other in self._marks
            if mark.at - other.at >= LEAST_SECONDS and mark.requests - other.requests >= LEAST
        ]
        good = [other for other in usable if mark.requests - other.requests >= ENOUGH]
        return good[-1] if good else usable[0] if usable else None


def _told_by(message: str) -> What | None:
    if ABOUT_TOKENS.search(message):
        return "tokens"
    if ABOUT_REQUESTS.search(message):
        return "requests"
    return "in_flight" if ABOUT_FLIGHT.search(message) else None


def _spread(values: "deque[float]") -> float:
    """Standard deviation over mean."""
    mean = fmean(values)
    return pstdev(values) / mean if mean else math.inf
