"""What a run left in its folder, read for the report; whatever is missing reads as empty."""

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.record import Record


@dataclass(frozen=True)
class StepFiles:
    """One finished step."""

    name: str
    folder: Path
    record: Record

    def rows(self) -> Iterator[dict[str, Any]]:
        """The rows that it carried on."""
        return _lines(self.folder / "rows.jsonl")

    def dropped(self) -> Iterator[dict[str, Any]]:
        """The rows that it dropped."""
        return _lines(self.folder / "dropped.jsonl")

    def json(self, name: str) -> Any:
        """One of its JSON documents; None where it is not there."""
        return _document(self.folder / name)

    def lines(self, name: str) -> list[dict[str, Any]]:
        """One of its JSON-lines files, whole; empty where it is not there."""
        return list(_lines(self.folder / name))


@dataclass(frozen=True)
class RunFiles:
    """One run."""

    folder: Path
    about: Mapping[str, Any]
    """`run.json`."""
    usage: Mapping[str, Mapping[str, Any]]
    """`usage.json`: teacher -> what it was asked and what it cost."""
    steps: tuple[StepFiles, ...]
    """The finished steps, in order."""
    stale: tuple[str, ...]
    """Finished steps made of rows that have since been made anew: nothing of them is shown."""

    @classmethod
    def read(cls, folder: Path) -> "RunFiles":
        """Read the small files; rows are read when they are asked for."""
        about = _document(folder / "run.json") or {}
        usage = _document(folder / "usage.json") or {}
        steps: dict[str, StepFiles] = {}
        stale = []
        for step in about.get("steps", []):
            record = Record.read(folder / step["name"])
            if record is None or record.output is None:
                continue
            if all(name in steps and steps[name].record.output == made for name, made in record.inputs.items()):
                steps[step["name"]] = StepFiles(step["name"], folder / step["name"], record)
            else:
                stale.append(step["name"])
        return cls(folder, about, usage, tuple(steps.values()), tuple(stale))

    def json(self, name: str) -> Any:
        """One of its JSON documents; None where it is not there."""
        return _document(self.folder / name)

    def of_stage(self, stage: str) -> list[StepFiles]:
        """The finished steps of that stage."""
        return [step for step in self.steps if step.record.stage == stage]

    def inputs(self, step: StepFiles) -> list[StepFiles]:
        """The steps that it was made of."""
        return [other for other in self.steps if other.name in step.record.inputs]

    def input_rows(self, step: StepFiles, ids: Collection[str]) -> dict[str, dict[str, Any]]:
        """Those rows of its inputs that have one of these ids."""
        wanted = set(ids)
        return {row["id"]: row for other in self.inputs(step) for row in other.rows() if row["id"] in wanted}


def _document(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    if not path.is_file():
        return
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)
