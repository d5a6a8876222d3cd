"""A user's folder: a config file, problems, and the commands run in it as a user runs them."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

SUMS = [f"What is {a} + {b} - {c}?" for a in range(2, 12) for b in range(3, 13) for c in range(1, 5)]
"""400 questions that the fake teacher can work out."""


def gold(question: str) -> str:
    """The answer to one of `SUMS`."""
    first, plus, minus = (int(word) for word in question.removesuffix("?").split() if word.isdigit())
    return str(first + plus - minus)


class Project:
    """A folder with `my.yaml`, `problems.jsonl` and `heldout.jsonl`, and a fake teacher's address."""

    def __init__(self, folder: Path, base_url: str, problems: int = 12, heldout: int = 8, **choices: Any) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.write_problems(SUMS[:problems])
        self.write("heldout.jsonl", [{"question": q, "answer": gold(q)} for q in SUMS[-heldout:]])
        self.choices: dict[str, Any] = {
            "recipe": "r1-distill",
            "run": "one",
            "data": {"train": "problems.jsonl", "eval": "heldout.jsonl"},
            "teachers": {"main": {"base_url": base_url, "model": "fake-think", "concurrency": 8}},
            "student": {"model": "student"},
            "set": {},
            **choices,
        }
        self.save()

    def save(self) -> None:
        """Write the choices."""
        (self.folder / "my.yaml").write_text(yaml.safe_dump(self.choices))

    def set(self, **fields: Any) -> None:
        """Set `step__field=value` in the choices."""
        self.choices["set"].update({name.replace("__", "."): value for name, value in fields.items()})
        self.save()

    def write(self, name: str, records: list[dict[str, Any]]) -> None:
        """Write a file of records, one a line."""
        (self.folder / name).write_text("".join(json.dumps(record) + "\n" for record in records))

    def write_problems(self, questions: list[str]) -> None:
        """Write the train problems."""
        self.write("problems.jsonl", [{"question": q, "answer": gold(q)} for q in questions])

    def command(self, *arguments: str) -> list[str]:
        """A command line of the pipeline in this folder."""
        return [sys.executable, "-m", "pipeline", *arguments]

    def environment(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        """The environment of a command."""
        here = str(Path(__file__).resolve().parent.parent)
        return {**os.environ, "PYTHONPATH": here, "HF_HUB_OFFLINE": "1", "COLUMNS": "120", **(extra or {})}

    def run(
        self, *arguments: str, expect: int = 0, extra: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end and hold it to its exit status."""
        done = subprocess.run(
            self.command(*arguments),
            cwd=self.folder,
            env=self.environment(extra),
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == expect, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def run_all(self, *arguments: str, expect: int = 0) -> subprocess.CompletedProcess[str]:
        """`run all --config my.yaml` with further arguments."""
        return self.run("run", "all", "--config", "my.yaml", *arguments, expect=expect)

    def rows(self, step: str, run: str = "one") -> list[dict[str, Any]]:
        """The rows of a finished step."""
        lines = (self.folder / "outputs" / run / step / "rows.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]

    def bytes_of(self, run: str = "one") -> dict[str, bytes]:
        """Every `rows.jsonl` and `dropped.jsonl` of a run, by step and name."""
        folder = self.folder / "outputs" / run
        return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.glob("*/*.jsonl"))}
