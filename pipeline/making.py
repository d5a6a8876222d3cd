"""Run one stage into a folder, and hold it to its books: what entered is carried on or dropped, over ids."""

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

from pipeline.errors import StageError
from pipeline.recipe import Step
from pipeline.record import Counts
from pipeline.rows import Dropped
from pipeline.stage import Rows, Work


def make_rows(step: Step, rows: Rows[Any], work: Work, folder: Path) -> Counts:
    """Run the stage into `rows.jsonl` and `dropped.jsonl`.

    Raises:
        StageError: nothing was carried on.
        RuntimeError: the stage lost a row, or made one of a row that did not enter: a bug in the stage.
    """
    entered = {row.id for row in rows} if step.rows else set()
    left: set[str] = set()
    lost: set[str] = set()
    gone: set[str] = set()
    written: set[str] = set()
    reasons: Counter[str] = Counter()
    with (folder / "rows.jsonl").open("wb") as kept, (folder / "dropped.jsonl").open("wb") as dropped:
        for row in step.stage.run(rows, work):
            line = json.dumps(row.model_dump(mode="json"), ensure_ascii=False).encode() + b"\n"
            if isinstance(row, Dropped):
                dropped.write(line)
                reasons[row.reason] += 1
                lost.add(row.id if row.id in entered else row.parent or row.id)
                gone.update({row.id} & entered)
                continue
            if row.id in written:
                raise RuntimeError(f"step {step.name!r} wrote two rows with the id {row.id!r}")
            kept.write(line)
            written.add(row.id)
            left.add(row.id if row.id in entered else row.parent or row.id)
        for file in (kept, dropped):
            file.flush()
            os.fsync(file.fileno())
    if step.rows:
        _reconcile(step.name, entered, left, lost, gone)
    if not written and not step.stage.may_be_empty:
        raise StageError(
            f"step {step.name!r} carried none of {len(entered)} rows on: {_told(reasons)}",
            f"python -m pipeline show {step.name} --run {folder.parent.name} --dropped {reasons.most_common(1)[0][0]}"
            if reasons
            else None,
        )
    return Counts(
        entered=len(entered), carried=len(left & entered), written=len(written), dropped=dict(sorted(reasons.items()))
    )


def _reconcile(name: str, entered: set[str], left: set[str], lost: set[str], gone: set[str]) -> None:
    if strangers := (left | lost) - entered:
        raise RuntimeError(f"step {name!r} made rows of {min(strangers)!r}, which did not enter")
    if vanished := entered - left - lost:
        raise RuntimeError(f"step {name!r} lost {len(vanished)} rows without a reason, {min(vanished)!r} first")
    if both := gone & left:
        raise RuntimeError(f"step {name!r} dropped {min(both)!r} and carried it on")


def _told(reasons: Counter[str]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in reasons.most_common()) or "none entered"
