"""Keep the solutions whose answer is right; what cannot be judged is carried on and says so.

Reads   Solution
Writes  Solution with its verdict, right or unverifiable; drops carry cut_off, wrong_answer or no_answer
Source  Yuan et al. 2023, "Scaling Relationship on Learning Mathematical Reasoning with Large Language Models",
        arXiv:2308.01825: rejection sampling keeps the reasoning paths that reach the gold answer
"""

from collections.abc import Iterator

from pipeline.answers import compare
from pipeline.rows import Dropped, Solution
from pipeline.solutions import cut_off
from pipeline.stage import Rows, Stage, Work


class Check(Stage):
    """Rejection sampling by the gold answer."""

    version = 2
    reads = Solution
    writes = Solution

    def run(self, rows: Rows[Solution], work: Work) -> Iterator[Solution | Dropped]:
        """Judge one solution after another."""
        work.progress.total(len(rows))
        for row in rows:
            judged = self._judged(row)
            work.progress.advance()
            yield judged

    def _judged(self, row: Solution) -> Solution | Dropped:
        if (ended := cut_off(row)) is not None:
            return Dropped(id=row.id, reason="cut_off", detail=ended)
        verdict = compare(row.found, row.problem)
        if verdict != "wrong":
            return row.model_copy(update={"verdict": verdict})
        if row.found is None:
            return Dropped(id=row.id, reason="no_answer")
        gold = "" if row.problem.answer is None else f", gold {row.problem.answer[:60]!r}"
        return Dropped(id=row.id, reason="wrong_answer", detail=f"found {row.found[:60]!r}{gold}")
