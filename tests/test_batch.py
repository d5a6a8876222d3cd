"""Asking through a batch API: what is sent as which job, what its results become, and what each end of one leads to."""

import asyncio
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from pipeline.batch_commands import cancel
from pipeline.choices import Choices
from pipeline.errors import BudgetError, Interrupted, PipelineError, StageError, TeacherError, UsageError
from pipeline.progress import Silent
from pipeline.rows import Message
from pipeline.stage import Conversation, Reply, Request
from pipeline.teacher import Teachers
from pipeline.teacher.batch import api, filling, packing
from pipeline.teacher.batch.jobs import Job, Jobs, line_of
from pipeline.teacher.batch.results import Result, read_result
from pipeline.teacher.batch.room import KEPT_SECONDS, Room
from pipeline.teacher.ledger.entries import Intent
from pipeline.teacher.ledger.ledger import Ledger
from pipeline.teacher.limits.gate import Clock
from tests.fake_teacher import Behaviour, FakeTeacher
from tests.project import Project

SPEED = 100
"""The provider's time, and ours, run so much faster."""
QUESTIONS = [f"What is {number} + 3 - 2?" for number in range(12)]


@pytest.fixture(scope="module")
def server() -> Iterator[FakeTeacher]:
    with FakeTeacher() as running:
        yield running


@pytest.fixture
def teacher(server: FakeTeacher) -> FakeTeacher:
    server.behave(**asdict(Behaviour(time_speed=SPEED, batch_seconds=10)))
    server.reset()
    return server


class Heard(Silent):
    """A progress that remembers what it was told, and acts on it."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.done = 0
        self.on_line: Callable[[str], None] = lambda line: None

    def advance(self, count: int = 1) -> None:
        self.done += count

    def say(self, line: str) -> None:
        self.lines.append(line)
        self.on_line(line)


class Asking:
    """One way to ask; `self()` asks all questions and gives the replies of each."""

    def __init__(self, folder: Path, base_url: str, **choice: Any) -> None:
        self.folder = folder
        self.heard = Heard()
        self.choice: dict[str, Any] = {"base_url": base_url, "model": "fake", "batch": True, **choice}
        self.choices: dict[str, Any] = {}
        self.run = "one"
        self.samples = 2
        self.follow_up = False
        self.questions: Sequence[str] = QUESTIONS
        self.usage: dict[str, Any] = {}

    def all_choices(self) -> Choices:
        choices = {
            "recipe": "r1-distill",
            "run": self.run,
            "data": {"train": "none", "eval": "none"},
            "student": {"model": "none"},
            "teachers": {"main": self.choice},
            **self.choices,
        }
        return Choices.model_validate(choices)

    def teachers(self) -> Teachers:
        logs = self.folder / "logs"
        return Teachers(self.all_choices(), self.folder, self.run, logs, self.heard, clock=Clock(SPEED))

    def conversation(self, question: str) -> Conversation[list[Reply]]:
        messages = (Message(role="user", content=question),)
        asked = Request(messages=messages, seed=3, temperature=0.7, max_tokens=50)
        replies = list((yield asked.samples(self.samples)))
        if self.follow_up:
            talk = (
                *messages,
                Message(role="assistant", content=replies[0].text),
                Message(role="user", content=question),
            )
            replies += yield [asked.model_copy(update={"messages": talk})]
        return replies

    def __call__(self) -> dict[str, list[Reply]]:
        with self.teachers() as teachers:
            teachers.begin("solve", self.heard)
            try:
                found = dict(teachers.ask("main", self.questions, self.conversation))
            finally:
                self.usage = teachers.usage().get("main", {})
        assert list(found) == list(self.questions)
        return found

    def jobs(self) -> list[Job]:
        with Ledger(self.folder / "ledger.sqlite") as ledger:
            return Jobs(ledger).all()

    def change(self, statement: str) -> None:
        with Ledger(self.folder / "ledger.sqlite") as ledger:
            ledger.rows(statement)


@pytest.fixture
def asking(tmp_path: Path, teacher: FakeTeacher) -> Asking:
    return Asking(tmp_path, teacher.base_url)


def texts(found: dict[str, list[Reply]]) -> dict[str, list[str]]:
    assert all(reply.problem is None for replies in found.values() for reply in replies)
    return {question: [reply.text for reply in replies] for question, replies in found.items()}


def sizes(teacher: FakeTeacher) -> list[int]:
    """Requests of each batch that the provider has."""
    return [len(told["bodies"]) for told in teacher.batches()]


def was_answered_once(teacher: FakeTeacher) -> bool:
    return set(teacher.billed().values()) == {1}


def test_a_batch_gives_what_asking_online_gives_at_half_the_price(
    asking: Asking, teacher: FakeTeacher, tmp_path: Path
) -> None:
    asking.choice["price"] = {"input": 1, "output": 2}
    in_batch = asking()
    # The first request of a teacher that never replied goes online: what is wrong shows at once.
    assert (teacher.count(), sizes(teacher), asking.heard.done) == (1, [11], 12)
    assert all(body["n"] == 2 for body in teacher.batches()[0]["bodies"])
    online = Asking(tmp_path / "online", teacher.base_url, batch=False, price=asking.choice["price"])
    assert texts(in_batch) == texts(online())
    by_index = [usage["cost_usd"] for usage in (asking.usage, online.usage)]
    assert 0.5 * by_index[1] < by_index[0] < 0.6 * by_index[1]
    asking()
    assert sizes(teacher) == [11]


def test_each_turn_of_the_conversations_is_one_job(asking: Asking, teacher: FakeTeacher) -> None:
    asking.follow_up = True
    assert all(len(replies) == 3 for replies in texts(asking()).values())
    assert sizes(teacher) == [11, 12]
    assert was_answered_once(teacher)


def test_a_server_without_a_batch_api_is_told_before_anything_is_sent(asking: Asking, teacher: FakeTeacher) -> None:
    teacher.behave(batches=False)
    with pytest.raises(UsageError, match="has no batch API") as caught:
        asking()
    assert "take `batch: true` out of teachers.main" in str(caught.value)
    assert teacher.count() == 0


def test_large_work_goes_out_as_several_jobs_at_once(
    asking: Asking, teacher: FakeTeacher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packing, "MOST_REQUESTS", 4)
    teacher.behave(batch_seconds=1e6)
    asking.heard.on_line = lambda line: teacher.behave(batch_seconds=0) if line.startswith("batch 3") else None
    texts(asking())
    assert sizes(teacher) == [4, 4, 3]


@pytest.mark.parametrize(
    "limit",
    [{"batch_enqueued_tokens": 20}, {"batch_most_bytes": 700}, {"batch_most_requests": 3}],
    ids=["its queue is short", "its files are small", "its batches are small"],
)
def test_a_job_that_the_provider_has_no_room_for_is_halved_and_that_is_remembered(
    asking: Asking, teacher: FakeTeacher, limit: dict[str, int]
) -> None:
    teacher.behave(**limit)
    texts(asking())
    assert was_answered_once(teacher)
    assert any("no room" in line for line in asking.heard.lines)
    assert {job.status for job in asking.jobs()} == {"completed"}
    asking.heard.lines.clear()
    asking.questions = [*QUESTIONS, *(f"What is {number} + 4 + 1?" for number in range(6))]
    texts(asking())
    assert not any("no room" in line for line in asking.heard.lines)
    assert was_answered_once(teacher)


def test_a_queue_that_takes_nothing_at_all_is_told(asking: Asking, teacher: FakeTeacher) -> None:
    teacher.behave(batch_enqueued_tokens=2)
    with pytest.raises(StageError, match="takes not even one request"):
        asking()


def test_a_queue_is_learnt_by_what_was_under_way_beside_a_refused_job_at_any_time() -> None:
    room = Room(None, 0.0)
    large, small, single = job_of(1, 400, 4), job_of(2, 100, 2), job_of(3, 90, 1)
    assert room.is_free_for(large)
    room.enter(large)
    room.enter(small)
    assert room.leave(large) == 100
    assert room.leave(small) == 400
    room.narrow(small, 400, 0.0)
    assert room.most_bytes == 450
    assert (room.must_split(large), room.is_free_for(large)) == (False, True)
    room.narrow(large, 0, 0.0)
    assert room.most_bytes == 200
    assert (room.must_split(large), room.must_split(small), room.must_split(single)) == (True, False, False)
    room.enter(small)
    assert (room.is_free_for(single), room.is_free_for(job_of(4, 101, 1))) == (True, False)


def test_what_was_learnt_of_the_room_is_forgotten_after_a_day() -> None:
    note = Room(None, 0.0).narrow(job_of(1, 500, 5), 0, 1000.0)
    assert Room(note, 1000.0 + KEPT_SECONDS - 1).most_bytes == 250
    assert Room(note, 1000.0 + KEPT_SECONDS + 1).most_bytes == float("inf")


def job_of(number: int, body_bytes: int, requests: int) -> Job:
    return Job(number, 0.0, "one", "solve", "https://host/v1", "m", "nonce", requests, body_bytes, 0)


def test_a_few_lines_that_failed_are_asked_online(asking: Asking, teacher: FakeTeacher) -> None:
    teacher.behave(batch_error_share=0.4)
    texts(asking())
    (job,) = asking.jobs()
    assert job.replies < 11
    assert teacher.count() == 1 + 11 - job.replies
    assert asking.usage["failed"] == 11 - job.replies
    assert was_answered_once(teacher)


@pytest.mark.parametrize("end", ["expired", "cancelled"])
def test_what_an_unfinished_batch_left_over_is_asked_in_one_more(
    asking: Asking, teacher: FakeTeacher, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    monkeypatch.setattr(filling, "TAIL_REQUESTS", 1)
    teacher.behave(batch_ends=end)
    asking.heard.on_line = lambda line: teacher.behave(batch_ends="completed") if end in line else None
    texts(asking())
    assert sizes(teacher) == [11, 6]
    assert teacher.count() == 1
    assert was_answered_once(teacher)


def test_two_batches_that_leave_much_over_end_the_step(
    asking: Asking, teacher: FakeTeacher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filling, "TAIL_REQUESTS", 1)
    teacher.behave(batch_ends="expired", batch_done_share=0.3)
    with pytest.raises(StageError, match="after two batches, more than 1 of 12 requests have no answer"):
        asking()
    assert sizes(teacher) == [11, 8]
    teacher.behave(batch_ends="completed")
    texts(asking())
    assert sizes(teacher) == [11, 8, 6]
    assert was_answered_once(teacher)


def test_a_batch_that_the_provider_cannot_read_ends_the_run_and_costs_nothing(
    asking: Asking, teacher: FakeTeacher
) -> None:
    asking.choice["price"] = {"input": 1, "output": 2}
    teacher.behave(batch_ends="failed")
    with pytest.raises(TeacherError, match=r"could not read batch 1 .*invalid_request: told to fail"):
        asking()
    assert (asking.usage["failed"], asking.usage["waiting"], asking.usage["untold_usd"]) == (11, 0, 0)
    teacher.behave(batch_ends="completed")
    texts(asking())


@pytest.mark.parametrize(
    ("code", "samples", "online"),
    [("content_filter", 2, 1), (None, 1, 1), (None, 2, 1 + 1 + 2)],
    ids=["for what it says", "for one sample", "perhaps for the number of samples"],
)
def test_a_refusal_is_an_answer_unless_it_may_be_for_several_samples(
    asking: Asking, teacher: FakeTeacher, code: str | None, samples: int, online: int
) -> None:
    teacher.behave(refuse=QUESTIONS[5], refuse_code=code)
    asking.samples = samples
    found = asking()
    assert {reply.problem for reply in found[QUESTIONS[5]]} == {"refused"}
    assert sum(reply.problem is None for replies in found.values() for reply in replies) == 11 * samples
    assert teacher.count() == online


def test_a_parameter_that_batches_do_not_take_is_left_out_of_the_next_one(
    asking: Asking, teacher: FakeTeacher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filling, "TAIL_REQUESTS", 1)
    asking.heard.on_line = lambda line: teacher.behave(unsupported=["temperature"]) if "sent" in line else None
    texts(asking())
    first, second = teacher.batches()
    assert all("temperature" in body for body in first["bodies"])
    assert not any("temperature" in body for body in second["bodies"])
    assert sum("temperature" in line for line in asking.heard.lines if line.startswith("teachers.main ")) == 1
    assert was_answered_once(teacher)


def test_a_server_that_gives_one_sample_at_a_time_gets_one_request_a_sample(
    asking: Asking, teacher: FakeTeacher
) -> None:
    teacher.behave(ignore_n=True)
    texts(asking())
    assert (teacher.count(), sizes(teacher)) == (2, [22])


def test_a_budget_that_cannot_set_all_aside_at_once_makes_the_jobs_smaller(
    asking: Asking, teacher: FakeTeacher
) -> None:
    asking.choice["price"] = {"input": 0, "output": 10_000}
    asking.choices = {"budget_usd": 3.0}  # at its worst a request costs 2 x 50 tokens x half of 0.01 USD
    texts(asking())
    assert max(sizes(teacher)) <= 5
    assert sum(sizes(teacher)) == 11
    assert asking.usage["cost_usd"] <= 3.0


def test_a_budget_that_is_reached_ends_the_run_and_a_higher_one_goes_on(asking: Asking, teacher: FakeTeacher) -> None:
    asking.choices = {"budget_requests": 7}
    with pytest.raises(BudgetError, match="budget of 7 requests"):
        asking()
    assert (teacher.count(), sizes(teacher)) == (1, [6])
    asking.choices = {"budget_requests": 12}
    texts(asking())
    assert (teacher.count(), sizes(teacher)) == (1, [6, 5])


def interrupt(asking: Asking, error: type[PipelineError] = Interrupted) -> None:
    """Ask, and stop while the first job is at the provider."""
    asking.heard.on_line = lambda line: os.kill(os.getpid(), signal.SIGINT) if "requests sent" in line else None
    with pytest.raises(error):
        asking()
    asking.heard.on_line = lambda line: None


@pytest.mark.parametrize("run", ["one", "another"])
def test_a_batch_goes_on_after_an_interrupt_and_any_run_picks_it_up(
    asking: Asking, teacher: FakeTeacher, run: str
) -> None:
    interrupt(asking)
    assert asking.heard.lines[-1] == "one batch may go on at the provider: the same command picks them up"
    assert asking.usage["waiting"] == 11
    asking.run = run
    texts(asking())
    assert sizes(teacher) == [11]
    assert was_answered_once(teacher)


def test_what_is_under_way_in_a_batch_is_not_asked_online_too(asking: Asking, teacher: FakeTeacher) -> None:
    interrupt(asking)
    asking.choice["batch"] = False
    with pytest.raises(UsageError, match="1 batch jobs are under way, and it is to be asked online now"):
        asking()
    assert teacher.count() == 1  # the first one, which goes online
    asking.choice["batch"] = True
    asking()
    assert was_answered_once(teacher)


def test_a_batch_of_an_earlier_process_leaves_the_budget_what_it_did_not_use(
    asking: Asking, teacher: FakeTeacher
) -> None:
    asking.choice["price"] = {"input": 0, "output": 10_000}
    asking.choices = {"budget_usd": 6.6, "budget_requests": 12}
    interrupt(asking)
    asking.questions = [*QUESTIONS, "What is 20 + 3 - 2?"]
    with pytest.raises(BudgetError, match="budget of 12 requests"):
        asking()
    asking.choices = {"budget_usd": 6.6}
    texts(asking())
    assert sizes(teacher) == [11, 1]


def test_a_batch_whose_name_was_not_noted_is_found_by_what_it_carries(
    asking: Asking, teacher: FakeTeacher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "PAGE", 1)
    interrupt(asking)
    other = Asking(asking.folder / "other", teacher.base_url)
    texts(other())
    asking.change("DELETE FROM batch_events WHERE kind IN ('created', 'status')")
    assert [job.is_in_doubt for job in asking.jobs()] == [True]
    texts(asking())
    assert sizes(teacher) == [11, 11]


@pytest.mark.parametrize("noted", ["", "'uploaded'", "'uploaded', 'creating'"])
def test_a_job_that_never_left_is_given_up_and_its_requests_are_asked_anew(
    asking: Asking, teacher: FakeTeacher, noted: str
) -> None:
    interrupt(asking)
    asking.change(f"DELETE FROM batch_events WHERE kind NOT IN ({noted})")
    teacher.reset()
    texts(asking())
    assert [(job.status, job.replies) for job in asking.jobs()] == [("never sent", 0), ("completed", 11)]


def test_results_that_were_stored_before_a_kill_are_not_stored_again(asking: Asking, teacher: FakeTeacher) -> None:
    interrupt(asking)
    first = teacher.batches()[0]["custom_ids"][0]
    asking.change(
        "INSERT INTO replies SELECT NULL, id, 0, 'failed', 500, NULL, NULL, NULL, '{}', x'' FROM requests"
        f" WHERE id = {first.rpartition('-')[2]}"
    )
    texts(asking())
    assert (sizes(teacher), teacher.count()) == ([11], 2)
    assert "1 lines that belong to no request" in " ".join(asking.heard.lines)


def test_a_batch_that_is_gone_is_told_and_given_up_only_when_the_user_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    behaviour = {"time_speed": SPEED, "batch_seconds": 10}
    with FakeTeacher(**behaviour) as first:
        asking = Asking(tmp_path, first.base_url, identity="https://host/v1")
        interrupt(asking)
    with FakeTeacher(**behaviour) as second:
        asking.choice["base_url"] = second.base_url
        with pytest.raises(StageError, match="does not know batch 1 any more") as caught:
            asking()
        assert str(caught.value).endswith("python -m pipeline batch cancel 1")
        cancel(asking.all_choices(), asking.folder, "1")
        assert capsys.readouterr().out == (
            "batch 1 is unknown to the provider: 11 requests are given up, and maybe billed\n"
        )
        texts(asking())
        assert asking.usage["lost"] == 11


def test_a_user_cancels_a_batch_from_a_second_terminal(
    asking: Asking, teacher: FakeTeacher, capsys: pytest.CaptureFixture[str]
) -> None:
    teacher.behave(batch_seconds=1000, batch_done_share=0.3)
    second = threading.Thread(target=cancel, args=(asking.all_choices(), asking.folder, None))
    asking.heard.on_line = lambda line: second.start() if "requests sent" in line else None
    with pytest.raises(StageError, match="batch 1 was cancelled with `batch cancel`"):
        asking()
    second.join()
    told = capsys.readouterr().out
    assert told == "batch 1 (batch_000001) is being cancelled; the next run takes what it gave by now\n"
    assert [(job.status, job.replies) for job in asking.jobs()] == [("cancelled", 3)]
    with pytest.raises(UsageError, match="run 'one' has no open batch"):
        cancel(asking.all_choices(), asking.folder, None)
    teacher.behave(batch_seconds=10)
    asking.heard.on_line = lambda line: None
    texts(asking())
    assert (sizes(teacher), teacher.count()) == ([11, 8], 1)


def test_batches_of_an_unknown_teacher_are_not_cancelled(asking: Asking, teacher: FakeTeacher) -> None:
    interrupt(asking)
    with pytest.raises(UsageError, match="no open batch is called 'batch_7'"):
        cancel(asking.all_choices(), asking.folder, "batch_7")
    asking.choice["model"] = "other"
    with pytest.raises(UsageError, match=r"batch 1 is of fake at .*: no teacher of the choices is that"):
        cancel(asking.all_choices(), asking.folder, "batch_000001")
    assert not asking.jobs()[0].is_cancelled


def test_a_user_sees_every_batch(asking: Asking, teacher: FakeTeacher, tmp_path: Path) -> None:
    project = Project(tmp_path, teacher.base_url)
    asking.folder = tmp_path / "outputs"
    asking()
    listed = project.run("batch", "list").stdout.splitlines()[1].split()
    assert listed[:8] == ["1", "batch_000001", "one", "solve", "fake", "11", "11", "completed"]


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85", "\n", "\x0b", "\x1e"])
def test_no_character_of_a_prompt_ends_a_line_of_a_job(separator: str) -> None:
    body = f'{{"content":"a{separator}b"}}' if separator > "\x7f" else '{"content":"a\\u000ab"}'
    line = line_of("nonce-1", body.encode())
    assert line.decode().splitlines() == [line.decode().rstrip("\n")]


@pytest.mark.parametrize(
    ("line", "result"),
    [
        (
            b'{"custom_id": "x-1", "response": {"status_code": 200, "request_id": "r", "body": {"a": 1}}}',
            Result("x-1", 200, "r", b'{"a": 1}', "it was not answered"),
        ),
        (
            b'{"custom_id": "x-1", "response": null, "error": {"code": "batch_expired", "message": "too late"}}',
            Result("x-1", None, "", b"null", "too late"),
        ),
        # OpenAI has been seen to give this for requests that it counted as completed.
        (
            b'{"custom_id": "x-1", "response": {"status_code": 0, "request_id": "", "body": ""}, "error": null}',
            Result("x-1", None, "", b"", "it was not answered"),
        ),
        (b'{"custom_id": 1, "response": null}', None),
        (b'{"response": null}', None),
        (b"[]", None),
        (b'{"custom_id": "x-1", "resp', None),
    ],
)
def test_a_line_of_results_is_read_as_what_it_is(line: bytes, result: Result | None) -> None:
    assert read_result(line) == result


@pytest.mark.parametrize(("requests", "halves"), [(2, (1, 1)), (5, (3, 2))])
def test_a_job_is_split_into_two_that_share_no_request(tmp_path: Path, requests: int, halves: tuple[int, int]) -> None:
    async def split(jobs: Jobs, ledger: Ledger) -> tuple[Job, Job]:
        with ledger.writing():
            intents = [Intent("one", "solve", "https://host/v1", "m", 0, 9, (f"k{n}",), b"{}") for n in range(requests)]
            number = await jobs.begin(intents)
            return jobs.get(await jobs.split(jobs.get(number))), jobs.get(number)

    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        jobs = Jobs(ledger)
        other, first = asyncio.run(split(jobs, ledger))
        assert (first.requests, other.requests) == halves
        names = [*jobs.waiting(first), *jobs.waiting(other)]
        assert len(set(names)) == requests
        assert first.nonce != other.nonce
