"""kill -9 at any moment of a training, the writing of a checkpoint included, changes not one byte of what comes out."""

import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Self

import pytest

from pipeline.progress import Silent
from pipeline.student.training.checkpoint import WHOLE
from stages.train import Train
from tests import tiny_student
from tests.made import run, work

KILLS = 10
STEPS = 60
SAVE_STEPS = 2
MOST_FILES = 10
"""As many as stand in a checkpoint, and one more."""
SEED = int(os.environ.get("KILL_SEED", "20261122"))
ROWS = tiny_student.sums(24)
WAIT_SECONDS = 120

TRAININGS = """
import os, sys
from pathlib import Path
import pipeline.student.training.trainer
from tests.test_kill_training import train
for line in sys.stdin:
    if os.fork() == 0:
        train(*map(Path, line.split()))
        os._exit(0)
    print("ended", os.waitstatus_to_exitcode(os.wait()[1]), flush=True)
"""


class Counted(Silent):
    """A progress that prints each step that is done."""

    def advance(self, count: int = 1) -> None:
        print("step", os.getpid(), flush=True)


def train(student: Path, folder: Path) -> None:
    """Train, from where an earlier training was killed."""
    stage = Train(
        model=str(student),
        method="full",
        epochs=STEPS * 4 // len(ROWS),
        batch_size=4,
        micro_batch_size=2,
        learning_rate=1e-3,
        save_steps=SAVE_STEPS,
        processes=1,
        dtype="fp32",
    )
    run(stage, ROWS, replace(work(folder), progress=Counted()))


class Trainings:
    """A program that begins one training after another, with the heavy imports behind it."""

    def __init__(self, student: Path) -> None:
        root = Path(__file__).resolve().parent.parent
        self._student = student
        self._program = subprocess.Popen(
            [sys.executable, "-c", TRAININGS],
            cwd=root,
            env={**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        with self._program:
            self._program.kill()

    def begin(self, folder: Path) -> None:
        assert self._program.stdin
        print(self._student, folder, file=self._program.stdin, flush=True)

    def steps(self, count: int) -> int:
        """Wait for so many steps; gives the process that does them."""
        process = 0
        for _ in range(count):
            name, number = self._told()
            assert name == "step", f"it ended with exit status {number}"
            process = int(number)
        return process

    def end(self) -> int:
        """The exit status of the training that was begun last."""
        while (word := self._told())[0] == "step":
            pass
        return int(word[1])

    def _told(self) -> list[str]:
        assert self._program.stdout
        return self._program.stdout.readline().split()


def wait_for(path: Path, files: int, not_yet: frozenset[Path] = frozenset()) -> Path:
    """Wait until a folder that this pattern finds, and that was not there, holds so many files."""
    until = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < until:
        for found in set(path.parent.glob(path.name)) - not_yet:
            if sum(1 for _ in found.iterdir()) >= files:
                return found
    raise AssertionError(f"no {path} with {files} files")


@pytest.mark.long
def test_killed_ten_times_a_training_comes_to_the_same_bytes(tmp_path: Path) -> None:
    print(f"seed {SEED}")
    draw = random.Random(SEED)
    student, undisturbed, folder = (tmp_path / name for name in ("student", "undisturbed", "train"))
    tiny_student.make(student)
    undisturbed.mkdir()
    folder.mkdir()
    with Trainings(student) as trainings:
        trainings.begin(undisturbed)
        trainings.steps(3)
        begun = time.monotonic()
        trainings.steps(STEPS - 10)
        step_seconds = (time.monotonic() - begun) / (STEPS - 10)
        assert trainings.end() == 0

        halves = 0
        for kill in range(KILLS):
            trainings.begin(folder)
            process = trainings.steps(1 + draw.randint(SAVE_STEPS, 2 * SAVE_STEPS))  # the first counts those before
            if kill % 2:
                there = frozenset((folder / "checkpoints").glob("checkpoint-*"))
                wait_for(folder / "checkpoints" / "checkpoint-*", draw.randint(0, MOST_FILES - 1), there)
            else:
                time.sleep(draw.uniform(0, SAVE_STEPS * step_seconds))
            os.kill(process, signal.SIGKILL)
            assert trainings.end() == -signal.SIGKILL
            found = list((folder / "checkpoints").glob("checkpoint-*"))
            halves += not all((path / WHOLE).exists() for path in found)
        print(f"{halves} of {KILLS} kills left half a checkpoint; {step_seconds * 1000:.0f} ms a step")

        trainings.begin(folder)
        process = trainings.steps(1)
        wait_for(folder / "model", files=1)
        os.kill(process, signal.SIGKILL)
        assert trainings.end() == -signal.SIGKILL

        trainings.begin(folder)
        assert trainings.end() == 0
    for name in ("model/model.safetensors", "log.jsonl"):
        assert (folder / name).read_bytes() == (undisturbed / name).read_bytes()
    assert not (folder / "checkpoints").exists()
