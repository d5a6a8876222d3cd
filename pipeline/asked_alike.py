"""Refuses a recipe that would ask a student with another prompt than the one that it learns to answer."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import UsageError
from pipeline.prompt import FIELD, Prompt
from pipeline.rows import Example

if TYPE_CHECKING:
    from pipeline.recipe import Step

Asked = list[tuple[str, str]]
"""Role and words of each turn before the student's own."""

FIELD_NAME = "student_prompt"
"""The field of a stage that asks a student."""
ALONE: Asked = [("user", "{{question}}")]
"""What a student is asked where no prompt is named."""


def check_asked_alike(steps: "Sequence[Step]", base: Path) -> None:
    """Follow each student that is asked back to the examples that it is trained on.

    Args:
        steps: the recipe's.
        base: folder that a prompt's path is relative to.

    Raises:
        UsageError: none of their prompts asks like this; or a prompt that cannot be read.
    """
    by_name = {step.name: step for step in steps}
    for step in steps:
        if FIELD_NAME not in type(step.stage).model_fields:
            continue
        name: str | None = getattr(step.stage, FIELD_NAME)
        taught = list(dict.fromkeys(_taught(step, by_name)))
        if not taught or name in taught or _asked(name, base) in [_asked(other, base) for other in taught]:
            continue
        raise UsageError(
            f"step {step.name!r} would ask the student with {name or 'the question alone'}, and it is trained on "
            f"{' and '.join(taught)}",
            f"--set {step.name}.{FIELD_NAME}={taught[0]}",
        )


def _taught(step: "Step", by_name: "dict[str, Step]") -> Iterator[str]:
    """The prompts of the examples that this step's student is made of."""
    if step.stage.writes is Example:
        yield from step.stage.marked("prompt").values()
    for name in step.inputs:
        if name in by_name:
            yield from _taught(by_name[name], by_name)


def _asked(name: str | None, base: Path) -> Asked:
    if name is None:
        return ALONE
    return [(turn.role, FIELD.sub(r"{{\1}}", turn.content)) for turn in Prompt.load(name, base).asked.turns]
