"""The way on from a reached cap: how a student is made of what is there, with nothing more to pay."""

from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from pipeline.errors import BudgetError
from pipeline.jsonl import StoredRows
from pipeline.recipe import Step
from pipeline.rows import Row


def with_way_on(error: BudgetError, step: Step, steps: Sequence[Step], folder: Path) -> BudgetError:
    """The error, its hint naming the `--limit` and `--set` that make a student of what is there, where some do.

    Args:
        error: what ended the asking.
        step: the step that asked.
        steps: those of the recipe, in order.
        folder: the run's folder.
    """
    leading = _leading(error.lacking, steps, folder)
    asking = [other for other in steps[steps.index(step) :] if other.stage.marked("teacher")]
    unasked = [other for other in asking if other != step or leading is None]
    if leading == 0 or not all(map(_can_do_without, unasked)):
        return error
    flags = [f"--set {other.name}.{field}=null" for other in unasked for field in other.stage.marked("teacher")]
    if leading is not None:
        flags.insert(0, f"--limit {leading}")
    way = f"a student of what is there takes the same command with {' '.join(flags)}"
    return BudgetError(error.fact, f"{error.hint}; {way}")


def _leading(lacking: Row | None, steps: Sequence[Step], folder: Path) -> int | None:
    """How many train problems stand before the one whose replies are lacking; None where it is no train problem."""
    for step in steps:
        if step.stage.name() == "load" and getattr(step.stage, "role", None) == "train" and lacking is not None:
            ids = [row.id for row in StoredRows([folder / step.name / "rows.jsonl"], step.stage.writes)]
            return ids.index(lacking.id) if lacking.id in ids else None
    return None


def _can_do_without(step: Step) -> bool:
    """Whether each field of the step that names a teacher may be null."""
    fields = type(step.stage).model_fields
    return all(type(None) in get_args(fields[name].annotation) for name in step.stage.marked("teacher"))
