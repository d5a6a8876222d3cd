"""Ask a teacher for step-by-step solutions, several samples a problem.

Reads   Problem
Writes  Solution, one a sample; drops carry refused (the provider refused the request) or teacher_error
Source  Wei et al. 2022, "Chain-of-Thought Prompting Elicits Reasoning in Large Language Models", arXiv:2201.11903;
        the second call that asks for the answer alone: Kojima et al. 2022, "Large Language Models are Zero-Shot
        Reasoners", arXiv:2205.11916, section 3
"""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import Field

from pipeline.prompt import problem_fields
from pipeline.rows import Dropped, Problem, Solution
from pipeline.solutions import read_solution
from pipeline.stage import Conversation, PromptName, Reply, Request, Rows, Stage, TeacherName, Work


class Solve(Stage):
    """k samples a problem."""

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
    """Samples a problem."""
    temperature: float | None = Field(default=None, ge=0)
    """None leaves it to the provider."""
    top_p: float | None = Field(default=None, gt=0, le=1)
    """None leaves it to the provider."""
    max_tokens: int | None = Field(default=None, ge=1)
    """Ceiling of one reply, in the teacher's tokens; None leaves it to the provider."""
    stop: tuple[str, ...] = ()
    """A reply ends before the first of these."""
    seed: int | None = 0
    """Sample i is asked with seed + i; None sends no seed, for a provider that refuses one."""
    extra: Mapping[str, Any] = {}
    """Further fields of the request's body."""

    def run(self, rows: Rows[Problem], work: Work) -> Iterator[Solution | Dropped]:
        """Ask for every problem, then read the replies in the order of the problems."""
        asked = work.teachers.ask(self.teacher, rows, lambda problem: self.conversation(problem, work))
        for _, solutions in asked:
            yield from solutions

    def conversation(self, row: Problem, work: Work) -> Conversation[list[Solution | Dropped]]:
        """One call a sample, or two where the answer is asked for by itself."""
        request = Request(
            messages=work.prompt(self.prompt).render(problem_fields(row)),
            temperature=self.temperature,
            top_p=self.top_p,
            max_tokens=self.max_tokens,
            stop=self.stop,
            seed=self.seed,
            extra=self.extra,
        )
        replies = yield request.samples(self.samples)
        if self.answer_prompt is None:
            return [
                read_solution(row, f"{row.id}/{index}", [reply], self.teacher) for index, reply in enumerate(replies)
            ]
        follow_ups = {
            index: self._follow_up(row, reply, work) for index, reply in enumerate(replies) if reply.problem is None
        }
        answers = dict(zip(follow_ups, (yield list(follow_ups.values())), strict=True)) if follow_ups else {}
        return [
            read_solution(
                row, f"{row.id}/{index}", [reply, answers[index]] if index in answers else [reply], self.teacher
            )
            for index, reply in enumerate(replies)
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
