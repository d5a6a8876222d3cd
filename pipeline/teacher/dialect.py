"""What is sent to an OpenAI-compatible API and what its answers mean; pure, so that stored bodies are read anew."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from pipeline.teacher import thoughts

FINAL = re.compile(
    r"content.?(filter|policy|management)|inspection|moderation|flagged|safety|context.?(length|size|window)"
    r"|maximum context|string_above_max_length|prompt is too long",
    re.IGNORECASE,
)
"""An error that says this of a request is about that very request, whatever else is wrong."""

CEILING = re.compile(
    r"max_(?:completion_|output_)?tokens.{0,80}?(?:at most|maximum (?:value )?(?:is|of)|less than or equal to|<=|> "
    r"|\[\d+,)[\s`'\"]*(?P<most>\d+)",
    re.DOTALL,
)
"""A refusal for a ceiling above the model's own, with that one."""

CUT = {
    "length", "max_tokens", "max_output_tokens", "max_completion_tokens", "model_length", "token_limit", "max_length",
    "model_context_window_exceeded",
}  # fmt: skip
"""Spellings of a finish reason, in small letters, that say that the reply ended at a limit."""

KEPT_BACK = {
    "content_filter", "content_filtered", "safety", "recitation", "prohibited_content", "blocklist", "spii", "refusal",
    "sensitive", "guardrail_intervened",
}  # fmt: skip
"""Those that say that the provider kept the reply back; Gemini gives its own capitals on its OpenAI endpoint."""

BROKEN = {"error", "network_error", "insufficient_system_resource", "abort"}
"""Those of OpenRouter, Zhipu, DeepSeek, and vLLM, that say that the server gave up half-way."""

APART = ("reasoning_content", "reasoning", "thinking", "reasoning_details")
"""Fields of a message with its thoughts: DeepSeek's, OpenRouter's and vLLM's, Ollama's, OpenRouter's in parts."""

MOST_TOKENS = 100_000_000
"""No answer has more; a larger count is a fault of the server."""

TOO_LARGE = re.compile(r"request too large|too large for|must be reduced", re.IGNORECASE)
"""A 429 that says this is about one request, which no waiting lets in."""

Kind = Literal["reply", "refused", "failed", "fatal"]


@dataclass(frozen=True)
class Verdict:
    """What one answer of a server means."""

    kind: Kind
    """`reply` and `refused` are answers; `failed` may go better next time; `fatal` will not for any request."""
    message: str = ""
    """One line, cut."""
    hint: str = ""
    """What to do about it, where that is known."""
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
    payload = payload or {}
    if status != 200 or payload.get("error") or payload.get("object") == "error":
        return _judge_fault(status, payload)
    if choices_of(payload):
        return Verdict("reply")
    said = complaint(_list(payload.get("choices")))
    return Verdict("failed", one_line(f"an answer without choices: {said}" if said else "an answer without choices"))


def _judge_fault(status: int, payload: Mapping[str, Any]) -> Verdict:
    fault = _dict(payload.get("error")) or payload
    said = complaint(payload)
    message = one_line(said) or f"HTTP {status}"
    if status == 200:  # some gateways wrap the error of the provider behind them
        code = str(fault.get("code"))
        status = int(code) if code.isdigit() else 500
    marks = f"{fault.get('code')} {fault.get('type')} {message}"
    if 400 <= status < 500 and status not in (401, 404, 429) and FINAL.search(marks):
        return Verdict("refused", message, certain=True)
    if status in (401, 403):
        return Verdict("fatal", f"{status}: {message}", "check {key}")
    if status == 402 or "insufficient_quota" in marks:
        return Verdict("fatal", f"{status}: {message}", "the account has no credit left; top it up and run again")
    if status == 404:
        return Verdict("fatal", f"404: {message}", "check model, and that base_url ends in its version path, as in /v1")
    if status == 429 and TOO_LARGE.search(message):
        return Verdict("refused", f"429: {message}")
    if status in (408, 409, 425, 429) or not 400 <= status < 500:
        return Verdict("failed", f"{status}: {message}")
    ceiling = CEILING.search(said)
    hint = f"lower max_tokens: the model's own ceiling is {ceiling['most']}" if ceiling else ""
    return Verdict("refused", f"{status}: {message}", hint)


def complaint(value: Any) -> str:
    """What an error says, whole, without the request that some servers repeat in it."""
    if isinstance(value, str):
        inner = complaint(_json(value)) if value.startswith(("{", "[")) else ""
        return inner or value
    if isinstance(value, list):
        return "; ".join(filter(None, map(complaint, value)))
    if not isinstance(value, dict):
        return ""
    if isinstance(value.get("loc"), list):  # pydantic, whose `input` may be the whole request
        return f"{'.'.join(str(part) for part in value['loc'] if part != 'body')}: {value.get('msg')}"
    behind = complaint(_dict(value.get("metadata")).get("raw"))  # what OpenRouter was told by the provider behind it
    return behind or _first(*(complaint(value.get(name)) for name in ("error", "message", "detail")))


def choices_of(payload: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The samples of an answer in the order of their indices, without those that the server failed to finish."""
    choices = [choice for choice in _list(payload.get("choices")) if isinstance(choice, dict)]
    whole = [choice for choice in choices if not choice.get("error") and not _reasons(choice) & BROKEN]
    return sorted(whole, key=lambda choice: choice["index"] if isinstance(choice.get("index"), int) else 0)


def read(payload: Mapping[str, Any], place: int) -> Choice:
    """One choice of an answer."""
    return read_choice(choices_of(payload)[place], tokens_of_one(payload))


def read_choice(choice: Mapping[str, Any], tokens: int | None) -> Choice:
    """One of `choices_of` an answer, whose tokens are `tokens_of_one`."""
    message = _dict(choice.get("message"))
    parts = _parts(message.get("content"))
    told = _first(*(_plain(message.get(name)) for name in APART), parts["thoughts"])
    inline, text = thoughts.split(parts["text"], opening=bool(told))
    # Some servers tell the same thoughts in both places.
    both = [told, inline] if inline and inline != told.strip() else [told]
    kept_back = "the provider's content filter ended it" if _reasons(choice) & KEPT_BACK else ""
    return Choice(
        text=_whole(text),
        thoughts=_whole("\n\n".join(filter(None, both))),
        cut=is_cut(choice),
        refusal=kept_back or one_line(_plain(message.get("refusal")) or parts["refusal"]),
        tokens=tokens,
    )


def is_cut(choice: Mapping[str, Any]) -> bool:
    """Whether one of `choices_of` an answer ended at its limit."""
    return bool(_reasons(choice) & CUT)


def tokens_of_one(payload: Mapping[str, Any]) -> int | None:
    """The tokens of an answer's only choice; None where it has several."""
    return usage_of(payload).completion_tokens if len(_list(payload.get("choices"))) == 1 else None


def usage_of(payload: Mapping[str, Any]) -> Usage:
    """The tokens of a whole answer."""
    usage = _dict(payload.get("usage"))
    prompt = _count(usage, "prompt_tokens", "input_tokens")
    written = _count(usage, "completion_tokens", "output_tokens")
    total = _count(usage, "total_tokens")
    details = _dict(usage.get("prompt_tokens_details"))
    cached = _count(details, "cached_tokens") or _count(usage, "prompt_cache_hit_tokens", "cached_tokens") or 0
    unseen = _count(_dict(usage.get("completion_tokens_details")), "reasoning_tokens") or 0
    if "timings" in payload and len(_list(payload.get("choices"))) > 1:
        written = None  # llama.cpp counts one choice of several
    else:
        # Some providers leave the thoughts out of the completion, but not out of the total or not out of the details.
        told = [] if written is None else [written, written + unseen if unseen > written else 0]
        told += [] if total is None or prompt is None else [total - prompt]
        written = max((count for count in told if count >= 0), default=None)
    return Usage(prompt, cached if prompt is None else min(cached, prompt), written)


def parse(raw: bytes) -> dict[str, Any] | None:
    """The JSON object of an answer; None where it is none."""
    payload = _json(raw)
    if isinstance(payload, list) and len(payload) == 1:  # so does Gemini wrap its errors
        payload = payload[0]
    return payload if isinstance(payload, dict) else None


def one_line(text: str, most: int = 200) -> str:
    """A provider's message on one line, cut."""
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[: most - 1]}…"


def _reasons(choice: Mapping[str, Any]) -> frozenset[str]:
    return _words(str(choice.get("finish_reason")))


@lru_cache(maxsize=64)
def _words(reason: str) -> frozenset[str]:
    """The words of a finish reason: Gemini and others put two into one, as in `content_filter: SAFETY`."""
    return frozenset(re.findall(r"\w+", reason.lower()))


def _parts(content: Any) -> dict[str, str]:
    """What a content says, by kind; it is a text or a list of parts."""
    said = {"text": _plain(content), "thoughts": "", "refusal": ""}
    if not isinstance(content, list):
        return said
    said["text"] = ""
    for part in content:
        kind = str(_dict(part).get("type") or "text")
        is_thought = kind.startswith(("thinking", "reasoning"))
        said["thoughts" if is_thought else "refusal" if kind == "refusal" else "text"] += _plain(part)
    return said


def _plain(value: Any) -> str:
    """The text in a value that is a text, a part of a content, or a list of such."""
    if isinstance(value, list):
        return "".join(map(_plain, value))
    if isinstance(value, dict):
        return _first(*(_plain(value.get(name)) for name in ("text", "thinking", "summary", "reasoning", "refusal")))
    return value if isinstance(value, str) else ""


def _count(fields: Mapping[str, Any], *names: str) -> int | None:
    """The first of the fields that is a number of tokens."""
    told = (fields.get(name) for name in names)
    return next((value for value in told if type(value) is int and 0 <= value <= MOST_TOKENS), None)


def _json(raw: bytes | str) -> Any:
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return None


def _whole(text: str) -> str:
    """A text without halves of characters, which a cut may leave and no file can hold."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _first(*texts: str) -> str:
    return next(filter(None, texts), "")


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
