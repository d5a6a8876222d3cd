"""A student's training text is proved before anything is trained on it."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import StageError
from pipeline.rows import Example, Message
from pipeline.student import faults, load
from pipeline.student.faults import Fault
from pipeline.student.proof import prove_batch, prove_example, prove_template
from pipeline.student.sample import pieces, sample
from pipeline.student.text import (
    IGNORED,
    Encoded,
    encode,
    encode_prompt,
    encode_whole,
    plain_ids,
    prompt_text,
    turn_end,
    turn_ending,
    written_text,
)
from tests import tiny_student, tiny_tokenizer

CHAT = tiny_student.TEMPLATE
SPECIAL = ["<|im_start|>", "<|im_end|>", "<end_of_turn>", "<|end_response|>"]
EOS = "<|endoftext|>"
SUM = tiny_student.example("sum", "What is 4 + 3?", "<think>\n4 + 3 = 7.\n</think>\n\nThe answer is 7.")
PLAIN = tiny_student.example("plain", "What is 4 + 3?", "4 + 3 = 7. The answer is 7.")
SYSTEM = Message(role="system", content="Be brief.")
BRIEFLY = SUM.model_copy(update={"prompt": (SYSTEM, *SUM.prompt)})
OPENS = CHAT.replace("assistant\n{% endif %}", "assistant\n<think>\n{% endif %}")
CLOSES = CHAT.replace("assistant\n{% endif %}", "assistant\n<think>\n\n</think>\n\n{% endif %}")
STRIPS = CHAT.replace("message['content']", "message['content'].split('</think>')[-1]")
ENDLESS = CHAT.replace("<|im_end|>\n", "{% if message['role'] == 'user' %}<|im_end|>{% endif %}\n")
HEADLESS = CHAT.partition("{% if add")[0]
ONE_END = "{% if not add_generation_prompt %}<|im_start|>system\nBe brief.<|im_end|>\n{% endif %}" + CHAT
EMPTY_FIRST = CHAT.replace(
    "{{ message['content'] }}",
    "{% if message['role'] == 'assistant' %}<think>\n\n</think>\n\n{% endif %}{{ message['content'] }}",
)
PARTS = CHAT.replace("{{ message['content'] }}", "{% for part in message['content'] %}{{ part['text'] }}{% endfor %}")
LOSES_SYSTEM = CHAT.replace("in messages %}", "in messages if message['role'] != 'system' %}")


def made(template: str | None = CHAT, **more: Any) -> Any:
    return tiny_tokenizer.make(template, EOS, special=SPECIAL, **more)


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return made()


def refused(fault: Fault, proof: Callable[[], None]) -> str:
    """The fault's detail, once it has been raised by its name and with its hint."""
    with pytest.raises(StageError) as raised:
        proof()
    where, named, detail = raised.value.fact.partition(f": {fault.name}: ")
    assert named, raised.value.fact
    assert where
    assert raised.value.hint == fault.hint
    assert len(raised.value.fact) < 300
    return detail


def added_twice(own: Any, example: Example) -> Encoded:
    """A trainer that renders BOS with the template and has the tokenizer add another."""
    ids = [own.bos_token_id, *encode_prompt(own, example.prompt)]
    written = encode(own, example).input_ids[len(ids) - 1 :]
    return Encoded(ids + written, [IGNORED] * len(ids) + written)


def unmasked(own: Any, example: Example) -> Encoded:
    encoded = encode(own, example)
    return replace(encoded, labels=encoded.input_ids)


def truncated(own: Any, example: Example) -> Encoded:
    encoded = encode(own, example)
    return Encoded(encoded.input_ids[:-6], encoded.labels[:-6])


def truncated_but_ended(own: Any, example: Example) -> Encoded:
    encoded, cut = encode(own, example), truncated(own, example)
    return Encoded(cut.input_ids + encoded.input_ids[-1:], cut.labels + encoded.labels[-1:])


def end_masked(own: Any, example: Example) -> Encoded:
    encoded = encode(own, example)
    return replace(encoded, labels=[*encoded.labels[:-1], IGNORED])


def thoughts_masked(own: Any, example: Example) -> Encoded:
    encoded = encode(own, example)
    first = len(encode_prompt(own, example.prompt)) + 12
    return replace(encoded, labels=[IGNORED] * first + encoded.labels[first:])


def truncated_in_the_prompt(own: Any, example: Example) -> Encoded:
    encoded = encode(own, example)
    return Encoded(encoded.input_ids[:9], encoded.labels[:9])


def one_label_more(own: Any, example: Example) -> Encoded:
    encoded = encode(own, example)
    return replace(encoded, labels=[*encoded.labels, IGNORED])


def answer_masked(own: Any, example: Example) -> Encoded:
    encoded = encode(own, example)
    return replace(encoded, labels=[*encoded.labels[:-3], IGNORED, *encoded.labels[-2:]])


def system_turn_in_training(own: Any, example: Example) -> Encoded:
    return encode(own, example.model_copy(update={"prompt": (SYSTEM, *example.prompt)}))


def first_token_lost(own: Any, example: Example) -> Encoded:
    encoded = encode(own, example)
    return Encoded(encoded.input_ids[1:], encoded.labels[1:])


@pytest.mark.parametrize(
    ("fault", "template", "rendering", "shown"),
    [
        (faults.THOUGHTS_MISSING, STRIPS, encode_whole, "'4 + 3 = 7.'"),
        (faults.THOUGHTS_MISSING, CHAT, thoughts_masked, "'4 + 3 = 7.'"),
        (faults.END_MISSING, ENDLESS, encode_whole, f"{EOS!r} wanted"),
        (faults.END_MISSING, CHAT, end_masked, "'<|im_end|>' carries no loss"),
        (faults.PROMPT_NOT_MASKED, CHAT, unmasked, "What is 4 + 3"),
        (faults.SYSTEM_AT_ONE_END, ONE_END, encode_whole, "Be brief."),
        (faults.SYSTEM_AT_ONE_END, CHAT, system_turn_in_training, "Be brief."),
        (faults.NO_GENERATION_PROMPT, HEADLESS, encode_whole, "'<|im_start|>assistant"),
        (faults.DOUBLE_BOS, "{{ bos_token }}" + CHAT, added_twice, "'<s><s>"),
        (faults.CUT, CHAT, truncated, "32 of 45 characters"),
        (faults.CUT, CHAT, truncated_but_ended, "32 of 45 characters"),
        (faults.CUT, CHAT, truncated_in_the_prompt, "9 tokens are there"),
        (faults.OTHER_ANSWER, CHAT, one_label_more, "labels for"),
        (faults.OTHER_ANSWER, CHAT, answer_masked, "1 tokens"),
        (faults.OTHER_PROMPT, CHAT, first_token_lost, "behind token 0"),
        (faults.THOUGHTS_CLOSED, CLOSES, encode, "</think>"),
        (faults.THOUGHTS_CLOSED, CLOSES, encode_whole, "</think>"),
        (faults.THOUGHTS_CLOSED, EMPTY_FIRST, encode_whole, "<think>"),
    ],
)
def test_a_training_text_with_a_planted_fault_is_refused_by_its_name(
    fault: Fault, template: str, rendering: Callable[[Any, Example], Encoded], shown: str
) -> None:
    own = made(template, bos="<s>")
    assert shown in refused(fault, lambda: prove_example(own, SUM, rendering(own, SUM)))


@pytest.mark.parametrize(
    ("fault", "template", "prompt", "shown"),
    [
        (faults.NO_GENERATION_PROMPT, HEADLESS, SUM.prompt, "<|im_start|>assistant"),
        (faults.NO_GENERATION_PROMPT, CHAT.replace(">assistant\n{%", ">{%"), SUM.prompt, "<|im_start|>assistant"),
        (faults.DOUBLE_BOS, "{{ bos_token }}{{ bos_token }}" + CHAT, SUM.prompt, "<s><s>"),
        (faults.DROPPED, LOSES_SYSTEM, BRIEFLY.prompt, "system turn 'Be brief.'"),
        (faults.DROPPED, CHAT.replace("{{ message['content'] }}", ""), SUM.prompt, "user turn 'What is 4 + 3?'"),
    ],
)
def test_a_template_with_a_planted_fault_is_refused_before_any_row(
    fault: Fault, template: str, prompt: tuple[Message, ...], shown: str
) -> None:
    own = made(template, bos="<s>")
    assert shown in refused(fault, lambda: prove_template(own, prompt))


@pytest.mark.parametrize("example", [SUM, PLAIN, BRIEFLY], ids=["thoughts", "no-thoughts", "system-turn"])
@pytest.mark.parametrize("rendering", [encode, encode_whole])
@pytest.mark.parametrize(
    "template",
    [
        CHAT,
        "{{ bos_token }}" + CHAT,
        CHAT.replace("{{ message['content'] }}", "{{ message['content'] | trim }}"),
        CHAT.replace("<|im_end|>", "<|end_response|><|im_end|>"),
        CHAT.replace("<|im_end|>\n{% endfor %}", "<|im_end|>\n{% endfor %}{% if not add_generation_prompt %}").replace(
            "{% if add_generation_prompt %}", EOS + "{% else %}"
        ),
        PARTS,
        None,
    ],
    ids=["chatml", "bos", "trims", "two-ends", "eos-behind", "parts", "base"],
)
def test_a_sound_template_is_proved_both_ways(
    template: str | None, rendering: Callable[[Any, Example], Encoded], example: Example
) -> None:
    own = made(template, bos="<s>")
    prove_template(own, example.prompt)
    prove_example(own, example, rendering(own, example))


def test_thoughts_that_the_prompt_opens_must_be_closed() -> None:
    for opening in (OPENS, OPENS.replace("<think>\n{%", "<think>{%")):
        own = made(opening)
        prove_template(own, SUM.prompt)
        prove_example(own, SUM, encode(own, SUM))
        assert own.decode(encode(own, SUM).input_ids).count("<think>\n4 + 3") == 1
        refused(faults.THOUGHTS_UNCLOSED, partial(prove_example, own, PLAIN, encode(own, PLAIN)))
    closing = made(CLOSES)
    prove_example(closing, PLAIN, encode(closing, PLAIN))
    empty_first = made(EMPTY_FIRST)
    prove_example(empty_first, PLAIN, encode_whole(empty_first, PLAIN))


@pytest.mark.parametrize("name", ["<|im_end|>", "<|im_start|>", EOS])
def test_a_special_token_that_a_completion_names_is_spelled_out(tokenizer: Any, name: str) -> None:
    named = tiny_student.example("named", "Hi", f"<think>\n1\n</think>\n\none{name}two")
    encoded = encode(tokenizer, named)
    prove_example(tokenizer, named, encoded)
    assert tokenizer.decode(encoded.input_ids).endswith(f"one{name}two<|im_end|>")
    written = [label for label in encoded.labels if label != IGNORED]
    assert set(written[:-1]).isdisjoint(tokenizer.added_tokens_decoder)
    assert encode(tokenizer, PLAIN).labels[-1] == encode(tokenizer, PLAIN).input_ids[-1] == turn_end(tokenizer)


def test_tags_of_thoughts_that_are_special_tokens_stay_tokens() -> None:
    own = tiny_tokenizer.make(CHAT, EOS, special=[*SPECIAL, "<think>", "</think>"])
    encoded = encode(own, SUM)
    prove_example(own, SUM, encoded)
    assert set(own.convert_tokens_to_ids(["<think>", "</think>"])) < set(encoded.labels)
    written = [label for label in encoded.labels if label != IGNORED]
    assert written_text(own, written) == SUM.completion


def test_a_rendering_with_an_end_in_the_middle_of_its_completion_is_refused(tokenizer: Any) -> None:
    for end in ("<|im_end|>", EOS):
        early = tiny_student.example("early", "Hi", f"one{end}two")
        shown = refused(faults.END_INSIDE, partial(prove_example, tokenizer, early, encode_whole(tokenizer, early)))
        assert repr(end) in shown


def test_letters_that_the_tokenizer_composes_are_the_same_letters() -> None:
    from tokenizers import normalizers

    own = made()
    own.backend_tokenizer.normalizer = normalizers.NFC()
    accent = tiny_student.example("accent", "Say it", "cafe\u0301 au lait")
    prove_example(own, accent, encode(own, accent))
    own.backend_tokenizer.normalizer = normalizers.Lowercase()
    shouted = tiny_student.example("shouted", "Say it", "CAFE")
    assert "'cafe'" in refused(faults.OTHER_ANSWER, lambda: prove_example(own, shouted, encode(own, shouted)))


@pytest.mark.parametrize(
    ("template", "ends"),
    [
        (CHAT, ["<|im_end|>"]),
        (CHAT.replace("<|im_end|>\n", "<end_of_turn>\n"), ["<end_of_turn>"]),
        (CHAT.replace("<|im_end|>\n", "<end_of_turn>"), ["<end_of_turn>"]),
        (CHAT.replace("<|im_end|>", "\n<end_of_turn>"), ["<end_of_turn>"]),
        (CHAT.replace("<|im_end|>", "<|end_response|>" + EOS), ["<|end_response|>", EOS]),
        (CHAT.replace("<|im_end|>\n", "<|im_end|>\n" + EOS), ["<|im_end|>"]),
        (CHAT.replace("{% if add_generation_prompt %}", "{% if true %}"), ["<|im_end|>"]),
        (CHAT.replace("<|im_end|>\n{% endfor %}", "<|im_end|>{% endfor %}<|im_start|>"), ["<|im_end|>"]),
        (CHAT.replace("message['content']", "message['content'] | trim"), ["<|im_end|>"]),
        (PARTS, ["<|im_end|>"]),
        (CHAT.replace("<|im_end|>", "<|in_pieces|>"), [EOS]),
        (CHAT.replace("<|im_end|>", "\n###"), [EOS]),
        (CHAT.replace("<|im_end|>\n", ""), [EOS]),
        ("{{ raise_exception('no') }}", [EOS]),
        (None, [EOS]),
    ],
)
def test_a_training_text_ends_with_what_ends_the_turn_of_its_template(template: str | None, ends: list[str]) -> None:
    own = made(template)
    assert own.convert_ids_to_tokens(list(turn_ending(own))) == ends
    assert turn_end(own) == own.convert_tokens_to_ids(ends[-1])
    if template and "raise" not in template:
        assert encode(own, PLAIN).labels[-len(ends) :] == list(turn_ending(own))


def test_a_template_that_takes_parts_alone_is_given_parts(tokenizer: Any) -> None:
    own = made(PARTS)
    assert prompt_text(own, BRIEFLY.prompt) == prompt_text(tokenizer, BRIEFLY.prompt)
    assert own.decode(encode_whole(own, SUM).input_ids) == tokenizer.decode(encode_whole(tokenizer, SUM).input_ids)


def test_a_template_that_writes_the_date_writes_the_same_one_every_day() -> None:
    own = made("{{ strftime_now('%d %b %Y') }}, {{ strftime_now('%Y-%m-%d') }}: " + CHAT)
    assert prompt_text(own, PLAIN.prompt).startswith("01 Jan 2026, 2026-01-01: <|im_start|>user")


ROWS = (SUM, PLAIN, tiny_student.example("long", "What is 1 + 1?", "One and one are two. " * 3 + "The answer is 2."))


def columns(encoded: list[Encoded]) -> list[dict[str, list[int]]]:
    return [{"input_ids": row.input_ids, "labels": row.labels} for row in encoded]


def by_trl(own: Any, rows: list[Encoded], **more: Any) -> Any:
    from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

    return DataCollatorForLanguageModeling(pad_token_id=own.pad_token_id, **more)(columns(rows))


def by_transformers(own: Any, rows: list[Encoded]) -> Any:
    from transformers import DataCollatorForSeq2Seq

    return DataCollatorForSeq2Seq(own)(columns(rows))


def masking_by_pad_id(own: Any, rows: list[Encoded]) -> Any:
    batch = by_trl(own, rows)
    batch["labels"][batch["input_ids"] == own.pad_token_id] = IGNORED
    return batch


def learning_by_transformers(own: Any, rows: list[Encoded]) -> Any:
    from transformers import DataCollatorForLanguageModeling

    return DataCollatorForLanguageModeling(own, mlm=False)([{"input_ids": row.input_ids} for row in rows])


def learning_the_prompt(own: Any, rows: list[Encoded]) -> Any:
    return by_trl(own, [Encoded(row.input_ids, row.input_ids) for row in rows])


def learning_the_padding(own: Any, rows: list[Encoded]) -> Any:
    batch = by_trl(own, rows)
    batch["labels"] = batch["labels"].where(batch["attention_mask"] == 1, batch["input_ids"])
    return batch


def without_its_mask(own: Any, rows: list[Encoded]) -> Any:
    return {name: column for name, column in by_trl(own, rows).items() if name != "attention_mask"}


def at_most_forty_tokens(own: Any, rows: list[Encoded]) -> Any:
    return {name: column[:, :40] for name, column in by_trl(own, rows).items()}


def one_row_less(own: Any, rows: list[Encoded]) -> Any:
    return by_trl(own, rows[:-1])


def another_token(own: Any, rows: list[Encoded]) -> Any:
    batch = by_trl(own, rows)
    batch["input_ids"][0, 3] += 1
    return batch


def end_not_learnt(own: Any, rows: list[Encoded]) -> Any:
    batch = by_trl(own, rows)
    batch["labels"][0, len(rows[0].labels) - 1] = IGNORED
    return batch


def another_label(own: Any, rows: list[Encoded]) -> Any:
    batch = by_trl(own, rows)
    batch["labels"][0, len(rows[0].labels) - 3] = IGNORED
    return batch


def encoded_rows(own: Any) -> list[Encoded]:
    return [encode(own, row) for row in ROWS]


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("pad", ["<|im_end|>", EOS, "<pad>"])
def test_a_batch_is_proved_on_whatever_side_it_is_padded_and_with_whatever_token(side: str, pad: str) -> None:
    own = made(pad=pad)
    own.padding_side = side
    rows = encoded_rows(own)
    prove_batch(own, rows, by_transformers(own, rows))
    prove_batch(own, rows, by_trl(own, rows, pad_to_multiple_of=64))
    prove_batch(own, rows, by_trl(own, rows, padding_free=True))


@pytest.mark.parametrize(
    ("fault", "collate", "shown"),
    [
        (faults.END_MASKED, learning_by_transformers, "carries no loss"),
        (faults.END_MASKED, masking_by_pad_id, "'<|im_end|>' carries no loss"),
        (faults.PROMPT_NOT_MASKED, learning_the_prompt, "What is 4 + 3"),
        (faults.PADDING_LEARNT, learning_the_padding, "padded positions"),
        (faults.OTHER_ROW, without_its_mask, "tokens"),
        (faults.CUT, at_most_forty_tokens, "40 of"),
        (faults.OTHER_ROW, one_row_less, "2 rows, 3 wanted"),
        (faults.OTHER_ROW, another_token, "tokens"),
        (faults.OTHER_ROW, another_label, "1 labels"),
        (faults.END_MISSING, end_not_learnt, "'<|im_end|>' carries no loss"),
    ],
)
def test_a_batch_with_a_planted_fault_is_refused_by_its_name(
    fault: Fault, collate: Callable[[Any, list[Encoded]], Any], shown: str
) -> None:
    own = made(pad="<pad>" if fault is faults.END_MISSING else "<|im_end|>")
    rows = encoded_rows(own)
    batch = collate(own, rows)
    with pytest.raises(StageError) as raised:
        prove_batch(own, rows, batch)
    assert f": {fault.name}: " in raised.value.fact
    assert shown in raised.value.fact


def test_the_embedded_students_own_template_is_proved_both_ways() -> None:
    own = load.load_tokenizer(load.find("embedded", Path()))
    assert own.convert_ids_to_tokens(turn_end(own)) == "<|im_end|>"
    for example in (SUM, PLAIN, BRIEFLY):
        prove_template(own, example.prompt)
        prove_example(own, example, encode(own, example))
        prove_example(own, example, encode_whole(own, example))
    rows = [encode(own, row) for row in ROWS]
    prove_batch(own, rows, by_transformers(own, rows))
    refused(faults.END_MASKED, lambda: prove_batch(own, rows, masking_by_pad_id(own, rows)))


def test_a_sample_shows_each_token_as_it_stands_in_the_text(tokenizer: Any) -> None:
    example = tiny_student.example("odd", "Ça va ?", "Oui, 日本 👍🏽!")
    encoded = encode(tokenizer, example)
    shown = sample(tokenizer, example, encoded)["tokens"]
    assert "".join(token["text"] for token in shown) == tokenizer.decode(encoded.input_ids)
    assert not any("\N{REPLACEMENT CHARACTER}" in token["text"] for token in shown)
    assert [token["text"] for token in shown if token["special"]] == [
        "<|im_start|>", "<|im_end|>", "<|im_start|>", "<|im_end|>",
    ]  # fmt: skip
    assert "".join(token["text"] for token in shown if token["trained"]) == "Oui, 日本 👍🏽!<|im_end|>"
    assert pieces(tokenizer, plain_ids(tokenizer, "日本")[:-1])[-1].endswith("\N{REPLACEMENT CHARACTER}")
