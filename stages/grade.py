"""Let a model judge the solutions of which no rule could tell whether they are right.

Reads   Solution
Writes  Solution with its judge_score, and where there is a gold answer its verdict; drops carry judged_wrong or
        judged_poor. What the judge refused to judge, or judged in a way that cannot be read, is carried on as it was
Source  Zheng et al. 2023, "Judging LLM-as-a-Judge with MT-Bench and Chatbot Arena", arXiv:2306.05685, sections 3.1
        (grading one answer, grading with a reference), 3.3 and 3.4 (position bias: both orders are asked)
Differs where the orders disagree the votes of both are counted together, and a tie decides nothing; without gold the
        criteria change places instead of the answers, since there is one answer alone

It costs money, so no recipe has it; a user's own recipe puts it behind `check`:

    Step("check", Check(), rows=("solve",)),
    Step("grade", Grade(teacher="judge", votes=3), rows=("check",)),
    Step("vote", Vote(without_gold_only=True), rows=("grade",)),
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from statistics import fmean
from typing import NamedTuple

from pydantic import Field

from pipeline.prompt import problem_fields
from pipeline.rows import Dropped, Solution
from pipeline.stage import Conversation, PromptName, Reply, Request, Rows, Stage, TeacherName, Work

VERDICT = re.compile(r"\bverdict\W{1,8}(same|different)\b", re.IGNORECASE)
SCORE = re.compile(r"\bscore\W{1,8}([1-5])(?![.,]?\d)", re.IGNORECASE)
LOWEST, HIGHEST = 1, 5


class Opinion(NamedTuple):
    """What the judge thinks of one solution."""

    score: float | None
    """Mean of the votes that can be read, 0..1, where 1 is `same` or the highest score; None where none can be."""
    wavers: bool
    """One order says `same` more often than not, the other one less often."""
    trouble: str
    """Why the first vote that cannot be read cannot be; empty where all can be."""


class Grade(Stage):
    """A model as judge: is this the gold answer, or, without gold, how good is this solution."""

    reads = Solution
    writes = Solution

    teacher: TeacherName = "main"
    """Who judges; another one than the teacher of the solutions judges them with less favour."""
    same_prompt: PromptName = "grade/same"
    """Prompt file for problems with a gold answer; it may name {{question}}, {{choices}}, {{first}} and {{second}}, the
    found answer and gold in either order. The reply says `Verdict: same` or `Verdict: different`."""
    score_prompt: PromptName = "grade/score"
    """Prompt file for problems without one; it may name {{question}}, {{choices}}, {{text}} (the whole reply),
    {{found}} and {{criteria}}. The reply says `Score: N`, 1 to 5."""
    rubric: tuple[str, ...] = Field(
        default=(
            "The final answer is right and answers what was asked.",
            "Each step follows from what stands before it.",
            "Nothing that matters is left out or made up.",
            "It is clear, and no longer than it has to be.",
        ),
        min_length=1,
    )
    """What {{criteria}} lists, one a line."""
    votes: int = Field(default=1, ge=1)
    """Samples of each order."""
    both_orders: bool = True
    """Ask with the two answers, or the criteria, in either order."""
    temperature: float | None = Field(default=None, ge=0)
    """None leaves it to the provider."""
    max_tokens: int | None = Field(default=1024, ge=1)
    """Ceiling of one vote, in the judge's tokens; one that is cut there is not read. None leaves it to the provider."""
    seed: int | None = 0
    """Vote i is asked with seed + i; None sends no seed."""
    min_score: float | None = Field(default=None, ge=0, le=1)
    """Least score of a solution without gold; None drops none for its score."""
    use_gold: bool = True
    """Hold the answer against the gold one where there is one; without, every solution gets a score by the criteria,
    as a vote needs that is calibrated on such scores."""
    every: bool = False
    """Judge also what a rule found right or wrong, and take the judge's word over it."""

    def run(self, rows: Rows[Solution], work: Work) -> Iterator[Solution | Dropped]:
        """Ask for every solution that no rule decided."""
        tally: Counter[str] = Counter()
        troubles: Counter[str] = Counter()
        for row, opinion in work.teachers.ask(self.teacher, rows, lambda row: self.conversation(row, work)):
            if opinion is None:
                yield row
                continue
            made = self._judged(row, opinion)
            tally.update(judged=1, own=row.teacher == self.teacher, wavered=opinion.wavers)
            if made is row:
                troubles[opinion.trouble or "tied"] += 1
            yield made
        for line in _lines(tally, troubles, work.step):
            work.progress.say(f"{work.step}: {line}")

    def conversation(self, row: Solution, work: Work) -> Conversation[Opinion | None]:
        """One turn: all votes of all orders; nothing is asked where a rule has decided."""
        if row.verdict in ("right", "wrong") and not self.every:
            return None
        requests = self._requests(row, work)
        replies = yield [vote for request in requests for vote in request.samples(self.votes)]
        is_compared = self._gold(row) is not None
        scores = [_score(reply, VERDICT if is_compared else SCORE) for reply in replies]
        orders = [_mean(scores[: self.votes]), _mean(scores[self.votes :])]
        leanings = {score > 0.5 for score in orders if score is not None and score != 0.5}
        faults = (_fault(reply) for reply, score in zip(replies, scores, strict=True) if score is None)
        return Opinion(_mean(scores), is_compared and len(leanings) > 1, next(faults, ""))

    def _requests(self, row: Solution, work: Work) -> list[Request]:
        """One request an order."""
        has_gold = self._gold(row) is not None
        fields = problem_fields(row.problem)
        answers, criteria = (row.found or row.text, fields.pop("answer")), [f"- {line}" for line in self.rubric]
        requests = []
        for turn in (1, -1) if self.both_orders else (1,):
            compared = dict(zip(("first", "second"), answers[::turn], strict=True))
            graded = {"text": row.text, "found": row.found or "", "criteria": "\n".join(criteria[::turn])}
            prompt = work.prompt(self.same_prompt if has_gold else self.score_prompt)
            requests.append(
                Request(
                    messages=prompt.render({**fields, **(compared if has_gold else graded)}),
                    temperature=self.temperature,
                    max_tokens=self.max_tokens,
                    seed=self.seed,
                )
            )
        return requests

    def _gold(self, row: Solution) -> str | None:
        return row.problem.answer if self.use_gold else None

    def _judged(self, row: Solution, opinion: Opinion) -> Solution | Dropped:
        """What becomes of a solution; the row itself where nothing is decided."""
        score, gold = opinion.score, self._gold(row)
        if score is None or (gold is not None and score == 0.5):
            return row
        if gold is None and self.min_score is not None and score < self.min_score:
            return Dropped(id=row.id, reason="judged_poor", detail=f"score {score:.2f}, at least {self.min_score:.2f}")
        if gold is None:
            return row.model_copy(update={"judge_score": score})
        if score > 0.5:
            return row.model_copy(update={"verdict": "right", "judge_score": score})
        found = (row.found or row.text)[:60]
        return Dropped(
            id=row.id, reason="judged_wrong", detail=f"{score:.0%} say that {found!r} is the same as gold {gold[:60]!r}"
        )


def _lines(tally: Counter[str], troubles: Counter[str], step: str) -> Iterator[str]:
    """What a person should know of the judge."""
    judged = tally["judged"]
    if tally["own"]:
        yield (
            f"{tally['own']} of {judged} solutions are the judge's own, and a model favours its own; "
            f"name another teacher: --set {step}.teacher=NAME"
        )
    if tally["wavered"]:
        yield f"the judge changed its mind with the order of the answers on {tally['wavered']} of {judged}"
    if troubles:
        named = ", ".join(f"{count} {trouble}" for trouble, count in sorted(troubles.items()))
        yield f"{troubles.total()} of {judged} solutions have no judgement and are carried on as they were: {named}"


def _score(reply: Reply, pattern: re.Pattern[str]) -> float | None:
    """The last verdict or score of a reply, 0..1; None where it has none, or may have been cut before it."""
    found = pattern.findall(reply.text)
    if not found or reply.cut or reply.problem is not None:
        return None
    word = found[-1].casefold()
    return float(word == "same") if word.isalpha() else (int(word) - LOWEST) / (HIGHEST - LOWEST)


def _fault(reply: Reply) -> str:
    return reply.problem or ("cut" if reply.cut else "unreadable")


def _mean(scores: Sequence[float | None]) -> float | None:
    """The mean of those that could be read; None of none."""
    read = [score for score in scores if score is not None]
    return fmean(read) if read else None
