"""How a training is fitted to a machine: what is chosen, what memory it takes, and what a plan says of it."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import StageError, UsageError
from pipeline.student.load import Weights
from pipeline.student.training import fit, machine
from pipeline.student.training.batching import Batching, Lengths
from pipeline.student.training.decision import Decision, Wishes
from pipeline.student.training.footprint import LIBRARIES_BYTES, Size, Way, bytes_needed, size_of
from pipeline.student.training.job import Fit
from pipeline.student.training.machine import Machine
from stages.train import Train
from tests import tiny_student
from tests.made import work
from tests.project import Project

GB = 10**9
LAPTOP = Machine(kind="cpu", free_bytes=16 * GB, cores=4)
CARD = Machine(kind="cuda", free_bytes=24 * GB, bfloat16=True, bitsandbytes=True)
QWEN = Size(
    parameters=1_543_714_304,
    linear_parameters=1_310_195_712,
    linear_edges=1_261_568,
    layers=28,
    hidden=1536,
    intermediate=8960,
    queries=1536,
    keys=256,
    vocabulary=151_936,
    context=32_768,
)
"""Qwen2.5-1.5B."""
SEVEN = replace(QWEN, parameters=7_615_616_512, linear_parameters=6_525_288_448, linear_edges=2_838_528, hidden=3584)
"""About Qwen2.5-7B."""


def rows(*tokens: int) -> Lengths:
    """Rows of which two thirds carry loss."""
    return Lengths(tokens, [length * 2 // 3 for length in tokens])


SHORT = rows(*[400] * 64)
LONG = rows(*[8000] * 64)


@pytest.mark.parametrize(
    ("gigabytes", "lengths", "method", "micro_batch", "checkpointing"),
    [
        (140, LONG, "full", 2, False),
        (80, SHORT, "full", 16, False),
        (48, LONG, "full", 4, True),
        (24, SHORT, "lora", 8, False),
        (24, LONG, "lora", 4, True),
        (4, SHORT, "qlora", 4, True),
        (1, SHORT, "qlora", 1, True),
    ],
)
def test_the_first_method_that_fits_is_taken_as_fast_as_it_fits(
    gigabytes: int, lengths: Lengths, method: str, micro_batch: int, checkpointing: bool
) -> None:
    found = fit.decide(replace(CARD, free_bytes=gigabytes * GB), QWEN, lengths, Wishes())
    chosen = (found.method, found.fit.micro_batch_size, found.fit.activation_checkpointing)
    assert chosen == (method, micro_batch, checkpointing)
    assert found.learning_rate_factor == (1 if method == "full" else 10)


@pytest.mark.parametrize(("asked", "factor"), [(2e-5, 10), (1e-4, 10), (3e-4, 3.333), (2e-3, 1)])
def test_unasked_adapters_get_a_higher_learning_rate_up_to_a_highest(asked: float, factor: float) -> None:
    found = fit.decide(replace(CARD, free_bytes=24 * GB), QWEN, SHORT, Wishes(learning_rate=asked))
    assert (found.method, found.learning_rate_factor) == ("lora", factor)
    assert f"The learning rate is {factor:g} times as high" in found.why[0]


WISHES: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({"method": "lora"}, {"dtype": "bf16"}, "lora: as you asked"),
    ({"dtype": "fp16"}, {"dtype": "fp16"}, "fp16: as you asked"),
    ({"micro_batch_size": 4}, {"micro_batch_size": 4}, "micro batch 4: as you asked"),
    ({"micro_batch_size": 100}, {"micro_batch_size": 16}, "micro batch 16: what you asked for"),
    ({"activation_checkpointing": True}, {"activation_checkpointing": True}, "checkpointing on: as you asked"),
    ({"padding_free": True}, {"padding_free": True}, "padding-free on: as you asked"),
    ({"processes": 2, "micro_batch_size": 16}, {"processes": 2, "micro_batch_size": 8}, "processes 2: as you asked"),
]


@pytest.mark.parametrize(("wish", "chosen", "why"), WISHES)
def test_a_wish_is_obeyed_and_told(wish: dict[str, Any], chosen: dict[str, Any], why: str) -> None:
    found = fit.decide(replace(CARD, devices=wish.get("processes", 1)), QWEN, SHORT, Wishes(**wish))
    assert {name: getattr(found.fit, name) for name in chosen} == chosen
    assert any(why in line for line in found.why), found.why
    assert found.learning_rate_factor == (1 if "method" in wish or found.method == "full" else 10)


@pytest.mark.parametrize(
    ("there", "wish", "fact"),
    [
        (LAPTOP, {"method": "qlora"}, "bitsandbytes, which is not installed"),
        (LAPTOP, {"dtype": "fp16"}, "fp16 needs a CUDA device"),
        (CARD, {"liger": True}, "liger needs a CUDA device and liger-kernel"),
        (CARD, {"processes": 3}, "cannot be divided among 3 processes"),
        (CARD, {"processes": 2}, "2 processes need a CUDA device each, and there are 1"),
    ],
)
def test_a_wish_that_cannot_be_met_is_refused(there: Machine, wish: dict[str, Any], fact: str) -> None:
    with pytest.raises(UsageError, match=fact):
        fit.decide(there, QWEN, SHORT, Wishes(**wish))
    with pytest.raises(UsageError, match="cannot load a GGUF file"):
        fit.check(CARD, replace(QWEN, quantizable=False), Wishes(method="qlora"))


def test_the_machine_decides_the_number_format_and_what_keeps_rows_apart() -> None:
    new = replace(CARD, flash_attention=True, liger=True)
    old = replace(CARD, bfloat16=False)
    amx = replace(LAPTOP, bfloat16=True)
    small = replace(QWEN, parameters=10**8, linear_parameters=8 * 10**7)
    found = [fit.decide(there, small, SHORT, Wishes()).fit for there in (new, old, LAPTOP, amx)]
    assert [one.dtype for one in found] == ["bf16", "fp16", "fp32", "bf16"]
    assert [one.padding_free for one in found] == [True, False, False, False]
    assert [one.liger for one in found] == [True, False, False, False]
    assert [one.threads for one in found] == [None, None, 4, 4]


def test_rows_stand_one_after_another_where_attention_alone_connects_their_tokens(tmp_path: Path) -> None:
    from transformers import Gemma2Config, Lfm2Config, LlamaConfig, PreTrainedConfig, Qwen3NextConfig

    shape = {"vocab_size": 100, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2}
    layers = ["conv", "full_attention"], ["linear_attention", "full_attention"]
    configs: list[PreTrainedConfig] = [
        LlamaConfig(**shape),
        Gemma2Config(**shape),
        Lfm2Config(**shape, layer_types=layers[0]),
        Qwen3NextConfig(**shape, layer_types=layers[1], num_experts=2),
    ]
    new = replace(CARD, flash_attention=True)
    found = []
    for config in configs:
        config.save_pretrained(tmp_path)
        decision = fit.decide(new, size_of(Weights(str(tmp_path))), SHORT, Wishes())
        found.append((decision.fit.padding_free, next(line for line in decision.why if "padding-free" in line)))
    assert [padding_free for padding_free, _ in found] == [True, True, False, False]
    assert found[2][1] == "padding-free off: some of its layers do not keep the rows apart"


def test_a_size_is_known_whatever_the_configuration_calls_it(tmp_path: Path) -> None:
    from transformers import BloomConfig, FalconConfig, Gemma4TextConfig, GPT2Config, OPTConfig

    shape = {"vocab_size": 100, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    widths = []
    for config in (GPT2Config(**shape), OPTConfig(**shape, ffn_dim=96), FalconConfig(**shape, ffn_hidden_size=80)):
        config.save_pretrained(tmp_path)
        widths.append(size_of(Weights(str(tmp_path))).intermediate)
    assert widths == [256, 96, 80]
    layers = {"layer_types": ["sliding_attention", "full_attention"], "head_dim": 16, "global_head_dim": 32}
    Gemma4TextConfig(**shape, **layers).save_pretrained(tmp_path)
    assert size_of(Weights(str(tmp_path))).queries == 4 * 32
    BloomConfig(**shape).save_pretrained(tmp_path)
    with pytest.raises(StageError, match="does not say how long a text it takes"):
        size_of(Weights(str(tmp_path)))


def test_a_training_goes_on_only_where_each_of_its_processes_has_a_device() -> None:
    fit.require_devices(LAPTOP, 2)
    fit.require_devices(replace(CARD, devices=2), 2)
    with pytest.raises(UsageError, match="8 processes need a CUDA device each, and there are 4"):
        fit.require_devices(replace(CARD, devices=4), 8)


def test_several_devices_share_what_one_cannot_hold() -> None:
    one = replace(CARD, free_bytes=80 * GB)
    assert fit.decide(one, SEVEN, SHORT, Wishes()).method == "lora"
    four = fit.decide(replace(one, devices=4), SEVEN, SHORT, Wishes())
    assert (four.method, four.fit.processes) == ("full", 4)


def test_a_processor_takes_micro_batches_with_little_padding_and_no_more_memory_than_helps() -> None:
    small = replace(QWEN, parameters=10**8, linear_parameters=8 * 10**7, vocabulary=50_000)
    unlike = rows(40, 60, 80, 100, 130, 170, 220, 300)
    alike = (rows(*[length] * 8) for length in (1000, 300, 30))
    found = [fit.decide(LAPTOP, small, lengths, Wishes(batch_size=8)) for lengths in (unlike, *alike)]
    assert [one.fit.micro_batch_size for one in found] == [1, 1, 2, 8]


def test_batching_counts_what_stands_in_memory_at_once() -> None:
    lengths = Lengths([1, 5, 4, 4, 9], [1, 1, 4, 3, 1])
    assert Batching.of(lengths, 2, padding_free=False) == Batching(27, 3, 10, 7, 0, 1)
    assert Batching.of(lengths, 2, padding_free=True) == Batching(23, 3, 9, 7, 2, 1)


def test_what_is_out_of_memory_is_made_smaller_down_to_one_row_computed_twice() -> None:
    step: Decision | None = Decision(method="full", fit=Fit(micro_batch_size=12), why=("full: it fits",))
    seen = []
    while step:
        seen.append((step.fit.micro_batch_size, step.fit.activation_checkpointing))
        last, step = step, step.smaller()
    assert seen == [(12, False), (6, False), (3, False), (1, False), (1, True)]
    assert last.why[1] == "micro batch 6: 12 was out of memory"


def test_a_decision_is_published_flat_and_read_again(tmp_path: Path) -> None:
    found = fit.decide(CARD, QWEN, SHORT, Wishes())
    flat = found.published()
    assert all(isinstance(value, str | int | float | bool | None) for name, value in flat.items() if name != "why")
    (tmp_path / "fit.json").write_text(json.dumps(flat))
    assert Decision.read(tmp_path / "fit.json") == found
    assert Decision.read(tmp_path / "none") is None


def test_free_memory_says_nothing_about_what_is_chosen_but_whether_it_fits() -> None:
    there = [replace(CARD, free_bytes=gigabytes * GB) for gigabytes in (23, 24)]
    assert fit.decide(there[0], QWEN, SHORT, Wishes()) == fit.decide(there[1], QWEN, SHORT, Wishes())


MEASURED = """
import ctypes, gc, json, resource, sys
from pathlib import Path
import peft
from pipeline.progress import Silent
from pipeline.student.training.job import Adapter, Fit, Job, Schedule
from pipeline.student.load import Weights
from pipeline.student.answering.memory import begin_peak, peak_bytes
from pipeline.student.text import Encoded
from pipeline.student.training.tokens import write_tokens
from pipeline.student.training.trainer import train

student, folder = map(Path, sys.argv[1:])
def held():
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

found, small = {}, Adapter(rank=8, alpha=16)
for name, adapter, checkpointing in (("full", None, False), ("again", None, True), ("lora", small, False)):
    fit = Fit(micro_batch_size=4, activation_checkpointing=checkpointing, threads=1)
    job = Job(weights=Weights(str(student)), adapter=adapter, schedule=Schedule(batch_size=4, epochs=1), fit=fit,
              folder=folder / name)
    write_tokens(job.tokens, [(Encoded(list(range(192)), [-100] * 48 + list(range(48, 192))), 1.0)] * 4)
    before = held()
    begin_peak()
    train(job, Silent())
    found[name] = peak_bytes() - before
print(json.dumps(found))
"""
TOO_LITTLE, TOO_MUCH = 0.75, 1.35
"""What is worked out, as a share of what is measured: it must not promise room that is not there."""


def test_the_memory_that_is_worked_out_is_the_memory_that_is_taken(tmp_path: Path) -> None:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    student = tiny_student.make(tmp_path / "student")
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=12_000,
        hidden_size=256,
        intermediate_size=704,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        tie_word_embeddings=True,
    )
    LlamaForCausalLM(config).save_pretrained(student)
    root = Path(__file__).resolve().parent.parent
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", MEASURED, str(student), str(tmp_path)],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    measured = json.loads(done.stdout.splitlines()[-1])
    size = size_of(Weights(str(student)))
    ways = {
        "full": Way("full", "fp32", 8, False, 1, False),
        "again": Way("full", "fp32", 8, True, 1, False),
        "lora": Way("lora", "fp32", 8, False, 1, False),
    }
    worked_out = {name: bytes_needed(size, way, 4 * 192, 4 * 144) - LIBRARIES_BYTES for name, way in ways.items()}
    for name, taken in measured.items():
        assert TOO_LITTLE < worked_out[name] / taken < TOO_MUCH, (name, worked_out[name], taken)


@pytest.mark.parametrize(
    ("files", "left"),
    [
        ({"memory.max": "1000", "memory.current": "700", "memory.stat": "anon 5\ninactive_file 100"}, 400),
        (
            {"memory.limit_in_bytes": "1000", "memory.usage_in_bytes": "700", "memory.stat": "total_inactive_file 9"},
            309,
        ),
        ({"memory.max": "max", "memory.current": "700"}, None),
        ({}, None),
    ],
    ids=["second version", "first version", "no bound", "no group"],
)
def test_a_control_group_bounds_the_memory(tmp_path: Path, files: dict[str, str], left: int | None) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert machine._left_in_cgroup(tmp_path) == left


@pytest.mark.parametrize(
    ("files", "processors"),
    [
        ({"cpu.max": "150000 100000"}, 1.5),
        ({"cpu.max": "max 100000"}, None),
        ({"cpu.cfs_quota_us": "200000", "cpu.cfs_period_us": "100000"}, 2.0),
        ({"cpu.cfs_quota_us": "-1", "cpu.cfs_period_us": "100000"}, None),
    ],
)
def test_a_control_group_bounds_the_processors(tmp_path: Path, files: dict[str, str], processors: float | None) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert machine._quota(tmp_path) == processors


def test_this_machine_has_cores_and_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    there = machine.look()
    assert there.cores == 3
    assert there.free_bytes > 0
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert 1 <= machine.cores() <= (os.cpu_count() or 1)


def test_a_plan_says_how_a_student_would_be_trained(tmp_path: Path) -> None:
    student = tiny_student.make(tmp_path / "student")
    stage = Train(model=str(student), micro_batch_size=2)
    first, *lines = stage.foretell(None, work(tmp_path))
    assert "free (cpu), 0 M parameters" in first
    assert lines == ["full: examples of any length fit (up to 512 tokens)"]
    told = stage.foretell(tiny_student.sums(12), work(tmp_path))
    assert told[1].startswith("full: every weight is trained, which takes")
    assert "micro batch 2: as you asked" in told
    assert stage.foretell([tiny_student.example("long", "Count.", "1 " * 600)], work(tmp_path))[1:] == [
        "no example of at most 512 tokens"
    ]
    assert "cannot load" in Train(model=str(tmp_path)).foretell(None, work(tmp_path))[0]


def test_a_plan_tells_of_a_template_that_is_not_sound_before_anything_is_paid(tmp_path: Path) -> None:
    student = tiny_student.make(tmp_path / "student")
    template = student / "chat_template.jinja"
    template.write_text(template.read_text().replace("<|im_start|>assistant", ""))
    (told,) = Train(model=str(student)).foretell(None, work(tmp_path))
    assert told.startswith("unknown: the student's chat template: the generation prompt is missing")


def test_the_command_plan_shows_it(tmp_path: Path) -> None:
    project = Project(tmp_path, "http://127.0.0.1:9/v1", problems=4)
    tiny_student.make(tmp_path / "student")
    shown = project.run("plan", "--config", "my.yaml").stdout
    assert "full: examples of any length fit" in " ".join(shown.split())
