"""The door to the teachers: what a stage asks comes from the ledger, and from the network where that lacks it."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import AsyncExitStack
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any

from pipeline.choices import Choices, key_of
from pipeline.errors import Interrupted, StageError, UsageError
from pipeline.lock import hold
from pipeline.progress import Progress
from pipeline.stage import Conversation, R, Reply, Request, RowT
from pipeline.teacher import keys
from pipeline.teacher.accounts import Books
from pipeline.teacher.budget import Budget
from pipeline.teacher.disk import network_file_system
from pipeline.teacher.halt import Halt, interruptible
from pipeline.teacher.keys import Teacher
from pipeline.teacher.ledger import Ledger
from pipeline.teacher.local import LocalTeacher, check_installed, weights_of
from pipeline.teacher.local_server import SLOTS
from pipeline.teacher.replies import Replies
from pipeline.teacher.standing import Standing

MOST_CHOICES = 128
"""Most samples in one request; what OpenAI allows."""


class Teachers:
    """All teachers of the choices in front of one ledger; what `Work.teachers` is.

    Args:
        choices: the user's choices.
        outputs: folder of the ledger.
        run: name of the run, for the books.
        logs: folder for the log of a local teacher.
        progress: where lines go until a step begins.
        max_failure_share: largest share of a step's samples that may be given up after retries.
        first_wait_seconds: wait before a second attempt, about; each further one waits twice as long.
        free_floor_bytes: free space that is kept for storing what is in flight.
    """

    def __init__(
        self,
        choices: Choices,
        outputs: Path,
        run: str,
        logs: Path,
        progress: Progress,
        max_failure_share: float = 0.02,
        first_wait_seconds: float = 1.0,
        free_floor_bytes: int = 64 * 2**20,
    ) -> None:
        self.progress = progress
        self._choices = choices
        self._path = outputs / "ledger.sqlite"
        self._run = run
        self._logs = logs
        self._max_failure_share = max_failure_share
        self._first_wait_seconds = first_wait_seconds
        self._free_floor_bytes = free_floor_bytes
        self._step = ""
        self._teachers = {name: Teacher(name, choice, choices.base) for name, choice in choices.teachers.items()}
        self._servers: dict[str, LocalTeacher] = {}
        self._standings: dict[str, Standing] = {}

    def __enter__(self) -> "Teachers":
        """Nothing is opened before it is needed."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End local teachers and close the ledger."""
        for server in self._servers.values():
            server.close()
        self._servers.clear()
        if "ledger" in self.__dict__:
            self.ledger.close()

    @cached_property
    def ledger(self) -> Ledger:
        """The ledger, opened when first needed."""
        return Ledger(self._path)

    @cached_property
    def books(self) -> Books:
        """What was asked and what it cost."""
        return Books(self.ledger, self._run, self._teachers)

    def begin(self, step: str, progress: Progress) -> None:
        """From here on this step asks, and this is where it tells how far it is."""
        self._step = step
        self.progress = progress

    def check(self, names: Iterable[str]) -> None:
        """Refuse what can be seen to be wrong with these teachers before anything is asked.

        Raises:
            UsageError: no key, no address, no weights, a field that is not the user's, a price that a budget needs.
        """
        for name in names:
            self._check(self._teachers[name])

    def has(self, teacher: str, request: Request) -> bool:
        """Whether the ledger answers this request."""
        wanted = self._teachers[teacher].wanted(request)
        return self.ledger.find(wanted.key, wanted.limit) is not None

    def is_known(self, teacher: str, request: Request) -> bool:
        """Whether the ledger has a reply to this request at any limit, so that the work was paid for before."""
        return self.ledger.is_known(self._teachers[teacher].wanted(request).key)

    def worst_case_usd(self, teacher: str, request: Request) -> float | None:
        """Most that this request can cost, sent alone; None where its price or its ceiling is not known."""
        asked = self._teachers[teacher]
        rates = self.books.rates(asked.identity, asked.model)
        limit = asked.wanted(request).limit
        if rates is None or (limit is None and rates.written):
            return None
        body_bytes = sum(len(message.content.encode()) for message in request.messages)
        return rates.most_usd(body_bytes, limit or 0)

    def usage(self) -> dict[str, dict[str, Any]]:
        """What this run asked and what it cost, restarts included: teacher -> fields of `accounts.Totals`."""
        if not self._path.exists():
            return {}
        return {name: asdict(total) for name, total in self.books.totals().items()}

    def ask(
        self, teacher: str, rows: Iterable[RowT], conversation: Callable[[RowT], Conversation[R]]
    ) -> Iterator[tuple[RowT, R]]:
        """Hold one conversation a row; gives (row, result) in the order of `rows`, the same for the same ledger.

        Raises:
            PipelineError: see `pipeline.errors`; whatever was paid for by then is kept.
        """
        asked = self._teachers[teacher]
        rows = list(rows) if isinstance(rows, Iterator) else rows
        given_up: dict[str, Reply] = {}
        replies = Replies(self.ledger, asked, given_up)
        if not self._is_complete(rows, conversation, replies):
            self._fill(asked, rows, conversation, given_up)
        for row in rows:
            yield row, replies.replay(conversation(row))

    def _is_complete(
        self, rows: Iterable[RowT], conversation: Callable[[RowT], Conversation[R]], replies: Replies
    ) -> bool:
        """Whether the ledger has all of it, so that neither key nor server nor lock is needed."""
        try:
            for row in rows:
                replies.replay(conversation(row))
        except LookupError:
            return False
        return True

    def _fill(
        self,
        asked: Teacher,
        rows: Iterable[RowT],
        conversation: Callable[[RowT], Conversation[R]],
        given_up: dict[str, Reply],
    ) -> None:
        self._check(asked)
        kind = network_file_system(self._path.parent)
        if kind:
            self.progress.say(f"{self._path} is on a network file system ({kind}): let one machine at a time use it")
        lock = self._path.with_name("ledger.lock")
        try:
            with hold(lock, f"run {self._run!r}, step {self._step!r}", self._say_waiting):
                base_url = self._reach(asked)
                asyncio.run(self._fill_now(asked, base_url, rows, conversation, given_up))
        except KeyboardInterrupt:
            raise Interrupted("interrupted before anything was sent") from None

    async def _fill_now(
        self,
        asked: Teacher,
        base_url: str,
        rows: Iterable[RowT],
        conversation: Callable[[RowT], Conversation[R]],
        given_up: dict[str, Reply],
    ) -> None:
        from pipeline.teacher.filling import Filling
        from pipeline.teacher.sending import Sender
        from pipeline.teacher.transport import connected

        halt = Halt()
        standing = self._standing(asked, base_url)
        cap_usd = self._choices.budget_usd
        async with AsyncExitStack() as stack:
            stack.enter_context(self.ledger.writing())
            await self._tell_orphans()
            sender = Sender(
                run=self._run,
                step=self._step,
                ledger=self.ledger,
                transport=await stack.enter_async_context(connected(base_url, standing.key, asked.choice)),
                standing=standing,
                budget=Budget(cap_usd, 0.0 if cap_usd is None else self.books.spent_usd()),
                rates=self.books.rates(asked.identity, asked.model),
                halt=halt,
                progress=self.progress,
                given_up=given_up,
                first_wait_seconds=self._first_wait_seconds,
                free_floor_bytes=self._free_floor_bytes,
            )
            stack.enter_context(interruptible(halt, lambda: self._say_stopping(sender.tally.in_flight)))
            filling = Filling(iter(rows), conversation, Replies(self.ledger, asked, given_up), sender)
            side_by_side = 2 * asked.choice.concurrency
            if isinstance(rows, Sized):
                self.progress.total(len(rows))
                side_by_side = min(side_by_side, len(rows))
            await filling.run(side_by_side)
        if halt.reason is not None:
            raise halt.reason
        self._judge_losses(filling.lost, filling.samples, standing.last_fault)

    def _judge_losses(self, lost: int, samples: int, fault: str) -> None:
        if lost > self._max_failure_share * samples:
            raise StageError(
                f"step {self._step}: {lost} of {samples} samples were given up after retries, more than "
                f"{self._max_failure_share:.0%}; the last one with: {fault}",
                "the others are kept; run the same command again to ask for these alone",
            )
        if lost:
            self.progress.say(f"{lost} of {samples} samples were given up after retries, the last one with: {fault}")

    def _check(self, asked: Teacher) -> None:
        keys.check(asked.name, asked.choice)
        if asked.choice.local is not None:
            weights_of(asked.choice.local, asked.base)
            check_installed()
        else:
            keys.address(asked.choice.base_url or "")
            key_of(asked.choice, asked.name)
        if self._choices.budget_usd is not None and self.books.rates(asked.identity, asked.model) is None:
            raise UsageError(
                f"teachers.{asked.name}: nobody knows what {asked.model} costs, and budget_usd is set",
                f"add its USD per million tokens: teachers.{asked.name}.price: {{input: 0.50, output: 2.00}}",
            )

    def _reach(self, asked: Teacher) -> str:
        """The address to send to; starts a local teacher where it does not run yet."""
        if asked.choice.local is None:
            return (asked.choice.base_url or "").strip()
        weights = weights_of(asked.choice.local, asked.base)
        if asked.identity not in self._servers:
            self._servers[asked.identity] = LocalTeacher(weights, self._logs / "local-teacher.log")
        return self._servers[asked.identity].base_url

    def _standing(self, asked: Teacher, base_url: str) -> Standing:
        if asked.name not in self._standings:
            self._standings[asked.name] = Standing(
                teacher=asked,
                address=keys.address(base_url),
                key=key_of(asked.choice, asked.name),
                most_choices=MOST_CHOICES if asked.choice.local is None else SLOTS,
                accepted=self.ledger.ever_accepted(asked.identity, asked.model),
            )
        return self._standings[asked.name]

    async def _tell_orphans(self) -> None:
        count = await self.ledger.settle_orphans()
        if count:
            self.progress.say(f"{count} requests were in flight when an earlier process died: maybe billed")

    def _say_waiting(self, holder: str) -> None:
        self.progress.say(f"waiting for {holder}, which asks with the same ledger")

    def _say_stopping(self, in_flight: int) -> None:
        self.progress.say(f"stopping: waiting for {in_flight} requests in flight; once more ends at once")
