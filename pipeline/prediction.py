"""What many parts come to in sum, predicted from some of them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from pipeline.statistics import Z_95


@dataclass(frozen=True)
class Predicted:
    """A sum, and the 95 % interval that it will fall into."""

    mean: float
    low: float
    high: float

    def less(self, part: float) -> "Predicted":
        """What remains of the sum where so much of it is had already."""
        return Predicted(*(max(0.0, value - part) for value in (self.mean, self.low, self.high)))


def predict_sum(parts: Sequence[float], count: int) -> Predicted | None:
    """The sum of `count` further parts that are drawn as these were; None where there are too few to tell.

    Source: Vardeman 1992, "What about the Other Intervals?", The American Statistician 46(3): the prediction interval
    of a sum of normal values, whose width has a share for the mean that is not known and one for each further part.

    Args:
        parts: those known; none of them negative.
        count: how many further ones there are.
    """
    if len(parts) < 2:
        return None
    mean = count * fmean(parts)
    half = student_t(len(parts) - 1) * stdev(parts) * math.sqrt(count**2 / len(parts) + count)
    return Predicted(mean, max(0.0, mean - half), mean + half)


def student_t(degrees: int) -> float:
    """The 97.5 % quantile of Student's t distribution, to 1 %.

    Source: Abramowitz and Stegun 1964, "Handbook of Mathematical Functions", 26.7.5; for one degree of freedom exact.
    """
    if degrees == 1:
        return math.tan(0.475 * math.pi)
    z = Z_95
    terms: tuple[float, ...] = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + sum(term / float(degrees) ** place for place, term in enumerate(terms, 1))
