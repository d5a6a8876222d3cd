"""Processes that ask and are killed: at a step of their event loop, or whenever the test likes."""

import itertools
import multiprocessing
import os
import signal
from asyncio.base_events import BaseEventLoop
from collections.abc import Callable
from pathlib import Path
from typing import Any

Make = Callable[[Path, str], Callable[[], object]]
"""Gives, for a folder and a teacher's address, what a process is to do."""


def work(make: Make, folder: Path, base_url: str, last_step: int | None, told: Any) -> None:
    """Do it in a process of its own, which dies before the event loop's step of that number; tells how many it took."""
    steps = itertools.count()
    step = BaseEventLoop._run_once  # type: ignore[attr-defined]

    def counted(loop: BaseEventLoop) -> None:
        if next(steps) == last_step:
            os.kill(os.getpid(), signal.SIGKILL)
        step(loop)

    BaseEventLoop._run_once = counted  # type: ignore[attr-defined]
    told.send("begun")
    make(folder, base_url)()
    told.send(next(steps))


class Processes:
    """Starts them quickly, from a process that has the heavy imports behind it."""

    def __init__(self, module: str) -> None:
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload([module, "openai", "pipeline.teacher.asking"])

    def start(self, make: Make, folder: Path, base_url: str, last_step: int | None = None) -> tuple[Any, Any]:
        """A process that has begun, and the end of a pipe that tells how many steps it took."""
        told, tell = self._context.Pipe(duplex=False)
        process = self._context.Process(target=work, args=(make, folder, base_url, last_step, tell))
        process.start()
        assert told.recv() == "begun"
        return process, told
