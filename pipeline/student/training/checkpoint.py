"""What a stopped training goes on from: folders `checkpoint-STEP`, each whole or not there."""

import os
import shutil
from pathlib import Path

from pipeline.errors import StageError
from pipeline.status import size

WHOLE = "whole"
"""File that marks a checkpoint as written to its end."""
SHARDS = "pytorch_model_fsdp_0"
"""Folder in it of the weights in parts, where several processes trained."""
REFUSED = (
    "No space left on device",
    "quota exceeded",
    "iostream error",
    "unexpected pos",
    "PytorchStreamWriter failed",
)
"""What is said of a disk that takes no more: by the system, and by PyTorch, which does not pass that on."""


def mark_whole(checkpoint: Path) -> None:
    """Mark a checkpoint as whole, once what stands in it would outlast a power cut."""
    for path in sorted(checkpoint.rglob("*")):
        _settle(path)
    _settle(checkpoint)
    (checkpoint / WHOLE).touch()
    _settle(checkpoint)


def newest_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint that was written to its end; what is left of others is removed."""
    found = list(folder.glob("checkpoint-*"))
    whole = [path for path in found if (path / WHOLE).exists()]
    for path in found:
        if path not in whole:
            shutil.rmtree(path)
    return max(whole, key=lambda path: int(path.name.removeprefix("checkpoint-")), default=None)


def require_kind(checkpoint: Path, sharded: bool) -> None:
    """Hold a checkpoint to what the training needs to go on from it.

    Args:
        checkpoint: a whole one.
        sharded: that each process loads its part of the weights.

    Raises:
        StageError: it was written the other way, by one process or by several.
    """
    if (checkpoint / SHARDS).is_dir() == sharded:
        return
    found, wanted = ("one process", "several") if sharded else ("several processes", "one")
    raise StageError(
        f"{checkpoint} was written by {found}, and this training has {wanted}",
        f"run it with as many as before (--set train.processes=N), or begin anew: rm -r {checkpoint.parent}",
    )


def is_refused_by_disk(error: Exception) -> bool:
    """Whether a file could not be written to its end."""
    return any(words in str(error) for words in REFUSED)


def unwritten(folder: Path) -> StageError:
    """What to tell of a training that could not be written down."""
    free = size(shutil.disk_usage(folder).free)
    return StageError(
        f"a checkpoint or the student could not be written to {folder}: {free} are free there",
        "make room, for three checkpoints at once; the same command goes on from the newest whole one",
    )


def _settle(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
