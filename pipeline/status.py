"""The progress file of a run, read: what `python -m pipeline status` says in a second terminal, and the words for
how far a step is.
"""

import json
import os
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipeline.errors import UsageError

FILE = "progress.json"
SILENT_SECONDS = 60.0
"""A live process that wrote nothing for so long is reported as silent."""


def status_text(run_folder: Path) -> str:
    """In words: whether the run is under way, finished, stopped or dead, and how far it is.

    Raises:
        UsageError: there are runs, but none of this name.
    """
    try:
        state = json.loads((run_folder / FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        _check_name(run_folder)
        return f"{run_folder.name}: nothing was run yet (no {run_folder / FILE})"
    lines = [f"{state['run']}: {_condition(state)}"]
    done = [name for name in state["steps_done"] if (run_folder / name).is_dir()]
    gone = [name for name in state["steps_done"] if name not in done]
    if done:
        lines.append(f"  done     {', '.join(done)}")
    if gone:
        lines.append(f"  removed  {', '.join(gone)}")
    if state["step"]:
        far = how_far(state["done"], state["total"], state["per_second"], state["figures"])
        lines.append(f"  {'at' if state['state'] == 'running' else 'ended at':<8} {state['step']}: {far}")
    ahead = [name for name in _step_names(run_folder) if name not in (*state["steps_done"], state["step"])]
    if ahead and state["state"] != "finished":
        lines.append(f"  to come  {', '.join(ahead)}")
    return "\n".join(lines)


def duration(seconds: float) -> str:
    """`0.4 s`, `41 s`, `3 min 20 s`, `2 h 05 min`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


def size(count: float) -> str:
    """Bytes in the unit that suits them: `3 kB`, `12 MB`, `1.4 GB`."""
    for unit in ("kB", "MB"):
        count /= 1000
        if count < 1000:
            return f"{count:,.0f} {unit}"
    return f"{count / 1000:,.1f} GB"


def how_far(done: int, count: int | None, per_second: float, figures: Mapping[str, float | str]) -> str:
    """`312 of 768, 4.9/s, 12,345 tokens written, $0.0213, 1 min 33 s left`; counts of nothing are left out."""
    parts = [f"{done:,} of {count:,}" if count is not None else f"{done:,} done"]
    if per_second > 0:
        parts.append(_rate(per_second))
    parts += [text for name, value in figures.items() if (text := _figure(name, value))]
    if count is not None and per_second > 0 and done < count:
        parts.append(f"{duration((count - done) / per_second)} left")
    return ", ".join(parts)


def _check_name(run_folder: Path) -> None:
    runs = sorted(path.parent.name for path in run_folder.parent.glob(f"*/{FILE}"))
    if runs and not run_folder.is_dir():
        raise UsageError(f"no run {run_folder.name!r} in {run_folder.parent}", f"one of: {', '.join(runs)}")


def _condition(state: Mapping[str, Any]) -> str:
    started, updated = (datetime.fromisoformat(state[key]) for key in ("started", "updated"))
    silent_seconds = (datetime.now(UTC) - updated).total_seconds()
    where = f"process {state['pid']} on {state['host']}"
    if state["state"] == "finished":
        return f"finished after {duration((updated - started).total_seconds())}"
    if state["state"] == "stopped":
        return f"stopped: {state['why']}"
    if state["host"] == platform.node() and not _alive(state["pid"]):
        return f"died {duration(silent_seconds)} ago ({where} is gone); the same command goes on, paid replies are kept"
    if silent_seconds > SILENT_SECONDS:
        return f"silent for {duration(silent_seconds)} ({where}): it hangs, or ended without a word"
    return f"under way for {duration(silent_seconds + (updated - started).total_seconds())} ({where})"


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _step_names(run_folder: Path) -> list[str]:
    try:
        about = json.loads((run_folder / "run.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return []
    return [step["name"] for step in about.get("steps", [])]


def _rate(per_second: float) -> str:
    for factor, unit in ((1, "s"), (60, "min")):
        if per_second * factor >= 1:
            return f"{per_second * factor:.3g}/{unit}" if per_second * factor < 1000 else f"{per_second:,.0f}/s"
    return f"{per_second * 3600:.2g}/h"


def _figure(name: str, value: float | str) -> str:
    label = {"tokens": "tokens written", "cost_usd": "cost"}.get(name, name.replace("_", " "))
    if name == "cost_usd" and not isinstance(value, str):
        return f"${value:,.{2 if value >= 1 else 4}f}" if value else ""
    if isinstance(value, int):
        return f"{value:,} {label.removesuffix('s') if value == 1 else label}" if value else ""
    return f"{label} {value:.4g}" if isinstance(value, float) else f"{label} {value}"
