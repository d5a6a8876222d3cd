"""Ask the base model, the student and the teacher the same held-out problems, and count what the student gained.

Reads   Problem, held out, with a gold answer
Writes  Prediction, one a problem and model; no drops. Beside them scores.json and timings.json
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import fmean
from typing import Any, Literal

from pydantic import Field, model_validator

from pipeline.answers import compare, find
from pipeline.errors import StageError
from pipeline.jsonl import write_json
from pipeline.prompt import problem_fields
from pipeline.rows import Message, Prediction, Problem
from pipeline.stage import Conversation, PromptName, Reply, Request, Rows, Stage, TeacherName, Work
from pipeline.statistics import paired_gain, wilson
from pipeline.student import load
from pipeline.student.generate import Generated, Limits, generate
from pipeline.student.text import encode_prompt

Model = Literal["base", "base_few_shot", "student", "teacher"]


class Evaluate(Stage):
    """Greedy decoding for all of them; the step of the trained student is used as `student`."""

    version = 2
    reads = Problem
    writes = Prediction

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
    max_new_tokens: int = Field(default=256, ge=1)
    """Most tokens that the base model and the student write for one problem."""
    batch_size: int = Field(default=32, ge=1)
    """Problems that they write on side by side; changes speed and memory."""
    seed: int = Field(default=0, ge=0)
    """Of the bootstrap."""

    @model_validator(mode="after")
    def _teacher_has_a_prompt(self) -> "Evaluate":
        if self.teacher is not None and self.teacher_prompt is None:
            raise ValueError("a teacher needs teacher_prompt")
        return self

    def outside(self, base: Path) -> dict[str, str]:
        """The base model's weights."""
        return {"model": load.fingerprint(self.model, base)}

    def conversation(self, row: Problem, work: Work) -> Conversation[Reply] | None:
        """One request at temperature 0; None without a teacher."""
        return self._talk(row, work) if self.teacher is not None else None

    def run(self, rows: Rows[Problem], work: Work) -> Iterator[Prediction]:
        """Ask the teacher, then load one model after the other."""
        problems = list(rows)
        _all_can_be_judged(problems)
        found: dict[Model, list[Prediction]] = {}
        seconds: dict[Model, float] = {}
        began = time.monotonic()
        for name, predictions in self._predictions(problems, work):
            found[name] = predictions
            seconds[name], began = round(time.monotonic() - began, 3), time.monotonic()
        write_json(work.folder / "scores.json", scores(found, self.seed))
        write_json(work.folder / "timings.json", {"seconds": seconds})
        for predictions in found.values():
            yield from predictions

    def _talk(self, problem: Problem, work: Work) -> Conversation[Reply]:
        assert self.teacher_prompt is not None
        request = Request(
            messages=_messages(problem, self.teacher_prompt, work),
            temperature=0,
            max_tokens=self.teacher_max_tokens,
            stop=self.teacher_stop,
        )
        (reply,) = yield [request]
        return reply

    def _asked(self, problems: Sequence[Problem], work: Work) -> list[tuple[Problem, Reply]]:
        """The teacher's replies; none without a teacher, or where a recorded one has not all of them."""
        if self.teacher is None:
            return []
        asked = list(work.teachers.ask(self.teacher, problems, lambda problem: self._talk(problem, work)))
        lacking = sum(reply.problem == "not_recorded" for _, reply in asked)
        if not lacking:
            return asked
        work.progress.say(f"{lacking} of {len(asked)} held-out problems have no recorded reply: no teacher is compared")
        return []

    def _predictions(self, problems: Sequence[Problem], work: Work) -> Iterator[tuple[Model, list[Prediction]]]:
        """What each model answered, model by model; one of them in memory at a time."""
        asked = self._asked(problems, work)
        if asked:
            yield "teacher", [_read(problem, "teacher", _as_generated(reply), work.base) for problem, reply in asked]
        own = [_messages(problem, self.student_prompt, work) for problem in problems]
        models = 2 + (self.teacher_prompt is not None) + bool(asked)
        work.progress.total(len(problems) * models)
        base = _Writer(load.find(self.model, work.base), self.batch_size, work)
        yield "base", base.answers(problems, "base", own, Limits(self.max_new_tokens))
        if self.teacher_prompt is not None:
            few_shot = [_messages(problem, self.teacher_prompt, work) for problem in problems]
            limits = Limits(self.max_new_tokens, self.teacher_stop)
            yield "base_few_shot", base.answers(problems, "base_few_shot", few_shot, limits)
        del base
        load.free()
        student = _Writer(load.Weights(str(work.uses["student"] / "model")), self.batch_size, work)
        yield "student", student.answers(problems, "student", own, Limits(self.max_new_tokens))
        del student
        load.free()


class _Writer:
    """A loaded model that answers problems."""

    def __init__(self, weights: load.Weights, batch_size: int, work: Work) -> None:
        self.tokenizer = load.load_tokenizer(weights)
        self.model = load.load_model(weights, load.fast_dtype())
        self.batch_size = batch_size
        self.progress = work.progress
        self.base = work.base

    def answers(
        self, problems: Sequence[Problem], name: Model, prompts: Sequence[Sequence[Message]], limits: Limits
    ) -> list[Prediction]:
        """One prediction a problem."""
        tokens = [encode_prompt(self.tokenizer, prompt) for prompt in prompts]
        written = generate(self.model, self.tokenizer, tokens, limits, self.batch_size, self.progress)
        return [_read(problem, name, text, self.base) for problem, text in zip(problems, written, strict=True)]


def scores(found: Mapping[Model, Sequence[Prediction]], seed: int) -> dict[str, Any]:
    """What `scores.json` holds: each model's accuracy, and the student's gain over the better base.

    A gain is proven where the lower end of its paired 95 % interval lies above zero.
    """
    bases: list[Model] = [name for name in ("base", "base_few_shot") if name in found]
    better = max(bases, key=lambda name: sum(_right(found[name])))
    gain = paired_gain(_right(found[better]), _right(found["student"]), seed)
    return {
        "problems": len(found["student"]),
        "models": {name: _score(predictions) for name, predictions in found.items()},
        "gain": {"over": better, **asdict(gain), "proven": gain.low > 0},
    }


def _score(predictions: Sequence[Prediction]) -> dict[str, Any]:
    n, right = len(predictions), sum(_right(predictions))
    low, high = wilson(right, n)
    tokens = [prediction.tokens for prediction in predictions if prediction.tokens is not None]
    return {
        "n": n,
        "right": right,
        "accuracy": right / n,
        "low": low,
        "high": high,
        "found_share": fmean(prediction.found is not None for prediction in predictions),
        "cut_share": fmean(prediction.cut for prediction in predictions),
        "mean_tokens": fmean(tokens) if tokens else None,
    }


def _right(predictions: Sequence[Prediction]) -> list[bool]:
    return [prediction.right for prediction in predictions]


def _messages(problem: Problem, prompt: str | None, work: Work) -> tuple[Message, ...]:
    fields = problem_fields(problem)
    if prompt is None:
        return (Message(role="user", content=fields["question"]),)
    return work.prompt(prompt).asked.render(fields)


def _as_generated(reply: Reply) -> Generated:
    """A reply as if a student had written it; what was refused or lost is an empty text."""
    return Generated(reply.text if reply.problem is None else "", reply.tokens, reply.cut)


def _read(problem: Problem, model: Model, written: Generated, base: Path) -> Prediction:
    found = find(written.text, problem)
    return Prediction(
        id=f"{problem.id}/{model}",
        parent=problem.id,
        model=model,
        text=written.text,
        found=found,
        right=compare(found, problem, text=written.text, base=base) == "right",
        cut=written.cut,
        tokens=written.tokens,
    )


def _all_can_be_judged(problems: Sequence[Problem]) -> None:
    if not problems:
        raise StageError("there are no held-out problems", "give some under data.eval")
    for problem in problems:
        if not problem.has_gold:
            raise StageError(f"held-out problem {problem.id} has no answer to compare with", "give it a field `answer`")
