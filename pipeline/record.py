"""The record beside a step's rows: what the step was made of, so that a later run can tell what it may keep."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from pipeline.stage import Stage

RECORD = "record.json"


class Counts(BaseModel):
    """What became of the rows; entered = those carried on + those dropped, over ids."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    entered: int
    """Rows read; 0 for a step that reads from outside."""
    carried: int
    """Of these, how many left as themselves or as children."""
    written: int
    """Rows written."""
    dropped: Mapping[str, int]
    """Entries in dropped.jsonl by reason; rows that entered and children that were not made."""

    def told(self) -> str:
        """One line: `96 rows -> 768, 3 dropped`."""
        lost = sum(self.dropped.values())
        change = f"{self.entered} rows -> {self.written}" if self.entered else f"{self.written} rows"
        return f"{change}, {lost} dropped" if lost else change


class Record(BaseModel):
    """What a step was made of and, once it is whole, what came out.

    Concurrency, keys, time-outs and device are no part of it: they change no row.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    step: str
    stage: str
    version: int
    fields: Mapping[str, Any]
    prompts: Mapping[str, str] = {}
    """Field -> SHA-256 of the prompt file that it names."""
    inputs: Mapping[str, str | None] = {}
    """Step -> its `output`; None where that is not known yet."""
    teachers: Mapping[str, Any] = {}
    """Teacher -> endpoint or weights, model and request parameters."""
    outside: Mapping[str, str] = {}
    """What was read from outside the run -> content hash, revision or package version."""
    output: str | None = None
    """SHA-256 over the finished folder; None while the step is being made."""
    counts: Counts | None = None
    seconds: float | None = None
    """How long the step took, its last start alone."""

    def made_of(self) -> dict[str, Any]:
        """The part that decides whether a finished step may be kept."""
        return self.model_dump(mode="json", exclude={"output", "counts", "seconds"})

    def differences(self, other: "Record") -> list[str]:
        """Where `other` differs, a line each: `fields.temperature: 0.6 -> 1.0`."""
        old, new = _flat(self.made_of()), _flat(other.made_of())
        return [
            f"{key}: {_short(old.get(key))} -> {_short(new.get(key))}"
            for key in sorted(old.keys() | new.keys())
            if _filled(old.get(key)) != _filled(new.get(key))
        ]

    @classmethod
    def read(cls, folder: Path, stage: Stage | None = None) -> "Record | None":
        """The record of a folder; None where there is none that can be read.

        Args:
            folder: the step's folder.
            stage: what the step is now. Fields that it did not have when the record was written are read as their
                defaults, which by the rule for `version` make the same rows.
        """
        try:
            record = cls.model_validate_json((folder / RECORD).read_bytes())
        except (FileNotFoundError, ValueError):
            return None
        if stage is None or record.stage != stage.name():
            return record
        return record.model_copy(update={"fields": _completed(record.fields, type(stage))})


def hash_folder(folder: Path) -> str:
    """SHA-256 over names and contents of all files beneath, the record left out."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        if path == folder / RECORD:
            continue
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        digest.update(f"{path.relative_to(folder).as_posix()}\0{content}\n".encode())
    return digest.hexdigest()


def _completed(fields: Mapping[str, Any], stage: type[Stage]) -> Mapping[str, Any]:
    """The fields, and the defaults of those that are missing, in what stands in a field too; as they are where that
    cannot be told.
    """
    try:
        return stage.model_validate(fields).model_dump(mode="json")
    except ValidationError:
        return fields


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    return dict(_leaves(value, prefix))


def _leaves(value: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, list) and any(isinstance(part, dict) for part in value):
        value = {str(place): part for place, part in enumerate(value)}
    if isinstance(value, dict) and value:
        for key, part in value.items():
            yield from _leaves(part, f"{prefix}.{key}" if prefix else key)
    else:
        yield prefix, value


def _filled(value: Any) -> Any:
    """None for a mapping of nothing, too: what it lacks is told by itself."""
    return None if value == {} else value


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    if len(text) == 66 and text.isascii() and text[1:-1].isalnum():
        text = text[1:13]
    return text if len(text) <= 70 else text[:67] + "..."
