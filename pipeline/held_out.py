"""Refuses a recipe in which held-out problems decide what the student becomes, before anything is asked or paid."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipeline.errors import UsageError

if TYPE_CHECKING:
    from pipeline.recipe import Step


def check_held_out(steps: "Sequence[Step]") -> None:
    """Follow the rows of each step that shapes the student back to where they were loaded.

    Raises:
        UsageError: they were loaded to be held out.
    """
    by_name = {step.name: step for step in steps}
    for step in steps:
        if step.stage.shapes_student:
            for name in _ancestors(step, by_name):
                if getattr(by_name[name].stage, "role", None) == "eval":
                    raise UsageError(
                        f"step {step.name!r} would read problems of {name!r}, which are held out",
                        "train on `load`; choose by a dev split: set data.dev, and give the step rows=('dev',)",
                    )


def _ancestors(step: "Step", by_name: "dict[str, Step]") -> set[str]:
    """The steps whose rows those of this one are made of; steps that are only looked into leave no row."""
    found = {name for name in step.rows if name in by_name}
    return found.union(*(_ancestors(by_name[name], by_name) for name in found))
