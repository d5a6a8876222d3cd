"""The door to the teachers: what a stage asks comes from the ledger, and from the network where that lacks it."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from pipeline.choices import Choices, key_of
from pipeline.errors import BudgetError, Interrupted, StageError, UsageError
from pipeline.lock import hold
from pipeline.progress import Progress
from pipeline.stage import Conversation, R, Reply, Request, RowT
from pipeline.teacher import keys
from pipeline.teacher.accounts import Books
from pipeline.teacher.ask import Ask
from pipeline.teacher.budget import Caps
from pipeline.teacher.disk import network_file_system
from pipeline.teacher.keys import Teacher
from pipeline.teacher.ledger.ledger import Ledger
from pipeline.teacher.limits.gate import Clock
from pipeline.teacher.limits.limits import limits_of
from pipeline.teacher.local import LocalTeacher, check_installed, weights_of
from pipeline.teacher.local_server import SLOTS
from pipeline.teacher.manner import Manner
from pipeline.teacher.prices import usd
from pipeline.teacher.replies import Replies
from pipeline.teacher.standing import Standing

if TYPE_CHECKING:
    from pipeline.teacher.asking import Asking

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
        max_failure_share: stands in for that of the choices.
        clock: the time by which the teachers' limits and all waits are reckoned.
        free_floor_bytes: free space that is kept for storing what is in flight.
    """

    def __init__(
        self,
        choices: Choices,
        outputs: Path,
        run: str,
        logs: Path,
        progress: Progress,
        max_failure_share: float | None = None,
        clock: Clock | None = None,
        free_floor_bytes: int = 64 * 2**20,
    ) -> None:
        self.progress = progress
        self._choices = choices
        self._path = outputs / "ledger.sqlite"
        self._run = run
        self._logs = logs
        self._max_failure_share = choices.max_failure_share if max_failure_share is None else max_failure_share
        self._clock = clock or Clock()
        self._free_floor_bytes = free_floor_bytes
        self._step = ""
        self._teachers = {name: Teacher(name, choice, choices.base) for name, choice in choices.teachers.items()}
        self._servers: dict[str, LocalTeacher] = {}
        self._standings: dict[tuple[str, str], Standing] = {}

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

    def known(self, teacher: str, request: Request) -> Reply | None:
        """The ledger's reply to this request; None where it would be asked for."""
        asked = self._teachers[teacher]
        (found,) = Replies(self.ledger, asked, {}).find([asked.wanted(request)])
        return found

    def is_known(self, teacher: str, request: Request) -> bool:
        """Whether the ledger has a reply to this request at any limit, so that the work was paid for before."""
        asked = self._teachers[teacher]
        return asked.choice.recorded is not None or self.ledger.is_known(asked.wanted(request).key)

    def worst_case_usd(self, teacher: str, request: Request) -> float | None:
        """Most that this request can cost, sent alone; None where its price or its ceiling is not known."""
        asked = self._teachers[teacher]
        rates = self.books.rates(asked.identity, asked.model, asked.choice.batch)
        limit = asked.wanted(request).limit
        if rates is None or (limit is None and rates.written):
            return None
        body_bytes = sum(len(message.content.encode()) for message in request.messages)
        return usd(rates.cost(body_bytes, 0, limit or 0))

    def in_batches(self, teacher: str) -> bool:
        """Whether this teacher is asked through its batch API."""
        return self._teachers[teacher].choice.batch

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
        rows = list(rows) if isinstance(rows, Iterator) else rows
        ask = Ask(self._teachers[teacher], rows, conversation)
        self.fill([ask])
        replies = Replies(self.ledger, ask.teacher, ask.given_up)
        for row in rows:
            yield row, replies.replay(conversation(row))

    def asked_of(self, teacher: str, rows: Iterable[RowT], conversation: Callable[[RowT], Conversation[R]]) -> Ask:
        """What to give to `fill`."""
        return Ask(self._teachers[teacher], rows, conversation)

    def fill(self, asks: Sequence[Ask]) -> None:
        """Ask several teachers side by side for whatever the ledger lacks.

        Raises:
            PipelineError: see `pipeline.errors`; whatever was paid for by then is kept.
        """
        # With all of it in the ledger neither key nor server nor lock is needed.
        lacking = [ask for ask in asks if self._first_lacking(ask) is not None]
        if not lacking:
            return
        for ask in lacking:
            self._check(ask.teacher)
        kind = network_file_system(self._path.parent)
        if kind:
            self.progress.say(f"{self._path} is on a network file system ({kind}): let one machine at a time use it")
        lock = self._path.with_name("ledger.lock")
        try:
            with hold(lock, f"run {self._run!r}, step {self._step!r}", self._say_waiting):
                standings = [(ask, self._standing(ask.teacher)) for ask in lacking]
                asyncio.run(self._asking().fill(standings))
        except KeyboardInterrupt:
            raise Interrupted("interrupted before anything was sent") from None
        except BudgetError as error:
            error.lacking = self._first_lacking(replace(lacking[0], given_up={}))
            raise
        for ask, standing in standings:
            self._judge_losses(ask, standing.last_fault)

    def _first_lacking(self, ask: Ask) -> Any:
        """The first row whose conversation asks for something that is not known."""
        replies = Replies(self.ledger, ask.teacher, ask.given_up)
        for row in ask.rows:
            try:
                replies.replay(ask.conversation(row))
            except LookupError:
                return row
        return None

    def _asking(self) -> "Asking":
        from pipeline.teacher.asking import Asking

        return Asking(
            run=self._run,
            step=self._step,
            ledger=self.ledger,
            books=self.books,
            caps=Caps.of(self._choices),
            progress=self.progress,
            clock=self._clock,
            free_floor_bytes=self._free_floor_bytes,
        )

    def _judge_losses(self, ask: Ask, fault: str) -> None:
        lost, samples = ask.lost, ask.samples
        if lost > self._max_failure_share * samples:
            raise StageError(
                f"step {self._step}: {lost} of {samples} samples were given up after retries, more than "
                f"{self._max_failure_share:.0%}; the last one with: {fault}",
                "the others are kept; run the same command again to ask for these alone, or allow more losses: "
                "max_failure_share",
            )
        if lost:
            self.progress.say(f"{lost} of {samples} samples were given up after retries, the last one with: {fault}")

    def _check(self, asked: Teacher) -> None:
        keys.check(asked.name, asked.choice)
        if asked.choice.local is not None:
            weights_of(asked.choice.local, asked.base)
            check_installed()
        elif asked.choice.recorded is None:
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

    def _standing(self, asked: Teacher) -> Standing:
        known = (asked.identity, asked.model)
        if known not in self._standings:
            remembered = self.ledger.learnt(asked.identity, asked.model, "limits") or {}
            manner = Manner.model_validate(self.ledger.learnt(asked.identity, asked.model, "manner") or {})
            most_choices = MOST_CHOICES if asked.choice.local is None else SLOTS
            limits = limits_of(asked.choice)
            limits.begin_with(remembered, self._clock.now())
            self._standings[known] = Standing(
                teacher=asked,
                base_url=self._reach(asked),
                limits=limits,
                key=key_of(asked.choice, asked.name),
                most_choices=min(manner.most_choices or most_choices, most_choices),
                manner=manner,
                accepted=self.ledger.ever_accepted(asked.identity, asked.model),
                remembered=remembered,
            )
        return self._standings[known]

    def _say_waiting(self, holder: str) -> None:
        self.progress.say(f"waiting for {holder}, which asks with the same ledger")
