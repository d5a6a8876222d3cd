"""Ask a teacher for step-by-step solutions, several samples a problem, or as many as its vote needs.

Reads   Problem; looks into the step that plays `first`, where there is one
Writes  Solution, one a sample; drops carry refused (the provider refused the request), teacher_error or not_recorded.
        Beside them, where `samples_min` is set, sampling.json
Source  Wei et al. 2022, "Chain-of-Thought Prompting Elicits Reasoning in Large Language Models", arXiv:2201.11903;
        the second call that asks for the answer alone: Kojima et al. 2022, "Large Language Models are Zero-Shot
        Reasoners", arXiv:2205.11916, section 3; as many as needed: see `pipeline/sampling.py`

What sampling saved can be spent on the problems that it left undecided, by a second step of the same fields. It replays
the first one from the ledger, for nothing, goes on with the undecided problems, and writes all solutions of all:

    solve = Solve(prompt="r1-distill/solve", samples=8, samples_min=3)
    Step("solve", solve, rows=("load",)),
    Step("solve-more", solve.model_copy(update={"samples_most": 32}), rows=("load",), uses={"first": "solve"}),
    Step("check", Check(), rows=("solve-more",)),
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from pipeline.answers import normalise
from pipeline.errors import UsageError
from pipeline.prompt import problem_fields
from pipeline.record import Record
from pipeline.rows import Dropped, Problem, Solution
from pipeline.sampling import Ballot, Outcome, StopRule, Tally, is_certain, rounds, saved_for_each
from pipeline.solutions import Truncated, ask, ballot_of, ceiling_of, read_solution
from pipeline.stage import Conversation, PromptName, Reply, Request, Rows, Stage, TeacherName, Work


class Solve(Stage):
    """k samples a problem."""

    version = 2
    reads = Problem
    writes = Solution

    teacher: TeacherName = "main"
    """Who is asked."""
    prompt: PromptName
    """Prompt file; it may name {{question}} and {{choices}}."""
    answer_prompt: PromptName | None = None
    """Asked after the first reply, to get the final answer alone; it may name {{question}}, {{choices}} and
    {{reasoning}}. None reads the answer from the first reply."""
    samples: int = Field(default=1, ge=1)
    """Samples a problem; with `samples_min` the most."""
    samples_min: int | None = Field(default=None, ge=1)
    """Samples of a first round, after which more are asked only while the vote is not certain. None asks for all
    `samples` at once. Under `beta` at 0.95 four samples that agree are enough, three are not. A teacher that is asked
    in batches gets two rounds at most: these, then all the others."""
    samples_step: int = Field(default=2, ge=1)
    """Samples of a further round. 1 takes the fewest samples and the longest; each round pays for the prompt again."""
    samples_most: int | None = Field(default=None, ge=1)
    """Most samples of a problem where the step goes on from another one, its `first`. None is 4 x `samples`."""
    stop_rule: StopRule = "beta"
    """When a vote is certain. `beta`: the first answer beats the second; `dirichlet`: it beats each other one;
    `window`: the latest samples agree wholly."""
    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    """Least probability of that under `beta` and `dirichlet`."""
    window: int = Field(default=5, ge=2)
    """Samples that must agree under `window`."""
    temperature: float | None = Field(default=None, ge=0)
    """None leaves it to the provider."""
    top_p: float | None = Field(default=None, gt=0, le=1)
    """None leaves it to the provider."""
    max_tokens: int | None = Field(default=None, ge=1)
    """Ceiling of one reply, in the teacher's tokens; None leaves it to the provider."""
    truncated: Truncated = "drop"
    """What is done about a reply that ended there: `drop` marks it, so that it has no vote and is dropped as cut_off;
    `escalate` asks for it once more with a higher ceiling, and then does the same; `keep` takes it as any other."""
    escalate_to: int | None = Field(default=None, ge=1)
    """That higher ceiling; None is 4 x `max_tokens`."""
    stop: tuple[str, ...] = ()
    """A reply ends before the first of these."""
    seed: int | None = 0
    """Sample i is asked with seed + i; None sends no seed, for a provider that refuses one."""
    extra: Mapping[str, Any] = {}
    """Further fields of the request's body."""

    @model_validator(mode="after")
    def _fields_agree(self) -> "Solve":
        ceiling_of(self.truncated, self.max_tokens, self.escalate_to)
        if self.samples_min is not None and self.samples_min > self.samples:
            raise ValueError(f"samples_min: {self.samples_min} is more than samples: {self.samples}")
        if self.samples_most is not None and self.samples_most < self.samples:
            raise ValueError(f"samples_most: {self.samples_most} is less than samples: {self.samples}")
        return self

    def run(self, rows: Rows[Problem], work: Work) -> Iterator[Solution | Dropped]:
        """Ask for every problem, then read the replies in the order of the problems."""
        if "first" in work.uses:
            self._check_first(work.uses["first"], work.step)
        tally = Tally(self.samples)
        asked = work.teachers.ask(self.teacher, rows, lambda problem: self.conversation(problem, work))
        for problem, solutions in asked:
            if self.samples_min is not None:
                gold = None if problem.answer is None else normalise(problem.answer, problem.choices)
                ballots = [ballot_of(row) for row in solutions]
                tally.add(self._outcome(solutions, ballots), ballots, gold)
            yield from solutions
        if self.samples_min is not None:
            tally.write(work.folder)

    def conversation(self, row: Problem, work: Work) -> Conversation[list[Solution | Dropped]]:
        """One round of samples, or rounds until the vote is certain or nothing comes back."""
        made: list[Solution | Dropped] = []
        ballots: list[Ballot] = []
        for goal in self._goals(work):
            if made and self._outcome(made, ballots) != "undecided":
                break
            further = yield from self._round(row, work, range(len(made), goal))
            made += further
            ballots += [ballot_of(one) for one in further]
        return made

    def _goals(self, work: Work) -> Iterator[int]:
        """How many samples there are after each round, if all are held."""
        if self.samples_min is None:
            yield self.samples
            return
        in_batches = work.teachers.in_batches(self.teacher)
        yield self.samples_min
        yield from rounds(self.samples_min, self.samples, self.samples if in_batches else self.samples_step)
        if "first" in work.uses:
            most = min(self.samples + saved_for_each(work.uses["first"]), self.samples_most or 4 * self.samples)
            yield from rounds(self.samples, most, most if in_batches else self.samples_step)

    def _outcome(self, made: Sequence[Solution | Dropped], ballots: Sequence[Ballot]) -> Outcome:
        if not any(isinstance(one, Solution) for one in made):
            return "unanswered"
        certain = is_certain(ballots, self.stop_rule, self.confidence, self.window)
        return "certain" if certain else "undecided"

    def _check_first(self, first: Path, step: str) -> None:
        """Refuse to go on from a step whose samples are not those that this one would ask for.

        Raises:
            UsageError: a field that differs, or no adaptive sampling.
        """
        record = Record.read(first)
        its_fields = record.fields if record else {}
        for name, value in self.model_dump(mode="json", exclude={"samples_most"}).items():
            if its_fields.get(name) != value:
                raise UsageError(
                    f"step {step!r} goes on from {first.name!r} and has to ask for the same samples: {name} is "
                    f"{str(its_fields.get(name))[:60]} there, {str(value)[:60]} here",
                    f"set {first.name}.{name} and {step}.{name} to the same value",
                )
        if self.samples_min is None:
            raise UsageError(
                f"step {step!r} goes on from {first.name!r}, which leaves nothing undecided: it has no samples_min",
                f"set samples_min in both, or leave {step} out",
            )

    def _round(self, problem: Problem, work: Work, indices: range) -> Conversation[list[Solution | Dropped]]:
        """One call a sample, or two where the answer is asked for by itself."""
        request = Request(
            messages=work.prompt(self.prompt).render(problem_fields(problem)),
            temperature=self.temperature,
            top_p=self.top_p,
            max_tokens=self.max_tokens,
            stop=self.stop,
            seed=self.seed,
            extra=self.extra,
        )
        ceiling = ceiling_of(self.truncated, self.max_tokens, self.escalate_to)
        replies = yield from ask(request.samples(len(indices), indices.start), ceiling)
        told = [[reply] for reply in replies]
        if self.answer_prompt is not None:
            to_finish = [one for one in told if one[0].problem is None]
            finals = yield from ask([self._follow_up(problem, one[0], work) for one in to_finish], ceiling)
            for one, final in zip(to_finish, finals, strict=True):
                one.append(final)
        return [
            read_solution(problem, f"{problem.id}/{index}", one, self.teacher, self.truncated)
            for index, one in zip(indices, told, strict=True)
        ]

    def _follow_up(self, problem: Problem, reply: Reply, work: Work) -> Request:
        assert self.answer_prompt is not None
        fields = {**problem_fields(problem), "reasoning": reply.text.strip()}
        return Request(
            messages=work.prompt(self.answer_prompt).render(fields),
            temperature=0,
            max_tokens=self.max_tokens,
            seed=self.seed,
            extra=self.extra,
        )
