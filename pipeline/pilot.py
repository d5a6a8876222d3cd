"""A pilot: a few of a step's problems are asked, so that what the others will take can be told."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from pipeline.choices import Choices
from pipeline.progress import Progress
from pipeline.recipe import Step
from pipeline.stage import Conversation, Work
from pipeline.teacher import Teachers

T = TypeVar("T")


def spread(items: Sequence[T], count: int) -> list[T]:
    """So many of them, evenly over all; the same ones each time."""
    count = min(count, len(items))
    return [items[(2 * place + 1) * len(items) // (2 * count)] for place in range(count)]


def ask(choices: Choices, outputs: Path, step: Step, rows: Sequence[Any], work: Work, progress: Progress) -> None:
    """Hold these rows' conversations; what they cost counts in the run's budget, and the ledger keeps the replies.

    A teacher that is asked in batches is asked online, at its full price: a pilot is waited for.

    Raises:
        PipelineError: see `pipeline.errors`.
    """
    (name,) = step.stage.marked("teacher").values()
    online = choices.teachers[name].model_copy(update={"batch": False})
    choices = choices.model_copy(update={"teachers": {**choices.teachers, name: online}})
    with Teachers(choices, outputs, run=choices.run, logs=work.logs, progress=progress) as teachers:
        teachers.check([name])
        teachers.begin(step.name, progress)
        there = replace(work, teachers=teachers, progress=progress)

        def conversation(row: Any) -> Conversation[Any]:
            talk = step.stage.conversation(row, there)
            assert talk is not None, "a row that lacks a reply is one that is asked about"
            return talk

        for _ in teachers.ask(name, rows, conversation):
            pass
