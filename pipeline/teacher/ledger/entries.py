"""What the ledger is told and what it tells: intents, what came of them, samples."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pipeline.teacher import dialect

Kind = Literal["reply", "refused", "failed", "lost", "unknown"]
"""`lost`: no answer after it was sent, so it may be billed; `unknown`: the process died before it could tell."""


@dataclass(frozen=True)
class Intent:
    """A request about to leave."""

    run: str
    step: str
    identity: str
    model: str
    first_index: int
    max_tokens: int | None
    keys: tuple[str, ...]
    """One a sample, in the order of the indices."""
    body: bytes
    batch: int | None = None
    """The batch job that it is part of; None where it is sent by itself."""


@dataclass(frozen=True)
class Outcome:
    """What came of an intent."""

    kind: Kind
    status: int | None = None
    """HTTP status; None where no answer came."""
    headers: Mapping[str, str] | None = None
    body: bytes = b""
    usage: dialect.Usage = dialect.NOTHING_TOLD


@dataclass(frozen=True)
class Sample:
    """An index entry about to be written: which choice answers which key."""

    key: str
    choice: int
    ended: bool
    """It ended by itself, or was refused: a higher limit would give nothing else."""
    max_tokens: int | None
    """The limit that it was given."""


@dataclass(frozen=True)
class Entry:
    """A sample found."""

    kind: Kind
    status: int | None
    headers: Mapping[str, str]
    body: bytes
    choice: int


@dataclass(frozen=True)
class MaybeBilled:
    """A request that was in flight when its process died: nobody knows what came of it."""

    request: int
    sent_at: float
    run: str
    step: str
    model: str
    keys: tuple[str, ...]
