"""What one teacher takes: how many requests at once, how many requests and tokens a second; pure, with the time given.

It is told by the choices and by the server's headers, or learnt from what the server refuses and how fast it replies.
"""

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from pipeline.choices import TeacherChoice
from pipeline.teacher.limits.breaker import Breaker
from pipeline.teacher.limits.evidence import ENOUGH, Evidence, Finding, Mark
from pipeline.teacher.limits.headers import UNITS, Unit, told_per_second
from pipeline.teacher.limits.pace import Pace
from pipeline.teacher.limits.reckoning import Reckoning
from pipeline.teacher.limits.window import Window

Change = Literal["", "closed", "open"]
"""Whether the teacher takes requests again, or takes none any more; empty where nothing changed."""
MOST_LOCAL = 64
"""Requests in flight to weights that we serve ourselves: more wait in its queue for nothing."""
TOLD_SHARE = 0.99
"""Share of a limit told by the server that is used: its clock is not ours."""
CALM_SECONDS = 5.0
"""So long without a refusal, a pace was a good one."""
TAKEN_SECONDS = 2.0
"""A request that was not refused within this was taken, however long its reply takes."""


@dataclass
class Flight:
    """One request in flight."""

    mark: Mark
    tokens: float
    """That it is reckoned to use."""
    is_trial: bool
    """It was sent to see whether the teacher takes any."""
    taken: bool = False
    """It was taken, as far as anybody knows."""
    is_over: bool = False


@dataclass
class Limits:
    """What is known of one teacher's limits; lives as long as the process."""

    window: Window
    requests: Pace = field(default_factory=Pace)
    tokens: Pace = field(default_factory=Pace)
    breaker: Breaker = field(default_factory=Breaker)
    reckoning: Reckoning = field(default_factory=Reckoning)
    in_flight: int = 0
    held_until: float = -math.inf
    """Nothing is sent before."""
    _evidence: Evidence = field(default_factory=Evidence)
    _open: deque[Flight] = field(default_factory=deque)
    """Flights that may still be refused, the oldest first."""
    _changed_at: float = -math.inf
    """Refusals of what left before tell nothing new."""
    _refused_at: float = -math.inf
    _is_streak: bool = False
    """Nothing was taken since the last refusal."""
    _good: dict[Unit, tuple[float, float]] = field(default_factory=dict)
    """The paces, rate and precision, before refusals came after a time without any."""
    taken: int = 0
    """Requests that it took, as far as anybody knows."""
    _has_closed: bool = False
    """The breaker closed, and nobody was told."""

    def ready_in(self, now: float) -> float:
        """Seconds until one more may be sent; infinite where it waits for another to end."""
        self._presume(now)
        waits = [self.held_until - now]
        if self.breaker.is_open:
            waits.append(self.breaker.ready_in(now))
        else:
            waits += [self.requests.ready_in(now), self.tokens.ready_in(now)]
        wait_seconds = max(0.0, *waits)
        if wait_seconds:
            self.window.idle()
        if math.isinf(wait_seconds):  # one is being tried: it counts as taken where it is not refused in time
            return TAKEN_SECONDS if self.breaker.by_refusal else math.inf
        return wait_seconds or self.window.ready_in(now, self.in_flight)

    def starve(self) -> None:
        """There is nothing to send."""
        self.window.idle()

    def sent(self, now: float, tokens: float) -> Flight:
        """One request leaves that is reckoned to use so many tokens."""
        flight = Flight(self._evidence.sent(now, tokens, self.in_flight), tokens, self.breaker.is_open)
        self.breaker.sent()
        self.window.sent(now)
        if not flight.is_trial:
            self.requests.take(now, 1)
            self.tokens.take(now, tokens)
        self._open.append(flight)
        self.in_flight += 1
        return flight

    def replied(self, flight: Flight, now: float, tokens: float | None) -> Change:
        """It was answered, and used so many tokens."""
        self._end(flight)
        if tokens is not None:
            self.tokens.correct(now, tokens - flight.tokens)
        self.window.replied(now, flight.mark.at)
        self._take(flight)
        closed, self._has_closed = self._has_closed, False
        return "closed" if closed else ""

    def failed(self, flight: Flight, now: float, is_first: bool) -> Change:
        """It failed for another reason than a limit; `is_first`: this request never failed before."""
        self._end(flight)
        flight.taken = True
        if not is_first and not flight.is_trial:
            return ""
        return "open" if self.breaker.failed(now, 0.0, flight.is_trial) else ""

    def withdrawn(self, flight: Flight) -> None:
        """It never left."""
        self._end(flight)
        flight.taken = True
        self._evidence.unsent(flight.tokens)
        self.breaker.trying = self.breaker.trying and not flight.is_trial

    def refused(self, flight: Flight, now: float, wait_seconds: float, message: str) -> Change:
        """It was refused for a limit."""
        self._end(flight)
        flight.taken = True
        self._evidence.unsent(flight.tokens)
        if self.breaker.is_open:
            self.breaker.failed(now, wait_seconds, flight.is_trial)
            return ""
        was_calm = not self._is_streak and now - self._refused_at > CALM_SECONDS
        if was_calm and (self._is_measured or self._evidence.requests >= ENOUGH):
            self._good = {unit: (self._pace(unit).rate_at(now), self._pace(unit).precision) for unit in UNITS}
        if self._is_streak and wait_seconds:
            self.held_until = max(self.held_until, now + wait_seconds)
        self._refused_at, self._is_streak = now, True
        if flight.mark.at >= self._changed_at:
            self._changed_at = now
            self._slow_down(now, self._evidence.refused(flight.mark, flight.tokens, message))
        return "open" if self.breaker.failed(now, wait_seconds, flight.is_trial, refused=True) else ""

    def told(self, headers: Mapping[str, str]) -> None:
        """Take the limits that an answer's headers name."""
        for unit in UNITS:
            per_second = told_per_second(headers, unit)
            if per_second is not None:
                self._pace(unit).told = per_second * TOLD_SHARE

    def known(self, now: float) -> dict[str, float]:
        """The paces that were measured well, a second, to begin with next time."""
        return {unit: round(self._pace(unit).rate_at(now), 4) for unit in UNITS if self._pace(unit).precision == 1.0}

    def begin_with(self, known: Mapping[str, float], now: float) -> None:
        """Take up what was known at the end of an earlier asking."""
        for unit in UNITS:
            if unit in known:
                self._pace(unit).restore(now, known[unit], 1.0)

    def _slow_down(self, now: float, finding: Finding) -> None:
        if finding.what == "in_flight":
            self.requests.forget()
            self.tokens.forget()
            self.window.cap(finding.amount or 1)
            self.held_until = max(self.held_until, now + self.window.turn_seconds)
            return
        pace, recent = self._pace(finding.what), self._evidence.recent(finding.what)
        if finding.amount is None:
            pace.halve(now, recent)
        else:
            # What was sent of late was nearly taken; without a good measurement, half of it surely was.
            least = recent * (0.9 if finding.precision == 1.0 else 0.5) if math.isfinite(recent) else 0.0
            pace.set_measured(now, max(finding.amount, least), finding.precision)
        if finding.is_sure:
            self._pace("tokens" if finding.what == "requests" else "requests").forget()

    def _end(self, flight: Flight) -> None:
        self.in_flight -= 1
        flight.is_over = True

    def _presume(self, now: float) -> None:
        """Requests that were not refused in time were taken."""
        while self._open and (self._open[0].taken or now - self._open[0].mark.at > TAKEN_SECONDS):
            flight = self._open.popleft()
            if self.breaker.by_refusal or not self.breaker.is_open:
                self._take(flight)

    def _take(self, flight: Flight) -> None:
        """The teacher took it, which closes the breaker where it was sent to see that."""
        was_taken, flight.taken = flight.taken, True
        if was_taken or (self.breaker.is_open and not flight.is_trial):
            return
        if self.breaker.is_open:
            self._evidence.forget_refusals()
            for unit, (rate, precision) in self._good.items():
                self._pace(unit).restore(flight.mark.at, rate, precision)
        self._is_streak = False
        self.taken += 1
        self._has_closed = self.breaker.took() or self._has_closed

    @property
    def _is_measured(self) -> bool:
        return bool(self.requests.precision or self.tokens.precision)

    def _pace(self, unit: Unit) -> Pace:
        return self.tokens if unit == "tokens" else self.requests


def limits_of(choice: TeacherChoice) -> Limits:
    """What is known of a teacher's limits before it was asked anything."""
    most = choice.concurrency if choice.local is None else min(choice.concurrency, MOST_LOCAL)
    return Limits(
        Window(most),
        requests=Pace(most=(choice.requests_per_minute or math.inf) / 60),
        tokens=Pace(most=(choice.tokens_per_minute or math.inf) / 60),
    )
