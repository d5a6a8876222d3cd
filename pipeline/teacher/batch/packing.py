"""Requests on their way into jobs: as many in one as the API takes and the budget can set aside."""

import asyncio
from dataclasses import dataclass, field

from pipeline.teacher.batch.queue import BatchQueue
from pipeline.teacher.ledger.entries import Intent
from pipeline.teacher.sending import Sender

MOST_REQUESTS = 50_000
"""Of one job, as OpenAI has it."""
MOST_BYTES = 190_000_000
"""Of the bodies of one job: of 200 MB, some is left for what stands around each."""


@dataclass
class Shard:
    """The requests of one job."""

    intents: list[Intent] = field(default_factory=list)
    body_bytes: int = 0

    def has_room(self, intent: Intent) -> bool:
        """Whether this one fits in too; in an empty one it does."""
        fits = len(self.intents) < MOST_REQUESTS and self.body_bytes + len(intent.body) <= MOST_BYTES
        return fits or not self.intents

    def add(self, intent: Intent) -> None:
        """Put one more in."""
        self.intents.append(intent)
        self.body_bytes += len(intent.body)


class Packing:
    """The jobs of one sending; they leave while the next ones are packed.

    Args:
        sender: whose budget it is.
        queue: where the jobs go.
    """

    def __init__(self, sender: Sender, queue: BatchQueue) -> None:
        self._sender = sender
        self._queue = queue
        self._shard = Shard()
        self._jobs: list[asyncio.Task[None]] = []

    async def put(self, intent: Intent) -> None:
        """Take one request; what the budget cannot set aside now waits for jobs under way, which use less than that.

        Raises:
            BudgetError: it cannot be set aside, and nothing is under way.
        """
        if not self._shard.has_room(intent):
            await self.flush()
        while not self._is_reserved(intent):
            if self._shard.intents:
                await self.flush()
            else:
                await self._queue.wait()
        self._shard.add(intent)

    async def flush(self) -> None:
        """Let the job that is being packed leave."""
        shard, self._shard = self._shard, Shard()
        if shard.intents:
            self._sender.check_room()
            number = await self._queue.jobs.begin(shard.intents)
            self._jobs.append(asyncio.create_task(self._queue.send(number)))

    async def join(self) -> None:
        """Wait for all that left.

        Raises:
            HaltedError: asking ended before.
        """
        for result in await asyncio.gather(*self._jobs, return_exceptions=True):
            if isinstance(result, BaseException):
                raise result

    def _is_reserved(self, intent: Intent) -> bool:
        sender = self._sender
        most = sender.budget.most(
            self._queue.rates,
            len(intent.body),
            len(intent.keys),
            intent.max_tokens,
            step=sender.step,
            teacher=sender.teacher.name,
        )
        return sender.budget.reserve([most]) == 1
