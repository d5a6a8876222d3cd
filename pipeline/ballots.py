"""How the samples of one problem vote: each with its weight, for the cluster of answers that its own belongs to.

Source  Wang et al. 2023, "Self-Consistency Improves Chain of Thought Reasoning in Language Models", arXiv:2203.11171,
        section 2; `logprob` is the normalised weighted sum of its equation 1 and table 1, where the plain count was
        the best of all
Differs answers are counted together where they are equivalent, not only where they are the same text
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Literal

from pipeline.answers.comparing import clusters
from pipeline.errors import StageError
from pipeline.rows import Solution
from pipeline.solutions import cut_off

Weights = Literal["count", "logprob", "judge"]
"""What a sample weighs: 1; exp of the mean log-probability of its tokens; what a model thinks of it."""

EQUAL = 1e-9
"""Sums of weights that differ by a smaller share are equal."""

LACKING: Mapping[Weights, tuple[str, str]] = {
    "logprob": (
        "log-probability",
        "ask for them with --set 'solve.extra={logprobs: true}', where the provider gives them, "
        "or take --set vote.weights=count",
    ),
    "judge": ("judge_score", "a step `grade` sets it: put one there, or take --set vote.weights=count"),
}


@dataclass(frozen=True)
class Weighing:
    """What a sample weighs in a vote."""

    by: Weights = "count"
    teachers: Mapping[str, float] = field(default_factory=dict)
    """Factor on the samples of a teacher, by its name in the choices; 1 for the others."""

    def weigh(self, samples: Sequence[Solution]) -> list[float]:
        """The weight of each sample of a problem; one that lacks it has the mean of the others, and 1 where all do."""
        own = [self._own(row) for row in samples]
        known = [weight for weight in own if weight is not None]
        mean = fmean(known) if known else 1.0
        return [mean if weight is None else weight for weight in own]

    def knows(self, row: Solution) -> bool:
        """Whether a sample has a weight of its own."""
        return self._own(row) is not None

    def lacking(self, step: str) -> StageError:
        """The error of a step none of whose samples has its weight."""
        noun, hint = LACKING[self.by]
        return StageError(f"the vote weighs each sample by its {noun}, and none that {step!r} holds has one", hint)

    def _own(self, row: Solution) -> float | None:
        of_teacher = self.teachers.get(row.teacher, 1.0)
        if self.by == "count":
            return of_teacher
        if self.by == "judge":
            return None if row.judge_score is None else of_teacher * row.judge_score
        return None if row.logprob is None else of_teacher * math.exp(row.logprob)


@dataclass(frozen=True)
class Election:
    """The vote on one problem."""

    ballots: tuple[str | None, ...]
    """Of each sample, the canonical text of its cluster; None for one that has no answer or was cut off."""
    ranked: tuple[tuple[str, float], ...]
    """Each cluster with its weight, the heaviest first; of equals the one that came first."""
    whole: float
    """Weight of all samples of the problem, those without an answer included."""
    weighed: bool
    """Whether some of the votes have a weight of their own; the others, and else all, weigh alike."""

    @property
    def winner(self) -> str | None:
        """The heaviest cluster; None where nothing has weight."""
        return self.ranked[0][0] if self.ranked and self.ranked[0][1] > 0 else None

    @property
    def tied_with(self) -> str | None:
        """A cluster as heavy as the winner; None where there is none."""
        if self.winner is None or len(self.ranked) == 1:
            return None
        (_, most), (second, weight) = self.ranked[:2]
        return second if math.isclose(most, weight, rel_tol=EQUAL) else None

    @property
    def share(self) -> float:
        """Share of the whole, 0..1, that the winner has."""
        return self.ranked[0][1] / self.whole if self.winner is not None else 0.0


def ballots_of(samples: Sequence[Solution]) -> list[str | None]:
    """The ballot of each sample of one problem; see `Election`."""
    return clusters([None if cut_off(row) else row.found for row in samples], samples[0].problem)


def elect(samples: Sequence[Solution], weighing: Weighing, whole: float = 0.0, lost: int = 0) -> Election:
    """Hold the vote on one problem.

    Args:
        samples: of one problem; at least one.
        weighing: what each weighs.
        whole: weight of all samples that were made for the problem, where some of them no longer stand here.
        lost: samples that were asked for and not made; each weighs as much as the mean of those here.
    """
    ballots = ballots_of(samples)
    weights = weighing.weigh(samples)
    cast: dict[str, list[float]] = {}
    for ballot, weight in zip(ballots, weights, strict=True):
        if ballot is not None:
            cast.setdefault(ballot, []).append(weight)
    sums = [(ballot, math.fsum(parts)) for ballot, parts in cast.items()]
    return Election(
        ballots=tuple(ballots),
        ranked=tuple(sorted(sums, key=lambda item: -item[1])),
        whole=max(whole, math.fsum(weights) * (1 + lost / len(samples))),
        weighed=any(ballot and weighing.knows(row) for row, ballot in zip(samples, ballots, strict=True)),
    )
