"""Sends requests to one teacher until each has an answer.

Every attempt is an intent in the ledger before it leaves, and every answer is in the ledger before anybody sees it.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import NoReturn

from pipeline.errors import PipelineError, StageError
from pipeline.progress import Progress
from pipeline.stage import Reply
from pipeline.teacher import dialect
from pipeline.teacher.budget import Amount, Budget, told
from pipeline.teacher.halt import Halt, HaltedError, together
from pipeline.teacher.keys import Wanted, messages_of
from pipeline.teacher.ledger.entries import Intent, Outcome, Sample
from pipeline.teacher.ledger.ledger import Ledger
from pipeline.teacher.limits.gate import Gate
from pipeline.teacher.limits.headers import is_busy, retry_after
from pipeline.teacher.limits.limits import Change
from pipeline.teacher.manner import Manner
from pipeline.teacher.prices import Rates, usd
from pipeline.teacher.retrying import BusyError, FailedError, Patience
from pipeline.teacher.sent import Refusals, Sent
from pipeline.teacher.standing import GONE_SECONDS, MOST_REFUSALS, Standing
from pipeline.teacher.tally import Tally
from pipeline.teacher.transport import Answer, Transport

FREE = Amount(requests=1)
"""A request that was answered with an error, or never left: nothing is billed for it."""


@dataclass
class Sender:
    """One teacher while a step asks it."""

    run: str
    step: str
    ledger: Ledger
    transport: Transport
    standing: Standing
    gate: Gate
    budget: Budget
    rates: Rates | None
    """What it costs; None where nobody knows, which a budget does not allow."""
    halt: Halt
    progress: Progress
    tally: Tally
    given_up: dict[str, Reply]
    """Filled with the replies that this asking alone knows, by key: losses, and refusals that are held back."""
    free_floor_bytes: int
    """Free space that is kept for storing what is in flight."""

    def __post_init__(self) -> None:
        self.teacher = self.standing.teacher
        self._last_turn = 0
        clock = self.gate.clock
        self.patience = Patience(
            self.teacher.choice.attempts, lambda: self.standing.answered, lambda s: self.halt.sleep(clock.real(s))
        )

    async def send(self, wanted: Sequence[Wanted], turn: int = 0) -> None:
        """Ask for samples of one prompt that follow one another; each is in the ledger or in `given_up` after it.

        Args:
            wanted: the samples.
            turn: the number of their conversation; earlier ones go first, so that they come to an end.

        Raises:
            HaltedError: asking ended before they were had.
        """
        most = self.standing.most_choices
        if len(wanted) > most:
            await together(*(self.send(wanted[at : at + most], turn) for at in range(0, len(wanted), most)))
            return
        self._last_turn = max(self._last_turn, turn)
        rest = await self._insist(wanted, turn)
        if rest:
            await together(*(self.send([one], turn) for one in rest))

    async def _insist(self, wanted: Sequence[Wanted], turn: int) -> Sequence[Wanted]:
        """Attempt until there is an answer or it is given up; gives what is still to be asked, singly."""
        attempts, refusals = count(1), Refusals(self.standing.limits)
        try:
            return await self.patience.insist(
                lambda: self._attempt(wanted, turn, refusals, is_first=next(attempts) == 1)
            )
        except FailedError as error:
            self._give_up(wanted, str(error))
            return ()
        except PipelineError as error:
            self.halt.stop(error)
            raise HaltedError from None

    async def _attempt(
        self, wanted: Sequence[Wanted], turn: int, refusals: Refusals, is_first: bool
    ) -> Sequence[Wanted]:
        """One attempt; to be told to wait, or to find the teacher gone, is none."""
        turn = turn if is_first else self._last_turn  # what failed waits with what comes next
        while True:
            try:
                return await self._leave(wanted, turn, is_first, refusals.are_odd)
            except BusyError as busy:
                if busy.was_refused:
                    refusals.add()
                if not busy.was_refused or self.standing.limits.breaker.is_open:
                    turn = self._last_turn
                await self.halt.sleep(self.gate.clock.real(busy.wait_seconds))

    async def _leave(self, wanted: Sequence[Wanted], turn: int, is_first: bool, is_odd: bool) -> Sequence[Wanted]:
        first, manner = wanted[0], self.standing.manner
        body = self.body(wanted, manner)
        most = self.budget.most(
            self.rates, len(body), len(wanted), first.limit, step=self.step, teacher=self.teacher.name
        )
        reckoning = self.standing.limits.reckoning
        async with self.gate.place(reckoning.tokens(len(body), len(wanted), first.limit), turn) as flight:
            if len(wanted) > self.standing.most_choices:  # it became one while this waited
                return wanted
            if manner != self.standing.manner:  # it became another
                raise BusyError(0.0, was_refused=False)
            async with self.budget.reserved(most) as charge:
                self.halt.check()
                self.check_room()
                number = await self.ledger.intend(self.intent(wanted, body))
                self.tally.in_flight += 1
                try:
                    answer = await self.transport.post(body)
                    return await self._settle(Sent(number, wanted, body, flight, charge, is_first, is_odd), answer)
                finally:
                    self.tally.in_flight -= 1
                    self.tally.tell(self.progress, is_priced=self.rates is not None)

    def intent(self, wanted: Sequence[Wanted], body: bytes) -> Intent:
        """What the ledger notes of a request before it leaves."""
        first = wanted[0]
        return Intent(
            run=self.run,
            step=self.step,
            identity=self.teacher.identity,
            model=self.teacher.model,
            first_index=first.request.index,
            max_tokens=first.limit,
            keys=tuple(one.key for one in wanted),
            body=body,
        )

    def body(self, wanted: Sequence[Wanted], manner: Manner) -> bytes:
        """What is sent for these samples."""
        first = wanted[0]
        return manner.shape(
            self.teacher.model, messages_of(first.request), first.fields, first.request.index, len(wanted)
        )

    async def _settle(self, sent: Sent, answer: Answer) -> Sequence[Wanted]:
        """Store what came and act on it; gives what is still to be asked, singly."""
        if answer.status is None:
            await self.ledger.settle(sent.number, Outcome("lost" if answer.reached else "failed"), ())
            if not answer.reached:
                sent.charge(FREE)
            self._fail(sent, answer.fault, reached=answer.reached)
        self.standing.spoke = True
        headers = answer.headers or {}
        verdict = dialect.judge(answer.status or 0, headers.get("content-type", ""), answer.body)
        outcome = Outcome("failed" if verdict.kind == "fatal" else verdict.kind, answer.status, headers, answer.body)
        self.standing.limits.told(answer.limits or {})
        if verdict.kind == "reply":
            return await self._take(sent, outcome)
        if answer.status == 200 and not (dialect.parse(answer.body) or {}).get("error"):
            outcome = replace(outcome, kind="lost")  # it cannot be read, and may be billed all the same
        else:
            sent.charge(FREE)
        found = self.standing.manner.after(answer.status or 0, answer.body, sent.body)
        if found is not None:
            await self._adapt(sent, outcome, *found)
        if verdict.kind == "refused" or (verdict.kind == "fatal" and self.standing.denies_one(answer.status)):
            return await self._refuse(sent, replace(outcome, kind="refused"), verdict)
        await self.ledger.settle(sent.number, outcome, ())
        if verdict.kind == "fatal" and not (answer.status == 200 and self.standing.answered):
            raise self.standing.fatal(verdict)
        message = self.standing.told(verdict.message)
        wait_seconds = retry_after(headers.get("retry-after"), time.time())
        if is_busy(answer.status or 0, headers) and not sent.is_odd:
            self._wait(sent, message, wait_seconds)
        self._fail(sent, message, wait_seconds)
        raise AssertionError("unreachable")

    async def _adapt(self, sent: Sent, outcome: Outcome, manner: Manner, news: str) -> NoReturn:
        """It does not take a parameter: the same request is sent once more in its manner."""
        self.standing.adapt(manner)
        self._tell_gate(self.gate.replied(sent.flight, None))
        await self.ledger.settle(sent.number, replace(outcome, kind="failed"), ())
        if news:
            await self._remember(manner)
            self.progress.say(f"teachers.{self.teacher.name} {news}")
        raise BusyError(0.0, was_refused=False)

    async def _remember(self, manner: Manner) -> None:
        await self.ledger.learn(self.teacher.identity, self.teacher.model, "manner", manner.model_dump(mode="json"))

    def _wait(self, sent: Sent, message: str, wait_seconds: float) -> NoReturn:
        """The teacher takes no more for now."""
        self.standing.last_fault = message
        self._tell_gate(self.gate.refused(sent.flight, wait_seconds, message))
        line = self.standing.told_wait(self.gate.clock.now(), wait_seconds, message)
        if line:
            self.progress.say(line)
        if wait_seconds > GONE_SECONDS:
            raise self.standing.away(wait_seconds, message)
        raise BusyError(wait_seconds, was_refused=True)

    def _fail(self, sent: Sent, message: str, wait_seconds: float = 0.0, reached: bool = True) -> NoReturn:
        """It went wrong, and may go better."""
        self.standing.last_fault = message
        self._tell_gate(self.gate.failed(sent.flight, sent.is_first))
        if self.standing.limits.breaker.is_open and self.standing.answered and not sent.flight.is_trial:
            raise BusyError(wait_seconds, was_refused=False)
        raise FailedError(message, wait_seconds, reached)

    def _tell_gate(self, change: Change) -> None:
        """Say when the teacher takes nothing any more, and when it does again; end where that lasts."""
        line = self.standing.told_change(change)
        if line:
            self.progress.say(line)
        gone = self.standing.gone(self.gate.clock.now())
        if gone:
            self.halt.stop(gone)

    async def _take(self, sent: Sent, outcome: Outcome) -> Sequence[Wanted]:
        wanted = sent.wanted
        payload = dialect.parse(outcome.body) or {}
        choices = dialect.choices_of(payload)
        samples = [
            Sample(one.key, place, not dialect.is_cut(choice), one.limit)
            for place, (one, choice) in enumerate(zip(wanted, choices, strict=False))
        ]
        given = len(samples)
        usage = dialect.usage_of(payload)
        manner = self.standing.manner
        self.standing.gave(len(payload.get("choices") or ()), len(wanted))
        tokens = self.standing.limits.reckoning.learn(len(sent.body), given, usage)
        self._tell_gate(self.gate.replied(sent.flight, tokens))
        await self.ledger.settle(sent.number, replace(outcome, usage=usage), samples)
        if self.standing.manner != manner:
            await self._remember(self.standing.manner)
        while self.standing.held:
            reply, refused = self.standing.held.popitem()
            await self.ledger.index(reply, refused)
        used = told(self.rates, usage)
        if used is not None:
            sent.charge(used)
            self.tally.cost_usd += usd(used.picodollars)
        self.tally.samples += given
        self.tally.tokens += usage.completion_tokens or 0
        return wanted[given:]

    async def _refuse(self, sent: Sent, outcome: Outcome, verdict: dialect.Verdict) -> Sequence[Wanted]:
        """A refusal is final, unless the teacher never gave a reply: then the fault may lie in every request."""
        number, wanted = sent.number, sent.wanted
        for_their_number = len(wanted) > 1 and not verdict.certain
        if for_their_number:
            self.standing.refused_several()
        else:
            self.standing.refused(verdict.message)
        self._tell_gate(self.gate.replied(sent.flight, None))
        if for_their_number:
            await self.ledger.settle(number, outcome, ())
            return wanted
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

    def check_room(self) -> None:
        """Refuse to send more where the disk may not hold what would come back.

        Raises:
            StageError: it is nearly full.
        """
        free = self.ledger.free_bytes
        if free < self.free_floor_bytes:
            raise StageError(
                f"{self.ledger.path}: {free / 2**20:.0f} MiB are free on its disk, "
                f"{self.free_floor_bytes / 2**20:.0f} MiB are kept for replies in flight",
                "make room and run the same command again; everything paid for is kept",
            )
