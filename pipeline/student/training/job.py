"""What a training is made of, so that any process can do it: the weights, the method, the schedule, how it fits the
machine, and the folder.
"""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from pipeline.errors import StageError
from pipeline.student.load import Weights

CHECKPOINTS = "checkpoints"
"""Folder of what a stopped training goes on from; it is removed at the end."""
MODEL = "model"
"""Folder of the trained student."""
EPOCHS = "epochs"
"""Folder of the student after each epoch, `epoch-1` and so on, where they are kept."""
LOG = "log.jsonl"
"""One entry a step. It is written last, so where it stands the training is done."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Schedule(_Part):
    """What decides the weights that come out; the fields of the same names in `stages/train.py` say more."""

    loss: Literal["token", "row"] = "token"
    epochs: int = 3
    learning_rate: float = 2e-5
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    warmup_share: float = 0.05
    batch_size: int = 16
    save_steps: int = 50
    keep_epochs: bool = False
    seed: int = 0


class Adapter(_Part):
    """Small matrices beside the linear layers, trained in the weights' stead."""

    rank: int
    alpha: int
    """Their output is scaled by alpha / rank."""
    quantized: bool = False
    """The weights that they stand beside are held in 4 bits (QLoRA)."""


class Fit(_Part):
    """How a training uses the machine; but for rounding nothing in it changes the weights that come out."""

    dtype: Literal["bf16", "fp16", "fp32"] = "fp32"
    """What it computes in."""
    micro_batch_size: int = 8
    """Most examples in one process's memory at once."""
    activation_checkpointing: bool = False
    """Most activations are computed again when they are needed."""
    padding_free: bool = False
    """The examples of a micro batch stand one after another instead of each being padded to the longest."""
    liger: bool = False
    """Its kernels stand in for the model's own layers."""
    processes: int = 1
    """The batch is divided among them."""
    threads: int | None = None
    """Of the processor, for each process; None leaves it to PyTorch."""


class OutOfMemory(StageError):
    """A training does not fit as it was begun; with less in memory at once it may."""


class Job(_Part):
    """One training."""

    weights: Weights
    adapter: Adapter | None = None
    """None trains every weight."""
    schedule: Schedule
    fit: Fit
    folder: Path
    """The step's own."""

    @property
    def checkpoints(self) -> Path:
        """Where its checkpoints lie."""
        return self.folder / CHECKPOINTS

    @property
    def tokens(self) -> Path:
        """What it is trained on, as `pipeline/student/training/tokens.py` wrote it."""
        return tokens_in(self.folder)


def tokens_in(folder: Path) -> Path:
    """Where the tokens of a training lie whose step has that folder."""
    return folder / CHECKPOINTS / "tokens.arrow"


def training_order(lengths: Sequence[int], how: Schedule) -> list[int]:
    """The rows of all epochs in the order in which they are trained on.

    It is laid out beforehand, so that going on from a checkpoint is skipping. A batch is drawn whatever the lengths;
    only inside it rows of like length stand together, so that its micro batches need little padding.

    Args:
        lengths: of each row, in tokens.
        how: the schedule.
    """
    shuffled: list[int] = []
    for epoch in range(how.epochs):
        drawn = list(range(len(lengths)))
        random.Random(f"{how.seed}/{epoch}").shuffle(drawn)
        shuffled += drawn
    batches = (shuffled[start : start + how.batch_size] for start in range(0, len(shuffled), how.batch_size))
    return [row for batch in batches for row in sorted(batch, key=lambda row: lengths[row])]
