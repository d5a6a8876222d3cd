"""Checks that may hang or go wrong, made in a process that can be killed.

Comparing two expressions, or scoring by a generator's own rules, can take for ever on a few characters. So it is done
by a second process (`symbolic_process.py`), started at the first such check and used for all; a check that meets the
time limit costs itself and a new process, nothing else.
"""

import atexit
import json
import os
import select
import subprocess
import sys
import threading
from functools import cache
from pathlib import Path
from typing import Any

from pipeline.errors import StageError

TIME_LIMIT_SECONDS = 5.0
"""For one check."""
START_LIMIT_SECONDS = 120.0
"""For loading what a check needs, once a process."""
PROGRAM = Path(__file__).with_name("symbolic_process.py")


class SymbolicProcess:
    """A second process that makes one check at a time."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._loaded: set[str] = set()
        self._lock = threading.Lock()

    def check(self, library: str, *question: Any) -> bool | None:
        """The answer to a question of the process; None where it met the time limit or broke the process.

        Args:
            library: what the check needs, `math_verify` or `reasoning_gym`.
            question: the check's name and its arguments, as JSON.

        Raises:
            StageError: the library cannot be loaded.
        """
        with self._lock:
            if self._process is None or self._process.poll() is not None:
                self._start()
            if library not in self._loaded:
                self._load(library)
            answer = self._asked(question, TIME_LIMIT_SECONDS)
            return None if answer is None else bool(answer["value"])

    def close(self) -> None:
        """End the process; the next check starts another."""
        if self._process is None:
            return
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._process = None

    def _start(self) -> None:
        self.close()
        self._loaded = set()
        self._process = subprocess.Popen(
            # -P keeps our modules' names from standing before those of the standard library.
            [sys.executable, "-P", "-W", "ignore", str(PROGRAM)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for the run to answer
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        )

    def _load(self, library: str) -> None:
        answer = self._asked(("load", library), START_LIMIT_SECONDS)
        fault = "it ended" if answer is None else answer.get("error")
        if fault:
            raise StageError(f"answers cannot be checked: {library} does not load: {fault}", f"pip install {library}")
        self._loaded.add(library)

    def _asked(self, question: tuple[Any, ...], limit_seconds: float) -> dict[str, Any] | None:
        assert self._process is not None and self._process.stdin is not None and self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(question).encode() + b"\n")
            self._process.stdin.flush()
            ready, _, _ = select.select([self._process.stdout], [], [], limit_seconds)
            line = self._process.stdout.readline() if ready else b""
        except BrokenPipeError:
            line = b""
        if not line:
            self.close()
            return None
        answer: dict[str, Any] = json.loads(line)
        return answer


@cache
def shared_process() -> SymbolicProcess:
    """The process that all checks of this program share."""
    process = SymbolicProcess()
    atexit.register(process.close)
    return process
