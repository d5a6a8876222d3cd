"""Workers that can be killed: checks that may hang are made by other processes, under hard limits.

A check that meets its limit of time or memory costs itself and a new worker, nothing else. The processes are held by
a program of ours (`pool.py`), begun at the first check that needs one, so this works from any caller: a script without
`if __name__ == "__main__"`, a thread, a notebook, a process with torch in it. They end when this process ends, however.
"""

import atexit
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from typing import Any, cast

from pipeline.answers import own
from pipeline.answers.worker import Check
from pipeline.errors import StageError
from pipeline.rows import Outcome

LIMIT_SECONDS = 5.0
"""Processor time of one check; one that waits may take `pool.PATIENCE` times this by the clock."""
LOAD_SECONDS = 120
"""Longest time for loading what the checks need."""
MOST_LOSSES = 2
"""Times that a chunk is asked again because the program that held it ended."""
PROGRAM = """
import json, sys
sys.path[:], arguments = json.loads(sys.argv[1])
from pipeline.answers.pool import main
main(*arguments)
"""


@dataclass(frozen=True)
class Chunk:
    """Checks that one worker makes, one after another."""

    checks: Sequence[Check]
    outcomes: "Sequence[Future[Outcome]]"
    losses: int = 0


@dataclass(frozen=True)
class Program:
    """The program that holds the workers, and our end of the socket to it."""

    process: "subprocess.Popen[bytes]"
    door: socket.socket
    asked: dict[int, Chunk] = field(default_factory=dict)
    """What it has not answered yet."""
    owner: int = field(default_factory=os.getpid)
    """The process that began it; one that was forked from that leaves it alone."""

    def messages(self) -> Iterator[dict[str, Any]]:
        """What it says, until it ends."""
        with suppress(ConnectionError), self.door.makefile("rb") as lines:
            yield from map(json.loads, lines)

    def end(self) -> None:
        """End it and all that it started."""
        if self.owner != os.getpid():
            return
        if self.process.returncode is None:  # nobody waited for it, so the number is still its own
            with suppress(OSError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self.door.close()


class Workers:
    """The worker processes of one library.

    Args:
        library: what they load: `math_verify`, `reasoning_gym`, or `python` for a function of the user's own.
        source: the address of that function, with its whole path.
        size: processes.
    """

    def __init__(self, library: str, source: str = "", size: int = 1) -> None:
        self._library, self._source, self._size = library, source, size
        self._program: Program | None = None
        self._numbers = count()
        self._lock = threading.RLock()
        atexit.register(self.close)

    def ask(self, checks: Sequence[Check]) -> "list[Future[Outcome]]":
        """Have one worker make these checks; those that meet a limit, each alone, are unverifiable.

        The outcomes raise StageError where what the checks need cannot be loaded.
        """
        chunk = Chunk(checks, [Future() for _ in checks])
        self._send(chunk)
        return list(chunk.outcomes)

    def close(self) -> None:
        """End the processes; what they were asked is cancelled, and the next check starts others."""
        with self._lock:
            program, self._program = self._program, None
            if program is None:
                return
            chunks = [program.asked.pop(number) for number in list(program.asked)]
            program.end()
        for chunk in chunks:
            for outcome in chunk.outcomes:
                outcome.cancel()

    def _send(self, chunk: Chunk) -> None:
        with self._lock:
            if self._program is None:
                self._program = self._started()
            number = next(self._numbers)
            self._program.asked[number] = chunk
            message = json.dumps({"number": number, "checks": chunk.checks})
            with suppress(OSError):  # it ended: the thread that reads its answers will ask again
                self._program.door.sendall(message.encode() + b"\n")

    def _started(self) -> Program:
        ours, theirs = socket.socketpair()
        with theirs:
            arguments = [theirs.fileno(), self._library, self._source, self._size, LIMIT_SECONDS, LOAD_SECONDS]
            process = subprocess.Popen(
                # -P keeps the working folder's names from standing before those of the standard library.
                [sys.executable, "-P", "-W", "ignore", "-c", PROGRAM, json.dumps([sys.path, arguments])],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # Ctrl-C is for the run to answer, and the group is ended as a whole
                # Equal hashes give equal orders of terms, so all workers agree.
                env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "PYTHONHASHSEED": "0"},
            )
        program = Program(process, ours)
        threading.Thread(target=self._read, args=[program], daemon=True, name=f"{self._library} workers").start()
        return program

    def _read(self, program: Program) -> None:
        """Hand out the program's answers until it ends."""
        fault: StageError | None = StageError(
            f"answers cannot be checked: what loads {self._source or self._library} ended"
        )
        try:
            for message in program.messages():
                if "fact" in message:
                    fault = StageError(**message) if message["fact"] else None
                elif (chunk := program.asked.pop(message["number"], None)) is not None:
                    self._answered(chunk, message["outcomes"])
        finally:
            self._ended(program, fault)

    def _ended(self, program: Program, fault: StageError | None) -> None:
        """Ask again what is left open; where nothing could be loaded, say so instead."""
        with self._lock:
            if self._program is not program:
                return  # it was closed
            self._program = None
            program.end()
        for chunk in program.asked.values():
            if fault is None and chunk.losses < MOST_LOSSES:
                self._send(Chunk(chunk.checks, chunk.outcomes, chunk.losses + 1))
                continue
            for future in chunk.outcomes:
                if fault is None:
                    future.set_result("unverifiable")
                else:
                    future.set_exception(fault)

    def _answered(self, chunk: Chunk, outcomes: list[str] | None) -> None:
        if outcomes is None and len(chunk.checks) > 1:
            for check, future in zip(chunk.checks, chunk.outcomes, strict=True):
                self._send(Chunk([check], [future]))
            return
        for future, outcome in zip(chunk.outcomes, outcomes or ["unverifiable"], strict=True):
            if fault := own.fault_of(outcome, self._source):
                future.set_exception(fault)
            else:
                future.set_result(cast(Outcome, outcome))
