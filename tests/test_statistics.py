"""Intervals and tests against numbers that others printed."""

import random

import pytest

from pipeline.statistics import mcnemar, paired_gain, wilson


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


def test_wilson_is_symmetric_and_never_leaves_0_to_1() -> None:
    low, high = wilson(20, 20)
    assert (1 - high, 1 - low) == pytest.approx(wilson(0, 20))
    assert wilson(0, 0) == (0, 1)


@pytest.mark.parametrize(
    ("won", "lost", "p"),
    [
        # scipy.stats.binomtest(min(won, lost), won + lost).pvalue
        (0, 0, 1.0),
        (5, 5, 1.0),
        (8, 1, 0.0390625),
        (1, 8, 0.0390625),
        (15, 5, 0.04138946533203125),
        (10, 0, 0.001953125),
    ],
)
def test_mcnemar_is_the_exact_two_sided_binomial_test(won: int, lost: int, p: float) -> None:
    assert mcnemar(won, lost) == pytest.approx(p, abs=1e-12)


def test_mcnemar_does_not_overflow_on_many_problems() -> None:
    assert 0 <= mcnemar(9000, 1000) < 1e-300


def test_the_gain_counts_what_was_won_less_what_was_lost() -> None:
    before = [True] * 20 + [False] * 20 + [True] * 30 + [False] * 30
    after = [False] * 20 + [True] * 20 + [True] * 30 + [False] * 30
    same = paired_gain(before, after)
    assert (same.gain, same.p) == (0, 1)
    assert same.low < 0 < same.high


def test_the_interval_is_that_of_paired_differences() -> None:
    # 60 won, 20 lost of 300: mean 0.1333, standard error sqrt((80/300 - 0.1333**2) / 300) = 0.0288.
    before = [False] * 60 + [True] * 20 + [True] * 220
    after = [True] * 60 + [False] * 20 + [True] * 220
    gain = paired_gain(before, after)
    assert gain.gain == pytest.approx(40 / 300)
    assert (gain.low, gain.high) == pytest.approx((0.1333 - 0.0565, 0.1333 + 0.0565), abs=0.005)


def test_models_that_answer_alike_gain_nothing_for_sure() -> None:
    gain = paired_gain([True, False, True], [True, False, True])
    assert (gain.gain, gain.low, gain.high, gain.p) == (0, 0, 0, 1)


def test_the_same_seed_gives_the_same_interval() -> None:
    before, after = [False] * 40 + [True] * 60, [True] * 55 + [False] * 45
    assert paired_gain(before, after, seed=3) == paired_gain(before, after, seed=3)


def test_the_interval_covers_the_true_gain_about_95_times_in_100() -> None:
    draw = random.Random(7)
    trials, covered = 300, 0
    for trial in range(trials):
        kinds = draw.choices([(False, True), (True, False), (True, True)], weights=[0.25, 0.1, 0.65], k=200)
        gain = paired_gain([one for one, _ in kinds], [other for _, other in kinds], seed=trial)
        covered += gain.low <= 0.15 <= gain.high
    assert 0.91 <= covered / trials <= 0.985


def test_comparing_unlike_numbers_of_problems_is_refused() -> None:
    with pytest.raises(ValueError):
        paired_gain([True], [True, False])
    with pytest.raises(ValueError):
        paired_gain([], [])
