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

ledger = typer.Typer(no_args_is_help=True, help="What was asked and paid for, over all runs.")
app.add_typer(ledger, name="ledger")
batch = typer.Typer(no_args_is_help=True, help="The jobs at batch APIs of teachers with `batch: true`.")
app.add_typer(batch, name="batch")

OUTPUTS = Path("outputs")

Config = Annotated[Path | None, typer.Option("--config", help="YAML file; without one, the embedded teacher.")]
Recipe = Annotated[str | None, typer.Option("--recipe", help="Name of a method, or a file of your own.")]
Run = Annotated[str | None, typer.Option("--run", help="Names the folder under outputs/.")]
Limit = Annotated[int | None, typer.Option("--limit", min=1, help="Most train problems.")]
Budget = Annotated[float | None, typer.Option("--budget", min=0, help="Most USD that this run may spend.")]
Set = Annotated[list[str] | None, typer.Option("--set", metavar="STEP.FIELD=VALUE", help="Over what the recipe chose.")]
Redo = Annotated[list[str] | None, typer.Option("--redo", metavar="STEP", help="Make this step anew.")]
Until = Annotated[str | None, typer.Option("--until", metavar="STEP", help="Last step.")]


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
    until: Until = None,
    pilot: Annotated[
        int,
        typer.Option("--pilot", min=0, metavar="N", help="Ask so many problems of each step first, and pay for it."),
    ] = 0,
) -> None:
    """Show what is kept, what would run and why, and what would be asked; pays for nothing but a pilot."""
    from pipeline.estimate import print_plan
    from pipeline.runner import Runner

    print_plan(Runner(_choices(config, recipe, run_name, limit, budget, set_), OUTPUTS), redo or [], pilot, until)


@app.command("compare-teachers")
def compare_teachers(
    config: Config = None,
    recipe: Recipe = None,
    run_name: Run = None,
    limit: Limit = None,
    budget: Budget = None,
    set_: Set = None,
    teachers: Annotated[str, typer.Option("--teachers", metavar="A,B", help="Their names; else all of them.")] = "",
    prompts: Annotated[str, typer.Option("--prompts", metavar="P,Q", help="Prompt files; else the step's own.")] = "",
    step: Annotated[str | None, typer.Option("--step", help="Asks with its fields; else the first that asks.")] = None,
    pilot: Annotated[int, typer.Option("--pilot", min=1, metavar="N", help="Problems asked, evenly over all.")] = 20,
) -> None:
    """Ask several teachers, or with several prompts, the same few problems; show what came of each and its price."""
    from pipeline.compare import print_comparison
    from pipeline.runner import Runner

    runner = Runner(_choices(config, recipe, run_name, limit, budget, set_), OUTPUTS)
    print_comparison(runner, _names(teachers), _names(prompts), step, pilot)


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
def lineage(
    row: Annotated[str, typer.Argument(metavar="ROW", help="Id of a row, as `show` tells it.")],
    run_name: Annotated[str, typer.Option("--run", help="Name of the run.")] = "first",
    step: Annotated[str, typer.Option("--step", help="A step that wrote or dropped it.")] = "assemble",
    raw: Annotated[bool, typer.Option("--raw", help="Requests and replies whole, as they were sent and came.")] = False,
) -> None:
    """Show where a row came from: its problem, and each reply with its request, teacher, date and price."""
    from pipeline.lineage import print_lineage

    print_lineage(OUTPUTS, run_name, step, row, raw)


@app.command()
def forget(
    source: Annotated[str, typer.Option("--source", metavar="PATH", help="As it stands in the choices.")],
    yes: Annotated[bool, typer.Option("--yes", help="Remove it now; else only tell what would go.")] = False,
) -> None:
    """Remove a source and everything made from it, over all runs; other sources' replies stay."""
    from pipeline.forget import forget as forget_now

    forget_now(OUTPUTS, source, yes)


@app.command()
def recipes() -> None:
    """List the recipes: name, first line, source."""
    from pipeline.show import print_recipes

    print_recipes()


OfRun = Annotated[str | None, typer.Option("--run", help="Of this run alone.")]


@ledger.command()
def stats(
    run_name: OfRun = None,
    config: Annotated[
        Path | None, typer.Option("--config", help="Names and prices of its teachers; else those that the runs knew.")
    ] = None,
) -> None:
    """Show what each run asked of each teacher, and what that cost."""
    from pipeline.ledger_commands import print_stats

    print_stats(OUTPUTS, run_name, config)


@ledger.command()
def settle(run_name: OfRun = None) -> None:
    """Count as not billed what was in flight at a kill, once the provider's own figures say so."""
    from pipeline.ledger_commands import settle as settle_now

    settle_now(OUTPUTS, run_name)


@ledger.command()
def export(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="JSON lines, one a sample; replaced.")],
    run_name: OfRun = None,
) -> None:
    """Write every sample with its request to a file, to be read elsewhere or imported into another ledger."""
    from pipeline.ledger_commands import export as export_now

    export_now(OUTPUTS, file, run_name)


@ledger.command("import")
def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Written by `ledger export`.")],
    prefix: Annotated[
        str,
        typer.Option(
            "--prefix", help="Before the names of its runs, so that what they spent counts in no budget of runs here."
        ),
    ] = "",
) -> None:
    """Add what another ledger exported and this one lacks; a second time adds nothing."""
    from pipeline.ledger_commands import import_ as import_now

    import_now(OUTPUTS, file, prefix)


@batch.command("list")
def list_() -> None:
    """Show every job: what the provider calls it, how far it is, how long ago it was begun."""
    from pipeline.batch_commands import print_jobs

    print_jobs(OUTPUTS)


@batch.command()
def cancel(
    name: Annotated[str | None, typer.Argument(metavar="[BATCH]", help="Number or name as in `batch list`.")] = None,
    config: Config = None,
    run_name: Run = None,
) -> None:
    """Cancel one batch, or all open ones of the run; what they gave is kept."""
    from pipeline.batch_commands import cancel as cancel_now

    cancel_now(_choices(config, None, run_name, None, None, None), OUTPUTS, name)


def _names(listed: str) -> list[str]:
    return [name.strip() for name in listed.split(",") if name.strip()]


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
