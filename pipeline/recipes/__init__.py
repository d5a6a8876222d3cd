"""One file a method, found by name; here is what all of them begin with."""

from pipeline.choices import Choices
from pipeline.recipe import Step
from stages.load import Load


def problems(choices: Choices) -> list[Step]:
    """Load the held-out problems, then the train problems that are not among them."""
    return [
        Step("heldout", Load(sources=choices.data.eval, role="eval")),
        Step(
            "load",
            Load(sources=choices.data.train, role="train", limit=choices.data.limit),
            uses={"heldout": "heldout"},
        ),
    ]
