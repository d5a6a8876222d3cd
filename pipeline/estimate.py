"""What a plan says to a person: each step's state and why, and how much would be asked; pays nothing."""

import tempfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from pipeline.jsonl import StoredRows
from pipeline.making import make_rows
from pipeline.plan import Planned
from pipeline.progress import Silent
from pipeline.rows import Row
from pipeline.runner import Runner
from pipeline.stage import Work
from pipeline.teacher import Teachers

WORDS = {
    "kept": "kept",
    "new": "would be made",
    "drifted": "would be made anew",
    "follows": "would be made anew",
    "redo": "would be made anew, as you asked",
}


@dataclass(frozen=True)
class Asked:
    """What one step would ask."""

    problems: int
    """Conversations held."""
    samples: int
    """Samples wanted by the first turn of each."""
    missing: int
    """Of these, how many the ledger does not hold."""
    most_usd: float | None
    """What the missing ones would cost if each ran to its `max_tokens`; None where price or ceiling is unknown."""


def print_plan(runner: Runner, redo: Collection[str]) -> None:
    """Print a table on stdout, one row a step."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("step", "state", "asks", "because"):
        table.add_column(column, overflow="fold")
    with tempfile.TemporaryDirectory() as scratch:
        for item, asked in _walk(runner, redo, Path(scratch)):
            why = "\n".join(item.why) if item.state == "drifted" else ", ".join(item.why)
            table.add_row(item.step.name, WORDS[item.state], _told(item, asked), why)
    Console(highlight=False).print(table)


def _walk(runner: Runner, redo: Collection[str], scratch: Path) -> Iterator[tuple[Planned, Asked | None]]:
    """Each planned step with what it would ask, where its inputs stand or can be made for nothing."""
    folders: dict[str, Path] = {}
    progress = Silent()
    with Teachers(runner.choices, runner.outputs, run=runner.choices.run, logs=scratch, progress=progress) as teachers:
        for item in runner.plan(redo):
            step = item.step
            ready = all(name in folders for name in step.inputs)
            folder = runner.folder / step.name if item.state == "kept" else scratch / step.name
            work = Work(
                step=step.name,
                folder=folder,
                base=runner.choices.base,
                teachers=teachers,
                progress=progress,
                logs=scratch,
                uses={role: folders[name] for role, name in step.uses.items() if name in folders},
            )
            if item.state == "kept":
                folders[step.name] = folder
            elif ready and not step.rows:
                folder.mkdir()
                make_rows(step, (), work, folder)
                folders[step.name] = folder
            asks = item.state != "kept" and bool(step.stage.marked("teacher"))
            rows_ready = all(name in folders for name in step.rows)
            yield item, _count(item, folders, work, teachers) if asks and rows_ready else None


def _count(item: Planned, folders: dict[str, Path], work: Work, teachers: Teachers) -> Asked:
    stage = item.step.stage
    (teacher,) = stage.marked("teacher").values()
    rows = StoredRows([folders[name] / "rows.jsonl" for name in item.step.rows], stage.reads or Row)
    problems = samples = missing = 0
    most_usd: float | None = 0.0
    for row in rows:
        conversation = stage.conversation(row, work)
        requests = list(next(conversation, [])) if conversation else []
        lacking = [request for request in requests if not teachers.has(teacher, request)]
        problems += bool(requests)
        samples += len(requests)
        missing += len(lacking)
        worst = [teachers.worst_case_usd(teacher, request) for request in lacking]
        most_usd = None if most_usd is None or None in worst else most_usd + sum(cost or 0.0 for cost in worst)
    return Asked(problems, samples, missing, most_usd)


def _told(item: Planned, asked: Asked | None) -> str:
    if item.state == "kept" or not item.step.stage.marked("teacher"):
        return ""
    if asked is None:
        return "depends on the steps before"
    cost = "" if not asked.missing else f", {_usd(asked.most_usd)}"
    return f"{asked.missing} of {asked.samples} samples for {asked.problems} problems{cost}"


def _usd(most: float | None) -> str:
    if most is None:
        return "cost unknown"
    return "free" if most == 0 else f"at most ${most:,.2f}"
