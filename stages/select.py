"""Choose among the right solutions; with no option set, all are passed on.

Reads   Solution, the samples of one problem standing together
Writes  Solution; drops carry too_easy, too_hard, near_duplicate, surplus or duplicate
Source  difficulty by pass rate: Ye et al. 2025, "LIMO: Less is More for Reasoning", arXiv:2502.03387;
        different reasoning paths of one problem: Yuan et al. 2023, "Scaling Relationship on Learning Mathematical
        Reasoning with Large Language Models", arXiv:2308.01825; duplicates over the whole set: Lee et al. 2022,
        arXiv:2107.06499
Differs paths are compared by their words, not by their equations; the pass rate is that of the teacher's own samples
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Literal

from pydantic import Field

from pipeline.rows import Dropped, Solution
from pipeline.similar.diversity import most_diverse
from pipeline.similar.duplicates import exact_firsts, near_firsts
from pipeline.similar.words import jaccard, shingles
from pipeline.stage import Rows, Stage, Work

SHINGLE = 3
"""Words in a row by which solutions of one problem are compared: they are short, and often differ by a number."""
TEMPLATE_SHARE = 0.5
"""Share of near duplicates from which on they tell of a template rather than of copies."""

Chosen = Callable[[], Iterator[Solution | Dropped]]
"""Begins the rows anew, those that are already dropped among them."""


class Select(Stage):
    """Fewer, but worth more."""

    reads = Solution
    writes = Solution

    pass_rate_min: float | None = Field(default=None, ge=0, le=1)
    """Least share of all samples of its problem that are right, or without gold that agree. None takes the hardest."""
    pass_rate_max: float | None = Field(default=None, ge=0, le=1)
    """Largest such share. None takes the easiest."""
    near_duplicates: float | None = Field(default=None, gt=0, le=1)
    """Least Jaccard similarity of the word 3-grams of two solutions of one problem, numbers included, for the later one
    to be dropped: 0.8. None keeps near ones."""
    keep: int | None = Field(default=None, ge=1)
    """Most solutions of one problem, the most different ones. None keeps all."""
    duplicates: Literal["exact", "near"] | None = None
    """Keep the first of several solutions, over the whole set, that have the same question and solution in words
    (`exact`), or nearly the same (`near`; a million take 300 MB). None keeps all."""
    duplicate_share: float = Field(default=0.8, gt=0, le=1)
    """Least Jaccard similarity of the word 5-grams of near ones, as estimated by MinHash."""

    def run(self, rows: Rows[Solution], work: Work) -> Iterator[Solution | Dropped]:
        """Choose by difficulty, then within each problem, then over the whole set."""

        def of_problems() -> Iterator[Solution | Dropped]:
            for _, samples in groupby(rows, key=lambda row: row.problem.id):
                yield from self._of_problem(list(samples))

        work.progress.total(len(rows))
        self._tell_unknown(rows, work)
        chosen = self._distinct(of_problems, len(rows), work)
        for row in chosen():
            work.progress.advance()
            yield row

    def _tell_unknown(self, rows: Rows[Solution], work: Work) -> None:
        if self.pass_rate_min is None and self.pass_rate_max is None:
            return
        unknown = sum(_pass_rate(row) is None for row in rows)
        if unknown:
            work.progress.say(f"{unknown} of {len(rows)} solutions have neither a pass rate nor a vote: all passed on")

    def _of_problem(self, samples: Sequence[Solution]) -> Iterator[Solution | Dropped]:
        faults = {row.id: fault for row in samples if (fault := self._difficulty(row))}
        left = [row for row in samples if row.id not in faults]
        if self.near_duplicates is not None or self.keep is not None:
            said = {row.id: shingles(f"{row.thoughts}\n{row.rationale}", SHINGLE) for row in left}
            faults.update(self._near(left, said))
            left = [row for row in left if row.id not in faults]
            faults.update(self._surplus(left, said))
        for row in samples:
            yield faults.get(row.id, row)

    def _difficulty(self, row: Solution) -> Dropped | None:
        rate = _pass_rate(row)
        if rate is not None and self.pass_rate_max is not None and rate > self.pass_rate_max:
            return Dropped(id=row.id, reason="too_easy", detail=f"{rate:.0%}, {self.pass_rate_max:.0%} wanted at most")
        if rate is not None and self.pass_rate_min is not None and rate < self.pass_rate_min:
            return Dropped(id=row.id, reason="too_hard", detail=f"{rate:.0%}, {self.pass_rate_min:.0%} wanted at least")
        return None

    def _near(self, samples: Sequence[Solution], said: dict[str, frozenset[tuple[str, ...]]]) -> dict[str, Dropped]:
        """What is too near to an earlier one that stays."""
        faults: dict[str, Dropped] = {}
        stay: list[str] = []
        if self.near_duplicates is None:
            return faults
        for row in samples:
            likeness = ((name, jaccard(said[row.id], said[name])) for name in stay)
            like, share = max(likeness, key=itemgetter(1), default=("", -1.0))
            if share >= self.near_duplicates:
                faults[row.id] = Dropped(id=row.id, reason="near_duplicate", detail=f"{share:.0%} like {like}")
            else:
                stay.append(row.id)
        return faults

    def _surplus(self, samples: Sequence[Solution], said: dict[str, frozenset[tuple[str, ...]]]) -> dict[str, Dropped]:
        if self.keep is None or len(samples) <= self.keep:
            return {}
        taken = most_diverse([said[row.id] for row in samples], self.keep)
        stay = {samples[place].id for place in taken}
        detail = f"{self.keep} others are more different"
        return {row.id: Dropped(id=row.id, reason="surplus", detail=detail) for row in samples if row.id not in stay}

    def _distinct(self, chosen: Chosen, count: int, work: Work) -> Chosen:
        """Drop what repeats an earlier one over the whole set."""
        if self.duplicates is None:
            return chosen
        texts = (_whole(row) for row in chosen() if isinstance(row, Solution))
        near = self.duplicates == "near"
        firsts = near_firsts(texts, count, self.duplicate_share) if near else exact_firsts(texts)
        repeated = [first for place, first in enumerate(firsts.tolist()) if first != place]
        named = set(repeated)
        if near and len(repeated) > TEMPLATE_SHARE * len(firsts):
            work.progress.say(
                f"{len(repeated)} of {len(firsts)} solutions are near an earlier one: that is a template's way, "
                f"not that of copies; {work.step}.duplicates=exact keeps what differs"
            )

        def distinct() -> Iterator[Solution | Dropped]:
            names: dict[int, str] = {}
            places = iter(range(len(firsts)))
            for row in chosen():
                if isinstance(row, Dropped):
                    yield row
                    continue
                place = next(places)
                first = int(firsts[place])
                if first in named:
                    names.setdefault(first, row.id)
                repeats = first != place
                yield Dropped(id=row.id, reason="duplicate", detail=f"repeats {names[first]}") if repeats else row

        return distinct


def _pass_rate(row: Solution) -> float | None:
    return row.pass_rate if row.pass_rate is not None else row.vote_share


def _whole(row: Solution) -> str:
    """All that a student would learn of it."""
    return "\n".join([row.problem.question, *row.problem.choices, row.thoughts, row.text])
