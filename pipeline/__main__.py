"""python -m pipeline: the commands, nothing else."""

import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from pipeline.errors import PipelineError

if TYPE_CHECKING:
    from pipeline.choices import Choices

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Distil a teacher behind an API into a small student that reasons, and prove what it gained.",
)

OUTPUTS = Path("outputs")

Config = Annotated[Path | None, typer.Option("--config", help="YAML file; without one, the embedded teacher.")]
Recipe = Annotated[str | None, typer.Option("--recipe", help="Name of a method, or a file of your own.")]
Run = Annotated[str | None, typer.Option("--run", help="Names the folder under outputs/.")]
Limit = Annotated[int | None, typer.Option("--limit", min=1, help="Most train problems.")]
Budget = Annotated[float | None, typer.Option("--budget", min=0, help="Most USD that this run may spend.")]
Set = Annotated[list[str] | None, typer.Option("--set", metavar="STEP.FIELD=VALUE", help="Over what the recipe chose.")]
Redo = Annotated[list[str] | None, typer.Option("--redo", metavar="STEP", help="Make this step anew.")]
Until = Annotated[str | None, typer.Option("--until", metavar="STEP", help="Last step to run.")]


@app.command()
def run(
    what: Annotated[str, typer.Argument(metavar="all|STEP", help="`all`, or one step whose inputs are made.")],
    config: Config = None,
    recipe: Recipe = None,
    run_name: Run = None,
    limit: Limit = None,
    budget: Budget = None,
    set_: Set = None,
    redo: Redo = None,
    until: Until = None,
) -> None:
    """Make what is missing or was made of something else, and keep the rest."""
    from pipeline.report import print_summary
    from pipeline.runner import Runner

    runner = Runner(_choices(config, recipe, run_name, limit, budget, set_), OUTPUTS)
    runner.run(only=None if what == "all" else what, until=until, redo=redo or [])
    print_summary(runner.folder)


@app.command()
def plan(
    config: Config = None,
    recipe: Recipe = None,
    run_name: Run = None,
    limit: Limit = None,
    budget: Budget = None,
    set_: Set = None,
    redo: Redo = None,
) -> None:
    """Show what is kept, what would run and why, and how much would be asked; pays nothing."""
    from pipeline.estimate import print_plan
    from pipeline.runner import Runner

    print_plan(Runner(_choices(config, recipe, run_name, limit, budget, set_), OUTPUTS), redo or [])


@app.command()
def status(run_name: Annotated[str, typer.Option("--run", help="Name of the run.")] = "first") -> None:
    """Show how far a run is, from a second terminal."""
    from pipeline.status import status_text

    typer.echo(status_text(OUTPUTS / run_name))


@app.command()
def show(
    step: Annotated[str, typer.Argument(help="Name of a step.")],
    run_name: Annotated[str, typer.Option("--run", help="Name of the run.")] = "first",
    dropped: Annotated[
        str | None, typer.Option("--dropped", help="Rows dropped for this reason; `all` for any.")
    ] = None,
    count: Annotated[int, typer.Option("--count", "-n", min=1, help="Most rows shown.")] = 5,
) -> None:
    """Show a step's rows as a person reads them."""
    from pipeline.show import print_rows

    print_rows(OUTPUTS / run_name, step, dropped, count)


@app.command()
def recipes() -> None:
    """List the recipes: name, first line, source."""
    from pipeline.show import print_recipes

    print_recipes()


def _choices(
    config: Path | None,
    recipe: str | None,
    run_name: str | None,
    limit: int | None,
    budget: float | None,
    set_: list[str] | None,
) -> "Choices":
    from pipeline.choices import load

    over = {"recipe": recipe, "run": run_name, "data.limit": limit, "budget_usd": budget}
    return load(config, over, set_ or [])


def main() -> NoReturn:
    """Run a command; a told error ends with its exit status and without a traceback."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        app(standalone_mode=True)
    except PipelineError as error:
        typer.echo(f"error: {error.fact}", err=True)
        if error.hint:
            typer.echo(f"\nhint: {error.hint}", err=True)
        sys.exit(error.exit_status)
    except KeyboardInterrupt:
        typer.echo("interrupted; what was paid for is kept, and the same command goes on", err=True)
        sys.exit(130)
    sys.exit(0)


if __name__ == "__main__":
    main()
