"""Coordinates of the report's figures; the template draws them as SVG."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

MOST_POINTS = 400
"""A longer loss curve is drawn from means of neighbouring steps."""
LABEL_WIDTH = 20
"""Pixels between two labels of columns, from middle to middle."""


@dataclass(frozen=True)
class Scale:
    """From values to pixels."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Where a value is drawn, to a tenth of a pixel."""
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 1)

    def ticks(self, most: int = 5) -> list[float]:
        """Round values across the scale."""
        step = _round_step((self.high - self.low) / most)
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return [round(index * step, 10) for index in range(first, last + 1)]


def whiskers(models: Mapping[str, Mapping[str, Any]], width: int = 300) -> dict[str, Any]:
    """Dot and 95 % interval of each model's accuracy, all on one scale in tenths.

    Args:
        models: name -> accuracy, low, high (shares).
        width: pixels.
    """
    low = math.floor(min(model["low"] for model in models.values()) * 10 + 1e-9) / 10
    high = math.ceil(max(model["high"] for model in models.values()) * 10 - 1e-9) / 10
    scale = Scale(low, high if high > low else low + 0.1, 14, width - 14)
    return {
        "width": width,
        "ticks": [{"x": scale(tick), "label": f"{100 * tick:.0f} %"} for tick in scale.ticks()],
        "marks": {
            name: {"low": scale(model["low"]), "dot": scale(model["accuracy"]), "high": scale(model["high"])}
            for name, model in models.items()
        },
    }


def loss_curve(log: Sequence[Mapping[str, Any]], width: int = 944, height: int = 240) -> dict[str, Any] | None:
    """The training loss by step; None where fewer than two were logged.

    Args:
        log: entries with `step` and `loss`; others are skipped.
        width: pixels.
        height: pixels.
    """
    logged = [(entry["step"], entry["loss"]) for entry in log if entry.get("loss") is not None]
    if len(logged) < 2:
        return None
    size = math.ceil(len(logged) / MOST_POINTS)
    drawn = [_mean(logged[first : first + size]) for first in range(0, len(logged), size)]
    losses = [loss for _, loss in drawn]
    pad = (max(losses) - min(losses)) * 0.05 or 0.1
    across = Scale(drawn[0][0], drawn[-1][0], 48, width - 12)
    up = Scale(max(0, min(losses) - pad), max(losses) + pad, height - 28, 10)
    return {
        "width": width,
        "height": height,
        "points": " ".join(f"{across(step)},{up(loss)}" for step, loss in drawn),
        "across": [{"x": across(tick), "label": f"{tick:,.0f}"} for tick in across.ticks(8) if tick == int(tick)],
        "up": [{"y": up(tick), "label": f"{tick:g}"} for tick in up.ticks(6)],
        "first": logged[0],
        "last": logged[-1],
        "averaged": size if size > 1 else None,
    }


def columns(counts: Mapping[int, int], width: int = 944, height: int = 150) -> dict[str, Any]:
    """How often each whole number was met, from the least to the greatest, as columns.

    Args:
        counts: number -> how often.
        width: pixels.
        height: pixels.
    """
    numbers = sorted(counts)
    across = Scale(numbers[0] - 0.5, numbers[-1] + 0.5, 48, width - 12)
    up = Scale(0, max(counts.values()), height - 24, 16)
    breadth = round(min(40.0, 0.7 * (across(1) - across(0))), 1)
    labelled: list[int] = []
    for number in numbers:
        if not labelled or across(number) - across(labelled[-1]) >= LABEL_WIDTH:
            labelled.append(number)
    return {
        "width": width,
        "height": height,
        "bars": [
            {
                "x": round(across(number) - breadth / 2, 1),
                "y": up(counts[number]),
                "width": breadth,
                "height": round(up(0) - up(counts[number]), 1),
                "number": number,
                "count": counts[number],
            }
            for number in numbers
        ],
        "across": [{"x": across(number), "label": f"{number:,}"} for number in labelled],
        "up": [{"y": up(tick), "label": f"{tick:,.0f}"} for tick in up.ticks(3) if tick == int(tick)],
    }


def _mean(logged: Sequence[tuple[float, float]]) -> tuple[float, float]:
    steps, losses = zip(*logged, strict=True)
    return sum(steps) / len(steps), sum(losses) / len(losses)


def _round_step(least: float) -> float:
    magnitude = 10.0 ** math.floor(math.log10(least))
    return next(factor * magnitude for factor in (1, 2, 5, 10) if factor * magnitude >= least * (1 - 1e-9))
