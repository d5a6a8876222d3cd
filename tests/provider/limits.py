"""The provider's limits: token buckets that a client cannot see, and what it is told when it meets one."""

import math

from tests.provider.behaviour import Behaviour
from tests.provider.wire import Answer

NAMES = {"requests": "requests per min (RPM)", "tokens": "tokens per min (TPM)"}


class Bucket:
    """So much a minute, refilled all the time; it holds one second's worth and is full at the start."""

    def __init__(self, per_minute: float, now: float) -> None:
        self.per_minute = per_minute
        self._capacity = self._level = per_minute / 60
        self._at = now

    def level(self, now: float) -> float:
        """What is in it; below 0 after a request of more than it holds."""
        self._level = min(self._capacity, self._level + (now - self._at) * self.per_minute / 60)
        self._at = now
        return self._level

    def wait_seconds(self, cost: float, now: float) -> float:
        """Until it lets this in, 0 for now."""
        lacks = min(cost, self._capacity) - self.level(now)
        return lacks * 60 / self.per_minute if lacks > 1e-9 else 0.0

    def take(self, cost: float) -> None:
        """Charge a request that was let in."""
        self._level -= cost

    def reset_seconds(self, now: float) -> float:
        """Until it is full."""
        return (self._capacity - self.level(now)) * 60 / self.per_minute


class Limits:
    """The buckets of one behaviour."""

    def __init__(self, does: Behaviour, now: float) -> None:
        rates = {"requests": does.requests_per_minute, "tokens": does.tokens_per_minute}
        self._buckets = {name: Bucket(rate, now) for name, rate in rates.items() if rate is not None}

    def refuse(self, does: Behaviour, costs: dict[str, int], now: float) -> Answer | None:
        """The 429 for a request that finds a bucket too empty; otherwise it is charged and let in."""
        waits = {name: bucket.wait_seconds(costs[name], now) for name, bucket in self._buckets.items()}
        name = max(waits, key=lambda name: waits[name], default=None)
        if name is None or not waits[name]:
            for charged, bucket in self._buckets.items():
                bucket.take(costs[charged])
            return None
        if not does.limit_tells:
            return refusal()
        limit, wait = self._buckets[name].per_minute, math.ceil(waits[name] * 1000) / 1000
        used = limit - max(0, math.floor(self._buckets[name].level(now)))
        told = (
            f"Rate limit reached for fake in organization org-fake on {NAMES[name]}: Limit {limit:.0f}, "
            f"Used {used:.0f}, Requested {costs[name]}. Please try again in {spelled(wait)}."
        )
        refused = Answer.error(429, told, type=name, param=None, code="rate_limit_exceeded")
        return refused._replace(headers={**refused.headers, "Retry-After": f"{wait:.3f}"})

    def headers(self, now: float) -> dict[str, str]:
        """OpenAI's headers of what is left."""
        found = {}
        for name, bucket in self._buckets.items():
            found[f"x-ratelimit-limit-{name}"] = f"{bucket.per_minute:.0f}"
            found[f"x-ratelimit-remaining-{name}"] = str(max(0, math.floor(bucket.level(now))))
            found[f"x-ratelimit-reset-{name}"] = spelled(bucket.reset_seconds(now))
        return found


def refusal() -> Answer:
    """A 429 that tells nothing."""
    return Answer.error(429, "Rate limit reached", code="rate_limit_exceeded")


def spelled(seconds: float) -> str:
    """A duration as OpenAI spells it: 20ms, 1.5s, 6m0s, 1h0m0s."""
    if seconds < 1:
        return f"{math.ceil(seconds * 1000)}ms"
    minutes, rest = divmod(round(seconds, 3), 60)
    hours, minutes = divmod(int(minutes), 60)
    return (f"{hours}h" if hours else "") + (f"{minutes}m" if hours or minutes else "") + f"{round(rest, 3):g}s"
