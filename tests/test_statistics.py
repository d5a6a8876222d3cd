"""Intervals and tests against scipy, against numbers that others printed, and against populations that are known."""

from collections.abc import Callable

import numpy
import pytest
from scipy.stats import binomtest

from pipeline.statistics import Gain, mcnemar, mean_interval, paired_gain, wilson


def gain_of(won: int, lost: int, n: int, comparisons: int = 1) -> Gain:
    """The gain where the second model won so many problems, lost so many, and both were right on the others."""
    before = [False] * won + [True] * (n - won)
    after = [True] * won + [False] * lost + [True] * (n - won - lost)
    return paired_gain(before, after, comparisons=comparisons)


@pytest.mark.parametrize(
    ("right", "n", "low", "high"),
    [
        # Newcombe 1998, "Two-sided confidence intervals for the single proportion", Stat. Med. 17, table I, method 3.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_gives_the_intervals_that_newcombe_printed(right: int, n: int, low: float, high: float) -> None:
    assert wilson(right, n) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize("n", [1, 2, 7, 50, 1319])
def test_wilson_is_that_of_scipy(n: int) -> None:
    for right in {0, 1, n // 3, n // 2, n - 1, n}:
        theirs = binomtest(right, n).proportion_ci(method="wilson")
        assert wilson(right, n) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


def test_wilson_is_symmetric_and_never_leaves_0_to_1() -> None:
    low, high = wilson(20, 20)
    assert (1 - high, 1 - low) == pytest.approx(wilson(0, 20))
    assert wilson(0, 0) == (0, 1)


@pytest.mark.parametrize(("right", "n"), [(0, 20), (1, 29), (15, 148), (263, 263), (1, 1)])
def test_the_interval_of_a_mean_is_that_of_wilson_where_a_problem_is_right_or_wrong(right: int, n: int) -> None:
    assert mean_interval([True] * right + [False] * (n - right)) == pytest.approx(wilson(right, n), abs=1e-12)


def test_samples_of_one_problem_do_not_count_as_problems() -> None:
    sure = mean_interval([0, 1] * 50)
    assert sure == pytest.approx(wilson(50, 100))  # eight samples a problem that all agree tell no more than one
    unsure = mean_interval([0.25, 0.75] * 50)
    assert wilson(400, 800)[1] > unsure[1] - 0.02
    assert sure[0] < unsure[0] < 0.5 < unsure[1] < sure[1]


def test_without_problems_every_share_is_possible() -> None:
    assert mean_interval([]) == (0, 1)


@pytest.mark.parametrize("won", [0, 1, 4, 9, 30, 700])
@pytest.mark.parametrize("lost", [0, 1, 5, 28, 650])
def test_mcnemar_is_the_exact_two_sided_binomial_test_of_scipy(won: int, lost: int) -> None:
    theirs = binomtest(won, won + lost).pvalue if won + lost else 1.0
    assert mcnemar(won, lost) == pytest.approx(theirs, rel=1e-9)


@pytest.mark.parametrize(
    ("won", "lost", "p"),
    [
        # Fagerland, Lydersen, Laake 2014, "Recommended tests and confidence intervals for paired binomial proportions",
        # Stat. Med. 33: airway hyper-responsiveness, and response to consolidation therapy; exact conditional test.
        (1, 7, 0.0703),
        (6, 16, 0.0525),
    ],
)
def test_mcnemar_gives_the_values_that_fagerland_printed(won: int, lost: int, p: float) -> None:
    assert mcnemar(won, lost) == pytest.approx(p, abs=5e-5)


def test_mcnemar_does_not_overflow_on_many_problems() -> None:
    assert 0 <= mcnemar(9000, 1000) < 1e-300


@pytest.mark.parametrize(
    ("won", "lost", "n", "low", "high"),
    [
        # The same paper, Tango's asymptotic score interval, with a digit more in the authors' book.
        (1, 7, 21, -0.517, -0.026),
        (6, 16, 161, -0.124, -0.0054),
    ],
)
def test_the_interval_of_a_gain_is_the_one_that_fagerland_printed(
    won: int, lost: int, n: int, low: float, high: float
) -> None:
    found = gain_of(won, lost, n)
    assert (found.low, found.high) == pytest.approx((low, high), abs=5e-4)


@pytest.mark.parametrize(("won", "lost", "n"), [(0, 0, 50), (3, 0, 40), (0, 1, 44), (60, 20, 300), (50, 0, 50)])
def test_the_interval_of_a_gain_is_where_the_score_test_turns(won: int, lost: int, n: int) -> None:
    found = gain_of(won, lost, n)
    for end in (found.low, found.high):
        if abs(end) < 1:
            assert _score(won, lost, n, end) == pytest.approx(1.959964**2, rel=1e-5)


def _score(won: int, lost: int, n: int, gain: float) -> float:
    """Tango's statistic squared: his equation for the likeliest share of problems lost, solved for this gain."""
    linear = (2 * n - won + lost) * gain - won - lost
    share_lost = ((linear**2 + 8 * n * lost * gain * (1 - gain)) ** 0.5 - linear) / (4 * n)
    return float((won - lost - n * gain) ** 2 / (n * (2 * share_lost + gain * (1 - gain))))


def test_the_gain_counts_what_was_won_less_what_was_lost() -> None:
    same = gain_of(20, 20, 100)
    assert (same.gain, same.p) == (0, 1)
    assert same.low == pytest.approx(-same.high)
    assert gain_of(60, 20, 300).gain == pytest.approx(40 / 300)


def test_two_models_that_answer_alike_may_still_differ_on_other_problems() -> None:
    few, many = gain_of(0, 0, 3), gain_of(0, 0, 3000)
    assert (few.gain, few.p, many.gain) == (0, 1, 0)
    assert few.low < -0.5 and few.high > 0.5
    assert -0.002 < many.low < 0 < many.high < 0.002


def test_shares_of_samples_give_a_narrower_interval_and_no_p() -> None:
    shares = paired_gain([0.5] * 50 + [0.0] * 50, [0.75] * 50 + [0.25] * 50)
    assert shares.gain == pytest.approx(0.25)
    assert shares.p is None
    assert shares.low > paired_gain([False] * 25 + [True] * 75, [True] * 100).low


def test_several_comparisons_widen_every_interval() -> None:
    widths = [found.high - found.low for found in (gain_of(30, 10, 200, comparisons) for comparisons in (1, 2, 20))]
    assert widths == sorted(widths)
    assert gain_of(10, 2, 100).low > 0 > gain_of(10, 2, 100, comparisons=20).low


@pytest.mark.parametrize(
    ("won", "lost", "n", "comparisons", "least", "most"),
    [
        (0.01, 0.0, 50, 1, 0.95, 1),  # so few differ that most samples hold none
        (0.01, 0.01, 100, 1, 0.95, 1),
        (0.024, 0.006, 300, 1, 0.935, 0.965),
        (0.08, 0.02, 100, 1, 0.935, 0.965),
        (0.1, 0.05, 200, 1, 0.935, 0.965),
        (0.1, 0.05, 200, 5, 0.985, 0.995),
    ],
)
def test_the_interval_of_a_gain_covers_at_its_stated_rate(
    won: float, lost: float, n: int, comparisons: int, least: float, most: float
) -> None:
    drawn = numpy.random.default_rng(5).multinomial(n, [won, lost, 1 - won - lost], size=20_000)
    held = 0
    for (wins, losses, _), count in zip(*numpy.unique(drawn, axis=0, return_counts=True), strict=True):
        found = gain_of(int(wins), int(losses), n, comparisons)
        held += count * (found.low <= won - lost <= found.high)
    assert least <= held / len(drawn) <= most


def held_share(held: Callable[[], bool], trials: int) -> float:
    return sum(held() for _ in range(trials)) / trials


@pytest.mark.parametrize(
    ("sure", "n", "most"),
    [(0.98, 100, 1), (0.9, 300, 0.98), (0.0, 100, 0.985)],
)
def test_the_interval_of_a_gain_in_shares_covers_at_its_stated_rate(sure: float, n: int, most: float) -> None:
    draw = numpy.random.default_rng(6)

    def held() -> bool:
        chance = draw.random(n)
        is_sure = draw.random(n) < sure
        before = numpy.where(is_sure, 1, draw.binomial(8, chance / 2) / 8)
        after = numpy.where(is_sure, 1, draw.binomial(8, chance) / 8)
        found = paired_gain(before, after)
        return found.low <= (1 - sure) / 4 <= found.high

    assert 0.92 <= held_share(held, 400) <= most


def test_the_interval_of_a_mean_of_shares_covers_at_its_stated_rate() -> None:
    draw = numpy.random.default_rng(7)

    def held() -> bool:
        low, high = mean_interval(draw.binomial(8, draw.beta(0.3, 0.6, 100)) / 8)
        return low <= 1 / 3 <= high

    assert 0.92 <= held_share(held, 400) <= 0.98


def test_comparing_unlike_numbers_of_problems_is_refused() -> None:
    with pytest.raises(ValueError):
        paired_gain([True], [True, False])
    with pytest.raises(ValueError):
        paired_gain([], [])
