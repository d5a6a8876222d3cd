"""Keep of several trained students the one that answers most of a dev split; held-out problems play no part in it.

    Step("low", Train(model=model, learning_rate=1e-5, keep_epochs=True), rows=("assemble",)),
    Step("high", Train(model=model, learning_rate=1e-4, keep_epochs=True), rows=("assemble",)),
    Step("choose", Choose(student_prompt=prompt), rows=("dev",), uses={"one": "low", "two": "high"}),

`evaluate` then takes uses={"student": "choose"}. Every step that it uses is a candidate, and so is each epoch that was
kept there. The accuracy of the one chosen flatters it, since it was the best of several: only `evaluate` measures it.

Reads   Problem, with a gold answer; set apart from what was trained on
Writes  Attempt, one a problem and candidate; no drops. Beside them scores.json, and model/, the chosen one
"""

import json
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import tee
from pathlib import Path

from pydantic import Field

from pipeline.answers import compare_many, find
from pipeline.answers.comparing import Asked
from pipeline.errors import StageError
from pipeline.jsonl import write_json
from pipeline.prompt import problem_fields
from pipeline.rows import Attempt, Message, Problem
from pipeline.stage import PromptName, Rows, Stage, Work
from pipeline.statistics import wilson
from pipeline.student import load
from pipeline.student.answering.generate import Limits
from pipeline.student.answering.writer import Backend, backend_of, hand_of, load_writer
from pipeline.student.answering.written import Written
from pipeline.student.text import encode_prompt
from pipeline.student.training.job import EPOCHS, LOG, MODEL

WRITTEN = "written"
"""Folder of the texts so far, from which a killed step goes on; it is removed at the end."""
EPOCH = re.compile(r"epoch-(\d+)")


@dataclass(frozen=True)
class Candidate:
    """A trained student."""

    name: str
    epochs: float
    """It was trained for."""
    folder: Path
    """Where its weights lie."""


class Choose(Stage):
    """The best at greedy decoding; of equals the one that was trained for fewer epochs, then by the steps' names."""

    version = 2
    reads = Problem
    writes = Attempt
    resumes = True
    shapes_student = True

    student_prompt: PromptName | None = None
    """What the candidates were trained on; None gives them the question alone."""
    max_new_tokens: int = Field(default=256, ge=1)
    """Most tokens that each writes for one problem."""
    batch_size: int = Field(default=32, ge=1)
    """Most texts side by side; changes speed and memory. vLLM sees to that itself."""

    def run(self, rows: Rows[Problem], work: Work) -> Iterator[Attempt]:
        """Have every candidate answer, one after the other, and publish the best."""
        problems = list(rows)
        _all_can_be_judged(problems)
        candidates = candidates_of(list(work.uses.values()))
        backend = backend_of([load.Weights(str(candidate.folder)) for candidate in candidates])
        work.progress.total(len(problems) * len(candidates))
        right: dict[str, int] = {}
        for candidate in candidates:
            right[candidate.name] = 0
            for attempt in self._attempts(candidate, problems, backend, work):
                right[candidate.name] += attempt.right
                yield attempt
        best = max(candidates, key=lambda candidate: right[candidate.name])  # of equals the first
        link(best.folder, work.folder / MODEL)
        scores = [_score(candidate.name, right[candidate.name], len(problems)) for candidate in candidates]
        write_json(work.folder / "scores.json", {"chosen": best.name, "problems": len(problems), "candidates": scores})
        work.progress.say(f"{best.name} answers most of the dev split: {right[best.name]} of {len(problems)}")
        shutil.rmtree(work.folder / WRITTEN)

    def _attempts(
        self, candidate: Candidate, problems: Sequence[Problem], backend: Backend, work: Work
    ) -> Iterator[Attempt]:
        written = self._written(candidate, problems, backend, work)
        read = ((problem, text, find(text.text, problem)) for problem, text in zip(problems, written, strict=True))
        ours, theirs = tee(read)
        outcomes = compare_many((Asked(found, problem, text.text) for problem, text, found in theirs), base=work.base)
        for (problem, text, found), outcome in zip(ours, outcomes, strict=True):
            assert text.tokens is not None
            yield Attempt(
                id=f"{problem.id}/{candidate.name}",
                parent=problem.id,
                candidate=candidate.name,
                text=text.text,
                found=found,
                right=outcome == "right",
                cut=text.cut,
                tokens=text.tokens,
            )

    def _written(self, candidate: Candidate, problems: Sequence[Problem], backend: Backend, work: Work) -> Written:
        """What the candidate writes, or wrote before a kill; one model is in memory at a time."""
        path = work.folder / WRITTEN / f"{candidate.name}.jsonl"
        written = Written(path, len(problems), hand_of(backend))
        work.progress.advance(len(written))
        if not written.is_whole:
            writer = load_writer(load.Weights(str(candidate.folder)), backend, self.batch_size, work.progress)
            prompts = [encode_prompt(writer.tokenizer, self._messages(problem, work)) for problem in problems]
            writer.write(prompts, Limits(self.max_new_tokens), None, written)
            writer.close()
        return written

    def _messages(self, problem: Problem, work: Work) -> tuple[Message, ...]:
        fields = problem_fields(problem)
        if self.student_prompt is None:
            return (Message(role="user", content=fields["question"]),)
        return work.prompt(self.student_prompt).asked.render(fields)


def candidates_of(steps: Sequence[Path]) -> list[Candidate]:
    """The trained students of these steps' folders, fewer epochs first, then by name; the last epoch is `model/`.

    Raises:
        StageError: there are none.
    """
    found = [candidate for step in steps for candidate in _of_step(step)]
    if not found:
        raise StageError("there is no student to choose", 'name the steps that train: uses={"student": "train"}')
    return sorted(found, key=lambda candidate: (candidate.epochs, candidate.name))


def _of_step(step: Path) -> Iterator[Candidate]:
    log = step / LOG
    if not log.is_file():
        raise StageError(f"{step} has no trained student to choose", "name steps that train under `uses`")
    *_, last = log.read_text(encoding="utf-8").splitlines()
    epochs: float = json.loads(last)["epoch"]
    for path in step.glob(f"{EPOCHS}/*"):
        match = EPOCH.fullmatch(path.name)
        if match and int(match[1]) < epochs:
            yield Candidate(f"{step.name}/{path.name}", int(match[1]), path)
    yield Candidate(step.name, epochs, step / MODEL)


def link(folder: Path, to: Path) -> None:
    """The files of a folder once more, which take no space where the file system has hard links."""
    shutil.rmtree(to, ignore_errors=True)

    def link_or_copy(source: str, target: str) -> str:
        try:
            os.link(source, target)
        except OSError:
            shutil.copy2(source, target)
        return target

    shutil.copytree(folder, to, copy_function=link_or_copy)


def _score(name: str, right: int, problems: int) -> dict[str, str | int | float]:
    low, high = wilson(right, problems)
    return {"name": name, "right": right, "accuracy": right / problems, "low": low, "high": high}


def _all_can_be_judged(problems: Sequence[Problem]) -> None:
    if not problems:
        raise StageError("there are no dev problems to choose by", "set data.dev: 200, and rows=('dev',)")
    for problem in problems:
        if not problem.has_gold:
            raise StageError(f"dev problem {problem.id} has no answer to compare with", "give it a field `answer`")
