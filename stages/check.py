"""Keep the solutions whose answer is right; what cannot be judged is carried on and says so.

Reads   Solution
Writes  Solution with its verdict, right or unverifiable; drops carry wrong_answer or no_answer
Source  Yuan et al. 2023, "Scaling Relationship on Learning Mathematical Reasoning with Large Language Models",
        arXiv:2308.01825: rejection sampling keeps the reasoning paths that reach the gold answer
"""

from collections.abc import Iterator

from pipeline.answers import judge
from pipeline.rows import Dropped, Solution
from pipeline.stage import Rows, Stage, Work


class Check(Stage):
    """Rejection sampling by the gold answer."""

    reads = Solution
    writes = Solution

    def run(self, rows: Rows[Solution], work: Work) -> Iterator[Solution | Dropped]:
        """Judge one solution after another."""
        work.progress.total(len(rows))
        for row in rows:
            verdict = judge(row.found, row.problem)
            work.progress.advance()
            if verdict != "wrong":
                yield row.model_copy(update={"verdict": verdict})
            elif row.found is None:
                yield Dropped(id=row.id, reason="no_answer")
            else:
                gold = "" if row.problem.answer is None else f", gold {row.problem.answer[:60]!r}"
                yield Dropped(id=row.id, reason="wrong_answer", detail=f"found {row.found[:60]!r}{gold}")
