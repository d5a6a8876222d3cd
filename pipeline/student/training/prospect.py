"""What a plan can say of a training that has not begun: how it would be fitted to this machine."""

from collections.abc import Sequence
from math import ceil
from pathlib import Path

from pipeline.errors import UsageError
from pipeline.rows import Example, Message
from pipeline.stage import Rows
from pipeline.status import size as told_bytes
from pipeline.student import load
from pipeline.student.proof import prove_template
from pipeline.student.text import IGNORED, encode
from pipeline.student.training import fit
from pipeline.student.training.batching import Lengths
from pipeline.student.training.decision import Wishes
from pipeline.student.training.footprint import Size, size_of
from pipeline.student.training.job import Schedule, training_order
from pipeline.student.training.machine import Machine, look

MEASURED = 2000
"""Most examples that are tokenised to tell how long they are; of more, an even sample and the longest texts."""
QUESTION = (Message(role="user", content="What is to be done?"),)
"""The plainest prompt there is; what does not stand the proof with it stands it with none."""
LONGEST = 50
"""Of them, the longest texts."""


def told(
    model: str, rows: Rows[Example] | None, base: Path, max_tokens: int | None, how: Schedule, wishes: Wishes
) -> list[str]:
    """How a student would be trained here, a line each.

    Args:
        model: name of the student.
        rows: the examples; None where they are not made yet.
        base: folder that paths start from.
        max_tokens: longest example that is trained on; None sets no bound.
        how: the schedule.
        wishes: what the user wants.

    Raises:
        PipelineError: the student cannot be found or loaded, its chat template is not sound, or a wish cannot be met.
    """
    try:
        machine, weights = look(), load.find(model, base)
        size = size_of(weights)
    except ImportError:
        raise UsageError("PyTorch is not installed", "pip install 'cot-distill[train]'") from None
    fit.check(machine, size, wishes)
    first = f"{told_bytes(machine.free_bytes)} free ({machine.kind}), {size.parameters / 1e6:,.0f} M parameters"
    limit = min(size.context, max_tokens or size.context)
    tokenizer = load.load_tokenizer(weights)
    prove_template(tokenizer, QUESTION)
    if rows is None:
        return [first, *_by_method(machine, size, limit, wishes)]
    lengths = _lengths(tokenizer, rows, limit, how)
    if not lengths.tokens:
        return [first, f"no example of at most {limit} tokens"]
    return [first, *fit.decide(machine, size, lengths, wishes).why]


def _by_method(machine: Machine, size: Size, limit: int, wishes: Wishes) -> list[str]:
    """How long an example may be, as nobody knows yet how long they are."""
    lines: list[str] = []
    for method in fit.methods(machine, size, wishes):
        longest = fit.longest_that_fits(machine, size, method, wishes)
        if longest >= limit:
            return [*lines, f"{method}: examples of any length fit (up to {limit} tokens)"]
        lines.append(f"{method}: examples of up to {longest} tokens fit" if longest else f"{method}: does not fit")
    return lines


def _lengths(tokenizer: object, rows: Rows[Example], limit: int, how: Schedule) -> Lengths:
    """Of the examples in the order of training, or of some of them."""
    encoded = [encode(tokenizer, row) for row in _some(rows)]
    kept = [one for one in encoded if len(one.input_ids) <= limit]
    tokens = [len(one.input_ids) for one in kept]
    trained = [sum(label != IGNORED for label in one.labels) for one in kept]
    order = training_order(tokens, how)
    return Lengths([tokens[row] for row in order], [trained[row] for row in order])


def _some(rows: Rows[Example]) -> Sequence[Example]:
    characters = [_characters(row) for row in rows]
    if len(characters) <= MEASURED:
        return list(rows)
    longest = sorted(range(len(characters)), key=lambda row: -characters[row])[:LONGEST]
    wanted = {*longest, *range(0, len(characters), ceil(len(characters) / (MEASURED - LONGEST)))}
    return [row for place, row in enumerate(rows) if place in wanted]


def _characters(row: Example) -> int:
    return len(row.completion) + sum(len(turn.content) for turn in row.prompt)
