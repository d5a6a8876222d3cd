"""How likely a student finds what it would be trained to write.

Source  the length-normalised probability of a response under the model that is to be tuned: Zhang, Dai and Peng 2025,
        "The Best Instruction-Tuning Data are Those That Fit", arXiv:2502.04194
Differs rounded, so that no choice hangs on the last digits of a float
"""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

from pipeline.student.text import IGNORED, Encoded

DIGITS = 3
"""A thousandth of a nat a token is no difference between two texts."""
TOGETHER = 128
"""Items whose texts are batched by their lengths, and remembered together."""
TOKENS_AT_ONCE = 2048
"""Tokens whose logits are in memory, padding included: 1.2 GB in float32 with a vocabulary of 150,000."""

Item = tuple[str, Sequence[Encoded]]
"""Its id, and all that the student would be trained on for it."""


def mean_logprobs(model: Any, pad: int, items: Iterable[Item]) -> Iterator[list[float]]:
    """Mean natural log-probability of the tokens that the student would write, one number an item.

    Which texts stand in a batch depends on their order and lengths alone, so one machine always gives the same numbers.

    Args:
        model: a causal language model in evaluation mode.
        pad: its tokenizer's pad token.
        items: what is asked about; no text is longer than the model takes.

    Yields:
        The numbers of the next `TOGETHER` items, rounded.
    """
    rest = iter(items)
    while some := [texts for _, texts in islice(rest, TOGETHER)]:
        sums = iter(_sums(model, pad, list(chain.from_iterable(some))))
        yield [round(sum(islice(sums, len(texts))) / _written(texts), DIGITS) for texts in some]


def remembered(path: Path, model: Any, pad: int, items: Iterable[Item]) -> Iterator[float]:
    """The same, one by one, and in a file of lines `{"id": "p/0", "logprob": -0.731}`.

    A run that was killed takes from it what is there, so it must have been about the same items and the same model.
    """
    known = _known(path)
    yield from known
    names: list[str] = []

    def unknown() -> Iterator[Item]:
        for name, texts in islice(items, len(known), None):
            names.append(name)
            yield name, texts

    with path.open("a", encoding="utf-8") as file:
        for numbers in mean_logprobs(model, pad, unknown()):
            lines = [{"id": name, "logprob": number} for name, number in zip(names, numbers, strict=True)]
            file.write("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
            file.flush()
            names.clear()
            yield from numbers


def _known(path: Path) -> list[float]:
    """The numbers in a file's whole parts; what stands behind them is cut off, so that batches begin where they did."""
    if not path.is_file():
        return []
    lines = re.findall(rb"[^\n]*\n", path.read_bytes())
    whole = lines[: len(lines) // TOGETHER * TOGETHER]
    with path.open("r+b") as file:
        file.truncate(sum(map(len, whole)))
    return [json.loads(line)["logprob"] for line in whole]


def _written(texts: Sequence[Encoded]) -> int:
    return sum(label != IGNORED for text in texts for label in text.labels)


def _sums(model: Any, pad: int, texts: Sequence[Encoded]) -> list[float]:
    """Log-probability of all that each text would have the student write."""
    order = sorted(range(len(texts)), key=lambda place: len(texts[place].input_ids))
    found: dict[int, float] = {}
    while order:
        longest = len(texts[order[-1]].input_ids)
        batch = [order.pop() for _ in range(min(len(order), max(1, TOKENS_AT_ONCE // longest)))]
        found |= zip(batch, _batch_sums(model, pad, [texts[place] for place in batch], longest), strict=True)
    return [found[place] for place in range(len(texts))]


def _batch_sums(model: Any, pad: int, texts: Sequence[Encoded], longest: int) -> list[float]:
    """The same for texts side by side, or for one that is read in pieces."""
    import torch
    from torch.nn.functional import cross_entropy

    ids = torch.tensor([text.input_ids + [pad] * (longest - len(text.input_ids)) for text in texts])
    following = torch.tensor([text.labels[1:] + [IGNORED] * (longest + 1 - len(text.labels)) for text in texts])
    ids, following = ids.to(model.device), following.to(model.device)
    sums = torch.zeros(len(texts), dtype=torch.float64, device=model.device)
    cache = None
    with torch.inference_mode():
        for start in range(0, longest, TOKENS_AT_ONCE):
            piece = slice(start, start + TOKENS_AT_ONCE)
            wanted = following[:, piece]
            columns = (wanted != IGNORED).any(dim=0).nonzero()
            kept = wanted.shape[1] - int(columns[0]) if len(columns) else 1
            # No mask: what pads a text stands behind it, where nothing looks.
            output = model(
                input_ids=ids[:, piece],
                past_key_values=cache,
                use_cache=longest > TOKENS_AT_ONCE,
                logits_to_keep=kept,
            )
            cache = output.past_key_values
            wanted = wanted[:, -kept:]
            rows, _ = (wanted != IGNORED).nonzero(as_tuple=True)
            logits = output.logits[wanted != IGNORED].float()
            sums.index_add_(0, rows, -cross_entropy(logits, wanted[wanted != IGNORED], reduction="none").double())
    found: list[float] = sums.tolist()
    return found
