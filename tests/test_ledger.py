"""The ledger and what is read from it: keys, limits, verdicts, replies; no network."""

import asyncio
import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from pipeline.choices import TeacherChoice
from pipeline.errors import StageError, UsageError
from pipeline.rows import Message
from pipeline.stage import Request
from pipeline.teacher import dialect
from pipeline.teacher.disk import network_kind
from pipeline.teacher.keys import Teacher, address, record_of
from pipeline.teacher.ledger.entries import Intent, Outcome, Sample
from pipeline.teacher.ledger.ledger import Ledger
from pipeline.teacher.limits.headers import retry_after

URL = "https://api.example.com/v1"
ASKED = Request(messages=(Message(role="user", content="What is 4 + 3?"),), temperature=0.7, max_tokens=100, seed=1)


def teacher(**choice: Any) -> Teacher:
    return Teacher("main", TeacherChoice(**{"base_url": URL, "model": "m", **choice}), Path())


def key(asked: Request = ASKED, **choice: Any) -> str:
    return teacher(**choice).wanted(asked).key


def store(ledger: Ledger, *kept: tuple[Sample, bytes]) -> None:
    """Write each sample as the only one of its own request."""

    async def write() -> None:
        with ledger.writing():
            for sample, body in kept:
                number = await ledger.intend(intent(sample.key))
                await ledger.settle(number, Outcome("reply", 200, {}, body), [sample])

    asyncio.run(write())


def intent(*keys: str) -> Intent:
    return Intent("one", "solve", URL, "m", 0, None, keys, b"{}")


@pytest.mark.parametrize(
    ("kept", "limit", "found"),
    [
        ([], 100, None),
        ([(True, 100)], 100, 0),
        ([(True, 100)], 50, 0),
        ([(True, 100)], 200, 0),
        ([(True, 100)], None, 0),
        ([(False, 100)], 100, 0),
        ([(False, 100)], 50, 0),
        ([(False, 100)], 101, None),
        ([(False, 100)], None, None),
        ([(False, None)], None, 0),
        ([(False, None)], 100, 0),
        ([(False, 100), (True, 200)], 100, 0),
        ([(False, 100), (True, 200)], 150, 1),
        ([(False, 100), (True, 200)], 300, 1),
        ([(False, 200), (True, 100)], 100, 0),
    ],
)
def test_a_request_gets_the_earliest_sample_that_ended_or_had_at_least_its_limit(
    tmp_path: Path, kept: Sequence[tuple[bool, int | None]], limit: int | None, found: int | None
) -> None:
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        store(
            ledger, *[(Sample("k", 0, ended, given), str(place).encode()) for place, (ended, given) in enumerate(kept)]
        )
        entry = ledger.find({"k": limit}).get("k")
        assert (entry and int(entry.body)) == found
        assert ledger.is_known("k") == bool(kept)
        assert not ledger.is_known("other")


def test_what_was_written_is_on_the_disk_before_it_is_told(tmp_path: Path) -> None:
    async def write(ledger: Ledger) -> None:
        with ledger.writing():
            await ledger.intend(intent("k"))
            other = sqlite3.connect(ledger.path)
            assert other.execute("SELECT run, keys FROM requests").fetchall() == [("one", "k")]
            other.close()

    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        asyncio.run(write(ledger))


def test_intents_of_a_dead_process_are_listed_once(tmp_path: Path) -> None:
    async def write(ledger: Ledger) -> tuple[int, int]:
        with ledger.writing():
            await ledger.intend(intent("a", "b"))
            answered = await ledger.intend(intent("c"))
            await ledger.settle(answered, Outcome("failed", 500), ())
            return await ledger.settle_orphans(), await ledger.settle_orphans()

    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        assert asyncio.run(write(ledger)) == (1, 0)
        (found,) = ledger.maybe_billed()
        assert (found.request, found.run, found.step, found.model, found.keys) == (1, "one", "solve", "m", ("a", "b"))


def test_a_write_that_fails_is_told_and_loses_nothing_before_it(tmp_path: Path) -> None:
    async def write(ledger: Ledger) -> None:
        with ledger.writing():
            await ledger.intend(intent("kept"))
            blocker = sqlite3.connect(ledger.path, isolation_level=None)
            blocker.execute("DROP TABLE replies")
            blocker.close()
            with pytest.raises(StageError, match="cannot be written"):
                await ledger.settle(1, Outcome("failed", 500), ())

    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        asyncio.run(write(ledger))
        assert ledger.rows("SELECT keys FROM requests") == [("kept",)]


def test_a_ledger_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 7")
    connection.close()
    with pytest.raises(UsageError, match="its version is 7, known here is 2"):
        Ledger(path)


def test_a_file_that_is_no_ledger_is_told(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    path.write_text("nothing of the kind " * 100)
    with pytest.raises(UsageError, match="cannot be opened"):
        Ledger(path)


@pytest.mark.parametrize(
    ("asked", "choice", "same"),
    [
        ({}, {}, True),
        ({"max_tokens": 5}, {}, True),
        ({"max_tokens": None}, {}, True),
        ({}, {"request": {"max_completion_tokens": 9}}, True),
        ({}, {"concurrency": 3, "timeout_seconds": 5, "attempts": 1, "headers": {"X-Team": "a"}}, True),
        ({}, {"key_env": "SOME_KEY"}, True),
        ({}, {"price": {"input": 1, "output": 2}}, True),
        ({}, {"base_url": "HTTPS://user:secret@API.example.com:443/v1/?a=b"}, True),
        ({}, {"base_url": "https://moved.example.com/v1", "identity": URL}, True),
        ({}, {"request": {"temperature": 0.7}}, True),
        ({"index": 1}, {}, False),
        ({"seed": 2}, {}, False),
        ({"temperature": 0.8}, {}, False),
        ({"top_p": 0.9}, {}, False),
        ({"stop": ("\n",)}, {}, False),
        ({"extra": {"logprobs": True}}, {}, False),
        ({"messages": (Message(role="user", content="What is 4 + 4?"),)}, {}, False),
        ({}, {"model": "other"}, False),
        ({}, {"base_url": "https://api.example.com/v2"}, False),
        ({}, {"base_url": "https://api.example.com:8443/v1"}, False),
        ({}, {"request": {"reasoning_effort": "high"}}, False),
        ({}, {"request": {"temperature": None}}, False),
    ],
)
def test_the_key_holds_all_that_decides_the_reply_and_nothing_else(
    asked: dict[str, Any], choice: dict[str, Any], same: bool
) -> None:
    assert (key(ASKED.model_copy(update=asked), **choice) == key()) == same


@pytest.mark.parametrize(
    ("asked", "request_fields", "limit"),
    [(100, {}, 100), (None, {}, None), (100, {"max_tokens": 7}, 7), (100, {"max_completion_tokens": 9}, 9)],
)
def test_a_reply_has_one_limit_under_one_name(
    asked: int | None, request_fields: dict[str, Any], limit: int | None
) -> None:
    wanted = teacher(request=request_fields).wanted(ASKED.model_copy(update={"max_tokens": asked}))
    assert wanted.limit == limit
    assert len(wanted.fields.keys() & {"max_tokens", "max_completion_tokens"}) == (limit is not None)


def test_a_record_names_the_teacher_and_no_secret() -> None:
    choice = TeacherChoice(base_url="https://user:secret@host/v1", model="m", request={"top_k": 5}, headers={"K": "s"})
    assert record_of(choice, Path()) == {"identity": "https://host/v1", "model": "m", "request": {"top_k": 5}}


@pytest.mark.parametrize("bad", ["", "api.example.com/v1", "ftp://host/v1", "https://", "https://host:port/v1"])
def test_what_is_no_address_is_refused(bad: str) -> None:
    with pytest.raises(UsageError, match="is no address"):
        address(bad)


def test_the_body_holds_the_seed_of_its_first_sample() -> None:
    body = dialect.parse(dialect.body_of("m", [], {"seed": 5, "extra_body": {"top_k": 3}}, 4, 2))
    assert body == {"model": "m", "messages": [], "seed": 9, "top_k": 3, "n": 2}


@pytest.mark.parametrize(
    ("status", "body", "kind", "message"),
    [
        (200, '{"choices": [{}]}', "reply", ""),
        (200, '{"choices": []}', "failed", "an answer without choices"),
        (200, "<html>", "fatal", "answered text/html, not JSON"),
        (200, '{"error": {"code": 502, "message": "bad gateway"}}', "failed", "502: bad gateway"),
        (400, '{"error": {"message": "bad", "code": "content_filter"}}', "refused", "bad"),
        (400, '{"error": {"message": "exceeds the available context size"}}', "refused", "exceeds the available"),
        (403, '{"error": {"message": "your input was flagged"}}', "refused", "your input was flagged"),
        (422, '{"detail": "no"}', "refused", "422: no"),
        (413, "", "refused", "413: HTTP 413"),
        (400, '[{"error": {"message": "as a list"}}]', "refused", "400: as a list"),
        (401, '{"error": {"message": "no such key"}}', "fatal", "401: no such key"),
        (403, "", "fatal", "403: HTTP 403"),
        (402, "", "fatal", "402: HTTP 402"),
        (404, '{"error": {"message": "no such model"}}', "fatal", "404: no such model"),
        (429, '{"error": {"message": "slow down"}}', "failed", "429: slow down"),
        (429, '{"error": {"message": "pay", "code": "insufficient_quota"}}', "fatal", "429: pay"),
        (408, "", "failed", "408: HTTP 408"),
        (500, "", "failed", "500: HTTP 500"),
        (529, '{"error": "overloaded"}', "failed", "529: overloaded"),
    ],
)
def test_every_answer_has_a_verdict(status: int, body: str, kind: str, message: str) -> None:
    verdict = dialect.judge(status, "text/html; charset=utf-8", body.encode())
    assert verdict.kind == kind
    assert verdict.message.startswith(message)


@pytest.mark.parametrize(
    ("message", "thoughts", "text"),
    [
        ({"content": "Five."}, "", "Five."),
        ({"content": None}, "", ""),
        ({"content": "Five.", "reasoning_content": "I count."}, "I count.", "Five."),
        ({"content": "Five.", "reasoning": "I count."}, "I count.", "Five."),
        ({"content": "<think>\nI count.\n</think>\n\nFive."}, "I count.", "Five."),
        ({"content": "I count.\n</think>\n\nFive."}, "I count.", "Five."),
        ({"content": "<think>I count and"}, "I count and", ""),
        ({"content": "A <think> is a tag."}, "", "A <think> is a tag."),
        ({"content": [{"type": "text", "text": "Fi"}, {"type": "text", "text": "ve."}]}, "", "Five."),
    ],
)
def test_thoughts_are_told_from_text(message: dict[str, Any], thoughts: str, text: str) -> None:
    choice = dialect.read({"choices": [{"message": message, "finish_reason": "stop"}]}, 0)
    assert (choice.thoughts, choice.text, choice.cut, choice.refusal) == (thoughts, text, False, "")


@pytest.mark.parametrize(
    ("usage", "more", "told"),
    [
        ({}, {}, (None, 0, None)),
        ({"prompt_tokens": 9, "completion_tokens": 5}, {}, (9, 0, 5)),
        ({"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 34}, {}, (9, 0, 25)),
        (
            {"prompt_tokens": 9, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 4}},
            {},
            (9, 4, 5),
        ),
        ({"prompt_tokens": 9, "completion_tokens": 5, "prompt_cache_hit_tokens": 3}, {}, (9, 3, 5)),
        ({"prompt_tokens": 9, "completion_tokens": 5}, {"timings": {}, "choices": [{}, {}]}, (9, 0, None)),
    ],
)
def test_tokens_are_those_that_the_server_told(
    usage: dict[str, Any], more: dict[str, Any], told: tuple[Any, ...]
) -> None:
    found = dialect.usage_of({"usage": usage, **more})
    assert (found.prompt_tokens, found.cached_tokens, found.completion_tokens) == told


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, 0),
        ("", 0),
        ("2", 2),
        ("0.5", 0.5),
        ("-3", 0),
        ("soon", 0),
        ("Thu, 01 Jan 1970 00:01:40 GMT", 40),
        ("Thu, 01 Jan 1970 00:00:40 GMT", 0),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str | None, seconds: float) -> None:
    assert retry_after(value, now=60.0) == seconds


def test_a_provider_message_is_cut_to_one_line() -> None:
    assert dialect.one_line("a\n b" + "c" * 300) == "a b" + "c" * 196 + "…"


@pytest.mark.parametrize(
    ("folder", "kind"),
    [("/data/runs", None), ("/home/me/runs", "nfs4"), ("/home/me/local/runs", None), ("/with space/x", "cifs")],
)
def test_a_network_file_system_is_seen(folder: str, kind: str | None) -> None:
    mounts = [
        "1 0 8:1 / / rw - ext4 /dev/sda1 rw",
        "2 1 0:1 / /home rw shared:1 - nfs4 server:/home rw",
        "3 2 8:2 / /home/me/local rw - xfs /dev/sdb rw",
        r"4 1 0:2 / /with\040space rw - cifs //server/x rw",
    ]
    assert network_kind(Path(folder), mounts) == kind


def test_a_new_ledger_is_waited_for_while_another_process_opens_it(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    done = threading.Timer(0.3, other.commit)
    done.start()
    with Ledger(path) as ledger:
        assert ledger.rows("SELECT COUNT(*) FROM replies")[0][0] == 0
    done.join()
    other.close()
