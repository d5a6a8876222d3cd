"""One request on its way to a teacher."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pipeline.teacher.budget import Amount
from pipeline.teacher.keys import Wanted
from pipeline.teacher.limits.limits import Flight, Limits

MOST_REFUSED = 4
"""Refusals of one request for a limit, after which it counts as failed where others were taken meanwhile."""


@dataclass
class Refusals:
    """How often one request was refused for a limit."""

    limits: Limits
    _count: int = 0
    _taken_before: int = 0

    def add(self) -> None:
        """Once more."""
        self._taken_before = self._taken_before if self._count else self.limits.taken
        self._count += 1

    @property
    def are_odd(self) -> bool:
        """Again and again, while others were taken: then the fault lies in this request."""
        return self._count >= MOST_REFUSED and self.limits.taken > self._taken_before


@dataclass(frozen=True)
class Sent:
    """One request that left."""

    number: int
    """Its id in the ledger."""
    wanted: Sequence[Wanted]
    body: bytes
    flight: Flight
    charge: Callable[[Amount], None]
    """Tells the budget what it used."""
    is_first: bool
    """It never failed before."""
    is_odd: bool
    """It was refused for a limit while others were taken."""
