"""The proof, on the tokens themselves, that a student learns what it must write after what it will be asked.

A template is proved once, each example as it is encoded, and a batch as the collator gives it. A sound example costs a
look at its tokens and one decoding; only a fault is looked into. Any rendering can be proved, not `encode`'s alone.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any
from unicodedata import normalize

from pipeline.rows import Example, Message
from pipeline.student import faults
from pipeline.student.faults import SHOWN_CHARACTERS, Fault, shortened
from pipeline.student.text import (
    IGNORED,
    OPENED_THOUGHTS,
    PROBE,
    Encoded,
    decoded,
    encode_prompt,
    left_to_write,
    prompt_text,
    render,
    shared,
    turn_ending,
)

CLOSED_THOUGHTS = re.compile(r"<think>\s*</think>\s*\Z")
"""What some templates write at the end of the prompt where no thoughts are wanted."""
_CLOSED_BEFORE = re.compile(r"<think>\s*</think>\s*<think>")
_NO_THOUGHTS = re.compile(r"<think>\s*(</think>)?|\s+")
_AROUND_TAGS = re.compile(r"\s*(</?think>)\s*")
_THOUGHTS = re.compile(r"<think>(.*?)</think>", re.DOTALL)

Found = tuple[Fault, str] | None
"""What is wrong, and the value met; None where nothing is."""


def prove_template(tokenizer: Any, prompt: Sequence[Message]) -> None:
    """Prove that the chat template keeps what such a prompt says, and ends it where the assistant speaks.

    Raises:
        StageError: names the fault.
    """
    if not tokenizer.chat_template:
        return
    found = _lost_turn(tokenizer, prompt) or _double_bos(tokenizer, encode_prompt(tokenizer, prompt))
    found = found or _missing_header(tokenizer, prompt)
    if found:
        raise found[0].error("the student's chat template", found[1])


def prove_example(tokenizer: Any, example: Example, encoded: Encoded) -> None:
    """Prove that these are the tokens that teach this example: prompt masked, completion and end learnt, nothing cut.

    Args:
        tokenizer: the student's.
        example: what is to be taught.
        encoded: its rendering, by `encode`, `encode_whole` or anybody else.

    Raises:
        StageError: names the fault.
    """
    prompt = encode_prompt(tokenizer, example.prompt)
    found = (
        _double_bos(tokenizer, encoded.input_ids)
        or _other_prompt(tokenizer, example, prompt, encoded)
        or _other_completion(tokenizer, example, len(prompt), encoded)
    )
    if found:
        raise found[0].error(f"example {example.id}", found[1])


def prove_batch(tokenizer: Any, rows: Sequence[Encoded], batch: Mapping[str, Any]) -> None:
    """Prove that a batch holds these rows whole, and that its padding, and nothing else, was masked on the way.

    Args:
        tokenizer: the student's.
        rows: proved examples, in the order of the batch.
        batch: what the collator gave: input_ids, labels and attention_mask, each (rows, tokens) int64, padded on either
            side; or, rows laid end to end, (1, tokens) with position_ids in the mask's stead.

    Raises:
        StageError: names the fault and the row, counted from 0.
    """
    taken = _rows_of(batch)
    if len(taken) != len(rows):
        raise faults.OTHER_ROW.error("the batch", f"{len(taken)} rows, {len(rows)} wanted")
    for index, (row, (ids, labels, padding)) in enumerate(zip(rows, taken, strict=True)):
        found = _other_row(tokenizer, row, ids, labels, padding)
        if found:
            raise found[0].error(f"row {index} of the batch", found[1])


def _lost_turn(tokenizer: Any, prompt: Sequence[Message]) -> Found:
    text = prompt_text(tokenizer, prompt)
    lost = next((turn for turn in prompt if turn.content.strip() not in text), None)
    return (faults.DROPPED, f"the {lost.role} turn {shortened(lost.content)} is not in the prompt") if lost else None


def _double_bos(tokenizer: Any, ids: Sequence[int]) -> Found:
    bos = tokenizer.bos_token_id
    if bos is None or list(ids[:2]) != [bos, bos]:
        return None
    return faults.DOUBLE_BOS, f"the text begins with {shortened(decoded(tokenizer, ids[:3]))}"


def _missing_header(tokenizer: Any, prompt: Sequence[Message]) -> Found:
    """What stands between the question and the assistant's words is compared with what a prompt ends with."""
    asked = [*prompt[:-1], prompt[-1].model_copy(update={"content": PROBE})]
    ends = prompt_text(tokenizer, asked).rpartition(PROBE)[2]
    told = render(tokenizer, [*asked, Message(role="assistant", content=PROBE)], finished=True).split(PROBE)
    if len(told) < 3:
        return faults.DROPPED, "what the assistant says is not in a finished conversation"
    header, written = _NO_THOUGHTS.sub("", told[-2]), _NO_THOUGHTS.sub("", ends)
    if header == written:
        return None
    return (
        faults.NO_GENERATION_PROMPT,
        f"the prompt ends with {shortened(ends)}, the assistant's words stand behind {shortened(told[-2])}",
    )


def _other_prompt(tokenizer: Any, example: Example, prompt: list[int], encoded: Encoded) -> Found:
    if encoded.input_ids[: len(prompt)] != prompt:
        return _why_other_prompt(tokenizer, example, prompt, encoded)
    learnt = [label for label in encoded.labels[: len(prompt)] if label != IGNORED]
    if learnt:
        return faults.PROMPT_NOT_MASKED, f"{len(learnt)} of its tokens: {shortened(decoded(tokenizer, learnt))}"
    return None


def _why_other_prompt(tokenizer: Any, example: Example, prompt: list[int], encoded: Encoded) -> Found:
    if prompt[: len(encoded.input_ids)] == encoded.input_ids:
        return faults.CUT, f"{len(encoded.input_ids)} tokens are there, the prompt alone has {len(prompt)}"
    asked, told = decoded(tokenizer, prompt), decoded(tokenizer, encoded.input_ids)
    if "<think>" in example.completion:
        if CLOSED_THOUGHTS.search(asked):
            return faults.THOUGHTS_CLOSED, f"the prompt ends with {shortened(asked[-20:])}"
        if _CLOSED_BEFORE.search(told):
            return faults.THOUGHTS_CLOSED, "the training text has empty thoughts before those of the completion"
    if lost := _lost_thoughts(example, told):
        return lost
    heads = [_before_question(tokenizer, example, ids) for ids in (prompt, encoded.input_ids)]
    if None not in heads and heads[0] != heads[1]:
        at_inference, in_training = (shortened(head or "") for head in heads)
        return faults.SYSTEM_AT_ONE_END, f"before the question stands {at_inference} at inference, {in_training} here"
    at = shared(prompt, encoded.input_ids)
    goes_on, other = (shortened(decoded(tokenizer, ids[at : at + 20])) for ids in (prompt, encoded.input_ids))
    return faults.OTHER_PROMPT, f"it goes on with {goes_on} behind token {at}, the training text with {other}"


def _before_question(tokenizer: Any, example: Example, ids: Sequence[int]) -> str | None:
    """The words before the last turn's; None where that one is not there."""
    words = tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    head, question, _ = words.partition(example.prompt[-1].content.strip())
    return head if question else None


def _other_completion(tokenizer: Any, example: Example, begin: int, encoded: Encoded) -> Found:
    ids, labels = encoded.input_ids[begin:], encoded.labels[begin:]
    if len(labels) != len(ids):
        return faults.OTHER_ANSWER, f"{len(labels)} labels for {len(ids)} tokens"
    end = _end(tokenizer, ids)
    wanted = left_to_write(tokenizer, example)
    if end is None:
        return _why_no_end(tokenizer, wanted, ids)
    if labels[:end] != ids[:end]:
        return _why_not_learnt(tokenizer, example, ids[:end], labels[:end])
    ending = turn_ending(tokenizer)
    body = ids[: end - len(ending)]
    early = next((token for token in (ending[-1], tokenizer.eos_token_id) if token in body), None)
    if early is not None:
        return faults.END_INSIDE, f"{decoded(tokenizer, [early])!r} is token {body.index(early)} of {len(body)}"
    found = decoded(tokenizer, body)
    other = found != wanted and _why_other_text(example, wanted, found)
    return other or _unlike_thoughts(prompt_text(tokenizer, example.prompt), found)


def _end(tokenizer: Any, ids: Sequence[int]) -> int | None:
    """Where the turn's end stops; behind it may stand line breaks and special tokens, as some templates write them."""
    ending = list(turn_ending(tokenizer))
    for stop in range(len(ids), len(ending) - 1, -1):
        if list(ids[stop - len(ending) : stop]) == ending:
            return stop
        if tokenizer.decode(ids[stop - 1 : stop], skip_special_tokens=True).strip():
            return None
    return None


def _why_no_end(tokenizer: Any, wanted: str, ids: Sequence[int]) -> Found:
    found = decoded(tokenizer, ids)
    if _plain(wanted).startswith(_plain(found)) and _plain(found) != _plain(wanted):
        return _cut(wanted, found)
    end = decoded(tokenizer, turn_ending(tokenizer))
    return faults.END_MISSING, f"the text ends with {shortened(found[-SHOWN_CHARACTERS // 2 :])}, {end!r} wanted"


def _why_not_learnt(tokenizer: Any, example: Example, ids: Sequence[int], labels: Sequence[int]) -> Found:
    lost = [at for at, (token, label) in enumerate(zip(ids, labels, strict=True)) if token != label]
    text = shortened(decoded(tokenizer, [ids[at] for at in lost]))
    if lost[0] >= len(ids) - len(turn_ending(tokenizer)):
        return faults.END_MISSING, f"{text} carries no loss"
    learnt = decoded(tokenizer, [label for label in labels if label != IGNORED])
    missing = _lost_thoughts(example, learnt)
    return missing or (faults.OTHER_ANSWER, f"{len(lost)} tokens of it carry no loss, or another's: {text}")


def _why_other_text(example: Example, wanted: str, found: str) -> Found:
    whole, there = _plain(wanted), _plain(found)
    if there == whole:
        return None
    if whole.startswith(there):
        return _cut(wanted, found)
    before = there.removesuffix(whole)
    if before == there:
        shown = f"{shortened(found)} stands where {shortened(wanted)} should"
        return _lost_thoughts(example, found) or (faults.OTHER_ANSWER, shown)
    if _NO_THOUGHTS.sub("", before):
        return faults.NO_GENERATION_PROMPT, f"before the completion the student would learn {shortened(before)}"
    closed = faults.THOUGHTS_CLOSED, f"the completion comes behind {shortened(before)}"
    return closed if "<think>" in wanted else None


def _unlike_thoughts(asked: str, found: str) -> Found:
    if CLOSED_THOUGHTS.search(asked) and "<think>" in found:
        return faults.THOUGHTS_CLOSED, f"the prompt ends with {shortened(asked[-20:])}"
    if OPENED_THOUGHTS.search(asked) and "</think>" not in found:
        return faults.THOUGHTS_UNCLOSED, f"the prompt ends with {shortened(asked[-20:])}"
    return None


def _lost_thoughts(example: Example, text: str) -> Found:
    thoughts = _THOUGHTS.search(example.completion)
    if not thoughts or _plain(thoughts[1]) in _plain(text):
        return None
    return faults.THOUGHTS_MISSING, f"of the thoughts {shortened(thoughts[1].strip())} the text keeps nothing"


def _cut(wanted: str, found: str) -> Found:
    return faults.CUT, f"{len(found)} of {len(wanted)} characters are there; it ends with {shortened(found[-20:])}"


def _plain(text: str) -> str:
    """Some tokenizers compose letters and accents or put a space first, some templates set thoughts on their lines."""
    return _AROUND_TAGS.sub(r"\1", normalize("NFC", text)).strip()


def _rows_of(batch: Mapping[str, Any]) -> list[tuple[list[int], list[int], list[int]]]:
    """Of each row its tokens, their labels, and the labels of its padding."""
    ids, labels = batch["input_ids"].tolist(), batch["labels"].tolist()
    if "attention_mask" not in batch and "position_ids" in batch:
        starts = [at for at, position in enumerate(batch["position_ids"][0].tolist()) if position == 0]
        spans = zip(starts, [*starts[1:], len(ids[0])], strict=True)
        return [(ids[0][start:stop], labels[0][start:stop], []) for start, stop in spans]
    masks = batch["attention_mask"].tolist() if "attention_mask" in batch else [[1] * len(row) for row in ids]
    return [_parted(*row) for row in zip(ids, labels, masks, strict=True)]


def _parted(ids: list[int], labels: list[int], mask: list[int]) -> tuple[list[int], list[int], list[int]]:
    real = [at for at, seen in enumerate(mask) if seen]
    padding = [label for label, seen in zip(labels, mask, strict=True) if not seen]
    return [ids[at] for at in real], [labels[at] for at in real], padding


def _other_row(tokenizer: Any, row: Encoded, ids: list[int], labels: list[int], padding: list[int]) -> Found:
    if any(label != IGNORED for label in padding):
        learnt = sum(label != IGNORED for label in padding)
        return faults.PADDING_LEARNT, f"{learnt} of {len(padding)} padded positions do"
    if ids != row.input_ids:
        if ids == row.input_ids[: len(ids)]:
            return faults.CUT, f"{len(ids)} of {len(row.input_ids)} tokens are there"
        return faults.OTHER_ROW, f"{shortened(decoded(tokenizer, ids[-8:]))} ends it, {len(ids)} tokens"
    unlike = [at for at, (label, own) in enumerate(zip(labels, row.labels, strict=True)) if label != own]
    if not unlike:
        return None
    text = shortened(decoded(tokenizer, [ids[at] for at in unlike]))
    if all(row.labels[at] == IGNORED for at in unlike):
        return faults.PROMPT_NOT_MASKED, f"{len(unlike)} of its tokens: {text}"
    if unlike[-1] == len(ids) - 1:
        as_padding = ids[-1] == tokenizer.pad_token_id and labels[-1] == IGNORED
        return (faults.END_MASKED if as_padding else faults.END_MISSING), f"{text} carries no loss"
    return faults.OTHER_ROW, f"{len(unlike)} labels differ: {text}"
