"""What the report shows of a training: its loss, its machine, its settings, and the tokens that it learnt from."""

from typing import Any

from pipeline.report import figures
from pipeline.report.files import RunFiles, StepFiles

OPENING, CLOSING = "<think>", "</think>"
PROVED = "special"
"""Key of a token that only a proved training writes; samples of older ones lack it."""


def trainings(run: RunFiles) -> list[dict[str, Any]]:
    """One entry a step that trained."""
    return [_training(step) for step in run.of_stage("train")]


def _training(step: StepFiles) -> dict[str, Any]:
    samples = step.json("training_sample.json") or []
    fit = step.json("fit.json") or {}
    return {
        "step": step,
        "curve": figures.loss_curve(step.lines("log.jsonl")),
        "fit": {name: _told(value) for name, value in fit.items() if name != "why" and value is not None},
        "why": fit.get("why", []),
        "settings": {name: value for name, value in step.record.fields.items() if value is not None},
        "samples": [_sample(sample) for sample in samples if sample["tokens"]],
        "proved": any(PROVED in token for sample in samples for token in sample["tokens"]),
    }


def _told(value: str | float) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.4g}"
    return value if isinstance(value, str) else f"{value:,}"


def _sample(sample: dict[str, Any]) -> dict[str, Any]:
    tokens = sample["tokens"]
    return {
        "id": sample["id"],
        "tokens": len(tokens),
        "trained": sum(token["trained"] for token in tokens),
        "spans": _spans(tokens),
    }


def _spans(tokens: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Neighbouring tokens of the same kind as one piece of text; each special token is a piece of its own."""
    begin, stop = _thoughts(tokens)
    spans: list[dict[str, Any]] = []
    at = 0
    for token in tokens:
        kind = _kind(token, in_thoughts=begin <= at < stop)
        at += len(token["text"])
        if spans and spans[-1]["kind"] == kind and not token.get("special"):
            spans[-1]["text"] += token["text"]
        else:
            spans.append({"kind": kind, "text": token["text"], "trained": token["trained"]})
    if spans and spans[-1]["kind"] == "special answer":
        spans[-1]["kind"] += " end"
    return spans


def _kind(token: dict[str, Any], in_thoughts: bool) -> str:
    role = "prompt" if not token["trained"] else "thoughts" if in_thoughts else "answer"
    return f"special {role}" if token.get("special") else role


def _thoughts(tokens: list[dict[str, Any]]) -> tuple[int, int]:
    """Where in the text the thoughts begin and stop, their tags included; both 0 where there are none."""
    text = "".join(token["text"] for token in tokens)
    masked = "".join(token["text"] for token in tokens if not token["trained"])
    begin = text.find(OPENING, max(0, len(masked.rstrip()) - len(OPENING)))
    if begin < 0:
        return 0, 0
    closed = text.find(CLOSING, begin)
    return begin, closed + len(CLOSING) if closed >= 0 else len(text)
