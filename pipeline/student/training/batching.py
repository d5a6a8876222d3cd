"""What the rows of a training come to when so many of them stand in memory at once."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Lengths:
    """The rows in the order in which they are trained on, as two numbers each."""

    tokens: Sequence[int]
    trained: Sequence[int]
    """Of the tokens, those that carry loss."""


@dataclass(frozen=True)
class Batching:
    """What micro batches of one size come to."""

    tokens: int
    """In all of them, padding included."""
    count: int
    largest: int
    """Tokens in the largest, padding included."""
    largest_trained: int
    """Most tokens with loss in one of them."""
    largest_at: int
    """Which is the largest, from 0."""
    most_trained_at: int
    """Which has most tokens with loss."""

    @classmethod
    def of(cls, lengths: Lengths, size: int, padding_free: bool) -> "Batching":
        """Measure the micro batches of a size."""
        tokens, trained = _in_rows(lengths.tokens, size), _in_rows(lengths.trained, size).sum(axis=1)
        filled = tokens.sum(axis=1) if padding_free else tokens.max(axis=1) * (tokens > 0).sum(axis=1)
        return cls(
            tokens=int(filled.sum()),
            count=len(filled),
            largest=int(filled.max()),
            largest_trained=int(trained.max()),
            largest_at=int(filled.argmax()),
            most_trained_at=int(trained.argmax()),
        )


def _in_rows(numbers: Sequence[int], width: int) -> "np.ndarray[tuple[int, int], np.dtype[np.int64]]":
    flat = np.asarray(numbers, dtype=np.int64)
    return np.pad(flat, (0, -len(flat) % width)).reshape(-1, width)
