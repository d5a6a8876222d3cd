"""When a problem has been sampled enough: the stopping rules of adaptive sampling, and what they came to in a step.

Source  beta, dirichlet: Aggarwal et al. 2023, "Let's Sample Step by Step: Adaptive-Consistency for Efficient Reasoning
        and Coding with LLMs", arXiv:2305.11860, section 3; window: Li et al. 2024, "Escape Sky-high Cost:
        Early-stopping Self-Consistency for Multi-step Reasoning", arXiv:2401.10480, section 3
Differs both probabilities are worked out exactly, in whole numbers, where the paper integrates numerically; the window
        holds the latest samples, which are the paper's windows where first round, further rounds and window are of
        one size
"""

import json
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Literal, get_args

from pipeline.jsonl import write_json

SAMPLING = "sampling.json"
"""What sampling came to, beside a step's rows."""

StopRule = Literal["beta", "dirichlet", "window"]

Outcome = Literal["certain", "undecided", "unanswered"]
"""How the vote on a problem ended; unanswered is one of which nothing came back."""

Ballot = str | None
"""The answer of one sample in canonical form; None where it has none that can be read."""


def ranking(ballots: Sequence[Ballot]) -> list[tuple[str, int]]:
    """Answers with their votes, most votes first; of equals the one that came first. No answer is no vote."""
    return Counter(ballot for ballot in ballots if ballot is not None).most_common()


def rounds(done: int, most: int, step: int) -> Iterator[int]:
    """How many samples there are after each further round of `step`, the last one ending at `most`."""
    yield from range(done + step, most, step)
    if most > done:
        yield most


def is_certain(ballots: Sequence[Ballot], rule: StopRule, confidence: float, window: int) -> bool:
    """Whether more samples are not expected to change who wins the vote.

    A sample without a readable answer is no vote: it makes `beta` and `dirichlet` neither surer nor less sure, and a
    window that holds one does not agree. Without any vote nothing is certain: the probability is a half.

    Args:
        ballots: of the samples so far, in the order in which they were asked.
        rule: `beta` asks how likely the first answer is to beat the second, `dirichlet` to beat each other one;
            `window` whether the latest samples agree wholly.
        confidence: least probability for the first two, above 0.5.
        window: samples that must agree for the third.
    """
    if rule == "window":
        latest = ballots[-window:]
        return len(latest) == window and latest[0] is not None and len(set(latest)) == 1
    votes = tuple(count for _, count in ranking(ballots))
    return beats_second(votes) >= confidence and (rule == "beta" or beats_all(votes) >= confidence)


def beats_second(votes: tuple[int, ...]) -> float:
    """P(p1 > p2) for the two most frequent answers, p1 / (p1 + p2) ~ Beta(v1 + 1, v2 + 1).

    Beta's distribution function at 1/2 is a tail of the binomial distribution, which is a sum of whole numbers.

    Args:
        votes: of each answer, most first; an answer that stands alone is held against one that nobody gave.
    """
    first, second = (*votes, 0, 0)[:2]
    tosses = first + second + 1
    return sum(math.comb(tosses, heads) for heads in range(first + 1)) / (1 << tosses)


@lru_cache(maxsize=4096)
def beats_all(votes: tuple[int, ...]) -> float:
    """P(p1 is the largest) under Dirichlet(v + 1); never more than `beats_second`.

    The shares are independent Gamma(v + 1) draws over their sum, so this is the integral of the first one's density
    times the distribution functions of the others. With whole shapes a distribution function is
    1 - exp(-x) (1 + x + ... + x^v / v!), so the product is a sum of terms exp(-t x) x^d / d!, each of which
    integrates to a fraction.

    Args:
        votes: as in `beats_second`.
    """
    first, *others = (*votes, 0)[: max(2, len(votes))]
    terms: Counter[tuple[int, int]] = Counter({(0, 0): 1})
    for count in others:
        for (t, d), factor in list(terms.items()):
            for power in range(count + 1):
                terms[t + 1, d + power] -= factor * math.comb(d + power, power)
    whole = (Fraction(factor * math.comb(first + d, d), (1 + t) ** (first + 1 + d)) for (t, d), factor in terms.items())
    return float(sum(whole))


@dataclass
class Vote:
    """Problems whose vote ended alike."""

    problems: int = 0
    with_gold: int = 0
    """Of these, the ones with a gold answer."""
    right: int = 0
    """Of those, the ones whose winner is the gold answer, compared as canonical text."""


@dataclass
class Tally:
    """What adaptive sampling came to over the problems of one step."""

    fixed: int
    """Samples a problem that would be asked without it."""
    counts: Counter[int] = field(default_factory=Counter)
    """Samples asked for a problem -> problems."""
    votes: dict[Outcome, Vote] = field(default_factory=lambda: {outcome: Vote() for outcome in get_args(Outcome)})

    def add(self, outcome: Outcome, ballots: Sequence[Ballot], gold: Ballot) -> None:
        """Count one problem, at its end."""
        self.counts[len(ballots)] += 1
        vote = self.votes[outcome]
        vote.problems += 1
        vote.with_gold += gold is not None
        vote.right += gold is not None and any(winner == gold for winner, _ in ranking(ballots)[:1])

    def write(self, folder: Path) -> None:
        """Write `sampling.json`."""
        told = {
            "problems": self.counts.total(),
            "fixed": self.fixed,
            "samples": sum(samples * problems for samples, problems in self.counts.items()),
            "counts": {str(samples): self.counts[samples] for samples in sorted(self.counts)},
            "votes": {outcome: asdict(vote) for outcome, vote in self.votes.items()},
        }
        write_json(folder / SAMPLING, told)


def saved_for_each(folder: Path) -> int:
    """What the problems of a finished step saved, in samples, shared out evenly over those that it left undecided.

    A step that did not sample adaptively saved nothing.
    """
    if not (folder / SAMPLING).is_file():
        return 0
    told = json.loads((folder / SAMPLING).read_bytes())
    saved: int = told["problems"] * told["fixed"] - told["samples"]
    undecided: int = told["votes"]["undecided"]["problems"]
    return saved // undecided if undecided else 0
