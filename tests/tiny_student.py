"""A student of a hundred thousand weights with a real tokenizer and chat template, made in a second from nothing."""

from collections.abc import Iterable
from pathlib import Path

from pipeline.rows import Example, Message

TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


def make(folder: Path, template: str | None = TEMPLATE, context: int = 512) -> Path:
    """Write a random two-layer Llama and a byte-level BPE tokenizer to a folder.

    Args:
        folder: where it goes.
        template: chat template; None makes it a base model without one.
        context: longest text that it takes, in tokens.
    """
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(["<think>\nWhat is 4 + 3 - 2?\n</think>\nThe answer is 5. user assistant"], trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|im_end|>", chat_template=template)
    fast.save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(fast),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=context,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=fast.eos_token_id,
        pad_token_id=fast.eos_token_id,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def example(name: str, question: str, completion: str, weight: float = 1.0) -> Example:
    """An example as `assemble` makes it."""
    prompt = (Message(role="user", content=question),)
    return Example(id=name, parent=name, prompt=prompt, completion=completion, weight=weight, problem_id=name)


def sums(count: int) -> list[Example]:
    """Sums with their thoughts, of unlike lengths."""
    return [example(f"sum-{n}", f"What is {n} + 1?", _thoughts(n)) for n in range(count)]


def _thoughts(n: int) -> str:
    steps: Iterable[str] = (f"{n} + {part} = {n + part}." for part in range(n % 4 + 1))
    return f"<think>\n{' '.join(steps)}\n</think>\nThe answer is {n + 1}."
