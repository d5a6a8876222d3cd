"""Every row type: the data dictionary.

A row is frozen and self-contained: it can be read without the step before it. Rows hold nothing that depends on
timing, so a run that was killed and begun again writes the same bytes. An id is read by people, never parsed.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

AnswerKind = Literal["number", "expression", "choice", "yes_no", "date", "list", "set", "text", "code"]
"""What an answer is, which decides how it is found and compared."""
Outcome = Literal["right", "wrong", "unverifiable"]
"""What a comparison with gold came to; unverifiable: there is no gold answer, or no rule that could tell."""


class Row(BaseModel):
    """What every row has."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    """Unique within its step."""
    parent: str | None = None
    """Id of the row that it was made from, in the step before; None for a row that came from outside."""


class Message(BaseModel):
    """One turn of a chat."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    role: Literal["system", "user", "assistant"]
    content: str


class InputOutput(BaseModel):
    """What a program must print for what it is given."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    input: str
    """Given on standard input."""
    output: str
    """Wanted on standard output; compared line by line without the spaces at the ends."""


class Problem(Row):
    """A question, with its gold answer where one is known.

    {"id": "train-7", "question": "What is 4 + 3 - 2?", "answer": "5", "source": "reasoning_gym:chain_sum"}
    """

    question: str
    answer: str | None = None
    """Gold; None where nobody knows it."""
    choices: tuple[str, ...] = ()
    """Options of a multiple-choice question, in order: (a), (b), ...; empty for any other."""
    answer_kind: AnswerKind | None = None
    """None infers it from gold and choices."""
    tests: tuple[str | InputOutput, ...] = ()
    """Of a question that asks for code: statements that must run after it (`assert f(2) == 4`), or what its program
    must print; empty for any other."""
    kind: Literal["reasoning", "general"] = "reasoning"
    source: str = ""
    """Where it came from, as the user named it."""
    licence: str | None = None
    scorer: str | None = None
    """`reasoning_gym:NAME` where the generator brings its own scorer, `python:FILE:FUNCTION@HASH` where the user does;
    None compares with the gold answer."""
    metadata: dict[str, Any] = {}
    """What that scorer needs; empty for all others."""

    @property
    def has_gold(self) -> bool:
        """Whether an answer to it can be judged: by a gold answer, a scorer or tests."""
        return self.answer is not None or self.scorer is not None or bool(self.tests)


class Solution(Row):
    """One sample of a teacher for one problem; its parent is the problem.

    {"id": "train-7/0", "problem": {...}, "text": "4 + 3 = 7. 7 - 2 = 5. The answer is 5.", "found": "5", ...}
    """

    problem: Problem
    thoughts: str = ""
    """What the teacher thought before it replied, where it showed that; never part of `text`."""
    text: str
    """The reply: rationale and final answer as the teacher wrote them, without a question that it went on to invent."""
    rationale: str
    """`text` without the sentence that states the final answer."""
    found: str | None
    """The final answer as it was read; None where none was found."""
    cut: bool = False
    """The reply ended at its token limit."""
    kept_cut: bool = False
    """It was cut, and its step was told to keep such replies: `filter` judges it as any other."""
    hinted: bool = False
    """The teacher was shown the gold answer and asked for the reasons."""
    logprob: float | None = None
    """Mean natural log-probability of the reply's tokens; None where it was not asked for."""
    verdict: Outcome | None = None
    """Set by `check`, by `grade` where no rule could tell, by `vote` for one with a right answer; else None."""
    pass_rate: float | None = None
    """Set by `check`: share of all samples of the problem, 0..1, that are right; None before it and without gold."""
    wrong_steps: tuple[str, ...] = ()
    """Set by `check`: steps of arithmetic in the reasoning that do not hold (`3 + 4 = 8`)."""
    judge_score: float | None = None
    """Set by `grade`: mean of a model's votes, 0..1 (how many say it is the gold answer, or the score that they give);
    None before it."""
    vote_share: float | None = None
    """Set by `vote`: share of all samples of the problem, 0..1, that gave this answer; None before it."""
    teacher: str
    """The teacher's name in the choices."""
    keys: tuple[str, ...]
    """Ledger keys (hex) of the replies that it was made from, in the order in which they were asked."""


class Example(Row):
    """One row of the data set: what the student reads and what it must write; its parent is the solution.

    {"id": "train-7/0", "prompt": [{"role": "user", "content": "What is 4 + 3 - 2?"}],
     "completion": "4 + 3 = 7. 7 - 2 = 5. The answer is 5.", "task": "solve", "weight": 1.0, ...}
    """

    prompt: tuple[Message, ...]
    completion: str
    task: Literal["solve", "label", "rationale"] = "solve"
    weight: float = 1.0
    """Factor on the mean loss of this row, so that a long row does not outweigh a short one."""
    problem_id: str
    answer: str | None = None
    """The final answer that the completion states; None where it states none."""
    label: Literal["gold", "vote", "judge"] | None = None
    """What vouches for the answer: the gold one, the majority of the samples, a model; None where nothing does."""
    source: str = ""
    licence: str | None = None
    """Of the problem."""
    teacher: str = ""
    terms: str | None = None
    """Of the teacher, as the user named them."""
    keys: tuple[str, ...] = ()


class Prediction(Row):
    """One answer of one model to a held-out problem; its parent is the problem."""

    model: Literal["base", "base_few_shot", "student", "teacher"]
    sample: int = 0
    """Which of the model's answers to this problem, from 0."""
    text: str
    found: str | None
    right: bool
    cut: bool = False
    """The text ended at its token limit."""
    tokens: int | None = None
    """Tokens generated; None where the teacher did not say."""


class Attempt(Row):
    """The answer of one candidate, among which a student is chosen, to a dev problem; its parent is the problem."""

    candidate: str
    """The step that trained it, and the epoch where it is not the last: `train/epoch-2`."""
    text: str
    found: str | None
    right: bool
    cut: bool = False
    """The text ended at its token limit."""
    tokens: int


class Score(Row):
    """What one model reached in one metric of one standard benchmark.

    {"id": "gsm8k/exact_match,strict-match/student", "task": "gsm8k", "metric": "exact_match,strict-match", ...}
    """

    task: str
    """A task or a group of tasks, as lm-eval names it."""
    metric: str
    """As lm-eval names it, with the filter that the answers went through where there is one."""
    model: Literal["base", "student"]
    value: float | None
    """None where lm-eval could not compute it."""
    stderr: float | None = None
    """Standard error as lm-eval computes it; None where it does not."""
    n: int
    """Questions asked."""


class Dropped(BaseModel):
    """A row that a step did not carry on, and why; it stays in `dropped.jsonl`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    """Id of the row that entered, or of the child that was not made of it."""
    parent: str | None = None
    """For a child that was not made: the id of the row that entered."""
    reason: str
    """Stable snake_case; people and tests match on it."""
    detail: str = ""
    """One line for a person: the value met, cut short."""
