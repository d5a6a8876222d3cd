"""The provider itself: which call goes where, and the way of a request from the door to its answer."""

import asyncio
import json
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

from tests.provider.arithmetic import drawn
from tests.provider.batches import Batches
from tests.provider.behaviour import Behaviour
from tests.provider.books import Books, Note
from tests.provider.broken import DRIP_SECONDS, broken, send
from tests.provider.completion import completion, most_tokens
from tests.provider.limits import Limits, refusal
from tests.provider.pace import Clock, Pace
from tests.provider.refusals import refused
from tests.provider.wire import Answer, Call, Connection


@dataclass(slots=True)
class Pending:
    """A request that was let in."""

    call: Call
    body: dict[str, Any]
    note: Note
    books: Books
    """Those it was noted in, which a `reset` replaces."""


class Provider:
    """One provider."""

    def __init__(self, does: Behaviour) -> None:
        self._does = does
        self._clock = Clock()
        self._storm_until = 0.0
        self._in_flight = 0
        self._held: list[Pending] = []
        self._waiting: list[tuple[int, Call]] = []
        self._reset()
        self._behave(does, {"storm_seconds"})

    def take(self, call: Call) -> None:
        """Take a call, to be answered now or later."""
        if call.path == "/v1/chat/completions":
            self._complete(call)
        elif call.path.startswith(("/v1/files", "/v1/batches")) and self._does.batches:
            wait_seconds = self._clock.real_seconds(self._does.latency_seconds)
            asyncio.get_running_loop().call_later(wait_seconds, self._keep_files, call)
        elif call.path == "/wait":
            self._waiting.append((json.loads(call.body)["count"], call))
            self._wake()
        else:
            call.answer(self._control(call))

    def _complete(self, call: Call) -> None:
        does, now = self._does, self._clock.now()
        try:
            body = json.loads(call.body)
            _ = body["messages"]
        except (ValueError, KeyError, TypeError):
            call.answer(Answer.error(400, "a JSON object with messages is wanted", type="invalid_request_error"))
            return
        note = self._books.meet(call.body, body, call.headers.get("authorization"), does.keep_bodies)
        charge = self._charge(body)
        shut = self._shut(charge, now)
        if shut is not None:
            self._books.refuse(note, shut.status, now)
            call.answer(self._with_limits(shut, now))
        else:
            self._in_flight += 1
            self._books.admit(charge, self._in_flight, now)
            self._begin(Pending(call, body, note, self._books))
        self._wake()

    def _charge(self, body: dict[str, Any]) -> int:
        """The tokens that a request takes of the bucket; 0 where there is none."""
        if self._does.tokens_per_minute is None:
            return 0
        return most_tokens(body) if self._does.token_charge == "asked" else completion(body, self._does, "").tokens

    def _shut(self, charge: int, now: float) -> Answer | None:
        """The refusal at the door, if there is one."""
        does = self._does
        if now < self._storm_until:
            return self._storm()
        if does.most_in_flight is not None and self._in_flight >= does.most_in_flight:
            return refusal()
        return self._limits.refuse(does, {"requests": 1, "tokens": charge}, now)

    def _storm(self) -> Answer:
        status = self._does.storm_status
        answer = refusal() if status == 429 else Answer.error(status, "The server is overloaded", code=None)
        return answer._replace(headers=answer.headers | self._retry_after())

    def _retry_after(self) -> dict[str, str]:
        return {} if self._does.retry_after is None else {"Retry-After": self._does.retry_after}

    def _with_limits(self, answer: Answer, now: float) -> Answer:
        if not self._does.limit_headers:
            return answer
        return answer._replace(headers=answer.headers | self._limits.headers(now))

    def _begin(self, pending: Pending) -> None:
        """Work on a request, or hold it back."""
        first = self._does.answer_first
        if first is not None and pending.note.place >= first:
            self._held.append(pending)
            return
        seconds = self._pace.seconds(self._does, pending.note.digest, self._in_flight, self._clock.now())
        if seconds > 0:
            asyncio.get_running_loop().call_later(self._clock.real_seconds(seconds), self._finish, pending)
        else:
            self._finish(pending)

    def _finish(self, pending: Pending) -> None:
        now = self._clock.now()
        self._in_flight -= 1
        answer, tokens = self._answer(pending)
        kind = self._break(pending) if answer.status == 200 else None
        if kind is not None:
            answer = broken(kind, answer)
        answer = self._with_limits(answer, now)
        status = send(pending.call, kind, answer, self._clock.real_seconds(DRIP_SECONDS))
        pending.books.leave(pending.note, status, pending.body, tokens, now)

    def _answer(self, pending: Pending) -> tuple[Answer, int]:
        """The answer to a request, and the tokens it gives."""
        does, place = self._does, pending.note.place
        failures = place - does.fail_after
        if failures >= 0 and (does.fail_first < 0 or failures < does.fail_first):
            headers = {"Content-Type": "application/json", **self._retry_after()}
            return Answer(does.fail_status, does.fail_body.encode(), headers), 0
        if does.html:
            return Answer(200, b"<!doctype html><title>Welcome</title>", {"Content-Type": "text/html"}), 0
        return self._reply(pending.body, f"fake-{place}")

    def _reply(self, body: dict[str, Any], reply_id: str) -> tuple[Answer, int]:
        refusal = refused(body, self._does)
        if refusal is not None:
            return refusal, 0
        made = completion(body, self._does, reply_id)
        return Answer.json(200, made.body), made.tokens

    def _break(self, pending: Pending) -> str | None:
        """How the answer is broken, None where it is not."""
        does, digest = self._does, pending.note.digest
        if does.broken is None:
            return None
        self._attempts[digest] += 1
        if does.broken_always is not None and does.broken_always in json.dumps(pending.body["messages"]):
            return does.broken
        return does.broken if drawn(digest, str(self._attempts[digest]).encode()) < does.broken_share else None

    def _reply_in_batch(self, body: dict[str, Any], reply_id: str) -> Answer:
        answer, _ = self._reply(body, reply_id)
        if answer.status == 200:
            self._books.bill(body)
        return answer

    def _keep_files(self, call: Call) -> None:
        now = self._clock.now()
        if now < self._storm_until:
            call.answer(self._storm())
            return
        kept = self._batches if call.path.startswith("/v1/batches") else self._batches.files
        call.answer(kept.answer(call, self._does, now))

    def _control(self, call: Call) -> Answer:
        """What the test wants."""
        found: Any = {}
        match call.path:
            case "/behave":
                self._behave(replace(self._does, **json.loads(call.body)), json.loads(call.body).keys())
            case "/reset":
                self._reset()
            case "/requests":
                found = [note.told() for note in self._books.notes]
            case "/stats":
                found = self._books.stats()
            case "/batches":
                found = self._batches.listed(self._does, self._clock.now())
            case "/billed":
                self._batches.listed(self._does, self._clock.now())
                found = {digest.hex(): count for digest, count in self._books.billed.items()}
            case _:
                return Answer.error(
                    404, f"Unknown request URL: {call.method} {call.path}", type="invalid_request_error"
                )
        return Answer.json(200, found)

    def _behave(self, does: Behaviour, changed: Collection[str]) -> None:
        before, self._does = self._does, does
        self._clock.run(does.time_speed)
        now = self._clock.now()
        if "storm_seconds" in changed:
            self._storm_until = now + does.storm_seconds
        if (does.requests_per_minute, does.tokens_per_minute) != (before.requests_per_minute, before.tokens_per_minute):
            self._limits = Limits(does, now)
        held, self._held = self._held, []
        for pending in held:
            self._begin(pending)

    def _reset(self) -> None:
        self._books = Books()
        self._pace = Pace()
        self._limits = Limits(self._does, self._clock.now())
        self._batches = Batches(self._reply_in_batch)
        self._attempts: Counter[bytes] = Counter()

    def _wake(self) -> None:
        """Answer those who wait for as many requests as there are now."""
        ready = [call for count, call in self._waiting if count <= len(self._books.notes)]
        self._waiting = [(count, call) for count, call in self._waiting if count > len(self._books.notes)]
        for call in ready:
            call.answer(Answer.json(200, {}))


async def serve(does: Behaviour, port: int = 0) -> str:
    """Serve as long as the event loop runs; the base_url. Port 0 takes a free one."""
    provider = Provider(does)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(provider.take), "127.0.0.1", port, backlog=4096)
    return f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
