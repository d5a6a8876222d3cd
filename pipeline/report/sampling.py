"""What adaptive sampling saved, against asking for the same number of samples for every problem."""

from typing import Any

from pipeline.report import figures
from pipeline.report.files import RunFiles, StepFiles
from pipeline.sampling import SAMPLING


def samplings(run: RunFiles) -> list[dict[str, Any]]:
    """One entry a step that sampled adaptively."""
    return [_sampling(run, step, told) for step in run.steps if (told := step.json(SAMPLING))]


def _sampling(run: RunFiles, step: StepFiles, told: dict[str, Any]) -> dict[str, Any]:
    fixed = told["problems"] * told["fixed"]
    saved = fixed - told["samples"]
    cost_usd = _mean_cost_usd(run, step)
    return {
        "step": step.name,
        "each": told["fixed"],
        "asked": told["samples"],
        "fixed": fixed,
        "saved": saved,
        "saved_share": saved / fixed,
        "saved_usd": None if cost_usd is None else saved * cost_usd,
        "votes": told["votes"],
        "columns": figures.columns({int(samples): problems for samples, problems in told["counts"].items()}),
    }


def _mean_cost_usd(run: RunFiles, step: StepFiles) -> float | None:
    """Of one of the teacher's samples in this run; None where it has none, or nobody knows what they cost."""
    used = run.usage.get(step.record.fields["teacher"], {})
    if not used.get("samples") or used.get("cost_usd") is None:
        return None
    mean: float = used["cost_usd"] / used["samples"]
    return mean
