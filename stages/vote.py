"""Keep the solutions whose answer won the vote among the samples of their problem.

Reads   Solution, the samples of one problem standing together; looks into the step that plays `calibration`, the one
        that asked for the samples
Writes  Solution with its vote_share, the winners; drops carry no_answer, tie, no_majority, abstained (a share
        below the calibrated one) or outvoted. Beside them, where problems with gold were looked into, calibration.json
Source  Wang et al. 2023, "Self-Consistency Improves Chain of Thought Reasoning in Language Models",
        arXiv:2203.11171, section 2
Differs the paper keeps the answer; this keeps the reasoning paths that led to it, and only where enough of them did
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Annotated, Literal

from pydantic import Field

from pipeline.ballots import EQUAL, Election, Weighing, Weights, ballots_of, elect
from pipeline.calibration import Calibration, Point, calibrate, least_problems
from pipeline.errors import StageError, UsageError
from pipeline.rows import Dropped, Solution
from pipeline.stage import Rows, Stage, Work


class Vote(Stage):
    """Self-consistency."""

    version = 3
    reads = Solution
    writes = Solution

    min_share: Annotated[float, Field(ge=0, le=1)] | Literal["auto"] = 0.5
    """Least share that the winner must have of all samples of its problem, those cut, without an answer or not made
    included. `auto` finds it on the problems with gold: the least one at which `precision` is reached. It holds for
    the others as far as they are of the same kind."""
    precision: float = Field(default=0.95, gt=0, lt=1)
    """Share of the winners that must be right, at the lower end of its 95 % interval, for `auto`."""
    weights: Weights = "count"
    """What a sample weighs: `count` 1, `logprob` exp of the mean log-probability of its tokens, `judge` its
    judge_score. One that lacks it weighs as the others of its problem do on average. For `auto` by `judge`, the step
    that plays `calibration` is a `grade` with `use_gold: false` that judged the samples before `check` did."""
    teacher_weights: Mapping[str, Annotated[float, Field(ge=0)]] = {}
    """Factor on the samples of a teacher, by its name in the choices; 1 for those that are not named."""
    without_gold_only: bool = False
    """Vote only where no sample is known to be right; elsewhere carry on what is right, or equal to it."""

    def run(self, rows: Rows[Solution], work: Work) -> Iterator[Solution | Dropped]:
        """Vote on one problem after another."""
        calibration = self._calibrated(work)
        least = self._least(calibration, work)
        if calibration is not None and calibration.problems:
            calibration.write(work.folder, self.precision, least if least <= 1 else None, self._weighing)
        whole = calibration.whole if calibration else {}
        voted = weighed = False
        work.progress.total(len(rows))
        for name, samples in groupby(rows, key=lambda solution: solution.problem.id):
            group = list(samples)
            if self.without_gold_only and any(row.verdict == "right" for row in group):
                yield from _as_gold_decided(group)
            else:
                election = elect(group, self._weighing, whole.get(name, 0.0))
                voted, weighed = voted or bool(election.ranked), weighed or election.weighed
                yield from self._decide(group, election, least)
            work.progress.advance(len(group))
        if voted and not weighed:
            raise self._weighing.lacking(work.step)

    @property
    def _weighing(self) -> Weighing:
        return Weighing(self.weights, self.teacher_weights)

    def _calibrated(self, work: Work) -> Calibration | None:
        """What the problems with gold say; None where no step plays `calibration`, or one that nobody had judged.

        Raises:
            UsageError: one is needed.
        """
        if self.min_share != "auto" and (self.weights == "judge" or "calibration" not in work.uses):
            return None
        if "calibration" in work.uses:
            return calibrate(work.uses["calibration"], self._weighing, work.base)
        raise UsageError(
            f"{work.step}.min_share is auto, and the recipe names no step to calibrate on",
            'in the recipe, give the vote uses={"calibration": "solve"}, or set a number: '
            f"--set {work.step}.min_share=0.5",
        )

    def _least(self, calibration: Calibration | None, work: Work) -> float:
        """The least share; infinite where none is enough.

        Raises:
            StageError: too few problems with gold to find it on.
        """
        if self.min_share != "auto" or calibration is None:
            return float(self.min_share)
        choice, needed = calibration.choice, least_problems(self.precision)
        if choice.problems < needed:
            raise StageError(
                f"min_share: auto is found on half of the train problems with gold, which are {choice.problems} of "
                f"{calibration.problems}; a precision of {self.precision:g} takes {needed}, all of them right",
                f"give gold answers to {2 * needed} problems or more, lower {work.step}.precision, "
                f"or --set {work.step}.min_share=0.5",
            )
        chosen = choice.least(self.precision)
        if chosen is None:
            best = max(choice.points(), key=lambda point: point.bounds[0], default=choice.at(1))
            work.progress.say(
                f"no share of the vote reaches a precision of {self.precision:g}, so every problem that is voted on is "
                f"abstained from; the best is {_told(best)}"
            )
            return math.inf
        check = calibration.check.at(chosen.share)
        work.progress.say(f"min_share {chosen.share:g}: chosen where {_told(chosen)}; on the other half {_told(check)}")
        if check.bounds[1] < self.precision:
            work.progress.say(
                f"WARNING: the precision of {self.precision:g} does not hold on the other half of the problems with "
                f"gold: at most {check.bounds[1]:.1%} of the winners are right"
            )
        return chosen.share

    def _decide(self, group: Sequence[Solution], election: Election, least: float) -> Iterator[Solution | Dropped]:
        lost = self._lost(election, least)
        for row, ballot in zip(group, election.ballots, strict=True):
            if ballot is None:
                yield Dropped(id=row.id, reason="no_answer")
            elif lost is not None:
                yield Dropped(id=row.id, reason=lost[0], detail=lost[1])
            elif ballot != election.winner:
                yield Dropped(
                    id=row.id, reason="outvoted", detail=f"{_short(ballot)} against {_short(election.winner)}"
                )
            else:
                yield row.model_copy(update={"vote_share": election.share})

    def _lost(self, election: Election, least: float) -> tuple[str, str] | None:
        """Why nobody wins; None where somebody does."""
        winner, second = _short(election.winner), election.tied_with
        if second is not None:
            return "tie", f"{winner} and {_short(second)} have {election.share:.0%} each"
        if election.winner is None or election.share < least - EQUAL:
            wanted = "no share is enough" if least > 1 else f"{least:.0%} wanted at least"
            reason = "abstained" if self.min_share == "auto" else "no_majority"
            return reason, f"{winner} has {election.share:.0%}, {wanted}"
        return None


def _as_gold_decided(group: Sequence[Solution]) -> Iterator[Solution | Dropped]:
    """What is right, and what could not be judged and has the same answer: that is right, too."""
    if all(row.verdict == "right" for row in group):
        yield from group
        return
    ballots = ballots_of(group)
    right = {ballot for row, ballot in zip(group, ballots, strict=True) if row.verdict == "right"}
    for row, ballot in zip(group, ballots, strict=True):
        if row.verdict == "right":
            yield row
        elif ballot is None:
            yield Dropped(id=row.id, reason="no_answer")
        elif row.verdict != "wrong" and ballot in right:
            yield row.model_copy(update={"verdict": "right"})
        else:
            yield Dropped(id=row.id, reason="outvoted", detail=f"{_short(ballot)} beside a right answer")


def _told(point: Point) -> str:
    low, high = point.bounds
    return (
        f"{point.right} of {point.covered} winners are right, {point.precision:.1%} [{low:.1%}, {high:.1%}], "
        f"of {point.problems} problems, {point.coverage:.0%} covered"
    )


def _short(ballot: str | None) -> str:
    return "nothing" if ballot is None else ballot[:60]
