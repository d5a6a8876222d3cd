"""The loss of each token, with logits computed for no position that carries none.

Imports torch at its top, so it is itself imported inside the functions that need it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from pipeline.student.text import IGNORED


def token_losses(model: Any, inputs: dict[str, Any], head: torch.nn.Module | None = None) -> torch.Tensor:
    """Cross-entropy of each token under those before it: (batch, tokens - 1) float, 0 where it is masked.

    Args:
        model: a causal language model, as transformers has them.
        inputs: input_ids, labels and attention_mask, each (batch, tokens) int64; without padding, what tells the rows
            apart in the mask's stead.
        head: the model's, where something is wrapped around it; None asks the model for it.
    """
    labels = inputs["labels"]
    if labels.device.type == "cuda":
        # TRL's fused head needs Triton for leaving masked positions out, and spares the memory of the logits.
        return -model(**inputs, use_cache=False, fused_lm_head=True).log_probs[:, -labels.shape[1] + 1 :]  # type: ignore[no-any-return]
    wanted = labels[:, 1:]
    trained = wanted != IGNORED
    seen = {name: value for name, value in inputs.items() if name != "labels"}
    with _only_at(head or model.get_output_embeddings(), torch.nn.functional.pad(trained, (0, 1))):
        logits = model(**seen, use_cache=False).logits
    found = torch.nn.functional.cross_entropy(logits.float(), wanted[trained], reduction="none")
    return torch.zeros(wanted.shape, device=found.device).masked_scatter(trained, found)


@contextmanager
def _only_at(head: torch.nn.Module, positions: torch.Tensor) -> Iterator[None]:
    """Let the head see the hidden states of these positions alone, (batch, tokens) bool: logits are (true, vocabulary).

    What a model does with its logits after the head, such as capping them, is done to each of them by itself.
    """
    handle = head.register_forward_pre_hook(lambda _, hidden: (hidden[0][positions],))
    try:
        yield
    finally:
        handle.remove()
