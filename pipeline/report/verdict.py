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


Outcome = Literal["gained", "lost", "unclear"]


@dataclass(frozen=True)
class Verdict:
    """Gained, lost, or nothing that can be told."""

    outcome: Outcome
    sentence: str


def judge(scores: Mapping[str, Any]) -> Verdict | None:
    """Read the verdict off `scores.json`, or off one set's part of it; None where no gain was measured.

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
    held_out = f"{models['student']['n']:,} held-out problems{_samples(scores)}"
    shares = f"{percent(models['student']['accuracy'])} against {percent(models[over]['accuracy'])}"
    measured = f"{against} on {held_out}: {shares}."
    size = points(abs(gain["gain"]), sign=False)
    outcome = outcome_of(gain)
    if outcome == "gained":
        return Verdict(outcome, f"The student gained {size} points {interval} over {measured}")
    if outcome == "lost":
        return Verdict(outcome, f"The student lost {size} points {interval} to {measured}")
    difference = points(gain["gain"])
    told = f"No gain that this measurement can tell: {difference} points {interval} over {measured}"
    return Verdict(outcome, told)


def outcome_of(difference: Mapping[str, Any]) -> Outcome:
    """What a difference with its interval comes to; one that was not called proven is no gain."""
    if difference["low"] > 0 and difference.get("proven", True):
        return "gained"
    return "lost" if difference["high"] < 0 else "unclear"


def judge_sets(scores: Mapping[str, Any]) -> str | None:
    """What came of each of several sets, in two sentences; None where there is one set."""
    sets = scores.get("sets")
    if not sets:
        return None
    outcomes = {name: outcome_of(of["gain"]) for name, of in sets.items()}
    told = {"gained": "gained on {}", "unclear": "no gain that can be told on {}", "lost": "lost on {}"}
    parts = [
        words.format(", ".join(name or "unnamed" for name, outcome in outcomes.items() if outcome == of))
        for of, words in told.items()
        if of in outcomes.values()
    ]
    return (
        f"By set: {'; '.join(parts)}. These are {len(sets)} comparisons; their intervals are so wide that all of them "
        "hold at once at 95\u00a0%."
    )


def judge_against_teacher(scores: Mapping[str, Any]) -> str | None:
    """How the student stands to the teacher; None where no teacher was measured."""
    difference = scores.get("to_teacher")
    if not difference:
        return None
    interval = f"paired 95\u00a0% interval [{points(difference['low'])}, {points(difference['high'])}]"
    size = points(abs(difference["gain"]), sign=False)
    outcome = outcome_of(difference)
    if outcome == "unclear":
        told = f"Student and teacher cannot be told apart: {points(difference['gain'])} points"
        return f"{told}, {interval}."
    return f"The student is {size} points {'above' if outcome == 'gained' else 'below'} the teacher, {interval}."


def _samples(scores: Mapping[str, Any]) -> str:
    samples = scores.get("samples", 1)
    return f", {samples} samples each" if samples > 1 else ""


def percent(share: float) -> str:
    """`34.7 %`, with a space that does not break."""
    return f"{100 * share:.1f}\u00a0%"


def points(share: float, sign: bool = True) -> str:
    """A difference of shares in percentage points, `+12.3`; a true minus sign below zero."""
    text = f"{100 * share:{'+' if sign else ''}.1f}"
    return text.replace("-", "−")
