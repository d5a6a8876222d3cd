"""TRL's `SFTTrainer`, set up so that a stopped training goes on to the same weights.

Imports torch and trl at its top, so it is itself imported inside the function that trains.
"""

import math
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from transformers import PrinterCallback, TrainerCallback, set_seed
from trl import SFTConfig, SFTTrainer
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

from pipeline.errors import StageError
from pipeline.jsonl import write_jsonl
from pipeline.progress import Progress
from pipeline.student.job import LOG, MODEL, Job, Schedule, training_order
from pipeline.student.load import device, fast_dtype, load_model, load_tokenizer
from pipeline.student.loss import token_losses
from pipeline.student.text import IGNORED
from pipeline.student.tokens import lengths_of, read_tokens

WHOLE = "whole"
"""File that marks a checkpoint as written to its end."""


class StudentTrainer(SFTTrainer):  # type: ignore[misc]  # trl ships no types
    """Weighs each row's loss, and computes logits for no more of the prompt than it must."""

    def get_batch_samples(self, epoch_iterator: Iterator[Any], num_batches: int, device: Any) -> tuple[list[Any], Any]:
        """The micro batches of one step, and what their losses are divided by."""
        batches, _ = super().get_batch_samples(epoch_iterator, num_batches, device)
        own = torch.stack([batch["share"].sum() for batch in batches]).sum().to(device)
        return batches, self.accelerator.gather(own).sum()

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> torch.Tensor:
        """The micro batch's part of the step's loss."""
        factor, divisor = inputs.pop("factor"), inputs.pop("share").sum()
        if num_items_in_batch is not None:
            divisor = num_items_in_batch
        losses = token_losses(model, inputs, self.accelerator.unwrap_model(model).get_output_embeddings())
        loss: torch.Tensor = (losses * factor[:, None]).sum() / divisor
        processes: int = self.accelerator.num_processes  # their gradients are averaged
        return loss * processes


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


def train(job: Job, progress: Progress) -> None:
    """Train a student, from its newest whole checkpoint where there is one; leaves its `model` and `log.jsonl`.

    Args:
        job: what to train; its tokens are written.
        progress: total and advance are in steps.
    """
    tokenizer = load_tokenizer(job.weights)
    rows = read_tokens(job.tokens)
    trainer = StudentTrainer(
        model=_model(job),
        args=_config(job),
        train_dataset=rows.select(training_order(lengths_of(rows), job.schedule)),
        processing_class=tokenizer,
        data_collator=_collator(tokenizer, job.schedule.loss == "row"),
        callbacks=[Watch(progress)],
    )
    trainer.remove_callback(PrinterCallback)  # it writes to stdout
    newest = newest_checkpoint(job.checkpoints)
    if newest:
        progress.say(f"training goes on from {newest.name}")
    trainer.train(resume_from_checkpoint=str(newest) if newest else None)
    _save(trainer.model.merge_and_unload() if job.adapter else trainer.model, tokenizer, job.folder / MODEL)
    log = [_log_entry(entry, len(rows), job.schedule) for entry in trainer.state.log_history if "loss" in entry]
    write_jsonl(job.folder / LOG, log)


def newest_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint that was written to its end; what is left of others is removed."""
    found = list(folder.glob("checkpoint-*"))
    whole = [path for path in found if (path / WHOLE).exists()]
    for path in found:
        if path not in whole:
            shutil.rmtree(path)
    return max(whole, key=lambda path: int(path.name.removeprefix("checkpoint-")), default=None)


def _model(job: Job) -> Any:
    """The model to train: whole, or with an adapter."""
    if job.adapter is None:
        return load_model(job.weights, torch.float32)  # steps of AdamW are too small for bfloat16's digits
    from peft import LoraConfig, get_peft_model

    set_seed(job.schedule.seed)
    config = LoraConfig(
        r=job.adapter.rank, lora_alpha=job.adapter.alpha, target_modules="all-linear", task_type="CAUSAL_LM"
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft asks transformers by a deprecated name
        return get_peft_model(load_model(job.weights, fast_dtype()), config)


def _collator(tokenizer: Any, by_row: bool) -> Any:
    """Pads rows, and gives each the factor on its tokens' losses and its share of what the sum is divided by."""
    pad = DataCollatorForLanguageModeling(pad_token_id=tokenizer.pad_token_id)

    def collate(rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        batch: dict[str, torch.Tensor] = pad(rows)
        trained = (batch["labels"] != IGNORED).sum(dim=1)
        weight = torch.tensor([row["weight"] for row in rows])
        batch["factor"] = weight / trained if by_row else weight
        batch["share"] = torch.ones_like(trained) if by_row else trained
        return batch

    return collate


def _config(job: Job) -> Any:
    how, fit = job.schedule, job.fit
    on_cpu = device() == "cpu"
    config = SFTConfig(
        output_dir=str(job.checkpoints),
        num_train_epochs=1,  # `training_order` holds them all
        train_sampling_strategy="sequential",
        per_device_train_batch_size=fit.micro_batch_size,
        gradient_accumulation_steps=how.batch_size // (fit.micro_batch_size * fit.processes),
        learning_rate=how.learning_rate,
        lr_scheduler_type="constant_with_warmup" if how.schedule == "constant" else how.schedule,
        warmup_steps=how.warmup_share,
        activation_checkpointing=fit.activation_checkpointing,
        bf16=fit.dtype == "bf16",
        fp16=fit.dtype == "fp16",
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


def _save(model: Any, tokenizer: Any, folder: Path) -> None:
    """Write the trained student; one that an earlier start left half written is replaced."""
    shutil.rmtree(folder, ignore_errors=True)
    model.config.use_cache = True
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _log_entry(entry: dict[str, float], rows: int, how: Schedule) -> dict[str, float]:
    trained = min(entry["step"] * how.batch_size, rows * how.epochs)
    kept = {key: entry[key] for key in ("step", "loss", "learning_rate", "grad_norm")}
    return {**kept, "epoch": round(trained / rows, 4)}
