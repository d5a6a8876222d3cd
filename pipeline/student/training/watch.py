"""What looks on while a student is trained: progress, checkpoints, and the student after each epoch.

Imports torch at its top, so it is itself imported inside the functions that need it.
"""

import math
from pathlib import Path
from typing import Any

from accelerate.utils import wait_for_everyone
from transformers import TrainerCallback

from pipeline.errors import StageError
from pipeline.progress import Progress
from pipeline.student.training.checkpoint import mark_whole
from pipeline.student.training.job import EPOCHS, Job
from pipeline.student.training.trainee import save_trainee


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
        wait_for_everyone()  # each process writes its part
        if state.is_world_process_zero:
            mark_whole(Path(args.output_dir) / f"checkpoint-{state.global_step}")


class Epochs(TrainerCallback):  # type: ignore[misc]  # transformers' types are not followed
    """Keeps the student as it is after each epoch.

    Args:
        trainer: of the student.
        job: the training.
        tokenizer: the student's.
        rows: in an epoch.
    """

    def __init__(self, trainer: Any, job: Job, tokenizer: Any, rows: int) -> None:
        self.trainer, self.job, self.tokenizer = trainer, job, tokenizer
        how = job.schedule
        self.ends = {math.ceil(rows * epoch / how.batch_size): epoch for epoch in range(1, how.epochs + 1)}

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Write the student down where the last row of an epoch has been seen; it comes before the checkpoint."""
        epoch = self.ends.get(state.global_step)
        if epoch is not None:
            save_trainee(self.trainer, self.job, self.tokenizer, self.job.folder / EPOCHS / f"epoch-{epoch}")
