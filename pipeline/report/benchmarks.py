"""What the report shows of standard benchmarks: base against student, each difference with its interval."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.benchmarks import COMPARED
from pipeline.report.figures import Scale
from pipeline.report.files import RunFiles
from pipeline.report.verdict import points

WIDTH = 300
OUTCOMES = {"gained": "gain", "lost": "loss", "unclear": "cannot tell"}


def benchmarks_of(run: RunFiles) -> list[dict[str, Any]]:
    """One entry a step that ran any."""
    found = [(step, step.json(COMPARED)) for step in run.of_stage("benchmark")]
    return [
        {
            "step": step.name,
            "told": told,
            "confidence": f"{100 * told['confidence']:.4g}\u00a0%",
            "asked": _asked(step.record.fields, told),
            "plot": _plot(told["comparisons"]),
            "outcomes": OUTCOMES,
        }
        for step, told in found
        if told
    ]


def _asked(fields: Mapping[str, Any], told: Mapping[str, Any]) -> str:
    """How lm-eval was told to ask, in a line."""
    shots, tokens = fields.get("num_fewshot"), fields.get("max_new_tokens")
    return ", ".join(
        [
            f"lm-eval {told['lm_eval']}",
            f"examples shown: {'as each task says' if shots is None else shots}",
            f"tokens written at most: {'as each task says, else 256' if tokens is None else tokens}",
            "as a chat turn" if told["apply_chat_template"] else "without a chat template",
        ]
    )


def _plot(comparisons: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Dot and interval of each difference, all on one scale in steps of 0.05 around zero."""
    if not comparisons:
        return None
    low = math.floor(20 * min(0, *(line["low"] for line in comparisons)) + 1e-9) / 20
    high = math.ceil(20 * max(0, *(line["high"] for line in comparisons)) - 1e-9) / 20
    across = Scale(low, high if high > low else low + 0.05, 14, WIDTH - 14)
    return {
        "width": WIDTH,
        "zero": across(0),
        "ticks": [
            {"x": across(tick), "label": points(tick).removesuffix(".0") if tick else "0"} for tick in across.ticks()
        ],
        "marks": [{end: across(line[end]) for end in ("low", "gain", "high")} for line in comparisons],
    }
