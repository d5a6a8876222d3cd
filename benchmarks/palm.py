"""What a small student gains from a real teacher's words: answers alone, two tasks, and correct reasoning.

    python benchmarks/palm.py [--task svamp|cqa] [--seeds 0,1,2] [--times 4] [--out outputs/palm] [--data DATA]

The teacher is PaLM (540 billion parameters), whose completions for SVAMP and CommonsenseQA the authors of Distilling
Step-by-Step published (palm/ under --data); the student is the embedded SmolLM2-135M-Instruct. Each arm and seed is a
run of the pipeline with recorded replies, in --out: a second call goes on where the first one was stopped, and ends
with the table. All arms read about the same number of tokens; --times multiplies how often.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from pipeline.statistics import paired_gain, wilson

ROOT = Path(__file__).resolve().parent.parent
GOLD = {"svamp": "gold_equation", "cqa": "gold"}
PARTS = {"train": "train", "eval": "test"}
# A short system turn keeps the template from writing its own one of twenty tokens into every row.
PROMPTS = {
    "label": "<<system>>\nAnswer.\n<<user>>\n{{question}}\n<<assistant>>\n{{answer}}\n",
    "rationale": "<<system>>\nExplain.\n<<user>>\n{{question}}\n<<assistant>>\n{{rationale}}\n",
    "reasoning": "<<system>>\nReason.\n<<user>>\n{{question}}\n<<assistant>>\n{{text}}\n",
}
ARMS: dict[str, dict[str, Any]] = {
    "answer-only": {"assemble.prompt": "label.txt", "evaluate.student_prompt": "label.txt", "train.epochs": 2},
    "distilling-step-by-step": {
        "assemble.prompt": "label.txt",
        "assemble.rationale_prompt": "rationale.txt",
        "evaluate.student_prompt": "label.txt",
        "train.epochs": 1,
    },
    "fine-tune-cot": {
        "solve.answer_prompt": None,
        "solve.samples": 1,
        "assemble.prompt": "reasoning.txt",
        "evaluate.student_prompt": "reasoning.txt",
        "train.epochs": 2,
    },
}
ALL = {
    "train.batch_size": 8,
    "train.micro_batch_size": 4,
    "train.learning_rate": 1e-4,
    "train.schedule": "cosine",
    "train.save_steps": 20,
    "evaluate.teacher": None,
    "evaluate.teacher_prompt": None,
    "evaluate.max_new_tokens": 96,
}
"""One setting for all arms. The papers' are for longer trainings."""


def write_folder(folder: Path, task: str, data: Path) -> None:
    """The prompts and a link to the data, so that every path is relative."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in PROMPTS.items():
        (folder / f"{name}.txt").write_text(text)
    for part in ("train", "test"):
        shutil.copy(data / "palm" / f"{task}-{part}.jsonl", folder)
    with (folder / f"{task}.jsonl").open("wb") as replies:
        for part in ("train", "test"):
            replies.write((folder / f"{task}-{part}.jsonl").read_bytes())


def run_of(arm: str, task: str, seed: int, times: int) -> str:
    return f"{task}-{arm}-x{times}-{seed}"


def make(folder: Path, arm: str, task: str, seed: int, times: int) -> None:
    """Make one run, or what of it is missing."""
    fields = {"answer": GOLD[task]}
    choices = {
        "recipe": arm,
        "run": run_of(arm, task, seed, times),
        "data": {part: {"path": f"{task}-{file}.jsonl", "fields": fields} for part, file in PARTS.items()},
        "teachers": {"main": {"recorded": f"{task}.jsonl"}},
        "student": {"model": "embedded"},
        "set": {**ALL, **ARMS[arm], "train.epochs": times * ARMS[arm]["train.epochs"], "train.seed": seed},
    }
    path = folder / f"{choices['run']}.yaml"
    path.write_text(yaml.safe_dump(choices, sort_keys=False))
    command = [sys.executable, "-m", "pipeline", "run", "all", "--config", path.name]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    subprocess.run(command, cwd=folder, env=environment, check=True)


def right_by_problem(folder: Path, run: str, model: str) -> dict[str, bool]:
    """Held-out problem -> whether the model was right."""
    lines = (folder / "outputs" / run / "evaluate" / "rows.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    return {row["parent"]: row["right"] for row in rows if row["model"] == model}


def print_table(folder: Path, task: str, seeds: list[int], times: int) -> None:
    """Each run with its interval, then each arm over its seeds against the others on the same problems.

    The untrained student stands there once for each prompt that an arm asks with: what a prompt gives is no gain.
    """
    shares: dict[str, list[float]] = {}
    print(f"{'arm':26}{'seed':>5}{'right':>8}{'of':>6}{'share':>8}   95 % interval")
    for arm in ARMS:
        found = [right_by_problem(folder, run_of(arm, task, seed, times), "student") for seed in seeds]
        for seed, answers in zip(seeds, found, strict=True):
            print_row(arm, str(seed), list(answers.values()))
        shares[arm] = [sum(answers[name] for answers in found) / len(found) for name in found[0]]
    for prompt, arm in {fields["evaluate.student_prompt"]: arm for arm, fields in ARMS.items()}.items():
        base = right_by_problem(folder, run_of(arm, task, seeds[0], times), "base")
        name = f"untrained, {prompt}"
        print_row(name, "", list(base.values()))
        shares[name] = [float(right) for right in base.values()]
    print(f"\n{'difference, means over seeds, same problems':60}{'points':>8}   95 % interval")
    names = list(shares)
    for place, name in enumerate(names):
        for other in names[place + 1 :]:
            gain = paired_gain(shares[other], shares[name])
            told = f"{name} over {other}"
            print(f"{told:60}{100 * gain.gain:+8.1f}   {100 * gain.low:+.1f} to {100 * gain.high:+.1f}")


def print_row(arm: str, seed: str, right: list[bool]) -> None:
    low, high = wilson(sum(right), len(right))
    share = sum(right) / len(right)
    print(f"{arm:26}{seed:>5}{sum(right):>8}{len(right):>6}{100 * share:>7.1f}%   {100 * low:.1f} to {100 * high:.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", choices=list(GOLD), default="svamp")
    parser.add_argument("--seeds", default="0", help="of the order of the examples, with commas")
    parser.add_argument("--times", type=int, default=4, help="factor on each arm's epochs")
    parser.add_argument("--out", type=Path, default=Path("outputs") / "palm")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    chosen = parser.parse_args()
    seeds = [int(seed) for seed in chosen.seeds.split(",")]
    write_folder(chosen.out, chosen.task, chosen.data)
    for seed in seeds:
        for arm in ARMS:
            make(chosen.out, arm, chosen.task, seed, chosen.times)
    print_table(chosen.out, chosen.task, seeds, chosen.times)


if __name__ == "__main__":
    main()
