"""Run one stage into a folder, and hold it to its books: what entered is carried on or dropped, over ids."""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from pipeline.errors import StageError
from pipeline.jsonl import StoredRows, identities
from pipeline.recipe import Step
from pipeline.record import Counts
from pipeline.rows import Dropped, Row
from pipeline.stage import Rows, Work

ENTERED, CARRIED, LOST, GONE, WRITTEN = 1, 2, 4, 8, 16
"""Marks of an id: it entered; a row of it was carried on, or was dropped; it was dropped itself; it was written."""


def make_rows(step: Step, rows: Rows[Any], work: Work, folder: Path) -> Counts:
    """Run the stage into `rows.jsonl` and `dropped.jsonl`.

    Raises:
        StageError: nothing was carried on.
        RuntimeError: the stage lost a row, or made one of a row that did not enter: a bug in the stage.
    """
    roll = Roll(step.name, _ids(rows) if step.rows else ())
    reasons: Counter[str] = Counter()
    with (folder / "rows.jsonl").open("wb") as kept, (folder / "dropped.jsonl").open("wb") as dropped:
        for row in step.stage.run(rows, work):
            line = row.model_dump_json().encode() + b"\n"
            if isinstance(row, Dropped):
                roll.drop(row)
                reasons[row.reason] += 1
                dropped.write(line)
            else:
                roll.carry(row)
                kept.write(line)
        for file in (kept, dropped):
            file.flush()
            os.fsync(file.fileno())
    if step.rows:
        roll.reconcile()
    if not roll.written and not (step.stage.may_be_empty or step.may_be_empty):
        entered = roll.entered if step.rows else reasons.total()
        raise StageError(
            f"step {step.name!r} carried none of {entered} rows on: {_told(reasons)}",
            f"python -m pipeline show {_where_lost(step, reasons)} --run {folder.parent.name}",
        )
    return Counts(
        entered=roll.entered, carried=roll.carried, written=roll.written, dropped=dict(sorted(reasons.items()))
    )


class Roll:
    """What becomes of each id in one step: a few marks an id, so that a million of them take 200 MB.

    Args:
        name: the step's name.
        entered: ids of the rows that enter.
    """

    def __init__(self, name: str, entered: Iterable[str]) -> None:
        self.name = name
        self._marks = dict.fromkeys(entered, ENTERED)
        self.entered = len(self._marks)
        self.written = 0

    @property
    def carried(self) -> int:
        """How many that entered left as themselves or as children."""
        return sum(marks & (ENTERED | CARRIED) == ENTERED | CARRIED for marks in self._marks.values())

    def carry(self, row: Row) -> None:
        """Take note of a row that is written."""
        if self._marks.get(row.id, 0) & WRITTEN:
            raise RuntimeError(f"step {self.name!r} wrote two rows with the id {row.id!r}")
        self.written += 1
        self._mark(self._origin(row), CARRIED)
        self._mark(row.id, WRITTEN)

    def drop(self, row: Dropped) -> None:
        """Take note of a row that is dropped, or of a child that was not made."""
        self._mark(self._origin(row), LOST)
        if self._marks.get(row.id, 0) & ENTERED:
            self._mark(row.id, GONE)

    def reconcile(self) -> None:
        """Hold the step to carried on + dropped = entered, over ids.

        Raises:
            RuntimeError: with the first id that does not fit.
        """
        if strangers := self._with(lambda marks: marks & (CARRIED | LOST) and not marks & ENTERED):
            raise RuntimeError(f"step {self.name!r} made rows of {min(strangers)!r}, which did not enter")
        if vanished := self._with(lambda marks: marks & ENTERED and not marks & (CARRIED | LOST)):
            raise RuntimeError(
                f"step {self.name!r} lost {len(vanished)} rows without a reason, {min(vanished)!r} first"
            )
        if both := self._with(lambda marks: marks & GONE and marks & CARRIED):
            raise RuntimeError(f"step {self.name!r} dropped {min(both)!r} and carried it on")

    def _with(self, is_meant: Callable[[int], object]) -> list[str]:
        return [name for name, marks in self._marks.items() if is_meant(marks)]

    def _origin(self, row: Row | Dropped) -> str:
        """The id that entered, of which this row was made."""
        return row.id if self._marks.get(row.id, 0) & ENTERED else row.parent or row.id

    def _mark(self, name: str, mark: int) -> None:
        self._marks[name] = self._marks.get(name, 0) | mark


def _ids(rows: Rows[Any]) -> Iterator[str]:
    if isinstance(rows, StoredRows):
        return (name for path in rows.paths for name, *_ in identities(path))
    return (row.id for row in rows)


def _where_lost(step: Step, reasons: Counter[str]) -> str:
    """The step and the reason that show what became of the rows: where none entered, those of the step before."""
    if reasons:
        return f"{step.name} --dropped {reasons.most_common(1)[0][0]}"
    return f"{step.rows[0]} --dropped all" if step.rows else step.name


def _told(reasons: Counter[str]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in reasons.most_common()) or "none entered"
