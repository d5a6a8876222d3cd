"""The HTML report of a run: one file that needs nothing else, of what was measured in that run and nothing more."""

from pathlib import Path
from typing import Any

import yaml

from pipeline.report import examples
from pipeline.report.benchmarks import benchmarks_of
from pipeline.report.calibration import calibrations
from pipeline.report.evaluation import MEASURES, evaluation_of
from pipeline.report.files import RunFiles, StepFiles
from pipeline.report.sampling import samplings
from pipeline.report.training import trainings
from pipeline.report.verdict import LABELS, percent, points
from pipeline.similar.contamination import Contamination
from pipeline.status import duration


def write_report(run_folder: Path) -> Path:
    """Write `report.html` from the files of the run; a section whose files are missing is left out."""
    import jinja2

    run = RunFiles.read(run_folder)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).resolve().parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(percent=percent, points=points, duration=duration, number=_number, usd=_usd, yaml=_yaml)
    page = environment.get_template("page.html.j2").render(
        run=run,
        heading=_heading(run),
        evaluation=evaluation_of(run),
        benchmarks=benchmarks_of(run),
        funnel=_funnel(run),
        ends=_ends(run),
        samplings=samplings(run),
        calibrations=calibrations(run),
        contaminations=[(step.name, told) for step in run.steps if (told := Contamination.read(step.folder))],
        trainings=trainings(run),
        kept=examples.kept(run),
        dropped=examples.dropped(run),
        seeds=_seeds(run),
        labels=LABELS,
    )
    path = run_folder / "report.html"
    part = path.with_name("report.html.part")
    part.write_text(page, encoding="utf-8")
    part.replace(path)
    return path


def _heading(run: RunFiles) -> dict[str, Any]:
    choices = run.about.get("choices")
    if not choices:
        return {"title": run.folder.name, "self_distillation": False}
    teacher = choices["teachers"]["main"]
    names = [teacher.get("model") or teacher.get("local") or teacher.get("recorded"), choices["student"]["model"]]
    told = ["the embedded model" if name == "embedded" else str(name) for name in names]
    alike = bool(run.about.get("self_distillation"))
    title = f"{told[0]} distilled into itself" if alike else f"{told[0]} distilled into {told[1]}"
    return {"title": title[0].upper() + title[1:], "self_distillation": alike}


def _funnel(run: RunFiles) -> list[dict[str, Any]]:
    """Each data step with what entered, was written and was dropped; bars share one scale, in percent."""
    steps = [step for step in run.steps if step.record.counts and step.record.stage not in MEASURES]
    counts = {step.name: step.record.counts for step in steps if step.record.counts}
    most = max([max(c.written, c.entered, *c.dropped.values()) for c in counts.values()], default=0) or 1
    return [
        {
            "name": step.name,
            "counts": counts[step.name],
            "noun": _noun(step),
            "width": 100 * counts[step.name].written / most,
            "reasons": [
                {"name": reason, "count": count, "width": 100 * count / most}
                for reason, count in sorted(counts[step.name].dropped.items(), key=lambda item: -item[1])
            ],
        }
        for step in steps
    ]


def _ends(run: RunFiles) -> list[dict[str, Any]]:
    """Where the problems and the samples ended, the most first within a step; empty where `funnel.json` is missing."""
    told = run.json("funnel.json")
    if told is None:
        return []
    both = told["problems"], told["samples"]
    rows: list[dict[str, Any]] = [
        {"step": "in the data set", "reason": "", "counts": [ends["in_data_set"] for ends in both]},
        {"step": "under way", "reason": "", "counts": [ends["open"] for ends in both]},
    ]
    for step in [step.name for step in run.steps if any(step.name in ends["lost"] for ends in both)]:
        lost = [ends["lost"].get(step, {}) for ends in both]
        counts = {reason: [ends.get(reason, 0) for ends in lost] for reason in sorted({*lost[0], *lost[1]})}
        most_first = sorted(counts.items(), key=lambda item: item[1], reverse=True)
        rows += [{"step": step, "reason": reason, "counts": count} for reason, count in most_first]
    entered = [ends["entered"] for ends in both]
    rows.append({"step": "all", "reason": "", "counts": entered})
    for row in rows:
        row["widths"] = [100 * count / (all_ or 1) for count, all_ in zip(row["counts"], entered, strict=True)]
    return [row for row in rows if any(row["counts"])]


def _noun(step: StepFiles) -> str:
    row = next(step.rows(), {})
    for field, noun in (("completion", "examples"), ("text", "solutions"), ("question", "problems")):
        if field in row:
            return noun
    return "rows"


def _seeds(run: RunFiles) -> dict[str, Any]:
    return {
        f"{step.name}.{name}": value
        for step in run.steps
        for name, value in step.record.fields.items()
        if name == "seed" or name.endswith("_seed")
    }


def _number(value: float | None) -> str:
    """A count with thousands, a measure with four digits, a dash for what was not measured."""
    if value is None:
        return "–"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"


def _usd(value: float | None) -> str:
    """Dollars, with four digits behind the point below one."""
    if value is None:
        return "unknown"
    return f"${value:,.4f}" if abs(value) < 1 else f"${value:,.2f}"


def _yaml(value: Any) -> str:
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=100)
