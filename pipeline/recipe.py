"""What a recipe is: a function from the user's choices to a list of steps, one file a method, found by name."""

import importlib.util
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import ValidationError

from pipeline.asked_alike import check_asked_alike
from pipeline.choices import Choices, first_fault, nearest
from pipeline.errors import UsageError
from pipeline.held_out import check_held_out
from pipeline.stage import Stage

FOLDER = Path(__file__).resolve().parent / "recipes"


@dataclass(frozen=True)
class Step:
    """A stage at a named place."""

    name: str
    stage: Stage
    rows: tuple[str, ...] = ()
    """Steps whose rows it reads, one after another."""
    uses: Mapping[str, str] = field(default_factory=dict)
    """Other steps whose folders it looks into, by the part that they play."""
    may_be_empty: bool = False
    """It may carry nothing on, because the rows of another step stand in for its own."""

    @property
    def inputs(self) -> tuple[str, ...]:
        """Every step that it depends on."""
        return (*self.rows, *self.uses.values())


Recipe = Callable[[Choices], list[Step]]


def names() -> list[str]:
    """The recipes that come with the project, as users write them."""
    return sorted(path.stem.replace("_", "-") for path in FOLDER.glob("[a-z]*.py"))


def module(name: str, base: Path) -> ModuleType:
    """The module of a recipe, by name or by the path of a user's own file.

    Raises:
        UsageError: there is no such recipe, or the file has no function `recipe`.
    """
    own = base / name
    path = own if own.suffix == ".py" else FOLDER / f"{name.replace('-', '_')}.py"
    if not path.is_file():
        raise UsageError(f"no recipe {name!r}", nearest(name, names()))
    spec = importlib.util.spec_from_file_location(f"pipeline.recipes.{path.stem}", path)
    assert spec is not None and spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    if not inspect.isfunction(getattr(found, "recipe", None)):
        raise UsageError(f"{path} has no function `recipe`", "write `def recipe(choices: Choices) -> list[Step]`")
    return found


def steps(choices: Choices) -> list[Step]:
    """The steps of the chosen recipe, with what the user set on their fields.

    Raises:
        UsageError: an unknown recipe, step or field, a value that a field does not take, or a recipe that would train
            on what is held out, or ask a student with a prompt that it was not trained on.
    """
    try:
        made: list[Step] = module(choices.recipe, choices.base).recipe(choices)
    except ValidationError as error:
        fault = first_fault(error).removeprefix("Value error, ")
        raise UsageError(f"recipe {choices.recipe!r}, {error.title}: {fault}") from None
    over: dict[str, dict[str, Any]] = {}
    for address, value in choices.set.items():
        step_name, _, field_name = address.partition(".")
        if not field_name:
            raise UsageError(f"set: {address}: expected step.field: value, as in `solve.samples: 8`")
        step = next((step for step in made if step.name == step_name), None)
        if step is None:
            raise UsageError(
                f"set: no step {step_name!r} in recipe {choices.recipe!r}", nearest(step_name, [s.name for s in made])
            )
        if field_name not in type(step.stage).model_fields:
            raise UsageError(
                f"set: step {step_name!r} has no field {field_name!r}",
                nearest(field_name, list(type(step.stage).model_fields)),
            )
        over.setdefault(step_name, {})[field_name] = value
    made = [_changed(step, over[step.name]) if step.name in over else step for step in made]
    for step in made:
        for field_name, teacher in step.stage.marked("teacher").items():
            if teacher not in choices.teachers:
                raise UsageError(
                    f"{step.name}.{field_name}: no teacher {teacher!r}", nearest(teacher, list(choices.teachers))
                )
    check_held_out(made)
    check_asked_alike(made, choices.base)
    return made


def _changed(step: Step, over: Mapping[str, Any]) -> Step:
    """The step with these fields set, all at once: some fit only together."""
    fields = {name: getattr(step.stage, name) for name in type(step.stage).model_fields}
    try:
        return replace(step, stage=type(step.stage).model_validate({**fields, **over}))
    except ValidationError as error:
        fault = first_fault(error)
        of_whole = fault.removeprefix("Value error, ")
        raise UsageError(f"set: {step.name}{'.' if of_whole == fault else ': '}{of_whole}") from None
