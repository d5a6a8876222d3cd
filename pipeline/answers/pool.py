"""The program that holds the workers of one library: it reads chunks of checks, has them made, writes their outcomes.

`workers.py` starts it, with one end of a socket on which each message is a line of JSON:

    <-  {"fact": null, "hint": null}                           first: loaded, or why not
    ->  {"number": 7, "checks": [["equal", ["x+1", "1+x"]], ...]}
    <-  {"number": 7, "outcomes": ["right", ...]}              null where a check met a limit or ended its worker

It is a program of its own so that the user's process neither forks nor has its main module imported again, and so
that all workers end with it. It loads the library and forks: a fresh worker is there in milliseconds. It may fork,
since its threads are those of the pool, which hold nothing that a worker needs.
"""

import gc
import json
import logging
import multiprocessing
import os
import signal
import socket
import threading
import traceback
from collections.abc import Iterator
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from functools import partial
from typing import Any

from pipeline.answers import worker
from pipeline.errors import StageError

PATIENCE = 4
"""A chunk may take this many times the limit of one check by the clock: what waits takes no processor time."""

CHUNKS = 50
"""A worker makes so many and is replaced: what its libraries keep in memory is not for ever counted to its checks."""


def main(handle: int, library: str, source: str, workers: int, limit_seconds: float, load_seconds: int) -> None:
    """Serve until the other end of the socket is closed, then end with all workers, whatever they are at."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the run to answer
    with suppress(OSError):
        os.dup2(2, 1)
    logging.disable()
    door = Door(socket.socket(fileno=handle))
    os.register_at_fork(after_in_child=partial(os.close, handle))  # a worker would hide that this program ended
    signal.alarm(load_seconds)
    if not _loaded(door, library, source):
        return
    signal.alarm(0)
    from pebble import ProcessPool

    pool = ProcessPool(
        max_workers=workers,
        max_tasks=CHUNKS,
        initializer=worker.begin,
        initargs=[limit_seconds],
        context=multiprocessing.get_context("fork"),
    )
    try:
        for message in door:
            chunk = pool.schedule(worker.checked, args=[message["checks"]], timeout=PATIENCE * limit_seconds)
            chunk.add_done_callback(partial(_answer, door, message["number"]))
    except Exception:
        if pool.active:
            traceback.print_exc()
    finally:
        end()


class Door:
    """Messages to and from the process that asked."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._lock = threading.Lock()

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Messages as they come, until the other end is closed."""
        with self._end.makefile("rb") as lines:
            yield from map(json.loads, lines)

    def send(self, message: dict[str, Any]) -> None:
        """Send one message."""
        with self._lock, suppress(OSError):
            self._end.sendall(json.dumps(message).encode() + b"\n")


def end() -> None:
    """End this program and every process that it started."""
    os.killpg(os.getpgrp(), signal.SIGKILL)


def _loaded(door: Door, library: str, source: str) -> bool:
    try:
        worker.load(library, source)
    except StageError as error:
        door.send({"fact": error.fact, "hint": error.hint})
        return False
    gc.collect()
    gc.freeze()
    door.send({"fact": None, "hint": None})
    return True


def _answer(door: Door, number: int, chunk: "Future[list[str]]") -> None:
    error = chunk.exception()
    if isinstance(error, BrokenProcessPool):
        end()  # no check's fault: all that is open is asked again of another program
    door.send({"number": number, "outcomes": None if error else chunk.result()})
