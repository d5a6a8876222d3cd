"""What an answer's status and headers say of a server's limits."""

import math
import re
from collections.abc import Mapping
from typing import Literal

Unit = Literal["requests", "tokens"]
UNITS: tuple[Unit, Unit] = ("requests", "tokens")

MOST_RESET_SECONDS = 61.0
"""Of a limit a minute; a second of grace for rounding."""
DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+(?:\.\d+)?)s)?(?:(\d+(?:\.\d+)?)ms)?")


def is_busy(status: int, headers: Mapping[str, str]) -> bool:
    """Whether a server refused because it takes no more for now: too many requests, or overloaded."""
    return status in (429, 529) or (status == 503 and "retry-after" in headers)


def told_per_second(headers: Mapping[str, str], unit: Unit) -> float | None:
    """What `x-ratelimit-*` headers grant a second; None where they say nothing that can be read.

    A limit is one a minute, unless it takes longer than that until all of it is free again: then it is one a day, and
    the refusals are to tell what a minute holds.
    """
    limit = _number(headers.get(f"x-ratelimit-limit-{unit}"))
    remaining = _number(headers.get(f"x-ratelimit-remaining-{unit}"))
    reset_seconds = seconds_of(headers.get(f"x-ratelimit-reset-{unit}", ""))
    if not limit:
        return None
    if remaining is not None and remaining < limit and (reset_seconds or 0) > MOST_RESET_SECONDS:
        return None
    return limit / 60


def seconds_of(duration: str) -> float | None:
    """Seconds of a duration as rate-limit headers write it: `6m0s`, `1.5s`, `20ms`, `12`; None where it is none."""
    plain = _number(duration)
    if plain is not None:
        return plain
    parts = DURATION.fullmatch(duration.strip())
    if parts is None or not any(parts.groups()):
        return None
    hours, minutes, seconds, milliseconds = (float(part or 0) for part in parts.groups())
    return 3600 * hours + 60 * minutes + seconds + milliseconds / 1000


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None
