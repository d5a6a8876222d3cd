"""The provider that others are tested against does exactly what it is told to do."""

import hashlib
import json
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from openai import OpenAI

from tests.fake_teacher import FakeTeacher
from tests.provider.batches import Batch
from tests.provider.behaviour import Behaviour
from tests.provider.limits import Bucket, spelled
from tests.provider.pace import Pace

FROZEN = 1e-9
"""A time speed at which no bucket fills and no batch ends."""

HTTP = httpx.Client()


@pytest.fixture(scope="module")
def server() -> Iterator[FakeTeacher]:
    with FakeTeacher() as running, HTTP:
        yield running


@pytest.fixture
def teacher(server: FakeTeacher) -> FakeTeacher:
    server.behave(**asdict(Behaviour()))
    server.reset()
    return server


@pytest.fixture
def client(teacher: FakeTeacher) -> Iterator[OpenAI]:
    with OpenAI(base_url=teacher.base_url, api_key="none", max_retries=0) as client:
        yield client


def body(number: int = 0, **fields: Any) -> dict[str, Any]:
    return {"model": "fake", "messages": [{"role": "user", "content": f"What is {number} + 3 - 2?"}], **fields}


def ask(teacher: FakeTeacher, number: int = 0, **fields: Any) -> httpx.Response:
    return HTTP.post(f"{teacher.base_url}/chat/completions", json=body(number, **fields))


@pytest.mark.parametrize(
    ("per_minute", "every_seconds", "in_a_minute"),
    [(600, 0.01, 610), (600, 0.25, 610), (60_000, 0.5, 61_000), (30, 0.1, 31)],
)
def test_a_bucket_lets_in_one_seconds_burst_and_then_its_rate(
    per_minute: float, every_seconds: float, in_a_minute: int
) -> None:
    bucket, let_in = Bucket(per_minute, now=0.0), 0
    for tick in range(round(60 / every_seconds) + 1):
        while not bucket.wait_seconds(1, tick * every_seconds):
            bucket.take(1)
            let_in += 1
    assert let_in == in_a_minute


def test_a_request_of_more_than_the_bucket_holds_is_let_in_by_a_full_one_and_paid_off() -> None:
    bucket = Bucket(600, now=0.0)
    assert bucket.wait_seconds(35, 0.0) == 0
    bucket.take(35)
    assert bucket.wait_seconds(1, 0.0) == pytest.approx(2.6)
    assert bucket.wait_seconds(35, 0.0) == pytest.approx(3.5)
    assert bucket.wait_seconds(35, 3.5) == 0


def test_requests_above_the_hidden_limit_are_refused_and_not_charged(teacher: FakeTeacher) -> None:
    teacher.behave(requests_per_minute=600, time_speed=FROZEN)
    answers = [ask(teacher, number) for number in range(15)]
    assert [answer.status_code for answer in answers] == [200] * 10 + [429] * 5
    assert answers[-1].json() == {"error": {"message": "Rate limit reached", "code": "rate_limit_exceeded"}}
    assert "retry-after" not in answers[-1].headers
    counts = teacher.stats()
    assert (counts["statuses"], counts["seconds"]["admitted"]) == ({"200": 10, "429": 5}, [10])
    assert counts["seconds"]["refused"] == [5]


@pytest.mark.parametrize(
    ("charge", "max_tokens", "tokens"), [("used", 5, 27), ("asked", 5, 27), ("used", 900, 76), ("asked", 20, 87)]
)
def test_the_tokens_charged_are_those_used_or_those_asked_for(
    teacher: FakeTeacher, charge: str, max_tokens: int, tokens: int
) -> None:
    teacher.behave(tokens_per_minute=6000, token_charge=charge, time_speed=FROZEN)
    statuses = [ask(teacher, n=4, max_tokens=max_tokens).status_code for _ in range(8)]
    let_in = 100 // tokens
    assert statuses == [200] * let_in + [429] * (8 - let_in)
    assert teacher.stats()["seconds"]["charged"] == [let_in * tokens]


def test_limits_run_as_much_faster_as_time_does(teacher: FakeTeacher) -> None:
    teacher.behave(requests_per_minute=600, time_speed=60)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda number: ask(teacher, number), range(240)))
    series = teacher.stats()["seconds"]
    assert sum(series["refused"]) + sum(series["admitted"]) == 240
    for first in range(len(series["admitted"])):
        for last in range(first, len(series["admitted"])):
            assert sum(series["admitted"][first : last + 1]) <= 10 + 10 * (last - first + 1)


def test_a_limit_that_tells_says_how_long_to_wait(teacher: FakeTeacher) -> None:
    teacher.behave(requests_per_minute=60, limit_tells=True, limit_headers=True, time_speed=FROZEN)
    first, second = ask(teacher), ask(teacher)
    assert first.headers["x-ratelimit-limit-requests"] == "60"
    assert first.headers["x-ratelimit-remaining-requests"] == "0"
    assert (first.headers["x-ratelimit-reset-requests"], second.headers["retry-after"]) == ("1s", "1.000")
    assert second.json()["error"]["message"] == (
        "Rate limit reached for fake in organization org-fake on requests per min (RPM): Limit 60, Used 60, "
        "Requested 1. Please try again in 1s."
    )


@pytest.mark.parametrize(
    ("seconds", "spelling"),
    [(0.0, "0ms"), (0.02, "20ms"), (1.0, "1s"), (7.66, "7.66s"), (59.9999, "1m0s"), (360, "6m0s"), (3600, "1h0m0s")],
)
def test_durations_are_spelled_as_openai_spells_them(seconds: float, spelling: str) -> None:
    assert spelled(seconds) == spelling


def test_more_in_flight_than_it_takes_are_refused(teacher: FakeTeacher) -> None:
    teacher.behave(most_in_flight=2, answer_first=0)
    with ThreadPoolExecutor(2) as threads:
        held = [threads.submit(ask, teacher, number) for number in range(2)]
        teacher.wait_for(2)
        assert ask(teacher, 2).status_code == 429
        teacher.behave(answer_first=None)
        assert [future.result().status_code for future in held] == [200, 200]
    assert ask(teacher, 2).status_code == 200
    assert teacher.stats()["most_in_flight"] == 2


def test_a_queue_works_on_so_many_at_a_time_and_refuses_nobody() -> None:
    pace, does = Pace(), Behaviour(queue_slots=2, latency_seconds=1)
    assert [pace.seconds(does, b"", number, now=10) for number in range(5)] == [1, 1, 2, 2, 3]
    assert [pace.seconds(does, b"", number, now=12.5) for number in range(3)] == [1, 1.5, 2]  # free at 12 and 13


def test_a_batching_server_slows_down_with_what_is_in_flight() -> None:
    does = Behaviour(batching=64, latency_seconds=2)
    assert [Pace().seconds(does, b"", in_flight, 0) for in_flight in (0, 32, 64)] == [2, 3, 4]


def test_latencies_spread_by_request_and_not_by_chance() -> None:
    does = Behaviour(latency_seconds=1, latency_spread=0.5)
    drawn = [Pace().seconds(does, str(number).encode(), 1, 0) for number in range(200)]
    assert 0.5 <= min(drawn) < 0.6 < 1.4 < max(drawn) <= 1.5
    assert drawn == [Pace().seconds(does, str(number).encode(), 1, 0) for number in range(200)]


def test_a_storm_hits_everything_until_it_is_over(teacher: FakeTeacher) -> None:
    teacher.behave(storm_seconds=10, storm_status=503, retry_after="7", time_speed=FROZEN)
    answer = ask(teacher)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "7")
    assert HTTP.get(f"{teacher.base_url}/batches").status_code == 503
    teacher.behave(right_share=1.0)
    assert ask(teacher).status_code == 503
    teacher.behave(time_speed=1e7)
    assert ask(teacher).status_code == 200


@pytest.mark.parametrize(
    ("broken", "met"),
    [
        ("reset", openai.APIConnectionError),
        ("timeout", openai.APITimeoutError),
        ("html_502", openai.InternalServerError),
        ("half_json", json.JSONDecodeError),
    ],
)
def test_an_answer_can_be_broken_beyond_use(
    teacher: FakeTeacher, client: OpenAI, broken: str, met: type[Exception]
) -> None:
    teacher.behave(broken=broken, broken_always="What is 7")
    with pytest.raises(met):
        client.with_options(timeout=0.5 if broken == "timeout" else 30).chat.completions.create(**body(7))
    assert client.chat.completions.create(**body(8)).usage is not None
    status = {"html_502": 502, "half_json": 200}.get(broken)
    assert [seen.status for seen in teacher.requests()] == [status, 200]


@pytest.mark.parametrize(
    ("broken", "changed"),
    [("drip", []), ("duplicate_ids", ["id"]), ("empty_choices", ["choices"]), ("null_content", ["choices"])],
)
def test_an_answer_can_be_broken_in_part(teacher: FakeTeacher, broken: str, changed: list[str]) -> None:
    ask(teacher, 1)
    good = ask(teacher, 7).json()
    teacher.reset()
    ask(teacher, 1)
    teacher.behave(broken=broken, broken_share=1.0, time_speed=1000)
    bad = ask(teacher, 7).json()
    assert [name for name in good if bad[name] != good[name]] == changed


def test_usage_can_be_wrong_in_several_ways(teacher: FakeTeacher) -> None:
    teacher.behave(broken="wrong_usage", broken_share=1.0)
    told = {ask(teacher, number).json()["usage"]["prompt_tokens"] for number in range(20)}
    assert told == {-5, 10**12, "twelve"}


def test_a_broken_answer_may_go_well_the_next_time(teacher: FakeTeacher) -> None:
    teacher.behave(broken="html_502", broken_share=0.5)
    statuses = [[ask(teacher, number).status_code for number in range(20)] for _ in range(2)]
    assert all(5 <= each.count(502) <= 15 for each in statuses)
    assert statuses[0] != statuses[1]


def test_rows_that_fail_do_so_for_ever_and_alone(teacher: FakeTeacher) -> None:
    teacher.behave(fail_rows=r"is [37] \+")
    for _ in range(2):
        assert [ask(teacher, number).status_code for number in (2, 3, 7, 13)] == [200, 500, 500, 200]


def test_the_share_of_questions_that_is_cut_is_cured_by_a_higher_limit(teacher: FakeTeacher) -> None:
    teacher.behave(cut_share=0.17, cut_cured_at=200)
    asked = {limit: [ask(teacher, number, max_tokens=limit).json() for number in range(200)] for limit in (100, 200)}
    cut = {limit: sum(made["choices"][0]["finish_reason"] == "length" for made in asked[limit]) for limit in asked}
    assert 20 <= cut[100] <= 48
    assert cut[200] == 0


@pytest.mark.parametrize(
    ("thoughts", "message"),
    [
        (None, {"content": "T"}),
        ("reasoning_content", {"content": "T", "reasoning_content": "B"}),
        ("reasoning", {"content": "T", "reasoning": "B"}),
        ("inline", {"content": "<think>B</think>\n\nT"}),
        ("closing_only", {"content": "B</think>\n\nT"}),
        ("empty", {"content": "<think>\n\n</think>\n\nT", "reasoning_content": ""}),
        (
            "parts",
            {
                "content": [
                    {"type": "thinking", "thinking": [{"type": "text", "text": "B"}]},
                    {"type": "text", "text": "T"},
                ]
            },
        ),
    ],
)
def test_thoughts_are_shown_in_the_style_asked_for(
    teacher: FakeTeacher, thoughts: str | None, message: dict[str, Any]
) -> None:
    text = ask(teacher).json()["choices"][0]["message"]["content"]
    before = ask(teacher, model="fake-think").json()["choices"][0]["message"]["reasoning_content"]
    teacher.behave(thoughts=thoughts)
    shown = json.dumps(ask(teacher).json()["choices"][0]["message"])
    assert json.loads(shown.replace(text, "T").replace(before, "B")) == {"role": "assistant", **message}


def test_ends_are_spelled_and_log_probabilities_and_one_choices_usage_told(teacher: FakeTeacher) -> None:
    teacher.behave(finish_reason="null", length_reason="max_tokens", gives_logprobs=True, usage_of_one_choice=True)
    whole = ask(teacher, n=3, logprobs=True, top_logprobs=2).json()
    choice = whole["choices"][0]
    assert choice["finish_reason"] is None
    assert "".join(token["token"] for token in choice["logprobs"]["content"]) == choice["message"]["content"]
    assert {len(token["top_logprobs"]) for token in choice["logprobs"]["content"]} == {2}
    assert (
        whole["usage"]["completion_tokens"]
        == len(choice["message"]["content"].split())
        == whole["timings"]["predicted_n"]
    )
    assert ask(teacher, max_tokens=3).json()["choices"][0]["finish_reason"] == "max_tokens"


@pytest.mark.parametrize(
    ("name", "fields", "param", "told"),
    [
        ("max_tokens", {"max_tokens": 9}, "max_tokens", "Use 'max_completion_tokens' instead."),
        ("seed", {"seed": 9}, "seed", "is not supported with this model."),
        ("temperature", {"temperature": 0.7}, "temperature", "Only the default (1) value is supported."),
        ("n", {"n": 4}, "n", "Only the default (1) value is supported."),
        ("system", {"messages": [{"role": "system", "content": "Be brief."}]}, "messages[0].role", "with this model."),
    ],
)
def test_a_field_that_is_not_supported_is_refused_in_three_styles(
    teacher: FakeTeacher, name: str, fields: dict[str, Any], param: str, told: str
) -> None:
    teacher.behave(unsupported=[name])
    refusal = ask(teacher, **fields)
    assert (refusal.status_code, refusal.json()["error"]["param"]) == (400, param)
    assert refusal.json()["error"]["message"].endswith(told)
    assert ask(teacher, temperature=1, n=1, max_completion_tokens=9).status_code == 200
    teacher.behave(unsupported_style="pydantic")
    refusal = ask(teacher, **fields)
    assert refusal.status_code == 422
    assert refusal.json()["detail"][0]["loc"][-1] == param.rpartition(".")[2]
    teacher.behave(unsupported_style="prose")
    assert param in ask(teacher, **fields).json()["error"]["message"]


def upload(client: OpenAI, count: int, name: str = "shard-one.jsonl", **fields: Any) -> str:
    lines = [
        {"custom_id": f"row-{number}", "method": "POST", "url": "/v1/chat/completions", "body": body(number, **fields)}
        for number in range(count)
    ]
    data = "".join(json.dumps(line) + "\n" for line in lines).encode()
    return client.files.create(file=(name, data), purpose="batch").id


def start(client: OpenAI, file_id: str) -> str:
    made = client.batches.create(
        input_file_id=file_id, endpoint="/v1/chat/completions", completion_window="24h", metadata={"nonce": "n1"}
    )
    assert (made.status, made.metadata) == ("validating", {"nonce": "n1"})
    return made.id


def results(client: OpenAI, file_id: str | None) -> list[dict[str, Any]]:
    return [] if file_id is None else [json.loads(line) for line in client.files.content(file_id).text.splitlines()]


def test_a_batch_answers_as_if_its_requests_were_sent(teacher: FakeTeacher, client: OpenAI) -> None:
    online = [ask(teacher, number, n=2).json()["choices"] for number in range(20)]
    teacher.reset()
    teacher.behave(batch_seconds=1e9)
    file_id = upload(client, 20, n=2)
    assert [(file.id, file.filename) for file in client.files.list(purpose="batch")] == [(file_id, "shard-one.jsonl")]
    batch_id = start(client, file_id)
    assert client.batches.retrieve(batch_id).status == "validating"
    teacher.behave(batch_seconds=0)
    ended = client.batches.retrieve(batch_id)
    assert (ended.status, ended.error_file_id) == ("completed", None)
    assert ended.request_counts is not None
    assert (ended.request_counts.total, ended.request_counts.completed) == (20, 20)
    found = results(client, ended.output_file_id)
    order = [result["custom_id"] for result in found]
    assert order != sorted(order, key=lambda custom_id: int(custom_id.removeprefix("row-")))
    answered = {result["custom_id"]: result["response"]["body"]["choices"] for result in found}
    assert answered == {f"row-{number}": choices for number, choices in enumerate(online)}
    (known,) = teacher.batches()
    assert (known["id"], known["status"], known["metadata"]) == (batch_id, "completed", {"nonce": "n1"})
    assert known["bodies"] == [body(number, n=2) for number in range(20)]
    assert (teacher.count(), set(teacher.billed().values())) == (0, {1})
    ask(teacher, 3, n=2)
    digest = hashlib.sha256(json.dumps(body(3, n=2), sort_keys=True, separators=(",", ":")).encode()).hexdigest()
    assert (len(teacher.billed()), teacher.billed()[digest]) == (20, 2)
    assert client.files.delete(file_id).deleted
    with pytest.raises(openai.NotFoundError):
        client.files.retrieve(file_id)


@pytest.mark.parametrize(
    ("now", "status", "done"),
    [
        (9, "validating", 0),
        (10, "in_progress", 0),
        (50, "in_progress", 50),
        (90, "finalizing", 0),
        (100, "completed", 0),
    ],
)
def test_a_batch_goes_through_its_stages(now: float, status: str, done: int) -> None:
    asked = {"endpoint": "/v1/chat/completions", "input_file_id": "file-1", "completion_window": "24h"}
    batch, does = Batch("batch_1", asked, now=0), Behaviour(batch_seconds=100)
    batch.lines = [{"body": body(number)} for number in range(100)]
    assert batch.status(does, now) == status
    assert batch.told(status, does, now)["request_counts"]["completed"] == done


@pytest.mark.parametrize("ends", ["expired", "cancelled"])
def test_a_batch_that_ends_early_gives_what_it_has(teacher: FakeTeacher, client: OpenAI, ends: str) -> None:
    teacher.behave(batch_done_share=0.25, batch_ends=ends)
    ended = client.batches.retrieve(start(client, upload(client, 20)))
    assert ended.status == ends
    kept, lost = results(client, ended.output_file_id), results(client, ended.error_file_id)
    assert {result["custom_id"] for result in kept} == {f"row-{number}" for number in range(5)}
    assert Counter(result["error"]["code"] for result in lost) == {f"batch_{ends}": 15}


def test_a_batch_can_be_cancelled_once_and_until_it_ends(teacher: FakeTeacher, client: OpenAI) -> None:
    teacher.behave(batch_seconds=1e9)
    batch_id = start(client, upload(client, 4))
    assert client.batches.cancel(batch_id).status == "cancelling"
    teacher.behave(batch_seconds=0)
    assert client.batches.retrieve(batch_id).status == "cancelled"
    with pytest.raises(openai.ConflictError):
        client.batches.cancel(batch_id)


def test_requests_that_fail_in_a_batch_stand_in_its_error_file(teacher: FakeTeacher, client: OpenAI) -> None:
    teacher.behave(batch_error_share=0.5, refuse="What is 7 +")
    ended = client.batches.retrieve(start(client, upload(client, 40)))
    kept, failed = results(client, ended.output_file_id), results(client, ended.error_file_id)
    assert ended.status == "completed"
    assert len(kept) + len(failed) == 40
    assert 10 <= sum(result["response"]["status_code"] == 500 for result in failed) <= 30
    assert {result["response"]["status_code"] for result in failed} <= {400, 500}
    assert "row-7" not in {result["custom_id"] for result in kept}


@pytest.mark.parametrize(
    ("behaviour", "code"),
    [
        ({"batch_most_requests": 3}, "too_many_tasks"),
        ({"batch_enqueued_tokens": 20}, "token_limit_exceeded"),
        ({"batch_ends": "failed"}, "invalid_request"),
    ],
)
def test_a_batch_that_is_not_taken_fails_and_says_why(
    teacher: FakeTeacher, client: OpenAI, behaviour: dict[str, Any], code: str
) -> None:
    teacher.behave(**behaviour)
    ended = client.batches.retrieve(start(client, upload(client, 4)))
    assert (ended.status, ended.output_file_id, teacher.billed()) == ("failed", None, Counter())
    assert ended.errors is not None and ended.errors.data is not None
    assert [error.code for error in ended.errors.data] == [code]


def test_enqueued_tokens_are_those_of_all_batches_under_way(teacher: FakeTeacher, client: OpenAI) -> None:
    teacher.behave(batch_enqueued_tokens=50, batch_seconds=1e9)  # 7 a request
    first, second = (start(client, upload(client, 4)) for _ in range(2))
    teacher.behave(batch_seconds=0)
    assert [client.batches.retrieve(batch_id).status for batch_id in (first, second)] == ["completed", "failed"]
    assert client.batches.retrieve(start(client, upload(client, 4))).status == "completed"


def test_lists_of_batches_come_in_pages_the_newest_first(teacher: FakeTeacher, client: OpenAI) -> None:
    file_id = upload(client, 1)
    made = [start(client, file_id) for _ in range(5)]
    assert client.batches.list(limit=2).has_more
    assert [batch.id for batch in client.batches.list(limit=2)] == made[::-1]
    assert [batch.id for batch in client.batches.list(limit=2, after=made[3])] == made[2::-1]


def test_a_provider_without_batches_and_one_with_small_files_say_so(teacher: FakeTeacher, client: OpenAI) -> None:
    teacher.behave(batch_most_bytes=100)
    with pytest.raises(openai.BadRequestError, match="too large"):
        upload(client, 4)
    teacher.behave(batches=False)
    with pytest.raises(openai.NotFoundError):
        client.batches.list(limit=1)


def test_requests_are_read_whatever_the_pieces_they_come_in(teacher: FakeTeacher) -> None:
    data = json.dumps(body(1)).encode()
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: here\r\n"
    whole = head + b"Content-Length: %d\r\n\r\n%s" % (len(data), data)
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in (data[:9], data[9:]))
    chunked = head + b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n" + chunks + b"0\r\n\r\n"
    sent = whole + whole + chunked
    host, port = teacher.root.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as plug:
        plug.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for place in range(0, len(sent), 7):
            plug.sendall(sent[place : place + 7])
        with plug.makefile("rb") as answers:
            assert answers.read().count(b"HTTP/1.1 200 OK") == 3
    assert {seen.digest for seen in teacher.requests()} == {hashlib.sha256(data).hexdigest()}
    assert teacher.count() == 3


def test_a_behaviour_that_does_not_exist_is_told(teacher: FakeTeacher) -> None:
    for wrong in ({"latency": 1}, {"broken": "badly"}):
        with pytest.raises(AssertionError):
            teacher.behave(**wrong)


def test_it_explains_every_behaviour_on_the_command_line_and_starts_by_itself() -> None:
    root = Path(__file__).resolve().parent.parent
    command = [sys.executable, "-m", "tests.fake_teacher"]
    told = subprocess.run([*command, "--help"], cwd=root, capture_output=True, text=True, check=True).stdout
    assert all("--" + name.replace("_", "-") in told for name in asdict(Behaviour()))
    options = ["--time-speed", str(FROZEN), "--requests-per-minute", "60", "--unsupported", "seed", "n", "--html"]
    process = subprocess.Popen([*command, *options], cwd=root, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    base_url = process.stdout.readline().strip()
    statuses = [HTTP.post(f"{base_url}/chat/completions", json=body()).status_code for _ in range(2)]
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert (statuses, process.returncode) == ([200, 429], 130)
