"""Generation for many prompts at once, greedy or drawn.

What all prompts begin with is read once, and so is a prompt that several texts continue; prompts of like length are
padded together, and a text that has ended leaves its batch. What is drawn for a text comes from its own seed, so it
depends on no other text, and on no batch.
"""

import copy
import random
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pipeline.progress import Progress
from pipeline.student.answering.sampling import Sampling, draw
from pipeline.student.text import turn_end, written_text

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Generated:
    """What a model wrote for one prompt."""

    text: str
    """Without the token that ended it, and up to the first stop string."""
    tokens: int | None
    """Tokens generated, that of the end included; None where nobody counted."""
    cut: bool
    """It ended at its token limit."""


@dataclass(frozen=True)
class Limits:
    """Where a text ends, besides at a token that ends it, and where the model takes no more."""

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
    generation = Generation(model, tokenizer, prompts, limits)
    found: dict[int, Generated] = {}
    for batch in generation.batches(batch_size):
        found.update(zip(batch, generation.write(batch, progress.advance), strict=True))
    return [found[number] for number in range(len(prompts))]


def end_tokens(model: Any, tokenizer: Any) -> frozenset[int]:
    """Every token that ends a text of this model; `model` may be anything with its `generation_config`."""
    own = getattr(model.generation_config, "eos_token_id", None)
    listed = own if isinstance(own, list) else [own]
    every = [*listed, tokenizer.eos_token_id, turn_end(tokenizer)]
    return frozenset(token for token in every if token is not None)


def window_of(model: Any) -> int | None:
    """The longest text that a loaded model takes, in tokens, prompt included; None where nothing bounds it."""
    return getattr(model.config.get_text_config(), "max_position_embeddings", None)


class Generation:
    """Prompts that one model continues, batch by batch.

    Args:
        model: a causal language model in evaluation mode.
        tokenizer: its tokenizer.
        prompts: their tokens, none empty; one that stands there k times is continued k times. Those that `batches` is
            asked for are shorter than the model's window.
        limits: where a text ends.
        sampling: how tokens are drawn; None takes the likeliest.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        prompts: Sequence[Sequence[int]],
        limits: Limits,
        sampling: Sampling | None = None,
    ) -> None:
        self._model, self._tokenizer, self._prompts = model, tokenizer, prompts
        self._limits, self._sampling = limits, sampling
        self._ends = end_tokens(model, tokenizer)
        self._window = window_of(model)
        self._shared = _shared_beginning(prompts)
        self._prefix = self._read_shared() if self._shared else None
        if self._prefix is None:
            self._shared = []

    def batches(self, size: int, done: Container[int] = ()) -> Iterator[list[int]]:
        """The numbers of the prompts that belong together, the longest first: what memory cannot hold shows at once.

        Args:
            size: most prompts of a batch.
            done: numbers that are left out; which of the others stand together does not change with it.
        """
        order = sorted(range(len(self._prompts)), key=lambda number: -len(self._prompts[number]))
        for start in range(0, len(order), size):
            batch = [number for number in order[start : start + size] if number not in done]
            if batch:
                yield batch

    def write(self, batch: Sequence[int], end: Callable[[int], None]) -> list[Generated]:
        """Continue the prompts of these numbers side by side.

        Args:
            batch: numbers of prompts.
            end: told how many texts have just ended.
        """
        import torch

        with torch.inference_mode():
            ids = self._write(batch, end)
        return [finished(self._tokenizer, written, self._ends, self._limits) for written in ids]

    def _write(self, batch: Sequence[int], end: Callable[[int], None]) -> list[list[int]]:
        choose = self._chooser(batch)
        texts = self._begin(batch)
        most = [self._most(number) for number in batch]
        alive = list(range(len(batch)))
        written: list[list[int]] = [[] for _ in batch]
        while True:
            chosen = choose(texts.logits, alive)
            for position, token in zip(alive, chosen.tolist(), strict=True):
                written[position].append(token)
            going = [
                row for row, position in enumerate(alive) if not self._has_ended(written[position], most[position])
            ]
            if len(going) < len(alive):
                end(len(alive) - len(going))
            if not going:
                return written
            if len(going) < len(alive):
                texts.select(going)
                alive, chosen = [alive[row] for row in going], chosen[going]
            texts.read(chosen)

    def _chooser(self, batch: Sequence[int]) -> "Callable[[torch.Tensor, Sequence[int]], torch.Tensor]":
        """How the next tokens come from (alive, vocabulary) logits and the alive ones' positions in the batch."""
        sampling = self._sampling
        if sampling is None:
            return lambda logits, alive: logits.argmax(-1)
        chances = [random.Random(sampling.seeds[number]) for number in batch]
        return lambda logits, alive: draw(logits, sampling, [chances[position].random() for position in alive])

    def _begin(self, batch: Sequence[int]) -> "_Texts":
        """Read the batch's prompts, each one once."""
        import torch

        places: dict[tuple[int, ...], int] = {}
        rows = [places.setdefault(tuple(self._prompts[number]), len(places)) for number in batch]
        cache = copy.deepcopy(self._prefix)
        if cache is not None:
            cache.batch_repeat_interleave(len(places))
        shared = len(self._shared)
        own = [prompt[shared:] for prompt in places]
        longest = max(map(len, own))
        pad = self._tokenizer.pad_token_id
        ids = torch.tensor([[pad] * (longest - len(prompt)) + list(prompt) for prompt in own])
        mask = torch.tensor([[1] * shared + [0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in own])
        texts = _Texts(self._model, cache, mask.to(self._model.device))
        texts.begin(ids.to(self._model.device))
        if len(places) < len(rows):
            texts.select(rows)
        return texts

    def _read_shared(self) -> Any:
        """What the model keeps of the shared beginning; None where padding behind it would change what follows.

        A window counts padding as it counts text, and a recurrent state goes through it.
        """
        import torch
        from transformers.cache_utils import DynamicLayer

        with torch.inference_mode():
            ids = torch.tensor([self._shared], device=self._model.device)
            cache = self._model(input_ids=ids, use_cache=True, logits_to_keep=1).past_key_values
        return cache if all(type(layer) is DynamicLayer for layer in cache.layers) else None

    def _most(self, number: int) -> int:
        """Tokens that the text of this prompt can have."""
        most = self._limits.max_new_tokens
        return most if self._window is None else min(most, self._window - len(self._prompts[number]))

    def _has_ended(self, ids: list[int], most: int) -> bool:
        if ids[-1] in self._ends or len(ids) >= most:
            return True
        if not self._limits.stop:
            return False
        # A stop string cannot reach back further than it has bytes, and a token has at least one.
        tail = written_text(self._tokenizer, ids[-max(len(stop.encode()) for stop in self._limits.stop) - 4 :])
        return any(stop in tail for stop in self._limits.stop)


@dataclass
class _Texts:
    """Texts side by side, as the model has read them so far."""

    model: Any
    cache: Any
    """None before anything is read."""
    mask: "torch.Tensor"
    """(batch, tokens) int64: 0 where a shorter prompt is padded on the left."""
    logits: "torch.Tensor" = field(init=False)
    """(batch, vocabulary): what the model makes of the next token."""
    _next: "torch.Tensor" = field(init=False)
    """(batch, 1) int64: position of the next token."""

    def begin(self, ids: "torch.Tensor") -> None:
        """Read the prompts: (batch, tokens) int64, without what the cache holds of them."""
        positions = (self.mask.cumsum(-1) - 1).clamp(min=0)
        self._forward(ids, positions[:, -ids.shape[1] :])

    def read(self, tokens: "torch.Tensor") -> None:
        """Read one more token of each: (batch,) int64."""
        import torch

        self.mask = torch.cat([self.mask, self.mask.new_ones(len(tokens), 1)], dim=-1)
        self._forward(tokens[:, None], self._next)

    def select(self, rows: Sequence[int]) -> None:
        """Go on with these of them, in this order; one that stands there several times is doubled."""
        import torch

        kept = torch.tensor(rows, dtype=torch.long, device=self.mask.device)
        self.mask, self.logits, self._next = self.mask[kept], self.logits[kept], self._next[kept]
        self.cache.reorder_cache(kept)  # of its ways to select rows, the one that layers of every kind have

    def _forward(self, ids: "torch.Tensor", positions: "torch.Tensor") -> None:
        output = self.model(
            input_ids=ids,
            attention_mask=self.mask,
            position_ids=positions,
            past_key_values=self.cache,
            use_cache=True,
            logits_to_keep=1,
        )
        self.cache, self.logits, self._next = output.past_key_values, output.logits[:, -1], positions[:, -1:] + 1


def finished(tokenizer: Any, ids: list[int], ends: frozenset[int], limits: Limits) -> Generated:
    """The text of the tokens that were generated, at least one.

    Args:
        tokenizer: the model's.
        ids: the tokens, that of the end included.
        ends: the tokens that end a text.
        limits: where else it ends.
    """
    ended = ids[-1] in ends
    text = written_text(tokenizer, ids[:-1] if ended else ids)
    stops = [at for at in (text.find(stop) for stop in limits.stop) if at >= 0]
    cut = not ended and not stops
    return Generated(text[: min(stops)] if stops else text, len(ids), cut)


def _shared_beginning(prompts: Sequence[Sequence[int]]) -> Sequence[int]:
    """What two or more prompts all begin with; each keeps at least one token of its own."""
    if len(prompts) < 2:
        return []
    first, last = min(map(list, prompts)), max(map(list, prompts))  # what these two share, those between share too
    longest = min(map(len, prompts)) - 1
    unlike = (at for at, (one, other) in enumerate(zip(first, last, strict=False)) if one != other)
    return first[: min(next(unlike, longest), longest)]
