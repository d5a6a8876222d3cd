"""What needs CUDA devices: training and writing on them agree with the processor; `make gpu-check` runs it."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pipeline.progress import Silent
from pipeline.student.load import Weights, load_model, load_tokenizer
from pipeline.student.text import encode, encode_prompt
from pipeline.student.training.job import Adapter, Fit, Job, Schedule
from pipeline.student.training.tokens import write_tokens
from stages.train import Train
from tests import tiny_student
from tests.made import run, work

pytestmark = pytest.mark.gpu

ROUNDING = 1e-3
"""Relative difference between float32 on two devices, after nine steps."""
BFLOAT16_ROUNDING = 2e-2
ROWS = tiny_student.sums(12)
PROGRAM = """
import os, signal, sys
from pathlib import Path
from pipeline.progress import Silent
from pipeline.student.training.job import Job
from tests.test_gpu import train

class Killed(Silent):
    steps = 0
    def advance(self, count=1):
        self.steps += count
        if self.steps == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)

train(Job.model_validate_json(sys.argv[1]), Killed())
"""


@pytest.fixture(autouse=True)
def cuda() -> None:
    import torch

    assert torch.cuda.is_available(), "this test needs a CUDA device"


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_student.make(tmp_path_factory.mktemp("student"))


def job(student: Path, folder: Path, adapter: Adapter | None = None, **fit: Any) -> Job:
    """Nine steps on twelve examples."""
    how = Schedule(epochs=3, batch_size=4, learning_rate=3e-3, save_steps=2)
    return Job(
        weights=Weights(str(student)),
        adapter=adapter,
        schedule=how,
        fit=Fit(**{"micro_batch_size": 2, **fit}),
        folder=folder,
    )


def train(job: Job, progress: Silent) -> None:
    """Train in as many processes as the job says."""
    tokenizer = load_tokenizer(job.weights)
    write_tokens(job.tokens, ((encode(tokenizer, row), row.weight) for row in ROWS))
    if job.fit.processes > 1:
        from pipeline.student.training.launch import launch

        launch(job, progress, job.folder / "logs")
    else:
        from pipeline.student.training.trainer import train

        train(job, progress)


def losses(job: Job) -> list[float]:
    """Train here and give the loss of each step."""
    train(job, Silent())
    return written(job)


def written(job: Job) -> list[float]:
    return [json.loads(line)["loss"] for line in (job.folder / "log.jsonl").read_text().splitlines()]


def in_a_program(job: Job, kill_at: int = -1, **environment: str) -> int:
    """Train in a program of its own, which kills itself after that step; gives its exit status."""
    root = Path(__file__).resolve().parent.parent
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, job.model_dump_json(), str(kill_at)],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root), **environment},
        check=False,
    )
    return done.returncode


@pytest.fixture(scope="module")
def on_the_processor(student: Path, tmp_path_factory: pytest.TempPathFactory) -> list[float]:
    """Losses in float32 on the processor."""
    made = job(student, tmp_path_factory.mktemp("processor"))
    assert in_a_program(made, CUDA_VISIBLE_DEVICES="") == 0
    return written(made)


@pytest.mark.parametrize(
    ("fit", "tolerance"),
    [
        ({}, ROUNDING),
        ({"dtype": "bf16"}, BFLOAT16_ROUNDING),
        ({"dtype": "bf16", "activation_checkpointing": True}, BFLOAT16_ROUNDING),
        ({"dtype": "fp16"}, BFLOAT16_ROUNDING),
    ],
    ids=["float32", "bfloat16", "activation-checkpointing", "float16"],
)
def test_the_losses_of_a_training_agree_with_the_processors(
    fit: dict[str, Any], tolerance: float, student: Path, on_the_processor: list[float], tmp_path: Path
) -> None:
    assert losses(job(student, tmp_path, **fit)) == pytest.approx(on_the_processor, rel=tolerance)


def test_without_padding_the_losses_are_the_same(student: Path, on_the_processor: list[float], tmp_path: Path) -> None:
    pytest.importorskip("flash_attn")
    found = losses(job(student, tmp_path, dtype="bf16", padding_free=True))
    assert found == pytest.approx(on_the_processor, rel=BFLOAT16_ROUNDING)


def test_with_ligers_kernels_the_losses_are_the_same(
    student: Path, on_the_processor: list[float], tmp_path: Path
) -> None:
    pytest.importorskip("liger_kernel")
    found = losses(job(student, tmp_path, dtype="bf16", liger=True))
    assert found == pytest.approx(on_the_processor, rel=BFLOAT16_ROUNDING)


def test_trls_head_gives_the_losses_of_our_own(student: Path) -> None:
    import torch
    from trl.trainer.utils import add_fused_lm_head

    from pipeline.student.training.loss import token_losses

    ids = torch.arange(3, 27).view(2, 12)
    labels = ids.clone()
    labels[0, :5], labels[1, :7], labels[1, 10:] = -100, -100, -100
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": labels}
    on_cpu = token_losses(load_model(Weights(str(student)), torch.float32, "cpu"), inputs)
    model = load_model(Weights(str(student)), torch.float32, "cuda")
    add_fused_lm_head(model)
    on_cuda = token_losses(model, {name: tensor.cuda() for name, tensor in inputs.items()})
    torch.testing.assert_close(on_cuda.cpu(), on_cpu, rtol=ROUNDING, atol=ROUNDING)


@pytest.mark.parametrize("quantized", [False, True], ids=["lora", "qlora"])
def test_an_adapter_learns_and_is_merged(quantized: bool, student: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    if quantized:
        pytest.importorskip("bitsandbytes")
    adapter = Adapter(rank=16, alpha=32, quantized=quantized)
    found = losses(job(student, tmp_path, adapter, dtype="bf16"))
    assert found[-1] < found[0]
    trained = AutoModelForCausalLM.from_pretrained(tmp_path / "model").state_dict()
    assert trained.keys() == AutoModelForCausalLM.from_pretrained(student).state_dict().keys()


@pytest.mark.parametrize("processes", [1, 2])
def test_a_killed_training_goes_on_to_the_same_losses(processes: int, student: Path, tmp_path: Path) -> None:
    two_where_wanted(processes)
    undisturbed = losses(job(student, tmp_path / "undisturbed", dtype="bf16", processes=processes))
    killed = job(student, tmp_path / "killed", dtype="bf16", processes=processes)
    assert in_a_program(killed, kill_at=7) == -signal.SIGKILL
    assert losses(killed) == pytest.approx(undisturbed, rel=ROUNDING)


@pytest.mark.parametrize("adapter", [None, Adapter(rank=8, alpha=16)], ids=["full", "lora"])
def test_two_devices_train_to_the_losses_and_weights_of_one(
    adapter: Adapter | None, student: Path, tmp_path: Path
) -> None:
    from safetensors.torch import load_file

    two_where_wanted(2)
    one, two = (job(student, tmp_path / str(count), adapter, processes=count) for count in (1, 2))
    assert losses(two) == pytest.approx(losses(one), rel=ROUNDING)
    mine, other = (load_file(made.folder / "model" / "model.safetensors") for made in (one, two))
    assert mine.keys() == other.keys()
    assert all((mine[name] - other[name]).abs().max() < ROUNDING for name in mine)


def two_where_wanted(processes: int) -> None:
    import torch

    if torch.cuda.device_count() < processes:
        pytest.skip(f"needs {processes} CUDA devices, there is {torch.cuda.device_count()}")


def test_a_training_that_does_not_fit_goes_on_with_less_in_memory(student: Path, tmp_path: Path) -> None:
    import torch

    rows = [tiny_student.example(f"r{n}", "Count.", "1 2 3 4 5 6 7 8 9 " * 20) for n in range(64)]

    def bytes_of(micro_batch_size: int, name: str) -> int:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        (tmp_path / name).mkdir()
        own = {"epochs": 1, "batch_size": 64, "processes": 1, "micro_batch_size": micro_batch_size}
        run(Train(model=str(student), **own), rows, work(tmp_path / name))
        return torch.cuda.max_memory_reserved()

    most, least = bytes_of(64, "most"), bytes_of(1, "least")
    assert most > 1.5 * least, "the batches of this test are too small"
    torch.cuda.set_per_process_memory_fraction((most + least) / 2 / torch.cuda.get_device_properties(0).total_memory)
    try:
        bytes_of(64, "short")
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    fine, short = ((tmp_path / name / "log.jsonl").read_text() for name in ("most", "short"))
    assert json.loads(short)["loss"] == pytest.approx(json.loads(fine)["loss"], rel=BFLOAT16_ROUNDING)


def test_the_likeliest_texts_are_those_of_the_processor(student: Path) -> None:
    import torch

    from pipeline.student.answering.generate import Limits, generate

    weights = Weights(str(student))
    tokenizer = load_tokenizer(weights)
    prompts = [encode_prompt(tokenizer, row.prompt) for row in ROWS]
    on_cpu, on_cuda = (
        generate(load_model(weights, torch.float32, where), tokenizer, prompts, Limits(32), 4, Silent())
        for where in ("cpu", "cuda")
    )
    assert on_cpu == on_cuda
