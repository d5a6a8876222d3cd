"""Make the data set: what the student reads, what it must write, and where each row came from.

Reads   Solution
Writes  Example, and `dataset/train.parquet`, beside which the run puts a card; drops carry cut_off, no_thoughts,
        no_rationale, no_answer, duplicate, too_long, surplus, less_likely, surplus_long or surplus_short. Where the
        student was asked what it finds likely, likelihood.jsonl
Source  two rows an item, label and rationale: Hsieh et al. 2023, "Distilling Step-by-Step!", arXiv:2305.02301,
        section 3.2; the think block: DeepSeek-AI 2025, "DeepSeek-R1", arXiv:2501.12948, section 2.3.3; long and short
        ones mixed: Li et al. 2025, "Small Models Struggle to Learn from Strong Reasoners", arXiv:2502.12143; what the
        student finds likely: Zhang, Dai and Peng 2025, "The Best Instruction-Tuning Data are Those That Fit",
        arXiv:2502.04194
Differs what is long is told by tokens, not by the teacher. Among the replies of several teachers the likeliest is not
        the best lesson (arXiv:2510.03988)
"""

import hashlib
from array import array
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from itertools import repeat
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from pipeline.data_set import with_dataset
from pipeline.prompt import Prompt, problem_fields
from pipeline.rows import Dropped, Example, Solution
from pipeline.solutions import cut_off
from pipeline.stage import PromptName, Rows, Stage, Work
from pipeline.student import likelihood, load
from pipeline.student.stock import Stock
from pipeline.student.text import encode

LIKELIHOOD = "likelihood.jsonl"
"""How likely the student finds each solution; a run that was stopped goes on behind what it wrote there."""

Made = tuple[Solution, list[Example]]
"""A solution, and what would be trained on of it."""


class Assemble(Stage):
    """Chat rows for supervised fine-tuning."""

    version = 4
    reads = Solution
    writes = Example
    resumes = True

    prompt: PromptName
    """Prompt file that ends with the turn that the student writes. It may name {{question}}, {{choices}}, {{text}}
    (the teacher's reply), {{think}} (its thoughts in <think> tags, empty where it showed none), {{rationale}} and
    {{answer}}."""
    rationale_prompt: PromptName | None = None
    """A second prompt file, for a second row of each item: `prompt` makes the label row, this one the rationale row.
    None makes one row a solution."""
    alpha: float = Field(default=0.5, ge=0, le=1)
    """Weight of the label row; the rationale row has 1 - alpha. Only with `rationale_prompt`."""
    answers: Literal["gold", "teacher"] = "gold"
    """What {{answer}} stands for: the gold answer where there is one, or always the teacher's."""
    require_thoughts: bool = False
    """Drop the solutions of a teacher that did not show its thoughts."""
    distinct: bool = False
    """Drop an example that is equal to an earlier one of the same problem."""
    max_per_problem: int | None = Field(default=None, ge=1)
    """Most solutions a problem; None keeps all."""
    prefer: Literal["first", "likeliest"] = "first"
    """Which ones those are: the first, or those that the untrained student finds likeliest, a token on average. Only
    with `max_per_problem`."""
    student: str | None = None
    """The student whose tokens are counted and who is asked what it finds likely, as `train` names it. None where none
    of the fields beneath is set, nor `prefer: likeliest`."""
    max_tokens: int | None = Field(default=None, ge=1)
    """Longest training text, prompt included, in tokens; longer ones are dropped. None sets no bound where nothing is
    counted, else that of the student's context. `train` has the same, but drops after all else was chosen."""
    long_share: float | None = Field(default=None, gt=0, lt=1)
    """Share of long solutions in what is kept; of the long or the short ones some are dropped. 0.2 suits a student of
    at most 3 billion parameters. None keeps all."""
    long_tokens: int = Field(default=1000, ge=1)
    """A solution for which the student must write more tokens than this is long."""

    terms: Mapping[str, str] = {}
    """Teacher -> its terms of use, which travel with every row that is made of its replies."""

    @model_validator(mode="after")
    def _can_be_told(self) -> "Assemble":
        if self.prefer == "likeliest" and self.max_per_problem is None:
            raise ValueError("prefer: likeliest chooses max_per_problem of each problem: set it too, to 1")
        if self._counts_tokens and self.student is None:
            raise ValueError(
                "max_tokens, long_share and prefer: likeliest ask the student: set student too, to student.model"
            )
        return self

    @property
    def _counts_tokens(self) -> bool:
        return self.max_tokens is not None or self.long_share is not None or self.prefer == "likeliest"

    def outside(self, base: Path) -> dict[str, str]:
        """The student who is asked."""
        return {"student": load.fingerprint(self.student, base)} if self.student and self._counts_tokens else {}

    def run(self, rows: Rows[Solution], work: Work) -> Iterator[Example | Dropped]:
        """Write the examples, to the data set too."""
        return with_dataset(self._assembled(rows, work), work.folder / "dataset")

    def _assembled(self, rows: Rows[Solution], work: Work) -> Iterator[Example | Dropped]:
        """Two passes where something hangs on more than one solution, else one; the texts are made in each."""
        chooses = self._counts_tokens or self.max_per_problem is not None
        work.progress.total(len(rows) * (2 if chooses else 1))
        faults = self._unsuited(lambda: self._made(rows, work), work) if chooses else repeat(None)
        for made in self._made(rows, work):
            if isinstance(made, Dropped):
                yield made
                continue
            fault = next(faults)
            if fault is None:
                yield from made[1]
            else:
                yield Dropped(id=made[0].id, reason=fault[0], detail=fault[1])

    def _made(self, rows: Rows[Solution], work: Work) -> Iterator[Made | Dropped]:
        """What could be trained on."""
        label, rationale = work.prompt(self.prompt), self.rationale_prompt and work.prompt(self.rationale_prompt)
        seen: set[bytes] = set()
        for row in rows:
            work.progress.advance()
            if fault := self._fault(row, label):
                yield Dropped(id=row.id, reason=fault)
                continue
            examples = self._examples(row, label, rationale or None)
            if self.distinct:
                digests = {_digest(example) for example in examples}
                if digests <= seen:
                    yield Dropped(id=row.id, reason="duplicate")
                    continue
                seen |= digests
            yield row, examples

    def _unsuited(self, made: Callable[[], Iterator[Made | Dropped]], work: Work) -> Iterator[tuple[str, str] | None]:
        """Reason and detail of each solution that is left out, and None of each other; none of them stays in memory."""
        solutions = (item for item in made() if not isinstance(item, Dropped))
        stock = self._stock(solutions, work)
        if self.max_per_problem is not None:
            stock.keep_of_each_problem(self.max_per_problem, "surplus" if self.prefer == "first" else "less_likely")
        if self.long_share is not None:
            work.progress.say(stock.mix(self.long_share, self.long_tokens))
        return stock.faults()

    def _stock(self, solutions: Iterator[Made], work: Work) -> Stock:
        """Each solution with its tokens and likelihood, as far as they are asked for."""
        if not self._counts_tokens:
            stock = Stock(max_tokens=None)
            for row, _ in solutions:
                stock.add(row.id, row.problem.id)
            return stock
        assert self.student is not None
        weights = load.find(self.student, work.base)
        tokenizer, context = load.load_tokenizer(weights), load.context_of(weights)
        stock = Stock(max_tokens=context if self.max_tokens is None else min(context, self.max_tokens))

        def fitting() -> Iterator[likelihood.Item]:
            for row, examples in solutions:
                texts = [encode(tokenizer, example) for example in examples]
                if stock.add(row.id, row.problem.id, texts):
                    yield row.id, texts

        if self.prefer == "likeliest":
            model = load.load_model(weights, load.fast_dtype())
            found = likelihood.remembered(work.folder / LIKELIHOOD, model, tokenizer.pad_token_id, fitting())
            stock.find_likely(array("d", found))
            del model, found
            load.free()
        else:
            deque(fitting(), maxlen=0)
        return stock

    def _fault(self, row: Solution, label: Prompt) -> str | None:
        if cut_off(row) is not None:
            return "cut_off"
        if self.require_thoughts and not row.thoughts:
            return "no_thoughts"
        if (self.rationale_prompt or "answer" in label.written) and self._answer(row) is None:
            return "no_answer"
        if self.rationale_prompt and not row.rationale.strip():
            return "no_rationale"
        return None

    def _answer(self, row: Solution) -> str | None:
        return row.problem.answer if self.answers == "gold" and row.problem.answer is not None else row.found

    def _examples(self, row: Solution, label: Prompt, rationale: Prompt | None) -> list[Example]:
        if rationale is None:
            return [self._example(row, row.id, label, "solve", 1.0)]
        return [
            self._example(row, f"{row.id}/label", label, "label", self.alpha),
            self._example(row, f"{row.id}/rationale", rationale, "rationale", 1 - self.alpha),
        ]

    def _example(
        self, row: Solution, name: str, prompt: Prompt, task: Literal["solve", "label", "rationale"], weight: float
    ) -> Example:
        answer = self._answer(row)
        states_answer = task == "label" or prompt.written == {"answer"}
        fields = {
            **problem_fields(row.problem),
            "text": row.text,
            "think": f"<think>\n{row.thoughts}\n</think>\n\n" if row.thoughts else "",
            "rationale": row.rationale.strip(),
            "answer": answer or "",
        }
        asked, completion = prompt.example(fields)
        return Example(
            id=name,
            parent=row.parent if name == row.id else row.id,
            prompt=asked,
            completion=completion,
            task=task,
            weight=weight,
            problem_id=row.problem.id,
            answer=None if task == "rationale" else answer,
            label="gold" if states_answer and answer == row.problem.answer is not None else _label(row),
            source=row.problem.source,
            licence=row.problem.licence,
            teacher=row.teacher,
            terms=self.terms.get(row.teacher),
            keys=row.keys,
        )


def _label(row: Solution) -> Literal["gold", "vote", "judge"] | None:
    """What vouches for the answer that the teacher gave."""
    if row.judge_score is not None:
        return "judge"
    if row.verdict == "right":
        return "gold"
    return None if row.vote_share is None or row.verdict == "wrong" else "vote"


def _digest(example: Example) -> bytes:
    """The same for equal completions of one problem, and small: a million stand in memory."""
    return hashlib.blake2b(f"{example.problem_id}\n{example.completion}".encode(), digest_size=16).digest()
