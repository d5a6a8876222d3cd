"""Training for real, on a tiny student."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from pipeline.errors import StageError
from pipeline.progress import Silent, StepProgress
from pipeline.rows import Dropped, Example
from stages.train import Train
from tests import tiny_student
from tests.made import outcome, run, work

KILLED_AT = """
import os, signal, sys
from pathlib import Path
from pipeline.progress import Silent
from pipeline.stage import Work
from tests import tiny_student
from tests.made import Script
from tests.test_train import stage

class Killed(Silent):
    steps = 0
    def advance(self, count=1):
        self.steps += count
        if self.steps == int(sys.argv[3]):
            os.kill(os.getpid(), signal.SIGKILL)

folder = Path(sys.argv[2])
surroundings = Work("train", folder, folder, Script(None), Killed(), folder, {})
list(stage(Path(sys.argv[1]), save_steps=2, keep_epochs=True).run(tiny_student.sums(12), surroundings))
"""


def stage(student: Path, **fields: Any) -> Train:
    """Nine steps on twelve examples."""
    own = {"epochs": 3, "batch_size": 4, "micro_batch_size": 2, "learning_rate": 3e-3}
    return Train(model=str(student), **{**own, **fields})


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_student.make(tmp_path_factory.mktemp("student"))


@pytest.fixture(scope="module")
def undisturbed(student: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    run(stage(student, save_steps=2, keep_epochs=True), tiny_student.sums(12), work(folder))
    return folder


def log(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def weights(folder: Path, name: str = "model") -> bytes:
    return (folder / name / "model.safetensors").read_bytes()


class Heard(Silent):
    """Keeps the lines that stay on the screen."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)


def test_the_student_is_trained_and_loads_as_any_model(student: Path, undisturbed: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    entries = log(undisturbed)
    assert [entry["step"] for entry in entries] == list(range(1, 10))
    assert entries[-1]["loss"] < entries[0]["loss"] - 0.5
    assert entries[-1]["epoch"] == 3
    trained = AutoModelForCausalLM.from_pretrained(undisturbed / "model")
    before = AutoModelForCausalLM.from_pretrained(student)
    assert not trained.model.embed_tokens.weight.equal(before.model.embed_tokens.weight)
    tokenizer = AutoTokenizer.from_pretrained(undisturbed / "model")
    assert tokenizer.chat_template == tiny_student.TEMPLATE
    assert sorted(path.name for path in undisturbed.iterdir()) == [
        "epochs",
        "fit.json",
        "log.jsonl",
        "model",
        "training_sample.json",
    ]


def test_the_student_stops_where_its_training_texts_end_and_they_pass_through_as_themselves(tmp_path: Path) -> None:
    from transformers import AutoTokenizer, GenerationConfig

    student = tiny_student.make(tmp_path / "student")
    tokenizer = AutoTokenizer.from_pretrained(student)
    tokenizer.eos_token = "<|endoftext|>"  # the template ends a turn with another
    tokenizer.save_pretrained(student)
    for name in ("config.json", "generation_config.json"):
        settings = json.loads((student / name).read_text())
        (student / name).write_text(json.dumps({**settings, "eos_token_id": tokenizer.eos_token_id}))
    (tmp_path / "out").mkdir()
    rows = tiny_student.sums(4)
    assert run(stage(student, epochs=1), rows, work(tmp_path / "out")) == rows
    ends = GenerationConfig.from_pretrained(tmp_path / "out" / "model").eos_token_id
    assert set(ends) == set(tokenizer.convert_tokens_to_ids(["<|endoftext|>", "<|im_end|>"]))


def test_the_student_after_each_epoch_is_kept(undisturbed: Path) -> None:
    from transformers import AutoModelForCausalLM

    epochs = [f"epochs/epoch-{epoch}" for epoch in (1, 2, 3)]
    assert sorted(path.name for path in (undisturbed / "epochs").iterdir()) == ["epoch-1", "epoch-2", "epoch-3"]
    assert len({weights(undisturbed, epoch) for epoch in epochs}) == 3
    assert weights(undisturbed, epochs[-1]) == weights(undisturbed)
    assert AutoModelForCausalLM.from_pretrained(undisturbed / epochs[0]).config.use_cache


def test_the_sample_shows_which_tokens_carried_loss(undisturbed: Path) -> None:
    sample = json.loads((undisturbed / "training_sample.json").read_text())
    assert [shown["id"] for shown in sample] == ["sum-0", "sum-1", "sum-2"]
    trained = "".join(token["text"] for token in sample[2]["tokens"] if token["trained"])
    assert trained == "<think>\n2 + 0 = 2. 2 + 1 = 3. 2 + 2 = 4.\n</think>\nThe answer is 3.<|im_end|>"
    masked = "".join(token["text"] for token in sample[2]["tokens"] if not token["trained"])
    assert masked == "<|im_start|>user\nWhat is 2 + 1?<|im_end|>\n<|im_start|>assistant\n"


@pytest.mark.parametrize(("max_tokens", "context"), [(80, 512), (None, 80)])
def test_an_overlong_row_is_dropped_whole_and_the_others_trained_on(
    tmp_path: Path, max_tokens: int | None, context: int
) -> None:
    student = tiny_student.make(tmp_path / "student", context=context)
    long = tiny_student.example("long", "Count.", "1 2 3 4 5 6 7 8 9 " * 10)
    short = tiny_student.example("short", "Hi", "The answer is 5.")
    (tmp_path / "out").mkdir()
    made = run(stage(student, epochs=1, max_tokens=max_tokens), [short, long], work(tmp_path / "out"))
    assert made[0] == short
    assert isinstance(made[1], Dropped)
    assert (made[1].id, made[1].reason) == ("long", "too_long")
    assert made[1].detail.endswith("tokens, 80 at most")


@pytest.mark.parametrize("rows", [[], tiny_student.sums(1)], ids=["no-rows", "all-too-long"])
def test_a_training_without_rows_is_a_told_error(student: Path, tmp_path: Path, rows: list[Example]) -> None:
    with pytest.raises(StageError, match="can be trained on"):
        outcome(stage(student, max_tokens=5), rows, work(tmp_path))


def killed_at(step: int, student: Path, folder: Path) -> None:
    """Train in another process until it kills itself at the end of a step, before that step's checkpoint."""
    root = Path(__file__).resolve().parent.parent
    command = [sys.executable, "-c", KILLED_AT, str(student), str(folder), str(step)]
    ended = subprocess.run(command, cwd=root, env={**os.environ, "PYTHONPATH": str(root)}, stderr=subprocess.PIPE)
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()


def test_a_training_killed_by_sigkill_goes_on_to_the_same_weights(
    student: Path, undisturbed: Path, tmp_path: Path
) -> None:
    killed_at(7, student, tmp_path)
    half_written = tmp_path / "checkpoints" / "checkpoint-7"
    half_written.mkdir()
    (half_written / "model.safetensors").write_bytes(b"half")
    begun_with = (tmp_path / "fit.json").read_bytes()
    heard = Heard()
    surroundings = dataclasses.replace(work(tmp_path), progress=heard)
    run(stage(student, save_steps=2, keep_epochs=True), tiny_student.sums(12), surroundings)
    assert heard.lines == ["training goes on from checkpoint-6"]
    assert weights(tmp_path) == weights(undisturbed)
    assert [weights(tmp_path, f"epochs/epoch-{n}") for n in (1, 2)] == [
        weights(undisturbed, f"epochs/epoch-{n}") for n in (1, 2)
    ]
    assert log(tmp_path) == log(undisturbed)
    assert (tmp_path / "fit.json").read_bytes() == begun_with
    assert not (tmp_path / "checkpoints").exists()


def test_what_was_chosen_at_the_first_start_is_kept(student: Path, tmp_path: Path) -> None:
    from pipeline.student.training.decision import Decision
    from pipeline.student.training.job import Fit

    other = Decision(
        method="lora", learning_rate_factor=10, fit=Fit(micro_batch_size=1), why=("lora: memory was short",)
    )
    (tmp_path / "fit.json").write_text(json.dumps(other.published()))
    heard = Heard()
    made = stage(student, epochs=1, schedule="constant", warmup_share=0)
    run(made, tiny_student.sums(4), dataclasses.replace(work(tmp_path), progress=heard))
    assert heard.lines == ["lora: memory was short"]
    assert log(tmp_path)[0]["learning_rate"] == pytest.approx(3e-2)
    assert Decision.read(tmp_path / "fit.json") == other


def test_a_training_that_was_stopped_after_its_end_is_not_done_again(student: Path, tmp_path: Path) -> None:
    for _ in range(2):
        (tmp_path / "checkpoints" / "checkpoint-3").mkdir(parents=True)
        rows = run(stage(student, epochs=1), tiny_student.sums(12), work(tmp_path))
        written = (tmp_path / "model" / "model.safetensors").stat()
        os.utime(tmp_path / "model" / "model.safetensors", ns=(0, 0))
        assert not (tmp_path / "checkpoints").exists()
    assert written.st_mtime_ns == 0
    assert rows == tiny_student.sums(12)


def test_a_checkpoint_that_was_not_written_to_its_end_is_removed(tmp_path: Path) -> None:
    from pipeline.student.training.checkpoint import WHOLE, newest_checkpoint

    assert newest_checkpoint(tmp_path / "none") is None
    for name, whole in (("checkpoint-9", True), ("checkpoint-10", True), ("checkpoint-11", False)):
        (tmp_path / name).mkdir()
        (tmp_path / name / (WHOLE if whole else "model.safetensors")).touch()
    assert newest_checkpoint(tmp_path) == tmp_path / "checkpoint-10"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-10", "checkpoint-9"]


def first_loss(student: Path, folder: Path, rows: list[Example], **fields: Any) -> float:
    run(stage(student, epochs=1, batch_size=len(rows), **fields), rows, work(folder))
    return log(folder)[0]["loss"]


def by_hand(student: Path, rows: list[Example]) -> list[list[float]]:
    """Cross-entropy of each trained token of each row, from transformers alone."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model, tokenizer = AutoModelForCausalLM.from_pretrained(student), AutoTokenizer.from_pretrained(student)
    losses = []
    for row in rows:
        prompt = tokenizer.apply_chat_template(
            [turn.model_dump() for turn in row.prompt], add_generation_prompt=True, return_dict=False
        )
        written = tokenizer(row.completion + "<|im_end|>")["input_ids"]
        with torch.no_grad():
            logits = model(torch.tensor([prompt + written])).logits[0]
        log_probs = logits.log_softmax(-1)[len(prompt) - 1 : -1]
        losses.append([-log_probs[at, token].item() for at, token in enumerate(written)])
    return losses


WEIGHED = [
    tiny_student.example("a", "What is 1 + 1?", "2", weight=0.5),
    tiny_student.example("b", "What is 2 + 2?", "<think>\n2 + 2 = 4.\n</think>\nThe answer is 4.", weight=2.0),
    tiny_student.example("c", "Why?", "The answer is 5 because 4 + 3 - 2 = 5 and 7 - 2 = 5.", weight=1.0),
]


MICRO_BATCHES = pytest.mark.parametrize(
    ("micro_batch_size", "padding_free"), [(1, False), (3, False), (3, True)], ids=["alone", "padded", "padding-free"]
)


@MICRO_BATCHES
def test_the_row_loss_is_the_mean_over_rows_of_each_rows_weighed_mean(
    student: Path, tmp_path: Path, micro_batch_size: int, padding_free: bool
) -> None:
    losses = by_hand(student, WEIGHED)
    wanted = sum(row.weight * sum(own) / len(own) for row, own in zip(WEIGHED, losses, strict=True)) / len(WEIGHED)
    fields = {"micro_batch_size": micro_batch_size, "padding_free": padding_free}
    found = first_loss(student, tmp_path, WEIGHED, loss="row", **fields)
    assert found == pytest.approx(wanted, rel=1e-4)


def test_the_token_loss_is_the_mean_over_all_tokens_times_their_rows_weights(student: Path, tmp_path: Path) -> None:
    losses = by_hand(student, WEIGHED)
    wanted = sum(row.weight * sum(own) for row, own in zip(WEIGHED, losses, strict=True)) / sum(map(len, losses))
    found = first_loss(student, tmp_path, WEIGHED, loss="token", micro_batch_size=1)
    assert found == pytest.approx(wanted, rel=1e-4)


def test_a_model_that_takes_no_number_of_items_has_the_same_loss(
    student: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import LlamaForCausalLM

    losses = by_hand(student, WEIGHED)
    wanted = sum(row.weight * sum(own) for row, own in zip(WEIGHED, losses, strict=True)) / sum(map(len, losses))
    monkeypatch.setattr(LlamaForCausalLM, "accepts_loss_kwargs", False, raising=False)  # as Gemma 3n and 4 say
    assert first_loss(student, tmp_path, WEIGHED, micro_batch_size=1) == pytest.approx(wanted, rel=1e-4)


def test_a_training_of_a_single_step_learns(student: Path, tmp_path: Path) -> None:
    run(stage(student, epochs=1, batch_size=16), tiny_student.sums(3), work(tmp_path))
    assert [entry["learning_rate"] for entry in log(tmp_path)] == [3e-3]
    assert weights(tmp_path) != weights(student.parent, student.name)


class Filled(Silent):
    """Once a step is done, the disk takes no more of this file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def advance(self, count: int = 1) -> None:
        if count:
            self.path.parent.mkdir()
            self.path.symlink_to("/dev/full")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("name", ["optimizer.pt", "trainer_state.json"])
def test_a_full_disk_is_told_and_the_training_goes_on_when_there_is_room(
    name: str, student: Path, tmp_path: Path
) -> None:
    surroundings = dataclasses.replace(work(tmp_path), progress=Filled(tmp_path / "checkpoints/checkpoint-1" / name))
    with pytest.raises(StageError, match=r"could not be written to .*: [\d.]+ [kMG]B are free"):
        run(stage(student, epochs=1, save_steps=1), tiny_student.sums(4), surroundings)
    run(stage(student, epochs=1, save_steps=1), tiny_student.sums(4), work(tmp_path))
    assert (tmp_path / "model").is_dir()


class Scarce(StepProgress):
    """At the end of a step memory runs out, once."""

    def __init__(self, step: int) -> None:
        super().__init__("train", lambda line: None)
        self.step: int | None = step

    def advance(self, count: int = 1) -> None:
        import torch

        super().advance(count)
        if self.done == self.step:
            self.step = None
            raise torch.OutOfMemoryError("CUDA out of memory.")


def test_steps_that_are_done_again_are_counted_once(student: Path, tmp_path: Path) -> None:
    progress = Scarce(step=3)
    run(
        stage(student, epochs=1, save_steps=2),
        tiny_student.sums(16),
        dataclasses.replace(work(tmp_path), progress=progress),
    )
    assert json.loads((tmp_path / "fit.json").read_text())["micro_batch_size"] == 1
    assert (progress.done, progress.count) == (4, 4)


@pytest.mark.parametrize(
    "words",
    [
        "CUDA out of memory. Tried to allocate 2.00 GiB.",
        "CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported at some other API call",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes.",
    ],
)
def test_what_is_said_where_memory_runs_out_is_known(words: str) -> None:
    from pipeline.student.training.rehearsal import is_out_of_memory

    assert is_out_of_memory(RuntimeError(words))
    assert not is_out_of_memory(RuntimeError("CUDA error: an illegal memory access was encountered"))


def test_the_rehearsal_of_the_largest_micro_batch_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import TrainerCallback

    from pipeline.student.training import trainer

    student = tiny_student.make(tmp_path / "student")
    config = json.loads((student / "config.json").read_text())
    (student / "config.json").write_text(json.dumps({**config, "attention_dropout": 0.3}))
    for name in ("rehearsed", "unrehearsed"):
        (tmp_path / name).mkdir()
        run(stage(student, epochs=1), tiny_student.sums(12), work(tmp_path / name))
        monkeypatch.setattr(trainer, "Rehearsal", lambda *_: TrainerCallback())
    assert weights(tmp_path / "rehearsed") == weights(tmp_path / "unrehearsed")
    assert log(tmp_path / "rehearsed") == log(tmp_path / "unrehearsed")


def test_token_losses_are_those_of_trls_own_head(student: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM
    from trl.trainer.utils import add_fused_lm_head

    from pipeline.student.training.loss import token_losses

    model = AutoModelForCausalLM.from_pretrained(student)
    ids = torch.arange(3, 27).view(2, 12)
    labels = ids.clone()
    labels[0, :5], labels[1, :7], labels[1, 10:] = -100, -100, -100
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": labels}
    ours = token_losses(model, inputs)
    add_fused_lm_head(model)
    theirs = -model(**inputs, fused_lm_head=True).log_probs
    assert ours.shape == (2, 11)
    torch.testing.assert_close(ours, theirs[:, -11:])
    assert [int(row.count_nonzero()) for row in ours] == [7, 3]


@pytest.mark.parametrize("method", ["lora", "qlora"])
def test_adapters_are_trained_and_merged_into_a_plain_model(method: str, student: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    if method == "qlora":
        pytest.importorskip("bitsandbytes")
    run(stage(student, method=method, learning_rate=1e-2, keep_epochs=True), tiny_student.sums(12), work(tmp_path))
    assert log(tmp_path)[-1]["loss"] < log(tmp_path)[0]["loss"]
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    assert not hasattr(model.config, "quantization_config")
    trained, before = model.state_dict(), AutoModelForCausalLM.from_pretrained(student).state_dict()
    assert trained.keys() == before.keys()
    changed = {name for name in trained if not trained[name].equal(before[name])}
    assert all("_proj" in name for name in changed)
    assert len(changed) == 14
    assert weights(tmp_path, "epochs/epoch-3") == weights(tmp_path) != weights(tmp_path, "epochs/epoch-1")


def test_a_student_that_can_see_is_trained_on_text(tmp_path: Path) -> None:
    """Gemma 4: its layers differ in width, its text part has a configuration of its own."""
    from transformers import AutoModelForCausalLM, AutoTokenizer, Gemma4Config

    student = tiny_student.make(tmp_path / "student")
    words = len(AutoTokenizer.from_pretrained(student))
    shape = {"vocab_size": words, "hidden_size": 32, "intermediate_size": 64, "head_dim": 8, "global_head_dim": 16}
    layers = {"num_hidden_layers": 2, "num_attention_heads": 4, "layer_types": ["sliding_attention", "full_attention"]}
    each = {"vocab_size_per_layer_input": words, "hidden_size_per_layer_input": 8, "num_kv_shared_layers": 0}
    config = Gemma4Config(text_config={**shape, **layers, **each}, vision_config=None, audio_config=None)
    AutoModelForCausalLM.from_config(config).save_pretrained(student)
    (tmp_path / "out").mkdir()
    run(stage(student, method="lora", learning_rate=1e-2), tiny_student.sums(12), work(tmp_path / "out"))
    assert log(tmp_path / "out")[-1]["loss"] < log(tmp_path / "out")[0]["loss"]
    trained = AutoModelForCausalLM.from_pretrained(tmp_path / "out" / "model").state_dict()
    assert trained.keys() == AutoModelForCausalLM.from_pretrained(student).state_dict().keys()


def test_what_is_merged_is_what_the_weights_of_4_bits_stand_for(student: Path, tmp_path: Path) -> None:
    """An adapter that has learnt next to nothing leaves the quantised student, not the one before it."""
    pytest.importorskip("bitsandbytes")
    for name in ("quantised", "merged", "whole"):
        (tmp_path / name).mkdir()
    still, rows = {"learning_rate": 1e-9}, tiny_student.sums(4)
    quantised = first_loss(student, tmp_path / "quantised", rows, method="qlora", **still)
    merged = first_loss(tmp_path / "quantised" / "model", tmp_path / "merged", rows, **still)
    whole = first_loss(student, tmp_path / "whole", rows, **still)
    assert merged == pytest.approx(quantised, rel=1e-6)
    assert merged != pytest.approx(whole, rel=1e-6)


def test_each_epoch_holds_every_row_once_and_batches_ignore_length() -> None:
    from pipeline.student.training.job import Schedule, training_order

    how = Schedule(epochs=3, batch_size=8)
    lengths = [n % 7 for n in range(20)]
    order = training_order(lengths, how)
    assert len(order) == 60
    assert all(order.count(row) == 3 for row in range(20))
    batches = [order[start : start + 8] for start in range(0, 60, 8)]
    assert all([lengths[row] for row in batch] == sorted(lengths[row] for row in batch) for batch in batches)
    other = training_order([1] * 20, how)
    assert [set(batch) for batch in batches] == [set(other[start : start + 8]) for start in range(0, 60, 8)]


def test_a_micro_batch_that_does_not_divide_the_batch_is_refused() -> None:
    with pytest.raises(ValidationError, match="micro_batch_size 3 does not divide batch_size 8"):
        Train(model="embedded", batch_size=8, micro_batch_size=3)
    assert Train(model="embedded", batch_size=4, micro_batch_size=8)


def test_a_loss_that_is_no_number_ends_the_training_with_a_told_error(student: Path, tmp_path: Path) -> None:
    with pytest.raises(StageError, match="the loss is nan at step"):
        run(stage(student, learning_rate=1e38, epochs=4), tiny_student.sums(12), work(tmp_path))


def test_the_fingerprint_of_the_student_is_part_of_the_record(student: Path, tmp_path: Path) -> None:
    assert stage(student).outside(tmp_path)["model"].startswith("sha256:")


SCARCE = """
import resource, sys
from pathlib import Path
from pipeline.errors import StageError
from pipeline.progress import Silent
from pipeline.stage import Work
from tests import tiny_student
from tests.made import Script
from tests.test_train import TEXTS, stage

student, *folders = map(Path, sys.argv[1:])

def allow(left):
    held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (held + left if left else resource.RLIM_INFINITY, resource.RLIM_INFINITY))

class Scarce(Silent):
    # After the first step no more than so many bytes are left of what the process may take.
    def __init__(self, left):
        self.left, self.steps = left, 0
    def advance(self, count=1):
        self.steps += count
        if count and self.steps == 1:
            allow(self.left)
    def say(self, line):
        print(line, flush=True)

def train(folder, left):
    surroundings = Work("train", folder, folder, Script(None), Scarce(left), folder, {})
    list(stage(student, save_steps=1, epochs=2, batch_size=8, micro_batch_size=8).run(TEXTS, surroundings))
    allow(None)

train(folders[0], 250_000_000)
print("enough", flush=True)
try:
    train(folders[1], 1_000_000)
except StageError as error:
    allow(None)
    print(error)
"""
TEXTS = [tiny_student.example(f"text-{n}", "Count.", "1 2 3 4 5 6 7 8 9 " * 2) for n in range(8)]


@pytest.fixture(scope="module")
def wordy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A student with a vocabulary so large that a micro batch of eight takes half a gigabyte for its logits."""
    from transformers import AutoModelForCausalLM

    student = tiny_student.make(tmp_path_factory.mktemp("wordy"))
    model = AutoModelForCausalLM.from_pretrained(student)
    model.resize_token_embeddings(100_000)
    model.save_pretrained(student)
    return student


def test_where_memory_runs_out_less_stands_in_it_at_once_and_the_training_goes_on(wordy: Path, tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("scarce", "hopeless", "ample")]
    for folder in folders:
        folder.mkdir()
    root = Path(__file__).resolve().parent.parent
    ended = subprocess.run(
        [sys.executable, "-c", SCARCE, str(wordy), *map(str, folders[:2])],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    scarce, hopeless = (part.strip().splitlines() for part in ended.stdout.split("enough\n"))
    assert scarce[0] == "micro batch 4: 8 was out of memory"
    assert "training goes on from checkpoint-1" in scarce
    assert json.loads((folders[0] / "fit.json").read_text())["micro_batch_size"] < 8
    run(stage(wordy, epochs=2, batch_size=8, micro_batch_size=8), TEXTS, work(folders[2]))
    losses, wanted = ([entry["loss"] for entry in log(folder)] for folder in (folders[0], folders[2]))
    assert losses == pytest.approx(wanted, rel=1e-4)

    assert "micro batch 1: 2 was out of memory" in hopeless
    assert "activation checkpointing: one example at once was out of memory" in hopeless
    assert "tokens at once does not fit into memory" in hopeless[-2]
    assert hopeless[-1].startswith("hint: --set train.method=qlora, or --set train.max_tokens=")
