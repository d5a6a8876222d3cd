"""What a run would do: which steps are kept, which are made anew and why, and what must not be replaced unasked."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pipeline.choices import Choices, TeacherChoice
from pipeline.errors import DriftError
from pipeline.prompt import Prompt
from pipeline.recipe import Step
from pipeline.record import Record
from pipeline.stage import Request, Stage, Work

State = Literal["kept", "new", "drifted", "follows", "redo"]


@dataclass(frozen=True)
class Planned:
    """One step of a plan."""

    step: Step
    state: State
    """`kept`; `new`: not made yet; `drifted`: made of something else; `follows`: an input is made anew; `redo`."""
    why: tuple[str, ...] = ()
    """The differences, for `drifted`; the inputs, for `follows`."""


def expected(
    step: Step,
    choices: Choices,
    outputs: Mapping[str, str | None],
    teacher_record: Callable[[TeacherChoice, Path], dict[str, object]],
) -> Record:
    """The record that a step would have if it were made now.

    Args:
        step: the step.
        choices: the user's choices.
        outputs: step -> content hash of what it made; None where that is not known yet.
        teacher_record: the part of a teacher that decides what it replies.

    Raises:
        UsageError: see `prompts_of`.
    """
    stage, base = step.stage, choices.base
    asked = stage.marked("teacher").values()
    return Record(
        step=step.name,
        stage=stage.name(),
        version=stage.version,
        fields=stage.model_dump(mode="json"),
        prompts={field: prompt.hash for field, prompt in prompts_of(stage, base).items()},
        inputs={name: outputs.get(name) for name in step.inputs},
        teachers={name: teacher_record(choices.teachers[name], base) for name in asked},
        outside=stage.outside(base),
    )


def prompts_of(stage: Stage, base: Path) -> dict[str, Prompt]:
    """The prompts that a stage's fields name, by field.

    Raises:
        UsageError: one that cannot be read, or that asks a teacher the same whatever the problem.
    """
    prompts = {field: Prompt.load(name, base) for field, name in stage.marked("prompt").items()}
    if stage.marked("teacher"):
        for prompt in prompts.values():
            prompt.check_asks()
    return prompts


def plan(
    steps: Sequence[Step],
    folder: Path,
    record_of: Callable[[Step, Mapping[str, str | None]], Record],
    redo: Collection[str] = (),
) -> list[Planned]:
    """Compare every step with what stands in the run's folder.

    Args:
        steps: the recipe's steps, in order.
        folder: the run's folder.
        record_of: the record that a step would have now, given its inputs' content hashes.
        redo: steps that the user wants anew.
    """
    outputs: dict[str, str | None] = {}
    planned = []
    for step in steps:
        old = Record.read(folder / step.name, step.stage)
        state, why = _state(step, old, outputs, record_of, redo)
        outputs[step.name] = old.output if state == "kept" and old else None
        planned.append(Planned(step, state, why))
    return planned


def guard(planned: Sequence[Planned], run: Path, redo: Collection[str], paid_again: Callable[[Step], int]) -> None:
    """Stop before anything is asked where trained weights, or replies already paid for, would be replaced.

    Args:
        planned: the steps that are about to run.
        run: the run's folder.
        redo: steps that the user allows to be replaced.
        paid_again: for an asking step, how many of the problems that it has asked would be asked anew.

    Raises:
        DriftError: with the differences and the ways on.
    """
    for item in planned:
        name = item.step.name
        if name in redo or item.state not in ("drifted", "follows"):
            continue
        causes = [f"  {line}" for line in _causes(item, planned)]
        if item.step.stage.precious and (run / name).is_dir():
            raise DriftError(
                "\n".join([f"{run / name} was made of something else, and its weights would be replaced:", *causes]),
                _ways_on(name, planned, until=planned[max(planned.index(item) - 1, 0)].step.name),
            )
        again = paid_again(item.step) if item.state == "drifted" and item.step.stage.marked("teacher") else 0
        if again:
            raise DriftError(
                "\n".join(
                    [f"{run / name} was made with other choices; {again} problems would be paid again:", *causes]
                ),
                _ways_on(name, planned, until=None),
            )


def first_requests(step: Step, rows: Sequence[object], work: Work) -> list[Request]:
    """The first request of each row's conversation."""
    requests = []
    for row in rows:
        conversation = step.stage.conversation(row, work)
        if conversation is None:
            continue
        first = next(conversation, None)
        conversation.close()
        if first:
            requests.append(first[0])
    return requests


def _state(
    step: Step,
    old: Record | None,
    outputs: Mapping[str, str | None],
    record_of: Callable[[Step, Mapping[str, str | None]], Record],
    redo: Collection[str],
) -> tuple[State, tuple[str, ...]]:
    if old is None or old.output is None:
        return "new", ()
    if step.name in redo:
        return "redo", ()
    now = record_of(step, outputs)
    renewed = tuple(name for name in step.inputs if outputs.get(name) is None)
    known = old.model_copy(update={"inputs": {k: v for k, v in old.inputs.items() if k not in renewed}})
    differences = known.differences(
        now.model_copy(update={"inputs": {k: v for k, v in now.inputs.items() if k not in renewed}})
    )
    if differences:
        return "drifted", tuple(differences)
    return ("follows", renewed) if renewed else ("kept", ())


def _causes(item: Planned, planned: Sequence[Planned]) -> list[str]:
    """What the user changed: the step's own differences, or those of the steps before it."""
    if item.state == "drifted":
        return list(item.why)
    by_name = {other.step.name: other for other in planned}
    lines: list[str] = []
    for name in item.why:
        other = by_name.get(name)
        if other is None or other.state in ("kept", "new", "redo"):
            found = [f"{name}: {other.state if other else 'made anew'}"]
        elif other.state == "drifted":
            found = [f"{name}: {line}" for line in other.why]
        else:
            found = _causes(other, planned)
        lines += [line for line in found if line not in lines]
    return lines


def _ways_on(name: str, planned: Sequence[Planned], until: str | None) -> str:
    stops = [p.step.name for p in planned if p.step.stage.precious and p.state in ("drifted", "follows")]
    redo = " ".join(f"--redo {step}" for step in dict.fromkeys([name, *stops]))
    ways = f"keep both with --run NAME, or make it anew with {redo}"
    return f"{ways}, or stop before it with --until {until}" if until else ways
