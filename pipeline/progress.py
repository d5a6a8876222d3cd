"""What a person sees while a run is under way: one live line on a terminal, plain lines without, and a file for
`status`. All of it goes to stderr; stdout is data.
"""

import json
import os
import platform
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from pipeline.errors import PipelineError
from pipeline.status import FILE, duration, how_far

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.live import Live

BEAT_SECONDS = 0.25
"""Between two looks at the counts: how often the live line moves."""
FILE_SECONDS = 1.0
"""Least time between two writes of the file while a step runs."""
PLAIN_SECONDS = 10.0
"""Least time between two lines of one step where there is no terminal."""
RATE_SECONDS = 30.0
"""The rate shown is that of this last stretch, so that replies replayed at the start do not flatter it."""


class Progress(Protocol):
    """What a stage or a teacher tells of how far it is; cheap enough to call for every reply."""

    def total(self, count: int) -> None:
        """How many things (problems, training steps, texts) this step will do."""

    def advance(self, count: int = 1) -> None:
        """So many more of them are done."""

    def note(self, **figures: float | str) -> None:
        """Figures to show beside the bar, replacing those of the same name (`tokens`, `cost_usd`, `errors`, ...)."""

    def say(self, line: str) -> None:
        """One line that stays on the screen, for what a person should know."""


class Silent:
    """A `Progress` that shows nothing, for stages that run where nobody looks."""

    def total(self, count: int) -> None:
        """Shows nothing."""

    def advance(self, count: int = 1) -> None:
        """Shows nothing."""

    def note(self, **figures: float | str) -> None:
        """Shows nothing."""

    def say(self, line: str) -> None:
        """Shows nothing."""


class StepProgress:
    """How far one step is: the `Progress` that a display gives out. It only counts, for one thread; another
    draws.

    Args:
        name: the step's name.
        say: prints a line that stays.
    """

    def __init__(self, name: str, say: Callable[[str], None]) -> None:
        self.name = name
        self.say = say
        self.count: int | None = None
        self.done = 0
        self.figures: dict[str, float | str] = {}
        self.outcome: str | None = None
        self.begun = time.monotonic()
        self._marks = deque([(self.begun, 0)])

    def total(self, count: int) -> None:
        """How many things this step will do."""
        self.count = count

    def advance(self, count: int = 1) -> None:
        """So many more of them are done."""
        self.done += count

    def note(self, **figures: float | str) -> None:
        """Figures to show; a whole number is read as a count (`12 errors`), any other as a measure (`loss 0.53`)."""
        self.figures = {**self.figures, **figures}

    def made(self, outcome: str) -> None:
        """What the step came to, for the line that stays: `96 problems -> 768 solutions, 3 dropped`."""
        self.outcome = outcome

    def mark(self, now: float) -> None:
        """Remember the count at this moment, to take the rate from."""
        self._marks.append((now, self.done))
        while len(self._marks) > 2 and self._marks[1][0] <= now - RATE_SECONDS:
            self._marks.popleft()

    def per_second(self, now: float) -> float:
        """The rate of the last stretch; where nothing was done in it, that since the step began."""
        (since, before), done = self._marks[0], self.done
        if done == before:
            since, before = self.begun, 0
        return (done - before) / (now - since) if now > since else 0.0

    def words(self, now: float) -> str:
        """How far it is, in one line."""
        return how_far(self.done, self.count, self.per_second(now), self.figures)


class Display:
    """Shows one run on stderr and writes `<run>/progress.json`.

    with Display(folder) as display:
        display.kept("load")
        with display.step("solve") as progress:
            progress.total(96)

    Args:
        folder: the run's folder.
        console: where lines go; None is stderr.
    """

    def __init__(self, folder: Path, console: "Console | None" = None) -> None:
        from rich.console import Console

        self._folder = folder
        self._console = console or Console(stderr=True)
        self._steps_done: list[str] = []
        self._progress: StepProgress | None = None
        self._live: Live | None = None
        self._written = self._printed = 0.0
        self._started = _now()
        self._state = "running"
        self._why = ""

    @property
    def idle(self) -> Progress:
        """For what happens between steps: its lines are shown, its counts are not."""
        return StepProgress("", self.say)

    def say(self, line: str) -> None:
        """One line that stays on the screen."""
        self._line(line)

    def __enter__(self) -> Self:
        """The run begins."""
        self._write()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """The run is finished, or was stopped by this error."""
        self._state = "stopped" if error is not None else "finished"
        self._why = _why(error) if error is not None else ""
        self._write()

    def kept(self, name: str) -> None:
        """A step that was made before and is kept."""
        self._steps_done.append(name)
        self._line(f"{name}  kept", style="dim")
        self._write()

    @contextmanager
    def step(self, name: str) -> Iterator[StepProgress]:
        """A step that is being made; leaves one line behind."""
        progress = self._progress = StepProgress(name, self._line)
        self._printed = progress.begun
        self._write()
        try:
            with self._drawing(progress):
                yield progress
        except BaseException:
            self._line(f"{name}  stopped: {progress.words(time.monotonic())}", style="red")
            raise
        seconds = time.monotonic() - progress.begun
        outcome = progress.outcome or f"{progress.done:,} done"
        self._line(f"{name}  {outcome}, {duration(seconds)}")
        self._steps_done.append(name)
        self._progress = None
        self._write()

    def beat(self, now: float) -> None:
        """Look at the counts and show what is due; a thread calls it while a step runs.

        Args:
            now: the monotonic clock, seconds.
        """
        progress = self._progress
        if progress is None:
            return
        progress.mark(now)
        if self._live is not None:
            self._live.update(_live_line(progress, now), refresh=True)
        elif now - self._printed >= PLAIN_SECONDS:
            self._printed = now
            self._line(f"{progress.name}  {progress.words(now)}")
        if now - self._written >= FILE_SECONDS:
            self._write()

    @contextmanager
    def _drawing(self, progress: StepProgress) -> Iterator[None]:
        from rich.live import Live

        if self._console.is_terminal:
            line = _live_line(progress, progress.begun)
            # Its own refresh thread would redraw a line that nobody changed; `beat` draws.
            self._live = Live(line, console=self._console, auto_refresh=False, transient=True, redirect_stdout=False)
            self._live.start(refresh=True)
        else:
            self._line(f"{progress.name}  begins")
        ended = threading.Event()
        thread = threading.Thread(target=self._beats, args=(ended,), name="progress", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
            if self._live is not None:
                self._live.stop()
                self._live = None

    def _beats(self, ended: threading.Event) -> None:
        while not ended.wait(BEAT_SECONDS):
            self.beat(time.monotonic())

    def _line(self, text: str, style: str | None = None) -> None:
        self._console.print(text, style=style, markup=False, highlight=False, emoji=False, soft_wrap=True)

    def _write(self) -> None:
        self._written = time.monotonic()
        step = self._progress
        content = {
            "run": self._folder.name,
            "pid": os.getpid(),
            "host": platform.node(),
            "state": self._state,
            "why": self._why,
            "step": step.name if step else None,
            "steps_done": self._steps_done,
            "done": step.done if step else 0,
            "total": step.count if step else None,
            "per_second": step.per_second(self._written) if step else 0.0,
            "figures": step.figures if step else {},
            "started": self._started,
            "updated": _now(),
        }
        part = self._folder / f"{FILE}.part"
        # A full disk is told by those who store what was paid for; a person's view of it may go stale.
        with suppress(OSError):
            part.write_text(json.dumps(content, indent=1), encoding="utf-8")
            part.replace(self._folder / FILE)


def _why(error: BaseException) -> str:
    if isinstance(error, PipelineError):
        return error.fact.splitlines()[0]
    return "interrupted" if isinstance(error, KeyboardInterrupt) else type(error).__name__


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _live_line(progress: StepProgress, now: float) -> "RenderableType":
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    line = Table.grid(padding=(0, 2))
    line.add_column(no_wrap=True)
    line.add_column(width=24)
    line.add_column(no_wrap=True, overflow="ellipsis")
    bar = ProgressBar(
        total=progress.count,
        completed=progress.done,
        pulse=progress.count is None,
        complete_style="blue",
        finished_style="blue",
        pulse_style="blue",
    )
    line.add_row(Text(progress.name, style="bold"), bar, Text(progress.words(now), overflow="ellipsis", no_wrap=True))
    return line
