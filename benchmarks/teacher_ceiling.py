"""How much of the bare openai SDK's speed is left with conversations and the ledger around it.

A loopback server answers at once, in a process of its own; client and ledger share one process, so that its
processor time is the limit. Rounds alternate, so that a machine that slows down slows both.

    python benchmarks/teacher_ceiling.py --requests 2000 --in-flight 512 --rounds 3
"""

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from fake_teacher import FakeTeacher  # noqa: E402

from pipeline.choices import Choices  # noqa: E402
from pipeline.progress import Silent  # noqa: E402
from pipeline.rows import Message  # noqa: E402
from pipeline.stage import Conversation, Request  # noqa: E402
from pipeline.teacher import Teachers  # noqa: E402


def question(number: int) -> str:
    return f"What is {number} + 3 - 2?"


async def bare(base_url: str, requests: int, in_flight: int) -> float:
    """Seconds that the SDK alone takes, with its aiohttp transport."""
    from openai import AsyncOpenAI, DefaultAioHttpClient

    numbers = iter(range(requests))
    async with AsyncOpenAI(base_url=base_url, api_key="none", http_client=DefaultAioHttpClient()) as client:

        async def work() -> None:
            for number in numbers:
                await client.chat.completions.create(
                    model="fake", messages=[{"role": "user", "content": question(number)}], seed=0
                )

        begun = time.perf_counter()
        await asyncio.gather(*(work() for _ in range(in_flight)))
        return time.perf_counter() - begun


def ours(base_url: str, requests: int, in_flight: int, replay: bool) -> float:
    """Seconds that a step takes which asks the same; with `replay`, those of a second one that finds all of it."""

    def conversation(number: int) -> Conversation[str]:
        (reply,) = yield [Request(messages=(Message(role="user", content=question(number)),), seed=0)]
        return reply.text

    choices = Choices.model_validate(
        {
            "recipe": "r1-distill",
            "data": {"train": "none", "eval": "none"},
            "student": {"model": "none"},
            "teachers": {"main": {"base_url": base_url, "model": "fake", "concurrency": in_flight}},
        }
    )
    with tempfile.TemporaryDirectory() as folder:
        outputs = Path(folder)
        with Teachers(choices, outputs, run="one", logs=outputs, progress=Silent()) as teachers:
            for _ in range(2 if replay else 1):
                begun = time.perf_counter()
                assert len(list(teachers.ask("main", range(requests), conversation))) == requests  # type: ignore[type-var]
                seconds = time.perf_counter() - begun
            return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--in-flight", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    rates: dict[str, list[float]] = {"openai SDK alone": [], "with the ledger": [], "replay from the ledger": []}
    with FakeTeacher() as teacher:
        where = (teacher.base_url, given.requests, given.in_flight)
        for _ in range(given.rounds):
            for name, seconds in (
                ("openai SDK alone", asyncio.run(bare(*where))),
                ("with the ledger", ours(*where, replay=False)),
                ("replay from the ledger", ours(*where, replay=True)),
            ):
                rates[name].append(given.requests / seconds)
    alone = statistics.median(rates["openai SDK alone"])
    print(f"{given.requests} requests, {given.in_flight} in flight, median of {given.rounds} rounds")
    print(f"{'':24}{'requests/s':>12}{'ratio':>8}")
    for name, found in rates.items():
        print(f"{name:24}{statistics.median(found):12,.0f}{statistics.median(found) / alone:8.2f}")


if __name__ == "__main__":
    main()
