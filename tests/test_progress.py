"""Progress on a screen, in plain lines and in the file that `status` reads."""

import io
import json
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from rich.console import Console

from pipeline.errors import StageError, UsageError
from pipeline.progress import PLAIN_SECONDS, RATE_SECONDS, Display, StepProgress
from pipeline.status import FILE, duration, how_far, size, status_text


def display(folder: Path, terminal: bool = False) -> tuple[Display, io.StringIO]:
    screen = io.StringIO()
    return Display(folder, Console(file=screen, force_terminal=terminal, width=100, color_system=None)), screen


def state(folder: Path, **over: object) -> None:
    """A progress file as a run of this machine leaves it."""
    now = datetime.now(UTC)
    content = {
        "run": folder.name,
        "pid": os.getpid(),
        "host": platform.node(),
        "state": "running",
        "why": "",
        "step": "solve",
        "steps_done": ["load"],
        "done": 312,
        "total": 768,
        "per_second": 4.0,
        "figures": {"tokens": 12345, "cost_usd": 0.02},
        "started": (now - timedelta(seconds=200)).isoformat(),
        "updated": now.isoformat(),
    }
    (folder / FILE).write_text(json.dumps({**content, **over}), encoding="utf-8")


def dead_process() -> int:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


def test_without_a_terminal_a_step_says_when_it_begins_how_far_it_is_every_ten_seconds_and_what_it_came_to(
    tmp_path: Path,
) -> None:
    shown, screen = display(tmp_path)
    with shown:
        shown.kept("load")
        with shown.step("solve") as progress:
            progress.total(96)
            progress.advance(24)
            progress.note(tokens=12345, errors=0)
            begun = progress.begun
            for seconds in (1, PLAIN_SECONDS, PLAIN_SECONDS + 1, 2 * PLAIN_SECONDS):
                shown.beat(begun + seconds)
            progress.made("96 problems -> 768 solutions, 3 dropped")
    lines = screen.getvalue().splitlines()
    assert lines[:4] == [
        "load  kept",
        "solve  begins",
        "solve  24 of 96, 2.4/s, 12,345 tokens written, 30 s left",
        "solve  24 of 96, 1.2/s, 12,345 tokens written, 1 min 00 s left",
    ]
    assert lines[4].startswith("solve  96 problems -> 768 solutions, 3 dropped, ")
    assert len(lines) == 5


def test_on_a_terminal_a_step_leaves_one_line_behind(tmp_path: Path) -> None:
    shown, screen = display(tmp_path, terminal=True)
    with shown, shown.step("solve") as progress:
        progress.total(96)
        progress.advance(96)
        shown.beat(progress.begun + 8)
    assert "96 of 96, 12/s" in screen.getvalue()
    assert "solve  96 done, " in screen.getvalue().splitlines()[-1]


def test_a_line_is_shown_as_it_is_whatever_markup_it_holds(tmp_path: Path) -> None:
    shown, screen = display(tmp_path)
    line = "[bold]not bold[/bold] :smile: " + "long " * 40
    with shown, shown.step("solve") as progress:
        progress.say(line)
    assert line in screen.getvalue().splitlines()


def test_nothing_is_written_to_stdout(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Display(tmp_path) as shown, shown.step("solve") as progress:
        progress.say("told")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "told" in captured.err


def test_the_rate_is_that_of_the_last_stretch_so_replayed_replies_do_not_flatter_it() -> None:
    progress = StepProgress("solve", print)
    progress.advance(1000)
    for second in range(1, 101):
        progress.advance(2)
        progress.mark(progress.begun + second)
    assert progress.per_second(progress.begun + 100) == pytest.approx(2)
    for second in range(101, 200):
        progress.mark(progress.begun + second)
    assert RATE_SECONDS < 99
    assert progress.per_second(progress.begun + 200) == pytest.approx(1200 / 200)


@pytest.mark.parametrize(
    ("done", "count", "per_second", "figures", "words"),
    [
        (0, None, 0.0, {}, "0 done"),
        (0, 768, 0.0, {"errors": 0, "cost_usd": 0.0}, "0 of 768"),
        (312, 768, 4.9, {"cost_usd": 0.0213}, "312 of 768, 4.9/s, $0.0213, 1 min 33 s left"),
        (5, 10, 0.1, {"loss": 0.53124, "errors": 1}, "5 of 10, 6/min, loss 0.5312, 1 error, 50 s left"),
        (3, 4, 0.0, {"cost_usd": "unknown", "in_flight": 1}, "3 of 4, cost unknown, 1 in flight"),
        (768, 768, 1234.5, {"model": "student"}, "768 of 768, 1,234/s, model student"),
        (1, 4, 0.001, {"cost_usd": 12.5}, "1 of 4, 3.6/h, $12.50, 50 min 00 s left"),
    ],
)
def test_how_far_a_step_is_in_words(
    done: int, count: int | None, per_second: float, figures: dict[str, float | str], words: str
) -> None:
    assert how_far(done, count, per_second, figures) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.44, "0.4 s"),
        (9.97, "10 s"),
        (59.6, "1 min 00 s"),
        (200, "3 min 20 s"),
        (3599.7, "1 h 00 min"),
        (7500, "2 h 05 min"),
    ],
)
def test_a_duration_in_words(seconds: float, words: str) -> None:
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("count", "words"), [(300, "0 kB"), (3_210, "3 kB"), (12e6, "12 MB"), (1.44e9, "1.4 GB"), (2.5e12, "2,500.0 GB")]
)
def test_a_size_in_words(count: float, words: str) -> None:
    assert size(count) == words


def test_status_of_a_run_under_way(tmp_path: Path) -> None:
    state(tmp_path)
    (tmp_path / "load").mkdir()
    steps = [{"name": name, "stage": name} for name in ("load", "solve", "check", "train")]
    (tmp_path / "run.json").write_text(json.dumps({"steps": steps}), encoding="utf-8")
    first, *rest = status_text(tmp_path).splitlines()
    assert first.startswith(f"{tmp_path.name}: under way for 3 min 2")
    assert rest == [
        "  done     load",
        "  at       solve: 312 of 768, 4/s, 12,345 tokens written, $0.0200, 1 min 54 s left",
        "  to come  check, train",
    ]


def test_status_of_a_run_whose_process_is_gone(tmp_path: Path) -> None:
    state(tmp_path, pid=dead_process())
    assert "died" in status_text(tmp_path).splitlines()[0]
    assert "solve: 312 of 768" in status_text(tmp_path)


def test_a_process_on_another_machine_is_not_taken_for_dead(tmp_path: Path) -> None:
    state(tmp_path, pid=dead_process(), host="elsewhere")
    assert "under way" in status_text(tmp_path)
    assert "elsewhere" in status_text(tmp_path)


def test_status_of_a_run_that_says_nothing_any_more(tmp_path: Path) -> None:
    state(tmp_path, updated=(datetime.now(UTC) - timedelta(minutes=5)).isoformat())
    assert f"{tmp_path.name}: silent for 5 min" in status_text(tmp_path)


def test_status_of_a_finished_run(tmp_path: Path) -> None:
    shown, _ = display(tmp_path)
    with shown, shown.step("solve") as progress:
        progress.advance(3)
    assert status_text(tmp_path).splitlines()[0].startswith(f"{tmp_path.name}: finished after ")
    assert status_text(tmp_path).splitlines()[1:] == ["  removed  solve"]
    (tmp_path / "solve").mkdir()
    assert status_text(tmp_path).splitlines()[1:] == ["  done     solve"]


def test_status_of_a_run_that_an_error_ended_names_the_error_and_the_step(tmp_path: Path) -> None:
    shown, screen = display(tmp_path)
    with pytest.raises(StageError), shown, shown.step("check") as progress:
        progress.total(9)
        progress.advance(4)
        raise StageError("nothing left\nat all", "look")
    assert screen.getvalue().splitlines()[-1].startswith("check  stopped: 4 of 9")
    assert status_text(tmp_path).splitlines()[0] == f"{tmp_path.name}: stopped: nothing left"
    assert status_text(tmp_path).splitlines()[1].startswith("  ended at check: 4 of 9")


def test_status_of_a_run_that_never_began(tmp_path: Path) -> None:
    assert "nothing was run yet" in status_text(tmp_path / "first")
    for name in ("first", "two", "one"):
        (tmp_path / name).mkdir()
    state(tmp_path / "two")
    state(tmp_path / "one")
    assert "nothing was run yet" in status_text(tmp_path / "first")
    with pytest.raises(UsageError) as told:
        status_text(tmp_path / "tow")
    assert (told.value.fact, told.value.hint) == (f"no run 'tow' in {tmp_path}", "one of: one, two")


def test_the_file_is_fresh_while_a_step_runs(tmp_path: Path) -> None:
    shown, _ = display(tmp_path)
    with shown, shown.step("solve") as progress:
        before = json.loads((tmp_path / FILE).read_text(encoding="utf-8"))
        progress.total(10)
        progress.advance(7)
        shown.beat(progress.begun + 60)
        after = json.loads((tmp_path / FILE).read_text(encoding="utf-8"))
    assert (before["step"], before["done"], after["done"], after["total"]) == ("solve", 0, 7, 10)


def test_a_full_disk_does_not_end_a_run_for_its_progress_file(tmp_path: Path) -> None:
    shown, screen = display(tmp_path / "no such folder")
    with shown, shown.step("solve") as progress:
        progress.advance()
    assert "solve  1 done" in screen.getvalue()
