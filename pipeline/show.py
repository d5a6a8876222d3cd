"""Rows and recipes as a person reads them, on the terminal."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from pipeline import recipe
from pipeline.choices import nearest
from pipeline.errors import UsageError

SHORT = 2_000
"""Characters of one field that are shown."""


def print_rows(run: Path, step: str, dropped: str | None, count: int) -> None:
    """Print a step's first rows, or the first that it dropped.

    Args:
        run: the run's folder.
        step: the step's name.
        dropped: a drop reason, or `all`; None shows the rows that were written.
        count: most rows shown.

    Raises:
        UsageError: no such run, step or reason.
    """
    if not run.is_dir():
        raise UsageError(f"no run {run.name!r} under {run.parent}", "python -m pipeline status")
    name = "rows.jsonl" if dropped is None else "dropped.jsonl"
    part = run / f"{step}.part"
    folder = part if (part / name).is_file() else run / step
    path = folder / name
    if not path.is_file():
        made = sorted(found.parent.name for found in run.glob("*/rows.jsonl") if found.parent.suffix == "")
        raise UsageError(f"no step {step!r} in run {run.name!r}", nearest(step, made) if made else None)
    reasons: dict[str, int] = {}
    rows: list[dict[str, Any]] = []
    for row in _lines(path):
        reasons[row.get("reason", "")] = reasons.get(row.get("reason", ""), 0) + 1
        if dropped in (None, "all", row.get("reason")) and len(rows) < count:
            rows.append(row)
    if dropped not in (None, "all") and dropped not in reasons:
        known = nearest(dropped or "", list(reasons)) if reasons else None
        raise UsageError(f"step {step!r} dropped nothing for {dropped!r}", known)
    entered = _entered(run, folder) if dropped else {}
    console = Console(highlight=False)
    for row in rows:
        console.rule(row["id"], align="left", characters="-")
        for name, value in {**row, **({"row": entered[row["id"]]} if row["id"] in entered else {})}.items():
            if value not in (None, "", [], {}, False) and name not in ("id", "keys"):
                console.print(Text.assemble((f"{name}: ", "bold"), _told(value)))
    total = sum(reasons.values())
    told = ", ".join(f"{number} {reason}" for reason, number in sorted(reasons.items()) if reason)
    console.print(f"\n{len(rows)} of {total} shown" + (f": {told}" if told else ""), style="dim")
    if folder == part:
        console.print(f"{step} is not finished: these are of its last start", style="dim")


def print_recipes() -> None:
    """Print every recipe's name, first line and source."""
    console = Console(highlight=False)
    for name in recipe.names():
        text = (recipe.module(name, Path()).__doc__ or "").strip()
        first, _, rest = text.partition("\n")
        console.print(Text(name, style="bold"))
        console.print(f"  {first}")
        for line in rest.splitlines():
            if line.strip():
                console.print(f"  {line}", style="dim", markup=False)


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            if line.endswith("\n"):  # else it is being written
                yield json.loads(line)


def _entered(run: Path, folder: Path) -> dict[str, str]:
    """The rows that entered the step, by id, as text."""
    record = json.loads((folder / "record.json").read_text(encoding="utf-8"))
    files = [run / name / "rows.jsonl" for name in record["inputs"]]
    return {
        row["id"]: row.get("text") or row.get("question") or row.get("completion") or ""
        for path in files
        if path.is_file()
        for row in _lines(path)
    }


def _told(value: Any) -> str:
    if isinstance(value, dict):
        value = value.get("question", value)
    if isinstance(value, list) and value and isinstance(value[0], dict) and "role" in value[0]:
        value = "".join(f"\n  <<{turn['role']}>> {turn['content']}" for turn in value)
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= SHORT else f"{text[:SHORT]} ... ({len(text)} characters)"
