"""A training text token by token, for people to look at."""

from collections.abc import Sequence
from typing import Any

from pipeline.rows import Example
from pipeline.student.text import IGNORED, Encoded, decoded

_UNFINISHED = "\N{REPLACEMENT CHARACTER}"


def sample(tokenizer: Any, example: Example, encoded: Encoded) -> dict[str, Any]:
    """What the student sees of an example.

    Returns:
        `id`, and of each of the `tokens` its text, whether it is `trained`, and whether it is a `special` one.
    """
    special = {*tokenizer.all_special_ids, *tokenizer.get_added_vocab().values()}
    tokens = [
        {"text": text, "trained": label != IGNORED, "special": token in special}
        for text, token, label in zip(
            pieces(tokenizer, encoded.input_ids), encoded.input_ids, encoded.labels, strict=True
        )
    ]
    return {"id": example.id, "tokens": tokens}


def pieces(tokenizer: Any, ids: Sequence[int]) -> list[str]:
    """The text of each token as it stands in the whole; a letter made of several tokens comes with its last."""
    texts: list[str] = []
    before, begin = 0, 0
    for stop in range(1, len(ids) + 1):
        # Alone, many tokenizers decode a token without the space before its word.
        text = decoded(tokenizer, ids[before:stop])
        if text.endswith(_UNFINISHED) and stop < len(ids):
            texts.append("")
            continue
        texts.append(text[len(decoded(tokenizer, ids[before:begin])) :])
        before, begin = begin, stop
    return texts
