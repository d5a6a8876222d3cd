"""A teacher whose replies were bought elsewhere and stand in a file: they enter the ledger as if it had been asked."""

import asyncio
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.errors import UsageError
from pipeline.progress import Progress
from pipeline.stage import Conversation, R, Reply, Request, RowT, canonical_json
from pipeline.teacher.filling import grouped
from pipeline.teacher.halt import Halt, HaltedError
from pipeline.teacher.keys import Teacher, Wanted, messages_of
from pipeline.teacher.ledger.entries import Entry, Intent, Outcome, Sample
from pipeline.teacher.ledger.ledger import Ledger
from pipeline.teacher.recording import Recording, recording_of, told
from pipeline.teacher.replies import Replies, reply_of

SIDE_BY_SIDE = 256
"""Writes that wait for one commit."""


@dataclass
class Recorded:
    """One recorded teacher while a step asks it.

    Sample i of a problem is its i-th recorded completion, whatever the prompt says. A completion is a whole reply, so
    it answers the prompts that a conversation opens with, and no question about an earlier reply.
    """

    run: str
    step: str
    ledger: Ledger
    """Is being written to."""
    teacher: Teacher
    halt: Halt
    progress: Progress
    given_up: dict[str, Reply]
    """Filled, by key, with what the file lacks: it holds for this asking alone."""
    _fresh: dict[str, Reply] = field(default_factory=dict, init=False)
    """Replies, by key, that are on their way into the ledger."""
    _writes: list["asyncio.Future[int]"] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        self._replies = Replies(self.ledger, self.teacher, self.given_up)
        self._path = recording_of(self.teacher.choice.recorded or "", self.teacher.base)

    async def fill(self, rows: Iterable[RowT], conversation: Callable[[RowT], Conversation[R]]) -> None:
        """Hold the conversations, until the ledger or `given_up` has every reply that they ask for.

        Why it ended early stands in `halt`: among others a UsageError where the file cannot be read or is one for other
        problems, or where the step asks about replies.
        """
        try:
            await self._fill(await asyncio.to_thread(Recording, self._path), rows, conversation)
        except HaltedError:
            return
        except Exception as error:
            self.halt.stop(error)

    async def _fill(
        self, recording: Recording, rows: Iterable[RowT], conversation: Callable[[RowT], Conversation[R]]
    ) -> None:
        matched, unmatched = 0, ""
        try:
            for row in rows:
                await asyncio.sleep(0)  # else a file that is in the ledger already would keep the loop to itself
                self.halt.check()
                choices = recording.choices(row)
                matched += bool(choices)
                unmatched = unmatched or ("" if choices else told(row.id, getattr(row, "question", None)))
                self._hold(conversation(row), choices)
                self.progress.advance()
                if len(self._writes) >= SIDE_BY_SIDE:
                    await self._stored()
        finally:
            await self._stored()
        if unmatched and not matched and not self.ledger.ever_accepted(self.teacher.identity, self.teacher.model):
            raise UsageError(
                f"step {self.step}: {self._path.name} has no reply to any of the rows: its first line has "
                f"{recording.first}; the first row has {unmatched}",
                "give each line the `id` of its problem (python -m pipeline show load) or its `question` word for word",
            )

    def _hold(self, talk: Conversation[R], choices: Sequence[dict[str, Any]]) -> None:
        try:
            requests = next(talk)
            openings = [request.messages for request in requests]
            while True:
                if any(request.messages not in openings for request in requests):
                    raise UsageError(
                        f"step {self.step} asks a second question about each reply, and a recorded reply is whole",
                        f"where it asks for the answer by itself: --set {self.step}.answer_prompt=null",
                    )
                requests = talk.send(self._answers(requests, choices))
        except StopIteration:
            return

    def _answers(self, requests: Sequence[Request], choices: Sequence[dict[str, Any]]) -> list[Reply]:
        wanted = [self.teacher.wanted(request) for request in requests]
        missing = {one.key: one for one in wanted if self._find(one) is None}
        for group in grouped(list(missing.values())):
            there = [one for one in group if one.request.index < len(choices)]
            if there:
                self._store(there, [choices[one.request.index] for one in there])
            for one in group[len(there) :]:
                self._lack(one, len(choices))
        return [reply for one in wanted if (reply := self._find(one)) is not None]

    def _find(self, wanted: Wanted) -> Reply | None:
        return self._fresh.get(wanted.key) or self._replies.find([wanted])[0]

    def _store(self, wanted: Sequence[Wanted], choices: Sequence[dict[str, Any]]) -> None:
        """Write them as one reply, to a request as a teacher that is asked would have been sent it."""
        first = wanted[0]
        messages = messages_of(first.request)
        asked = canonical_json({"model": self.teacher.model, "messages": messages, **first.fields})
        intent = Intent(
            run=self.run,
            step=self.step,
            identity=self.teacher.identity,
            model=self.teacher.model,
            first_index=first.request.index,
            max_tokens=None,
            keys=tuple(one.key for one in wanted),
            body=asked.encode(),
        )
        body = json.dumps({"model": self.teacher.model, "choices": choices}, ensure_ascii=False).encode()
        samples = []
        for place, one in enumerate(wanted):
            reply = reply_of(one.key, Entry("reply", None, {}, body, place))
            # No limit is known of it, and none that is raised would make a cut one longer.
            samples.append(Sample(one.key, place, not reply.cut, None))
            self._fresh[one.key] = reply
        self._writes.append(self.ledger.store(intent, Outcome("reply", body=body), samples))

    def _lack(self, wanted: Wanted, recorded: int) -> None:
        detail = f"{self._path.name} has {recorded or 'none'} of its samples; this is number {wanted.request.index + 1}"
        self.given_up[wanted.key] = Reply(wanted.key, problem="not_recorded", detail=detail)

    async def _stored(self) -> None:
        await asyncio.gather(*self._writes)
        self._writes.clear()
        self._fresh.clear()
