"""What an answer's status and headers say of a server's limits, and of when it takes more."""

import math
import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Literal

Unit = Literal["requests", "tokens"]
UNITS: tuple[Unit, Unit] = ("requests", "tokens")

MOST_RESET_SECONDS = 61.0
"""Of a limit a minute; a second of grace for rounding."""
DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+(?:\.\d+)?)s)?(?:(\d+(?:\.\d+)?)ms)?")

DATES_FROM = 1e9
"""Retry-After above this is no number of seconds."""


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


def retry_after(value: str | None, now: float) -> float:
    """Seconds to wait that a Retry-After header asks for: a number, or a date against `now` in Unix time."""
    if not value:
        return 0.0
    try:
        seconds = float(value)
    except ValueError:
        pass
    else:
        seconds -= now if seconds > DATES_FROM else 0.0  # some send a date in Unix time
        return max(0.0, seconds) if math.isfinite(seconds) else 0.0
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - now)
    except ValueError:
        return 0.0


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None
