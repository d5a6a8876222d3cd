"""Rows put together to one micro batch, with the factor on each token's loss.

Imports torch and trl at its top, so it is itself imported inside the functions that need it.
"""

from collections.abc import Callable
from typing import Any

import torch
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

from pipeline.student.text import IGNORED


def collator(tokenizer: Any, by_row: bool, padding_free: bool) -> Callable[[list[dict[str, Any]]], dict[str, Any]]:
    """Pads rows, or puts them one after another; gives each token's factor, and what the sum of losses is divided by.

    Args:
        tokenizer: for its pad token.
        by_row: the loss is a mean over rows, not over tokens.
        padding_free: the rows stand one after another, and their positions tell them apart.
    """
    join = DataCollatorForLanguageModeling(pad_token_id=tokenizer.pad_token_id, padding_free=padding_free)

    def collate(rows: list[dict[str, Any]]) -> dict[str, Any]:
        batch: dict[str, Any] = join(rows)
        trained = torch.tensor([sum(label != IGNORED for label in row["labels"]) for row in rows])
        weight = torch.tensor([row["weight"] for row in rows])
        factor = weight / trained.clamp(min=1) if by_row else weight
        if padding_free:
            batch["factor"] = factor.repeat_interleave(torch.tensor([len(row["labels"]) for row in rows]))[None]
        else:
            batch["factor"] = factor[:, None].repeat(1, batch["labels"].shape[1])
        batch["share"] = trained.clamp(max=1) if by_row else trained
        return batch

    return collate
