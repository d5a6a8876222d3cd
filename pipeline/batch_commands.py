"""What `python -m pipeline batch` does: shows the jobs at batch APIs, and cancels them."""

import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from pipeline.choices import Choices
from pipeline.errors import UsageError
from pipeline.status import duration
from pipeline.teacher.batch.cancelling import cancel as cancel_now
from pipeline.teacher.batch.jobs import Job, Jobs
from pipeline.teacher.keys import Teacher
from pipeline.teacher.ledger.ledger import Ledger


def print_jobs(outputs: Path) -> None:
    """Print a table on stdout, one row a job."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("batch", "at the provider", "run", "step", "model"):
        table.add_column(column, overflow="fold")
    table.add_column("requests", justify="right")
    table.add_column("replied to", justify="right")
    table.add_column("state", overflow="fold")
    table.add_column("begun", overflow="fold")
    for job in _jobs(outputs):
        table.add_row(
            str(job.number),
            job.batch or "",
            job.run,
            job.step,
            job.model,
            f"{job.requests:,}",
            f"{job.replies:,}",
            _state(job),
            f"{duration(time.time() - job.begun_at)} ago",
        )
    Console(highlight=False).print(table)


def cancel(choices: Choices, outputs: Path, name: str | None) -> None:
    """Cancel the open jobs of the choices' run, or the one of that name, and say what came of it.

    Args:
        choices: they hold the addresses and name the keys.
        outputs: folder of the ledger.
        name: a job's number, or what the provider calls it.
    """
    found = [job for job in _jobs(outputs) if not job.has_ended]
    if name is None:
        found = [job for job in found if job.run == choices.run]
    else:
        found = [job for job in found if name in (str(job.number), job.batch)]
    if not found:
        which = f"run {choices.run!r} has no open batch" if name is None else f"no open batch is called {name!r}"
        raise UsageError(which, "python -m pipeline batch list")
    teachers = [Teacher(*named, choices.base) for named in choices.teachers.items() if named[1].base_url]
    with Ledger(outputs / "ledger.sqlite") as ledger:
        for teacher in teachers:
            theirs = [job for job in found if (job.identity, job.model) == (teacher.identity, teacher.model)]
            found = [job for job in found if job not in theirs]
            for line in cancel_now(ledger, teacher, theirs) if theirs else ():
                print(line)
    if found:
        raise UsageError(
            f"batch {found[0].number} is of {found[0].model} at {found[0].identity}: no teacher of the choices is that",
            "give the --config that has it, for its address and its key",
        )


def _jobs(outputs: Path) -> list[Job]:
    path = outputs / "ledger.sqlite"
    if not path.exists():
        return []
    with Ledger(path) as ledger:
        return Jobs(ledger).all()


def _state(job: Job) -> str:
    return f"{job.status}, cancelled by you" if job.is_cancelled and not job.has_ended else job.status
