"""The length of solutions in tokens of the student's tokenizer."""

from collections.abc import Callable, Sequence
from pathlib import Path

from pipeline.faults.form import whole
from pipeline.rows import Solution


def counter(model: str, base: Path) -> Callable[[Sequence[Solution]], list[int]]:
    """What counts the tokens of solutions, thoughts and text, many at once.

    Args:
        model: the student, as `train` names it.
        base: folder that a relative path starts from.

    Raises:
        UsageError: there is no such model.
        StageError: its tokenizer cannot be loaded.
    """
    from pipeline.student import load

    tokenizer = load.load_tokenizer(load.find(model, base))

    def count(rows: Sequence[Solution]) -> list[int]:
        texts = [whole(row) for row in rows]
        return [len(ids) for ids in tokenizer(texts, add_special_tokens=False)["input_ids"]] if texts else []

    return count
