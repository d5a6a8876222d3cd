"""A provider in trouble: what comes is kept, what fails is asked again, and one sick teacher holds up no other."""

import socket
import threading
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from pipeline.choices import Choices
from pipeline.errors import StageError, TeacherError
from pipeline.rows import Message
from pipeline.stage import Conversation, Reply, Request
from pipeline.teacher import Teachers
from pipeline.teacher.limits.gate import Clock
from pipeline.teacher.limits.headers import retry_after
from tests.fake_teacher import Behaviour, FakeTeacher
from tests.test_teacher import Asking, Heard, texts

SPEED = 20
QUESTIONS = [f"What is {number} + 3 - 2?" for number in range(500)]


@pytest.fixture
def asking(tmp_path: Path, teacher: FakeTeacher) -> Iterator[Asking]:
    teacher.reset()
    made = Asking(tmp_path, teacher.base_url, concurrency=64)
    made.samples, made.questions = 1, QUESTIONS
    made.options["clock"] = Clock(SPEED)
    yield made
    teacher.behave(**asdict(Behaviour()))


@pytest.mark.parametrize(("allowed", "ends"), [(0.02, False), (0.01, True)])
def test_seven_rows_that_always_fail_cost_themselves_alone(
    asking: Asking, teacher: FakeTeacher, allowed: float, ends: bool
) -> None:
    teacher.behave(time_speed=SPEED, fail_rows=r"What is (13|57|121|250|333|444|499) \+")
    asking.options["max_failure_share"] = allowed
    if ends:
        with pytest.raises(StageError, match="7 of 500 samples were given up after retries, more than 1%"):
            asking()
    else:
        found = asking()
        lost = [question for question, (reply,) in found.items() if reply.problem == "teacher_error"]
        assert len(lost) == 7
        assert asking.heard.lines[-1].startswith("7 of 500 samples were given up after retries, the last one with: 500")
    assert teacher.samples() == 493
    assert teacher.count() == 493 + 7 * 6


def test_a_minute_of_nothing_but_429_loses_nothing(asking: Asking, teacher: FakeTeacher) -> None:
    teacher.behave(time_speed=SPEED, latency_seconds=1.0, storm_seconds=60.0)
    found = asking()
    assert all(reply.problem is None for (reply,) in found.values())
    assert teacher.samples() == 500
    opened, closed = asking.heard.lines
    assert "takes nothing for now (429: " in opened
    assert closed.endswith("takes requests again")


@pytest.mark.long
def test_an_outage_is_waited_out_and_gives_hardly_a_request_up(asking: Asking, teacher: FakeTeacher) -> None:
    teacher.behave(time_speed=SPEED, storm_seconds=60.0, storm_status=503)
    found = asking()
    assert sum(reply.problem is not None for (reply,) in found.values()) <= 10
    assert [line.partition("takes")[2] for line in asking.heard.lines[:2]] == [
        " nothing for now (503: The server is overloaded): it is tried until it does",
        " requests again",
    ]


def test_a_teacher_that_never_takes_anything_ends_the_run_soon(asking: Asking, teacher: FakeTeacher) -> None:
    teacher.behave(time_speed=SPEED, fail_first=-1, fail_status=502)
    with pytest.raises(TeacherError, match="has taken nothing for 2 minutes, the last fault: 502: told to fail"):
        asking()
    assert teacher.count() < 200


@pytest.mark.parametrize("broken", ["reset", "html_502", "half_json", "empty_choices", "duplicate_ids", "wrong_usage"])
def test_broken_answers_are_asked_for_again(asking: Asking, teacher: FakeTeacher, broken: str) -> None:
    asking.questions = QUESTIONS[:100]
    undisturbed = texts(asking())
    teacher.behave(time_speed=SPEED, broken=broken, broken_share=0.3)
    asking.folder = asking.folder / "broken"
    assert texts(asking()) == undisturbed


def test_a_reply_that_drips_is_waited_for_and_one_that_never_comes_is_maybe_billed(
    asking: Asking, teacher: FakeTeacher
) -> None:
    asking.questions = QUESTIONS[:10]
    teacher.behave(time_speed=SPEED, broken="drip", broken_share=0.5)
    assert all(reply.problem is None for (reply,) in asking().values())
    asking.folder = asking.folder / "again"
    asking.choice["timeout_seconds"] = 0.5
    teacher.behave(broken="timeout", broken_share=0.5)
    assert all(reply.problem is None for (reply,) in asking().values())
    assert asking.usage["main"]["lost"] >= 1


@pytest.mark.long
def test_hidden_limits_lose_nothing(asking: Asking, teacher: FakeTeacher) -> None:
    teacher.behave(time_speed=SPEED, requests_per_minute=300, latency_seconds=0.5)
    found = asking()
    assert all(reply.problem is None for (reply,) in found.values())
    assert teacher.samples() == 500
    assert asking.heard.lines == []
    with asking.teachers() as teachers:
        learnt = teachers.ledger.learnt(teacher.base_url, "fake", "limits")
    assert 2 < learnt["requests"] < 10  # it grants 5 a second


def test_what_a_teacher_does_not_take_is_left_out_told_and_remembered(asking: Asking, teacher: FakeTeacher) -> None:
    asking.questions = QUESTIONS[:30]
    asking.samples = 2
    asking.system = (Message(role="system", content="Be brief."),)
    asking.asked = asking.asked.model_copy(update={"extra": {"logprobs": True}})
    teacher.behave(unsupported=["max_tokens", "system", "temperature", "seed", "logprobs", "n"])
    found = asking()
    assert all(reply.problem is None for replies in found.values() for reply in replies)
    first_lines = asking.heard.lines
    assert len(first_lines) == 6
    asking.heard = Heard()
    asking.questions = QUESTIONS[:40]
    before = teacher.count()
    asking()
    assert asking.heard.lines == []
    assert teacher.count() - before == 20
    sent = teacher.requests()[-1].body
    assert sent.keys() == {"model", "messages", "max_completion_tokens"}


def test_a_slow_teacher_keeps_no_fast_one_waiting(tmp_path: Path, teacher: FakeTeacher) -> None:
    teacher.reset()
    order: list[str] = []

    class Counting(Heard):
        def say(self, line: str) -> None:
            order.append(line)

    def conversation(question: str) -> Conversation[Reply]:
        (reply,) = yield [Request(messages=(Message(role="user", content=question),), max_tokens=50)]
        order.append(question.split()[0])
        return reply

    with FakeTeacher(latency_seconds=0.2, queue_slots=2) as slow:
        choices = Choices.model_validate(
            {
                "recipe": "r1-distill",
                "data": {"train": "none", "eval": "none"},
                "student": {"model": "none"},
                "teachers": {
                    "main": {"base_url": slow.base_url, "model": "slow", "concurrency": 4},
                    "fast": {"base_url": teacher.base_url, "model": "fast", "concurrency": 4},
                },
            }
        )
        with Teachers(choices, tmp_path, "one", tmp_path, Counting()) as teachers:
            teachers.fill(
                [
                    teachers.asked_of("main", [f"slow What is {n} + 1?" for n in range(20)], conversation),  # type: ignore[type-var]
                    teachers.asked_of("fast", [f"fast What is {n} + 1?" for n in range(20)], conversation),  # type: ignore[type-var]
                ]
            )
    last_fast = len(order) - order[::-1].index("fast")
    assert "slow" in order[last_fast:]
    assert order[:last_fast].count("fast") == 20


def test_one_teacher_asked_by_two_streams_lets_both_out_and_pays_for_the_same_once(
    asking: Asking, teacher: FakeTeacher
) -> None:
    teacher.behave(time_speed=SPEED, latency_seconds=0.5)
    asking.choice["concurrency"] = 4
    with asking.teachers() as teachers:
        asks = [teachers.asked_of("main", QUESTIONS[:40], asking.conversation) for _ in range(2)]
        asks.append(teachers.asked_of("main", QUESTIONS[20:60], asking.conversation))
        teachers.fill(asks)
    assert teacher.samples() == teacher.count() == 60


def test_the_same_prompt_in_two_conversations_is_asked_once(asking: Asking, teacher: FakeTeacher) -> None:
    def conversation(row: str) -> Conversation[list[Reply]]:
        asked = [
            asking.asked.model_copy(update={"messages": (Message(role="user", content=question),)})
            for question in QUESTIONS[:2]
        ]
        return list((yield asked))

    with asking.teachers() as teachers:
        assert len(list(teachers.ask("main", ["a", "b", "c"], conversation))) == 3  # type: ignore[type-var]
    assert teacher.count() == 2


def test_one_request_that_is_always_refused_for_a_limit_holds_up_no_other(asking: Asking, teacher: FakeTeacher) -> None:
    asking.questions = QUESTIONS[:80]
    asking.options["max_failure_share"] = 0.05
    teacher.behave(time_speed=SPEED, fail_rows=r"What is 13 \+", fail_rows_status=429, latency_seconds=0.2)
    found = asking()
    assert [question for question, (reply,) in found.items() if reply.problem] == ["What is 13 + 3 - 2?"]
    assert teacher.samples() == 79


def test_a_run_that_has_only_failing_rows_left_says_what_fails(asking: Asking, teacher: FakeTeacher) -> None:
    asking.questions = QUESTIONS[:20]
    teacher.behave(time_speed=SPEED, fail_rows=r"What is (3|5) \+")
    for _ in range(2):
        with pytest.raises(StageError, match="given up after retries, more than 2%; the last one with: 500"):
            asking()
    assert teacher.samples() == 18


@pytest.mark.parametrize(
    ("value", "seconds"), [("3", 3), ("inf", 0), ("1795330469", 469), ("soon", 0), (None, 0), ("-3", 0)]
)
def test_a_wait_is_read_as_what_it_can_be(value: str | None, seconds: float) -> None:
    assert retry_after(value, now=1795330000) == seconds


RUBBISH = (
    b"this is no HTTP\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 7\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n",
    b"",
)


@pytest.mark.parametrize("answer", RUBBISH)
def test_an_answer_that_is_not_http_is_a_failed_attempt_and_no_late_one(asking: Asking, answer: bytes) -> None:
    def serve(listening: socket.socket) -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            connection.recv(65536)
            connection.sendall(answer)
            connection.close()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=serve, args=(listening,), daemon=True).start()
        asking.choice |= {"base_url": f"http://127.0.0.1:{listening.getsockname()[1]}/v1", "attempts": 2}
        asking.questions = QUESTIONS[:1]
        with pytest.raises(TeacherError, match="no answer from") as caught:
            asking()
        listening.shutdown(socket.SHUT_RDWR)
    assert "within 600 s" not in caught.value.fact
