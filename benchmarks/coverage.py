"""How often 95 % intervals of a gain hold the true gain, by method, where few or many problems differ.

    python benchmarks/coverage.py [--trials 1000]

Problems are drawn of populations whose true gain is known; each is solved by both models, once (pass or fail) or eight
times (shares). Methods: `score`, that of `pipeline.statistics`; `percentile`, `BCa` and `student`, the bootstraps of
Efron and Tibshirani 1993, "An Introduction to the Bootstrap", chapters 13, 14.3 and 12.5, 2000 draws of problems; `t`,
Student's interval of the mean difference; `plus 2`, the normal interval after one problem won outright and one lost
outright are added: Bonett and Price 2012, "Adjusted Wald Confidence Interval for a Difference of Binomial Proportions
Based on Paired Data". `five` is `score` read as one of five comparisons, which shall hold in 99 % of the cases.
"""

import argparse
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import NormalDist
from typing import NamedTuple

import numpy
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from pipeline.statistics import Z_95, paired_gain

NORMAL = NormalDist()
DRAWS = 2000
NUMBERS = (50, 100, 300, 1000)
Interval = tuple[float, float]
Differences = NDArray[numpy.float64]


class Kind(NamedTuple):
    """A part of a population: how likely each model is to solve such a problem."""

    share: float
    before: float
    after: float


def few(differ: float, won: float, chance: float) -> list[Kind]:
    """Both models alike and sure on most problems; on the others one fails and the other has a chance."""
    alike = (1 - differ) / 2
    others = [Kind(differ * won, 0, chance), Kind(differ * (1 - won), chance, 0)]
    return [Kind(alike, 0, 0), Kind(alike, 1, 1), *(kind for kind in others if kind.share)]


def shifted(logit: float) -> list[Kind]:
    """Problems of every difficulty, most of them hard or easy, each a little easier for the second model."""
    chances = [0.01, 0.03, 0.1, 0.25, 0.5, 0.75, 0.9, 0.97, 0.99]
    odds = [chance / (1 - chance) * math.exp(logit) for chance in chances]
    return [Kind(1 / len(chances), chance, odd / (1 + odd)) for chance, odd in zip(chances, odds, strict=True)]


POPULATIONS: Mapping[tuple[str, int], list[Kind]] = {
    ("1 % differ, half won", 1): few(0.01, 0.5, 1),
    ("1 % differ, all won", 1): few(0.01, 1, 1),
    ("3 % differ, 4 of 5 won", 1): few(0.03, 0.8, 1),
    ("10 % differ, half won", 1): few(0.1, 0.5, 1),
    ("10 % differ, 4 of 5 won", 1): few(0.1, 0.8, 1),
    ("30 % differ, 4 of 5 won", 1): few(0.3, 0.8, 1),
    ("1 % differ, half won", 8): few(0.01, 0.5, 0.5),
    ("1 % differ, all won", 8): few(0.01, 1, 0.5),
    ("3 % differ, 4 of 5 won", 8): few(0.03, 0.8, 0.5),
    ("10 % differ, 4 of 5 won", 8): few(0.1, 0.8, 0.5),
    ("all a little easier", 8): shifted(0.3),
    ("all alike", 8): shifted(0),
}


def bootstraps(differences: Differences, draw: numpy.random.Generator) -> dict[str, Interval]:
    """The three bootstraps; drawing problems is drawing how many have each difference."""
    n, mean, spread = len(differences), float(differences.mean()), float(differences.std())
    values, counts = numpy.unique(differences.round(12), return_counts=True)
    drawn = draw.multinomial(n, counts / n, size=DRAWS) / n
    means = drawn @ values
    spreads = numpy.sqrt(numpy.maximum(drawn @ values**2 - means**2, 0))
    unlike = numpy.where(numpy.abs(means - mean) < 1e-12, 0, numpy.where(means > mean, numpy.inf, -numpy.inf))
    studentised = numpy.divide(means - mean, spreads, out=unlike, where=spreads > 1e-9)
    high, low = numpy.quantile(studentised, [0.025, 0.975], method="inverted_cdf")
    return {
        "percentile": _ends(means, [0.025, 0.975]),
        "BCa": _ends(means, _accelerated(means, mean, differences)),
        "student": (max(-1.0, mean - low * spread), min(1.0, mean - high * spread)) if spread else (mean, mean),
    }


def _ends(means: Differences, levels: Sequence[float]) -> Interval:
    low, high = numpy.quantile(means, levels)
    return float(low), float(high)


def _accelerated(means: Differences, mean: float, differences: Differences) -> list[float]:
    """The levels at which BCa takes its ends."""
    centred = differences - mean
    below = float((means < mean).mean() + (means <= mean).mean()) / 2
    bias = NORMAL.inv_cdf(min(max(below, 1e-6), 1 - 1e-6))
    scale = float((centred**2).sum()) ** 1.5
    acceleration = float((centred**3).sum()) / (6 * scale) if scale else 0.0
    shifts = [bias + z for z in (-Z_95, Z_95)]
    return [NORMAL.cdf(bias + shift / (1 - acceleration * shift)) for shift in shifts]


def normal(differences: Differences, z: float, ddof: int) -> Interval:
    """Mean plus and minus so many standard errors."""
    half = z * float(differences.std(ddof=ddof)) / math.sqrt(len(differences))
    return float(differences.mean()) - half, float(differences.mean()) + half


def intervals(differences: Differences, draw: numpy.random.Generator) -> dict[str, Interval]:
    """One interval a method."""
    from scipy.stats import t

    zeros = numpy.zeros(len(differences))
    score, five = (paired_gain(zeros, differences, comparisons=count) for count in (1, 5))
    return {
        "score": (score.low, score.high),
        **bootstraps(differences, draw),
        "t": normal(differences, float(t.ppf(0.975, len(differences) - 1)), 1),
        "plus 2": normal(numpy.append(differences, [1, -1]), Z_95, 0),
        "five": (five.low, five.high),
    }


def sampled(kinds: Sequence[Kind], samples: int, n: int, draw: numpy.random.Generator) -> Differences:
    """The differences of both models' shares on n problems of a population."""
    which = draw.choice(len(kinds), size=n, p=[kind.share for kind in kinds])
    before, after = (numpy.array([kind[place] for kind in kinds])[which] for place in (1, 2))
    return (draw.binomial(samples, after) - draw.binomial(samples, before)) / samples


def remembered(draw: numpy.random.Generator) -> Callable[[Differences], dict[str, Interval]]:
    """`intervals`, once for equal differences: with few that differ there are few unlike samples."""
    known: dict[bytes, dict[str, Interval]] = {}

    def of(differences: Differences) -> dict[str, Interval]:
        ordered = numpy.sort(differences)
        key = ordered.tobytes()
        if key not in known:
            known[key] = intervals(ordered, draw)
        return known[key]

    return of


def holds(interval: Interval, truth: float) -> bool:
    """Whether the truth lies in it, to rounding."""
    return interval[0] - 1e-9 <= truth <= interval[1] + 1e-9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=1000)
    trials = parser.parse_args().trials
    draw = numpy.random.default_rng(0)
    methods = ["score", "percentile", "BCa", "student", "t", "plus 2", "five"]
    print(f"| samples | population | gain | problems | {' | '.join(methods)} | width of score | of t |")
    print(f"|---|---|---|---|{'---|' * len(methods)}---|---|")
    for (name, samples), kinds in POPULATIONS.items():
        truth = sum(kind.share * (kind.after - kind.before) for kind in kinds)
        for n in NUMBERS:
            of = remembered(draw)
            held = [of(sampled(kinds, samples, n, draw)) for _ in range(trials)]
            shares = [
                sum(one[how][0] - 1e-9 <= truth <= one[how][1] + 1e-9 for one in held) / trials for how in methods
            ]
            widths = [sum(one[how][1] - one[how][0] for one in held) / trials for how in ("score", "t")]
            cells = [f"{share:.3f}" for share in shares] + [f"{width:.3f}" for width in widths]
            print(f"| {samples} | {name} | {truth:+.3f} | {n} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
