"""Replies as a stage sees them, read from the ledger each time: a better reader never asks again."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from pipeline.stage import Conversation, R, Reply
from pipeline.teacher import dialect, logprobs
from pipeline.teacher.keys import Teacher, Wanted
from pipeline.teacher.ledger.entries import Entry
from pipeline.teacher.ledger.ledger import Ledger


class Replies:
    """What is known of one teacher's replies.

    Args:
        ledger: what is stored.
        teacher: whose replies.
        given_up: by key, what holds for this asking alone.
    """

    def __init__(self, ledger: Ledger, teacher: Teacher, given_up: Mapping[str, Reply]) -> None:
        self.teacher = teacher
        self._ledger = ledger
        self._given_up = given_up

    def find(self, wanted: Sequence[Wanted]) -> list[Reply | None]:
        """The replies, in order; None where one must be asked for."""
        entries = self._ledger.find({one.key: one.limit for one in wanted if one.key not in self._given_up})
        return [self._given_up.get(one.key) or _known(one.key, entries) for one in wanted]

    def replay(self, talk: Conversation[R]) -> R:
        """Hold a conversation with what is known alone.

        Raises:
            LookupError: it asks for something that is not known.
        """
        try:
            requests = next(talk)
            while True:
                found = self.find([self.teacher.wanted(request) for request in requests])
                replies = [reply for reply in found if reply is not None]
                if len(replies) < len(found):
                    talk.close()
                    raise LookupError("the ledger lacks a reply")
                requests = talk.send(replies)
        except StopIteration as end:
            result: R = end.value
            return result


def _known(key: str, entries: Mapping[str, Entry]) -> Reply | None:
    return reply_of(key, entries[key]) if key in entries else None


def reply_of(key: str, entry: Entry) -> Reply:
    """A stored answer, read."""
    if entry.kind == "refused":
        verdict = dialect.judge(entry.status or 0, entry.headers.get("content-type", ""), entry.body)
        return Reply(key, problem="refused", detail=verdict.message)
    choices, tokens = _answer(entry.body)
    choice = dialect.read_choice(choices[entry.choice], tokens)
    return Reply(
        key,
        text=choice.text,
        thoughts=choice.thoughts,
        cut=choice.cut,
        problem="refused" if choice.refusal else None,
        detail=choice.refusal,
        tokens=choice.tokens,
        logprobs=logprobs.read(choices[entry.choice]),
    )


@lru_cache(maxsize=8)
def _answer(body: bytes) -> tuple[list[Mapping[str, Any]], int | None]:
    """The choices of an answer, and the tokens of its only one; samples that came as one are read one by one."""
    payload = dialect.parse(body) or {}
    return dialect.choices_of(payload), dialect.tokens_of_one(payload)
