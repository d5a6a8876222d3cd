"""The tokens that a student reads and writes: one place for training, evaluation and the proof that they agree.

An example is the prompt's tokens, as the tokenizer's own chat template renders them up to where the assistant speaks,
then the completion's tokens, then EOS. The two parts are tokenised apart, so the prompt at inference is a prefix of
the training text by construction, and a template that hides thoughts in past turns cannot touch the completion.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from unicodedata import normalize

from pipeline.errors import StageError
from pipeline.rows import Example, Message

IGNORED = -100
"""Label of a token that carries no loss."""
OPENED_THOUGHTS = "<think>\n"
"""What some templates write at the end of the prompt, and some completions at their beginning."""


@dataclass(frozen=True)
class Encoded:
    """An example as the model sees it."""

    input_ids: list[int]
    """Prompt, completion, EOS."""
    labels: list[int]
    """The same, with `IGNORED` in place of the prompt."""


def prompt_text(tokenizer: Any, prompt: Sequence[Message]) -> str:
    """The prompt as text: by the chat template, else (as for base models) each turn on a line of its own.

    Raises:
        StageError: the template refuses these turns.
    """
    from jinja2 import TemplateError

    if not tokenizer.chat_template:
        return "".join(f"{message.content}\n" for message in prompt)
    turns = [message.model_dump() for message in prompt]
    try:
        text: str = tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
    except TemplateError as error:
        roles = ", ".join(message.role for message in prompt)
        raise StageError(
            f"the student's chat template refuses the turns ({roles}): {str(error)[:200]}",
            "give a prompt without a system turn, or another student",
        ) from error
    return text


def encode_prompt(tokenizer: Any, prompt: Sequence[Message]) -> list[int]:
    """The tokens that the student is given at inference."""
    text = prompt_text(tokenizer, prompt)
    ids = _ids(tokenizer, text)
    begins = [] if tokenizer.chat_template else tokenizer(text)["input_ids"][:1]
    return [*begins, *ids] if begins == [tokenizer.bos_token_id] else ids


def encode(tokenizer: Any, example: Example) -> Encoded:
    """The tokens that the student is trained on."""
    prompt = encode_prompt(tokenizer, example.prompt)
    written = [*_ids(tokenizer, _written(tokenizer, example)), tokenizer.eos_token_id]
    return Encoded(prompt + written, [IGNORED] * len(prompt) + written)


def prove(tokenizer: Any, pairs: Iterable[tuple[Example, Encoded]]) -> None:
    """Check on the tokens themselves that the student is trained on what it must write, and on nothing else.

    Raises:
        StageError: names the first fault and the example that has it.
    """
    for example, encoded in pairs:
        fault = _fault(tokenizer, example, encoded)
        if fault:
            raise StageError(f"example {example.id}: {fault}", "the student's tokenizer or chat template is at fault")


def _fault(tokenizer: Any, example: Example, encoded: Encoded) -> str | None:
    prompt = encode_prompt(tokenizer, example.prompt)
    if encoded.input_ids[: len(prompt)] != prompt:
        return "the prompt at inference is not the beginning of the training text"
    if any(label != IGNORED for label in encoded.labels[: len(prompt)]):
        return "a token of the prompt carries loss"
    written = encoded.labels[len(prompt) :]
    if written != encoded.input_ids[len(prompt) :]:
        return "a token of the completion carries no loss, or that of another token"
    if written[-1:] != [tokenizer.eos_token_id]:
        return "the end-of-sequence token is not learnt"
    if tokenizer.eos_token_id in written[:-1]:
        return "the end-of-sequence token stands inside the completion"
    expected, found = _written(tokenizer, example), _decoded(tokenizer, written[:-1])
    # Some tokenizers compose letters with their accents, some put a space before the first word.
    if normalize("NFC", found).strip() != normalize("NFC", expected).strip():
        return f"the labels hold {len(found)} characters that are not the completion's {len(expected)}"
    return None


def _written(tokenizer: Any, example: Example) -> str:
    """What is left to write: an opening of the thoughts that the prompt already ends with is not doubled."""
    if prompt_text(tokenizer, example.prompt).endswith(OPENED_THOUGHTS):
        return example.completion.removeprefix(OPENED_THOUGHTS)
    return example.completion


def _ids(tokenizer: Any, text: str) -> list[int]:
    # A template writes its special tokens itself: one added here would stand twice.
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return ids


def _decoded(tokenizer: Any, ids: Sequence[int]) -> str:
    text: str = tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
    return text
