"""How sure the votes are: precision against coverage, on the problems with gold, and the least share that was taken."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.calibration import CALIBRATION
from pipeline.report.figures import Scale
from pipeline.report.files import RunFiles

FEWEST = 20
"""Problems; a point that covers fewer is not drawn: its interval is too wide to say anything."""
WIDTH, HEIGHT = 944, 260

Point = Mapping[str, float]


def calibrations(run: RunFiles) -> list[dict[str, Any]]:
    """One entry a vote of which the problems with gold tell something: it has more than one share."""
    told = [(step, step.json(CALIBRATION)) for step in run.of_stage("vote")]
    return [
        {
            "step": step.name,
            "auto": step.record.fields.get("min_share") == "auto",
            "wanted": found["precision"],
            "taken": found["min_share"],
            "chosen": found["chosen"],
            "weights": found["weights"],
            "lines": _lines(found),
            "figure": _figure(found),
        }
        for step, found in told
        if found and len(_drawn(found["choice"])) > 1
    ]


def _lines(told: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What the share that was taken, and the one that `auto` takes, come to on both halves."""
    shares = dict.fromkeys(share for share in (told["min_share"], told["chosen"]) if share is not None)
    return [
        {"share": share, "half": name, "point": _at(told[half], share), "problems": told[half]["problems"]}
        for share in shares
        for half, name in (("choice", "to choose"), ("check", "to check"))
    ]


def _at(half: Mapping[str, Any], share: float) -> Point | None:
    """What a least share comes to, to the hundredth; None where no winner has it."""
    least = math.floor(100 * share + 1e-9) / 100
    return next((point for point in half["curve"] if point["share"] >= least), None)


def _figure(told: Mapping[str, Any]) -> dict[str, Any]:
    choice, check = _drawn(told["choice"]), _drawn(told["check"])
    both = [*choice, *check]
    across = Scale(0, max(point["coverage"] for point in both), 48, WIDTH - 12)
    up = Scale(min([told["precision"], *(point["low"] for point in choice), *_precisions(check)]), 1, HEIGHT - 28, 10)
    chosen = [point for point in choice if point["share"] == told["chosen"]]
    low = [(across(point["coverage"]), up(point["low"])) for point in choice]
    high = [(across(point["coverage"]), up(point["high"])) for point in choice]
    return {
        "width": WIDTH,
        "height": HEIGHT,
        "band": _path([*low, *reversed(high)]),
        "choice": _path([(across(point["coverage"]), up(point["precision"])) for point in choice]),
        "check": _path([(across(point["coverage"]), up(point["precision"])) for point in check]),
        "marks": [
            {"x": across(point["coverage"]), "y": up(point["precision"]), "point": point, "chosen": point in chosen}
            for point in choice
        ],
        "wanted": up(told["precision"]),
        "across": [{"x": across(tick), "label": f"{100 * tick:.0f} %"} for tick in across.ticks(8)],
        "up": [{"y": up(tick), "label": f"{100 * tick:.0f} %"} for tick in up.ticks(5)],
    }


def _drawn(half: Mapping[str, Any]) -> list[Point]:
    return [point for point in half["curve"] if point["covered"] >= FEWEST]


def _precisions(points: Sequence[Point]) -> list[float]:
    return [point["precision"] for point in points]


def _path(places: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x},{y}" for x, y in places)
