"""What predictions come to: for each model, each set of held-out problems and all of them, with the student's gain."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

from pipeline.answers.comparing import clusters
from pipeline.rows import Prediction, Problem
from pipeline.statistics import mean_interval, paired_gain, wilson


@dataclass(frozen=True)
class Measured:
    """What one model's samples for one problem came to, in as few bytes as the scores need."""

    source: str
    """The set that the problem is of."""
    samples: int
    right: int
    """Of the samples."""
    majority_right: bool
    """Whether the answer that most of them gave is right; of answers that are given as often, the first."""
    found: int
    cut: int
    tokens: int
    """Of those samples of which it is known."""
    counted: int
    """How many those are."""

    @property
    def share(self) -> float:
        """Of the samples, those that are right."""
        return self.right / self.samples


def measure(problem: Problem, predictions: Sequence[Prediction]) -> Measured:
    """Count one model's predictions for one problem, at least one."""
    counts = [row.tokens for row in predictions if row.tokens is not None]
    return Measured(
        source=problem.source,
        samples=len(predictions),
        right=sum(row.right for row in predictions),
        majority_right=_majority_right(problem, predictions),
        found=sum(row.found is not None for row in predictions),
        cut=sum(row.cut for row in predictions),
        tokens=sum(counts),
        counted=len(counts),
    )


def scores(measured: Mapping[str, Sequence[Measured]]) -> dict[str, Any]:
    """What `scores.json` holds; the gains on several sets have intervals that hold all at once.

    Args:
        measured: model -> problem by problem, in the same order for all; `student` and `base` at least.
    """
    sets = dict.fromkeys(one.source for one in measured["student"])
    whole = _compared(measured)
    if len(sets) < 2:
        return whole
    return {**whole, "sets": {name: _compared(_of_set(measured, name), len(sets)) for name in sets}}


def _compared(measured: Mapping[str, Sequence[Measured]], comparisons: int = 1) -> dict[str, Any]:
    """All models on the same problems; the gain is that over the better base."""
    shares = {name: [one.share for one in problems] for name, problems in measured.items()}
    better = max((name for name in ("base", "base_few_shot") if name in shares), key=lambda name: sum(shares[name]))
    gain = paired_gain(shares[better], shares["student"], comparisons=comparisons)
    found = {
        "problems": len(shares["student"]),
        "samples": measured["student"][0].samples,
        "models": {name: _score(problems) for name, problems in measured.items()},
        "gain": {"over": better, **asdict(gain), "proven": gain.low > 0},
    }
    if "teacher" in shares:
        found["to_teacher"] = asdict(paired_gain(shares["teacher"], shares["student"], comparisons=comparisons))
    return found


def _score(problems: Sequence[Measured]) -> dict[str, Any]:
    n, samples = len(problems), sum(one.samples for one in problems)
    right, counted = sum(one.right for one in problems), sum(one.counted for one in problems)
    shares = [one.share for one in problems]
    is_single = samples == n
    low, high = wilson(right, n) if is_single else mean_interval(shares)
    return {
        "n": n,
        "right": right,
        "accuracy": fmean(shares),
        "low": low,
        "high": high,
        **({} if is_single else {"majority": _majority(problems)}),
        "found_share": sum(one.found for one in problems) / samples,
        "cut_share": sum(one.cut for one in problems) / samples,
        "mean_tokens": sum(one.tokens for one in problems) / counted if counted else None,
    }


def _majority(problems: Sequence[Measured]) -> dict[str, Any]:
    right = sum(one.majority_right for one in problems)
    low, high = wilson(right, len(problems))
    return {"right": right, "accuracy": right / len(problems), "low": low, "high": high}


def _majority_right(problem: Problem, predictions: Sequence[Prediction]) -> bool:
    if len(predictions) == 1:
        return predictions[0].right
    ballots = clusters([row.found for row in predictions], problem)
    votes = Counter(ballot for ballot in ballots if ballot is not None)
    if not votes:
        return False
    winner, _ = votes.most_common(1)[0]
    return predictions[ballots.index(winner)].right


def _of_set(measured: Mapping[str, Sequence[Measured]], name: str) -> dict[str, list[Measured]]:
    return {model: [one for one in problems if one.source == name] for model, problems in measured.items()}
