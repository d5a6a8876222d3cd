"""What one teacher is asked in one step."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from pipeline.stage import Conversation, Reply
from pipeline.teacher.keys import Teacher


@dataclass
class Ask:
    """What one teacher is asked."""

    teacher: Teacher
    rows: Iterable[Any]
    """Can be iterated again."""
    conversation: Callable[[Any], Conversation[Any]]
    given_up: dict[str, Reply] = field(default_factory=dict)
    """Filled, by key, with the replies that this asking alone knows."""
    samples: int = 0
    """Samples that its conversations were given."""
    lost: int = 0
    """Of these, the ones given up after retries."""
