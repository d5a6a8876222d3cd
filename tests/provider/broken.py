"""Answers that are broken, each in one way."""

import json
from typing import Any

from tests.provider.arithmetic import drawn
from tests.provider.wire import Answer, Call

DRIP_SECONDS = 0.02
"""The provider's seconds from one byte of a drip to the next."""

PAGE = b"<html><head><title>502 Bad Gateway</title></head><body><center>nginx</center></body></html>"

UNUSABLE = (
    {"prompt_tokens": -5, "completion_tokens": -7, "total_tokens": -12},
    {"prompt_tokens": 10**12, "completion_tokens": 10**12, "total_tokens": 2 * 10**12},
    {"prompt_tokens": "twelve", "completion_tokens": "7.5", "total_tokens": None},
)


def broken(kind: str, good: Answer) -> Answer:
    """What is left of a good answer; of reset, drip and timeout it is the sending that is broken."""
    if kind == "html_502":
        return Answer(502, PAGE, {"Content-Type": "text/html"})
    if kind == "half_json":
        return good._replace(body=good.body[: len(good.body) // 2])
    made: dict[str, Any] = json.loads(good.body)
    match kind:
        case "duplicate_ids":
            made["id"] = "fake-0"
        case "empty_choices":
            made["choices"] = []
        case "null_content":
            for choice in made["choices"]:
                choice["message"]["content"] = None
        case "wrong_usage":
            made["usage"] = UNUSABLE[int(drawn(good.body) * len(UNUSABLE))]
    return good._replace(body=json.dumps(made).encode())


def send(call: Call, kind: str | None, answer: Answer, byte_seconds: float) -> int | None:
    """Send an answer, broken in this way or whole; its status, None where it never is whole."""
    if kind == "timeout":
        return None
    if kind == "reset":
        call.reset(answer)
        return None
    if kind == "drip":
        call.drip(answer, byte_seconds)
    else:
        call.answer(answer)
    return answer.status
