"""Ask the base model, the student and the teacher the same held-out problems, and count what the student gained.

Reads   Problem, held out, with a gold answer
Writes  Prediction, `samples` a problem and model; no drops. Beside them scores.json and timings.json
Source  maj@k: Wang et al. 2023, "Self-Consistency Improves Chain of Thought Reasoning in Language Models",
        arXiv:2203.11171, section 2
"""

import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, tee
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from pipeline.answers import compare_many, find
from pipeline.answers.comparing import Asked
from pipeline.errors import StageError
from pipeline.jsonl import write_json
from pipeline.prompt import problem_fields
from pipeline.rows import Message, Prediction, Problem
from pipeline.scores import Measured, measure, scores
from pipeline.stage import Conversation, PromptName, Reply, Request, Rows, Stage, TeacherName, Work, seed_of
from pipeline.student import load
from pipeline.student.answering.generate import Generated, Limits
from pipeline.student.answering.sampling import Sampling
from pipeline.student.answering.writer import Backend, backend_of, hand_of, load_writer
from pipeline.student.answering.written import Took, Written
from pipeline.student.text import encode_prompt

Model = Literal["base", "base_few_shot", "student", "teacher"]

WRITTEN = "written"
"""Folder of the texts so far, from which a killed evaluation goes on; it is removed at the end."""


@dataclass(frozen=True)
class Asking:
    """How a model of ours is asked."""

    prompt: str | None
    """The prompt file; None asks the question alone."""
    limits: Limits


class Evaluate(Stage):
    """The same problems and the same decoding for all of them; the step of the trained student is used as `student`."""

    version = 4
    reads = Problem
    writes = Prediction
    resumes = True

    model: str
    """The student before training: a name on the Hugging Face hub, a folder, a GGUF file, or `embedded`."""
    student_prompt: PromptName | None = None
    """What the student was trained on; None gives it the question alone. The base model gets it too."""
    teacher: TeacherName | None = None
    """Who is asked; None leaves the teacher out."""
    teacher_prompt: PromptName | None = None
    """What the teacher is asked with; the base model gets it a second time with this. None leaves both out."""
    teacher_max_tokens: int | None = Field(default=None, ge=1)
    """Ceiling of one reply, in the teacher's tokens; None leaves it to the provider."""
    teacher_stop: tuple[str, ...] = ()
    """Under the teacher's prompt a text ends before the first of these, the base model's too."""
    samples: int = Field(default=1, ge=1)
    """Answers of each model to each problem; the accuracy is their mean."""
    temperature: float = Field(default=0.0, ge=0)
    """Of all models; 0 takes the likeliest token each time."""
    top_p: float = Field(default=1.0, gt=0, le=1)
    """Tokens are drawn among the likeliest that have this much of the probability together; 1 takes all."""
    max_new_tokens: int = Field(default=256, ge=1)
    """Most tokens that the base model and the student write for one problem, within what the model takes at all."""
    batch_size: int = Field(default=32, ge=1)
    """Most texts that they write side by side; changes speed and memory. vLLM sees to that itself."""
    seed: int = Field(default=0, ge=0)
    """Of what is drawn, together with the problem's id and the sample."""

    @model_validator(mode="after")
    def _fields_agree(self) -> "Evaluate":
        if self.teacher is not None and self.teacher_prompt is None:
            raise ValueError("a teacher needs teacher_prompt")
        if self.samples > 1 and self.temperature == 0:
            raise ValueError(f"{self.samples} samples at temperature 0 are all alike: temperature must be above 0")
        if self.top_p < 1 and self.temperature == 0:
            raise ValueError("top_p without a temperature above 0 changes nothing")
        return self

    def outside(self, base: Path) -> dict[str, str]:
        """The base model's weights."""
        return {"model": load.fingerprint(self.model, base)}

    def conversation(self, row: Problem, work: Work) -> Conversation[Sequence[Reply]] | None:
        """One request a sample; None without a teacher."""
        return self._talk(row, work) if self.teacher is not None else None

    def run(self, rows: Rows[Problem], work: Work) -> Iterator[Prediction]:
        """Ask the teacher, then load one model after the other."""
        problems = list(rows)
        _all_can_be_judged(problems)
        measured: dict[str, list[Measured]] = {}
        timings: dict[str, dict[str, Any]] = {}
        for name, written in self._written(problems, work):
            judged = self._judged(problems, name, written, work.base)
            measured[name] = []
            for problem in problems:
                predictions = list(islice(judged, self.samples))
                measured[name].append(measure(problem, predictions))
                yield from predictions
            timings[name] = written.timing()
            if name == "teacher":  # whose replies the ledger may have had, and then they took no time
                timings[name]["tokens_per_second"] = None
        write_json(work.folder / "scores.json", scores(measured))
        write_json(work.folder / "timings.json", timings)
        shutil.rmtree(work.folder / WRITTEN)

    def _written(self, problems: Sequence[Problem], work: Work) -> Iterator[tuple[Model, Written]]:
        """What each model answered; one model in memory at a time, and none while its answers are judged."""
        asked = self._asked(problems, work)
        if asked is not None:
            yield "teacher", asked
        own = Asking(self.student_prompt, Limits(self.max_new_tokens))
        of_base: dict[Model, Asking] = {"base": own}
        if self.teacher_prompt is not None:
            of_base["base_few_shot"] = Asking(self.teacher_prompt, Limits(self.max_new_tokens, self.teacher_stop))
        models = 1 + len(of_base)
        work.progress.total((asked is not None) * len(problems) + models * len(problems) * self.samples)
        base, student = load.find(self.model, work.base), load.Weights(str(work.uses["student"] / "model"))
        backend = backend_of([base, student])
        work.progress.say(f"the base model and the student write by {hand_of(backend)}")
        yield from self._of(base, of_base, problems, backend, work)
        yield from self._of(student, {"student": own}, problems, backend, work)

    def _of(
        self,
        weights: load.Weights,
        asking: Mapping[Model, Asking],
        problems: Sequence[Problem],
        backend: Backend,
        work: Work,
    ) -> list[tuple[Model, Written]]:
        """What one model of ours writes; it is loaded only where a killed evaluation left something to write."""
        written = {name: self._begun(name, len(problems), hand_of(backend), work) for name in asking}
        work.progress.advance(sum(map(len, written.values())))
        if not all(one.is_whole for one in written.values()):
            writer = load_writer(weights, backend, self.batch_size, work.progress)
            for name, how in asking.items():
                each = [_encoded(writer.tokenizer, _messages(row, how.prompt, work)) for row in problems]
                prompts = [prompt for prompt in each for _ in range(self.samples)]
                writer.write(prompts, how.limits, self._sampling(problems), written[name])
            writer.close()
        return list(written.items())

    def _begun(self, name: Model, problems: int, by: str, work: Work) -> Written:
        return Written(work.folder / WRITTEN / f"{name}.jsonl", problems * self.samples, by)

    def _sampling(self, problems: Sequence[Problem]) -> Sampling | None:
        """The same seeds for every model; None takes the likeliest token."""
        if self.temperature == 0:
            return None
        seeds = [seed_of(self.seed, problem.id, sample) for problem in problems for sample in range(self.samples)]
        return Sampling(self.temperature, self.top_p, seeds)

    def _talk(self, problem: Problem, work: Work) -> Conversation[Sequence[Reply]]:
        assert self.teacher_prompt is not None
        request = Request(
            messages=_messages(problem, self.teacher_prompt, work),
            temperature=self.temperature,
            top_p=self.top_p if self.top_p < 1 else None,
            max_tokens=self.teacher_max_tokens,
            stop=self.teacher_stop,
        )
        return (yield request.samples(self.samples))

    def _asked(self, problems: Sequence[Problem], work: Work) -> Written | None:
        """The teacher's replies; None without a teacher, or where a recorded one has not all of them."""
        if self.teacher is None:
            return None
        # The ledger keeps the replies, so nothing is lost with what an earlier start took from it.
        (work.folder / WRITTEN / "teacher.jsonl").unlink(missing_ok=True)
        written = self._begun("teacher", len(problems), "teacher", work)
        lacking, began = 0, time.monotonic()
        asked = work.teachers.ask(self.teacher, problems, lambda problem: self._talk(problem, work))
        for place, (_, replies) in enumerate(asked):
            lacking += any(reply.problem == "not_recorded" for reply in replies)
            texts = [
                (place * self.samples + reply_place, _as_generated(reply)) for reply_place, reply in enumerate(replies)
            ]
            seconds, began = time.monotonic() - began, time.monotonic()
            written.add(texts, Took(seconds))
        if not lacking:
            return written
        too_few = "no recorded reply" if self.samples == 1 else f"fewer than {self.samples} recorded replies"
        work.progress.say(f"{lacking} of {len(problems)} held-out problems have {too_few}: no teacher is compared")
        return None

    def _judged(self, problems: Sequence[Problem], name: Model, written: Written, base: Path) -> Iterator[Prediction]:
        """The predictions in order, of which no more than a few blocks are in memory."""
        asked = (problem for problem in problems for _ in range(self.samples))
        read = ((problem, text, find(text.text, problem)) for problem, text in zip(asked, written, strict=True))
        ours, theirs = tee(read)
        outcomes = compare_many((Asked(found, problem, text.text) for problem, text, found in theirs), base=base)
        for place, ((problem, text, found), outcome) in enumerate(zip(ours, outcomes, strict=True)):
            sample = place % self.samples
            yield Prediction(
                id=f"{problem.id}/{name}" if self.samples == 1 else f"{problem.id}/{name}/{sample}",
                parent=problem.id,
                model=name,
                sample=sample,
                text=text.text,
                found=found,
                right=outcome == "right",
                cut=text.cut,
                tokens=text.tokens,
            )


def _messages(problem: Problem, prompt: str | None, work: Work) -> tuple[Message, ...]:
    fields = problem_fields(problem)
    if prompt is None:
        return (Message(role="user", content=fields["question"]),)
    return work.prompt(prompt).asked.render(fields)


def _encoded(tokenizer: Any, turns: tuple[Message, ...]) -> list[int]:
    """The tokens of a prompt; where the template refuses a system turn, its words open the turn after it."""
    if len(turns) < 2 or turns[0].role != "system":
        return encode_prompt(tokenizer, turns)
    try:
        return encode_prompt(tokenizer, turns)
    except StageError:
        opening = Message(role="user", content=f"{turns[0].content}\n\n{turns[1].content}")
        return encode_prompt(tokenizer, (opening, *turns[2:]))


def _as_generated(reply: Reply) -> Generated:
    """A reply as if a student had written it; what was refused or lost is an empty text."""
    return Generated(reply.text if reply.problem is None else "", reply.tokens, reply.cut)


def _all_can_be_judged(problems: Sequence[Problem]) -> None:
    if not problems:
        raise StageError("there are no held-out problems", "give some under data.eval")
    for problem in problems:
        if not problem.has_gold:
            raise StageError(f"held-out problem {problem.id} has no answer to compare with", "give it a field `answer`")
