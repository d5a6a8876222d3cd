"""A run's folder as the runner leaves it, small and made up, for tests of what reads one."""

import json
import random
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pipeline.funnel import funnel_of, write_funnel
from pipeline.record import Counts, Record
from pipeline.report.files import RunFiles

STEPS = [
    ("load-train", "load", ()),
    ("load-eval", "load", ()),
    ("solve", "solve", ("load-train",)),
    ("check", "check", ("solve",)),
    ("assemble", "assemble", ("check",)),
    ("train", "train", ("assemble",)),
    ("evaluate", "evaluate", ("load-eval",)),
]
"""Name, stage, and the steps whose rows it reads."""
TOOK = {"teacher": (18.1, None), "base": (31.2, 298.4), "base_few_shot": (44.9, 207.1), "student": (29.8, 312.0)}
"""Seconds, and tokens a second."""


def run_folder(outputs: Path, question: str = "What is {a} + {b} - {c}?") -> Path:
    """Write a whole run; the numbers in it agree with one another.

    Args:
        outputs: where the run's folder is made.
        question: how the questions are worded.
    """
    folder = outputs / "first"
    chance = random.Random(1)
    train, held_out = _problems("train", 40, question, chance), _problems("eval", 300, question, chance)
    tried = [_solution(problem, index, chance) for problem in train for index in range(8)]
    judged = [{**row, "verdict": "right" if row["found"] == row["problem"]["answer"] else "wrong"} for row in tried]
    right = [row for row in judged if row["verdict"] == "right"]
    lost = [_dropped(row["id"], "no_answer") for row in tried if row["found"] is None]
    lost += [
        _dropped(row["id"], "wrong", f"found {row['found']}, gold {row['problem']['answer']}")
        for row in judged
        if row["verdict"] == "wrong" and row["found"] is not None
    ]
    failed = [_dropped("train-39/8", "teacher_error", "given up after 6 attempts: HTTP 503", "train-39")]
    examples = [
        {
            "id": row["id"],
            "parent": row["parent"],
            "prompt": [{"role": "user", "content": row["problem"]["question"]}],
            "completion": row["text"],
        }
        for row in right
    ]
    predictions = [
        _prediction(problem, model, chance.random() < accuracy)
        for model, accuracy in (("base", 0.2), ("base_few_shot", 0.3), ("student", 0.41), ("teacher", 0.52))
        for problem in held_out
    ]
    _write_json(folder / "run.json", _about())
    _write_json(
        folder / "usage.json",
        {
            "main": {
                "requests": 41,
                "samples": 320,
                "prompt_tokens": 7011,
                "completion_tokens": 12345,
                "cost_usd": 0.0213,
                "failed": 1,
                "cut": 3,
                "maybe_billed": 2,
                "uncounted": 40,
            }
        },
    )
    _step(folder, "load-train", train)
    _step(folder, "load-eval", held_out)
    _step(folder, "solve", tried, failed, train, ("load-train",), temperature=0.8, samples=8, seed=0)
    _step(folder, "check", right, lost, tried, ("solve",))
    _step(folder, "assemble", examples, (), right, ("check",), prompt="r1-distill/student")
    _step(
        folder,
        "train",
        examples[1:],
        [_dropped(examples[0]["id"], "too_long", "61 tokens, 60 at most")],
        examples,
        ("assemble",),
        model="embedded",
        method="full",
        epochs=4,
        learning_rate=1e-4,
        batch_size=16,
        max_tokens=60,
        seed=0,
    )
    _write_lines(folder / "train" / "log.jsonl", _losses(chance))
    _write_json(folder / "train" / "training_sample.json", [_training_sample(row) for row in examples[:3]])
    _step(folder, "evaluate", predictions, (), held_out, ("load-eval", "train"), max_tokens=160, temperature=0)
    _write_json(folder / "evaluate" / "scores.json", _scores(predictions))
    _write_json(
        folder / "evaluate" / "timings.json",
        {name: _took(*took) for name, took in TOOK.items()},
    )
    write_funnel(folder, funnel_of(RunFiles.read(folder)))
    return folder


def _about() -> dict[str, Any]:
    return {
        "run": "first",
        "recipe": "self-distillation",
        "choices": {
            "recipe": "self-distillation",
            "run": "first",
            "data": {
                "train": [{"path": "reasoning_gym:chain_sum?size=40&seed=1"}],
                "eval": [{"path": "reasoning_gym:chain_sum?size=300&seed=2"}],
            },
            "teachers": {"main": {"base_url": None, "model": None, "local": "embedded", "headers": {}}},
            "student": {"model": "embedded"},
            "budget_usd": None,
        },
        "steps": [{"name": name, "stage": stage, "rows": rows} for name, stage, rows in STEPS],
        "versions": {"torch": "2.13.0", "transformers": "5.23.0", "trl": "1.16.0", "openai": "3.54.0"},
        "git": "8e5aa6c-dirty",
        "python": "3.11.7",
        "processor": "Example Processor 8000, 2 cores",
        "started": "2026-11-22T02:13:29+00:00",
        "self_distillation": True,
    }


def _problems(name: str, count: int, question: str, chance: random.Random) -> list[dict[str, Any]]:
    problems = []
    for index in range(count):
        a, b, c = (chance.randint(1, 9) for _ in range(3))
        asked = question.format(a=a, b=b, c=c)
        problems.append({"id": f"{name}-{index}", "parent": None, "question": asked, "answer": str(a + b - c)})
    return problems


def _solution(problem: Mapping[str, Any], index: int, chance: random.Random) -> dict[str, Any]:
    value = int(problem["answer"]) + chance.choice((0, 0, 0, 1, -2))
    found = str(value) if chance.random() < 0.9 else None
    text = f"First I add the two numbers, then I take away the third. That leaves {value}."
    return {
        "id": f"{problem['id']}/{index}",
        "parent": problem["id"],
        "problem": problem,
        "text": f"{text} The answer is {found}." if found else text,
        "found": found,
    }


def _prediction(problem: Mapping[str, Any], model: str, right: bool) -> dict[str, Any]:
    found = problem["answer"] if right else str(int(problem["answer"]) + 3)
    return {
        "id": f"{problem['id']}/{model}",
        "parent": problem["id"],
        "model": model,
        "text": f"Adding from left to right gives {found}. The answer is {found}.",
        "found": found,
        "right": right,
        "cut": False,
        "tokens": 31,
    }


def _dropped(name: str, reason: str, detail: str = "", parent: str | None = None) -> dict[str, Any]:
    return {"id": name, "parent": parent, "reason": reason, "detail": detail}


def _losses(chance: random.Random) -> list[dict[str, float]]:
    return [{"step": step, "loss": 0.35 + 1.1 / (1 + step / 8) + chance.gauss(0, 0.03)} for step in range(1, 61)]


def _training_sample(example: Mapping[str, Any]) -> dict[str, Any]:
    asked = ["<|im_start|>", "user", "\n", *example["prompt"][0]["content"].split(" "), "<|im_end|>", "\n"]
    asked += ["<|im_start|>", "assistant", "\n"]
    told = [f"{word} " for word in example["completion"].split()]
    tokens = [{"text": text, "trained": False} for text in asked]
    return {"id": example["id"], "tokens": tokens + [{"text": text, "trained": True} for text in [*told, "<|im_end|>"]]}


def _scores(predictions: list[dict[str, Any]]) -> dict[str, Any]:
    models = {}
    for model in dict.fromkeys(row["model"] for row in predictions):
        rows = [row for row in predictions if row["model"] == model]
        accuracy = sum(row["right"] for row in rows) / len(rows)
        half = 1.96 * (accuracy * (1 - accuracy) / len(rows)) ** 0.5
        models[model] = {
            "n": len(rows),
            "right": sum(row["right"] for row in rows),
            "accuracy": accuracy,
            "low": accuracy - half,
            "high": accuracy + half,
            "found_share": 0.97,
            "mean_tokens": 31.0 if model != "teacher" else None,
        }
    gain = models["student"]["accuracy"] - models["base_few_shot"]["accuracy"]
    paired = {"over": "base_few_shot", "gain": gain, "low": gain - 0.055, "high": gain + 0.055, "p": 0.00021}
    return {"models": models, "gain": {**paired, "proven": True}}


def _took(seconds: float, speed: float | None) -> dict[str, Any]:
    of_ours = {"by": "transformers, cpu, float32", "peak_memory_bytes": 1_288_490_188, "batch_size": 32}
    of_teacher = {"by": "teacher", "peak_memory_bytes": None, "batch_size": None}
    return {**(of_ours if speed else of_teacher), "seconds": seconds, "tokens_per_second": speed}


def _step(
    run: Path,
    name: str,
    rows: Iterable[Mapping[str, Any]],
    dropped: Iterable[Mapping[str, Any]] = (),
    entered: Iterable[Mapping[str, Any]] = (),
    inputs: tuple[str, ...] = (),
    **fields: Any,
) -> None:
    rows, dropped = list(rows), list(dropped)
    ids = {row["id"] for row in entered}
    reasons = [row["reason"] for row in dropped]
    record = Record(
        step=name,
        stage=next(stage for step, stage, _ in STEPS if step == name),
        version=1,
        fields=fields,
        inputs={other: f"hash of {other}" for other in inputs},
        output=f"hash of {name}",
        counts=Counts(
            entered=len(ids),
            carried=len({row["id"] if row["id"] in ids else row["parent"] for row in rows} & ids),
            written=len(rows),
            dropped={reason: reasons.count(reason) for reason in sorted(set(reasons))},
        ),
        seconds=12.3,
    )
    _write_lines(run / name / "rows.jsonl", rows)
    _write_lines(run / name / "dropped.jsonl", dropped)
    _write_json(run / name / "record.json", record.model_dump(mode="json"))


def _write_json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")


def _write_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
