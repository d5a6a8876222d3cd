"""A training in several processes, one a GPU, which none of them outlives.

It does what torchrun does on one machine, but for three things: the processes end when this one ends, however it
ends; their progress is that of the step; and what one of them could not do is told as any other error of a step.
"""

import json
import os
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any

from pipeline.errors import StageError
from pipeline.progress import Progress
from pipeline.student.training.job import Fit, Job, OutOfMemory

ADDRESS = "127.0.0.1"
LAST_LINE_CHARACTERS = 300

Heard = SimpleQueue[tuple[int, list[Any] | None]]
"""Rank and what that process told: None when it ended."""


def launch(job: Job, progress: Progress, logs: Path) -> None:
    """Train a student in `job.fit.processes` processes; leaves what `trainer.train` leaves.

    Args:
        job: what to train; its tokens are written.
        progress: total and advance are in steps.
        logs: folder for what the processes write to stderr.

    Raises:
        OutOfMemory: a micro batch does not fit in one of them.
        StageError: one of them failed otherwise, or was killed; the others were ended.
    """
    from torch.distributed import TCPStore  # type: ignore[attr-defined]  # it is documented there

    described = job.checkpoints / "job.json"
    described.write_text(job.model_dump_json(), encoding="utf-8")
    # Held here, at a port that is free, so that the processes find each other without a race for one.
    store = TCPStore(ADDRESS, 0, is_master=True, wait_for_workers=False)
    logs.mkdir(parents=True, exist_ok=True)
    written = [logs / f"{job.folder.stem}-process-{rank}.log" for rank in range(job.fit.processes)]
    heard: Heard = SimpleQueue()
    with ExitStack() as stack:
        workers = [
            _begin(stack, heard, rank, described, path, _environment(rank, job.fit, store.port))
            for rank, path in enumerate(written)
        ]
        running = len(workers)
        while running:
            rank, message = heard.get()
            if message is None:
                _require_success(rank, workers[rank].wait(), written[rank])
                running -= 1
            else:
                _pass_on(message, progress)


def _begin(
    stack: ExitStack, heard: Heard, rank: int, described: Path, written: Path, environment: dict[str, str]
) -> subprocess.Popen[str]:
    """Start a process that ends with the stack."""
    with written.open("w", encoding="utf-8") as log:
        worker = subprocess.Popen(
            [sys.executable, "-P", "-m", "pipeline.student.training.worker", str(described)],
            env=environment,
            stdin=subprocess.PIPE,  # closes when this process dies
            stdout=subprocess.PIPE,
            stderr=log,
            encoding="utf-8",
        )
    stack.enter_context(worker)
    listener = Thread(target=_listen, args=(rank, worker, heard), daemon=True)
    listener.start()
    stack.callback(listener.join)
    stack.callback(worker.kill)
    return worker


def _environment(rank: int, fit: Fit, port: int) -> dict[str, str]:
    """Where a process stands among the others, in torchrun's words, and its share of the processor."""
    from torch import get_num_threads

    processes = str(fit.processes)
    return {
        **os.environ,
        "OMP_NUM_THREADS": str(fit.threads or max(1, get_num_threads() // fit.processes)),
        "PYTHONPATH": os.pathsep.join(sys.path),
        "MASTER_ADDR": ADDRESS,
        "MASTER_PORT": str(port),
        "TORCHELASTIC_USE_AGENT_STORE": "True",  # rank 0 holds no store of its own
        "WORLD_SIZE": processes,
        "LOCAL_WORLD_SIZE": processes,
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
    }


def _listen(rank: int, worker: subprocess.Popen[str], heard: Heard) -> None:
    assert worker.stdout
    for line in worker.stdout:
        heard.put((rank, json.loads(line)))
    heard.put((rank, None))


def _pass_on(message: list[Any], progress: Progress) -> None:
    match message:
        case ["total", count]:
            progress.total(count)
        case ["advance", count]:
            progress.advance(count)
        case ["note", figures]:
            progress.note(**figures)
        case ["say", line]:
            progress.say(line)
        case ["out_of_memory", fact, hint]:
            raise OutOfMemory(fact, hint)
        case ["failed", fact, hint]:
            raise StageError(fact, hint)


def _require_success(rank: int, status: int, log: Path) -> None:
    if status == 0:
        return
    how = f"was ended by {signal.Signals(-status).name}" if status < 0 else f"ended with exit status {status}"
    words = log.read_text(encoding="utf-8", errors="replace").split("\n")
    last = next((line.strip() for line in reversed(words) if line.strip()), "it wrote nothing")
    raise StageError(
        f"process {rank} of the training {how}: {last[:LAST_LINE_CHARACTERS]}",
        f"less {log}; the same command goes on from the newest checkpoint",
    )
