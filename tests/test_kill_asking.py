"""kill -9 while a teacher is asked loses nothing that was answered, and nothing is asked again that is not listed."""

import hashlib
import json
import os
import random
import time
from collections import Counter
from pathlib import Path

import pytest

from pipeline.teacher.ledger.ledger import Ledger
from pipeline.teacher.limits.gate import Clock
from tests.fake_teacher import FakeTeacher
from tests.killing import Processes
from tests.test_teacher import Asking, texts

MOMENTS = 100
SEED = int(os.environ.get("KILL_SEED", "20261122"))
QUESTIONS = [f"What is {first} + {second} - 2?" for first in range(6) for second in range(5)]
SPEED = 20


def asking_in(folder: Path, base_url: str) -> Asking:
    asking = Asking(folder, base_url, concurrency=4)
    asking.questions, asking.samples = QUESTIONS, 2
    asking.options["clock"] = Clock(SPEED)
    return asking


def asked_again(teacher: FakeTeacher) -> Counter[str]:
    """Each request that was answered more than once, with how often after the first time."""
    return Counter({digest: count - 1 for digest, count in teacher.billed().items() if count > 1})


def listed(folder: Path) -> Counter[str]:
    """Each request that the ledger lists as maybe billed."""
    with Ledger(folder / "ledger.sqlite") as ledger:
        bodies = [json.loads(ledger.body_of(found.request)) for found in ledger.maybe_billed()]
    texts_of = (json.dumps(body, sort_keys=True, separators=(",", ":")) for body in bodies)
    return Counter(hashlib.sha256(text.encode()).hexdigest() for text in texts_of)


@pytest.mark.long
def test_killed_at_a_hundred_moments_of_asking_what_is_asked_again_was_listed(tmp_path: Path) -> None:
    print(f"seed {SEED}")
    draw = random.Random(SEED)
    processes = Processes(__name__)
    with FakeTeacher(time_speed=SPEED, latency_seconds=1.0, latency_spread=0.5) as teacher:
        process, told = processes.start(asking_in, tmp_path / "undisturbed", teacher.base_url)
        begun = time.monotonic()
        steps = told.recv()
        span = time.monotonic() - begun
        process.join()
        expected = texts(asking_in(tmp_path / "undisturbed", teacher.base_url)())
        met = again = 0
        for moment in range(MOMENTS):
            teacher.reset()
            folder = tmp_path / f"moment-{moment}"
            by_step = moment % 2 == 0
            last_step = draw.randrange(steps) if by_step else None
            process, told = processes.start(asking_in, folder, teacher.base_url, last_step)
            if not by_step:
                process.join(timeout=draw.uniform(0, span))
                process.kill()
            process.join()
            met += 0 < teacher.count() < len(QUESTIONS)
            assert texts(asking_in(folder, teacher.base_url)()) == expected
            assert asked_again(teacher) <= listed(folder), f"moment {moment}"
            again += asked_again(teacher).total()
        print(f"{met} of {MOMENTS} kills met unfinished asking, {again} requests were asked again; span {span:.2f} s")
        assert met > MOMENTS // 4
