"""Make the data set: what the student reads, what it must write, and where each row came from.

Reads   Solution
Writes  Example, and `dataset/train.parquet`, beside which the run puts a card; drops carry cut_off, duplicate,
        surplus, no_thoughts, no_rationale or no_answer
Source  two rows an item, label and rationale: Hsieh et al. 2023, "Distilling Step-by-Step!", arXiv:2305.02301,
        section 3.2; the think block: DeepSeek-AI 2025, "DeepSeek-R1", arXiv:2501.12948, section 2.3.3
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Literal

from pydantic import Field

from pipeline.prompt import Prompt, problem_fields
from pipeline.rows import Dropped, Example, Solution
from pipeline.solutions import cut_off
from pipeline.stage import PromptName, Rows, Stage, Work

AT_ONCE = 1000
"""Examples that are held in memory and written as one row group."""


class Assemble(Stage):
    """Chat rows for supervised fine-tuning."""

    version = 2
    reads = Solution
    writes = Example

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
    """Most solutions a problem, first ones first; None keeps all."""

    terms: Mapping[str, str] = {}
    """Teacher -> its terms of use, which travel with every row that is made of its replies."""

    def run(self, rows: Rows[Solution], work: Work) -> Iterator[Example | Dropped]:
        """Write the examples, to the data set too."""
        return with_dataset(self._assembled(rows, work), work.folder / "dataset")

    def _assembled(self, rows: Rows[Solution], work: Work) -> Iterator[Example | Dropped]:
        work.progress.total(len(rows))
        label, rationale = work.prompt(self.prompt), self.rationale_prompt and work.prompt(self.rationale_prompt)
        seen: set[bytes] = set()
        taken: Counter[str] = Counter()
        for row in rows:
            work.progress.advance()
            if fault := self._fault(row, taken):
                yield Dropped(id=row.id, reason=fault)
                continue
            made = self._examples(row, label, rationale or None)
            if self.distinct:
                digests = {_digest(example) for example in made}
                if digests <= seen:
                    yield Dropped(id=row.id, reason="duplicate")
                    continue
                seen |= digests
            taken[row.problem.id] += 1
            yield from made

    def _fault(self, row: Solution, taken: Counter[str]) -> str | None:
        if cut_off(row) is not None:
            return "cut_off"
        if self.max_per_problem is not None and taken[row.problem.id] >= self.max_per_problem:
            return "surplus"
        if self.require_thoughts and not row.thoughts:
            return "no_thoughts"
        if self.rationale_prompt and self._answer(row) is None:
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
            label="gold" if task == "label" and answer == row.problem.answer is not None else _label(row),
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


def with_dataset(rows: Iterable[Example | Dropped], folder: Path) -> Iterator[Example | Dropped]:
    """Pass rows on, and write the examples to `train.parquet`, so that `datasets.load_dataset(folder)` opens it."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    turn = pa.struct([("role", pa.string()), ("content", pa.string())])
    schema = pa.schema(
        [
            ("id", pa.string()),
            ("prompt", pa.list_(turn)),
            ("completion", pa.list_(turn)),
            ("task", pa.string()),
            ("weight", pa.float64()),
            ("problem_id", pa.string()),
            ("answer", pa.string()),
            ("label", pa.string()),
            ("source", pa.string()),
            ("licence", pa.string()),
            ("teacher", pa.string()),
            ("terms", pa.string()),
            ("keys", pa.list_(pa.string())),
        ]
    )
    folder.mkdir(exist_ok=True)
    with pq.ParquetWriter(folder / "train.parquet", schema) as writer:
        held: list[Example] = []
        for row in rows:
            if isinstance(row, Example):
                held.append(row)
            if len(held) == AT_ONCE:
                writer.write_table(pa.Table.from_pylist([_record(example) for example in held], schema=schema))
                held.clear()
            yield row
        writer.write_table(pa.Table.from_pylist([_record(example) for example in held], schema=schema))


def _record(example: Example) -> dict[str, object]:
    completion = [{"role": "assistant", "content": example.completion}]
    return {**example.model_dump(mode="json", exclude={"parent"}), "completion": completion}
