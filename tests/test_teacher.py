"""Asking a teacher: what is sent, what is kept, what it costs and how it ends, against a real HTTP server."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from fake_teacher import Behaviour, FakeTeacher

from pipeline.choices import Choices
from pipeline.errors import BudgetError, PipelineError, StageError, TeacherError, UsageError
from pipeline.lock import hold
from pipeline.progress import Silent
from pipeline.rows import Message
from pipeline.stage import Conversation, Reply, Request
from pipeline.teacher import Teachers
from pipeline.teacher.ledger.ledger import Ledger
from pipeline.teacher.limits.gate import Clock

QUESTIONS = [f"What is {number} + 3 - 2?" for number in range(12)]


@pytest.fixture(scope="module")
def server() -> Iterator[FakeTeacher]:
    with FakeTeacher() as running:
        yield running


@pytest.fixture
def teacher(server: FakeTeacher) -> FakeTeacher:
    server.behave(**asdict(Behaviour()))
    server.reset()
    return server


class Heard(Silent):
    """A progress that remembers what it was told."""

    def __init__(self, on_line: Callable[[str], None] = lambda line: None) -> None:
        self.lines: list[str] = []
        self.figures: dict[str, float | str] = {}
        self.done = 0
        self._on_line = on_line

    def advance(self, count: int = 1) -> None:
        self.done += count

    def note(self, **figures: float | str) -> None:
        self.figures.update(figures)

    def say(self, line: str) -> None:
        self.lines.append(line)
        self._on_line(line)


class Asking:
    """One way to ask; `self()` asks all questions and gives the replies of each."""

    def __init__(self, folder: Path, base_url: str, **choice: Any) -> None:
        self.folder = folder
        self.heard = Heard()
        self.choice: dict[str, Any] = {"base_url": base_url, "model": "fake", "concurrency": 4, **choice}
        self.run = "one"
        self.budget_usd: float | None = None
        self.asked = Request(messages=(), seed=3, temperature=0.7, max_tokens=50)
        self.system: tuple[Message, ...] = ()
        self.samples = 4
        self.questions: Sequence[str] = QUESTIONS
        self.options: dict[str, Any] = {"clock": Clock(speed=100)}
        self.usage: dict[str, dict[str, Any]] = {}

    def teachers(self) -> Teachers:
        choices = {
            "recipe": "r1-distill",
            "data": {"train": "none", "eval": "none"},
            "student": {"model": "none"},
            "teachers": {"main": self.choice},
            "budget_usd": self.budget_usd,
        }
        return Teachers(
            Choices.model_validate(choices), self.folder, self.run, self.folder / "logs", self.heard, **self.options
        )

    def conversation(self, question: str) -> Conversation[list[Reply]]:
        messages = (*self.system, Message(role="user", content=question))
        replies = yield self.asked.model_copy(update={"messages": messages}).samples(self.samples)
        return list(replies)

    def __call__(self) -> dict[str, list[Reply]]:
        with self.teachers() as teachers:
            teachers.begin("solve", self.heard)
            try:
                found = list(teachers.ask("main", self.questions, self.conversation))
            finally:
                self.usage = teachers.usage()
        assert [question for question, _ in found] == list(self.questions)
        return dict(found)


@pytest.fixture
def asking(tmp_path: Path, teacher: FakeTeacher) -> Asking:
    return Asking(tmp_path, teacher.base_url)


def texts(found: dict[str, list[Reply]]) -> dict[str, list[str]]:
    return {question: [reply.text for reply in replies] for question, replies in found.items()}


def test_samples_of_one_prompt_travel_as_one_request_and_read_as_if_asked_alone(
    asking: Asking, teacher: FakeTeacher, tmp_path: Path
) -> None:
    together = asking()
    assert [(seen.n, seen.seed) for seen in teacher.requests()] == [(4, 3)] * 12
    teacher.behave(reject_n=True)
    alone = Asking(tmp_path / "alone", teacher.base_url)()
    assert texts(alone) == texts(together)
    assert all(reply.problem is None and not reply.cut for replies in together.values() for reply in replies)


def test_tokens_that_nobody_told_are_told_apart(asking: Asking, teacher: FakeTeacher) -> None:
    asking()
    assert (asking.usage["main"]["uncounted"], asking.usage["main"]["completion_tokens"] > 0) == (0, True)
    teacher.behave(no_usage=True)
    asking.questions = ["What is 9 + 9?"]
    asking()
    assert (asking.usage["main"]["uncounted"], asking.usage["main"]["requests"]) == (1, 13)


@pytest.mark.parametrize(
    ("edit", "samples"),
    [
        ({}, 0),
        ({"run": "two"}, 0),
        ({"samples": 8}, 48),
        ({"samples": 2}, 0),
        ({"questions": [*QUESTIONS, "What is 9 + 9?"]}, 4),
        ({"questions": QUESTIONS[::-1]}, 0),
        ({"questions": ["What is 8 + 8?", *QUESTIONS[1:]]}, 4),
        ({"system": (Message(role="system", content="Be brief."),)}, 48),
        ({"asked.temperature": 1.0}, 48),
        ({"asked.max_tokens": 500}, 0),
        ({"asked.max_tokens": 2}, 0),
        ({"asked.seed": 4}, 48),
        ({"choice.model": "other"}, 48),
        ({"choice.request": {"top_k": 3}}, 48),
        ({"choice.concurrency": 2}, 0),
        ({"choice.headers": {"X-Team": "a"}}, 0),
        ({"choice.timeout_seconds": 9}, 0),
        ({"choice.identity": "elsewhere"}, 48),
    ],
)
def test_an_edit_asks_for_what_it_changed_alone(
    asking: Asking, teacher: FakeTeacher, edit: dict[str, Any], samples: int
) -> None:
    asking()
    teacher.reset()
    for name, value in edit.items():
        part, _, field = name.partition(".")
        if part == "choice":
            asking.choice[field] = value
        elif part == "asked":
            asking.asked = asking.asked.model_copy(update={field: value})
        else:
            setattr(asking, name, value)
    asking()
    assert teacher.samples() == samples


def test_a_raised_limit_asks_for_the_cut_samples_alone(asking: Asking, teacher: FakeTeacher) -> None:
    asking.asked = asking.asked.model_copy(update={"max_tokens": 17})
    first = asking()
    cut = [(question, place) for question, replies in first.items() for place, r in enumerate(replies) if r.cut]
    assert 0 < len(cut) < 48
    teacher.reset()
    asking.asked = asking.asked.model_copy(update={"max_tokens": 100})
    second = asking()
    assert teacher.samples() == len(cut)
    assert not any(reply.cut for replies in second.values() for reply in replies)
    whole = [(q, p) for q, replies in first.items() for p, r in enumerate(replies) if not r.cut]
    assert all(first[question][place] == second[question][place] for question, place in whole)
    asking.asked = asking.asked.model_copy(update={"max_tokens": 17})
    assert asking() == first


def test_a_conversation_may_ask_again_after_what_it_read(asking: Asking, teacher: FakeTeacher) -> None:
    def adaptive(question: str) -> Conversation[int]:
        request = asking.asked.model_copy(update={"messages": (Message(role="user", content=question),)})
        replies = list((yield request.samples(2)))
        if len({reply.text.split()[-1] for reply in replies}) > 1:
            replies += yield request.samples(2, first=2)
        return len(replies)

    with asking.teachers() as teachers:
        counts = [count for _, count in teachers.ask("main", QUESTIONS, adaptive)]
        assert set(counts) == {2, 4}
        assert teacher.samples() == sum(counts)
        assert [count for _, count in teachers.ask("main", QUESTIONS, adaptive)] == counts
    assert teacher.samples() == sum(counts)


def test_equal_requests_are_sent_once_even_side_by_side(asking: Asking, teacher: FakeTeacher) -> None:
    asking.questions = QUESTIONS[:1] * 10
    teacher.behave(latency_seconds=0.05)
    with asking.teachers() as teachers:
        found = [replies for _, replies in teachers.ask("main", asking.questions, asking.conversation)]
    assert found == [found[0]] * 10
    assert teacher.count() == 1


def test_rows_are_taken_as_conversations_end(asking: Asking) -> None:
    begun = ended = most = 0

    class Rows:
        def __iter__(self) -> Iterator[str]:
            nonlocal begun, most
            for number in range(60):
                begun += 1
                most = max(most, begun - ended)
                yield f"What is {number} + 1?"

    def conversation(question: str) -> Conversation[None]:
        nonlocal ended
        yield asking.asked.model_copy(update={"messages": (Message(role="user", content=question),)}).samples(1)
        ended += 1

    with asking.teachers() as teachers:
        for _ in teachers.ask("main", Rows(), conversation):
            pass
    assert most <= 2 * 4 + 1  # and the one row at which the ledger was found wanting


@pytest.mark.parametrize(
    ("behaviour", "sent"), [({"ignore_n": True}, [4, 1, 1, 1, 1, 1, 1, 1]), ({"reject_n": True}, [4] + [1] * 8)]
)
def test_a_server_that_takes_no_n_is_asked_singly_from_then_on(
    asking: Asking, teacher: FakeTeacher, behaviour: dict[str, Any], sent: list[int]
) -> None:
    teacher.behave(**behaviour)
    asking.choice["concurrency"] = 1
    asking.questions = QUESTIONS[:2]
    found = asking()
    assert [seen.n for seen in teacher.requests()] == sent
    assert all(reply.text for replies in found.values() for reply in replies)


@pytest.mark.parametrize(("model", "thinks"), [("fake", False), ("fake-think", True), ("fake-inline", True)])
def test_thoughts_are_kept_apart_from_the_text(asking: Asking, model: str, thinks: bool) -> None:
    asking.choice["model"] = model
    for replies in asking().values():
        assert all(reply.thoughts.startswith("The sum is") == thinks for reply in replies)
        assert all("think" not in reply.text and "The answer is" in reply.text for reply in replies)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_what_may_go_better_is_tried_again_and_each_attempt_is_in_the_books(
    asking: Asking, teacher: FakeTeacher, status: int
) -> None:
    teacher.behave(fail_first=3, fail_status=status)
    found = asking()
    assert all(reply.problem is None for replies in found.values() for reply in replies)
    assert teacher.count() == 15
    assert (asking.usage["main"]["requests"], asking.usage["main"]["failed"]) == (15, 3)


def test_a_server_that_asks_to_wait_is_waited_for(asking: Asking, teacher: FakeTeacher) -> None:
    teacher.behave(fail_first=1, fail_status=429, retry_after="1")
    asking.questions = QUESTIONS[:1]
    asking.options["clock"] = Clock()
    asking()
    first, second = teacher.requests()
    assert second.at - first.at >= 1.0


@pytest.mark.parametrize(
    ("behaviour", "fact", "hint"),
    [
        (
            {"fail_first": -1, "fail_status": 401, "fail_body": '{"error": {"message": "bad key sk-secret-1"}}'},
            "teachers.main (fake at {url}): 401: bad key ***",
            "check the key in FAKE_KEY",
        ),
        (
            {"fail_first": -1, "fail_status": 402},
            "teachers.main (fake at {url}): 402: told to fail",
            "the account has no credit left; top it up and run again",
        ),
        (
            {"fail_first": -1, "fail_status": 404},
            "teachers.main (fake at {url}): 404: told to fail",
            "check model, and that base_url ends in its version path, as in /v1",
        ),
        (
            {"html": True},
            "teachers.main (fake at {url}): answered text/html, not JSON",
            "base_url probably lacks its version path, as in /v1",
        ),
        (
            {"fail_first": -1, "fail_status": 500},
            "teachers.main: no answer from {url}: 500: told to fail",
            "check base_url, and that the server is up and can be reached from here",
        ),
        (
            {"fail_first": -1, "fail_status": 400, "fail_body": '{"error": {"message": "no max_tokens here"}}'},
            "teachers.main (fake at {url}) refused every request so far (8), the last one with: "
            "400: no max_tokens here",
            "change teachers.main.request, where null leaves a field out of the body, or the step's fields; no "
            "refusal is kept",
        ),
    ],
)
def test_a_teacher_that_cannot_be_asked_ends_the_run_and_says_why(
    asking: Asking,
    teacher: FakeTeacher,
    monkeypatch: pytest.MonkeyPatch,
    behaviour: dict[str, Any],
    fact: str,
    hint: str,
) -> None:
    monkeypatch.setenv("FAKE_KEY", "sk-secret-1")
    asking.choice |= {"key_env": "FAKE_KEY", "concurrency": 1, "attempts": 2}
    asking.samples = 1
    teacher.behave(**behaviour)
    with pytest.raises(TeacherError) as caught:
        asking()
    assert (caught.value.fact, caught.value.hint) == (fact.format(url=teacher.base_url), hint)
    assert {seen.authorization for seen in teacher.requests()} == {"Bearer sk-secret-1"}
    teacher.behave(**asdict(Behaviour()))
    teacher.reset()
    asking()
    assert teacher.samples() == 12
    assert not any(b"sk-secret-1" in path.read_bytes() for path in asking.folder.glob("ledger.sqlite-*"))


def test_a_teacher_that_is_down_is_told_within_seconds(tmp_path: Path) -> None:
    with FakeTeacher() as gone:
        asking = Asking(tmp_path, gone.base_url)
    with pytest.raises(TeacherError) as caught:
        asking()
    assert caught.value.fact == f"teachers.main: no answer from {gone.base_url}: connection refused"
    assert asking.usage["main"]["failed"] <= 3 * 2 * 4  # conversations side by side


def test_a_key_that_is_not_set_is_told_before_anything_is_sent(asking: Asking, teacher: FakeTeacher) -> None:
    asking.choice["key_env"] = "NO_SUCH_KEY"
    with pytest.raises(UsageError, match="the environment has no NO_SUCH_KEY"):
        asking()
    assert teacher.count() == 0


def test_what_the_ledger_has_needs_no_key_and_no_server(tmp_path: Path) -> None:
    with FakeTeacher() as teacher:
        asking = Asking(tmp_path, teacher.base_url)
        first = asking()
    asking.choice["key_env"] = "NO_SUCH_KEY"
    with hold(tmp_path / "ledger.lock", "somebody else"):
        assert asking() == first


def test_a_refusal_of_one_request_is_final(asking: Asking, teacher: FakeTeacher) -> None:
    teacher.behave(refuse="What is 5 + 3")
    found = asking()
    assert {reply.problem for reply in found[QUESTIONS[5]]} == {"refused"}
    assert {reply.detail for reply in found[QUESTIONS[5]]} == {"this request was refused"}
    assert all(reply.problem is None for reply in found[QUESTIONS[6]])
    teacher.behave(refuse=None)
    teacher.reset()
    assert asking() == found
    assert teacher.count() == 0


def test_a_refusal_before_any_reply_counts_once_there_is_one(asking: Asking, teacher: FakeTeacher) -> None:
    teacher.behave(refuse="What is 0 + 3", refuse_code=None)
    asking.choice["concurrency"] = 1
    found = asking()
    assert {reply.problem for reply in found[QUESTIONS[0]]} == {"refused"}
    teacher.behave(refuse=None)
    teacher.reset()
    assert asking() == found
    assert teacher.count() == 0


def test_a_teacher_that_refused_the_little_that_was_asked_is_told(asking: Asking, teacher: FakeTeacher) -> None:
    teacher.behave(refuse="What", refuse_code=None)
    asking.questions = QUESTIONS[:2]
    asking.samples = 1
    with pytest.raises(TeacherError, match=r"refused every request so far \(2\)"):
        asking()
    teacher.behave(refuse=None)
    assert all(reply.problem is None for replies in asking().values() for reply in replies)


def test_a_few_losses_leave_the_step_whole_and_are_asked_again_next_time(asking: Asking, teacher: FakeTeacher) -> None:
    asking.choice |= {"attempts": 1, "concurrency": 1}
    asking.options["max_failure_share"] = 0.1
    teacher.behave(fail_first=1, fail_after=5)
    found = asking()
    (lost,) = [question for question, replies in found.items() if replies[0].problem]
    assert {(reply.problem, reply.detail) for reply in found[lost]} == {("teacher_error", "500: told to fail")}
    assert asking.heard.lines[-1].startswith("4 of 48 samples were given up after retries")
    teacher.reset()
    teacher.behave(fail_first=0)
    again = asking()
    assert teacher.samples() == 4
    assert all(reply.problem is None for reply in again.pop(lost))
    assert again == {question: replies for question, replies in found.items() if question != lost}


def test_a_step_that_lost_too_much_is_not_finished(asking: Asking, teacher: FakeTeacher) -> None:
    asking.choice["attempts"] = 1
    teacher.behave(fail_first=2, fail_after=5)
    with pytest.raises(StageError) as caught:
        asking()
    assert caught.value.fact.startswith("step solve: 8 of 48 samples were given up after retries, more than 2%")
    teacher.reset()
    teacher.behave(fail_first=0)
    asking()
    assert teacher.samples() == 8


def test_a_teacher_that_goes_away_ends_the_run(asking: Asking, teacher: FakeTeacher) -> None:
    asking.choice |= {"attempts": 1, "concurrency": 1}
    asking.questions = [f"What is {number} + 1?" for number in range(50)]
    teacher.behave(fail_first=-1, fail_after=5)
    with pytest.raises(TeacherError, match="has not answered the last 20 requests"):
        asking()
    assert 5 + 20 <= teacher.count() <= 5 + 21  # one more may have left before the last one was given up


def test_a_timeout_is_a_lost_request_that_may_be_billed(asking: Asking, teacher: FakeTeacher) -> None:
    asking.choice |= {"attempts": 1, "timeout_seconds": 0.2, "price": {"input": 0, "output": 1_000_000}}
    asking.questions = QUESTIONS[:1]
    teacher.behave(answer_first=0)
    with pytest.raises(TeacherError, match=r"no answer within 0\.2 s"):
        asking()
    teacher.behave(answer_first=None)
    assert (asking.usage["main"]["lost"], asking.usage["main"]["untold_usd"]) == (1, 4 * 50)


def test_the_books_hold_what_the_server_told(asking: Asking, teacher: FakeTeacher) -> None:
    asking.choice["price"] = {"input": 1000, "output": 2000}
    found = asking()
    words = sum(len(reply.text.split()) for replies in found.values() for reply in replies)
    told = asking.usage["main"]
    assert (told["requests"], told["samples"], told["prompt_tokens"], told["completion_tokens"]) == (12, 48, 84, words)
    assert told["cost_usd"] == pytest.approx(84 * 0.001 + words * 0.002)
    assert asking.heard.figures == {
        "samples": 48, "tokens": words, "cost_usd": pytest.approx(told["cost_usd"]), "errors": 0, "in_flight": 0,
    }  # fmt: skip
    assert asking.heard.done == 12
    with asking.teachers() as teachers:
        tokens, cost_usd = teachers.books.cost_of(reply.key for replies in found.values() for reply in replies)
    assert (tokens, cost_usd) == (words, pytest.approx(told["cost_usd"]))


def test_a_budget_needs_a_price_and_a_limit(asking: Asking, teacher: FakeTeacher) -> None:
    asking.budget_usd = 1.0
    with pytest.raises(UsageError) as caught:
        asking()
    assert "teachers.main.price: {input: 0.50, output: 2.00}" in str(caught.value)
    asking.choice["price"] = {"input": 1, "output": 1}
    asking.asked = asking.asked.model_copy(update={"max_tokens": None})
    with pytest.raises(UsageError) as caught:
        asking()
    assert "teachers.main.request: {max_tokens: 4096}" in str(caught.value)
    assert teacher.count() == 0


def test_a_budget_is_never_overspent_restarts_included(asking: Asking, teacher: FakeTeacher) -> None:
    asking.choice["price"] = {"input": 0, "output": 1_000_000}  # a dollar a token, at most 50 a sample
    asking.budget_usd = 500.0
    for _ in range(2):
        with pytest.raises(BudgetError, match=r"the budget of 500\.00 USD is reached"):
            asking()
        assert 300 <= asking.usage["main"]["cost_usd"] <= 500
    sent = teacher.count()
    assert sent < 12
    asking.budget_usd = 2000.0
    asking()
    assert teacher.count() == 12


def test_a_second_process_waits_for_the_first_and_says_for_whom(asking: Asking, teacher: FakeTeacher) -> None:
    held, free = threading.Event(), threading.Event()

    def other() -> None:
        with hold(asking.folder / "ledger.lock", "run 'two', step 'solve'"):
            held.set()
            free.wait()

    asking.heard = Heard(lambda line: free.set() if line.startswith("waiting for run 'two'") else None)
    thread = threading.Thread(target=other)
    thread.start()
    held.wait()
    asking()
    thread.join()
    assert asking.heard.lines == [
        f"waiting for run 'two', step 'solve', process {os.getpid()}, which asks with the same ledger"
    ]


def test_a_disk_that_fills_stops_sending_while_there_is_room(asking: Asking, teacher: FakeTeacher) -> None:
    asking.options["free_floor_bytes"] = 2**62
    with pytest.raises(StageError, match="are free on its disk"):
        asking()
    assert teacher.count() == 0


CHILD = """
import json, resource, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_teacher import Asking, Heard
from pipeline.errors import PipelineError
asking = Asking(Path({folder!r}), {url!r})
asking.heard = Heard(lambda line: print(line, flush=True))
if {bytes_most}:
    resource.setrlimit(resource.RLIMIT_FSIZE, ({bytes_most}, {bytes_most}))
try:
    print(json.dumps({{question: [reply.text for reply in found] for question, found in asking().items()}}))
except PipelineError as error:
    print(type(error).__name__, str(error).splitlines()[0])
    sys.exit(error.exit_status)
"""


def child(folder: Path, teacher: FakeTeacher, bytes_most: int = 0) -> "subprocess.Popen[str]":
    """A process that asks what `Asking` asks, and prints what it is told and the replies."""
    tests = Path(__file__).resolve().parent
    program = CHILD.format(tests=str(tests), folder=str(folder), url=teacher.base_url, bytes_most=bytes_most)
    environment = {**os.environ, "PYTHONPATH": str(tests.parent)}
    return subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, env=environment)


def output(process: "subprocess.Popen[str]") -> str:
    return process.communicate(timeout=60)[0]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_keeps_what_is_in_flight(tmp_path: Path, teacher: FakeTeacher, number: int) -> None:
    teacher.behave(answer_first=3)
    process = child(tmp_path, teacher)
    teacher.wait_for(7)
    process.send_signal(number)
    assert process.stdout is not None
    assert process.stdout.readline() == "stopping: waiting for 4 requests in flight; once more ends at once\n"
    teacher.behave(answer_first=None)
    assert output(process) == "Interrupted interrupted\n"
    assert process.returncode == 130
    assert teacher.count() == 7
    Asking(tmp_path, teacher.base_url)()
    assert teacher.count() == 12


def test_a_second_signal_ends_at_once_and_what_was_in_flight_is_listed(tmp_path: Path, teacher: FakeTeacher) -> None:
    teacher.behave(answer_first=3)
    process = child(tmp_path, teacher)
    teacher.wait_for(7)
    process.send_signal(signal.SIGINT)
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    assert output(process) == ""
    assert process.returncode == 130
    teacher.behave(answer_first=None)
    asking = Asking(tmp_path, teacher.base_url)
    asking()
    assert asking.heard.lines == ["4 requests were in flight when an earlier process died: maybe billed"]
    assert asking.usage["main"]["maybe_billed"] == 4


@pytest.mark.parametrize("answered", [0, 1, 5, 11])
def test_a_killed_run_pays_twice_for_nothing_that_is_not_listed(
    tmp_path: Path, teacher: FakeTeacher, answered: int
) -> None:
    undisturbed = texts(Asking(tmp_path / "undisturbed", teacher.base_url)())
    teacher.reset()
    teacher.behave(answer_first=answered)
    process = child(tmp_path / "killed", teacher)
    teacher.wait_for(min(answered + 4, 12))
    process.kill()
    output(process)
    teacher.behave(answer_first=None)
    again = child(tmp_path / "killed", teacher)
    *_, replies = output(again).splitlines()
    assert json.loads(replies) == undisturbed
    seen = Counter(seen.digest for seen in teacher.requests())
    twice = sum(count - 1 for count in seen.values())
    with Ledger(tmp_path / "killed" / "ledger.sqlite") as ledger:
        listed = ledger.maybe_billed()
        assert min(4, 12 - answered) <= twice <= len(listed) <= 4
        assert all(len(maybe.keys) == 4 and maybe.step == "solve" for maybe in listed)


def test_a_ledger_that_cannot_grow_is_told_and_loses_nothing(tmp_path: Path, teacher: FakeTeacher) -> None:
    process = child(tmp_path, teacher, bytes_most=130_000)
    told = output(process)
    assert process.returncode == 1
    assert told.startswith(f"StageError {tmp_path / 'ledger.sqlite'}: cannot be written: disk I/O error")
    sent = teacher.count()
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        ((kept,),) = ledger.rows("SELECT COUNT(DISTINCT key) FROM samples")
    Asking(tmp_path, teacher.base_url)()
    assert teacher.samples() - 48 <= 4 * sent - kept


def test_a_bug_in_a_conversation_is_no_error_of_the_teacher(asking: Asking) -> None:
    def broken(question: str) -> Conversation[None]:
        yield asking.asked.model_copy(update={"messages": (Message(role="user", content=question),)}).samples(1)
        raise ZeroDivisionError

    with asking.teachers() as teachers, pytest.raises(ZeroDivisionError):
        list(teachers.ask("main", QUESTIONS, broken))


@pytest.mark.parametrize(
    "request_fields", [{"n": 2}, {"stream": True}, {"model": "x"}, {"messages": []}, {"extra_body": {"n": 2}}]
)
def test_fields_that_are_ours_are_refused(asking: Asking, request_fields: dict[str, Any]) -> None:
    asking.choice["request"] = request_fields
    with asking.teachers() as teachers, pytest.raises(PipelineError, match="is set by the pipeline"):
        teachers.check(["main"])
