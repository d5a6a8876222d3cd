"""Real tokenizers of four hundred tokens, with the special tokens and the chat template that a test asks for."""

from collections.abc import Sequence
from functools import cache
from typing import Any

SPLIT = r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
"""How Llama 3 and Qwen part a text, so that line breaks stand together."""
CORPUS = ["<think>\nWhat is 4 + 3?\n\n</think>\n\nThe answer is 7. these are the words user assistant model system\n\n"]


def make(
    template: str | None,
    eos: str,
    *,
    special: Sequence[str] = (),
    bos: str | None = None,
    pad: str | None = None,
    whole_tags: bool = False,
) -> Any:
    """A byte-level BPE tokenizer.

    Args:
        template: its chat template.
        eos: ends a text; it pads too where `pad` is None.
        special: further tokens that are never parted.
        bos: begins a text, where a template or a caller writes it.
        pad: fills a batch.
        whole_tags: `<think>` and `</think>` are a token each, as in the tokenizers of models that think.
    """
    from tokenizers import AddedToken, Tokenizer
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer.from_str(_trained())
    tokenizer.add_special_tokens(list(dict.fromkeys([eos, *([bos] if bos else []), *([pad] if pad else []), *special])))
    if whole_tags:
        tokenizer.add_tokens([AddedToken(tag, special=False) for tag in ("<think>", "</think>")])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=eos, bos_token=bos, pad_token=pad or eos, chat_template=template
    )


@cache
def _trained() -> str:
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=400, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    text: str = tokenizer.to_str()
    return text
