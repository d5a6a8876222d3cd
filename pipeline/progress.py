"""What a person sees while a step runs: one live line on a terminal, plain lines without, and a file for `status`."""

from typing import Protocol


class Progress(Protocol):
    """What a stage or a teacher tells of how far it is; cheap enough to call for every reply."""

    def total(self, count: int) -> None:
        """How many things (problems, training steps, texts) this step will do."""

    def advance(self, count: int = 1) -> None:
        """So many more of them are done."""

    def note(self, **figures: float | str) -> None:
        """Figures to show beside the bar, replacing those of the same name (`tokens`, `cost_usd`, `errors`, ...)."""

    def say(self, line: str) -> None:
        """One line that stays on the screen, for what a person should know."""
