"""Train the student on the examples, prompt masked, nothing cut.

Reads   Example
Writes  Example, those it was trained on; drops carry too_long. Beside them model/, log.jsonl, training_sample.json
Source  full fine-tuning; LoRA: Hu et al. 2021, "LoRA: Low-Rank Adaptation of Large Language Models", arXiv:2106.09685
"""

import shutil
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from pipeline.errors import StageError
from pipeline.jsonl import write_json
from pipeline.progress import Progress
from pipeline.rows import Dropped, Example
from pipeline.stage import Rows, Stage, Work
from pipeline.student import load
from pipeline.student.job import LOG, Adapter, Fit, Job, Schedule
from pipeline.student.text import IGNORED, Encoded, encode, prove
from pipeline.student.tokens import write_tokens

SHOWN = 3
"""Examples in `training_sample.json`."""


class Train(Stage):
    """The fields are the recipe of the training; what it needs of the machine it finds out."""

    reads = Example
    writes = Example
    precious = True
    resumes = True

    model: str
    """The student before training: a name on the Hugging Face hub, a folder, a GGUF file, or `embedded`."""
    method: Literal["full", "lora"] = "full"
    """`full` trains every weight; `lora` small matrices beside the linear layers, which are merged at the end."""
    lora_rank: int = Field(default=16, ge=1)
    """Rank of those matrices; read by `lora` alone."""
    lora_alpha: int = Field(default=32, ge=1)
    """Their output is scaled by lora_alpha / lora_rank."""
    loss: Literal["token", "row"] = "token"
    """Over what a batch's loss is the mean: `token`, over all its tokens; `row`, over its rows, each of which has the
    mean over its own tokens. Both times the weight of the example.
    """
    epochs: int = Field(default=3, ge=1)
    """Times that each example is seen."""
    learning_rate: float = Field(default=2e-5, gt=0)
    """The highest that AdamW gets; about ten times as high for `lora`."""
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    """How the learning rate falls to zero after the warm-up, or that it does not."""
    warmup_share: float = Field(default=0.05, ge=0, lt=1)
    """Share of all steps, 0..1, over which the learning rate rises from zero."""
    batch_size: int = Field(default=16, ge=1)
    """Examples a step."""
    micro_batch_size: int = Field(default=8, ge=1)
    """Most examples in memory at once; divides batch_size, unless it is larger."""
    max_tokens: int | None = Field(default=None, ge=1)
    """Longest example, prompt included, in tokens; longer ones are dropped. None sets no bound but the model's own."""
    activation_checkpointing: bool = False
    """Save memory for about a fifth more time: most activations are computed again when they are needed."""
    save_steps: int = Field(default=50, ge=1)
    """Steps from one checkpoint to the next, from the last of which a stopped training goes on."""
    keep_epochs: bool = False
    """Keep the weights after each epoch too, in `epochs/epoch-1/` and so on, for a step `choose` to choose among."""
    seed: int = Field(default=0, ge=0, lt=2**32)
    """Of the order of the examples, and of LoRA's first weights."""

    @model_validator(mode="after")
    def _batches_divide(self) -> "Train":
        if self.batch_size % min(self.micro_batch_size, self.batch_size):
            raise ValueError(f"micro_batch_size {self.micro_batch_size} does not divide batch_size {self.batch_size}")
        return self

    def outside(self, base: Path) -> dict[str, str]:
        """The student's weights."""
        return {"model": load.fingerprint(self.model, base)}

    def run(self, rows: Rows[Example], work: Work) -> Iterator[Example | Dropped]:
        """Train once on all rows that fit, then pass them through."""
        weights = load.find(self.model, work.base)
        adapter = Adapter(rank=self.lora_rank, alpha=self.lora_alpha) if self.method == "lora" else None
        job = Job(weights=weights, adapter=adapter, schedule=self._schedule(), fit=self._fit(), folder=work.folder)
        tokenizer = load.load_tokenizer(weights)
        limit = self._longest(weights)
        lengths = self._write_tokens(tokenizer, rows, limit, job)
        if not (work.folder / LOG).exists():
            _train(job, work.progress)
        shutil.rmtree(job.checkpoints, ignore_errors=True)
        for row, length in zip(rows, lengths, strict=True):
            yield row if length <= limit else Dropped(id=row.id, reason="too_long", detail=_over(length, limit))

    def _schedule(self) -> Schedule:
        return Schedule.model_validate({name: getattr(self, name) for name in Schedule.model_fields})

    def _fit(self) -> Fit:
        return Fit(
            dtype="bf16" if load.computes_in_bfloat16() else "fp32",
            micro_batch_size=min(self.micro_batch_size, self.batch_size),
            activation_checkpointing=self.activation_checkpointing,
        )

    def _longest(self, weights: load.Weights) -> int:
        """Tokens of the longest row that can be trained on."""
        context = load.context_of(weights)
        return context if self.max_tokens is None else min(context, self.max_tokens)

    def _write_tokens(self, tokenizer: Any, rows: Rows[Example], limit: int, job: Job) -> "array[int]":
        """Prove and write the rows that fit, and a sample of them; gives the length of each row in tokens.

        Raises:
            StageError: none fits, or one is not sound.
        """
        lengths = array("l")
        sample: list[dict[str, Any]] = []

        def fitting() -> Iterator[tuple[Encoded, float]]:
            for row in rows:
                encoded = encode(tokenizer, row)
                lengths.append(len(encoded.input_ids))
                if lengths[-1] > limit:
                    continue
                prove(tokenizer, [(row, encoded)])
                if len(sample) < SHOWN:
                    sample.append(_shown(tokenizer, row, encoded))
                yield encoded, row.weight

        write_tokens(job.tokens, fitting())
        if not sample:
            raise StageError(
                f"none of {len(lengths)} examples can be trained on: {_why_none(lengths, limit)}",
                "look at the dropped rows of the steps before, or raise train.max_tokens",
            )
        write_json(job.folder / "training_sample.json", sample)
        return lengths


def _train(job: Job, progress: Progress) -> None:
    from pipeline.student.trainer import train

    train(job, progress)
    load.free()


def _over(length: int, limit: int) -> str:
    return f"{length} tokens, {limit} at most"


def _why_none(lengths: Sequence[int], limit: int) -> str:
    return f"the shortest has {_over(min(lengths), limit)}" if lengths else "there are none"


def _shown(tokenizer: Any, row: Example, tokens: Encoded) -> dict[str, Any]:
    """One example as the model saw it: each token's text, and whether it carried loss."""
    pieces = [
        {"text": tokenizer.decode([token], clean_up_tokenization_spaces=False), "trained": label != IGNORED}
        for token, label in zip(tokens.input_ids, tokens.labels, strict=True)
    ]
    return {"id": row.id, "tokens": pieces}
