"""Drop the solutions that nobody should learn from, whatever their answer.

Reads   Solution
Writes  Solution; drops carry cut_off, empty, no_answer, too_long, no_reasoning or repetition
"""

from collections.abc import Iterator

from pydantic import Field

from pipeline.rows import Dropped, Solution
from pipeline.solutions import cut_off
from pipeline.stage import Rows, Stage, Work

WINDOW = 8
"""Words in a piece of text that is counted to find loops."""


class Filter(Stage):
    """Form, not content."""

    reads = Solution
    writes = Solution

    require_answer: bool = True
    """Drop a solution in which no final answer was found."""
    max_characters: int | None = Field(default=None, ge=1)
    """Longest thoughts and text together; None sets no limit. The step `train` has one of its own, in tokens."""
    min_rationale_words: int = Field(default=3, ge=0)
    """Least words of reasoning, thoughts included; 0 lets bare answers through."""
    max_repeated_share: float = Field(default=0.3, ge=0, le=1)
    """Largest share of word 8-grams that may have stood in the text before; 1 lets loops through."""

    def run(self, rows: Rows[Solution], work: Work) -> Iterator[Solution | Dropped]:
        """Give each solution its first fault, or pass it on."""
        work.progress.total(len(rows))
        for row in rows:
            fault = self._fault(row)
            work.progress.advance()
            yield Dropped(id=row.id, reason=fault[0], detail=fault[1]) if fault else row

    def _fault(self, row: Solution) -> tuple[str, str] | None:
        whole = f"{row.thoughts}\n{row.text}".strip()
        words = len(f"{row.thoughts} {row.rationale}".split())
        repeated = repeated_share(whole)
        if (ended := cut_off(row)) is not None:
            return "cut_off", ended
        if not row.text.strip():
            return "empty", "no text beside the thoughts" if row.thoughts else "no text"
        if self.require_answer and row.found is None:
            return "no_answer", ""
        if self.max_characters is not None and len(whole) > self.max_characters:
            return "too_long", f"{len(whole)} characters, {self.max_characters} wanted at most"
        if words < self.min_rationale_words:
            return "no_reasoning", f"{words} words of reasoning, {self.min_rationale_words} wanted at least"
        if repeated > self.max_repeated_share:
            return "repetition", f"{repeated:.0%} of the text has been said before"
        return None


def repeated_share(text: str) -> float:
    """Share, 0..1, of the word 8-grams of a text that stood in it before; 0 for a text of fewer than 8 words."""
    words = text.split()
    pieces = [tuple(words[start : start + WINDOW]) for start in range(len(words) - WINDOW + 1)]
    return 1 - len(set(pieces)) / len(pieces) if pieces else 0.0
