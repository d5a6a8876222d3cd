"""TRL's `SFTTrainer`, set up so that a stopped training goes on to the same weights.

Imports torch and trl at its top, so it is itself imported inside the function that trains.
"""

import math
import random
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from datasets import Dataset
from transformers import PrinterCallback, TrainerCallback
from trl import SFTConfig, SFTTrainer
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

from pipeline.errors import StageError
from pipeline.progress import Progress
from pipeline.student.text import IGNORED, Encoded

WHOLE = "whole"
"""File that marks a checkpoint as written to its end."""


@dataclass(frozen=True)
class Schedule:
    """How a student is trained; the fields of the same names in `stages/train.py` say more."""

    loss: Literal["token", "row"]
    epochs: int
    learning_rate: float
    schedule: str
    warmup_share: float
    batch_size: int
    micro_batch_size: int
    activation_checkpointing: bool
    save_steps: int
    seed: int


class StudentTrainer(SFTTrainer):  # type: ignore[misc]  # trl ships no types
    """Weighs each row's loss, and computes logits for no more of the prompt than it must."""

    def get_batch_samples(self, epoch_iterator: Iterator[Any], num_batches: int, device: Any) -> tuple[list[Any], Any]:
        """The micro batches of one step, and what their losses are divided by."""
        batches, _ = super().get_batch_samples(epoch_iterator, num_batches, device)
        return batches, sum(batch["share"].sum() for batch in batches).to(device)

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> torch.Tensor:
        """The micro batch's part of the step's loss."""
        factor, divisor = inputs.pop("factor"), inputs.pop("share").sum()
        if num_items_in_batch is not None:
            divisor = num_items_in_batch
        loss: torch.Tensor = (token_losses(model, inputs) * factor[:, None]).sum() / divisor
        return loss


def token_losses(model: Any, inputs: dict[str, Any]) -> torch.Tensor:
    """Cross-entropy of each token: (batch, tokens - 1 or less) float, aligned at the end, 0 where it is masked."""
    labels = inputs["labels"]
    if labels.device.type == "cuda":
        # TRL's fused head needs Triton for leaving masked positions out, and spares the memory of the logits.
        return -model(**inputs, use_cache=False, fused_lm_head=True).log_probs  # type: ignore[no-any-return]
    first = int((labels != IGNORED).any(dim=0).nonzero()[0])
    logits = model(
        input_ids=inputs["input_ids"],
        attention_mask=inputs["attention_mask"],
        use_cache=False,
        logits_to_keep=labels.shape[1] - first + 1,
    ).logits[:, :-1]
    wanted = labels[:, first:]
    flat = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1).float(), wanted.flatten(), ignore_index=IGNORED, reduction="none"
    )
    return flat.view(wanted.shape)


class Watch(TrainerCallback):  # type: ignore[misc]  # transformers' types are not followed
    """Tells the progress, marks whole checkpoints, and ends a training that diverged."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Count the steps; those of an earlier start are done."""
        self.progress.total(state.max_steps)
        self.progress.advance(state.global_step)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Count the step."""
        self.progress.advance()

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float], **kwargs: Any) -> None:
        """Show the loss."""
        loss = logs.get("loss")
        if loss is None:
            return
        if not math.isfinite(loss):
            raise StageError(f"the loss is {loss} at step {state.global_step}", "lower learning_rate")
        self.progress.note(loss=round(loss, 4))

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Mark the checkpoint, now that all of it is there."""
        (Path(args.output_dir) / f"checkpoint-{state.global_step}" / WHOLE).touch()


def train(
    model: Any, tokenizer: Any, rows: Sequence[tuple[Encoded, float]], how: Schedule, folder: Path, progress: Progress
) -> tuple[Any, list[dict[str, float]]]:
    """Train a student, from its newest whole checkpoint where there is one.

    Args:
        model: what `load_model` gave, or a PEFT model around it.
        tokenizer: its tokenizer.
        rows: tokens and weight of each example.
        how: the schedule.
        folder: for the checkpoints.
        progress: total and advance are in steps.

    Returns:
        The trained model, and one entry a step: step, epoch, loss, learning_rate, grad_norm.
    """
    order = training_order([len(encoded.input_ids) for encoded, _ in rows], how)
    trainer = StudentTrainer(
        model=model,
        args=_config(how, folder),
        train_dataset=Dataset.from_list([_columns(encoded, weight, how) for encoded, weight in rows]).select(order),
        processing_class=tokenizer,
        data_collator=_collator(tokenizer),
        callbacks=[Watch(progress)],
    )
    trainer.remove_callback(PrinterCallback)  # it writes to stdout
    newest = newest_checkpoint(folder)
    if newest:
        progress.say(f"training goes on from {newest.name}")
    trainer.train(resume_from_checkpoint=str(newest) if newest else None)
    return trainer.model, [_log_entry(entry, len(rows), how) for entry in trainer.state.log_history if "loss" in entry]


def training_order(lengths: Sequence[int], how: Schedule) -> list[int]:
    """The rows of all epochs in the order in which they are trained on.

    It is laid out beforehand, so that going on from a checkpoint is skipping. A batch is drawn whatever the lengths;
    only inside it rows of like length stand together, so that its micro batches need little padding.
    """
    shuffled: list[int] = []
    for epoch in range(how.epochs):
        drawn = list(range(len(lengths)))
        random.Random(f"{how.seed}/{epoch}").shuffle(drawn)
        shuffled += drawn
    batches = (shuffled[start : start + how.batch_size] for start in range(0, len(shuffled), how.batch_size))
    return [row for batch in batches for row in sorted(batch, key=lambda row: lengths[row])]


def newest_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint that was written to its end; what is left of others is removed."""
    found = list(folder.glob("checkpoint-*"))
    whole = [path for path in found if (path / WHOLE).exists()]
    for path in found:
        if path not in whole:
            shutil.rmtree(path)
    return max(whole, key=lambda path: int(path.name.removeprefix("checkpoint-")), default=None)


def _columns(encoded: Encoded, weight: float, how: Schedule) -> dict[str, Any]:
    trained = sum(label != IGNORED for label in encoded.labels)
    by_row = how.loss == "row"
    return {
        "input_ids": encoded.input_ids,
        "labels": encoded.labels,
        "factor": weight / trained if by_row else weight,  # on the loss of each token
        "share": 1 if by_row else trained,  # of what the batch's loss is divided by
    }


def _collator(tokenizer: Any) -> Any:
    pad = DataCollatorForLanguageModeling(pad_token_id=tokenizer.pad_token_id)

    def collate(rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        factor = torch.tensor([row["factor"] for row in rows])
        share = torch.tensor([row["share"] for row in rows])
        return {**pad(rows), "factor": factor, "share": share}

    return collate


def _config(how: Schedule, folder: Path) -> Any:
    from pipeline.student.load import device, fast_dtype

    on_cpu = device() == "cpu"
    config = SFTConfig(
        output_dir=str(folder),
        num_train_epochs=1,  # `training_order` holds them all
        train_sampling_strategy="sequential",
        per_device_train_batch_size=how.micro_batch_size,
        gradient_accumulation_steps=how.batch_size // how.micro_batch_size,
        learning_rate=how.learning_rate,
        lr_scheduler_type="constant_with_warmup" if how.schedule == "constant" else how.schedule,
        warmup_steps=how.warmup_share,
        activation_checkpointing=how.activation_checkpointing,
        bf16=fast_dtype() is torch.bfloat16,
        use_cpu=on_cpu,
        dataloader_pin_memory=not on_cpu,
        max_length=None,  # TRL cuts at 1024 by default
        dataset_kwargs={"skip_prepare_dataset": True},
        remove_unused_columns=False,
        save_steps=how.save_steps,
        save_total_limit=2,  # while one is written, the one before it is still whole
        logging_steps=1,
        logging_nan_inf_filter=False,
        report_to="none",
        disable_tqdm=True,
        seed=how.seed,
    )
    if not on_cpu:
        config._n_gpu = 1  # where several are visible, TRL refuses to train in one process
    return config


def _log_entry(entry: dict[str, float], rows: int, how: Schedule) -> dict[str, float]:
    trained = min(entry["step"] * how.batch_size, rows * how.epochs)
    kept = {key: entry[key] for key in ("step", "loss", "learning_rate", "grad_norm")}
    return {**kept, "epoch": round(trained / rows, 4)}
