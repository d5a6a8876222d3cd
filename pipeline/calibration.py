"""How sure a vote is: precision against coverage over the winner's share, measured on the problems with gold.

The problems with gold are halved by a hash of their id. On one half the least share is chosen whose precision is high
enough at the lower end of its 95 % interval; the other half tells how well that held. Shares are told apart by the
hundredth, so a curve has a hundred points at most, however many problems there are.

    {"precision": 0.95, "chosen": 0.75, "min_share": 0.75, "weights": "count",
     "choice": {"problems": 662, "curve": [{"share": 0.25, "covered": 662, "right": 541, ...}, ...]},
     "check": {"problems": 657, "curve": [...]}}
"""

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby, tee
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.answers.comparing import Asked, compare_many
from pipeline.ballots import EQUAL, Weighing, elect
from pipeline.errors import UsageError
from pipeline.jsonl import StoredRows, write_json
from pipeline.rows import Dropped, Solution
from pipeline.stage import seed_of
from pipeline.statistics import Z_95, wilson

CALIBRATION = "calibration.json"
"""What the calibration came to, beside a vote's rows."""


class Point(NamedTuple):
    """What asking for a least share of the winner comes to."""

    share: float
    covered: int
    """Problems whose winner has that share."""
    right: int
    """Of these, the ones whose winner is right."""
    problems: int
    """All problems that were measured."""

    @property
    def precision(self) -> float:
        """Share of the winners that are right; 0 where there is none."""
        return self.right / self.covered if self.covered else 0.0

    @property
    def bounds(self) -> tuple[float, float]:
        """95 % interval of the precision."""
        return wilson(self.right, self.covered)

    @property
    def coverage(self) -> float:
        """Share of the problems that have such a winner."""
        return self.covered / self.problems if self.problems else 0.0

    def told(self) -> dict[str, float]:
        """For a file."""
        low, high = self.bounds
        figures = {"precision": self.precision, "low": low, "high": high, "coverage": self.coverage}
        return {"share": self.share, "covered": self.covered, "right": self.right, **figures}


@dataclass
class Curve:
    """Precision against coverage on some problems."""

    problems: int = 0
    _covered: Counter[int] = field(default_factory=Counter)
    _right: Counter[int] = field(default_factory=Counter)

    def add(self, share: float | None, right: bool) -> None:
        """Count one problem.

        Args:
            share: of its winner; None where it has none, or a tie.
            right: whether the winner is right.
        """
        self.problems += 1
        if share is not None:
            self._covered[_hundredths(share)] += 1
            self._right[_hundredths(share)] += right

    def at(self, share: float) -> Point:
        """What a least share comes to, to the hundredth."""
        least = _hundredths(share)
        covered = sum(count for place, count in self._covered.items() if place >= least)
        right = sum(count for place, count in self._right.items() if place >= least)
        return Point(least / 100, covered, right, self.problems)

    def points(self) -> list[Point]:
        """One for each share that was met, the least first."""
        return [self.at(place / 100) for place in sorted(self._covered)]

    def least(self, precision: float) -> Point | None:
        """The least share whose precision is at least this at the lower end of its interval; None where none is."""
        return next((point for point in self.points() if point.bounds[0] >= precision), None)

    def told(self) -> dict[str, Any]:
        """For a file."""
        return {"problems": self.problems, "curve": [point.told() for point in self.points()]}


@dataclass
class Calibration:
    """The two halves of the problems with gold."""

    choice: Curve = field(default_factory=Curve)
    """A least share is chosen on these."""
    check: Curve = field(default_factory=Curve)
    """And checked on these."""
    whole: dict[str, float] = field(default_factory=dict)
    """Problem, with gold or not -> weight of all samples that were asked for it."""

    @property
    def problems(self) -> int:
        """All problems that were measured."""
        return self.choice.problems + self.check.problems

    def half(self, problem: str) -> Curve:
        """The half that a problem belongs to, by a hash of its id."""
        return self.check if seed_of("calibration", problem) % 2 else self.choice

    def write(self, folder: Path, precision: float, min_share: float | None, weighing: Weighing) -> None:
        """Write `calibration.json`.

        Args:
            folder: of the vote.
            precision: that was wanted.
            min_share: least share that the vote asks for; None where it abstains from all.
            weighing: of its samples.
        """
        chosen = self.choice.least(precision)
        told = {
            "precision": precision,
            "chosen": chosen and chosen.share,
            "min_share": min_share,
            "weights": weighing.by,
            "teacher_weights": dict(weighing.teachers),
            "choice": self.choice.told(),
            "check": self.check.told(),
        }
        write_json(folder / CALIBRATION, told)


def least_problems(precision: float) -> int:
    """How many problems, all of them right, bring the lower end of the 95 % interval to this precision."""
    return math.ceil(Z_95**2 * precision / (1 - precision))


def calibrate(folder: Path, weighing: Weighing, base: Path) -> Calibration:
    """Vote on each problem of a step that made samples, and compare the winner with gold.

    A sample that was asked for and not made counts as one without an answer. A problem of which no sample was made
    cannot be known here, one whose winner no rule can judge is left out.

    Args:
        folder: of that step.
        weighing: of its samples.
        base: folder that paths in the choices are relative to.

    Raises:
        StageError: no sample has its weight.
        UsageError: the wrong answers have been dropped from these samples.
    """
    calibration = Calibration()
    ours, theirs = tee(_polls(folder, weighing))
    outcomes = compare_many((poll.asked for poll in theirs), base=base)
    for poll, outcome in zip(ours, outcomes, strict=True):
        name = poll.asked.problem.id
        calibration.whole[name] = poll.whole
        if outcome != "unverifiable":
            calibration.half(name).add(poll.share, outcome == "right")
    return calibration


class _Poll(NamedTuple):
    """The vote on one problem, and what has to be known of it."""

    share: float | None
    whole: float
    asked: Asked
    """Whether the winner is right; without a winner, whether there is a gold answer."""


def _polls(folder: Path, weighing: Weighing) -> Iterator[_Poll]:
    lost, voted, weighed = _lost(folder), False, False
    for name, samples in groupby(StoredRows([folder / "rows.jsonl"], Solution), key=lambda row: row.problem.id):
        group = list(samples)
        if any(row.verdict is not None for row in group):
            raise UsageError(
                f"a vote cannot be calibrated on {folder.name!r}: its samples were held against the gold answers, "
                "the wrong ones are gone",
                'in the recipe, let uses={"calibration": ...} of the vote name the step that asked for the samples, '
                "or a `grade` behind it with use_gold=False",
            )
        election = elect(group, weighing, lost=lost[name])
        voted, weighed = voted or bool(election.ranked), weighed or election.weighed
        if election.winner is None or election.tied_with is not None:
            yield _Poll(None, election.whole, Asked(None, group[0].problem))
            continue
        first = group[election.ballots.index(election.winner)]
        yield _Poll(election.share, election.whole, Asked(first.found, first.problem, first.text))
    if voted and not weighed:
        raise weighing.lacking(folder.name)


def _lost(folder: Path) -> Counter[str]:
    """Problem -> samples that were asked for and not made."""
    with (folder / "dropped.jsonl").open("rb") as lines:
        dropped = (Dropped.model_validate_json(line) for line in lines)
        return Counter(row.parent for row in dropped if row.parent is not None)


def _hundredths(share: float) -> int:
    return math.floor(100 * share + EQUAL)
