"""Keep the solutions whose answer is right; what cannot be judged is carried on and says so.

Reads   Solution, the samples of one problem standing together
Writes  Solution with its verdict, right or unverifiable, its pass_rate and its wrong_steps; drops carry cut_off,
        wrong_answer, no_answer or wrong_step
Source  Yuan et al. 2023, "Scaling Relationship on Learning Mathematical Reasoning with Large Language Models",
        arXiv:2308.01825: rejection sampling keeps the reasoning paths that reach the gold answer
"""

from collections.abc import Iterator, Sequence
from itertools import groupby, tee
from pathlib import Path
from typing import Literal

from pipeline.answers import steps
from pipeline.answers.comparing import Asked, compare_many
from pipeline.rows import Dropped, Outcome, Problem, Solution
from pipeline.solutions import cut_off
from pipeline.stage import Rows, Stage, Work

NOTHING = Asked(None, Problem(id="", question=""))
"""Asked in the place of a reply that was cut off: there is nothing to compare."""


class Check(Stage):
    """Rejection sampling by the gold answer."""

    version = 3
    reads = Solution
    writes = Solution

    wrong_steps: Literal["mark", "drop"] = "mark"
    """What is done about a solution with a step of arithmetic that does not hold (`3 + 4 = 8`), whatever its answer:
    the row says so, or it is dropped."""

    def run(self, rows: Rows[Solution], work: Work) -> Iterator[Solution | Dropped]:
        """Judge the samples of one problem after another."""
        work.progress.total(len(rows))
        without_gold = unreadable = 0
        for _, judged in groupby(_outcomes(rows, work.base), key=lambda item: item[0].problem.id):
            group = list(judged)
            pass_rate = _pass_rate(group)
            for row, outcome in group:
                made = self._judged(row, outcome, pass_rate)
                if outcome == "unverifiable" and isinstance(made, Solution):
                    without_gold += not row.problem.has_gold
                    unreadable += row.problem.has_gold
                work.progress.advance()
                yield made
        if without_gold or unreadable:
            work.progress.say(_told(without_gold, unreadable))

    def _judged(self, row: Solution, outcome: Outcome, pass_rate: float | None) -> Solution | Dropped:
        if (ended := cut_off(row)) is not None:
            return Dropped(id=row.id, reason="cut_off", detail=ended)
        if outcome == "wrong" and row.found is None:
            return Dropped(id=row.id, reason="no_answer")
        if outcome == "wrong":
            gold = "" if row.problem.answer is None else f", gold {row.problem.answer[:60]!r}"
            return Dropped(id=row.id, reason="wrong_answer", detail=f"found {str(row.found)[:60]!r}{gold}")
        wrong = steps.wrong_steps(row.rationale)
        if wrong and self.wrong_steps == "drop":
            return Dropped(id=row.id, reason="wrong_step", detail=wrong[0][:60])
        return row.model_copy(update={"verdict": outcome, "pass_rate": pass_rate, "wrong_steps": wrong})


def _outcomes(rows: Rows[Solution], base: Path) -> Iterator[tuple[Solution, Outcome]]:
    """Each row with what its answer is; of one that was cut off that is unverifiable."""
    ours, theirs = tee(rows)
    asked = (NOTHING if cut_off(row) else Asked(row.found, row.problem, row.text) for row in theirs)
    return zip(ours, compare_many(asked, base=base), strict=True)


def _pass_rate(group: Sequence[tuple[Solution, Outcome]]) -> float | None:
    """Share of the samples that are right; None where none of them could be judged."""
    outcomes = [outcome for _, outcome in group]
    known = len(outcomes) - outcomes.count("unverifiable")
    return outcomes.count("right") / len(outcomes) if known else None


def _told(without_gold: int, unreadable: int) -> str:
    why = [f"{without_gold} have no gold answer"] if without_gold else []
    why += [f"{unreadable} have gold that no rule can read, or a check that broke or hit a limit"] if unreadable else []
    return f"{without_gold + unreadable} solutions cannot be judged: {', '.join(why)}"
