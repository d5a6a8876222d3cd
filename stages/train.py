"""Train the student on the examples, prompt masked, nothing cut.

Reads   Example
Writes  Example, those it was trained on; drops carry too_long. Beside them model/, log.jsonl, training_sample.json
Source  full fine-tuning; LoRA: Hu et al. 2021, "LoRA: Low-Rank Adaptation of Large Language Models", arXiv:2106.09685
"""

import json
import shutil
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from pipeline.errors import StageError
from pipeline.rows import Dropped, Example
from pipeline.stage import Rows, Stage, Work
from pipeline.student import load
from pipeline.student.text import IGNORED, Encoded, encode, prove

CHECKPOINTS = "checkpoints"
"""Folder that a stopped training goes on from; it is removed at the end."""
LOG = "log.jsonl"
"""Written last, so where it stands the training is done."""
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
        tokenizer = load.load_tokenizer(weights)
        encoded = [encode(tokenizer, row) for row in rows]
        model = self._load(weights)
        limit = self._longest(model)
        fitting = [(row, tokens) for row, tokens in zip(rows, encoded, strict=True) if len(tokens.input_ids) <= limit]
        if not fitting:
            raise StageError(
                f"none of {len(encoded)} examples can be trained on: {_why_none(encoded, limit)}",
                "look at the dropped rows of the steps before, or raise train.max_tokens",
            )
        prove(tokenizer, fitting)
        if not (work.folder / LOG).exists():
            self._train(model, tokenizer, fitting, work)
        shutil.rmtree(work.folder / CHECKPOINTS, ignore_errors=True)
        del model
        load.free()
        for row, tokens in zip(rows, encoded, strict=True):
            length = len(tokens.input_ids)
            yield row if length <= limit else Dropped(id=row.id, reason="too_long", detail=_over(length, limit))

    def _load(self, weights: load.Weights) -> Any:
        import torch

        if self.method == "full":
            return load.load_model(weights, torch.float32)  # steps of AdamW are too small for bfloat16's digits
        from peft import LoraConfig, get_peft_model
        from transformers import set_seed

        set_seed(self.seed)
        config = LoraConfig(
            r=self.lora_rank, lora_alpha=self.lora_alpha, target_modules="all-linear", task_type="CAUSAL_LM"
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # peft asks transformers by a deprecated name
            return get_peft_model(load.load_model(weights, load.fast_dtype()), config)

    def _longest(self, model: Any) -> int:
        """Tokens of the longest row that can be trained on."""
        context: int = model.config.get_text_config().max_position_embeddings
        return context if self.max_tokens is None else min(context, self.max_tokens)

    def _train(self, model: Any, tokenizer: Any, rows: Sequence[tuple[Example, Encoded]], work: Work) -> None:
        from pipeline.student import trainer

        how = trainer.Schedule(
            loss=self.loss,
            epochs=self.epochs,
            learning_rate=self.learning_rate,
            schedule=self.schedule,
            warmup_share=self.warmup_share,
            batch_size=self.batch_size,
            micro_batch_size=min(self.micro_batch_size, self.batch_size),
            activation_checkpointing=self.activation_checkpointing,
            save_steps=self.save_steps,
            seed=self.seed,
        )
        weighed = [(tokens, row.weight) for row, tokens in rows]
        trained, log = trainer.train(model, tokenizer, weighed, how, work.folder / CHECKPOINTS, work.progress)
        _save(trained.merge_and_unload() if self.method == "lora" else trained, tokenizer, work.folder / "model")
        sample = [_shown(tokenizer, row, tokens) for row, tokens in rows[:SHOWN]]
        text = json.dumps(sample, ensure_ascii=False, indent=1)
        (work.folder / "training_sample.json").write_text(text, encoding="utf-8")
        _write_jsonl(work.folder / LOG, log)


def _over(length: int, limit: int) -> str:
    return f"{length} tokens, {limit} at most"


def _why_none(encoded: Sequence[Encoded], limit: int) -> str:
    return f"the shortest has {_over(min(len(e.input_ids) for e in encoded), limit)}" if encoded else "there are none"


def _save(model: Any, tokenizer: Any, folder: Path) -> None:
    """Write the trained student; one that an earlier start left half written is replaced."""
    shutil.rmtree(folder, ignore_errors=True)
    model.config.use_cache = True
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _shown(tokenizer: Any, row: Example, tokens: Encoded) -> dict[str, Any]:
    """One example as the model saw it: each token's text, and whether it carried loss."""
    pieces = [
        {"text": tokenizer.decode([token], clean_up_tokenization_spaces=False), "trained": label != IGNORED}
        for token, label in zip(tokens.input_ids, tokens.labels, strict=True)
    ]
    return {"id": row.id, "tokens": pieces}


def _write_jsonl(path: Path, entries: Sequence[dict[str, Any]]) -> None:
    part = path.with_name(path.name + ".part")
    part.write_text("".join(json.dumps(entry) + "\n" for entry in entries), encoding="utf-8")
    part.replace(path)
