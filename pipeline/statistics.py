"""Intervals for shares, and for the gain of one model over another on the same problems."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

Z_95 = 1.959963984540054
"""The normal distribution's 97.5 % quantile."""
DRAWS = 20_000
"""Bootstrap draws: the ends of an interval then move by less than a tenth of its width with the seed."""


@dataclass(frozen=True)
class Gain:
    """What the second of two models gained over the first, as a difference of their accuracies."""

    gain: float
    low: float
    """Lower end of the 95 % interval."""
    high: float
    p: float
    """Two-sided exact McNemar test: how likely so uneven a split of the problems that only one got right is, if both
    are equally good.
    """


def wilson(right: int, n: int) -> tuple[float, float]:
    """95 % interval of a share.

    Source: Wilson 1927, "Probable Inference, the Law of Succession, and Statistical Inference", JASA 22.

    Args:
        right: successes.
        n: trials; none gives 0 to 1.
    """
    if n == 0:
        return 0.0, 1.0
    share, z2 = right / n, Z_95**2
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = Z_95 / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)


def paired_gain(before: Sequence[bool], after: Sequence[bool], seed: int = 0) -> Gain:
    """What `after` gained over `before`, both on the same problems in the same order.

    The interval is the percentile bootstrap over problems; p is that of `mcnemar`.

    Args:
        before: whether the first model was right, by problem.
        after: whether the second was.
        seed: of the bootstrap.

    Raises:
        ValueError: not the same number of problems, or none.
    """
    import numpy

    pairs = list(zip(before, after, strict=True))
    if not pairs:
        raise ValueError("no problems to compare on")
    n, won, lost = len(pairs), pairs.count((False, True)), pairs.count((True, False))
    # Drawing problems anew is drawing how many of them were won, lost or alike.
    drawn = numpy.random.default_rng(seed).multinomial(n, [won / n, lost / n, (n - won - lost) / n], size=DRAWS)
    low, high = numpy.quantile((drawn[:, 0] - drawn[:, 1]) / n, [0.025, 0.975])
    return Gain((won - lost) / n, float(low), float(high), mcnemar(won, lost))


def mcnemar(won: int, lost: int) -> float:
    """Two-sided exact p of `won` against `lost` under a fair coin; 1 where both are 0.

    Source: McNemar 1947, "Note on the sampling error of the difference between correlated proportions".
    """
    n = won + lost
    tail = sum(math.comb(n, k) for k in range(min(won, lost) + 1))
    return min(1.0, float(2 * tail / 2**n))
