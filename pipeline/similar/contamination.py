"""What a comparison with the held-out questions came to, as it lies beside the rows."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from pipeline.similar.heldout import How

FILE = "contamination.json"
HITS = "contamination.jsonl"
"""Every hit, one a line: id, held_out, how, where, words, share, removed."""


class Found(BaseModel):
    """How often held-out questions were found in one way."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    solutions: int
    problems: int
    removed: bool


class Contamination(BaseModel):
    """The counts of one step."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    held_out: int
    """Different held-out questions."""
    compared_by_words: int
    """Of them, those that 13 words in a row are enough to find; the others are found exactly, or whole."""
    of_a_template: int
    under_30_words: int
    solutions: int
    """Solutions that were looked through."""
    found: dict[How, Found]
    """Ways in which nothing was found are left out."""

    @classmethod
    def read(cls, folder: Path) -> "Contamination | None":
        """That of a step's folder; None where it compared with nothing."""
        path = folder / FILE
        return cls.model_validate_json(path.read_bytes()) if path.is_file() else None
