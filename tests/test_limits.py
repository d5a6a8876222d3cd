"""What a teacher takes is found out, used and not passed; in virtual time, against servers of every kind."""

import itertools
import random

import pytest

from pipeline.choices import TeacherChoice
from pipeline.teacher.limits.headers import is_busy, seconds_of, told_per_second
from pipeline.teacher.limits.limits import limits_of
from tests.virtual_time import SimulatedServer, ask_for, within


def spread(mean: float) -> float:
    return mean * random.uniform(0.5, 1.5)


@pytest.mark.parametrize(
    ("server", "tokens", "best", "first", "then"),
    [
        # what is granted a second; least share of it that is used, and largest share refused: first minute, later
        (lambda: SimulatedServer(requests_per_minute=600), (100,), 10, (0.95, 0.02), (0.97, 0.02)),
        (lambda: SimulatedServer(requests_per_minute=600, tells_wait=True), (100,), 10, (0.95, 0.02), (0.97, 0.02)),
        (lambda: SimulatedServer(requests_per_minute=6000), (100,), 100, (0.95, 0.02), (0.97, 0.02)),
        (lambda: SimulatedServer(lambda _: 10.0, requests_per_minute=600), (100,), 10, (0.93, 0.02), (0.97, 0.02)),
        (lambda: SimulatedServer(lambda _: spread(2), 600), (100,), 10, (0.93, 0.03), (0.97, 0.02)),
        (lambda: SimulatedServer(tokens_per_minute=60_000), (100,), 10, (0.95, 0.02), (0.97, 0.02)),
        (lambda: SimulatedServer(tokens_per_minute=60_000), (20, 60, 100, 140, 180), 10, (0.8, 0.05), (0.92, 0.02)),
        (
            lambda: SimulatedServer(tokens_per_minute=60_000, message="Limit reached on tokens per min (TPM)"),
            (20, 60, 100, 140, 180), 10, (0.85, 0.02), (0.95, 0.02),
        ),
        (lambda: SimulatedServer(most_in_flight=64), (100,), 64, (0.8, 0.02), (0.9, 0.02)),
        (lambda: SimulatedServer(lambda _: spread(1), most_in_flight=64), (100,), 64, (0.8, 0.02), (0.85, 0.02)),
    ],
)  # fmt: skip
def test_a_hidden_limit_is_found_and_used(server, tokens, best, first, then) -> None:  # type: ignore[no-untyped-def]
    made, _, changes = ask_for(server, 180, tokens=tokens)
    for begin, end, (least_used, most_refused) in ((0, 60, first), (60, 180, then)):
        taken, refused = within(made.accepted, begin, end), within(made.refused, begin, end)
        assert taken / (end - begin) / best >= least_used
        assert refused / (taken + refused) <= most_refused
    assert changes == []


@pytest.mark.parametrize(
    ("server", "best"),
    [
        (lambda: SimulatedServer(slots=64), 64),
        (lambda: SimulatedServer(lambda _: 0.4, slots=64), 160),
        (lambda: SimulatedServer(lambda in_flight: 1 + in_flight / 64), 1024 / (1 + 1024 / 64)),
        (lambda: SimulatedServer(lambda _: spread(4)), 1024 / 4),
    ],
)
def test_a_server_that_never_refuses_is_asked_until_more_at_once_gives_no_more(server, best) -> None:  # type: ignore[no-untyped-def]
    made, _, _ = ask_for(server, 120)
    assert within(made.done, 60, 120) / 60 >= 0.9 * best


@pytest.mark.parametrize(
    "server",
    [
        lambda: SimulatedServer(storm=(60, 120), slots=64),
        lambda: SimulatedServer(storm=(60, 120), requests_per_minute=3840),
        lambda: SimulatedServer(storm=(60, 120), slots=64, tells_wait=True),
    ],
)
def test_a_storm_of_refusals_is_waited_out_and_no_stall_follows(server) -> None:  # type: ignore[no-untyped-def]
    made, _, changes = ask_for(server, 180)
    assert changes == ["open", "closed"]
    assert within(made.refused, 75, 120) <= 15
    assert within(made.accepted, 135, 180) / 45 >= 0.9 * 64


@pytest.mark.parametrize(
    ("headers", "unit", "per_second"),
    [
        ({}, "requests", None),
        ({"x-ratelimit-limit-requests": "600"}, "requests", 10),
        ({"x-ratelimit-limit-requests": "600"}, "tokens", None),
        ({"x-ratelimit-limit-requests": "much"}, "requests", None),
        # a minute's limit, a tenth of a second after one request
        (
            {"x-ratelimit-limit-requests": "600", "x-ratelimit-remaining-requests": "599",
             "x-ratelimit-reset-requests": "100ms"},
            "requests", 10,
        ),
        # a day's limit, as Groq tells it
        (
            {"x-ratelimit-limit-requests": "14400", "x-ratelimit-remaining-requests": "14370",
             "x-ratelimit-reset-requests": "2m59.56s"},
            "requests", None,
        ),
        (
            {"x-ratelimit-limit-tokens": "60000", "x-ratelimit-remaining-tokens": "0",
             "x-ratelimit-reset-tokens": "1m0s"},
            "tokens", 1000,
        ),
        # a window of a minute that is free again as a whole
        (
            {"x-ratelimit-limit-requests": "600", "x-ratelimit-remaining-requests": "599",
             "x-ratelimit-reset-requests": "59s"},
            "requests", 10,
        ),
        # a moment, not a duration
        (
            {"x-ratelimit-limit-requests": "600", "x-ratelimit-remaining-requests": "599",
             "x-ratelimit-reset-requests": "1795330469"},
            "requests", None,
        ),
        # all of it is left: nothing tells what it is counted over
        (
            {"x-ratelimit-limit-tokens": "60000", "x-ratelimit-remaining-tokens": "60000",
             "x-ratelimit-reset-tokens": "0s"},
            "tokens", 1000,
        ),
    ],
)  # fmt: skip
def test_limits_are_read_from_headers(headers, unit, per_second) -> None:  # type: ignore[no-untyped-def]
    assert told_per_second(headers, unit) == (None if per_second is None else pytest.approx(per_second))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("6m0s", 360), ("1s", 1), ("20ms", 0.02), ("1h2m3.5s", 3723.5), ("12", 12), ("", None), ("soon", None)],
)
def test_durations_are_read_as_headers_write_them(text: str, seconds: float | None) -> None:
    assert seconds_of(text) == seconds


def test_what_is_told_is_kept_below_and_the_smaller_of_two_counts() -> None:
    choice = TeacherChoice(base_url="http://x/v1", model="m", requests_per_minute=600, tokens_per_minute=6000)
    limits = limits_of(choice)
    limits.told({"x-ratelimit-limit-requests": "6000", "x-ratelimit-limit-tokens": "600"})
    assert (limits.requests.rate_at(0), limits.tokens.rate_at(0)) == (10, pytest.approx(9.9))
    spent = []
    now = 0.0
    while now < 60:
        wait_seconds = limits.ready_in(now)
        if wait_seconds:
            now += wait_seconds
            continue
        limits.replied(limits.sent(now, 10), now, 10)
        spent.append(now)
    assert len(spent) == pytest.approx(59.4, abs=2)


@pytest.mark.parametrize(
    ("status", "headers", "busy"),
    [(429, {}, True), (529, {}, True), (503, {"retry-after": "3"}, True), (503, {}, False), (500, {}, False)],
)
def test_busy_is_told_from_broken(status: int, headers: dict[str, str], busy: bool) -> None:
    assert is_busy(status, headers) is busy


def test_what_was_learnt_is_taken_up_by_the_next_asking() -> None:
    _, limits, _ = ask_for(lambda: SimulatedServer(requests_per_minute=600), 120)
    known = limits.known(120)
    assert known == {"requests": pytest.approx(10, rel=0.05)}
    again = limits_of(TeacherChoice(base_url="http://x/v1", model="m"))
    again.begin_with(known, 0)
    assert again.requests.rate_at(0) == known["requests"]


def test_a_slow_first_reply_slows_no_later_one() -> None:
    latencies = itertools.chain([120.0], itertools.repeat(1.0))
    made, _, _ = ask_for(lambda: SimulatedServer(lambda _: next(latencies)), 240, most=1)
    assert len(made.accepted) > 100
