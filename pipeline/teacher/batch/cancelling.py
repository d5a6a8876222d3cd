"""Cancels jobs at a teacher's batch API; what they gave by then is taken by the next run."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from pipeline.choices import key_of
from pipeline.lock import hold
from pipeline.teacher.batch.api import BatchApi, GoneError
from pipeline.teacher.batch.jobs import Job, Jobs
from pipeline.teacher.keys import Teacher
from pipeline.teacher.ledger.ledger import Ledger
from pipeline.teacher.limits.limits import limits_of
from pipeline.teacher.manner import Manner
from pipeline.teacher.retrying import Patience
from pipeline.teacher.standing import Standing
from pipeline.teacher.transport import connected


def cancel(ledger: Ledger, teacher: Teacher, jobs: Sequence[Job]) -> list[str]:
    """Cancel one teacher's open jobs; gives a line on each.

    Raises:
        PipelineError: its API cannot be asked.
    """
    return asyncio.run(_cancel(ledger, teacher, jobs))


async def _cancel(ledger: Ledger, teacher: Teacher, jobs: Sequence[Job]) -> list[str]:
    base_url = (teacher.choice.base_url or "").strip()
    standing = Standing(
        teacher=teacher,
        base_url=base_url,
        limits=limits_of(teacher.choice),
        key=key_of(teacher.choice, teacher.name),
        most_choices=1,
        manner=Manner(),
        accepted=True,
    )
    patience = Patience(teacher.choice.attempts, lambda: standing.answered, asyncio.sleep)
    async with connected(base_url, standing.key, teacher.choice) as transport:
        api = BatchApi(transport, standing, patience)
        # The lock is with a run that waits for these jobs; a note is one row, and SQLite keeps it apart from others.
        with ledger.writing():
            return [await _cancel_one(api, Jobs(ledger), job, ledger.path) for job in jobs]


async def _cancel_one(api: BatchApi, jobs: Jobs, job: Job, path: Path) -> str:
    await jobs.note(job.number, "cancelled")
    try:
        batch = await (api.get(job.batch) if job.batch else api.find(job.mark))
        if batch is None:
            return f"batch {job.number} never reached the provider; the next run asks for its requests anew"
        if batch.has_ended:
            return f"batch {job.number} has ended before ({batch.status}); the next run takes its results"
        await api.cancel(batch.id)
    except GoneError:
        with hold(path.with_name("ledger.lock"), "batch cancel"):
            await jobs.end(job.number, "lost", "given up")
        lost = job.requests - job.replies
        return f"batch {job.number} is unknown to the provider: {lost:,} requests are given up, and maybe billed"
    return f"batch {job.number} ({batch.id}) is being cancelled; the next run takes what it gave by now"
