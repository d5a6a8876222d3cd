"""What the report shows of a training: its loss, its settings, and the tokens that the student saw."""

from typing import Any

from pipeline.report import figures
from pipeline.report.files import RunFiles, StepFiles


def trainings(run: RunFiles) -> list[dict[str, Any]]:
    """One entry a step that trained."""
    return [_training(step) for step in run.of_stage("train")]


def _training(step: StepFiles) -> dict[str, Any]:
    samples = step.json("training_sample.json") or []
    return {
        "step": step,
        "curve": figures.loss_curve(step.lines("log.jsonl")),
        "settings": {name: value for name, value in step.record.fields.items() if value is not None},
        "sample": _spans(samples[0]["tokens"]) if samples else None,
        "tokens": len(samples[0]["tokens"]) if samples else 0,
        "trained": sum(token["trained"] for token in samples[0]["tokens"]) if samples else 0,
    }


def _spans(tokens: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Neighbouring tokens of the same kind as one piece of text."""
    spans: list[dict[str, Any]] = []
    for token in tokens:
        if spans and spans[-1]["trained"] == token["trained"]:
            spans[-1]["text"] += token["text"]
        else:
            spans.append(dict(token))
    return spans
