"""Intervals for shares, and for the gain of one model over another on the same problems.

A mean over problems gets the score interval of a multinomial: every mean that Rao's score test (Pearson's X2) does not
reject, of distributions over all values that there can be. Where a problem is right or wrong it is Wilson's interval,
and for the difference of two models Tango's; k samples a problem only make the values finer. The problem is the unit:
samples of one problem are not independent of each other. `benchmarks/coverage.py` measures how often it holds the
truth, beside the bootstraps, which are far too narrow where few problems differ. What it costs: with shares of fewer
than a hundred problems it is wider than it need be, since a problem nobody saw may be won or lost outright.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from numpy import float64
    from numpy.typing import NDArray

Z_95 = 1.959963984540054
"""The normal distribution's 97.5 % quantile."""
HALVINGS = 60
"""Of the stretch in which the end of an interval lies: to the last digit of a float."""


@dataclass(frozen=True)
class Gain:
    """What the second of two models gained over the first, as a difference of their accuracies."""

    gain: float
    low: float
    """Lower end of the interval, of 95 % for one comparison."""
    high: float
    p: float | None
    """Two-sided exact McNemar test: how likely so uneven a split of the problems that only one got right is, if both
    are equally good. It is conservative, so with few such problems it may pass 0.05 where the interval leaves 0 out.
    None where a problem is more than right or wrong.
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


def mean_interval(shares: Sequence[float]) -> tuple[float, float]:
    """95 % interval of the mean of shares 0..1, one a problem; of right and wrong it is that of `wilson`.

    Args:
        shares: by problem, of its samples those that are right.
    """
    return _score_interval(shares, 0, 1, Z_95) if len(shares) else (0.0, 1.0)


def paired_gain(before: Sequence[float], after: Sequence[float], *, comparisons: int = 1) -> Gain:
    """What `after` gained over `before`, both on the same problems in the same order.

    Source: Tango 1998, "Equivalence test and confidence interval for the difference in proportions for the
    paired-sample design", Statistics in Medicine 17, for right and wrong; widened to shares by the same score test.
    Several comparisons: Dunn 1961, "Multiple comparisons among means", JASA 56 (Bonferroni).

    Args:
        before: by problem, whether the first model was right, or the share 0..1 of its samples that were.
        after: the same of the second.
        comparisons: how many intervals are read side by side; all of them hold at once at 95 %.

    Raises:
        ValueError: not the same number of problems, or none.
    """
    differences = [float(new) - float(old) for old, new in zip(before, after, strict=True)]
    if not differences:
        raise ValueError("no problems to compare on")
    z = NormalDist().inv_cdf(1 - 0.025 / comparisons)
    low, high = _score_interval(differences, -1, 1, z)
    is_single = {*before, *after} <= {0, 1}
    p = mcnemar(differences.count(1), differences.count(-1)) if is_single else None
    return Gain(fmean(differences), low, high, p)


def mcnemar(won: int, lost: int) -> float:
    """Two-sided exact p of `won` against `lost` under a fair coin; 1 where both are 0.

    Source: McNemar 1947, "Note on the sampling error of the difference between correlated proportions".
    """
    n = won + lost
    tail = sum(math.comb(n, k) for k in range(min(won, lost) + 1))
    return min(1.0, float(2 * tail / 2**n))


def _score_interval(values: Sequence[float], least: float, most: float, z: float) -> tuple[float, float]:
    """Every mean of values least..most that the score test does not reject.

    The test: n (mean - lower)^2 / variance, with the variance of the likeliest distribution that has the mean `lower`;
    for such a distribution that is Pearson's X2.
    """
    import numpy

    scaled = ((numpy.asarray(values, dtype=float) - least) / (most - least)).round(12)
    low, high = _lower_end(scaled, z), 1 - _lower_end(1 - scaled, z)
    return least + (most - least) * low, least + (most - least) * high


def _lower_end(scaled: "NDArray[float64]", z: float) -> float:
    """The least mean of values 0..1 that is not rejected."""
    import numpy

    values, counts = numpy.unique(scaled, return_counts=True)
    shares = counts / len(scaled)
    mean = float(shares @ values)
    inside, outside = 0.0, 2.0
    for _ in range(HALVINGS):
        middle = (inside + outside) / 2
        lower, variance = _likeliest(values, shares, middle)
        if len(scaled) * (mean - lower) ** 2 > z * z * variance:
            outside = middle
        else:
            inside = middle
    return _likeliest(values, shares, inside)[0]


def _likeliest(values: "NDArray[float64]", shares: "NDArray[float64]", tilt: float) -> tuple[float, float]:
    """Mean and variance of a distribution over 0..1 that, of all with its mean, makes the shares observed likeliest.

    Args:
        values: those observed.
        shares: how often each was.
        tilt: 0 gives the distribution observed; up to 1 the low values gain weight, by Lagrange's method; from 1 to 2
            the value 0, which need not have been observed, takes over.
    """
    if tilt >= 1 and values[0] == 0:
        return 0.0, 0.0
    weights = shares / (1 - min(tilt, 1) + min(tilt, 1) * values)
    weights = weights / weights.sum()
    unseen = max(tilt - 1, 0)
    mean = float((1 - unseen) * (weights @ values))
    return mean, float((1 - unseen) * (weights @ (values - mean) ** 2) + unseen * mean**2)
