"""Load the problems of the user's sources, each once, and none that is held out.

Reads   nothing; the sources in its fields
Writes  Problem, in the order of the sources; drops carry duplicate_question or in_eval
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from pipeline.answers.own import scorer_of
from pipeline.answers.sandbox import require_sandbox
from pipeline.choices import Sources
from pipeline.entries import outside
from pipeline.jsonl import StoredRows
from pipeline.rows import Dropped, Problem
from pipeline.sources import problems, question_key
from pipeline.stage import Rows, Stage, Work


class Load(Stage):
    """Typed problems."""

    writes = Problem

    sources: Sources
    """Where they come from."""
    limit: int | None = Field(default=None, ge=1)
    """Most problems carried on, over all sources; what comes after them is not read. None takes all."""
    role: Literal["train", "eval"] = "train"
    """Train problems that ask the same as a held-out one (the step played as `heldout`) are dropped."""
    distinct: bool = True
    """Carry on only the first of several problems that ask the same."""

    def run(self, rows: Rows[Any], work: Work) -> Iterator[Problem | Dropped]:
        """Read the sources until the limit.

        Raises:
            StageError: a problem has tests of code, and there is no sandbox to run it in; told before anything is paid.
        """
        seen = _held_out(work) if self.role == "train" else {}
        carried, without_gold = 0, 0
        for problem in problems(self.sources, work.base):
            work.progress.advance()
            key = question_key(problem)
            first = seen.get(key)
            if first is not None and (self.distinct or first.reason == "in_eval"):
                yield Dropped(id=problem.id, reason=first.reason, detail=f"asks the same as {first.id}")
                continue
            seen[key] = Dropped(id=problem.id, reason="duplicate_question")
            carried += 1
            without_gold += not problem.has_gold
            if problem.tests:
                require_sandbox()
            yield problem
            if carried == self.limit:
                break
        if without_gold:
            work.progress.say(f"{without_gold} of {carried} problems have no gold answer")

    def outside(self, base: Path) -> dict[str, str]:
        """Content hash, package version or revision of each source, and the hash of each judge of the user's own."""
        found = {name: value for source in self.sources for name, value in outside(source, base).items()}
        judges = [source.judge for source in self.sources if source.judge is not None]
        return found | {judge: scorer_of(judge, base).rpartition("@")[2] for judge in judges}


def _held_out(work: Work) -> dict[str, Dropped]:
    if "heldout" not in work.uses:
        return {}
    held_out = StoredRows([work.uses["heldout"] / "rows.jsonl"], Problem)
    return {question_key(problem): Dropped(id=problem.id, reason="in_eval") for problem in held_out}
