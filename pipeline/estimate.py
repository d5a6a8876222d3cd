"""What a plan says to a person: each step's state and why, and what would be asked; pays for nothing but a pilot."""

import tempfile
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from pipeline import pilot
from pipeline.choices import nearest
from pipeline.errors import BudgetError, UsageError
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
from pipeline.status import duration, size
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


@dataclass(frozen=True)
class Asks:
    """What a step would ask, or do in another way."""

    words: str = ""
    most_usd: float | None = 0.0
    """Most that the samples can cost that are known to be asked; None where nobody knows the price."""


def print_plan(runner: Runner, redo: Collection[str], pilot_problems: int = 0, until: str | None = None) -> None:
    """Print a table on stdout, one row a step, and beneath it whether the budget may end the run.

    Args:
        runner: the run.
        redo: steps that the user wants anew.
        until: the last step of the plan; None plans to the end.
        pilot_problems: so many problems of each step are asked first, to tell what the others take.

    Raises:
        BudgetError: a pilot could not be paid for; the plan is printed all the same.
        UsageError: there is no such last step.
    """
    planned = _until(runner, runner.plan(redo), until)
    faults: list[BudgetError] = []
    most_usd = 0.0
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("step", "state", "asks", "because"):
        table.add_column(column, overflow="fold")
    with tempfile.TemporaryDirectory() as scratch:
        for item, asks in _walk(runner, planned, Path(scratch), pilot_problems, faults):
            why = "\n".join(item.why) if item.state == "drifted" else ", ".join(item.why)
            table.add_row(item.step.name, WORDS[item.state], asks.words, why)
            most_usd += asks.most_usd or 0.0
    console = Console(highlight=False)
    console.print(table)
    budget_usd = runner.choices.budget_usd
    if budget_usd is not None and most_usd > budget_usd:
        console.print(f"at most {_usd(most_usd)} for these, and budget_usd is {_usd(budget_usd)}: it may end the run")
    if faults:
        raise faults[0]


def _until(runner: Runner, planned: list[Planned], until: str | None) -> list[Planned]:
    names = [item.step.name for item in planned]
    if until is None:
        return planned
    if until not in names:
        raise UsageError(f"no step {until!r} in recipe {runner.choices.recipe!r}", nearest(until, names))
    return planned[: names.index(until) + 1]


def _walk(
    runner: Runner, planned: Sequence[Planned], scratch: Path, pilot_problems: int, faults: list[BudgetError]
) -> Iterator[tuple[Planned, Asks]]:
    """Each planned step with what it would ask, where its inputs stand or can be made for nothing."""
    folders: dict[str, Path] = {}
    progress = Silent()
    with Teachers(runner.choices, runner.outputs, run=runner.choices.run, logs=scratch, progress=progress) as teachers:
        for item in planned:
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
            rows = None
            if all(name in folders for name in step.rows):
                rows = StoredRows[Any]([folders[name] / "rows.jsonl" for name in step.rows], step.stage.reads or Row)
            if item.state == "kept":
                yield item, Asks()
            elif not step.stage.marked("teacher"):
                yield item, Asks("\n".join(step.stage.foretell(rows, work)))
            elif rows is None:
                yield item, Asks("depends on the steps before")
            else:
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

    def told(self) -> Asks:
        """What it would ask."""
        held = [one for one in self.held() if one.wanted]
        unfinished = [one for one in held if one.lacking]
        missing, samples = sum(one.lacking for one in held), sum(one.wanted for one in held)
        first = f"{missing} of {samples} samples for {len(held)} problems"
        if not unfinished:
            return Asks(first)
        most_usd = total_usd([one.most_usd for one in unfinished])
        lines = [f"at least {first}, {_most(most_usd)} for these"]
        if self.forecaster.teacher.choice.batch:
            lines.append(f"in batches: at least 1 round of up to {BATCH_HOURS} h")
        outlook = self.forecaster.outlook(held)
        if outlook is not None:
            return Asks("\n".join([*lines, *_outlook(outlook)]), most_usd)
        asked = pilot.spread(unfinished, PILOT)
        most = _most(total_usd([one.most_usd for one in asked]))
        lines.append(f"unknown: plan --pilot {PILOT} asks {len(asked)} problems to find out ({most} for the next turn)")
        return Asks("\n".join(lines), most_usd)


def _outlook(outlook: Outlook) -> list[str]:
    """Cost and tokens as 95 % intervals, time and disk; as the least that they are where some problems are in part."""
    if outlook.in_part:
        return [_at_least(outlook)]
    tokens = outlook.tokens
    cost = "cost unknown" if outlook.cost_usd is None else _cost(outlook.cost_usd)
    lines = [f"{cost}, {tokens.low:,.0f} to {tokens.high:,.0f} tokens (95 %, from {outlook.seen} problems)"]
    times = () if outlook.seconds is None else tuple(dict.fromkeys(map(duration, outlook.seconds)))
    return [*lines, ", ".join([*([" to ".join(times)] if times else []), f"{size(outlook.bytes)} of disk"])]


def _at_least(outlook: Outlook) -> str:
    predicted = outlook.cost_usd
    cost = "" if predicted is None or predicted.high == 0 else f"{_usd(predicted.low)} and "
    return (
        f"at least {cost}{outlook.tokens.low:,.0f} tokens (from {outlook.seen} problems, {outlook.in_part} of "
        "them asked in part)"
    )


def _cost(cost: Predicted) -> str:
    return "free" if cost.high == 0 else f"{_usd(cost.low)} to {_usd(cost.high)}"


def _most(most_usd: float | None) -> str:
    if most_usd is None:
        return "cost unknown"
    return "free" if most_usd == 0 else f"at most {_usd(most_usd)}"


def _usd(cost_usd: float) -> str:
    return f"${cost_usd:,.2f}" if cost_usd >= 1 else f"${cost_usd:.4f}"
