"""The tokens that a student reads and writes: one place for training, evaluation and the proof that they agree.

An example is the prompt's tokens, as the tokenizer's own chat template renders them up to where the assistant speaks,
then the completion's tokens, then what ends the assistant's turn. The two parts are tokenised apart, so the prompt at
inference is a prefix of the training text by construction, and a template that hides thoughts in past turns cannot
touch the completion. A completion that names a special token, as HTML's `</s>` does for some students, spells it out.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import takewhile
from typing import Any

from pipeline.errors import StageError
from pipeline.rows import Example, Message

IGNORED = -100
"""Label of a token that carries no loss."""
OPENED_THOUGHTS = re.compile(r"<think>(\s*)\Z")
"""What some templates write at the end of the prompt."""
_ONE_DAY = (
    "{% macro strftime_now(form) %}{{ form | replace('%Y', '2026') | replace('%m', '01') | replace('%d', '01')"
    " | replace('%b', 'Jan') | replace('%B', 'January') }}{% endmacro %}"
)
"""Some templates write the day's date: with it, a training that goes on tomorrow would read other tokens."""
_THOUGHT_TAGS = ("<think>", "</think>")
"""Words that a model writes and a reader must see, even where its tokenizer has special tokens for them."""
PROBE = "these are the words"
"""What a turn says where only what stands around it matters."""
_ASKED_AND_TOLD = (Message(role="user", content=PROBE), Message(role="assistant", content=PROBE))


@dataclass(frozen=True)
class Encoded:
    """An example as the model sees it."""

    input_ids: list[int]
    """Prompt, completion, end of the turn."""
    labels: list[int]
    """The same, with `IGNORED` in place of the prompt."""


def render(tokenizer: Any, turns: Sequence[Message], *, finished: bool) -> str:
    """A conversation as the tokenizer's own chat template writes it.

    Args:
        tokenizer: one with a chat template.
        turns: the conversation.
        finished: leave it as it is; else it ends where the assistant is to speak.

    Raises:
        StageError: the template refuses these turns.
    """
    from jinja2 import TemplateError

    template = tokenizer.get_chat_template()
    try:
        return _apply(tokenizer, template, turns, finished, _takes_parts(tokenizer, template))
    except (TemplateError, TypeError) as error:
        roles = [turn.role for turn in turns]
        taken = "without a system turn" if "system" in roles else "in which user and assistant take turns"
        raise StageError(
            f"the student's chat template refuses the turns ({', '.join(roles)}): {str(error)[:200]}",
            f"give a prompt {taken}, or another student",
        ) from error


def prompt_text(tokenizer: Any, prompt: Sequence[Message]) -> str:
    """The prompt as text: by the chat template, else (as for base models) each turn on a line of its own.

    Raises:
        StageError: the template refuses these turns.
    """
    return _prompt(tokenizer, _template(tokenizer), tuple(prompt))[0]


def encode_prompt(tokenizer: Any, prompt: Sequence[Message]) -> list[int]:
    """The tokens that the student is given at inference."""
    return list(_prompt(tokenizer, _template(tokenizer), tuple(prompt))[1])


def encode(tokenizer: Any, example: Example) -> Encoded:
    """The tokens that the student is trained on."""
    prompt = encode_prompt(tokenizer, example.prompt)
    written = [*_spelled_ids(tokenizer, left_to_write(tokenizer, example)), *turn_ending(tokenizer)]
    return Encoded(prompt + written, [IGNORED] * len(prompt) + written)


def encode_whole(tokenizer: Any, example: Example) -> Encoded:
    """The tokens of a trainer that has the template write the whole conversation and masks what the prompt shares."""
    if not tokenizer.chat_template:
        return encode(tokenizer, example)
    prompt = encode_prompt(tokenizer, example.prompt)
    turns = [*example.prompt, Message(role="assistant", content=example.completion)]
    ids = plain_ids(tokenizer, render(tokenizer, turns, finished=True))
    masked = shared(prompt, ids)
    return Encoded(ids, [IGNORED] * masked + ids[masked:])


def turn_end(tokenizer: Any) -> int:
    """The token that ends the assistant's turn by the tokenizer's own chat template, EOS where that names none.

    It is what a training text ends with: `<end_of_turn>` where EOS is `<eos>`, `<|eot_id|>` where it is
    `<|end_of_text|>`.
    """
    return turn_ending(tokenizer)[-1]


def turn_ending(tokenizer: Any) -> tuple[int, ...]:
    """The turn's end with the special tokens that the template puts before it, seldom any."""
    return _turn_ending(tokenizer, _template(tokenizer))


def left_to_write(tokenizer: Any, example: Example) -> str:
    """The completion, without an opening of the thoughts that the prompt already ends with."""
    opened = OPENED_THOUGHTS.search(prompt_text(tokenizer, example.prompt))
    if not opened or not example.completion.startswith("<think>"):
        return example.completion
    return example.completion.removeprefix("<think>").removeprefix(opened[1])


def plain_ids(tokenizer: Any, text: str) -> list[int]:
    """The tokens of a text and no others: a template writes its special tokens itself, one added would stand twice."""
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return ids


def decoded(tokenizer: Any, ids: Sequence[int]) -> str:
    """The text of these tokens, special ones shown."""
    import numpy as np

    # Of a list, transformers looks at every item, which takes longer than the decoding; an array it takes as it is.
    array = np.asarray(ids, dtype=np.int64)
    text: str = tokenizer.decode(array, skip_special_tokens=False, clean_up_tokenization_spaces=False)
    return text


def written_text(tokenizer: Any, ids: Sequence[int]) -> str:
    """What a model wrote with these tokens: without special ones, but for the tags of thoughts."""
    special = _special_ids(tokenizer)
    return decoded(tokenizer, [token for token in ids if token not in special])


def shared(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens both begin with."""
    unlike = (at for at, (left, right) in enumerate(zip(one, other, strict=False)) if left != right)
    return next(unlike, min(len(one), len(other)))


def _template(tokenizer: Any) -> str | None:
    return tokenizer.get_chat_template() if tokenizer.chat_template else None


@lru_cache(maxsize=64)
def _prompt(tokenizer: Any, template: str | None, prompt: tuple[Message, ...]) -> tuple[str, tuple[int, ...]]:
    """Text and tokens; remembered, because the samples of a problem stand together and each is proved."""
    if template:
        text = render(tokenizer, prompt, finished=False)
        return text, tuple(plain_ids(tokenizer, text))
    text = "".join(f"{turn.content}\n" for turn in prompt)
    first = tokenizer(text)["input_ids"][:1]
    begins = first if first == [tokenizer.bos_token_id] else []
    return text, (*begins, *plain_ids(tokenizer, text))


def _spelled_ids(tokenizer: Any, text: str) -> list[int]:
    """The tokens of what somebody wrote: none of them ends a turn, or begins one."""
    ids = plain_ids(tokenizer, text)
    if _special_ids(tokenizer).isdisjoint(ids):
        return ids
    spelled: list[int] = tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    return spelled


@lru_cache(maxsize=8)
def _special_ids(tokenizer: Any) -> frozenset[int]:
    """Those of the special tokens, but for the tags of thoughts, which a completion does write."""
    added = tokenizer.added_tokens_decoder.items()
    return frozenset(token for token, about in added if about.special and about.content not in _THOUGHT_TAGS)


@lru_cache(maxsize=8)
def _turn_ending(tokenizer: Any, template: str | None) -> tuple[int, ...]:
    eos: int = tokenizer.eos_token_id
    text = _finished_probe(tokenizer, template, _takes_parts(tokenizer, template)) if template else None
    if text is None:
        return (eos,)
    special = {*tokenizer.all_special_ids, *tokenizer.get_added_vocab().values()}
    after = plain_ids(tokenizer, text.rpartition(PROBE)[2].lstrip())
    run = tuple(takewhile(special.__contains__, after))
    # The first is the end, unless EOS follows at once: then that is, as after Cohere's <|END_RESPONSE|>.
    return run[: run.index(eos) + 1] if eos in run else run[:1] or (eos,)


@lru_cache(maxsize=8)
def _takes_parts(tokenizer: Any, template: str) -> bool:
    """Whether the template takes what a turn says as a list of parts alone: from plain text it takes nothing."""
    plain, parts = (_finished_probe(tokenizer, template, parts) for parts in (False, True))
    return plain is None and parts is not None


def _finished_probe(tokenizer: Any, template: str, parts: bool) -> str | None:
    """A question and its answer, both of the same words; None where the template does not show both."""
    from jinja2 import TemplateError

    try:
        text = _apply(tokenizer, template, _ASKED_AND_TOLD, True, parts)
    except (TemplateError, TypeError):
        return None
    return text if text.count(PROBE) == len(_ASKED_AND_TOLD) else None


def _apply(tokenizer: Any, template: str, turns: Sequence[Message], finished: bool, parts: bool) -> str:
    conversation = [
        {"role": turn.role, "content": [{"type": "text", "text": turn.content}] if parts else turn.content}
        for turn in turns
    ]
    text: str = tokenizer.apply_chat_template(
        conversation,
        chat_template=_ONE_DAY + template if "strftime_now" in template else template,
        add_generation_prompt=not finished,
        tokenize=False,
    )
    return text
