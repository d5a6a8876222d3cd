"""The short table at the end of a run in the terminal."""

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.report.files import RunFiles
from pipeline.report.verdict import LABELS, judge, judge_sets, percent

if TYPE_CHECKING:
    from rich.console import RenderableType


def print_summary(run_folder: Path) -> None:
    """Print the table on stdout, where something was measured, and where the report is."""
    from rich.console import Console

    console = Console(highlight=False)
    table = summary_table(run_folder)
    if table is not None:
        console.print(table)
    report = run_folder / "report.html"
    if report.is_file():
        console.print(f"\nreport: {report}", markup=False, soft_wrap=True)


def summary_table(run_folder: Path) -> "RenderableType | None":
    """Accuracy of base, student and teacher with the verdict beneath; None where nothing was measured."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    run = RunFiles.read(run_folder)
    scores = next((found for step in reversed(run.of_stage("evaluate")) if (found := step.json("scores.json"))), None)
    if scores is None:
        return None
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("")
    samples = scores.get("samples", 1)
    several = [f"maj@{samples}"] if samples > 1 else []
    for heading in ("pass@1" if several else "accuracy", "95 % interval", *several, "problems"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name in (name for name in LABELS if name in scores["models"]):
        model = scores["models"][name]
        interval = f"{percent(model['low'])} to {percent(model['high'])}"
        majority = [percent(model["majority"]["accuracy"])] if several else []
        table.add_row(LABELS[name], percent(model["accuracy"]), interval, *majority, f"{model['n']:,}")
    verdict = judge(scores)
    told = [sentence for sentence in (verdict and verdict.sentence, judge_sets(scores)) if sentence]
    return Group(table, *(Text(f"\n{sentence}") for sentence in told))
