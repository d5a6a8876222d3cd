"""Drop the solutions that would teach a held-out question.

Reads   Solution; the held-out problems, from the step played as `heldout` and from files
Writes  Solution; drops carry in_eval, overlaps_eval, or near_eval where that was asked for. Beside the rows:
        contamination.jsonl (every hit) and contamination.json (counts)
Source  Brown et al. 2020, "Language Models are Few-Shot Learners", arXiv:2005.14165, appendix C: 13 words in a row
Differs numbers are kept as words; thoughts and text are looked through, not the question alone; boilerplate is told by
        how a sentence varies, not by how often it is met; a question of a template or of under 30 words is found
        exactly only, since anything looser would find it in every other question of its kind
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain, groupby
from pathlib import Path
from typing import Any, TextIO

from pydantic import Field

from pipeline.choices import Sources
from pipeline.entries import outside
from pipeline.errors import StageError
from pipeline.jsonl import StoredRows, write_json
from pipeline.rows import Dropped, Problem, Solution
from pipeline.similar.contamination import FILE, HITS, Contamination, Found
from pipeline.similar.heldout import HeldOut, Hit, How
from pipeline.sources import problems
from pipeline.stage import Rows, Stage, Work

REASONS: dict[How, str] = {
    "exact": "in_eval",
    "words": "overlaps_eval",
    "whole": "overlaps_eval",
    "near": "near_eval",
}
SHOWN = 200
"""Characters of the words that were found, in a drop's detail."""


class Decontaminate(Stage):
    """What is held out stays out."""

    reads = Solution
    writes = Solution

    against: Sources = ()
    """Further problems that must not be taught: benchmarks that the student will be measured by elsewhere."""
    fuzzy_share: float = Field(default=0.7, gt=0, le=1)
    """Least Jaccard similarity of the words of two questions for one to be near the other. Of copies of GSM8K's test
    questions with every tenth word replaced 98 % are so near, of those with every fifth replaced 75 %."""
    remove_fuzzy: bool = False
    """Drop near ones too; otherwise they are only told and listed."""
    fail_on_contamination: bool = False
    """End with an error, instead of dropping, where anything would be dropped."""

    def run(self, rows: Rows[Solution], work: Work) -> Iterator[Solution | Dropped]:
        """Look through each solution for the held-out questions."""
        work.progress.total(len(rows))
        held_out = HeldOut(self._problems(work), lambda: _questions(rows), self.fuzzy_share)
        if not held_out.total:
            work.progress.say(f"no held-out questions to compare with; name some with {work.step}.against")
            for row in rows:
                work.progress.advance()
                yield row
            return
        solutions: Counter[How] = Counter()
        of_problems: dict[How, set[str]] = {}
        total = 0
        with (work.folder / HITS).open("w", encoding="utf-8") as file:
            for row, hit, where in _looked_through(rows, held_out):
                total += 1
                work.progress.advance()
                if hit is None:
                    yield row
                    continue
                solutions[hit.how] += 1
                of_problems.setdefault(hit.how, set()).add(row.problem.id)
                _list(file, row, hit, where, self._removes(hit.how))
                if self._removes(hit.how):
                    yield Dropped(id=row.id, reason=REASONS[hit.how], detail=_told(hit, where))
                else:
                    yield row
        counts = Contamination(
            held_out=held_out.total,
            compared_by_words=held_out.compared,
            of_a_template=held_out.of_a_template,
            under_30_words=held_out.under_length,
            solutions=total,
            found={
                how: Found(solutions=count, problems=len(of_problems[how]), removed=self._removes(how))
                for how, count in sorted(solutions.items())
            },
        )
        write_json(work.folder / FILE, counts.model_dump(mode="json"))
        self._tell(counts, work)

    def outside(self, base: Path) -> dict[str, str]:
        """Content hash, package version or revision of each further source."""
        return {name: value for source in self.against for name, value in outside(source, base).items()}

    def _problems(self, work: Work) -> Iterable[Problem]:
        used: Iterable[Problem] = ()
        if "heldout" in work.uses:
            used = StoredRows([work.uses["heldout"] / "rows.jsonl"], Problem)
        return chain(used, problems(self.against, work.base))

    def _removes(self, how: How) -> bool:
        return how != "near" or self.remove_fuzzy

    def _tell(self, counts: Contamination, work: Work) -> None:
        found = ", ".join(
            f"{count.solutions} {'dropped' if count.removed else 'kept'} as {REASONS[how]}"
            for how, count in counts.found.items()
        )
        exactly = [
            f"{number} {why}"
            for number, why in ((counts.of_a_template, "of a template"), (counts.under_30_words, "of under 30 words"))
            if number
        ]
        note = f" ({' and '.join(exactly)} are found exactly only)" if exactly else ""
        work.progress.say(f"{counts.held_out} held-out questions{note}: {found or 'none found'}")
        removed = [count.solutions for count in counts.found.values() if count.removed]
        if removed and self.fail_on_contamination:
            raise StageError(
                f"{sum(removed)} of {counts.solutions} solutions would teach held-out questions: {found}",
                f"python -m pipeline show {work.step} --run {work.folder.parent.name} --dropped all; "
                f"to drop them and go on, --set {work.step}.fail_on_contamination=false",
            )


def _looked_through(rows: Rows[Solution], held_out: HeldOut) -> Iterator[tuple[Solution, Hit | None, str]]:
    """Each solution with the held-out question that was found in it, and where."""
    for _, samples in groupby(rows, key=lambda row: row.problem.id):
        asked: Hit | None = None
        for place, row in enumerate(samples):
            if place == 0:
                asked = held_out.in_question(row.problem) or held_out.near(row.problem)
            if asked and asked.how != "near":
                yield row, asked, "question"
                continue
            said = ((hit, name) for name, text in _texts(row) if (hit := held_out.in_text(text, row.problem.question)))
            yield row, *next(said, (asked, "question"))


def _texts(row: Solution) -> Iterator[tuple[str, str]]:
    yield "text", row.text
    if row.rationale not in row.text:
        yield "rationale", row.rationale
    if row.thoughts:
        yield "thoughts", row.thoughts


def _questions(rows: Rows[Solution]) -> Iterator[str]:
    """The question of each problem; once where its samples stand together."""
    return (next(samples).problem.question for _, samples in groupby(rows, key=lambda row: row.problem.id))


def _told(hit: Hit, where: str) -> str:
    if hit.how == "exact":
        return f"asks the same as {hit.held_out}"
    if hit.how == "near":
        return f"shares {hit.share:.0%} of its words with {hit.held_out}"
    return f"its {where} says of {hit.held_out}: {hit.words[:SHOWN]}"


def _list(file: TextIO, row: Solution, hit: Hit, where: str, removed: bool) -> None:
    line: dict[str, Any] = {
        "id": row.id,
        "held_out": hit.held_out,
        "how": hit.how,
        "where": where,
        "words": hit.words,
        "share": round(hit.share, 3),
        "removed": removed,
    }
    file.write(json.dumps(line, ensure_ascii=False) + "\n")
