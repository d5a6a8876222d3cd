"""Lets requests out as fast as a teacher takes them, those of earlier conversations first; none holds a place while it
waits.
"""

import asyncio
import contextlib
import heapq
import itertools
import math
import time
from collections.abc import AsyncIterator

from pipeline.teacher.halt import Halt, HaltedError
from pipeline.teacher.limits.limits import Change, Flight, Limits


class Clock:
    """The time, in seconds; a test lets it run `speed` times faster."""

    def __init__(self, speed: float = 1.0) -> None:
        self.speed = speed

    def now(self) -> float:
        """Seconds since some moment."""
        return time.monotonic() * self.speed

    def real(self, seconds: float) -> float:
        """How long to sleep for so many seconds of this clock."""
        return seconds / self.speed


class Gate:
    """The way out to one teacher, within one event loop.

    Args:
        limits: what the teacher takes; outlives the gate.
        clock: its time.
        halt: lets nobody out any more once it stops.
    """

    def __init__(self, limits: Limits, clock: Clock, halt: Halt) -> None:
        self.limits = limits
        self.clock = clock
        self._waiting: list[tuple[int, int, asyncio.Future[Flight], float]] = []
        self._numbers = itertools.count()
        self._timer: asyncio.TimerHandle | None = None
        halt.when_stopped(self._release)
        self._halt = halt

    @contextlib.asynccontextmanager
    async def place(self, tokens: float, turn: int = 0) -> AsyncIterator[Flight]:
        """Wait until a request that is reckoned to use so many tokens may leave; it counts as sent then.

        What came of it is to be told by one of `replied`, `refused` and `failed`; where none is, it never left.

        Args:
            tokens: of its prompt and its replies.
            turn: the smallest goes first, of equal ones the one that waits longest.

        Raises:
            HaltedError: nothing is sent any more.
        """
        self._halt.check()
        place = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (turn, next(self._numbers), place, tokens))
        self.move()
        flight = await place
        try:
            yield flight
        finally:
            if not flight.is_over:
                self.limits.withdrawn(flight)
                self.move()

    def replied(self, flight: Flight, tokens: float | None) -> Change:
        """It was answered, and used so many tokens."""
        return self._moved(self.limits.replied(flight, self.clock.now(), tokens))

    def refused(self, flight: Flight, wait_seconds: float, message: str) -> Change:
        """It was refused for a limit."""
        return self._moved(self.limits.refused(flight, self.clock.now(), wait_seconds, message))

    def failed(self, flight: Flight, is_first: bool) -> Change:
        """It failed for another reason."""
        return self._moved(self.limits.failed(flight, self.clock.now(), is_first))

    def _moved(self, change: Change) -> Change:
        self.move()
        return change

    def move(self) -> None:
        """Let out whoever may leave now; called whenever something has changed."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._waiting:
            now = self.clock.now()
            wait_seconds = self.limits.ready_in(now)
            if wait_seconds:
                self._wake_in(wait_seconds)
                return
            *_, place, tokens = heapq.heappop(self._waiting)
            if not place.done():
                place.set_result(self.limits.sent(now, tokens))
        self.limits.starve()

    def _wake_in(self, wait_seconds: float) -> None:
        if math.isfinite(wait_seconds):
            self._timer = asyncio.get_running_loop().call_later(self.clock.real(wait_seconds), self.move)

    def _release(self) -> None:
        for *_, place, _tokens in self._waiting:
            if not place.done():
                place.set_exception(HaltedError())
        self._waiting.clear()
