"""Adaptive sampling against a fixed number of samples: how many samples a problem takes, how often the vote is right.

    python benchmarks/adaptive_sampling.py [--problems 10000] [--first 3] [--step 1]

Two populations of problems. A problem has an accuracy, drawn from a beta distribution, and eight wrong answers that
share the rest, drawn from Dirichlet(0.5). Its samples are drawn once, so every rule sees the same ones, and the rules
are those that `solve` uses. The gain is that of the vote over the fixed number, in points.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from pipeline.sampling import StopRule, is_certain, ranking, rounds

POPULATIONS = {"Beta(1.1, 0.62)": (1.1, 0.62), "Beta(0.8, 1.8)": (0.8, 1.8)}
WRONG_ANSWERS = 8
MOST = 40
CONFIDENCES = (0.8, 0.85, 0.9, 0.95, 0.97, 0.99)
WINDOWS = (3, 4, 5, 6, 8)
GOLD = "0"


def population(a: float, b: float, problems: int, seed: int) -> list[list[str]]:
    """The answers of each problem's samples; "0" is the right one."""
    import numpy

    draws = numpy.random.default_rng(seed)
    accuracies = draws.beta(a, b, problems)
    shares = draws.dirichlet([0.5] * WRONG_ANSWERS, problems) * (1 - accuracies)[:, None]
    bounds = numpy.concatenate([accuracies[:, None], shares], axis=1).cumsum(axis=1)
    places = (draws.random((problems, MOST))[:, :, None] > bounds[:, None, :-1]).sum(axis=2)
    return [[str(place) for place in row] for row in places.tolist()]


def sampled(answers: Sequence[str], first: int, step: int, rule: StopRule, confidence: float, window: int) -> list[int]:
    """How many samples there were after each round, up to the round after which the rule was certain."""
    passed = []
    for count in (first, *rounds(first, MOST, step)):
        passed.append(count)
        if is_certain(answers[:count], rule, confidence, window):
            break
    return passed


def print_rows(problems: Sequence[Sequence[str]], first_round: int, step: int) -> None:
    """One line a rule and threshold."""
    fixed = sum(ranking(answers)[0][0] == GOLD for answers in problems) / len(problems)
    print(f"| fixed | | {MOST:.2f} | 1.0 | {100 * fixed:.2f} | | 1.0 |")
    settings: list[tuple[StopRule, float, int, int, int]] = [
        (rule, confidence, 0, first_round, step) for rule in ("beta", "dirichlet") for confidence in CONFIDENCES
    ]
    settings += [("window", 0.0, window, window, window) for window in WINDOWS]
    for rule, confidence, window, first, further in settings:
        passed = [sampled(answers, first, further, rule, confidence, window) for answers in problems]
        asked = sum(one[-1] for one in passed) / len(problems)
        right = sum(ranking(answers[: one[-1]])[0][0] == GOLD for answers, one in zip(problems, passed, strict=True))
        share = right / len(problems)
        turns = sum(len(one) for one in passed) / len(problems)
        print(
            f"| {rule} | {window or confidence} | {asked:.2f} | {MOST / asked:.1f} | {100 * share:.2f} "
            f"| {100 * (share - fixed):+.2f} | {turns:.1f} |"
        )


def main() -> None:
    """Print a table a population."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=3, help="samples of the first round under beta and dirichlet")
    parser.add_argument("--step", type=int, default=1, help="samples of a further round under beta and dirichlet")
    options = parser.parse_args()
    for name, (a, b) in POPULATIONS.items():
        print(f"\n{options.problems:,} problems of accuracy {name}, rounds of {options.first}, then {options.step}\n")
        print("| rule | confidence or window | samples a problem | times fewer | vote right, % | gain | rounds |")
        print("|---|---|---|---|---|---|---|")
        print_rows(population(a, b, options.problems, seed=0), options.first, options.step)


if __name__ == "__main__":
    main()
