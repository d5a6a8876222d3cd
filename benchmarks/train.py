"""Training speed beside TRL's own SFTTrainer: same rows, same student, same machine, turn by turn in one run.

    python benchmarks/train.py [--student embedded] [--rows 64] [--rounds 3] [--data DATA]

Rows of mixed length: PaLM's rationales for CommonsenseQA and SVAMP, and GSM8K's solutions (under --data). What is
counted is tokens that are no padding, prompt included, from the first step's beginning to the last step's end: neither
loading nor tokenising nor saving. `trl, same` has our number type, our batch of 16 (8 at once) and no activation
checkpointing; `trl, defaults` has whatever TRL does by itself, but for its number type where the processor has none
for it.
"""

import argparse
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from pipeline.progress import Silent
from pipeline.rows import Example, Message
from pipeline.stage import Work
from pipeline.student import load
from pipeline.student.text import encode
from stages.train import Train

DATA = Path(__file__).resolve().parent.parent.parent / "shared" / "data"
BATCH = 16


class Clock(Silent):
    """Takes the time from the first step's beginning to the last step's end."""

    began = ended = 0.0

    def total(self, count: int) -> None:
        """The training begins."""
        self.began = self.began or time.perf_counter()

    def advance(self, count: int = 1) -> None:
        """A step has ended."""
        self.ended = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Between the two."""
        return self.ended - self.began


def mixed(data: Path, count: int) -> list[Example]:
    """Short, middling and long rows, drawn alike from three files."""
    cqa = [(row["question"], row["completion"].partition("\n\nQ:")[0]) for row in _lines(data / "palm/cqa-train.jsonl")]
    svamp = [(row["question"], row["gold_equation"]) for row in _lines(data / "palm/svamp-train.jsonl")]
    gsm8k = [(row["question"], row["answer"]) for row in _lines(data / "gsm8k/train.jsonl")]
    draw = random.Random(0)
    texts = [draw.choice(source) for source in (cqa, svamp, gsm8k) for _ in range(count // 3 + 1)]
    draw.shuffle(texts)
    return [
        Example(id=str(n), parent=str(n), prompt=(Message(role="user", content=q),), completion=text, problem_id=str(n))
        for n, (q, text) in enumerate(texts[:count])
    ]


def ours(student: str, rows: list[Example], folder: Path) -> float:
    clock = Clock()
    stage = Train(model=student, method="full", epochs=1, batch_size=BATCH, save_steps=1000)
    work = Work("train", folder, Path(), None, clock, folder)  # type: ignore[arg-type]
    list(stage.run(rows, work))
    return clock.seconds


def trl(student: str, rows: list[Example], folder: Path, **settings: Any) -> float:
    import torch
    from datasets import Dataset, disable_progress_bars
    from transformers import PrinterCallback, TrainerCallback
    from trl import SFTConfig, SFTTrainer

    disable_progress_bars()
    clock = Clock()

    class Timed(TrainerCallback):  # type: ignore[misc]
        def on_train_begin(self, *args: Any, **kwargs: Any) -> None:
            clock.total(0)

        def on_step_end(self, *args: Any, **kwargs: Any) -> None:
            clock.advance()

    weights = load.find(student, Path())
    turns = [
        {
            "prompt": [turn.model_dump() for turn in row.prompt],
            "completion": [{"role": "assistant", "content": row.completion}],
        }
        for row in rows
    ]
    config = SFTConfig(
        output_dir=str(folder),
        num_train_epochs=1,
        use_cpu=load.device() == "cpu",
        report_to="none",
        disable_tqdm=True,
        save_strategy="no",
        dataloader_pin_memory=load.device() != "cpu",
        **settings,
    )
    trainer = SFTTrainer(
        model=load.load_model(weights, torch.float32),
        args=config,
        train_dataset=Dataset.from_list(turns),
        processing_class=load.load_tokenizer(weights),
        callbacks=[Timed()],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    return clock.seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--student", default="embedded")
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--data", type=Path, default=DATA)
    chosen = parser.parse_args()
    rows = mixed(chosen.data, chosen.rows)
    tokenizer = load.load_tokenizer(load.find(chosen.student, Path()))
    lengths = sorted(len(encode(tokenizer, row).input_ids) for row in rows)
    bf16 = load.computes_in_bfloat16()
    same = {
        "bf16": bf16,
        "activation_checkpointing": False,
        "gradient_checkpointing": False,
        "per_device_train_batch_size": 8,
        "gradient_accumulation_steps": BATCH // 8,
    }
    contenders: dict[str, Callable[[Path], float]] = {
        "ours": lambda folder: ours(chosen.student, rows, folder),
        "trl, same": lambda folder: trl(chosen.student, rows, folder, **same),
        "trl, defaults": lambda folder: trl(chosen.student, rows, folder, **({} if bf16 else {"bf16": False})),
    }
    print(
        f"{len(rows)} rows of {lengths[0]} to {lengths[-1]} tokens, {sum(lengths):,} in all, median {median(lengths)}"
    )
    speeds: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(chosen.rounds):
        for name, train in contenders.items():
            with tempfile.TemporaryDirectory() as folder:
                speeds[name].append(sum(lengths) / train(Path(folder)))
            print(f"round {number + 1}: {name:14} {speeds[name][-1]:8.1f} tokens/s", flush=True)
    for name in ("trl, same", "trl, defaults"):
        ratios = [own / theirs for own, theirs in zip(speeds["ours"], speeds[name], strict=True)]
        told = ", ".join(f"{ratio:.2f}" for ratio in ratios)
        print(f"ours over {name}: {median(ratios):.2f} (rounds: {told})")


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


if __name__ == "__main__":
    main()
