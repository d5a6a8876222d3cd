"""How a stage asks for solutions of one problem, what it does about cut replies, and what it makes of all of them."""

from collections.abc import Sequence
from statistics import fmean
from typing import Literal

from pipeline.answers import find, normalise, split
from pipeline.answers.statement import own
from pipeline.rows import Dropped, Problem, Solution
from pipeline.stage import Conversation, Reply, Request

Truncated = Literal["drop", "escalate", "keep"]
"""What is done about a reply that ended at its token limit: it becomes a solution that has no vote and is dropped as
cut_off; it is asked for once more with a higher limit, and dropped where it is cut again; it becomes a solution as any
other."""

ESCALATED = 4
"""A higher limit is so many times the first unless the choices say: there is one further attempt, and a reply that
twice the limit would not have held is more often endless than long."""


def ceiling_of(truncated: Truncated, max_tokens: int | None, escalate_to: int | None) -> int | None:
    """The limit of the second attempt at a reply that was cut; None where there is none.

    Raises:
        ValueError: there is no limit to raise, or the higher one is not higher.
    """
    if truncated != "escalate":
        return None
    if max_tokens is None:
        raise ValueError("truncated: escalate raises max_tokens, which is not set; add max_tokens: 2048")
    if escalate_to is not None and escalate_to <= max_tokens:
        raise ValueError(f"escalate_to: {escalate_to} is not above max_tokens: {max_tokens}")
    return escalate_to or ESCALATED * max_tokens


def ask(requests: Sequence[Request], ceiling: int | None) -> Conversation[list[Reply]]:
    """Ask; and ask once more, with this limit, for the replies that were cut. None asks once.

    A key holds no limit, so both replies stand under one key in the ledger. The second one counts, whatever it is.
    """
    replies = list((yield requests)) if requests else []
    cut = [place for place, reply in enumerate(replies) if reply.cut and reply.problem is None]
    if ceiling is None or not cut:
        return replies
    again = yield [requests[place].model_copy(update={"max_tokens": ceiling}) for place in cut]
    for place, reply in zip(cut, again, strict=True):
        if reply.problem != "refused":  # a ceiling that the model does not have leaves the cut reply as it was
            replies[place] = reply
    return replies


def read_solution(
    problem: Problem,
    name: str,
    replies: Sequence[Reply],
    teacher: str,
    truncated: Truncated = "drop",
    hinted: bool = False,
) -> Solution | Dropped:
    """A solution, or why there is none: `refused`, `teacher_error` or `not_recorded`.

    Args:
        problem: what was asked.
        name: the solution's id.
        replies: the reply; where the answer was asked for by itself, that second reply too.
        teacher: who replied, by its name in the choices.
        truncated: what is done about a reply that was cut.
        hinted: the teacher was shown the gold answer.
    """
    for reply in replies:
        if reply.problem is not None:
            return Dropped(id=name, parent=problem.id, reason=reply.problem, detail=reply.detail)
    text = own(replies[0].text)
    if len(replies) == 2:
        rationale = text
        text = f"{text}\nTherefore, the answer is {replies[1].text.strip()}"
    else:
        rationale, _ = split(text)
    cut = any(reply.cut for reply in replies)
    return Solution(
        id=name,
        parent=problem.id,
        problem=problem,
        thoughts=replies[0].thoughts.strip(),
        text=text,
        rationale=rationale,
        found=find(text, problem),
        cut=cut,
        kept_cut=cut and truncated == "keep",
        hinted=hinted,
        logprob=_mean_logprob(replies[0]),
        teacher=teacher,
        keys=tuple(reply.key for reply in replies),
    )


def _mean_logprob(reply: Reply) -> float | None:
    return fmean(token.logprob for token in reply.logprobs) if reply.logprobs else None


def cut_off(row: Solution) -> str | None:
    """Where a reply ended that was cut and is not kept, so that its last number is no answer; None for any other."""
    if not row.cut or row.kept_cut:
        return None
    whole = f"{row.thoughts}\n{row.text}".strip()
    return f"ended at its token limit, after {len(whole)} characters"


def ballot_of(row: Solution | Dropped) -> str | None:
    """The answer that a sample gives in a vote, in canonical form; None where it gives none, or was cut off."""
    if isinstance(row, Dropped) or row.found is None or cut_off(row):
        return None
    return normalise(row.found, row.problem.choices)
