"""Every error a user can meet.

    PipelineError                the parent: printed without a traceback, exit status 1
    ├── UsageError               the choices, the data or the command are wrong; nothing was paid (exit 2)
    ├── DriftError               a finished step was made with other choices, and making it anew would cost
    ├── TeacherError             the teacher cannot be asked: no key, wrong key, server down, not an API
    ├── BudgetError              the cap is reached
    ├── StageError               a step cannot be finished with the rows that it has
    └── Interrupted              the user stopped the run (exit 130)

The first line is the fact, with the value met and the value wanted. The hint is what to do next, a command where
there is one. Neither ever holds a key, a whole prompt or a whole reply. Anything else that is raised is a bug and
shows its traceback.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.rows import Row


class PipelineError(Exception):
    """An error with a way out.

    Args:
        fact: what is the case, on one line or a few.
        hint: what to do about it; None where there is nothing to add.
    """

    exit_status = 1

    def __init__(self, fact: str, hint: str | None = None) -> None:
        super().__init__(fact)
        self.fact = fact
        self.hint = hint

    def __str__(self) -> str:
        """The fact and, beneath it, the hint."""
        return f"{self.fact}\nhint: {self.hint}" if self.hint else self.fact


class UsageError(PipelineError):
    """The choices, the data or the command are wrong; nothing was asked, paid or loaded."""

    exit_status = 2


class DriftError(PipelineError):
    """A finished step was made with other choices, and making it anew would cost money or weights."""


class TeacherError(PipelineError):
    """The teacher cannot be asked, so the run ends instead of failing row by row."""


class BudgetError(PipelineError):
    """The cap on spending is reached; what was paid for is kept."""

    lacking: "Row | None" = None
    """The first row asked for, in their order, of whose replies the ledger lacks some; None where nobody looked."""


class StageError(PipelineError):
    """A step cannot be finished with the rows that it has."""


class Interrupted(PipelineError):
    """The user stopped the run; what was paid for is kept."""

    exit_status = 130
