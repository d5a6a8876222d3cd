"""When a vote is certain: the rules against integrals, draws and a vote over forty samples."""

import json
import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from pipeline.sampling import Tally, beats_all, beats_second, is_certain, ranking, rounds, saved_for_each


@pytest.mark.parametrize(
    ("votes", "probability"),
    [((), 1 / 2), ((1, 1), 1 / 2), ((3,), 15 / 16), ((4,), 31 / 32), ((5, 2), 219 / 256), ((7, 6, 1), 9908 / 16384)],
)
def test_the_beta_rule_is_exact(votes: tuple[int, ...], probability: float) -> None:
    assert beats_second(votes) == probability


@pytest.mark.parametrize("votes", [(3,), (2, 1), (10, 7, 3), (40,), (60, 40), (500, 480, 20)])
def test_the_beta_rule_is_the_integral_of_its_density(votes: tuple[int, ...]) -> None:
    import mpmath

    first, second = (*votes, 0)[:2]
    above_half = mpmath.betainc(first + 1, second + 1, 0.5, 1, regularized=True)
    assert beats_second(votes) == pytest.approx(float(above_half), rel=1e-9)


@pytest.mark.parametrize(
    "votes", [(3,), (2, 1), (3, 1, 1), (7, 6, 1), (10, 5, 5, 3, 1), (20, 10, 5, 2, 1, 1, 1), (4, 4, 4)]
)
def test_the_dirichlet_rule_is_the_share_of_draws_in_which_the_first_is_largest(votes: tuple[int, ...]) -> None:
    import numpy

    shapes = [count + 1 for count in (*votes, 0)[: max(2, len(votes))]]
    draws = numpy.random.default_rng(0).dirichlet(shapes, 40_000)
    share = float((draws.argmax(axis=1) == 0).mean())
    assert beats_all(votes) == pytest.approx(share, abs=4 * (share * (1 - share) / 40_000) ** 0.5)


@pytest.mark.parametrize(("votes", "share"), [((1,) * 8, 1 / 8), ((2,) * 20, 1 / 20), ((1,) * 40, 1 / 40)])
def test_among_equals_each_is_as_likely_the_largest(votes: tuple[int, ...], share: float) -> None:
    assert beats_all(votes) == pytest.approx(share, rel=1e-12)


@pytest.mark.parametrize("votes", [(3, 1), (9, 4)])
def test_with_two_answers_both_rules_are_one(votes: tuple[int, ...]) -> None:
    assert beats_all(votes) == pytest.approx(beats_second(votes), rel=1e-12)


@pytest.mark.parametrize(
    ("ballots", "beta", "dirichlet", "window"),
    [
        ([], False, False, False),
        (["5"] * 3, False, False, True),
        (["5"] * 4, True, True, True),
        ([None] * 9, False, False, False),
        (["5", None, "5", None, "5", None, "5"], True, True, False),
        (["5", "5", "5", "7"], False, False, False),
        (["7", "5", "5", "5"], False, False, True),
        (["7", "7", "5", "5"], False, False, False),
        (["5"] * 9 + ["7"] * 2, True, True, False),
        (["5"] * 10 + ["7", "8", "9"] * 3, True, False, False),
    ],
)
def test_a_sample_without_an_answer_is_no_vote_and_breaks_a_window(
    ballots: list[str | None], beta: bool, dirichlet: bool, window: bool
) -> None:
    assert is_certain(ballots, "beta", 0.95, 3) == beta
    assert is_certain(ballots, "dirichlet", 0.95, 3) == dirichlet
    assert is_certain(ballots, "window", 0.95, 3) == window


@pytest.mark.parametrize(
    ("done", "most", "step", "after"),
    [(3, 8, 2, [5, 7, 8]), (3, 7, 2, [5, 7]), (3, 3, 2, []), (3, 8, 8, [8]), (1, 4, 1, [2, 3, 4])],
)
def test_rounds_end_at_the_most(done: int, most: int, step: int, after: list[int]) -> None:
    assert list(rounds(done, most, step)) == after


@pytest.mark.parametrize("rule", ["beta", "dirichlet"])
def test_a_vote_that_was_certain_early_is_that_of_forty_samples_as_often_as_promised(rule: str) -> None:
    stopped = agreed = 0
    for answers in population(600, seed=1):
        for count in (3, *rounds(3, 40, 1)):
            if count < 40 and is_certain(answers[:count], rule, 0.95, 0):  # type: ignore[arg-type]
                stopped += 1
                agreed += ranking(answers[:count])[0][0] == ranking(answers)[0][0]
                break
    assert stopped > 300
    assert agreed >= 0.95 * stopped


def population(problems: int, seed: int) -> list[list[str]]:
    """Forty answers a problem; accuracies are Beta(1.1, 0.62), wrong answers Dirichlet(0.5) over eight."""
    chance = random.Random(seed)
    drawn = []
    for _ in range(problems):
        accuracy = chance.betavariate(1.1, 0.62)
        wrong = [chance.gammavariate(0.5, 1) for _ in range(8)]
        weights = [accuracy, *((1 - accuracy) * share / sum(wrong) for share in wrong)]
        drawn.append(chance.choices("012345678", weights, k=40))
    return drawn


@pytest.mark.parametrize(
    ("undecided", "each"),
    [([], 0), ([["1", "2"] * 4], 10), ([["1", "2"] * 4] * 3, 3), ([["1", "2"] * 4] * 11, 0)],
)
def test_what_is_left_undecided_shares_what_the_others_saved(
    tmp_path: Path, undecided: Sequence[list[str | None]], each: int
) -> None:
    tally = Tally(fixed=8)
    for _ in range(2):
        tally.add("certain", ["5", "5", "5"], gold="5")
    for ballots in undecided:
        tally.add("undecided", ballots, gold=None)
    tally.write(tmp_path)
    assert saved_for_each(tmp_path) == each


def test_a_tally_counts_problems_by_their_samples_and_by_how_their_vote_ended(tmp_path: Path) -> None:
    tally = Tally(fixed=8)
    tally.add("certain", ["5", "5", None, "5"], gold="5")
    tally.add("certain", ["5", "5", "5"], gold="7")
    tally.add("undecided", ["5", "7"] * 4, gold="7")
    tally.add("undecided", [None] * 8, gold=None)
    tally.add("unanswered", [None] * 3, gold="5")
    tally.write(tmp_path)
    assert json.loads((tmp_path / "sampling.json").read_text()) == {
        "problems": 5,
        "fixed": 8,
        "samples": 26,
        "counts": {"3": 2, "4": 1, "8": 2},
        "votes": {
            "certain": {"problems": 2, "with_gold": 2, "right": 1},
            "undecided": {"problems": 2, "with_gold": 1, "right": 0},
            "unanswered": {"problems": 1, "with_gold": 1, "right": 0},
        },
    }
