"""What a vote is worth, and a calibrated one, over several models' solutions of the same problems.

    python benchmarks/votes.py [--data ../shared/data]

The GSM8K test items, with four models' solutions of each (gsm8k/example_model_solutions.jsonl), with three answerers'
(subquestions/gsm8k-test.jsonl), and with all seven. The problems are halved as `vote` halves them: the models' weights
and least shares are taken from one half, every line is measured on the other. A tie and a share below the least one are
not covered. Weights: the logarithm of the odds of a model being right, against eight equally likely wrong answers;
Nitzan and Paroush 1982, "Optimal Decision Rules in Uncertain Dichotomous Choice Situations", for more than two answers.
"""

import argparse
import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from pipeline.answers import find, split
from pipeline.answers.comparing import Asked, compare_many
from pipeline.ballots import Weighing, elect
from pipeline.calibration import Calibration, Curve, Point
from pipeline.rows import Outcome, Problem, Solution

DATA = Path(__file__).resolve().parent.parent.parent / "shared" / "data"
PRECISIONS = (0.95, 0.9, 0.85, 0.8, 0.75)
WRONG_ANSWERS = 8


class Group(NamedTuple):
    """The solutions of one problem, with what each is."""

    samples: list[Solution]
    outcomes: list[Outcome]


def four_models(folder: Path) -> Iterator[tuple[Problem, Mapping[str, str]]]:
    """Problems with four models' solutions, by the model's name."""
    for index, item in enumerate(_lines(folder / "gsm8k" / "example_model_solutions.jsonl")):
        gold = item.pop("ground_truth").rpartition("A:")[2].strip()
        question = item.pop("question")
        yield (
            Problem(id=f"gsm8k-{index}", question=question, answer=gold),
            {name: told["solution"] for name, told in item.items()},
        )


def three_answerers(folder: Path) -> Iterator[tuple[Problem, Mapping[str, str]]]:
    """Problems with three answerers' solutions, by the answerer's name."""
    for item in _lines(folder / "subquestions" / "gsm8k-test.jsonl"):
        yield Problem(id=item["id"], question=item["question"], answer=f"{item['gold']:g}"), item["answers"]


def all_seven(folder: Path) -> Iterator[tuple[Problem, Mapping[str, str]]]:
    """Problems with the solutions of both files."""
    answered = {problem.question: told for problem, told in three_answerers(folder)}
    for problem, told in four_models(folder):
        yield problem, {**told, **answered[problem.question]}


def judged(items: Iterator[tuple[Problem, Mapping[str, str]]]) -> list[Group]:
    """Every solution compared with gold."""
    groups = [[_solution(problem, name, text) for name, text in told.items()] for problem, told in items]
    outcomes = compare_many(Asked(row.found, row.problem, row.text) for samples in groups for row in samples)
    return [Group(samples, [next(outcomes) for _ in samples]) for samples in groups]


def vote(groups: Sequence[Group], weighing: Weighing) -> Calibration:
    """Vote on each problem; a winner is what the first sample that gave it is."""
    calibration = Calibration()
    for samples, outcomes in groups:
        election = elect(samples, weighing)
        half = calibration.half(samples[0].problem.id)
        if election.winner is None or election.tied_with is not None:
            half.add(None, right=False)
        else:
            half.add(election.share, outcomes[election.ballots.index(election.winner)] == "right")
    return calibration


def weights(groups: Sequence[Group]) -> dict[str, float]:
    """What each model weighs, by how often it is right."""
    names = [row.teacher for row in groups[0].samples]
    rates = {name: _alone(groups, place).precision for place, name in enumerate(names)}
    return {name: max(0.0, math.log(WRONG_ANSWERS * rate / (1 - rate))) for name, rate in rates.items()}


def print_table(title: str, groups: Sequence[Group]) -> None:
    """One line a way of answering, measured on the half that nothing was chosen on."""
    half = Calibration()
    choice = [group for group in groups if half.half(group.samples[0].problem.id) is half.choice]
    check = [group for group in groups if half.half(group.samples[0].problem.id) is half.check]
    print(f"\n{title}: chosen on {len(choice)} problems, measured on {len(check)}\n")
    print("| answer of | least share | covered, % | of these right, % | 95 % interval | of all right, % |")
    print("|---|---|---|---|---|---|")
    alone = [_alone(check, place) for place in range(len(check[0].samples))]
    for row, point in zip(check[0].samples, alone, strict=True):
        _print(f"{row.teacher} alone", point)
    mean = sum(point.precision for point in alone) / len(alone)
    print(f"| one of them, on average | | 100.0 | {100 * mean:.1f} | | {100 * mean:.1f} |")
    fitted = weights(choice)
    for name, weighing in (("vote", Weighing()), ("vote, models weighed", Weighing(teachers=fitted))):
        calibration = vote(groups, weighing)
        _print(name, calibration.check.at(0))
        for precision in PRECISIONS:
            chosen = calibration.choice.least(precision)
            if chosen is None:
                print(f"| {name}, {precision:g} wanted | none reaches it | 0.0 | | | 0.0 |")
            else:
                _print(f"{name}, {precision:g} wanted", calibration.check.at(chosen.share))
    print("\nweights: " + ", ".join(f"{name} {weight:.2f}" for name, weight in fitted.items()))


def main() -> None:
    """Print a table a data set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    folder = parser.parse_args().data
    print_table("Four models", judged(four_models(folder)))
    print_table("Three answerers", judged(three_answerers(folder)))
    print_table("All seven", judged(all_seven(folder)))


def _solution(problem: Problem, name: str, text: str) -> Solution:
    return Solution(
        id=f"{problem.id}/{name}",
        parent=problem.id,
        problem=problem,
        text=text,
        rationale=split(text)[0],
        found=find(text, problem),
        teacher=name,
        keys=(),
    )


def _alone(groups: Sequence[Group], place: int) -> Point:
    curve = Curve()
    for group in groups:
        curve.add(1.0, group.outcomes[place] == "right")
    return curve.at(0)


def _print(name: str, point: Point) -> None:
    low, high = point.bounds
    share = "" if point.share == 0 else f"{point.share:g}"
    print(
        f"| {name} | {share} | {100 * point.coverage:.1f} | {100 * point.precision:.1f} "
        f"| [{100 * low:.1f}, {100 * high:.1f}] | {100 * point.right / point.problems:.1f} |"
    )


def _lines(path: Path) -> Iterator[dict[str, object]]:
    with path.open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)


if __name__ == "__main__":
    main()
