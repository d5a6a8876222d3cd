"""Drop the solutions that nobody should learn from, whatever their answer.

Reads   Solution
Writes  Solution; drops carry cut_off, empty, secrets, refusal, prompt_leaked, no_answer, too_long, no_reasoning,
        repetition, answer_before_reasoning, several_answers, language or too_short
Source  mixed languages: DeepSeek-AI 2025, "DeepSeek-R1", arXiv:2501.12948, section 2.3.3
"""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path

from pydantic import Field, model_validator

from pipeline.faults import form, leaks, loops, refusals, secrets, stated, tokens
from pipeline.faults.language import language_of, other_language
from pipeline.rows import Dropped, Solution
from pipeline.solutions import cut_off
from pipeline.stage import PromptName, Rows, Stage, Work
from pipeline.student import load

TOGETHER = 256
"""Rows whose tokens are counted at once."""

Look = Callable[[Solution], str | None]
"""What a fault says of a row; None for a sound one."""


class Filter(Stage):
    """Form, not content: a solution is dropped for the first fault that it has."""

    version = 2
    reads = Solution
    writes = Solution

    require_answer: bool = True
    """Drop a solution in which no final answer was found."""
    max_characters: int | None = Field(default=None, ge=1)
    """Longest thoughts and text together; None sets no limit. The step `train` has one of its own, in tokens."""
    min_rationale_words: int = Field(default=3, ge=0)
    """Least words of reasoning, thoughts included; 0 lets bare answers through."""
    max_repeated_share: float = Field(default=0.3, ge=0, le=1)
    """Largest share of word 8-grams that may have stood in the text before, none of it in a loop; 1 lets loops
    through."""
    drop_secrets: bool = True
    """Drop what holds an API key, a private key or a password in a URL, in the question too."""
    drop_refusals: bool = True
    """Drop a reply that declines to answer."""
    drop_leaked_prompts: bool = True
    """Drop a reply with the marks of a chat template, the words of a system prompt, or a mention of the gold answer
    that the teacher was shown."""
    prompt: PromptName | None = None
    """Prompt file that the teacher was asked with: a reply that repeats a sentence of it, of 8 words or more, is
    dropped too. None looks for none."""
    drop_answers_first: bool = False
    """Drop a solution without thoughts that states its answer first and reasons after."""
    drop_several_answers: bool = False
    """Drop a solution that states different final answers."""
    language: str | None = None
    """What the solution must be written in (ISO 639-1: `en`), each passage of it; None lets every language through."""
    tokenizer: str | None = None
    """The student whose tokens `min_tokens` and `max_tokens` count, as `train` names it; None where neither is set."""
    min_tokens: int | None = Field(default=None, ge=1)
    """Least tokens of thoughts and text together; None sets no limit."""
    max_tokens: int | None = Field(default=None, ge=1)
    """Most tokens of thoughts and text together; None sets no limit. That of `train` counts the prompt too."""

    @model_validator(mode="after")
    def _can_be_told(self) -> "Filter":
        """Refused here, before anything is asked: a language or a limit that cannot be told."""
        limits = [name for name in ("min_tokens", "max_tokens") if getattr(self, name) is not None]
        if limits and self.tokenizer is None:
            raise ValueError(f"{limits[0]} counts tokens of the student: set tokenizer too, to its student.model")
        if self.min_tokens and self.max_tokens and self.min_tokens > self.max_tokens:
            raise ValueError(f"min_tokens: {self.min_tokens} is above max_tokens: {self.max_tokens}")
        if self.language:
            language_of(self.language)
        return self

    def outside(self, base: Path) -> dict[str, str]:
        """The student whose tokens are counted."""
        return {"tokenizer": load.fingerprint(self.tokenizer, base)} if self.tokenizer else {}

    def run(self, rows: Rows[Solution], work: Work) -> Iterator[Solution | Dropped]:
        """Give each solution its first fault, or pass it on."""
        work.progress.total(len(rows))
        looks = self._looks(work)
        count = tokens.counter(self.tokenizer, work.base) if self.tokenizer else None
        rest = iter(rows)
        while batch := list(islice(rest, TOGETHER)):
            judged = [_first_fault(row, looks) for row in batch]
            sound = [row for row in judged if isinstance(row, Solution)]
            lengths = iter(count(sound)) if count else None
            for row in judged:
                work.progress.advance()
                yield self._fitting(row, next(lengths)) if lengths and isinstance(row, Solution) else row

    def _looks(self, work: Work) -> list[tuple[str, Look]]:
        """Each drop reason that can be, with what looks for it; secrets before what may quote the text."""
        sentences = leaks.sentences_of(work.prompt(self.prompt)) if self.prompt else ()
        looks: list[tuple[str, bool, Look]] = [
            ("cut_off", True, cut_off),
            ("empty", True, form.empty),
            ("secrets", self.drop_secrets, secrets.secrets),
            ("refusal", self.drop_refusals, refusals.refusal),
            ("prompt_leaked", self.drop_leaked_prompts, partial(leaks.prompt_leaked, sentences=sentences)),
            ("no_answer", self.require_answer, form.no_answer),
            ("too_long", self.max_characters is not None, partial(form.too_long, most=self.max_characters or 0)),
            ("no_reasoning", self.min_rationale_words > 0, partial(form.no_reasoning, least=self.min_rationale_words)),
            ("repetition", self.max_repeated_share < 1, partial(loops.repetition, most=self.max_repeated_share)),
            ("answer_before_reasoning", self.drop_answers_first, stated.answer_before_reasoning),
            ("several_answers", self.drop_several_answers, stated.several_answers),
        ]
        chosen = [(reason, look) for reason, wanted, look in looks if wanted]
        return [*chosen, ("language", other_language(self.language))] if self.language else chosen

    def _fitting(self, row: Solution, length: int) -> Solution | Dropped:
        if self.max_tokens is not None and length > self.max_tokens:
            return Dropped(id=row.id, reason="too_long", detail=f"{length} tokens, {self.max_tokens} wanted at most")
        if self.min_tokens is not None and length < self.min_tokens:
            return Dropped(id=row.id, reason="too_short", detail=f"{length} tokens, {self.min_tokens} wanted at least")
        return row


def _first_fault(row: Solution, looks: list[tuple[str, Look]]) -> Solution | Dropped:
    for reason, look in looks:
        if (detail := look(row)) is not None:
            return Dropped(id=row.id, reason=reason, detail=detail)
    return row
