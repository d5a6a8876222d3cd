"""Load the problems of the user's sources, each once, and none that is held out.

A dev split is made of the train problems, for choosing among students without a look at what is held out. It has the
questions that hash lowest, so neither the order of the sources nor the limit of the train problems moves any:

    Step("heldout", Load(sources=eval, role="eval"))
    Step("dev", Load(sources=train, role="dev", size=200), uses={"heldout": "heldout"})
    Step("load", Load(sources=train, limit=1000), uses={"heldout": "heldout", "dev": "dev"})

Reads   nothing; the sources in its fields
Writes  Problem, in the order of the sources; drops carry duplicate_question, in_eval or in_dev; the role dev drops none
"""

import hashlib
from collections.abc import Iterator
from heapq import heappush, heappushpop
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from pipeline.answers.own import scorer_of
from pipeline.answers.sandbox import require_sandbox
from pipeline.choices import Sources
from pipeline.entries import outside
from pipeline.errors import StageError
from pipeline.jsonl import StoredRows
from pipeline.rows import Dropped, Problem
from pipeline.sources import problems, question_key
from pipeline.stage import Rows, Stage, Work

SET_APART = {"heldout": "in_eval", "dev": "in_dev"}
"""Part that another step plays -> the reason with which train problems that ask the same are dropped."""


class Load(Stage):
    """Typed problems."""

    writes = Problem

    sources: Sources
    """Where they come from."""
    limit: int | None = Field(default=None, ge=1)
    """Most problems carried on, over all sources; what comes after them is not read. None takes all."""
    role: Literal["train", "dev", "eval"] = "train"
    """Train problems that ask the same as a held-out one (the step played as `heldout`) or as one of the dev split (the
    step played as `dev`) are dropped. The dev split is made of the same sources, and has none that is held out."""
    size: int | None = Field(default=None, ge=1)
    """Problems in a dev split, each with gold; for the role dev alone."""
    distinct: bool = True
    """Carry on only the first of several problems that ask the same; those of a dev split always are distinct."""

    @model_validator(mode="after")
    def _dev_has_a_size(self) -> "Load":
        if (self.role == "dev") != (self.size is not None):
            raise ValueError("the role dev, and no other, needs size")
        if self.role == "dev" and self.limit is not None:
            raise ValueError("a dev split is drawn from all of its sources: leave limit out")
        return self

    def run(self, rows: Rows[Any], work: Work) -> Iterator[Problem | Dropped]:
        """Read the sources until the limit, or all of them for a dev split.

        Raises:
            StageError: told before anything is paid: a held-out problem has no gold answer; a problem has tests of
                code, and there is no sandbox to run it in; or the sources hold too few problems for the dev split.
        """
        without_gold, carried = 0, 0
        for row in self._dev(work) if self.size is not None else self._all(work):
            if isinstance(row, Problem):
                carried += 1
                without_gold += not row.has_gold
                if self.role == "eval" and not row.has_gold:
                    raise StageError(
                        f"held-out problem {row.id} has no answer to compare with",
                        "give it a field `answer`; what only decontaminates goes under decontaminate.against",
                    )
                if row.tests:
                    require_sandbox()
            yield row
        if without_gold:
            work.progress.say(f"{without_gold} of {carried} problems have no gold answer")

    def _all(self, work: Work) -> Iterator[Problem | Dropped]:
        """The problems until the limit, in the order of the sources."""
        seen = {} if self.role == "eval" else _set_apart(work)
        carried = 0
        for problem in problems(self.sources, work.base):
            work.progress.advance()
            key = question_key(problem)
            first = seen.get(key)
            if first is not None and (self.distinct or first.reason in SET_APART.values()):
                yield Dropped(id=problem.id, reason=first.reason, detail=f"asks the same as {first.id}")
                continue
            seen[key] = Dropped(id=problem.id, reason="duplicate_question")
            carried += 1
            yield problem
            if carried == self.limit:
                break

    def _dev(self, work: Work) -> list[Problem]:
        """The problems with gold whose questions hash lowest, in the order of the sources; no others stay in memory."""
        assert self.size is not None
        held_out = _set_apart(work)
        lowest: list[
            tuple[int, int, Problem]
        ] = []  # a heap: the one that goes next, with the highest hash, stands first
        chosen: set[int] = set()
        for place, problem in enumerate(problems(self.sources, work.base)):
            work.progress.advance()
            key = question_key(problem)
            number = -int.from_bytes(hashlib.sha256(key.encode()).digest())
            if not problem.has_gold or number in chosen or key in held_out:
                continue
            chosen.add(number)
            if len(lowest) < self.size:
                heappush(lowest, (number, place, problem))
            else:
                chosen.remove(heappushpop(lowest, (number, place, problem))[0])
        if len(lowest) < self.size:
            raise StageError(
                f"the dev split is to have {self.size} problems, and the train sources hold {len(lowest)} with gold "
                "that are not held out",
                "lower data.dev",
            )
        return [problem for _, _, problem in sorted(lowest, key=lambda found: found[1])]

    def outside(self, base: Path) -> dict[str, str]:
        """Content hash, package version or revision of each source, and the hash of each judge of the user's own."""
        found = {name: value for source in self.sources for name, value in outside(source, base).items()}
        judges = [source.judge for source in self.sources if source.judge is not None]
        return found | {judge: scorer_of(judge, base).rpartition("@")[2] for judge in judges}


def _set_apart(work: Work) -> dict[str, Dropped]:
    """What train problems must not ask: question -> the reason to drop them with, and the problem that asks it."""
    return {
        question_key(problem): Dropped(id=problem.id, reason=reason)
        for part, reason in SET_APART.items()
        if part in work.uses
        for problem in StoredRows([work.uses[part] / "rows.jsonl"], Problem)
    }
