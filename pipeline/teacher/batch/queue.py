"""Jobs under way at a teacher's batch API: each is uploaded, waited for over hours and restarts, and brought home."""

import random
import tempfile
import time
from collections.abc import Sequence

from pipeline.errors import StageError, TeacherError
from pipeline.status import duration
from pipeline.teacher.batch.api import Batch, BatchApi, FullError, GoneError
from pipeline.teacher.batch.jobs import Job, Jobs, Rest
from pipeline.teacher.batch.results import Results
from pipeline.teacher.batch.room import ROOM, Room
from pipeline.teacher.halt import HaltedError, together
from pipeline.teacher.sending import Sender

POLL_SECONDS = 1.0
"""First wait between two looks at a batch."""
MOST_POLL_SECONDS = 60.0
"""The longest one."""
DOUBT_SECONDS = 5.0
"""A batch that is not there after so long was never made."""
GROWTH = 1.25
"""Each wait is so many times the one before."""


class BatchQueue:
    """The jobs of one teacher while a step asks it; there is one queue a teacher at a time.

    Args:
        sender: what they are sent for; its budget, standing and halt are those of the jobs too.
    """

    def __init__(self, sender: Sender) -> None:
        self.jobs = Jobs(sender.ledger)
        self.rates = sender.rates.batch() if sender.rates else None
        """What the batch API costs; None where nobody knows."""
        self._sender = sender
        self._api = BatchApi(sender.transport, sender.standing, sender.patience)
        learnt = sender.ledger.learnt(sender.teacher.identity, sender.teacher.model, ROOM)
        self._room = Room(learnt, time.time())
        self._under_way: dict[int, Batch] = {}

    async def open(self) -> list[Sequence[str]]:
        """See to their ends the jobs that earlier processes began for this teacher, in whatever run.

        One that never reached the provider is given up: nothing of it was sent.

        Returns:
            The keys of each request that they asked.

        Raises:
            UsageError: the teacher has no batch API.
            HaltedError: asking ended before.
        """
        await self._api.check()
        jobs = self._open_jobs()
        if jobs:
            self._sender.progress.say(f"first {_batches(len(jobs))} that an earlier process began")
        asked: list[Sequence[str]] = []
        for job in jobs:
            if job.run == self._sender.run:
                self._sender.budget.resume(len(self.jobs.waiting(job)))
            if job.batch is not None or await self._is_found(job):
                asked.extend(self.jobs.keys(job))
            else:
                await self._end(job, self._results(job), "failed", "never sent")
        await together(*(self.send(job.number) for job in self._open_jobs()))
        return asked

    def tell_open(self) -> None:
        """Say what goes on at the provider after asking has ended."""
        count = sum(job.batch is not None or job.is_in_doubt for job in self._open_jobs())
        if count:
            self._sender.progress.say(f"{_batches(count)} may go on at the provider: the same command picks them up")

    async def wait(self, seconds: float = POLL_SECONDS) -> None:
        """Wait as between two looks at a batch, never quite as long as another job does.

        Raises:
            HaltedError: asking ended meanwhile.
        """
        await self._sender.halt.sleep(self._sender.gate.clock.real(seconds) * random.uniform(0.8, 1.2))

    async def send(self, number: int) -> None:
        """See a job to its end: each of its requests has an answer in the ledger after it, or is noted as failed.

        Raises:
            HaltedError: asking ended before; why stands in the halt, and the batch goes on at the provider.
        """
        try:
            await self._work(number)
        except HaltedError:
            raise
        except Exception as error:  # what goes wrong with one job ends the asking for all
            self._sender.halt.stop(error)
            raise HaltedError from None

    async def _is_found(self, job: Job) -> bool:
        """Look for a batch whose creation was begun, once more after a while: it may be just about to be there."""
        if not job.is_in_doubt:
            return False
        batch = await self._api.find(job.mark)
        if batch is None:
            await self.wait(DOUBT_SECONDS)
            batch = await self._api.find(job.mark)
        if batch is None:
            return False
        await self.jobs.note(job.number, "created", batch=batch.id)
        return True

    async def _work(self, number: int) -> None:
        while True:
            job = self.jobs.get(number)
            while job.batch is None and not (self._room.must_split(job) or self._room.is_free_for(job)):
                await self.wait()
            if job.batch is None and self._room.must_split(job):
                half = await self.jobs.split(job)
                await together(self.send(number), self.send(half))
                return
            self._room.enter(job)
            try:
                fault = await self._try(job)
            finally:
                beside_bytes = self._room.leave(job)
                self._under_way.pop(number, None)
                self._show()
            if not fault:
                return
            await self._narrow(job, beside_bytes, fault)

    async def _try(self, job: Job) -> str:
        """See a job to its end; gives why, where the provider has no room for it."""
        try:
            batch = await self._ended(job)
            if batch.is_full:
                return batch.fault
            await self._take(job, batch)
        except FullError as error:
            return str(error)
        except GoneError as error:
            raise StageError(
                f"teachers.{self._sender.teacher.name}: the provider does not know batch {job.number} any more, or its "
                f"results: {self._sender.standing.told(str(error))}",
                f"give it up, and ask for its requests anew: python -m pipeline batch cancel {job.number}",
            ) from None
        return ""

    async def _ended(self, job: Job) -> Batch:
        """The job's batch, once it has ended."""
        batch = await (self._api.get(job.batch) if job.batch else self._send(job))
        wait_seconds = POLL_SECONDS
        told = ""
        while True:
            self._under_way[job.number] = batch
            self._show()
            if batch.has_ended:
                return batch
            status = _status(batch)
            if status != told:
                await self.jobs.note(job.number, "status", status=status)
                told = status
            await self.wait(wait_seconds)
            wait_seconds = min(wait_seconds * GROWTH, MOST_POLL_SECONDS)
            batch = await self._api.get(batch.id)

    async def _send(self, job: Job) -> Batch:
        self._sender.halt.check()
        with tempfile.TemporaryFile(dir=self._sender.ledger.path.parent) as file:
            file.writelines(self.jobs.lines(job))
            name = await self._api.upload(f"cot-distill-{job.nonce}.jsonl", file)
        await self.jobs.note(job.number, "uploaded", file=name)
        self._sender.halt.check()
        await self.jobs.note(job.number, "creating")
        batch = await self._api.create(name, self.jobs.get(job.number).mark)
        await self.jobs.note(job.number, "created", batch=batch.id)
        self._sender.progress.say(f"batch {job.number} ({batch.id}): {job.requests:,} requests sent")
        return batch

    async def _take(self, job: Job, batch: Batch) -> None:
        """Store the results of a batch, whatever its end."""
        results = self._results(job)
        for name in batch.files:
            with tempfile.TemporaryFile(dir=self._sender.ledger.path.parent) as file:
                await self._api.download(name, file)
                await results.take(file)
        await self._learn(results)
        # A request that a whole batch says nothing of may have been answered all the same.
        await self._end(job, results, "lost" if batch.status == "completed" else "failed", batch.status)
        self._tell(job, batch, results)
        self._check_end(job, batch)

    def _results(self, job: Job) -> Results:
        sender = self._sender
        budget = sender.budget if job.run == sender.run else None
        waiting = self.jobs.waiting(job)
        return Results(sender.ledger, sender.standing, self.rates, budget, waiting, sender.tally)

    async def _end(self, job: Job, results: Results, rest: Rest, status: str) -> None:
        await self.jobs.end(job.number, rest, status)
        results.give_up(rest)

    async def _learn(self, results: Results) -> None:
        """Remember and say in which manner the teacher turned out to take requests."""
        sender, teacher = self._sender, self._sender.teacher
        for news in results.news:
            sender.progress.say(f"teachers.{teacher.name} {news}")
        if results.news:
            manner = sender.standing.manner.model_dump(mode="json")
            await sender.ledger.learn(teacher.identity, teacher.model, "manner", manner)

    def _tell(self, job: Job, batch: Batch, results: Results) -> None:
        took = duration(time.time() - job.begun_at)
        replies = self.jobs.get(job.number).replies
        line = f"batch {job.number} {batch.status} after {took}: {replies:,} of {job.requests:,} requests replied to"
        if results.strange:
            line += f", {results.strange:,} lines that belong to no request"
        if results.last_fault:
            line += f"; the last fault: {results.last_fault}"
            self._sender.standing.last_fault = results.last_fault
        self._sender.progress.say(line)

    def _check_end(self, job: Job, batch: Batch) -> None:
        """End the asking where it makes no sense to send the rest again."""
        if batch.status == "failed":
            raise TeacherError(
                f"teachers.{self._sender.teacher.name}: the provider could not read batch {job.number} ({batch.id}): "
                f"{self._sender.standing.told(batch.fault) or 'it did not say why'}",
                "nothing of it was billed; change what it names and run the same command again",
            )
        if self.jobs.get(job.number).is_cancelled and not job.is_cancelled:  # while it was waited for
            raise StageError(
                f"batch {job.number} was cancelled with `batch cancel`",
                "what it gave is kept; run the same command again to ask for the rest",
            )

    async def _narrow(self, job: Job, beside_bytes: int, fault: str) -> None:
        """Learn that there was no room for a job beside those under way."""
        note = self._room.narrow(job, beside_bytes, time.time())
        teacher = self._sender.teacher
        await self.jobs.note(job.number, "refused", message=fault)
        await self._sender.ledger.learn(teacher.identity, teacher.model, ROOM, note)
        self._sender.progress.say(
            f"batch {job.number}: no room for {job.requests:,} requests beside those under way; from now on at most "
            f"{self._room.most_bytes / 1e6:,.1f} MB at once: {self._sender.standing.told(fault)}"
        )
        if job.requests == 1 and not beside_bytes:
            raise StageError(
                f"teachers.{teacher.name}: the provider's queue of batches takes not even one request of "
                f"{job.body_bytes:,} bytes",
                "run the same command again when other batches of the account have ended, or take `batch: true` out",
            )

    def _open_jobs(self) -> list[Job]:
        return self.jobs.open(self._sender.teacher.identity, self._sender.teacher.model)

    def _show(self) -> None:
        batches = self._under_way.values()
        requests = sum(batch.requests for batch in batches)
        share = sum(batch.done for batch in batches) / requests if requests else 0.0
        tally = self._sender.tally
        self._sender.progress.note(
            samples=tally.samples,
            tokens=tally.tokens,
            cost_usd=tally.cost_usd if self.rates else "unknown",
            batches=f"{len(batches)} under way, {share:.0%} done" if batches else "none under way",
        )


def _status(batch: Batch) -> str:
    """The provider's word, with the share done where it counts."""
    return f"{batch.status}, {batch.done / batch.requests:.0%}" if batch.requests else batch.status


def _batches(count: int) -> str:
    return "one batch" if count == 1 else f"{count} batches"
