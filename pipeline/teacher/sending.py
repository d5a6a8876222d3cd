"""Sends requests to one teacher until each has an answer.

Every attempt is an intent in the ledger before it leaves, and every answer is in the ledger before anybody sees it.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pipeline.errors import PipelineError, StageError, UsageError
from pipeline.progress import Progress
from pipeline.stage import Reply
from pipeline.teacher import dialect
from pipeline.teacher.budget import Budget
from pipeline.teacher.halt import Halt, HaltedError, together
from pipeline.teacher.keys import Wanted, messages_of
from pipeline.teacher.ledger import Intent, Ledger, Outcome, Sample
from pipeline.teacher.prices import Rates
from pipeline.teacher.retrying import MOST_WAIT_SECONDS, FailedError, Patience
from pipeline.teacher.standing import MOST_REFUSALS, Standing
from pipeline.teacher.transport import Answer, Transport


@dataclass
class Tally:
    """What this step's asking came to so far."""

    samples: int = 0
    tokens: int = 0
    cost_usd: float = 0.0
    errors: int = 0
    in_flight: int = 0


@dataclass
class Sender:
    """One teacher while a step asks it."""

    run: str
    step: str
    ledger: Ledger
    transport: Transport
    standing: Standing
    budget: Budget
    rates: Rates | None
    """What it costs; None where nobody knows, which a budget does not allow."""
    halt: Halt
    progress: Progress
    given_up: dict[str, Reply]
    """Filled with the replies that this asking alone knows, by key: losses, and refusals that are held back."""
    first_wait_seconds: float
    free_floor_bytes: int

    def __post_init__(self) -> None:
        self.teacher = self.standing.teacher
        self.tally = Tally()
        self._places = asyncio.Semaphore(self.teacher.choice.concurrency)
        self._patience = Patience(
            self.teacher.choice.attempts, self.first_wait_seconds, lambda: self.standing.answered, self.halt.sleep
        )

    async def send(self, wanted: Sequence[Wanted]) -> None:
        """Ask for samples of one prompt that follow one another; each is in the ledger or in `given_up` after it.

        Raises:
            HaltedError: asking ended before they were had.
        """
        most = self.standing.most_choices
        if len(wanted) > most:
            await together(*(self.send(wanted[at : at + most]) for at in range(0, len(wanted), most)))
            return
        async with self._places:
            self.halt.check()
            # The most may have become one while this waited for its place.
            rest = await self._insist(wanted) if len(wanted) <= self.standing.most_choices else wanted
        if rest:
            await together(*(self.send([one]) for one in rest))

    async def _insist(self, wanted: Sequence[Wanted]) -> Sequence[Wanted]:
        """Attempt until there is an answer or it is given up; gives what is still to be asked, singly."""
        try:
            return await self._patience.insist(lambda: self._attempt(wanted))
        except FailedError as error:
            self._give_up(wanted, str(error))
            return ()
        except PipelineError as error:
            self.halt.stop(error)
            raise HaltedError from None

    async def _attempt(self, wanted: Sequence[Wanted]) -> Sequence[Wanted]:
        first = wanted[0]
        body = dialect.body_of(
            self.teacher.model, messages_of(first.request), first.fields, first.request.index, len(wanted)
        )
        most_usd = self._most_usd(len(body), wanted)
        async with self.budget.reserved(most_usd):
            self.halt.check()
            self._check_room()
            number = await self.ledger.intend(
                Intent(
                    run=self.run,
                    step=self.step,
                    identity=self.teacher.identity,
                    model=self.teacher.model,
                    first_index=first.request.index,
                    max_tokens=first.limit,
                    keys=tuple(one.key for one in wanted),
                    body=body,
                )
            )
            self.tally.in_flight += 1
            try:
                answer = await self.transport.post(body)
                return await self._settle(number, wanted, answer, most_usd)
            finally:
                self.tally.in_flight -= 1
                self._note()

    async def _settle(self, number: int, wanted: Sequence[Wanted], answer: Answer, most_usd: float) -> Sequence[Wanted]:
        """Store what came and act on it; gives what is still to be asked, singly."""
        if answer.status is None:
            await self.ledger.settle(number, Outcome("lost" if answer.reached else "failed"), ())
            self.budget.spent_usd += most_usd if answer.reached else 0.0
            raise FailedError(answer.fault, reached=answer.reached)
        headers = answer.headers or {}
        verdict = dialect.judge(answer.status, headers.get("content-type", ""), answer.body)
        outcome = Outcome("failed" if verdict.kind == "fatal" else verdict.kind, answer.status, headers, answer.body)
        if verdict.kind == "reply":
            return await self._take(number, wanted, outcome, most_usd)
        if verdict.kind == "refused":
            return await self._refuse(number, wanted, outcome, verdict)
        await self.ledger.settle(number, outcome, ())
        if verdict.kind == "fatal" and not (answer.status == 200 and self.standing.answered):
            raise self.standing.fatal(verdict)
        message = self.standing.told(verdict.message)
        wait_seconds = dialect.retry_after(headers.get("retry-after"), time.time())
        if wait_seconds > MOST_WAIT_SECONDS:
            self.progress.say(f"teachers.{self.teacher.name} asks to wait {wait_seconds:.0f} s: {message}")
        raise FailedError(message, wait_seconds)

    async def _take(self, number: int, wanted: Sequence[Wanted], outcome: Outcome, most_usd: float) -> Sequence[Wanted]:
        payload = dialect.parse(outcome.body) or {}
        given = min(len(dialect.choices_of(payload)), len(wanted))
        samples = [
            Sample(one.key, place, not dialect.read(payload, place).cut, one.limit)
            for place, one in enumerate(wanted[:given])
        ]
        usage = dialect.usage_of(payload)
        await self.ledger.settle(number, replace(outcome, usage=usage), samples)
        self.standing.gave(given, len(wanted))
        while self.standing.held:
            reply, refused = self.standing.held.popitem()
            await self.ledger.index(reply, refused)
        tokens = (usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens)
        cost_usd = self.rates.cost_usd(*tokens) if self.rates else 0.0
        self.budget.spent_usd += most_usd if None in tokens else cost_usd
        self.tally.samples += given
        self.tally.tokens += usage.completion_tokens or 0
        self.tally.cost_usd += cost_usd
        return wanted[given:]

    async def _refuse(
        self, number: int, wanted: Sequence[Wanted], outcome: Outcome, verdict: dialect.Verdict
    ) -> Sequence[Wanted]:
        """A refusal is final, unless the teacher never gave a reply: then the fault may lie in every request."""
        if len(wanted) > 1 and not verdict.certain:
            await self.ledger.settle(number, outcome, ())
            self.standing.refused_several()
            return wanted
        self.standing.refused(verdict.message)
        self.tally.errors += len(wanted)
        samples = [Sample(one.key, 0, True, one.limit) for one in wanted]
        is_final = self.standing.accepted or verdict.certain
        reply = await self.ledger.settle(number, outcome, samples if is_final else ())
        if is_final:
            return ()
        if self.standing.accepted:  # while this was being stored
            await self.ledger.index(reply, samples)
            return ()
        self.standing.held[reply] = samples
        for one in wanted:
            self.given_up[one.key] = Reply(one.key, problem="refused", detail=verdict.message)
        if len(self.standing.held) >= MOST_REFUSALS:
            raise self.standing.all_refused()
        return ()

    def _give_up(self, wanted: Sequence[Wanted], fault: str) -> None:
        self.tally.errors += len(wanted)
        for one in wanted:
            self.given_up[one.key] = Reply(one.key, problem="teacher_error", detail=fault)
        reason = self.standing.lost(fault)
        if reason is not None:
            self.halt.stop(reason)

    def _most_usd(self, body_bytes: int, wanted: Sequence[Wanted]) -> float:
        limit = wanted[0].limit
        if self.rates is None:
            return 0.0
        if limit is None and self.budget.cap_usd is not None and self.rates.written:
            raise UsageError(
                f"step {self.step} sets no max_tokens, so nobody knows what a reply may cost, and budget_usd is set",
                f"teachers.{self.teacher.name}.request: {{max_tokens: 4096}}, or set {self.step}.max_tokens",
            )
        return self.rates.most_usd(body_bytes, len(wanted) * (limit or 0))

    def _check_room(self) -> None:
        free = self.ledger.free_bytes
        if free < self.free_floor_bytes:
            raise StageError(
                f"{self.ledger.path}: {free / 2**20:.0f} MiB are free on its disk, "
                f"{self.free_floor_bytes / 2**20:.0f} MiB are kept for replies in flight",
                "make room and run the same command again; everything paid for is kept",
            )

    def _note(self) -> None:
        tally = self.tally
        self.progress.note(
            samples=tally.samples,
            tokens=tally.tokens,
            cost_usd=tally.cost_usd if self.rates else "unknown",
            errors=tally.errors,
            in_flight=tally.in_flight,
        )
