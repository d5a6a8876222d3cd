"""What `python -m pipeline ledger` does: tells what was asked and what it cost, and moves it between ledgers."""

import contextlib
import json
import os
import re
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

from rich.console import Console
from rich.table import Table

from pipeline.choices import RUN_NAME, TeacherChoice, load
from pipeline.errors import UsageError
from pipeline.lock import hold
from pipeline.status import size
from pipeline.teacher.accounts import Books, Totals
from pipeline.teacher.keys import Teacher
from pipeline.teacher.ledger.exporting import exported
from pipeline.teacher.ledger.importing import import_file
from pipeline.teacher.ledger.ledger import Ledger
from pipeline.teacher.ledger.settling import release

COLUMNS = ("requests", "samples", "tokens", "cost", "maybe billed", "cut", "asked again", "failed", "stored")


def print_stats(outputs: Path, run: str | None, config: Path | None = None) -> None:
    """Print a table on stdout, one row a run and teacher.

    Args:
        outputs: folder of the ledger and of all runs.
        run: this run alone; None tells of all.
        config: choices with the names and prices to tell it in; else those of the runs.
    """
    chosen = _chosen(outputs)
    meant = load(config, {}, []).teachers if config else {}
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("run", overflow="fold")
    table.add_column("teacher", overflow="fold")
    for column in COLUMNS:
        table.add_column(column, justify="right")
    with _opened(outputs) as ledger, _idle(outputs) as is_idle:
        for name in _runs(ledger, run):
            for teacher, totals in _books(ledger, name, chosen, meant).totals(is_idle).items():
                table.add_row(name, teacher, *_cells(totals))
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 200  # a file has no edge to fold at
    console.print(table)


def settle(outputs: Path, run: str | None) -> None:
    """Release the requests that may have been billed, and say which those were."""
    with _opened(outputs) as ledger:
        _runs(ledger, run)
        with _locked(outputs, "ledger settle"):
            released = release(ledger, run)
        for one in released:
            print(
                f"released {one.requests:,} requests of run {one.run}, step {one.step}, to {one.model}: at most "
                f"{one.tokens:,} tokens"
            )
    if not released:
        print("nothing to release: no request may have been billed without an answer")


def export(outputs: Path, file: Path, run: str | None) -> None:
    """Write the ledger's samples to a file of JSON lines, whole or not at all."""
    if not file.parent.is_dir():
        raise UsageError(f"no folder {file.parent}", f"mkdir -p {file.parent}")
    part = file.with_name(f"{file.name}.part")
    samples = 0
    with _opened(outputs) as ledger, _locked(outputs, "ledger export"):
        _runs(ledger, run)
        chosen = _chosen(outputs)
        books = cache(lambda name: _books(ledger, name, chosen))
        with part.open("wb") as lines:
            for line in exported(ledger, books, run):
                samples += "key" in line
                # What a text holds of halves of characters stays an escape.
                lines.write(json.dumps(line, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n")
            lines.flush()
            os.fsync(lines.fileno())
        part.replace(file)
    print(f"{file}: {samples:,} samples")


def import_(outputs: Path, file: Path, prefix: str) -> None:
    """Add to the ledger what a file holds and it lacks."""
    if not file.is_file():
        raise UsageError(f"no file {file}", "give one that `python -m pipeline ledger export FILE` wrote")
    if prefix and not re.match(RUN_NAME, prefix):
        raise UsageError(f"--prefix {prefix!r} begins no name of a run", "take letters and digits, then . _ or -")
    with Ledger(outputs / "ledger.sqlite") as ledger, _locked(outputs, "ledger import"):
        added = import_file(ledger, file, prefix)
    print(
        f"{added.requests:,} requests and {added.samples:,} samples added; {added.there:,} requests were there already"
    )


def _cells(totals: Totals) -> list[str]:
    """One row of the table, after run and teacher."""
    maybe = totals.maybe_billed + totals.lost
    return [
        f"{totals.requests:,}",
        f"{totals.samples:,}",
        f"{totals.prompt_tokens + totals.completion_tokens:,}",
        _usd(totals.cost_usd),
        f"{maybe:,}, at most {_usd(totals.maybe_usd)}" if maybe else "0",
        f"{totals.cut:,}, {_usd(totals.cut_usd)}" if totals.cut else "0",
        f"{totals.again:,}, {_usd(totals.again_usd)}" if totals.again else "0",
        f"{totals.failed:,}",
        size(totals.bytes),
    ]


def _usd(cost_usd: float | None) -> str:
    if cost_usd is None:
        return "$?"
    return f"${cost_usd:,.2f}" if cost_usd >= 1 or cost_usd == 0 else f"${cost_usd:,.4f}"


@contextlib.contextmanager
def _opened(outputs: Path) -> Iterator[Ledger]:
    path = outputs / "ledger.sqlite"
    if not path.is_file():
        raise UsageError(f"no ledger at {path}", "run this where `outputs` is, after something was asked")
    with Ledger(path) as ledger:
        yield ledger


def _locked(outputs: Path, what: str) -> contextlib.AbstractContextManager[None]:
    """No step asks meanwhile; one that does so now is waited for."""
    return hold(outputs / "ledger.lock", what, lambda holder: print(f"waiting for {holder}", file=sys.stderr))


@contextlib.contextmanager
def _idle(outputs: Path) -> Iterator[bool]:
    """Whether no step asks; where none does, none begins meanwhile."""
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(hold(outputs / "ledger.lock", "ledger stats"))
            is_idle = True
        except UsageError:
            is_idle = False
        yield is_idle


def _runs(ledger: Ledger, run: str | None) -> list[str]:
    """The runs that asked, in the order in which they began, or the one that is meant."""
    runs = [name for (name,) in ledger.rows("SELECT run FROM requests GROUP BY run ORDER BY MIN(id)")]
    if run is None:
        return runs
    if run not in runs:
        raise UsageError(f"no run {run!r} in {ledger.path}", f"one of: {', '.join(runs)}" if runs else None)
    return [run]


def _chosen(outputs: Path) -> dict[str, dict[str, TeacherChoice]]:
    """The teachers of each run, as it was begun with them, where its choices are still there."""
    chosen: dict[str, dict[str, TeacherChoice]] = {}
    for path in sorted(outputs.glob("*/run.json")):
        with contextlib.suppress(OSError, ValueError, KeyError):
            teachers = json.loads(path.read_text(encoding="utf-8"))["choices"]["teachers"]
            chosen[path.parent.name] = {name: TeacherChoice.model_validate(choice) for name, choice in teachers.items()}
    return chosen


def _books(
    ledger: Ledger,
    run: str,
    chosen: Mapping[str, Mapping[str, TeacherChoice]],
    meant: Mapping[str, TeacherChoice] | None = None,
) -> Books:
    """The run's books, at the prices that are meant, else at its own, else at those of any run with this teacher."""
    teachers: dict[str, Teacher] = {}
    for source, choices in [("", meant or {}), (run, chosen.get(run, {})), *chosen.items()]:
        for name, choice in choices.items():
            told = f"{name} of {source}" if name in teachers else name
            teachers.setdefault(told, Teacher(told, choice, Path()))
    return Books(ledger, run, teachers)
