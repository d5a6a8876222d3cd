"""The provider's time: its clock, and how long a request is worked on."""

import heapq
import time

from tests.provider.arithmetic import drawn
from tests.provider.behaviour import Behaviour


class Clock:
    """Unix time of the provider, which runs `speed` times faster than ours."""

    def __init__(self) -> None:
        self._then = time.time()
        self._since = time.monotonic()
        self.speed = 1.0

    def now(self) -> float:
        """The provider's time."""
        return self._then + (time.monotonic() - self._since) * self.speed

    def run(self, speed: float) -> None:
        """Run so fast from now on."""
        self._then, self._since, self.speed = self.now(), time.monotonic(), speed

    def real_seconds(self, seconds: float) -> float:
        """How long so many of the provider's seconds are."""
        return seconds / self.speed


class Pace:
    """How long each request takes, alone or behind others in the queue.

    A slot is free again when its request was due, not when that was sent, so a busy machine makes no queue slower.
    """

    def __init__(self) -> None:
        self._slots_free_at: list[float] = []

    def seconds(self, does: Behaviour, digest: bytes, in_flight: int, now: float) -> float:
        """The provider's seconds from now to the answer of a request that came as number `in_flight`."""
        latency = does.latency_seconds
        if does.batching is not None:
            latency *= 1 + in_flight / does.batching
        if does.latency_spread:
            latency *= 1 + does.latency_spread * (2 * drawn(digest) - 1)
        if does.queue_slots is None:
            return latency
        del self._slots_free_at[does.queue_slots :]
        if len(self._slots_free_at) < does.queue_slots:
            heapq.heappush(self._slots_free_at, now + latency)
            return latency
        done_at = max(now, self._slots_free_at[0]) + latency
        heapq.heapreplace(self._slots_free_at, done_at)
        return done_at - now
