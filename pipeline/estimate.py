"""What a plan says to a person: each step's state and why, and what would be asked; pays for nothing but a pilot."""

import tempfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from pipeline import pilot
from pipeline.errors import BudgetError
from pipeline.forecast import Forecaster, Held, Outlook, total_usd
from pipeline.jsonl import StoredRows
from pipeline.making import make_rows
from pipeline.plan import Planned
from pipeline.prediction import Predicted
from pipeline.progress import Display, Silent
from pipeline.recipe import Step
from pipeline.rows import Row
from pipeline.runner import Runner
from pipeline.stage import Work
from pipeline.status import duration
from pipeline.teacher import Teachers
from pipeline.teacher.keys import Teacher

WORDS = {
    "kept": "kept",
    "new": "would be made",
    "drifted": "would be made anew",
    "follows": "would be made anew",
    "redo": "would be made anew, as you asked",
}

PILOT = 20
"""Problems of the pilot that a plan proposes."""
BATCH_HOURS = 24
"""Most that a provider takes for one batch."""


def print_plan(runner: Runner, redo: Collection[str], pilot_problems: int = 0) -> None:
    """Print a table on stdout, one row a step.

    Args:
        runner: the run.
        redo: steps that the user wants anew.
        pilot_problems: so many problems of each step are asked first, to tell what the others take.

    Raises:
        BudgetError: a pilot could not be paid for; the plan is printed all the same.
    """
    faults: list[BudgetError] = []
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("step", "state", "asks", "because"):
        table.add_column(column, overflow="fold")
    with tempfile.TemporaryDirectory() as scratch:
        for item, asks in _walk(runner, redo, Path(scratch), pilot_problems, faults):
            why = "\n".join(item.why) if item.state == "drifted" else ", ".join(item.why)
            table.add_row(item.step.name, WORDS[item.state], asks, why)
    Console(highlight=False).print(table)
    if faults:
        raise faults[0]


def _walk(
    runner: Runner, redo: Collection[str], scratch: Path, pilot_problems: int, faults: list[BudgetError]
) -> Iterator[tuple[Planned, str]]:
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
            if item.state == "kept" or not step.stage.marked("teacher"):
                yield item, ""
            elif not all(name in folders for name in step.rows):
                yield item, "depends on the steps before"
            else:
                rows = StoredRows[Any]([folders[name] / "rows.jsonl" for name in step.rows], step.stage.reads or Row)
                (name,) = step.stage.marked("teacher").values()
                teacher = Teacher(name, runner.choices.teachers[name], runner.choices.base)
                asking = _Asking(runner, step, rows, work, Forecaster(teachers, teacher))
                if pilot_problems:
                    try:
                        asking.pilot(pilot_problems)
                    except BudgetError as error:
                        faults.append(error)
                yield item, asking.told()


@dataclass(frozen=True)
class _Asking:
    """A step that asks, and the rows that it would ask about."""

    runner: Runner
    step: Step
    rows: StoredRows[Any]
    work: Work
    forecaster: Forecaster

    def held(self) -> list[Held]:
        """Each row's conversation, as far as it goes."""
        return [self.forecaster.hold(self.step.stage.conversation(row, self.work)) for row in self.rows]

    def pilot(self, count: int) -> None:
        """Ask so many of the rows that lack something."""
        lacking = [row for row, held in zip(self.rows, self.held(), strict=True) if held.lacking]
        if not lacking:
            return
        runner = self.runner
        with Display(self.work.logs) as display, display.step(f"{self.step.name} (pilot)") as progress:
            pilot.ask(runner.choices, runner.outputs, self.step, pilot.spread(lacking, count), self.work, progress)

    def told(self) -> str:
        """What it would ask, in words."""
        held = [one for one in self.held() if one.wanted]
        unfinished = [one for one in held if one.lacking]
        missing, samples = sum(one.lacking for one in held), sum(one.wanted for one in held)
        first = f"{missing} of {samples} samples for {len(held)} problems"
        if not unfinished:
            return first
        lines = [f"{first}, {_most(total_usd([one.most_usd for one in unfinished]))} for these"]
        if self.forecaster.teacher.choice.batch:
            lines.append(f"in batches: {max(one.turns for one in held)} rounds x {BATCH_HOURS} h at most")
        outlook = self.forecaster.outlook(held)
        if outlook is not None:
            return "\n".join([*lines, *_outlook(outlook)])
        asked = pilot.spread(unfinished, PILOT)
        most = _most(total_usd([one.most_usd for one in asked]))
        return "\n".join([*lines, f"unknown: plan --pilot {PILOT} asks {len(asked)} problems to find out ({most})"])


def _outlook(outlook: Outlook) -> list[str]:
    """Cost and tokens as 95 % intervals, time and disk."""
    tokens = outlook.tokens
    cost = "cost unknown" if outlook.cost_usd is None else _cost(outlook.cost_usd)
    lines = [f"{cost}, {tokens.low:,.0f} to {tokens.high:,.0f} tokens (95 %, from {outlook.seen} problems)"]
    times = () if outlook.seconds is None else tuple(dict.fromkeys(map(duration, outlook.seconds)))
    return [*lines, ", ".join([*([" to ".join(times)] if times else []), f"{_size(outlook.bytes)} of disk"])]


def _cost(cost: Predicted) -> str:
    return "free" if cost.high == 0 else f"{_usd(cost.low)} to {_usd(cost.high)}"


def _most(most_usd: float | None) -> str:
    if most_usd is None:
        return "cost unknown"
    return "free" if most_usd == 0 else f"at most {_usd(most_usd)}"


def _usd(cost_usd: float) -> str:
    return f"${cost_usd:,.2f}" if cost_usd >= 1 else f"${cost_usd:.4f}"


def _size(count: float) -> str:
    """Bytes in the unit that suits them."""
    for unit in ("kB", "MB"):
        count /= 1000
        if count < 1000:
            return f"{count:,.0f} {unit}"
    return f"{count / 1000:,.1f} GB"
