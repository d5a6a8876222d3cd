"""Holds the conversations of a step in rounds, each of which is asked through the teacher's batch API.

A round replays every conversation to its first missing replies, sends what is missing as one job (several where it is
large), and waits. What a job leaves without an answer is asked once more as a job, or online where it is little.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Generic

from pipeline.errors import StageError
from pipeline.stage import Conversation, R, RowT
from pipeline.teacher.batch.packing import Packing
from pipeline.teacher.batch.queue import BatchQueue
from pipeline.teacher.filling import grouped
from pipeline.teacher.halt import HaltedError, together
from pipeline.teacher.keys import Wanted
from pipeline.teacher.replies import Replies
from pipeline.teacher.sending import Sender

TAIL_REQUESTS = 100
TAIL_SHARE = 0.1
"""Up to so many requests without an answer, or this share of a round's, are asked online at the end of the round."""


@dataclass
class Asked:
    """What one round asked for."""

    keys: set[str] = field(default_factory=set)
    requests: int = 0

    def add(self, keys: Iterable[str]) -> None:
        """One request of it, by the keys of its samples."""
        self.keys.update(keys)
        self.requests += 1

    @property
    def most_online(self) -> float:
        """How many of its requests may be asked online."""
        return max(TAIL_REQUESTS, TAIL_SHARE * self.requests)


class BatchFilling(Generic[RowT, R]):
    """The conversations of one step.

    Args:
        rows: gone through again for each round.
        conversation: what is held for each.
        replies: what the ledger has.
        sender: whose teacher it is; asks what is asked online, the first request of a teacher that never replied and
            tails.
    """

    def __init__(
        self,
        rows: Iterable[RowT],
        conversation: Callable[[RowT], Conversation[R]],
        replies: Replies,
        sender: Sender,
    ) -> None:
        self._rows = rows
        self._conversation = conversation
        self._replies = replies
        self._sender = sender
        self._queue = BatchQueue(sender)
        self._complete = 0
        self.samples = 0
        """Samples that conversations were given."""
        self.lost = 0
        """Of these, the ones given up after retries."""

    async def run(self) -> None:
        """Hold them all; why it ended early stands in the sender's halt."""
        try:
            await self._ask()
            held = self._sender.standing.held
            if held:
                self._sender.halt.stop(self._sender.standing.all_refused())
        except HaltedError:
            pass
        except Exception as error:
            self._sender.halt.stop(error)
        if self._sender.halt.reason is not None:
            self._queue.tell_open()

    async def _ask(self) -> None:
        asked = Asked()
        for keys in await self._queue.open():
            asked.add(keys)
        while True:
            await self._ask_again(asked)
            asked = await self._send()
            if not asked.requests:
                return

    async def _ask_again(self, asked: Asked) -> None:
        """Have what was asked in vain asked once more, until there is an answer to all of it."""
        tail = await self._unanswered(asked)
        if len(tail) > asked.most_online:
            await self._send(only=asked.keys)
            tail = await self._unanswered(asked)
        if len(tail) > asked.most_online:
            raise StageError(
                f"step {self._sender.step}: after two batches, more than {asked.most_online:,.0f} of "
                f"{asked.requests:,} requests have no answer; the last fault: {self._sender.standing.last_fault}",
                "the others are kept; run the same command again to ask for these alone, or take `batch: true` out",
            )
        await together(*(self._sender.send(group) for group in tail))

    async def _send(self, only: Collection[str] | None = None) -> Asked:
        """Send what is missing, or of it what has these keys, and wait until all of it has ended."""
        asked = Asked()
        packing = Packing(self._sender, self._queue)
        try:
            async for group in self._missing(only):
                asked.add(one.key for one in group)
                await self._pack(group, packing)
            await packing.flush()
        except Exception as error:
            self._sender.halt.stop(error)
        await packing.join()
        self._sender.halt.check()
        return asked

    async def _pack(self, group: Sequence[Wanted], packing: Packing) -> None:
        sender = self._sender
        if sender.standing.accepted:
            await packing.put(sender.intent(group, sender.body(group, sender.standing.manner)))
        else:  # a wrong key, model or field shows at once, not after a day
            await sender.send(group)

    async def _unanswered(self, asked: Asked) -> list[list[Wanted]]:
        """What a round asked for in vain; once it is too much for asking it online, no more of it."""
        tail: list[list[Wanted]] = []
        if not asked.requests:
            return tail
        async for group in self._missing(asked.keys):
            if len(tail) <= asked.most_online:
                tail.append(group)
        return tail

    async def _missing(self, only: Collection[str] | None = None) -> AsyncIterator[list[Wanted]]:
        """What conversations lack to go on, each sample once, those of one prompt together."""
        seen: set[str] = set()
        complete = self.samples = self.lost = 0
        for row in self._rows:
            await asyncio.sleep(0)  # jobs are looked after meanwhile
            self._sender.halt.check()
            lacking = self._lacking(self._conversation(row))
            complete += not lacking
            fresh = [one for one in lacking if one.key not in seen and (only is None or one.key in only)]
            seen.update(one.key for one in fresh)
            for group in grouped(fresh):
                most = self._sender.standing.most_choices
                for at in range(0, len(group), most):
                    yield group[at : at + most]
        self._sender.progress.advance(complete - self._complete)
        self._complete = complete

    def _lacking(self, talk: Conversation[R]) -> list[Wanted]:
        """What a conversation lacks at the first turn that cannot be answered; nothing where it comes to its end."""
        try:
            requests = next(talk)
            while True:
                wanted = [self._replies.teacher.wanted(request) for request in requests]
                found = self._replies.find(wanted)
                replies = [reply for reply in found if reply is not None]
                if len(replies) < len(found):
                    talk.close()
                    return [one for one, reply in zip(wanted, found, strict=True) if reply is None]
                self.samples += len(replies)
                self.lost += sum(reply.problem == "teacher_error" for reply in replies)
                requests = talk.send(replies)
        except StopIteration:
            return []
