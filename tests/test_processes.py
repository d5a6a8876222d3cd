"""Training in two processes on the processor, sharded (FSDP2) over gloo as it would be over NCCL on two GPUs."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from pydantic import ValidationError

from pipeline.errors import StageError, UsageError
from pipeline.progress import Silent
from pipeline.student.training.checkpoint import SHARDS, require_kind
from pipeline.student.training.fit import share_of
from stages.train import Train
from tests import tiny_student
from tests.made import run, work

ROUNDING = 1e-5
"""Most that a loss, a norm of gradients or a weight may differ: another order of the same sums, over all steps."""
ROWS = tiny_student.sums(13)
"""With epochs=2 and batches of 8 the last batch has 2 rows, which is one micro batch and not two."""
WAIT_SECONDS = 120

TRAINING = """
import signal
import sys
from pathlib import Path
from tests.made import run
from tests.test_processes import ROWS, stage, telling
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts what runs in the background without it
run(stage(Path(sys.argv[1]), epochs=24), ROWS, telling(Path(sys.argv[2]), lambda event: print(*event, flush=True)))
"""


class Teller(Silent):
    """A progress that tells what it is told."""

    def __init__(self, tell: Callable[[tuple[Any, ...]], None]) -> None:
        self.tell = tell

    def total(self, count: int) -> None:
        self.tell(("total", count))

    def advance(self, count: int = 1) -> None:
        self.tell(("advance", count))

    def note(self, **figures: float | str) -> None:
        self.tell(("note", *figures))

    def say(self, line: str) -> None:
        self.tell(("say", line))


def telling(folder: Path, tell: Callable[[tuple[Any, ...]], None]) -> Any:
    """A step's surroundings that tell its progress."""
    return replace(work(folder), progress=Teller(tell), logs=folder.parent / "logs")


def stage(student: Path, **fields: Any) -> Train:
    """Four steps of two processes: three of two micro batches each, one of a single one."""
    how = {"method": "full", "epochs": 2, "batch_size": 8, "learning_rate": 3e-3, "save_steps": 1}
    fit = {"processes": 2, "micro_batch_size": 2, "dtype": "fp32"}
    return Train(model=str(student), **{**how, **fit, **fields})


def log(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def weights(folder: Path) -> bytes:
    return (folder / "model" / "model.safetensors").read_bytes()


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_student.make(tmp_path_factory.mktemp("student"))


@pytest.fixture(scope="module")
def told() -> list[tuple[Any, ...]]:
    return []


@pytest.fixture(scope="module")
def in_two(student: Path, told: list[tuple[Any, ...]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("two") / "train"
    folder.mkdir()
    run(stage(student), ROWS, telling(folder, told.append))
    return folder


def assert_agree(one: Path, two: Path) -> None:
    """Hold two trainings to the same losses, norms and weights, but for rounding."""
    from safetensors.torch import load_file

    assert len(log(one)) == len(log(two))
    for mine, other in zip(log(one), log(two), strict=True):
        assert mine == pytest.approx(other, rel=ROUNDING), mine["step"]
    mine, other = (load_file(folder / "model" / "model.safetensors") for folder in (one, two))
    assert mine.keys() == other.keys()
    assert all((mine[name] - other[name]).abs().max() < ROUNDING for name in mine)


def test_two_processes_train_to_the_losses_and_weights_of_one(student: Path, in_two: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    run(stage(student, processes=1), ROWS, work(tmp_path))
    assert log(tmp_path)[-1]["loss"] < log(tmp_path)[0]["loss"] - 0.2
    assert_agree(tmp_path, in_two)
    assert AutoModelForCausalLM.from_pretrained(in_two / "model").num_parameters() > 0
    assert sorted(path.name for path in in_two.iterdir()) == [
        "fit.json",
        "log.jsonl",
        "model",
        "training_sample.json",
    ]


def test_the_progress_of_several_processes_is_told_once(in_two: Path, told: list[tuple[Any, ...]]) -> None:
    assert told[:2] == [("total", 4), ("advance", 0)]
    assert told.count(("advance", 1)) == 4
    assert told.count(("note", "loss")) == 4


def test_a_batch_that_does_not_divide_among_the_processes_is_refused(student: Path) -> None:
    with pytest.raises(ValidationError, match="batch_size 8 cannot be divided among 3 processes"):
        stage(student, processes=3)
    with pytest.raises(UsageError, match="a batch of 8 examples cannot be divided among 3 processes, one a GPU"):
        share_of(8, 3)
    assert share_of(8, 4) == 2


@pytest.mark.parametrize(("parts", "sharded"), [(True, False), (False, True)])
def test_a_checkpoint_of_one_process_is_not_taken_for_that_of_several(
    parts: bool, sharded: bool, tmp_path: Path
) -> None:
    if parts:
        (tmp_path / SHARDS).mkdir()
    require_kind(tmp_path, parts)
    with pytest.raises(StageError, match=r"was written by (one process|several processes), and this training has"):
        require_kind(tmp_path, sharded)


@pytest.mark.long
def test_an_error_in_a_process_is_told_with_its_fact_and_hint(student: Path, tmp_path: Path) -> None:
    before = psutil.Process().children()
    with pytest.raises(StageError, match=r"the loss is nan at step \d+\nhint: lower learning_rate"):
        run(stage(student, learning_rate=1e38), ROWS, telling(tmp_path / "train", lambda event: None))
    assert psutil.Process().children() == before


class Program:
    """A program that trains, and prints its progress."""

    def __init__(self, student: Path, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        root = Path(__file__).resolve().parent.parent
        self.process = subprocess.Popen(
            [sys.executable, "-c", TRAINING, str(student), str(folder)],
            cwd=root,
            env={**os.environ, "PYTHONPATH": str(root)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.said = ""

    def wait_for(self, steps: int) -> list[psutil.Process]:
        """Wait until so many steps are done; gives the processes that do them."""
        assert self.process.stdout
        is_begun = False
        while steps:
            line = self.process.stdout.readline()
            assert line, "it ended before"
            steps -= is_begun and line == "advance 1\n"
            is_begun |= line.startswith("advance")  # the first tells the steps done before
            self.said = line if line.startswith("say") else self.said
        workers = psutil.Process(self.process.pid).children(recursive=True)
        return sorted(workers, key=lambda worker: int(worker.environ()["RANK"]))

    def end(self) -> tuple[int, str]:
        """Its exit status, and what it wrote to stderr."""
        _, written = self.process.communicate()
        return self.process.returncode, written


@pytest.mark.long
def test_no_process_is_left_by_a_kill_and_the_training_goes_on_to_the_same_bytes(student: Path, tmp_path: Path) -> None:
    undisturbed, folder = tmp_path / "undisturbed", tmp_path / "train"
    assert Program(student, undisturbed).end()[0] == 0
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT):
        program = Program(student, folder)
        workers = program.wait_for(steps=2)
        assert len(workers) == 2
        program.process.send_signal(number)
        assert program.end()[0] != 0
        assert psutil.wait_procs(workers, timeout=WAIT_SECONDS)[1] == []
    for rank in (0, 1):
        program = Program(student, folder)
        workers = program.wait_for(steps=2)
        assert "training goes on from checkpoint-" in program.said
        workers[rank].kill()
        status, written = program.end()
        assert status == 1
        assert f"StageError: process {rank} of the training was ended by SIGKILL: " in written
        assert f"logs/train-process-{rank}.log; the same command goes on from the newest checkpoint" in written
        assert psutil.wait_procs(workers, timeout=WAIT_SECONDS)[1] == []
    assert Program(student, folder).end()[0] == 0
    for name in ("model/model.safetensors", "log.jsonl"):
        assert (folder / name).read_bytes() == (undisturbed / name).read_bytes()


@pytest.mark.long
@pytest.mark.parametrize(
    "fields",
    [
        {"method": "lora", "learning_rate": 1e-2},
        {"method": "qlora", "learning_rate": 1e-2},
        {"loss": "row", "activation_checkpointing": True},
    ],
    ids=["lora", "qlora", "row-loss-and-activation-checkpointing"],
)
def test_two_processes_agree_with_one(fields: dict[str, Any], student: Path, tmp_path: Path) -> None:
    if fields.get("method") == "qlora":
        pytest.importorskip("bitsandbytes")
    for processes in (1, 2):
        folder = tmp_path / str(processes)
        folder.mkdir()
        run(stage(student, processes=processes, **fields), ROWS, telling(folder, lambda event: None))
    assert_agree(tmp_path / "1", tmp_path / "2")
