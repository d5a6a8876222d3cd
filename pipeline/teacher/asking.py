"""One asking: the ledger is open for writing, a signal ends it in order, and the rows of each teacher are filled side
by side, so that a slow teacher keeps no other one waiting.
"""

import asyncio
from collections.abc import Sequence, Sized
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

from pipeline.errors import UsageError
from pipeline.progress import Progress
from pipeline.teacher.accounts import Books
from pipeline.teacher.ask import Ask
from pipeline.teacher.batch.filling import BatchFilling
from pipeline.teacher.batch.jobs import Jobs
from pipeline.teacher.budget import Amount, Budget, Caps
from pipeline.teacher.filling import Filling
from pipeline.teacher.halt import Halt, interruptible, together
from pipeline.teacher.keys import Teacher
from pipeline.teacher.ledger.ledger import Ledger
from pipeline.teacher.limits.gate import Clock, Gate
from pipeline.teacher.recorded import Recorded
from pipeline.teacher.replies import Replies
from pipeline.teacher.sending import Sender
from pipeline.teacher.standing import Standing
from pipeline.teacher.tally import Tally
from pipeline.teacher.transport import connected


@dataclass(frozen=True)
class Way:
    """The way to one teacher."""

    gate: Gate
    flights: dict[str, "asyncio.Future[None]"] = field(default_factory=dict)
    """By key, what is in flight."""


@dataclass(frozen=True)
class Asking:
    """Where and how all asks of a step are sent."""

    run: str
    step: str
    ledger: Ledger
    books: Books
    caps: Caps
    progress: Progress
    clock: Clock
    free_floor_bytes: int

    async def fill(self, asks: Sequence[tuple[Ask, Standing]]) -> None:
        """Hold the conversations until the ledger, or `given_up`, has every reply that they ask for.

        Raises:
            PipelineError: why it ended before; see `pipeline.errors`.
        """
        halt, tally = Halt(), Tally()
        async with AsyncExitStack() as stack:
            stack.enter_context(self.ledger.writing())
            await self._tell_orphans()
            for ask, _ in asks:
                self._refuse_open_jobs(ask.teacher)
            stack.enter_context(interruptible(halt, lambda: self._say_stopping(tally.in_flight)))
            taken = Amount() if self.caps == Caps() else self.books.taken(self.caps)
            budget = Budget(self.caps, taken, self.books.maybe_billed)
            sized = [len(ask.rows) for ask, _ in asks if isinstance(ask.rows, Sized)]
            if len(sized) == len(asks):
                self.progress.total(sum(sized))
            # Several asks of one teacher share what it takes and what is in flight to it.
            ways = {id(standing): Way(Gate(standing.limits, self.clock, halt)) for _, standing in asks}
            await together(
                *(self._fill(ask, standing, ways[id(standing)], budget, halt, tally, stack) for ask, standing in asks)
            )
        if halt.reason is not None:
            raise halt.reason

    async def _fill(
        self,
        ask: Ask,
        standing: Standing,
        way: Way,
        budget: Budget,
        halt: Halt,
        tally: Tally,
        stack: AsyncExitStack,
    ) -> None:
        teacher = ask.teacher
        if teacher.choice.recorded is not None:
            recorded = Recorded(self.run, self.step, self.ledger, teacher, halt, self.progress, ask.given_up)
            await recorded.fill(ask.rows, ask.conversation)
            return
        sender = Sender(
            run=self.run,
            step=self.step,
            ledger=self.ledger,
            transport=await stack.enter_async_context(connected(standing.base_url, standing.key, teacher.choice)),
            standing=standing,
            gate=way.gate,
            budget=budget,
            rates=self.books.rates(teacher.identity, teacher.model),
            halt=halt,
            progress=self.progress,
            tally=tally,
            given_up=ask.given_up,
            free_floor_bytes=self.free_floor_bytes,
        )
        replies = Replies(self.ledger, teacher, ask.given_up)
        filling: Filling[Any, Any] | BatchFilling[Any, Any]
        if teacher.choice.batch:
            filling = BatchFilling(ask.rows, ask.conversation, replies, sender)
            await filling.run()
        else:
            filling = Filling(iter(ask.rows), ask.conversation, replies, sender, way.flights)
            side_by_side = 2 * teacher.choice.concurrency
            await filling.run(min(side_by_side, len(ask.rows)) if isinstance(ask.rows, Sized) else side_by_side)
        ask.samples, ask.lost = filling.samples, filling.lost
        known = standing.limits.known(self.clock.now())
        if known and known != standing.remembered:
            await self.ledger.learn(teacher.identity, teacher.model, "limits", known)

    def _refuse_open_jobs(self, teacher: Teacher) -> None:
        """What is under way in a batch job would be paid again if it were asked online."""
        count = 0 if teacher.choice.batch else len(Jobs(self.ledger).open(teacher.identity, teacher.model))
        if count:
            raise UsageError(
                f"teachers.{teacher.name}: {count} batch jobs are under way, and it is to be asked online now",
                f"wait for them with teachers.{teacher.name}.batch: true, or end them: python -m pipeline batch cancel",
            )

    async def _tell_orphans(self) -> None:
        count = await self.ledger.settle_orphans()
        if count:
            self.progress.say(f"{count} requests were in flight when an earlier process died: maybe billed")

    def _say_stopping(self, in_flight: int) -> None:
        self.progress.say(f"stopping: waiting for {in_flight} requests in flight; once more ends at once")
