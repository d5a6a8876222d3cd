"""The body of a completion, in the dialect that is asked for: its choices, thoughts, log-probabilities and usage."""

import json
import re
from typing import Any, NamedTuple

from tests.provider.arithmetic import attempts, drawn, said
from tests.provider.behaviour import Behaviour

TOKEN = re.compile(r"\s*\S+|\s+$")


class Completion(NamedTuple):
    """What a request is answered with."""

    body: dict[str, Any]
    tokens: int
    """Of the prompt and all choices, whatever the usage says."""


def completion(body: dict[str, Any], does: Behaviour, reply_id: str) -> Completion:
    """Work out what a request is answered with."""
    n = 1 if does.ignore_n else body.get("n") or 1
    style = thoughts_style(str(body.get("model")), does)
    cut_anyway = is_cut_anyway(body, does)
    choices, written = [], []
    for index, (thoughts, text) in enumerate(attempts(body["messages"], body.get("seed") or 0, n, does.right_share)):
        before, after = thoughts.split() if style not in (None, "empty") else [], text.split()
        whole = len(before) + len(after)
        limit = token_limit(body) or whole
        room = min(limit, whole // 2) if cut_anyway else limit
        if room < whole:
            before, after = before[:room], after[: max(0, room - len(before))]
            thoughts, text = " ".join(before), " ".join(after)
        reason = does.length_reason if room < whole else does.finish_reason
        choice = {
            "index": index, "message": {"role": "assistant", **message(style, thoughts, text)},
            "finish_reason": None if reason == "null" else reason,
        }  # fmt: skip
        if does.gives_logprobs and body.get("logprobs"):
            choice["logprobs"] = logprobs(text, body.get("top_logprobs") or 0)
        choices.append(choice)
        written.append(len(before) + len(after))
    made = {"id": reply_id, "object": "chat.completion", "created": 0, "model": body.get("model"), "choices": choices}
    prompt, tokens = prompt_tokens(body), sum(written)
    counted = written[0] if does.usage_of_one_choice else tokens
    if does.usage_of_one_choice:
        made["timings"] = {"prompt_n": prompt, "prompt_ms": 1.5, "predicted_n": counted, "predicted_ms": 9.5}
    if not does.no_usage:
        made["usage"] = {
            "prompt_tokens": prompt, "completion_tokens": counted, "total_tokens": prompt + counted,
        }  # fmt: skip
    return Completion(made, prompt + tokens)


def thoughts_style(model: str, does: Behaviour) -> str | None:
    """How the model shows its thoughts; None where it has none."""
    if does.thoughts is not None:
        return does.thoughts
    return "inline" if "inline" in model else "reasoning_content" if "think" in model else None


def message(style: str | None, thoughts: str, text: str) -> dict[str, Any]:
    """Thoughts and text as a message has them; where there is no text, the thoughts were cut."""
    match style:
        case "reasoning_content" | "reasoning":
            return {"content": text, style: thoughts}
        case "parts":
            thinking = {"type": "thinking", "thinking": [{"type": "text", "text": thoughts}]}
            return {"content": [thinking, {"type": "text", "text": text}] if text else [thinking]}
        case "inline":
            return {"content": f"<think>{thoughts}</think>\n\n{text}" if text else f"<think>{thoughts}"}
        case "closing_only":
            return {"content": f"{thoughts}</think>\n\n{text}" if text else thoughts}
        case "empty":
            return {"content": f"<think>\n\n</think>\n\n{text}", "reasoning_content": ""}
    return {"content": text}


def is_cut_anyway(body: dict[str, Any], does: Behaviour) -> bool:
    """Whether this is one of the questions whose replies are cut at half their length."""
    if not does.cut_share or drawn(b"cut", json.dumps(body["messages"]).encode()) >= does.cut_share:
        return False
    return does.cut_cured_at is None or (token_limit(body) or 0) < does.cut_cured_at


def logprobs(text: str, alternatives: int) -> dict[str, Any]:
    """Log-probabilities of a text's tokens, and of so many others in their places, the likeliest first."""
    content = []
    for token in TOKEN.findall(text):
        others = [f" other{rank}" for rank in range(1, alternatives)]
        top = [priced(word, rank) for rank, word in enumerate([token, *others])] if alternatives else []
        content.append({**priced(token, 0), "top_logprobs": top})
    return {"content": content, "refusal": None}


def priced(token: str, rank: int) -> dict[str, Any]:
    """A token and how likely it is; each rank is half as likely as the one above."""
    return {"token": token, "logprob": -0.693 * (rank + 1), "bytes": list(token.encode())}


def prompt_tokens(body: dict[str, Any]) -> int:
    """The words of a prompt."""
    return sum(len(said(message).split()) for message in body["messages"])


def most_tokens(body: dict[str, Any]) -> int:
    """The most that a request may take: its prompt and n * max_tokens."""
    return prompt_tokens(body) + (body.get("n") or 1) * (token_limit(body) or 0)


def token_limit(body: dict[str, Any]) -> int | None:
    """The most tokens of a choice, as the request has it."""
    limit: int | None = body.get("max_tokens") or body.get("max_completion_tokens")
    return limit
