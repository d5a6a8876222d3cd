"""How much of the bare openai SDK's speed is left with conversations, limits and the ledger around it, and in how much
memory.

A loopback server answers at once, in a process of its own; each measurement is a process of its own too, in which
client and ledger share one processor's time. Rounds alternate, so that a machine that slows down slows all.

    python benchmarks/teacher_ceiling.py --requests 2000 --rounds 3
    python benchmarks/teacher_ceiling.py --problems 100000       # memory of one large step
"""

import argparse
import asyncio
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from pipeline.choices import Choices  # noqa: E402
from pipeline.progress import Silent  # noqa: E402
from pipeline.rows import Message, Problem  # noqa: E402
from pipeline.stage import Conversation, Request  # noqa: E402
from pipeline.teacher import Teachers  # noqa: E402
from tests.fake_teacher import FakeTeacher  # noqa: E402

IN_FLIGHT = (64, 512)
SAMPLES = (1, 8)
WAYS = ("openai SDK alone", "with the ledger", "replay from the ledger")


class Problems:
    """Problems made when they are looked at, as rows of a file are."""

    def __init__(self, count: int) -> None:
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Problem]:
        return (Problem(id=f"train-{n}", question=f"What is {n} + 3 - 2?") for n in range(self._count))


async def bare(base_url: str, requests: int, in_flight: int, samples: int) -> None:
    """The SDK alone, with its aiohttp transport."""
    from openai import AsyncOpenAI, DefaultAioHttpClient

    problems = iter(Problems(requests))
    async with AsyncOpenAI(base_url=base_url, api_key="none", http_client=DefaultAioHttpClient()) as client:

        async def work() -> None:
            for problem in problems:
                await client.chat.completions.create(
                    model="fake", messages=[{"role": "user", "content": problem.question}], seed=0, n=samples
                )

        await asyncio.gather(*(work() for _ in range(in_flight)))


def ours(base_url: str, requests: int, in_flight: int, samples: int, replay: bool) -> float:
    """Seconds of a step that asks the same; with `replay`, those of a second one that finds all of it."""

    def conversation(problem: Problem) -> Conversation[int]:
        asked = Request(messages=(Message(role="user", content=problem.question),), seed=0)
        replies = yield asked.samples(samples)
        return sum(len(reply.text) for reply in replies)

    choices = Choices.model_validate(
        {
            "recipe": "r1-distill",
            "data": {"train": "none", "eval": "none"},
            "student": {"model": "none"},
            "teachers": {"main": {"base_url": base_url, "model": "fake", "concurrency": in_flight}},
        }
    )
    seconds = 0.0
    with tempfile.TemporaryDirectory() as folder:
        outputs = Path(folder)
        with Teachers(choices, outputs, run="one", logs=outputs, progress=Silent()) as teachers:
            for _ in range(2 if replay else 1):
                begun = time.perf_counter()
                assert sum(1 for _ in teachers.ask("main", Problems(requests), conversation)) == requests
                seconds = time.perf_counter() - begun
    return seconds


def measure(way: str, base_url: str, requests: int, in_flight: int, samples: int) -> dict[str, float]:
    """Seconds and peak memory of one way to ask; to be called in a process that did nothing before."""
    if way == WAYS[0]:
        begun = time.perf_counter()
        asyncio.run(bare(base_url, requests, in_flight, samples))
        seconds = time.perf_counter() - begun
    else:
        seconds = ours(base_url, requests, in_flight, samples, replay=way == WAYS[2])
    return {"seconds": seconds, "mebibytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def child(*arguments: Any) -> dict[str, float]:
    """`measure` in a process of its own."""
    command = [sys.executable, __file__, "--measure", json.dumps(arguments)]
    told: dict[str, float] = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return told


def table(requests: int, rounds: int, in_flight: int, samples: int) -> None:
    found: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    for _ in range(rounds):
        for way in WAYS:
            with FakeTeacher(keep_bodies=False) as teacher:
                found[way].append(child(way, teacher.base_url, requests, in_flight, samples))
    rates = {way: statistics.median(requests / one["seconds"] for one in found[way]) for way in WAYS}
    print(f"\n{requests:,} requests of n = {samples}, {in_flight} in flight, median of {rounds} rounds")
    print(f"{'':24}{'requests/s':>12}{'samples/s':>12}{'ratio':>8}{'MiB':>8}")
    for way in WAYS:
        most = max(one["mebibytes"] for one in found[way])
        rate = rates[way]
        print(f"{way:24}{rate:12,.0f}{rate * samples:12,.0f}{rate / rates[WAYS[0]]:8.2f}{most:8,.0f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--problems", type=int, help="ask so many problems once, and tell the memory")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        print(json.dumps(measure(*json.loads(given.measure))))
    elif given.problems:
        with FakeTeacher(keep_bodies=False) as teacher:
            told = child(WAYS[1], teacher.base_url, given.problems, 512, 1)
        rate = given.problems / told["seconds"]
        print(f"{given.problems:,} problems: {told['mebibytes']:,.0f} MiB at most, {rate:,.0f} requests/s")
    else:
        for in_flight in IN_FLIGHT:
            for samples in SAMPLES:
                table(given.requests, given.rounds, in_flight, samples)


if __name__ == "__main__":
    main()
