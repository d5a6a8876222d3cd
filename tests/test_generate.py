"""What a model writes: drawn with seeds of each text's own, in batches of any kind."""

import random
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.progress import Silent
from pipeline.student import load
from pipeline.student.answering.generate import Generated, Generation, Limits, end_tokens, generate
from pipeline.student.answering.sampling import Sampling, draw
from pipeline.student.text import encode_prompt
from tests import tiny_student

LIMITS = Limits(max_new_tokens=12)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return load.load_tokenizer(load.Weights(str(tiny_student.make(tmp_path_factory.mktemp("student")))))


@pytest.fixture(scope="module")
def model(tokenizer: Any) -> Any:
    """Its layers speak up, so that what it writes depends on all that it has read, and on where that stood."""
    import torch

    model = load.load_model(load.Weights(tokenizer.name_or_path), torch.float32)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.mul_(15 if "_proj" in name else 1)
    return model


def prompts_of(tokenizer: Any, count: int) -> list[list[int]]:
    return [encode_prompt(tokenizer, example.prompt) for example in tiny_student.sums(count)]


def written(generation: Generation, batches: list[list[int]]) -> dict[int, Generated]:
    return {
        number: text
        for batch in batches
        for number, text in zip(batch, generation.write(batch, lambda count: None), strict=True)
    }


def test_a_drawn_text_depends_on_its_seed_and_on_nothing_beside_it(model: Any, tokenizer: Any) -> None:
    prompts = [prompt for prompt in prompts_of(tokenizer, 5) for _ in range(3)]
    generation = Generation(model, tokenizer, prompts, LIMITS, Sampling(1.2, 0.95, range(100, 115)))
    in_order = written(generation, list(generation.batches(4)))
    assert len({text.text for text in in_order.values()}) > 12
    shuffled = random.Random(0).sample(range(15), 15)
    assert written(generation, [shuffled[:7], shuffled[7:]]) == in_order
    alone = Generation(model, tokenizer, [prompts[4]], LIMITS, Sampling(1.2, 0.95, [104]))
    assert written(alone, [[0]])[0] == in_order[4]
    twice = Generation(model, tokenizer, [prompts[4]] * 2, LIMITS, Sampling(1.2, 0.95, [104, 104]))
    assert list(written(twice, [[0, 1]]).values()) == [in_order[4]] * 2


def test_a_prompt_that_is_continued_several_times_is_read_once(model: Any, tokenizer: Any) -> None:
    prompts = [prompt for prompt in prompts_of(tokenizer, 2) for _ in range(4)]
    generation = Generation(model, tokenizer, prompts, LIMITS, Sampling(1.0, 1.0, range(8)))
    read: list[int] = []
    hook = model.register_forward_pre_hook(
        lambda module, args, kwargs: read.append(kwargs["input_ids"].numel()), with_kwargs=True
    )
    generation.write(range(8), lambda count: None)
    hook.remove()
    own = sum(len(prompt) - len(generation._shared) for prompt in {tuple(prompt) for prompt in prompts})
    assert read[0] == own
    assert read[1] == 8


SMALL: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 16,
    "max_position_embeddings": 256,
}
WINDOWED = {"sliding_window": 8}
RECURRENT = {"linear_num_value_heads": 2, "linear_num_key_heads": 1, "linear_key_head_dim": 16}
CONVOLVED = {"layer_types": ["conv", "full_attention", "conv", "conv"], "block_auto_adjust_ff_dim": False}


def model_of(kind: str, **more: Any) -> Any:
    """A model of another family, of random weights that speak up."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, vocab_size=400, bos_token_id=None, eos_token_id=None, **{**SMALL, **more})
    model = AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() > 1:
                weight.normal_(0, 0.25)
    return model


@pytest.mark.parametrize(
    ("kind", "more"), [("mistral", WINDOWED), ("qwen3_5_text", RECURRENT), ("lfm2", CONVOLVED), ("gpt2", {})]
)
def test_students_of_every_kind_write_side_by_side_what_they_write_alone(
    tokenizer: Any, kind: str, more: dict[str, Any]
) -> None:
    model = model_of(kind, **more)
    chance = random.Random(0)
    begin = [chance.randrange(10, 400) for _ in range(12)]
    prompts = [begin + [chance.randrange(10, 400) for _ in range(length)] for length in (3, 14, 3, 7)]
    prompts += prompts[:1]  # continued twice
    limits = Limits(10, stop=("a",))
    alone = [generate(model, tokenizer, [prompt], limits, 1, Silent())[0] for prompt in prompts]
    assert len({text.text for text in alone}) == 4
    assert generate(model, tokenizer, prompts, limits, 5, Silent()) == alone


def test_a_text_ends_where_the_model_takes_no_more(tokenizer: Any) -> None:
    model = model_of("gpt2", max_position_embeddings=24)
    prompts = [[*range(10, 10 + length)] for length in (4, 20, 23)]
    texts = generate(model, tokenizer, prompts, Limits(12), 3, Silent())
    assert [(text.tokens, text.cut) for text in texts] == [(12, True), (4, True), (1, True)]


def test_at_a_temperature_near_zero_the_likeliest_is_drawn(model: Any, tokenizer: Any) -> None:
    prompts = prompts_of(tokenizer, 4)
    generation = Generation(model, tokenizer, prompts, LIMITS, Sampling(1e-6, 1.0, range(4)))
    assert list(written(generation, [[0, 1, 2, 3]]).values()) == generate(
        model, tokenizer, prompts, LIMITS, 4, Silent()
    )


def test_batches_hold_all_that_is_not_done_the_longest_first_and_the_same_together(model: Any, tokenizer: Any) -> None:
    prompts = [[5] * (length + 1) for length in (3, 1, 2, 1, 0)]
    generation = Generation(model, tokenizer, prompts, LIMITS)
    assert list(generation.batches(2)) == [[0, 2], [1, 3], [4]]
    assert list(generation.batches(2, done={0, 2, 3})) == [[1], [4]]


@pytest.mark.parametrize(
    ("temperature", "top_p", "shares"),
    [
        (1.0, 1.0, [0.1, 0.4, 0.2, 0.3]),
        (0.5, 1.0, [1 / 30, 16 / 30, 4 / 30, 9 / 30]),
        (1.0, 0.7, [0, 4 / 7, 0, 3 / 7]),
        (1.0, 0.71, [0, 4 / 9, 2 / 9, 3 / 9]),
        (1.0, 0.3, [0, 1, 0, 0]),
    ],
)
def test_tokens_are_drawn_as_often_as_their_probabilities_say(
    temperature: float, top_p: float, shares: list[float]
) -> None:
    import torch

    count = 4000
    logits = torch.tensor([0.1, 0.4, 0.2, 0.3]).log().expand(count, 4)
    chances = [(place + 0.5) / count for place in range(count)]
    drawn = draw(logits, Sampling(temperature, top_p, ()), chances)
    found = torch.bincount(drawn, minlength=4) / count
    assert found.tolist() == pytest.approx(shares, abs=2 / count)


@pytest.mark.parametrize("top_p", [0.05, 0.5, 0.9, 0.999])
def test_a_nucleus_is_found_whole_in_a_large_vocabulary_however_wide_it_is(top_p: float) -> None:
    import torch

    weights = torch.arange(1.0, 4001.0)[torch.randperm(4000, generator=torch.Generator().manual_seed(0))]
    probabilities = (weights / weights.sum()).double()
    ranked = probabilities.argsort(descending=True)
    inside = ranked[: int((probabilities[ranked].cumsum(0) < top_p).sum()) + 1].sort().values
    chances = [(place + 0.5) / 2000 for place in range(2000)]
    drawn = draw(probabilities.log().expand(2000, -1), Sampling(1.0, top_p, ()), chances)
    places = torch.searchsorted(inside, drawn)
    assert inside[places].equal(drawn)
    ends = probabilities[inside].cumsum(0) / probabilities[inside].sum()
    widest = float(probabilities[inside].max() / probabilities[inside].sum())
    beyond = ends[places] - torch.tensor(chances)
    assert -1e-5 < float(beyond.min()) <= float(beyond.max()) < widest + 1e-5


def test_a_text_ends_at_the_end_of_the_assistants_turn_and_wherever_the_model_says_so(tokenizer: Any) -> None:
    other = load.load_tokenizer(load.Weights(tokenizer.name_or_path))
    other.eos_token = "<|endoftext|>"
    told = SimpleNamespace(generation_config=SimpleNamespace(eos_token_id=[7, 8]))
    ids = other.convert_tokens_to_ids(["<|endoftext|>", "<|im_end|>"])
    assert end_tokens(told, other) == {7, 8, *ids}
    untold = SimpleNamespace(generation_config=SimpleNamespace(eos_token_id=None))
    assert end_tokens(untold, other) == set(ids)
