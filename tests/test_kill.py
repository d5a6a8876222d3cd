"""kill -9 at any moment costs nothing that is not listed, and changes not one byte of what comes out."""

import os
import random
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.fake_teacher import FakeTeacher
from tests.project import Project

MOMENTS = 50
REQUESTS = 16
"""One a problem: its samples travel together."""
SEED = int(os.environ.get("KILL_SEED", "20261122"))
COMMAND = ("run", "all", "--config", "my.yaml", "--until", "assemble")


def project_in(folder: Path, teacher: FakeTeacher) -> Project:
    made = Project(folder, teacher.base_url, problems=REQUESTS)
    made.choices["teachers"]["main"]["concurrency"] = 2
    made.set(solve__samples=3, solve__max_tokens=27)
    return made


def start(project: Project) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        project.command(*COMMAND),
        cwd=project.folder,
        env=project.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def billed_twice(teacher: FakeTeacher) -> int:
    """Requests that the server met more than once, counted for each time after the first."""
    return sum(count - 1 for count in Counter(seen.digest for seen in teacher.requests()).values())


def maybe_billed(project: Project) -> int:
    from pipeline.teacher.ledger.ledger import Ledger

    with Ledger(project.folder / "outputs" / "ledger.sqlite") as ledger:
        return len(ledger.maybe_billed())


@pytest.mark.long
def test_killed_at_fifty_moments_the_rows_are_the_same_bytes(tmp_path: Path) -> None:
    print(f"seed {SEED}")
    draw = random.Random(SEED)
    with FakeTeacher(latency_seconds=0.15) as teacher:
        undisturbed = project_in(tmp_path / "undisturbed", teacher)
        process = start(undisturbed)
        teacher.wait_for(1)
        first_request = time.monotonic()
        assert process.wait() == 0
        span = time.monotonic() - first_request
        expected = undisturbed.bytes_of()
        assert len(expected) == 19  # two files of each of nine steps, and the hits of decontaminate

        killed_asking = 0
        for moment in range(MOMENTS):
            teacher.reset()
            project = project_in(tmp_path / f"moment-{moment}", teacher)
            process = start(project)
            teacher.wait_for(1)
            delay = draw.uniform(0, span)
            try:
                process.wait(timeout=delay)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.wait()
            killed_asking += teacher.count() < REQUESTS
            project.run(*COMMAND)
            told = f"moment {moment}, killed {delay:.3f} s after the first request"
            assert project.bytes_of() == expected, told
            assert billed_twice(teacher) <= maybe_billed(project), told
        print(f"{killed_asking} of {MOMENTS} kills met unfinished asking; span {span:.2f} s")
        assert 0 < killed_asking < MOMENTS
