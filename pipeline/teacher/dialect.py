"""What is sent to an OpenAI-compatible API and what its answers mean; pure, so that stored bodies are read anew."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Literal

FINAL = re.compile(
    r"content.?(filter|policy|management)|inspection|moderation|flagged|safety|context.?(length|size|window)"
    r"|maximum context|string_above_max_length|prompt is too long",
    re.IGNORECASE,
)
"""An error that says this of a request is about that very request, whatever else is wrong."""

THOUGHTS = re.compile(r"\s*(?:<think>)?(?P<thoughts>(?:(?!<think>).)*?)</think>\s*(?P<text>.*)", re.DOTALL)
"""Thoughts in tags; a template that writes the opening tag into the prompt leaves only the closing one."""

Kind = Literal["reply", "refused", "failed", "fatal"]


@dataclass(frozen=True)
class Verdict:
    """What one answer of a server means."""

    kind: Kind
    """`reply` and `refused` are answers; `failed` may go better next time; `fatal` will not for any request."""
    message: str = ""
    """One line, cut."""
    hint: str = ""
    """What to do about a fatal one."""
    certain: bool = False
    """For `refused`: surely about this very request, not about a field that every request has."""


@dataclass(frozen=True)
class Usage:
    """Tokens of one answer; None where the server did not say."""

    prompt_tokens: int | None = None
    cached_tokens: int = 0
    """Of the prompt, read from the provider's cache."""
    completion_tokens: int | None = None


NOTHING_TOLD = Usage()


@dataclass(frozen=True)
class Choice:
    """One sample, read."""

    text: str
    thoughts: str
    cut: bool
    refusal: str
    """Why the provider kept the reply back; empty where it did not."""
    tokens: int | None


def body_of(model: str, messages: list[dict[str, str]], fields: Mapping[str, Any], first: int, count: int) -> bytes:
    """The body sent for `count` samples from index `first` on."""
    body: dict[str, Any] = {"model": model, "messages": messages, **fields}
    body.update(body.pop("extra_body", {}))
    if "seed" in body:
        body["seed"] += first
    if count > 1:
        body["n"] = count
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def judge(status: int, content_type: str, raw: bytes) -> Verdict:
    """What an answer means, before anything is known of the teacher's past."""
    payload = parse(raw)
    if status == 200 and payload is None:
        kind = content_type.partition(";")[0] or "no content type"
        return Verdict("fatal", f"answered {kind}, not JSON", "base_url probably lacks its version path, as in /v1")
    error = (payload or {}).get("error")
    if status == 200 and not error:
        return Verdict("reply") if (payload or {}).get("choices") else Verdict("failed", "an answer without choices")
    fault = error if isinstance(error, dict) else {}
    said = fault.get("message") or error or (payload or {}).get("message") or (payload or {}).get("detail")
    message = one_line(str(said)) if said else f"HTTP {status}"
    if status == 200:  # some gateways wrap the error of the provider behind them
        code = fault.get("code")
        status = code if isinstance(code, int) else 500
    marks = f"{fault.get('code')} {fault.get('type')} {message}"
    if 400 <= status < 500 and status not in (401, 404, 429) and FINAL.search(marks):
        return Verdict("refused", message, certain=True)
    if status in (401, 403):
        return Verdict("fatal", f"{status}: {message}", "check {key}")
    if status == 402 or "insufficient_quota" in marks:
        return Verdict("fatal", f"{status}: {message}", "the account has no credit left; top it up and run again")
    if status == 404:
        return Verdict("fatal", f"404: {message}", "check model, and that base_url ends in its version path, as in /v1")
    if status in (408, 409, 425, 429) or not 400 <= status < 500:
        return Verdict("failed", f"{status}: {message}")
    return Verdict("refused", f"{status}: {message}")


def choices_of(payload: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The choices of an answer in the order of their indices."""
    return sorted(payload["choices"], key=lambda choice: choice.get("index") or 0)


def read(payload: Mapping[str, Any], place: int) -> Choice:
    """One choice of an answer."""
    choices = choices_of(payload)
    choice = choices[place]
    message = choice.get("message") or {}
    text = _plain(message.get("content"))
    thoughts = _plain(message.get("reasoning_content") or message.get("reasoning"))
    tagged = None if thoughts else THOUGHTS.fullmatch(text)
    if tagged:
        thoughts, text = tagged["thoughts"].strip(), tagged["text"]
    elif not thoughts and text.lstrip().startswith("<think>"):
        thoughts, text = text.lstrip().removeprefix("<think>").strip(), ""
    reason = choice.get("finish_reason")
    filtered = "the provider's content filter ended it" if reason == "content_filter" else ""
    return Choice(
        text=text,
        thoughts=thoughts,
        cut=reason == "length",
        refusal=filtered or one_line(_plain(message.get("refusal"))),
        tokens=usage_of(payload).completion_tokens if len(choices) == 1 else None,
    )


def usage_of(payload: Mapping[str, Any]) -> Usage:
    """The tokens of a whole answer."""
    usage = payload.get("usage") or {}
    prompt, written = usage.get("prompt_tokens"), usage.get("completion_tokens")
    details = usage.get("prompt_tokens_details") or {}
    cached = details.get("cached_tokens") or usage.get("prompt_cache_hit_tokens") or 0
    if "timings" in payload and len(payload.get("choices") or ()) > 1:
        written = None  # llama.cpp counts one choice of several
    elif prompt is not None and written is not None:
        # Some providers leave the thoughts out of the completion, but not out of the total.
        written = max(written, (usage.get("total_tokens") or 0) - prompt)
    return Usage(prompt, cached, written)


def parse(raw: bytes) -> dict[str, Any] | None:
    """The JSON object of an answer; None where it is none."""
    try:
        payload = json.loads(raw)
    except ValueError:
        return None
    if isinstance(payload, list) and len(payload) == 1:  # so does Gemini wrap its errors
        payload = payload[0]
    return payload if isinstance(payload, dict) else None


def retry_after(value: str | None, now: float) -> float:
    """Seconds to wait that a Retry-After header asks for: a number, or a date against `now` in Unix time."""
    if not value:
        return 0.0
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - now)
    except ValueError:
        return 0.0


def one_line(text: str, most: int = 200) -> str:
    """A provider's message on one line, cut."""
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[: most - 1]}…"


def _plain(content: Any) -> str:
    if isinstance(content, list):
        return "".join(str(part.get("text") or "") for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""
