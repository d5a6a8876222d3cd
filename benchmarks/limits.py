"""How much of what a provider grants is used, and how much is refused, beside the openai SDK with its own retries.

The provider is a loopback server in a process of its own that tells nobody its limits. Each case asks for so many
minutes' worth of what it grants, in real time unless --speed says otherwise.

    python benchmarks/limits.py --minutes 3 --cases requests tokens queue batching storm
"""

import argparse
import asyncio
import math
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from pipeline.choices import Choices  # noqa: E402
from pipeline.progress import Silent  # noqa: E402
from pipeline.rows import Message  # noqa: E402
from pipeline.stage import Conversation, Request  # noqa: E402
from pipeline.teacher import Teachers  # noqa: E402
from pipeline.teacher.limits.gate import Clock  # noqa: E402
from tests.fake_teacher import FakeTeacher  # noqa: E402

MOST = 1024
"""Requests in flight at most."""
RIVAL_IN_FLIGHT = 64
TOKENS = 20
"""Of one question and its reply, about."""


@dataclass(frozen=True)
class Case:
    """One provider."""

    title: str
    best: float
    """Requests a second that it can be made to answer."""
    behaviour: dict[str, Any]
    storm_after: float | None = None
    """Seconds after which it refuses everything for a minute."""
    counts: str = "admitted"
    """The server's series that is compared with the best."""
    charged: float = 0.0
    """Tokens a second that it grants; 0 where it counts requests."""
    notes: list[str] = field(default_factory=list)


CASES = {
    "requests": Case("hidden bucket, 600 requests/min", 10, {"requests_per_minute": 600, "latency_seconds": 1}),
    "tokens": Case(
        "hidden bucket, 60,000 tokens/min", 60_000 / 60 / 200, {"tokens_per_minute": 60_000, "latency_seconds": 1},
        counts="charged", charged=1000,
    ),
    "told": Case(
        "the same requests, told by headers", 10,
        {"requests_per_minute": 600, "latency_seconds": 1, "limit_headers": True},
    ),
    "at-once": Case("64 at once, others get 429", 64, {"most_in_flight": 64, "latency_seconds": 1}),
    "queue": Case("queue with 64 slots", 64, {"queue_slots": 64, "latency_seconds": 1}, counts="answered"),
    "batching": Case(
        "batching, latency 1 + b/64", MOST / (1 + MOST / 64), {"batching": 64, "latency_seconds": 1}, counts="answered"
    ),
    "storm": Case(
        "nothing but 429 for a minute", 64, {"queue_slots": 64, "latency_seconds": 1}, storm_after=60, counts="answered"
    ),
}  # fmt: skip


def question(number: int, case: Case) -> str:
    """About 200 tokens where tokens are counted."""
    padding = " ".join(["Think."] * 180) + " " if case.charged else ""
    return f"{padding}What is {number} + 3 - 2?"


def ours(teacher: FakeTeacher, case: Case, requests: int, speed: float) -> list[str]:
    """Ask them all as a step does; gives what was said."""

    class Heard(Silent):
        def say(self, line: str) -> None:
            said.append(line)

    def conversation(number: Any) -> Conversation[str]:
        (reply,) = yield [Request(messages=(Message(role="user", content=question(number, case)),), max_tokens=64)]
        assert reply.problem is None, reply.detail
        return reply.text

    said: list[str] = []
    choices = Choices.model_validate(
        {
            "recipe": "r1-distill",
            "data": {"train": "none", "eval": "none"},
            "student": {"model": "none"},
            "teachers": {"main": {"base_url": teacher.base_url, "model": "fake", "concurrency": MOST}},
        }
    )
    with tempfile.TemporaryDirectory() as folder:
        outputs = Path(folder)
        with Teachers(choices, outputs, "one", outputs, Heard(), clock=Clock(speed)) as teachers:
            assert len(list(teachers.ask("main", range(requests), conversation))) == requests  # type: ignore[type-var]
    return said


async def rival(teacher: FakeTeacher, case: Case, requests: int) -> int:
    """Ask them all with the SDK, so many at once, with its own retries; gives how many were given up."""
    from openai import AsyncOpenAI, DefaultAioHttpClient, OpenAIError

    numbers, lost = iter(range(requests)), 0
    client = AsyncOpenAI(base_url=teacher.base_url, api_key="none", max_retries=10, http_client=DefaultAioHttpClient())

    async def work() -> None:
        nonlocal lost
        for number in numbers:
            try:
                await client.chat.completions.create(
                    model="fake", messages=[{"role": "user", "content": question(number, case)}], max_tokens=64
                )
            except OpenAIError:
                lost += 1

    async with client:
        await asyncio.gather(*(work() for _ in range(RIVAL_IN_FLIGHT)))
    return lost


async def with_storm(teacher: FakeTeacher, case: Case, speed: float, work: Any) -> Any:
    """Run the work, and let the storm begin when it is time."""

    async def storm() -> None:
        assert case.storm_after is not None
        await asyncio.sleep(case.storm_after / speed)
        await asyncio.to_thread(teacher.behave, storm_seconds=60.0)

    if case.storm_after is None:
        return await work
    trouble = asyncio.ensure_future(storm())
    try:
        return await work
    finally:
        await trouble


def minutes_of(case: Case, seconds: dict[str, list[float]]) -> list[str]:
    """Share of the best that was reached and share that was refused, minute by minute, the broken last one left out."""
    reached, refused, admitted = seconds[case.counts], seconds["refused"], seconds["admitted"]
    best = case.charged or case.best
    shown = []
    for begin in range(0, max(60, len(reached) - 59), 60):
        span = slice(begin, begin + 60)
        length = max(1, len(reached[span]))
        met = sum(admitted[span]) + sum(refused[span])
        shown.append(f"{sum(reached[span]) / length / best:4.0%} ({sum(refused[span]) / met if met else 0:5.1%})")
    return shown


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=3, help="worth of requests that each case asks for")
    parser.add_argument("--speed", type=float, default=1, help="the provider's time and ours run so many times faster")
    parser.add_argument("--cases", nargs="*", choices=CASES, default=list(CASES))
    parser.add_argument("--without-rival", action="store_true")
    given = parser.parse_args()
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    print("share of what is granted that was used (share of requests refused), minute by minute")
    for name in given.cases:
        case = CASES[name]
        requests = math.ceil(case.best * 60 * given.minutes)
        with FakeTeacher(time_speed=given.speed, keep_bodies=False, **case.behaviour) as teacher:
            said = asyncio.run(
                with_storm(teacher, case, given.speed, asyncio.to_thread(ours, teacher, case, requests, given.speed))
            )
            print(f"\n{case.title}, {requests:,} requests")
            print("  ours          ", *minutes_of(case, teacher.stats()["seconds"]))
            for line in said:
                print("    ", line)
        if given.without_rival:
            continue
        with FakeTeacher(time_speed=given.speed, keep_bodies=False, **case.behaviour) as teacher:
            lost = asyncio.run(with_storm(teacher, case, given.speed, rival(teacher, case, requests)))
            shown = minutes_of(case, teacher.stats()["seconds"])
            print(f"  SDK, {RIVAL_IN_FLIGHT} at once", *shown, f"{lost} given up" if lost else "")


if __name__ == "__main__":
    main()
