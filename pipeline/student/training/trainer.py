"""TRL's `SFTTrainer`, set up so that a stopped training goes on to the same weights.

Imports torch and trl at its top, so it is itself imported inside the function that trains.
"""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import ceil
from typing import Any

import torch
from accelerate import DistributedType
from accelerate.utils import enable_fsdp_ram_efficient_loading
from datasets import Dataset, concatenate_datasets
from torch.distributed.fsdp import MixedPrecisionPolicy
from transformers import PrinterCallback
from trl import SFTConfig, SFTTrainer

from pipeline.jsonl import write_jsonl
from pipeline.progress import Progress
from pipeline.student.load import device, free, load_tokenizer
from pipeline.student.text import IGNORED
from pipeline.student.training.batching import Batching, Lengths
from pipeline.student.training.checkpoint import is_refused_by_disk, newest_checkpoint, require_kind, unwritten
from pipeline.student.training.collator import collator
from pipeline.student.training.job import LOG, MODEL, Fit, Job, OutOfMemory, Schedule, training_order
from pipeline.student.training.loss import token_losses
from pipeline.student.training.rehearsal import Rehearsal, is_out_of_memory
from pipeline.student.training.tokens import lengths_of, read_tokens, trained_of
from pipeline.student.training.trainee import DTYPES, is_sharded, load_trainee, save_trainee
from pipeline.student.training.watch import Epochs, Watch


class StudentTrainer(SFTTrainer):  # type: ignore[misc]  # trl ships no types
    """Weighs each token's loss, and computes logits for no more of the prompt than it must."""

    loss_is_scaled_for_ga = True  # else it is divided once more for models that take no number of items, as Gemma 4

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
        loss: torch.Tensor = (losses * factor[:, 1:]).sum() / divisor
        processes: int = self.accelerator.num_processes  # their gradients are averaged
        return loss * processes


def train(job: Job, progress: Progress) -> None:
    """Train a student, from its newest whole checkpoint where there is one; leaves its `model` and `log.jsonl`.

    Args:
        job: what to train; its tokens are written.
        progress: total and advance are in steps.

    Raises:
        OutOfMemory: a micro batch does not fit. What it took is given back.
        StageError: the loss is no number, or the disk took no more.
    """
    try:
        with _threads(job.fit.threads):
            _train(job, progress)
            return
    except Exception as error:
        if is_refused_by_disk(error):
            raise unwritten(job.folder) from error
        if not is_out_of_memory(error):
            raise
    free()
    raise OutOfMemory(
        f"{job.fit.micro_batch_size} examples at once do not fit into memory",
        f"--set train.micro_batch_size={max(1, job.fit.micro_batch_size // 2)}",
    )


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _train(job: Job, progress: Progress) -> None:
    tokenizer = load_tokenizer(job.weights)
    rows = read_tokens(job.tokens)
    order = training_order(lengths_of(rows), job.schedule)
    steps = ceil(len(order) / job.schedule.batch_size)
    config = _config(job, steps)  # joins the other processes, and chooses this one's device
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of TRL, on the switch for Liger
        trainer = StudentTrainer(
            model=load_trainee(job),
            args=config,
            train_dataset=_filled_up(rows.select(order), job.fit),
            processing_class=tokenizer,
            data_collator=collator(tokenizer, job.schedule.loss == "row", job.fit.padding_free),
        )
    if job.adapter and job.adapter.quantized:
        _widen(trainer.model)
    trainer.remove_callback(PrinterCallback)  # it writes to stdout
    trainer.add_callback(Rehearsal(trainer, _largest(rows, order, job.fit)))
    if job.schedule.keep_epochs:
        trainer.add_callback(Epochs(trainer, job, tokenizer, len(rows)))
    trainer.add_callback(Watch(progress))
    with trainer.accelerator.main_process_first():
        newest = newest_checkpoint(job.checkpoints)
    if newest:
        require_kind(newest, is_sharded(job))
        progress.say(f"training goes on from {newest.name}")
    trainer.train(resume_from_checkpoint=str(newest) if newest else None)
    save_trainee(trainer, job, tokenizer, job.folder / MODEL)
    if trainer.accelerator.is_main_process:
        log = [_log_entry(entry, len(rows), job.schedule) for entry in trainer.state.log_history if "loss" in entry]
        write_jsonl(job.folder / LOG, log)
    trainer.accelerator.wait_for_everyone()


def _largest(rows: Dataset, order: Sequence[int], fit: Fit) -> list[range]:
    """The micro batches that take most memory: the one of most tokens, and the one of most that carry loss."""
    tokens, trained = lengths_of(rows), trained_of(rows)
    lengths = Lengths([tokens[row] for row in order], [trained[row] for row in order])
    found = Batching.of(lengths, fit.micro_batch_size, fit.padding_free)
    places = dict.fromkeys([found.largest_at, found.most_trained_at])
    size = fit.micro_batch_size
    return [range(place * size, min((place + 1) * size, len(order))) for place in places]


def _widen(model: torch.nn.Module) -> None:
    """Hold the adapter of a 4-bit model in float32: TRL makes it bfloat16, too coarse for small steps of AdamW."""
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()


def _filled_up(rows: Dataset, fit: Fit) -> Dataset:
    """The rows, and such without loss at the end, so that all processes have as many micro batches of one size."""
    missing = -len(rows) % (fit.micro_batch_size * fit.processes)
    if not missing:
        return rows
    blank = {"input_ids": rows[0]["input_ids"][:2], "labels": [IGNORED] * 2, "weight": 0.0}
    return concatenate_datasets([rows, Dataset.from_list([blank] * missing, features=rows.features)])


def _config(job: Job, steps: int) -> Any:
    how, fit = job.schedule, job.fit
    on_cpu, sharded = device() == "cpu", is_sharded(job)
    if sharded:
        enable_fsdp_ram_efficient_loading()  # one process reads the weights, and gives each its part
    config = SFTConfig(
        output_dir=str(job.checkpoints),
        num_train_epochs=1,  # `training_order` holds them all
        train_sampling_strategy="sequential",
        per_device_train_batch_size=fit.micro_batch_size,
        gradient_accumulation_steps=how.batch_size // (fit.micro_batch_size * fit.processes),
        learning_rate=how.learning_rate,
        lr_scheduler_type="constant_with_warmup" if how.schedule == "constant" else how.schedule,
        warmup_steps=min(ceil(steps * how.warmup_share), steps - 1),  # at least one step learns
        activation_checkpointing=fit.activation_checkpointing and not sharded,
        fsdp=sharded,
        fsdp_config={
            "state_dict_type": "SHARDED_STATE_DICT",
            "cpu_ram_efficient_loading": True,
            "activation_checkpointing": fit.activation_checkpointing,
        },
        ddp_find_unused_parameters=False,
        bf16=fit.dtype == "bf16",
        fp16=fit.dtype == "fp16",
        use_liger_kernel=fit.liger,
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
    if sharded:
        _shard(config, fit)
    return config


def _shard(config: Any, fit: Fit) -> None:
    """Finish the settings of FSDP2."""
    if fit.dtype != "fp32":
        policy = MixedPrecisionPolicy(param_dtype=DTYPES[fit.dtype], reduce_dtype=torch.float32)
        config.fsdp_plugin_args["mixed_precision_policy"] = policy
    # accelerate shards what lies on several devices, and would not take processors for such.
    config.distributed_state.distributed_type = DistributedType.MULTI_GPU


def _log_entry(entry: dict[str, float], rows: int, how: Schedule) -> dict[str, float]:
    trained = min(entry["step"] * how.batch_size, rows * how.epochs)
    kept = {key: entry[key] for key in ("step", "loss", "learning_rate", "grad_norm")}
    return {**kept, "epoch": round(trained / rows, 4)}
