"""Texts of a run for a person to read: where the student gained and lost, what was kept, what was dropped."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from pipeline.report.files import RunFiles, StepFiles

MOST_CONTRASTS = 5
MOST_KEPT = 5
MOST_A_REASON = 3
MOST_CHARACTERS = 4000


@dataclass(frozen=True)
class Contrast:
    """One held-out problem that the base and the student did not answer alike."""

    id: str
    question: str
    gold: str | None
    base: Mapping[str, Any]
    student: Mapping[str, Any]


@dataclass(frozen=True)
class Contrasts:
    """Held-out problems on which base and student differ."""

    base: str
    """Which base: `base` or `base_few_shot`."""
    won: list[Contrast]
    lost: list[Contrast]
    count_won: int
    count_lost: int


@dataclass(frozen=True)
class Sample:
    """One text, kept or dropped."""

    id: str
    question: str
    gold: str | None
    text: str
    thoughts: str = ""
    found: str | None = None
    detail: str = ""


@dataclass(frozen=True)
class Reason:
    """Some of the rows that one step dropped for one reason."""

    step: str
    name: str
    count: int
    samples: list[Sample]


def contrasts(run: RunFiles, evaluate: StepFiles, over: str) -> Contrasts | None:
    """The first problems, in the order measured, that only the student or only the base got right at once.

    Of several samples the first is compared.

    Args:
        run: the run.
        evaluate: its evaluation.
        over: the base that the gain is counted over.
    """
    answers: dict[str, dict[str, dict[str, Any]]] = {over: {}, "student": {}}
    for row in evaluate.rows():
        if row["model"] in answers and not row.get("sample"):
            answers[row["model"]][row["parent"]] = row
    both = [name for name in answers["student"] if name in answers[over]]
    won = [name for name in both if answers["student"][name]["right"] and not answers[over][name]["right"]]
    lost = [name for name in both if answers[over][name]["right"] and not answers["student"][name]["right"]]
    if not won and not lost:
        return None
    shown = [*won[:MOST_CONTRASTS], *lost[:MOST_CONTRASTS]]
    problems = run.input_rows(evaluate, shown)

    def contrast(name: str) -> Contrast:
        problem = problems.get(name, {})
        base, student = ({**answers[model][name], "text": clip(answers[model][name]["text"])} for model in answers)
        return Contrast(name, _question(problem), problem.get("answer"), base, student)

    made = [contrast(name) for name in shown]
    first_lost = len(won[:MOST_CONTRASTS])
    return Contrasts(over, made[:first_lost], made[first_lost:], len(won), len(lost))


def kept(run: RunFiles) -> tuple[StepFiles, list[Sample]] | None:
    """Solutions from evenly across the last step that holds any."""
    for step in reversed(run.steps):
        first = next(step.rows(), None)
        if first is None or not {"problem", "text"} <= first.keys():
            continue
        assert step.record.counts is not None
        stride = max(1, step.record.counts.written // MOST_KEPT)
        return step, [_sample(row) for row in islice(step.rows(), 0, stride * MOST_KEPT, stride)]
    return None


def dropped(run: RunFiles) -> list[Reason]:
    """The first rows of each reason of each step, with their texts where the step before has them."""
    return [reason for step in run.steps for reason in _dropped(run, step)]


def clip(text: str) -> str:
    """The text, a long one without its middle."""
    if len(text) <= MOST_CHARACTERS:
        return text
    half = MOST_CHARACTERS // 2
    return f"{text[:half]}\n[... {len(text) - 2 * half:,} characters left out ...]\n{text[-half:]}"


def _dropped(run: RunFiles, step: StepFiles) -> list[Reason]:
    first: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in step.dropped():
        if len(first[row["reason"]]) < MOST_A_REASON:
            first[row["reason"]].append(row)
    ids = [name for rows in first.values() for row in rows for name in (row["id"], row["parent"]) if name]
    sources = run.input_rows(step, ids)
    counts = step.record.counts.dropped if step.record.counts else {}

    def sample(row: Mapping[str, Any]) -> Sample:
        source = sources.get(row["id"]) or sources.get(row["parent"] or "") or {}
        return _sample({**source, "id": row["id"]}, row["detail"])

    return [
        Reason(step.name, reason, counts.get(reason, len(rows)), [sample(row) for row in rows])
        for reason, rows in sorted(first.items())
    ]


def _sample(row: Mapping[str, Any], detail: str = "") -> Sample:
    asked = row["prompt"][-1]["content"] if row.get("prompt") else ""
    problem = row.get("problem") or {"question": asked, **row}
    return Sample(
        id=row["id"],
        question=_question(problem),
        gold=problem.get("answer"),
        text=clip(row.get("text") or row.get("completion") or ""),
        thoughts=clip(row.get("thoughts") or ""),
        found=row.get("found"),
        detail=detail,
    )


def _question(problem: Mapping[str, Any]) -> str:
    options = [f"({chr(ord('a') + i)}) {choice}" for i, choice in enumerate(problem.get("choices") or ())]
    return clip("\n".join([problem.get("question") or "", *options]))
