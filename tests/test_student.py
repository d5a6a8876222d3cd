"""What a student reads and writes, token by token."""

from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import StageError, UsageError
from pipeline.progress import Silent
from pipeline.rows import Example, Message
from pipeline.student import load
from pipeline.student.answering.generate import Limits, generate
from pipeline.student.proof import prove_example
from pipeline.student.text import IGNORED, Encoded, encode, encode_prompt
from pipeline.weights import embedded_weights
from tests import tiny_student

THINKING = tiny_student.TEMPLATE.replace("assistant\n{% endif %}", "assistant\n<think>\n{% endif %}")
NO_SYSTEM = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system turn') }}{% endif %}"
SUM = tiny_student.example("sum", "What is 4 + 3?", "<think>\n4 + 3 = 7.\n</think>\nThe answer is 7.")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_student.make(tmp_path_factory.mktemp("student"))


@pytest.fixture(scope="module")
def tokenizer(folder: Path) -> Any:
    return load.load_tokenizer(load.Weights(str(folder)))


@pytest.fixture(scope="module")
def model(folder: Path) -> Any:
    """Its layers speak up, so that what it writes depends on all that it has read, and on where that stood."""
    import torch

    model = load.load_model(load.Weights(str(folder)), torch.float32)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.mul_(15 if "_proj" in name else 1)
    return model


def trained_text(tokenizer: Any, encoded: Encoded) -> str:
    return str(tokenizer.decode([label for label in encoded.labels if label != IGNORED]))


def with_template(tokenizer: Any, template: str | None) -> Any:
    import copy

    other = copy.deepcopy(tokenizer)
    other.chat_template = template
    return other


@pytest.mark.parametrize(
    ("template", "prompt", "trained"),
    [
        (
            tiny_student.TEMPLATE,
            "<|im_start|>user\nWhat is 4 + 3?<|im_end|>\n<|im_start|>assistant\n",
            "<think>\n4 + 3 = 7.\n</think>\nThe answer is 7.<|im_end|>",
        ),
        (
            THINKING,
            "<|im_start|>user\nWhat is 4 + 3?<|im_end|>\n<|im_start|>assistant\n<think>\n",
            "4 + 3 = 7.\n</think>\nThe answer is 7.<|im_end|>",
        ),
        (None, "What is 4 + 3?\n", "<think>\n4 + 3 = 7.\n</think>\nThe answer is 7.<|im_end|>"),
    ],
    ids=["chat", "thoughts-opened", "base"],
)
def test_the_prompt_is_masked_and_thoughts_answer_and_eos_are_trained_on(
    tokenizer: Any, template: str | None, prompt: str, trained: str
) -> None:
    own = with_template(tokenizer, template)
    encoded = encode(own, SUM)
    masked = [token for token, label in zip(encoded.input_ids, encoded.labels, strict=True) if label == IGNORED]
    assert own.decode(masked) == prompt
    assert trained_text(own, encoded) == trained
    assert own.decode(encoded.input_ids) == prompt + trained
    assert encoded.input_ids[: len(masked)] == encode_prompt(own, SUM.prompt)
    prove_example(own, SUM, encoded)


def test_a_base_models_prompt_begins_with_bos_where_its_tokenizer_says_so(tokenizer: Any) -> None:
    from tokenizers.processors import TemplateProcessing

    own = with_template(tokenizer, None)
    own.bos_token = "<|endoftext|>"
    own.backend_tokenizer.post_processor = TemplateProcessing(
        single="<|endoftext|> $A", special_tokens=[("<|endoftext|>", own.bos_token_id)]
    )
    ids = encode_prompt(own, SUM.prompt)
    assert own.decode(ids) == "<|endoftext|>What is 4 + 3?\n"
    own.chat_template = tiny_student.TEMPLATE
    assert own.bos_token_id not in encode_prompt(own, SUM.prompt)


def test_a_template_that_refuses_a_turn_is_a_told_error(tokenizer: Any) -> None:
    strict = with_template(tokenizer, NO_SYSTEM + tiny_student.TEMPLATE)
    with pytest.raises(StageError, match="no system turn"):
        encode_prompt(strict, [Message(role="system", content="Be brief."), *SUM.prompt])


def test_a_template_that_wants_turns_to_alternate_says_so(tokenizer: Any) -> None:
    alternating = "{% if messages|length == 2 %}{{ raise_exception('roles must alternate') }}{% endif %}"
    strict = with_template(tokenizer, alternating + tiny_student.TEMPLATE)
    with pytest.raises(StageError) as told:
        encode_prompt(strict, [*SUM.prompt, *SUM.prompt])
    assert told.value.fact.endswith("refuses the turns (user, user): roles must alternate")
    assert told.value.hint == "give a prompt in which user and assistant take turns, or another student"


def prompts_of(tokenizer: Any, examples: list[Example]) -> list[list[int]]:
    return [encode_prompt(tokenizer, example.prompt) for example in examples]


def test_the_texts_do_not_depend_on_the_batch_size_and_are_those_of_transformers(model: Any, tokenizer: Any) -> None:
    import torch

    prompts = prompts_of(tokenizer, tiny_student.sums(12))
    limits = Limits(max_new_tokens=20)
    texts = [generate(model, tokenizer, prompts, limits, size, Silent()) for size in (1, 5, 12)]
    alone = [generate(model, tokenizer, [prompt], limits, 1, Silent())[0] for prompt in prompts]
    assert texts[0] == texts[1] == texts[2] == alone
    for prompt, written in zip(prompts[:3], alone, strict=False):
        theirs = model.generate(torch.tensor([prompt]), attention_mask=torch.ones(1, len(prompt)), max_new_tokens=20)
        assert written.text == tokenizer.decode(theirs[0, len(prompt) :], skip_special_tokens=True)


def test_a_text_ends_at_its_limit_or_before_a_stop_string(model: Any, tokenizer: Any) -> None:
    prompts = prompts_of(tokenizer, tiny_student.sums(3))
    whole = generate(model, tokenizer, prompts, Limits(16), 2, Silent())
    assert all(written.cut and written.tokens == 16 for written in whole)
    stop = whole[0].text[4:7]
    stopped = generate(model, tokenizer, prompts, Limits(16, (stop, "never written")), 2, Silent())[0]
    assert stopped.text == whole[0].text[: whole[0].text.index(stop)]
    assert not stopped.cut
    assert stopped.tokens is not None
    assert stopped.tokens < 16


def test_a_text_ends_at_eos_which_is_counted_but_not_shown(model: Any, tokenizer: Any) -> None:
    prompts = prompts_of(tokenizer, [SUM])
    whole = generate(model, tokenizer, prompts, Limits(8), 1, Silent())[0]
    ids = tokenizer(whole.text, add_special_tokens=False)["input_ids"]
    before = model.generation_config.eos_token_id
    model.generation_config.eos_token_id = [before, ids[0]]
    try:
        ended = generate(model, tokenizer, prompts, Limits(8), 1, Silent())[0]
    finally:
        model.generation_config.eos_token_id = before
    assert (ended.text, ended.tokens, ended.cut) == ("", 1, False)


def test_local_weights_are_told_apart_by_their_content(folder: Path, tmp_path: Path) -> None:
    import shutil

    copied = Path(shutil.copytree(folder, tmp_path / "copy"))
    assert load.fingerprint("copy", tmp_path) == load.fingerprint(str(folder), tmp_path)
    (copied / "config.json").write_text("{}")
    assert load.fingerprint("copy", tmp_path) != load.fingerprint(str(folder), tmp_path)


def test_the_embedded_weights_are_found_and_known_by_their_hash() -> None:
    assert load.find("embedded", Path()).gguf_file == "SmolLM2-135M-Instruct.Q4_1.gguf"
    assert load.fingerprint("embedded", Path()) == load.fingerprint(str(embedded_weights()), Path())


@pytest.mark.parametrize("name", ["nothing/here.gguf", "./nowhere", "/no/such/folder", "a b"])
def test_a_model_that_is_nowhere_is_a_usage_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="no model"):
        load.find(name, tmp_path)


def test_a_folder_without_a_model_is_a_told_error(tmp_path: Path) -> None:
    with pytest.raises(StageError, match="cannot load"):
        load.load_tokenizer(load.find(str(tmp_path), tmp_path))


@pytest.mark.long
def test_the_embedded_model_can_be_loaded_written_and_saved(tmp_path: Path) -> None:
    weights = load.find("embedded", tmp_path)
    tokenizer, model = load.load_tokenizer(weights), load.load_model(weights, load.fast_dtype())
    prompt = encode_prompt(tokenizer, [Message(role="user", content="What is the capital of France?")])
    written = generate(model, tokenizer, [prompt], Limits(24), 1, Silent())[0]
    assert "Paris" in written.text
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    saved = load.Weights(str(tmp_path))
    again = load.load_model(saved, load.fast_dtype()), load.load_tokenizer(saved)
    assert generate(*again, [prompt], Limits(24), 1, Silent())[0] == written
