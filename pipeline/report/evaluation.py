"""What the report shows of the held-out problems: how each model did, with intervals and texts to read."""

from typing import Any

from pipeline.report import examples, figures
from pipeline.report.files import RunFiles
from pipeline.report.verdict import LABELS, judge

MEASURES = "evaluate"
"""Its rows are predictions, which have their own section; every other step stands in the funnel."""


def evaluation_of(run: RunFiles) -> dict[str, Any] | None:
    """Scores, interval marks and examples of the last evaluation; None where nothing was measured."""
    steps = [step for step in run.of_stage(MEASURES) if step.json("scores.json")]
    if not steps:
        return None
    scores = steps[-1].json("scores.json")
    models = {name: scores["models"][name] for name in LABELS if name in scores["models"]}
    over = scores["gain"]["over"] if scores.get("gain") else "base"
    return {
        "verdict": judge(scores),
        "models": models,
        "seconds": (steps[-1].json("timings.json") or {}).get("seconds", {}),
        "whiskers": figures.whiskers(models),
        "contrasts": examples.contrasts(run, steps[-1], over),
        "gain": scores.get("gain"),
    }
