"""What the measurement says of the student, in one sentence that never claims more than the interval does."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

LABELS = {
    "base": "base, zero-shot",
    "base_few_shot": "base, few-shot",
    "student": "student",
    "teacher": "teacher",
}
"""The models measured, in the order in which they are shown."""


@dataclass(frozen=True)
class Verdict:
    """Gained, lost, or nothing that can be told."""

    outcome: Literal["gained", "lost", "unclear"]
    sentence: str


def judge(scores: Mapping[str, Any]) -> Verdict | None:
    """Read the verdict off `scores.json`; None where no gain was measured.

    A gain is claimed only where its whole interval lies above zero and the evaluation calls it proven.
    """
    gain = scores.get("gain")
    if not gain:
        return None
    models = scores["models"]
    over = gain["over"]
    interval = f"[{points(gain['low'])}, {points(gain['high'])}]"
    both = "base" in models and "base_few_shot" in models
    against = f"the better of the base's zero-shot and few-shot ({LABELS[over]})" if both else f"the {LABELS[over]}"
    held_out = f"{models['student']['n']:,} held-out problems"
    shares = f"{percent(models['student']['accuracy'])} against {percent(models[over]['accuracy'])}"
    measured = f"{against} on {held_out}: {shares}."
    size = points(abs(gain["gain"]), sign=False)
    if gain["low"] > 0 and gain["proven"]:
        return Verdict("gained", f"The student gained {size} points {interval} over {measured}")
    if gain["high"] < 0:
        return Verdict("lost", f"The student lost {size} points {interval} to {measured}")
    difference = points(gain["gain"])
    return Verdict("unclear", f"No gain that this measurement can tell: {difference} points {interval} over {measured}")


def percent(share: float) -> str:
    """`34.7 %`, with a space that does not break."""
    return f"{100 * share:.1f}\u00a0%"


def points(share: float, sign: bool = True) -> str:
    """A difference of shares in percentage points, `+12.3`; a true minus sign below zero."""
    text = f"{100 * share:{'+' if sign else ''}.1f}"
    return text.replace("-", "−")
