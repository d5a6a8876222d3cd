"""Greedy generation for many prompts at once.

What all prompts begin with is read once, prompts of like length are padded together, and a text that has ended
leaves its batch.
"""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.progress import Progress

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Generated:
    """What a model wrote for one prompt."""

    text: str
    """Without the end-of-sequence token, and up to the first stop string."""
    tokens: int | None
    """Tokens generated, that of the end included; None where nobody counted."""
    cut: bool
    """It ended at its token limit."""


@dataclass(frozen=True)
class Limits:
    """Where a text ends, besides at the end-of-sequence token."""

    max_new_tokens: int
    stop: tuple[str, ...] = ()
    """The text ends before the first of these."""


def generate(
    model: Any, tokenizer: Any, prompts: Sequence[Sequence[int]], limits: Limits, batch_size: int, progress: Progress
) -> list[Generated]:
    """Continue each prompt with the likeliest token, again and again.

    Args:
        model: a causal language model in evaluation mode.
        tokenizer: its tokenizer.
        prompts: their tokens, none empty.
        limits: where a text ends.
        batch_size: most texts written side by side; changes speed and memory, not the texts.
        progress: advanced by one for every prompt.
    """
    import torch

    ends = end_tokens(model, tokenizer)
    order = sorted(range(len(prompts)), key=lambda index: len(prompts[index]))
    found: dict[int, Generated] = {}
    with torch.inference_mode():
        shared = _shared_beginning(prompts)
        prefix = _read(model, shared) if shared else None
        for start in range(0, len(order), batch_size):
            batch = order[start : start + batch_size]
            rest = [prompts[index][len(shared) :] for index in batch]
            for position, ids in _write(model, tokenizer, rest, len(shared), prefix, ends, limits):
                found[batch[position]] = _finished(tokenizer, ids, ends, limits)
                progress.advance()
    return [found[index] for index in range(len(prompts))]


def end_tokens(model: Any, tokenizer: Any) -> frozenset[int]:
    """Every token that ends a text of this model."""
    own = getattr(model.generation_config, "eos_token_id", None)
    listed = own if isinstance(own, list) else [own]
    return frozenset(token for token in [*listed, tokenizer.eos_token_id] if token is not None)


def _shared_beginning(prompts: Sequence[Sequence[int]]) -> Sequence[int]:
    """What two or more prompts all begin with; each keeps at least one token of its own."""
    if len(prompts) < 2:
        return []
    first, last = min(map(list, prompts)), max(map(list, prompts))  # what these two share, those between share too
    longest = min(map(len, prompts)) - 1
    unlike = (at for at, (one, other) in enumerate(zip(first, last, strict=False)) if one != other)
    return first[: min(next(unlike, longest), longest)]


def _read(model: Any, shared: Sequence[int]) -> Any:
    import torch

    ids = torch.tensor([shared], device=model.device)
    return model(input_ids=ids, use_cache=True, logits_to_keep=1).past_key_values


def _write(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[Sequence[int]],
    shared: int,
    prefix: Any,
    ends: frozenset[int],
    limits: Limits,
) -> Iterator[tuple[int, list[int]]]:
    """Write one batch; gives (position in the batch, tokens written) as each text ends."""
    import torch

    cache = copy.deepcopy(prefix)
    if cache is not None:
        cache.batch_repeat_interleave(len(prompts))
    ids, mask = _padded(prompts, shared, tokenizer.pad_token_id, model.device)
    positions = (mask.cumsum(-1) - 1).clamp(min=0)[:, shared:]
    alive = list(range(len(prompts)))
    written: list[list[int]] = [[] for _ in prompts]
    while alive:
        output = model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        cache = output.past_key_values
        chosen = output.logits[:, -1].argmax(-1)
        for position, token in zip(alive, chosen.tolist(), strict=True):
            written[position].append(token)
        ended = [_has_ended(tokenizer, written[position], ends, limits) for position in alive]
        yield from ((position, written[position]) for position, end in zip(alive, ended, strict=True) if end)
        ids, positions = chosen[:, None], positions[:, -1:] + 1
        mask = torch.cat([mask, mask.new_ones(len(alive), 1)], dim=-1)
        if any(ended):
            kept = torch.tensor([row for row, end in enumerate(ended) if not end], dtype=torch.long, device=ids.device)
            alive = [alive[row] for row in kept.tolist()]
            ids, positions, mask = ids[kept], positions[kept], mask[kept]
            cache.batch_select_indices(kept)


def _padded(
    prompts: Sequence[Sequence[int]], shared: int, pad: int, device: "torch.device"
) -> tuple["torch.Tensor", "torch.Tensor"]:
    """Token ids (batch, longest) int64, padded on the left, and the mask (batch, shared + longest) int64."""
    import torch

    longest = max(map(len, prompts))
    ids = torch.tensor([[pad] * (longest - len(prompt)) + list(prompt) for prompt in prompts], device=device)
    own = [[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts]
    mask = torch.tensor([[1] * shared + row for row in own], device=device)
    return ids, mask


def _has_ended(tokenizer: Any, ids: list[int], ends: frozenset[int], limits: Limits) -> bool:
    if ids[-1] in ends or len(ids) >= limits.max_new_tokens:
        return True
    if not limits.stop:
        return False
    # A stop string cannot reach back further than it has bytes, and a token has at least one.
    tail = _text(tokenizer, ids[-max(len(stop.encode()) for stop in limits.stop) - 4 :])
    return any(stop in tail for stop in limits.stop)


def _finished(tokenizer: Any, ids: list[int], ends: frozenset[int], limits: Limits) -> Generated:
    ended = ids[-1] in ends
    text = _text(tokenizer, ids[:-1] if ended else ids)
    stops = [at for at in (text.find(stop) for stop in limits.stop) if at >= 0]
    cut = not ended and not stops
    return Generated(text[: min(stops)] if stops else text, len(ids), cut)


def _text(tokenizer: Any, ids: list[int]) -> str:
    text: str = tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    return text
