"""A teacher that is a real HTTP server in a process of its own: OpenAI-compatible, deterministic and controllable.

    from fake_teacher import FakeTeacher

    with FakeTeacher(fail_first=2, fail_status=429, retry_after="0") as teacher:
        teacher.base_url                 # http://127.0.0.1:PORT/v1
        teacher.requests()               # every request met, in order: list[Seen]
        teacher.behave(right_share=1.0)  # change any behaviour while it runs
        teacher.wait_for(5)              # returns once 5 requests were met
        teacher.reset()                  # forgets what it met

Choice i of a reply is a function of the messages and of seed + i, so a sample is the same whether it was asked alone
or as one of n. It works out the last sum in the last user message ("What is 4 + 3 - 2?"; + - * and whole numbers)
step by step and closes with "The answer is 5."; with probability 1 - `right_share`, drawn from the messages and
seed + i, the last step is wrong. It counts words as tokens, and cuts at `max_tokens` (finish_reason `length`).
A model whose name contains `think` shows its thoughts in `reasoning_content`, one with `inline` in `<think>` tags.

Run as a program, it is the server: it tells its port on stdout and ends when its stdin closes.
"""

import asyncio
import hashlib
import json
import re
import subprocess
import sys
import time
import urllib.request
from dataclasses import asdict, dataclass, fields
from types import TracebackType
from typing import Any

SUM = re.compile(r"-?\d+(?:\s*[-+*]\s*\d+)+")


@dataclass
class Behaviour:
    """What the server does; every field can be given to `FakeTeacher` and to `behave`."""

    latency_seconds: float = 0.0
    """Wait before each reply."""
    right_share: float = 0.7
    """Probability that a choice is right."""
    answer_first: int | None = None
    """Only the first so many requests get a reply, the others wait until this is raised or None; None answers all."""
    fail_first: int = 0
    """So many requests, the first ones, get `fail_status`; -1 fails all."""
    fail_after: int = 0
    """So many requests are let through before those."""
    fail_status: int = 500
    fail_body: str = '{"error": {"message": "told to fail", "code": null, "type": "fake"}}'
    retry_after: str | None = None
    """Header of the failures."""
    html: bool = False
    """Answer 200 with a web page."""
    ignore_n: bool = False
    """Give one choice whatever n is."""
    reject_n: bool = False
    """Answer 400 where n > 1."""
    refuse: str | None = None
    """A request whose messages contain this text is answered with 400 and `refuse_code`."""
    refuse_code: str | None = "content_filter"
    no_usage: bool = False
    """Leave the usage out."""


@dataclass(frozen=True)
class Seen:
    """One request as the server met it."""

    digest: str
    """SHA-256 of the body, hex."""
    body: dict[str, Any]
    n: int
    seed: int | None
    at: float
    """Unix time."""
    status: int | None
    """What was answered; None while it waits."""
    authorization: str | None


class FakeTeacher:
    """The server, started at `with` and gone after it."""

    def __init__(self, **behaviour: Any) -> None:
        self._first = asdict(Behaviour(**behaviour))

    def __enter__(self) -> "FakeTeacher":
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        self.root = f"http://127.0.0.1:{int(self._process.stdout.readline())}"
        self.base_url = f"{self.root}/v1"
        self.behave(**self._first)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End the server, as if its machine were gone."""
        self._process.kill()
        self._process.communicate()

    def behave(self, **behaviour: Any) -> None:
        """Change what the server does from now on."""
        unknown = behaviour.keys() - {field.name for field in fields(Behaviour)}
        assert not unknown, f"no behaviour {unknown}"
        self._post("/behave", behaviour)

    def requests(self) -> list[Seen]:
        """Every request met since the start or the last `reset`, in order."""
        return [Seen(**seen) for seen in self._post("/requests", {})]

    def count(self) -> int:
        """How many requests were met."""
        return len(self.requests())

    def samples(self) -> int:
        """How many samples were given: the sum of n over the requests answered 200."""
        return sum(seen.n for seen in self.requests() if seen.status == 200)

    def wait_for(self, count: int) -> None:
        """Return once so many requests were met."""
        self._post("/wait", {"count": count})

    def reset(self) -> None:
        """Forget the requests met."""
        self._post("/reset", {})

    def _post(self, path: str, body: dict[str, Any]) -> Any:
        request = urllib.request.Request(self.root + path, json.dumps(body).encode())
        with urllib.request.urlopen(request, timeout=60) as response:
            return json.load(response)


def solve(messages: list[dict[str, str]], seed: int, right_share: float) -> tuple[str, str]:
    """Thoughts and text of the choice with that seed."""
    asked = next((m["content"] for m in reversed(messages) if m["role"] == "user"), "")
    sums = SUM.findall(asked)
    if not sums:
        return "I look for a sum.", "I see no sum to work out."
    digest = hashlib.sha256(json.dumps([messages, seed]).encode()).digest()
    right = int.from_bytes(digest[:4], "big") < right_share * 2**32
    steps, total = work_out(sums[-1])
    wrong_by = 0 if right else 1 + digest[4] % 3
    if wrong_by:
        steps[-1] = re.sub(r"-?\d+$", str(total + wrong_by), steps[-1])
    opening = ("Let us see.", "Step by step.", "I add them up.", "Working it out.")[digest[5] % 4]
    text = f"{opening} {'. '.join(steps)}. The answer is {total + wrong_by}."
    return f"The sum is {sums[-1]}. Attempt {digest[6]}.", text


def work_out(text: str) -> tuple[list[str], int]:
    """The steps of a sum, products first, and its value."""
    steps: list[str] = []
    signs = re.findall(r"(?<=\d)\s*([-+*])", text)
    numbers = [int(number.replace(" ", "")) for number in re.split(r"(?<=\d)\s*[-+*]\s*", text)]
    for operators in ("*", "+-"):
        place = 0
        while place < len(signs):
            if signs[place] not in operators:
                place += 1
                continue
            left, sign, right = numbers[place], signs.pop(place), numbers.pop(place + 1)
            numbers[place] = {"+": left + right, "-": left - right, "*": left * right}[sign]
            steps.append(f"{left} {sign} {right} = {numbers[place]}")
    return steps, numbers[0]


def choice_of(body: dict[str, Any], index: int, right_share: float) -> tuple[dict[str, Any], int]:
    """Choice `index` of a reply and its tokens."""
    thoughts, text = solve(body["messages"], (body.get("seed") or 0) + index, right_share)
    model = body.get("model", "")
    thoughts = thoughts if "think" in model or "inline" in model else ""
    limit = body.get("max_tokens") or body.get("max_completion_tokens")
    before, after = thoughts.split(), text.split()
    cut = limit is not None and len(before) + len(after) > limit
    if cut:
        before, after = before[:limit], after[: max(0, limit - len(before))]
    thoughts, text = " ".join(before), " ".join(after)
    message: dict[str, Any] = {"role": "assistant", "content": text}
    if "inline" in model:
        message["content"] = f"<think>{thoughts}</think>\n\n{text}" if text else f"<think>{thoughts}"
    elif thoughts:
        message["reasoning_content"] = thoughts
    choice = {"index": index, "message": message, "finish_reason": "length" if cut else "stop"}
    return choice, len(before) + len(after)


class Server:
    """The server's side: what it met and what it does."""

    def __init__(self) -> None:
        self.behaviour = Behaviour()
        self.seen: list[dict[str, Any]] = []
        self.changed = asyncio.Condition()

    async def reply(self, raw: bytes, authorization: str | None) -> tuple[int, str, dict[str, str]]:
        """Status, body and headers for one request."""
        body = json.loads(raw)
        place = len(self.seen)
        note = {
            "digest": hashlib.sha256(raw).hexdigest(), "body": body, "n": body.get("n") or 1, "seed": body.get("seed"),
            "at": time.time(), "status": None, "authorization": authorization,
        }  # fmt: skip
        self.seen.append(note)
        async with self.changed:
            self.changed.notify_all()
            await self.changed.wait_for(lambda: self._may_answer(place))
        if self.behaviour.latency_seconds:
            await asyncio.sleep(self.behaviour.latency_seconds)
        status, text, headers = self._answer(body, place)
        note["status"] = status
        return status, text, headers

    def _may_answer(self, place: int) -> bool:
        return self.behaviour.answer_first is None or place < self.behaviour.answer_first

    def _answer(self, body: dict[str, Any], place: int) -> tuple[int, str, dict[str, str]]:
        does, n = self.behaviour, body.get("n") or 1
        plain = {"Content-Type": "application/json"}
        failures = place - does.fail_after
        if failures >= 0 and (does.fail_first < 0 or failures < does.fail_first):
            after = {"Retry-After": does.retry_after} if does.retry_after is not None else {}
            return does.fail_status, does.fail_body, plain | after
        if does.html:
            return 200, "<!doctype html><title>Welcome</title>", {"Content-Type": "text/html"}
        if does.reject_n and n > 1:
            return 400, '{"error": {"message": "n must be 1", "code": "invalid_n", "type": "fake"}}', plain
        if does.refuse is not None and does.refuse in json.dumps(body["messages"]):
            refusal = {"error": {"message": "this request was refused", "code": does.refuse_code, "type": "fake"}}
            return 400, json.dumps(refusal), plain
        made = [choice_of(body, index, does.right_share) for index in range(1 if does.ignore_n else n)]
        prompt = sum(len(message["content"].split()) for message in body["messages"])
        written = sum(tokens for _, tokens in made)
        whole: dict[str, Any] = {
            "id": f"fake-{place}", "object": "chat.completion", "created": 0, "model": body.get("model"),
            "choices": [choice for choice, _ in made],
        }  # fmt: skip
        if not does.no_usage:
            whole["usage"] = {
                "prompt_tokens": prompt, "completion_tokens": written, "total_tokens": prompt + written,
            }  # fmt: skip
        return 200, json.dumps(whole), plain

    async def control(self, path: str, body: dict[str, Any]) -> Any:
        """What the test wants."""
        if path == "/requests":
            return self.seen
        async with self.changed:
            if path == "/behave":
                self.behaviour = Behaviour(**{**asdict(self.behaviour), **body})
            elif path == "/reset":
                self.seen.clear()
            elif path == "/wait":
                await self.changed.wait_for(lambda: len(self.seen) >= body["count"])
            self.changed.notify_all()
        return {}


async def serve() -> None:
    """Serve until stdin closes."""
    from aiohttp import web

    server = Server()

    async def complete(request: web.Request) -> web.Response:
        status, text, headers = await server.reply(await request.read(), request.headers.get("Authorization"))
        return web.Response(status=status, body=text.encode(), headers=headers)

    async def control(request: web.Request) -> web.Response:
        return web.json_response(await server.control(request.path, await request.json()))

    app = web.Application(client_max_size=2**30)
    app.router.add_post("/v1/chat/completions", complete)
    for path in ("/behave", "/requests", "/reset", "/wait"):
        app.router.add_post(path, control)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, backlog=4096)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(serve())
