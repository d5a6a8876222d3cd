"""kill -9 at any moment of a job's life loses no batch, pays for nothing twice and changes no reply."""

import os
import random
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from pipeline.teacher.batch import packing, results
from tests.fake_teacher import FakeTeacher
from tests.killing import Processes
from tests.test_batch import SPEED, Asking, texts

MOMENTS = 100
SEED = int(os.environ.get("KILL_SEED", "20261122"))
QUESTIONS = [f"What is {first} + {second} - 2?" for first in range(6) for second in range(5)]
MOST_REQUESTS = 12
CHUNK = 2


def asking_in(folder: Path, base_url: str) -> Asking:
    """Two rounds of three jobs, with a teacher that is known to reply: nothing goes online."""
    packing.MOST_REQUESTS, results.CHUNK = MOST_REQUESTS, CHUNK
    asking = Asking(folder, base_url)
    asking.questions = QUESTIONS
    asking.follow_up = True
    return asking


@pytest.mark.long
def test_killed_at_a_hundred_moments_no_batch_is_lost_and_nothing_is_paid_for_twice(tmp_path: Path) -> None:
    print(f"seed {SEED}")
    draw = random.Random(SEED)
    processes = Processes(__name__)
    with FakeTeacher(time_speed=SPEED, batch_seconds=20) as teacher:
        warm = Asking(tmp_path / "warm", teacher.base_url)
        warm.questions = ["What is 1 + 1?"]
        warm()

        def process_in(name: str, last_step: int | None = None) -> tuple[Asking, Any, Any]:
            folder = shutil.copytree(warm.folder, tmp_path / name)
            process, told = processes.start(asking_in, folder, teacher.base_url, last_step)
            return asking_in(folder, teacher.base_url), process, told

        teacher.reset()
        undisturbed, process, told = process_in("undisturbed")
        begun = time.monotonic()
        steps = told.recv()
        span = time.monotonic() - begun
        process.join()
        expected = texts(undisturbed())
        assert len(teacher.batches()) == 6

        phases = {"before": 0, "upload": 0, "at the provider": 0, "results": 0, "after": 0}
        for moment in range(MOMENTS):
            teacher.reset()
            by_step = moment % 2 == 0  # the steps are dense where much happens, the time passes in waiting
            killed, process, told = process_in(f"moment-{moment}", draw.randrange(steps) if by_step else None)
            if not by_step:
                process.join(timeout=draw.uniform(0, span))
                process.kill()
            process.join()
            phases[phase_of(killed)] += 1
            assert texts(killed()) == expected
            assert set(teacher.billed().values()) == {1}, f"moment {moment}"
            assert {job.batch for job in killed.jobs() if job.batch} == {told["id"] for told in teacher.batches()}
        print(f"killed {phases}; {steps} steps, span {span:.2f} s")
        assert min(phases.values()) > 0


def phase_of(killed: Asking) -> str:
    """What the dead process was at."""
    jobs = killed.jobs()
    unfinished = [job for job in jobs if not job.has_ended]
    if not jobs:
        return "before"
    if any(job.batch is None for job in unfinished):
        return "upload"
    if any(job.replies for job in unfinished):
        return "results"
    return "at the provider" if unfinished else "after"
