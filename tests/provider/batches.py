"""Batches as OpenAI runs them: made of an uploaded file, polled, cancelled, and ended with files of their results.

Nothing runs: where a batch stands is worked out from its age whenever somebody looks, and what it answers when it is
first seen ended.
"""

import json
import random
import time
from collections.abc import Callable
from typing import Any

from tests.provider.arithmetic import drawn
from tests.provider.behaviour import Behaviour
from tests.provider.completion import prompt_tokens
from tests.provider.files import Files, page
from tests.provider.wire import Answer, Call

ENDPOINT = "/v1/chat/completions"
DAY_SECONDS = 86_400
STAGES = ((0.1, "validating"), (0.9, "in_progress"), (1.0, "finalizing"))
"""Up to which share of its time a batch is what."""
ENDED = ("completed", "failed", "expired", "cancelled")
LOST = {
    "expired": "This request could not be executed before the completion window expired.",
    "cancelled": "The batch was cancelled before this request executed.",
}
"""Why a request of a batch with such an end has no result."""

Reply = Callable[[dict[str, Any], str], Answer]
"""The answer to a body, with an id for it."""


class Batch:
    """One batch."""

    def __init__(self, batch_id: str, asked: dict[str, Any], now: float) -> None:
        self.id = batch_id
        self.asked = asked
        self.created_at = now
        self.at = time.time()
        self.lines: list[dict[str, Any]] = []
        self.error: dict[str, Any] | None = None
        self.cancelling_at: float | None = None
        self.ended: str | None = None
        self.ended_at = now
        self.files: dict[str, str | None] = {"output_file_id": None, "error_file_id": None}
        self.counts = {"total": 0, "completed": 0, "failed": 0}

    def share(self, does: Behaviour, now: float) -> float:
        """Of the time it takes, what is over."""
        return min(1.0, (now - self.created_at) / does.batch_seconds) if does.batch_seconds else 1.0

    def status(self, does: Behaviour, now: float) -> str:
        """Where it stands."""
        if self.ended is not None:
            return self.ended
        if self.cancelling_at is not None:
            return "cancelling" if now < self.cancelling_at + does.batch_seconds / 10 else "cancelled"
        share = self.share(does, now)
        stage = next((stage for until, stage in STAGES if share < until), does.batch_ends)
        failing = self.error is not None or does.batch_ends == "failed"
        return "failed" if failing and stage != "validating" else stage

    def told(self, status: str, does: Behaviour, now: float) -> dict[str, Any]:
        """OpenAI's batch object."""
        lasts = does.batch_seconds
        since = {"in_progress_at": self.created_at + lasts / 10, "finalizing_at": self.created_at + lasts * 0.9}
        begun = status not in ("validating", "failed")
        over = {name: int(at) if begun and at <= now else None for name, at in since.items()}
        ends = {f"{end}_at": int(self.ended_at) if status == end else None for end in ENDED}
        counts = self.counts
        if status == "in_progress":
            counts = {**counts, "completed": int(len(self.lines) * (self.share(does, now) - 0.1) / 0.8)}
        return {
            "id": self.id, "object": "batch", "endpoint": self.asked["endpoint"], "model": self.model(),
            "errors": {"object": "list", "data": [self.error]} if self.error and status == "failed" else None,
            "input_file_id": self.asked["input_file_id"], "completion_window": self.asked["completion_window"],
            "status": status, **self.files, "created_at": int(self.created_at), **over, **ends,
            "expires_at": int(self.created_at) + DAY_SECONDS,
            "cancelling_at": None if self.cancelling_at is None else int(self.cancelling_at),
            "request_counts": counts, "metadata": self.asked.get("metadata"),
        }  # fmt: skip

    def model(self) -> str | None:
        """The model that it asks."""
        return self.lines[0]["body"].get("model") if self.lines else None

    def enqueued_tokens(self) -> int:
        """The tokens of its prompts."""
        return sum(prompt_tokens(line["body"]) for line in self.lines)


class Batches:
    """All batches, and the files they are made of."""

    def __init__(self, reply: Reply) -> None:
        self.files = Files()
        self._reply = reply
        self._batches: dict[str, Batch] = {}

    def answer(self, call: Call, does: Behaviour, now: float) -> Answer:
        """Answer a call to /v1/batches."""
        match call.method, *call.path.split("/")[3:]:
            case ("POST",):
                return self._create(json.loads(call.body), does, now)
            case ("GET",):
                return page(call, [self._told(batch, does, now) for batch in reversed(self._batches.values())])
            case _, batch_id, *_ if batch_id not in self._batches:
                return Answer.error(404, f"No batch found with id '{batch_id}'.", type="invalid_request_error")
            case "GET", batch_id:
                return Answer.json(200, self._told(self._batches[batch_id], does, now))
            case "POST", batch_id, "cancel":
                return self._cancel(self._batches[batch_id], does, now)
        return Answer.error(405, f"no {call.method} here", type="invalid_request_error")

    def listed(self, does: Behaviour, now: float) -> list[dict[str, Any]]:
        """What `FakeTeacher.batches` gives."""
        return [
            {
                "id": batch.id,
                "metadata": batch.asked.get("metadata"),
                "input_file_id": batch.asked["input_file_id"],
                "custom_ids": [line["custom_id"] for line in batch.lines],
                "bodies": [line["body"] for line in batch.lines],
                "status": self._look(batch, does, now),
                "at": batch.at,
            }
            for batch in self._batches.values()
        ]

    def _create(self, asked: dict[str, Any], does: Behaviour, now: float) -> Answer:
        file = self.files.get(asked.get("input_file_id", ""))
        if file is None or file.purpose != "batch":
            told = "input_file_id is not the id of a file with purpose 'batch'"
            return Answer.error(400, told, type="invalid_request_error", param="input_file_id", code=None)
        if asked.get("endpoint") != ENDPOINT or asked.get("completion_window") != "24h":
            told = f"endpoint must be {ENDPOINT} and completion_window 24h"
            return Answer.error(400, told, type="invalid_request_error", param=None, code=None)
        open_now = [batch for batch in self._batches.values() if self._look(batch, does, now) not in ENDED]
        batch = Batch(f"batch_{len(self._batches) + 1:06d}", asked, now)
        batch.error = read_lines(file.data, batch.lines, does)
        enqueued = sum(each.enqueued_tokens() for each in [*open_now, batch] if each.error is None)
        if does.batch_enqueued_tokens is not None and enqueued > does.batch_enqueued_tokens:
            told = (
                f"Enqueued token limit reached for {batch.model()} in organization org-fake. Limit: "
                f"{does.batch_enqueued_tokens:,} enqueued tokens. Please try again once some in_progress batches have "
                "been completed."
            )
            batch.error = batch.error or problem("token_limit_exceeded", told)
        self._batches[batch.id] = batch
        told_of = batch.told("validating", does, now)
        batch.counts = {**batch.counts, "total": len(batch.lines)}
        return Answer.json(200, told_of)

    def _cancel(self, batch: Batch, does: Behaviour, now: float) -> Answer:
        status = self._look(batch, does, now)
        if status in ENDED:
            told = f"Cannot cancel a batch with status '{status}'."
            return Answer.error(409, told, type="invalid_request_error", param=None, code=None)
        batch.cancelling_at = batch.cancelling_at or now
        return Answer.json(200, batch.told("cancelling", does, now))

    def _told(self, batch: Batch, does: Behaviour, now: float) -> dict[str, Any]:
        return batch.told(self._look(batch, does, now), does, now)

    def _look(self, batch: Batch, does: Behaviour, now: float) -> str:
        status = batch.status(does, now)
        if status in ENDED and batch.ended is None:
            batch.ended, batch.ended_at = status, now
            if status == "failed":
                batch.error = batch.error or problem("invalid_request", "told to fail")
            elif batch.error is None:
                self._work(batch, status, does, now)
        return status

    def _work(self, batch: Batch, status: str, does: Behaviour, now: float) -> None:
        """Answer what is to be answered and make the two files."""
        done = len(batch.lines) if status == "completed" else int(len(batch.lines) * does.batch_done_share)
        results: dict[str, list[dict[str, Any]]] = {"output": [], "error": []}
        for place, line in enumerate(batch.lines):
            result = {"id": f"batch_req_{batch.id}_{place}", "custom_id": line["custom_id"], "response": None}
            if place >= done:
                result["error"] = {"code": f"batch_{status}", "message": LOST[status]}
                results["error"].append(result)
                continue
            answer = self._answered(batch.id, place, line, does)
            response = {"status_code": answer.status, "request_id": result["id"], "body": json.loads(answer.body)}
            results["output" if answer.status == 200 else "error"].append(
                {**result, "response": response, "error": None}
            )
        for name, kept in results.items():
            if does.batch_shuffled:
                random.Random(batch.id).shuffle(kept)
            if kept:
                data = "".join(json.dumps(result) + "\n" for result in kept).encode()
                file = self.files.add(f"{batch.id}_{name}.jsonl", "batch_output", data, now)
                batch.files[f"{name}_file_id"] = file.id
        counts = {"completed": len(results["output"]), "failed": len(results["error"])}
        batch.counts = {"total": len(batch.lines), **counts}

    def _answered(self, batch_id: str, place: int, line: dict[str, Any], does: Behaviour) -> Answer:
        if drawn(batch_id.encode(), line["custom_id"].encode()) < does.batch_error_share:
            return Answer.error(500, "told to fail in a batch", type="server_error", param=None, code=None)
        return self._reply(line["body"], f"fake-{batch_id}-{place}")


def read_lines(data: bytes, lines: list[dict[str, Any]], does: Behaviour) -> dict[str, Any] | None:
    """Read the requests of a file into `lines`; the problem, if there is one, with its line."""
    seen = set()
    for number, text in enumerate(data.splitlines(), start=1):
        try:
            line = json.loads(text)
            custom_id, url, _ = line["custom_id"], line["url"], line["body"]["messages"]
        except (ValueError, KeyError, TypeError):
            return problem("invalid_json_line", "This line is not parseable as a valid request.", number)
        if url != ENDPOINT:
            return problem("url_mismatch", "The URL of this request is not the endpoint of the batch.", number)
        if custom_id in seen:
            told = f"The custom_id '{custom_id}' for this request is a duplicate of another request."
            return problem("duplicate_custom_id", told, number)
        if lines and line["body"].get("model") != lines[0]["body"].get("model"):
            return problem("model_mismatch", "The model of this request is not that of the others.", number)
        seen.add(custom_id)
        lines.append(line)
    if not lines:
        return problem("empty_file", "The input file is empty.")
    if len(lines) > does.batch_most_requests:
        told = f"The number of requests exceeds the most allowed, {does.batch_most_requests:,}."
        return problem("too_many_tasks", told)
    return None


def problem(code: str, message: str, line: int | None = None) -> dict[str, Any]:
    """An error of a batch as a whole."""
    return {"code": code, "message": message, "param": None, "line": line}
