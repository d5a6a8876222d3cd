"""Whether a teacher takes anything at all: where it does not, one request at a time is tried until it does."""

import random
from dataclasses import dataclass

FIRST_WAIT_SECONDS = 1.0
"""Before the first trial; each further one waits twice as long."""
MOST_WAIT_SECONDS = 10.0
STREAK = 8
"""Refusals, or failures of requests that never failed before, one after another, after which it takes nothing."""
STREAK_SECONDS = 1.0
"""For so long it must have taken nothing."""
STREAK_MOST_SECONDS = 10.0
"""So long without taking any, while some are refused, is enough by itself."""


@dataclass
class Breaker:
    """Closed while the teacher takes requests, open while it does not."""

    is_open: bool = False
    opened_at: float = 0.0
    """Since when it has taken nothing."""
    trial_at: float = 0.0
    """When the next one is tried, while open."""
    by_refusal: bool = False
    """Refusals opened it, which come at once; failures may take their time."""
    trying: bool = False
    """One is being tried."""
    _streak: int = 0
    _streak_began: float = 0.0
    _wait_seconds: float = FIRST_WAIT_SECONDS

    def ready_in(self, now: float) -> float:
        """Seconds until a request may be sent; 0 while closed, infinite while one is being tried."""
        if not self.is_open:
            return 0.0
        return float("inf") if self.trying else max(0.0, self.trial_at - now)

    def sent(self) -> None:
        """A request is sent; while open it is the trial."""
        self.trying = self.is_open

    def took(self) -> bool:
        """The teacher took a request; whether that closed the breaker."""
        closed = self.is_open
        self.is_open = self.trying = False
        self._streak, self._wait_seconds, self.trial_at = 0, FIRST_WAIT_SECONDS, 0.0
        return closed

    def failed(self, now: float, wait_seconds: float, was_trial: bool, refused: bool = False) -> bool:
        """It did not take one, and asked to wait so long; whether that opened the breaker."""
        if self.is_open:
            if was_trial:
                self.trying = False
                self._wait_seconds = min(2 * self._wait_seconds, MOST_WAIT_SECONDS)
            self._set_trial(now, wait_seconds)
            return False
        self._streak_began = self._streak_began if self._streak else now
        self._streak += 1
        seconds = now - self._streak_began
        if seconds < STREAK_SECONDS or (self._streak < STREAK and seconds < STREAK_MOST_SECONDS):
            return False
        self.is_open, self.opened_at, self.by_refusal = True, self._streak_began, refused
        self._set_trial(now, wait_seconds)
        return True

    def _set_trial(self, now: float, wait_seconds: float) -> None:
        self.trial_at = max(self.trial_at, now + max(self._wait_seconds * random.uniform(0.75, 1.25), wait_seconds))
