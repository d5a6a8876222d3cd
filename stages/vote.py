"""Keep the solutions whose answer won the vote among the samples of their problem.

Reads   Solution, the samples of one problem standing together
Writes  Solution with its vote_share, the winners; drops carry no_answer, no_majority, tie or outvoted
Source  Wang et al. 2023, "Self-Consistency Improves Chain of Thought Reasoning in Language Models",
        arXiv:2203.11171, section 2
Differs the paper keeps the answer; this keeps the reasoning paths that led to it
"""

from collections.abc import Iterator, Sequence
from itertools import groupby

from pydantic import Field

from pipeline.rows import Dropped, Solution
from pipeline.sampling import ranking
from pipeline.solutions import ballot_of
from pipeline.stage import Rows, Stage, Work


class Vote(Stage):
    """Self-consistency."""

    version = 2
    reads = Solution
    writes = Solution

    min_share: float = Field(default=0.5, ge=0, le=1)
    """Least share of all samples of a problem, those cut or without an answer included, that the winner must have."""
    without_gold_only: bool = False
    """Vote where no gold answer could decide, and pass everything else on as it is."""

    def run(self, rows: Rows[Solution], work: Work) -> Iterator[Solution | Dropped]:
        """Vote on one problem after another."""
        work.progress.total(len(rows))
        for _, samples in groupby(rows, key=lambda solution: solution.problem.id):
            group = list(samples)
            decided = self.without_gold_only and all(row.verdict in ("right", "wrong") for row in group)
            yield from group if decided else self._vote(group)
            work.progress.advance(len(group))

    def _vote(self, group: Sequence[Solution]) -> Iterator[Solution | Dropped]:
        ballots = [ballot_of(row) for row in group]
        (winner, votes), (second, fewer) = [*ranking(ballots), (None, 0), (None, 0)][:2]
        share = votes / len(group)
        tie = 0 < votes == fewer
        for row, ballot in zip(group, ballots, strict=True):
            if ballot is None:
                yield Dropped(id=row.id, reason="no_answer")
            elif tie:
                yield Dropped(id=row.id, reason="tie", detail=f"{votes} votes each for {winner} and {second}")
            elif share < self.min_share:
                yield Dropped(id=row.id, reason="no_majority", detail=f"{winner} has {votes} of {len(group)}")
            elif ballot != winner:
                yield Dropped(id=row.id, reason="outvoted", detail=f"{ballot} against {winner}")
            else:
                yield row.model_copy(update={"vote_share": share})
