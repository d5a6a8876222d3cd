"""How many requests are best in flight: it grows while more of them make more replies a second, and no further.

A server that queues never refuses, so the one sign that there is enough is a throughput that no longer grows. A
round ends with the first reply to a request that was sent after the round began: long enough to show what the number
in flight does, whatever the latency.
"""

import math
from dataclasses import dataclass

FIRST = 4
"""In flight at first."""
RAMP_PER_SECOND = 5.0
"""Growth at first while nothing is refused, beside one more for each reply, so that slow replies do not hold it up."""
RAMP_SHARE_PER_SECOND = 1 / 8
"""Of its size, where that is more."""
GAIN_RATE = 1.04
"""A larger window is kept where it makes so many times the replies."""
LOSS_RATE = 0.98
"""A smaller window is kept where it makes at least so many times the replies."""
ROOM = 1.25
"""Over the smallest window that gave the best throughput, so that a queue there never runs dry."""
STALE_ROUNDS = 2
"""Rounds without a gain after which the window has grown enough."""
TRIAL_EVERY = 8
"""Rounds between two trials of another size; twice as many after each trial that failed."""
MOST_BETWEEN_TRIALS = 64
BURST_SECONDS = 0.01
"""So long's sends may leave together."""
LEAST_REPLIES = 8
"""In a round."""


@dataclass
class Window:
    """The number of requests in flight."""

    most: int
    """As the user set it."""
    size: float = FIRST
    growing: bool = True
    """Still in the first growth."""
    _grown_at: float | None = None
    _latency_seconds: float | None = None
    """Moving mean."""
    _next_at: float = -math.inf
    _round_began: float | None = None
    _replies: int = 0
    _was_full: bool = True
    """In this round there was always more to send."""
    _best: float = 0.0
    """Replies a second at the size that is kept."""
    _kept: float = FIRST
    _stale: int = 0
    _rounds: int = 0
    _between: int = TRIAL_EVERY
    _upwards: bool = True
    _step: float = 1.5
    """Between the size that is kept and the one that is tried."""

    def __post_init__(self) -> None:
        self.size = self._kept = min(self.size, self.most)

    def ready_in(self, now: float, in_flight: int) -> float:
        """Seconds until one more may be sent; infinite where it waits for a reply."""
        if not in_flight:
            return 0.0
        if in_flight < max(1, int(self.size)):
            return max(0.0, self._next_at - now)
        if not self.growing or self.size >= self.most:
            return math.inf
        if self._grown_at is not None:
            self.size = min(self.most, self.size + self._ramp_per_second * (now - self._grown_at))
        self._grown_at = now
        return 0.0 if in_flight < int(self.size) else 1 / self._ramp_per_second

    @property
    def _ramp_per_second(self) -> float:
        return max(RAMP_PER_SECOND, self.size * RAMP_SHARE_PER_SECOND)

    @property
    def turn_seconds(self) -> float:
        """About the time between two replies at this size."""
        return (self._latency_seconds or 0.0) / max(1.0, self.size)

    def sent(self, now: float) -> None:
        """One is sent: the next ones follow at twice the throughput at most, lest they arrive as one burst."""
        if self._latency_seconds is not None:
            self._next_at = max(self._next_at, now - BURST_SECONDS) + 0.5 * self.turn_seconds

    def idle(self) -> None:
        """Something else holds sending back: what this round shows does not count."""
        self._was_full = False
        self._grown_at = None

    def replied(self, now: float, sent_at: float) -> None:
        """One reply came."""
        latency_seconds = now - sent_at
        known = latency_seconds if self._latency_seconds is None else self._latency_seconds
        self._latency_seconds = min(known + (latency_seconds - known) / 16, 2 * latency_seconds)
        if self.growing:
            self.size = min(self.most, self.size + 1)
        if self._round_began is None:
            self._begin(now)
            return
        self._replies += 1
        if sent_at >= self._round_began and self._replies >= LEAST_REPLIES:
            if self._was_full:
                self._judge(self._replies / max(now - self._round_began, 1e-9))
            self._begin(now)

    def settle(self, size: float) -> None:
        """The first growth ends here."""
        if self.growing:
            self.growing = False
            self.size = self._kept = max(1.0, min(size, self.most))
            self._stale = self._rounds = 0

    def cap(self, size: float) -> None:
        """The server takes no more than this at once."""
        self.growing = False
        self.size = self._kept = max(1.0, min(size, self.most))
        self._best, self._rounds = 0.0, 0
        self._step, self._between = 1.1, MOST_BETWEEN_TRIALS

    def _begin(self, now: float) -> None:
        self._round_began, self._replies, self._was_full = now, 0, True

    def _judge(self, throughput: float) -> None:
        if self.growing:
            self._judge_growth(throughput)
            return
        self._rounds += 1
        if self.size == self._kept:
            self._best = throughput if self._rounds == 1 else 0.5 * (self._best + throughput)
            if self._rounds >= self._between:
                self._try_another()
        elif self._rounds == 2:  # the first round after a change still shows what was before it
            self._decide(throughput)

    def _judge_growth(self, throughput: float) -> None:
        if throughput >= GAIN_RATE * self._best:
            self._best, self._kept, self._stale = throughput, self.size, 0
            return
        self._stale += 1
        if self._stale == STALE_ROUNDS:
            self.settle(self._kept * ROOM)

    def _try_another(self) -> None:
        self._rounds = 0
        self.size = min(self._kept * self._step, self.most) if self._upwards else max(self._kept / self._step, 1.0)
        if self.size == self._kept:
            self._upwards = not self._upwards

    def _decide(self, throughput: float) -> None:
        better = throughput >= self._best * (GAIN_RATE if self.size > self._kept else LOSS_RATE)
        self._between = TRIAL_EVERY if better else min(2 * self._between, MOST_BETWEEN_TRIALS)
        self._upwards = better if self.size > self._kept else not better
        self._kept = self.size = self.size if better else self._kept
        self._rounds = 0
