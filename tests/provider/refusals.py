"""What the provider does not take: rows that fail for ever, contents that are refused, fields it does not know."""

import re
from typing import Any

from tests.provider.arithmetic import said
from tests.provider.behaviour import Behaviour
from tests.provider.wire import Answer

WANTED = {
    "system": "Input should be 'user', 'assistant' or 'developer'",
    "temperature": "Input should be 1",
    "n": "Input should be 1",
}
"""What is wanted of the fields of which some values are taken."""

INSTEAD = {
    "max_tokens": " Use 'max_completion_tokens' instead.",
    "temperature": " Only the default (1) value is supported.",
    "n": " Only the default (1) value is supported.",
}
"""What a refusal says to do."""


def refused(body: dict[str, Any], does: Behaviour) -> Answer | None:
    """The answer to a request that is not taken, whether it came by itself or in a batch."""
    text = "\n".join(said(message) for message in body["messages"])
    n = body.get("n") or 1
    if does.fail_rows is not None and re.search(does.fail_rows, text):
        return Answer.error(does.fail_rows_status, "this row fails for ever", type="server_error", code=None)
    if does.reject_n and n > 1:
        return Answer.error(400, "n must be 1", code="invalid_n", type="fake")
    for name in does.unsupported:
        if is_asked(name, body):
            return unsupported(name, body, does.unsupported_style)
    if does.refuse is not None and does.refuse in text:
        return Answer.error(400, "this request was refused", code=does.refuse_code, type="fake")
    return None


def is_asked(name: str, body: dict[str, Any]) -> bool:
    """Whether a request asks for what has this name."""
    if name == "system":
        return any(message["role"] == "system" for message in body["messages"])
    return name in body and body[name] != (1 if name in ("temperature", "n") else None)


def unsupported(name: str, body: dict[str, Any], style: str) -> Answer:
    """A refusal of a field, in one of the ways that providers have."""
    loc: list[str | int] = [name]
    if name == "system":
        loc = ["messages", [message["role"] for message in body["messages"]].index("system"), "role"]
    param = f"messages[{loc[1]}].role" if name == "system" else name
    value = name if name == "system" else body[name]
    if style == "pydantic":
        kind = "literal_error" if name in WANTED else "extra_forbidden"
        wanted = WANTED.get(name, "Extra inputs are not permitted")
        return Answer.json(422, {"detail": [{"type": kind, "loc": ["body", *loc], "msg": wanted, "input": value}]})
    instead = INSTEAD.get(name, "")
    if style == "prose":
        told = f"{param} is not supported by this model.{instead}"
        return Answer.error(400, told, type="BadRequestError", param=None, code=400)
    if name in WANTED:
        code, told = "unsupported_value", f"Unsupported value: '{param}' does not support {value!r} with this model."
    else:
        code, told = "unsupported_parameter", f"Unsupported parameter: '{param}' is not supported with this model."
    return Answer.error(400, told + instead, type="invalid_request_error", param=param, code=code)
