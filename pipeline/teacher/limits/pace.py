"""How fast a teacher may be asked, in requests or tokens a second: told by somebody, or learnt from its refusals.

A server that refuses has just run out of what it grants. So what it took between two refusals, over the time between
them, is its rate, whatever burst it allows: that is measured at every refusal, and the pace creeps up from just below
it until the next. Before there are two refusals far enough apart the pace is halved until none comes.
"""

import math
from dataclasses import dataclass

LEAST_PER_SECOND = 1 / 60
FIRST_PER_SECOND = 1.0
"""A pace to begin with where the very first requests were refused."""
SLACK_SECONDS = 0.2
"""What was not sent in time may be caught up with within this."""
BELOW = 0.985
"""Share of a measured rate at which the pace begins anew."""
CREEP_PER_SECOND = 0.001
"""Growth of a measured pace; it grows faster the longer nothing is refused."""
CREEP_DOUBLES_SECONDS = 30.0
SEARCH_GROWTH = 1.25
"""Growth of a pace that was halved but never measured, a second, or a request where those are slower."""


@dataclass
class Pace:
    """The most of one unit that is sent a second."""

    most: float = math.inf
    """The user's limit, a second; never exceeded."""
    told: float = math.inf
    """The limit that the server named last."""
    rate: float = math.inf
    """What was learnt, as of `since`; infinite where nothing was ever refused."""
    precision: float = 0.0
    """How well `rate` was measured, up to 1; 0 where it was only halved."""
    since: float = -math.inf
    """When `rate` was set."""
    _next_at: float = -math.inf

    def rate_at(self, now: float) -> float:
        """Units a second, as of now."""
        if math.isinf(self.rate):
            return self._ceiling
        seconds = max(0.0, now - self.since)
        if self.precision:
            creep = CREEP_PER_SECOND / self.precision * 2 ** min(seconds / CREEP_DOUBLES_SECONDS, 8.0)
            return min(self._ceiling, self.rate * math.exp(min(creep * seconds, 50.0)))
        steps = min(1.0, self.rate) * seconds - 1.0
        return min(self._ceiling, self.rate * math.pow(SEARCH_GROWTH, min(max(0.0, steps), 200.0)))

    @property
    def _ceiling(self) -> float:
        return min(self.most, self.told)

    def ready_in(self, now: float) -> float:
        """Seconds until more may be sent."""
        return max(0.0, self._next_at - now)

    def take(self, now: float, amount: float) -> None:
        """So much is sent now."""
        rate = self.rate_at(now)
        if not math.isinf(rate):
            self._next_at = max(self._next_at, now - SLACK_SECONDS) + amount / rate

    def correct(self, now: float, amount: float) -> None:
        """So much more was used than was taken; less where it is negative."""
        rate = self.rate_at(now)
        if not math.isinf(rate) and not math.isinf(self._next_at):
            self._next_at += amount / rate

    def set_measured(self, now: float, rate: float, precision: float) -> None:
        """The server takes so much a second."""
        self._set(now, rate * BELOW, precision)

    def halve(self, now: float, recent: float) -> None:
        """The server takes less than is sent, and nobody knows how much; `recent` is what was sent a second."""
        fastest = min(recent, self.rate_at(now))
        self._set(now, fastest / 2 if math.isfinite(fastest) else FIRST_PER_SECOND, 0.0)

    def forget(self) -> None:
        """Something else turned out to limit."""
        self.rate, self.precision, self._next_at = math.inf, 0.0, -math.inf

    def restore(self, now: float, rate: float, precision: float) -> None:
        """Take what was known before up again."""
        self._set(now, rate, precision)
        self._next_at = now

    def _set(self, now: float, rate: float, precision: float) -> None:
        self.rate, self.precision, self.since = max(rate, LEAST_PER_SECOND), precision, now
        self._next_at = max(self._next_at, now)
