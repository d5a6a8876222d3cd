"""What the report shows of the held-out problems: how each model did, with intervals and texts to read."""

from collections.abc import Mapping
from typing import Any

from pipeline.report import examples, figures
from pipeline.report.files import RunFiles
from pipeline.report.verdict import LABELS, judge, judge_against_teacher, judge_sets, outcome_of
from pipeline.status import duration, size

MEASURES = ("evaluate", "benchmark", "choose")
"""Stages that measure: their rows stand in no funnel."""

WIDE, NARROW = 300, 220
"""Pixels of a figure of intervals, in a table with few columns and with many."""


def evaluation_of(run: RunFiles) -> dict[str, Any] | None:
    """Scores, interval marks and examples of the last evaluation; None where nothing was measured."""
    steps = [step for step in run.of_stage("evaluate") if step.json("scores.json")]
    if not steps:
        return None
    scores = steps[-1].json("scores.json")
    models, samples = _in_order(scores["models"]), scores.get("samples", 1)
    over = scores["gain"]["over"] if scores.get("gain") else "base"
    return {
        "verdict": judge(scores),
        "against_teacher": judge_against_teacher(scores),
        "samples": samples,
        "models": models,
        "took": _took(steps[-1].json("timings.json") or {}),
        "whiskers": figures.whiskers(models, NARROW if samples > 1 else WIDE),
        "contrasts": examples.contrasts(run, steps[-1], over),
        "gain": scores.get("gain"),
        "sets": _sets(scores),
    }


def _in_order(of_models: Mapping[str, Any]) -> dict[str, Any]:
    return {name: of_models[name] for name in LABELS if name in of_models}


def _took(timings: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """What each model's texts took, in words; a dash for what was not measured."""
    return {
        name: {
            "by": took["by"],
            "time": duration(took["seconds"]),
            "speed": _or_dash(took["tokens_per_second"], "{:,.0f}".format),
            "memory": _or_dash(took["peak_memory_bytes"], size),
            "batch_size": _or_dash(took["batch_size"], str),
        }
        for name, took in _in_order(timings).items()
    }


def _or_dash(value: Any, tell: Any) -> str:
    return "–" if value is None else str(tell(value))


def _sets(scores: Mapping[str, Any]) -> dict[str, Any] | None:
    """Each set's accuracies and gain; None where there is one set."""
    sets = scores.get("sets")
    if not sets:
        return None
    gains = {name: of["gain"] for name, of in sets.items()}
    drawn = figures.whiskers({name: {**gain, "accuracy": gain["gain"]} for name, gain in gains.items()}, NARROW)
    ticks = [{**tick, "label": tick["label"].removesuffix(" %").replace("-", "−")} for tick in drawn["ticks"]]
    return {
        "rows": {name: {**of, "shown": _shown(of), "outcome": outcome_of(of["gain"])} for name, of in sets.items()},
        "whiskers": {**drawn, "ticks": ticks},
        "sentence": judge_sets(scores),
    }


def _shown(of_set: Mapping[str, Any]) -> list[Any]:
    """The scores of the base that the gain is over, of the student and of the teacher where one was measured."""
    names = (of_set["gain"]["over"], "student", "teacher")
    return [of_set["models"][name] for name in names if name in of_set["models"]]
