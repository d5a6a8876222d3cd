"""Show the teacher the gold answer and ask why, for the problems that it did not solve by itself.

Reads   Problem; looks into the step that plays `solved` for the solutions that were kept
Writes  Solution, hinted; drops carry already_solved, no_gold, refused, teacher_error or not_recorded
Source  Zelikman et al. 2022, "STaR: Bootstrapping Reasoning With Reasoning", arXiv:2203.14465, section 3.2; Li et
        al. 2022, "Explanations from Large Language Models Make Small Reasoners Better", arXiv:2210.06726
"""

from collections.abc import Iterator

from pydantic import Field, model_validator

from pipeline.jsonl import StoredRows
from pipeline.prompt import problem_fields
from pipeline.rows import Dropped, Problem, Solution
from pipeline.solutions import Truncated, ask, ceiling_of, read_solution
from pipeline.stage import Conversation, PromptName, Request, Rows, Stage, TeacherName, Work


class Rationalize(Stage):
    """Reasons for an answer that is known."""

    version = 2
    reads = Problem
    writes = Solution
    may_be_empty = True

    teacher: TeacherName = "main"
    """Who is asked."""
    prompt: PromptName
    """Prompt file; it may name {{question}}, {{choices}} and {{answer}}, the gold."""
    samples: int = Field(default=1, ge=1)
    """Samples a problem."""
    temperature: float | None = Field(default=None, ge=0)
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
    """Sample i is asked with seed + i; None sends no seed."""

    @model_validator(mode="after")
    def _there_is_a_ceiling_to_raise(self) -> "Rationalize":
        ceiling_of(self.truncated, self.max_tokens, self.escalate_to)
        return self

    def run(self, rows: Rows[Problem], work: Work) -> Iterator[Solution | Dropped]:
        """Ask for every unsolved problem with a gold answer."""
        solved = {row.parent for row in StoredRows([work.uses["solved"] / "rows.jsonl"], Solution)}
        unsolved = [row for row in rows if row.answer is not None and row.id not in solved]
        replies = work.teachers.ask(self.teacher, unsolved, lambda problem: self.conversation(problem, work))
        for row in rows:
            if row.id in solved:
                yield Dropped(id=row.id, reason="already_solved")
            elif row.answer is None:
                yield Dropped(id=row.id, reason="no_gold")
        for _, solutions in replies:
            yield from solutions

    def conversation(self, row: Problem, work: Work) -> Conversation[list[Solution | Dropped]]:
        """One call a sample."""
        request = Request(
            messages=work.prompt(self.prompt).render(problem_fields(row)),
            temperature=self.temperature,
            max_tokens=self.max_tokens,
            stop=self.stop,
            seed=self.seed,
        )
        replies = yield from ask(
            request.samples(self.samples), ceiling_of(self.truncated, self.max_tokens, self.escalate_to)
        )
        return [
            read_solution(row, f"{row.id}/hint-{index}", [reply], self.teacher, self.truncated, hinted=True)
            for index, reply in enumerate(replies)
        ]
