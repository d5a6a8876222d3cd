"""An event loop whose time jumps to the next timer, and servers that live in it: minutes of asking in milliseconds."""

import asyncio
import random
import selectors
from collections.abc import Callable
from dataclasses import dataclass, field

from pipeline.teacher.halt import Halt
from pipeline.teacher.limits.gate import Clock, Gate
from pipeline.teacher.limits.limits import Limits
from pipeline.teacher.limits.window import Window

ROUND_TRIP_SECONDS = 0.003


class JumpingSelector(selectors.SelectSelector):
    """Waits for nothing: the time to wait is added to the clock."""

    seconds = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        self.seconds += 0.0 if ready else (timeout or 0.0)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._jumping = JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.seconds


class LoopClock(Clock):
    def now(self) -> float:
        return asyncio.get_running_loop().time()


@dataclass
class SimulatedServer:
    """What a provider grants; times in seconds."""

    latency: Callable[[int], float] = lambda in_flight: 1.0
    """Given how many are in flight."""
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    most_in_flight: int | None = None
    slots: int | None = None
    """Worked on at once; the others wait in a queue."""
    storm: tuple[float, float] = (0.0, 0.0)
    """Everything is refused between these."""
    tells_wait: bool = False
    message: str = "Rate limit reached"
    accepted: list[float] = field(default_factory=list)
    """When each was taken."""
    refused: list[float] = field(default_factory=list)
    done: list[float] = field(default_factory=list)
    in_flight: int = 0

    def __post_init__(self) -> None:
        self._requests = (self.requests_per_minute or 0.0) / 60
        self._tokens = (self.tokens_per_minute or 0.0) / 60
        self._filled_at = 0.0
        self._queue = asyncio.Semaphore(self.slots or 1_000_000)

    async def post(self, tokens: float) -> float | None:
        """None where it was answered, else the seconds to wait of a refusal."""
        loop = asyncio.get_running_loop()
        await asyncio.sleep(ROUND_TRIP_SECONDS)
        now = loop.time()
        wait_seconds = self._wait_seconds(now, tokens)
        if wait_seconds is not None:
            self.refused.append(now)
            return wait_seconds if self.tells_wait else 0.0
        self.accepted.append(now)
        self.in_flight += 1
        seconds = self.latency(self.in_flight)
        async with self._queue:
            await asyncio.sleep(seconds)
        self.in_flight -= 1
        self.done.append(loop.time())
        return None

    def _wait_seconds(self, now: float, tokens: float) -> float | None:
        seconds, self._filled_at = now - self._filled_at, now
        requests_a_second = (self.requests_per_minute or 0.0) / 60
        tokens_a_second = (self.tokens_per_minute or 0.0) / 60
        self._requests = min(max(1.0, requests_a_second), self._requests + seconds * requests_a_second)
        self._tokens = min(tokens_a_second, self._tokens + seconds * tokens_a_second)
        if self.storm[0] <= now < self.storm[1]:
            return 1.0
        if self.requests_per_minute and self._requests < 1:
            return (1 - self._requests) / requests_a_second
        if self.tokens_per_minute and self._tokens < tokens:
            return (tokens - self._tokens) / tokens_a_second
        if self.most_in_flight is not None and self.in_flight >= self.most_in_flight:
            return 0.0
        self._requests -= 1
        self._tokens -= tokens
        return None


def ask_for(
    server: Callable[[], SimulatedServer], seconds: float, most: int = 1024, tokens: tuple[int, ...] = (100,)
) -> tuple[SimulatedServer, Limits, list[str]]:
    """Ask without end for so long; gives the server, what was learnt of it, and the changes that were told."""
    random.seed(1)
    limits = Limits(Window(most))
    changes: list[str] = []

    async def work(made: SimulatedServer, gate: Gate) -> None:
        while True:
            size, again, wait_seconds = random.choice(tokens), False, 0.0
            while True:
                await asyncio.sleep(wait_seconds)
                async with gate.place(size, -1 if again else 0) as flight:
                    refused = await made.post(size)
                    if refused is None:
                        changes.append(gate.replied(flight, size))
                        break
                    changes.append(gate.refused(flight, refused, made.message))
                again, wait_seconds = True, refused

    async def run() -> SimulatedServer:
        made = server()
        gate = Gate(limits, LoopClock(), Halt())
        workers = [asyncio.ensure_future(work(made, gate)) for _ in range(2 * most)]
        await asyncio.sleep(seconds)
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
        return made

    loop = VirtualLoop()
    try:
        return loop.run_until_complete(run()), limits, [change for change in changes if change]
    finally:
        loop.close()


def within(moments: list[float], begin: float, end: float) -> int:
    """How many of these lie in the span."""
    return sum(begin <= moment < end for moment in moments)
