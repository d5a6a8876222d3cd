"""One file a method, found by name; here is what all of them share."""

from collections.abc import Mapping

from pipeline.choices import Choices
from pipeline.recipe import Step
from stages.choose import Choose
from stages.load import Load
from stages.train import Train


def problems(choices: Choices) -> list[Step]:
    """Load the held-out problems, the dev split where one is wanted, then the train problems that are in neither."""
    data, uses = choices.data, {"heldout": "heldout"}
    steps = [Step("heldout", Load(sources=data.eval, role="eval"))]
    if data.dev is not None:
        steps.append(Step("dev", Load(sources=data.train, role="dev", size=data.dev), uses=uses))
        uses = {**uses, "dev": "dev"}
    return [*steps, Step("load", Load(sources=data.train, limit=data.limit), uses=uses)]


def student(choices: Choices, train: Train, prompt: str, max_new_tokens: int) -> list[Step]:
    """Train, and with a dev split keep the epoch after which the student answers most of it.

    Args:
        choices: the user's.
        train: reads the step `assemble`.
        prompt: what the student was trained on, for the dev problems.
        max_new_tokens: most that it writes for one of them: as many as `evaluate` gives it.
    """
    if choices.data.dev is None:
        return [Step("train", train, rows=("assemble",))]
    return [
        Step("train", train.model_copy(update={"keep_epochs": True}), rows=("assemble",)),
        Step(
            "choose",
            Choose(student_prompt=prompt, max_new_tokens=max_new_tokens),
            rows=("dev",),
            uses={"student": "train"},
        ),
    ]


def trained(choices: Choices) -> Mapping[str, str]:
    """Where `evaluate` finds the student that `student` made."""
    return {"student": "train" if choices.data.dev is None else "choose"}
