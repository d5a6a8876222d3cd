"""Makes each step once, in its own folder, with a record beside its rows; keeps, makes anew or refuses."""

import shutil
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline import recipe
from pipeline.choices import Choices, nearest
from pipeline.data_card import write_cards
from pipeline.errors import BudgetError, UsageError
from pipeline.funnel import FUNNEL, check_losses, funnel_of, write_funnel
from pipeline.jsonl import StoredRows, write_json
from pipeline.lock import hold
from pipeline.making import make_rows
from pipeline.plan import Planned, expected, first_requests, guard, plan, prompts_of
from pipeline.progress import Display, Progress, StepProgress
from pipeline.recipe import Step
from pipeline.record import RECORD, Record, hash_folder
from pipeline.report import write_report
from pipeline.report.files import RunFiles
from pipeline.rows import Row
from pipeline.run_file import describe
from pipeline.stage import Work
from pipeline.teacher import Teachers, record_of_teacher
from pipeline.way_on import with_way_on


@dataclass(frozen=True)
class Runner:
    """One run: the recipe's steps in a folder under `outputs`."""

    choices: Choices
    outputs: Path
    """Folder of the ledger and of all runs."""

    @property
    def folder(self) -> Path:
        """The run's own folder."""
        return self.outputs / self.choices.run

    @property
    def logs(self) -> Path:
        """Logs of what ran beside the pipeline."""
        return self.folder / "logs"

    def steps(self) -> list[Step]:
        """The steps of the chosen recipe."""
        return recipe.steps(self.choices)

    def plan(self, redo: Collection[str] = ()) -> list[Planned]:
        """What `run` would do; asks, pays and writes nothing.

        Raises:
            UsageError: a prompt that is not there, or that would ask the same for every problem.
        """
        steps = self.steps()
        for step in steps:
            prompts_of(step.stage, self.choices.base)
        return plan(steps, self.folder, self.record_of, redo)

    def record_of(self, step: Step, made: Mapping[str, str | None]) -> Record:
        """The record that a step would have now, given what its inputs' folders hold."""
        return expected(step, self.choices, made, record_of_teacher)

    def run(self, only: str | None = None, until: str | None = None, redo: Collection[str] = ()) -> None:
        """Make what is missing or was made of something else.

        Args:
            only: one step; its inputs must be made. None runs all.
            until: the last step to run; None runs to the end.
            redo: steps to make anew, whatever stands there.

        Raises:
            PipelineError: see `pipeline.errors`.
        """
        planned = self.plan(redo)
        names = [item.step.name for item in planned]
        for name in (*redo, *filter(None, (only, until))):
            if name not in names:
                raise UsageError(f"no step {name!r} in recipe {self.choices.recipe!r}", nearest(name, names))
        chosen = [item for item in planned if item.step.name == only] if only else planned
        if until:
            chosen = chosen[: names.index(until) + 1]
        if only:
            self._require_inputs(chosen[0].step)
        if all(item.state == "kept" for item in chosen):
            self._kept(chosen)
            if not all((self.folder / name).is_file() for name in (FUNNEL, "report.html")):
                self._write_books()
                write_report(self.folder)
            self._check_losses()
            return
        with hold(self.folder / "lock", f"run {self.choices.run!r}"), ExitStack() as stack:
            self.logs.mkdir(parents=True, exist_ok=True)
            display = stack.enter_context(Display(self.folder))
            teachers = stack.enter_context(
                Teachers(self.choices, self.outputs, run=self.choices.run, logs=self.logs, progress=display.idle)
            )
            guard(chosen, self.folder, redo, lambda step: self._paid_again(step, teachers))
            teachers.check(_asked(item.step for item in chosen if item.state != "kept"))
            write_json(self.folder / "run.json", describe(self.choices, self.steps()))
            (self.folder / FUNNEL).unlink(missing_ok=True)
            try:
                for item in chosen:
                    try:
                        self._bring(item.step, teachers, display, forced=item.step.name in redo)
                    except BudgetError as error:
                        raise with_way_on(error, item.step, self.steps(), self.folder) from None
            finally:
                write_json(self.folder / "usage.json", teachers.usage())
                self._write_books()
            write_report(self.folder)
            self._check_losses()

    def _write_books(self) -> None:
        """Tell how every problem and sample ended, in `funnel.json` and on the data set's card."""
        run = RunFiles.read(self.folder)
        funnel = funnel_of(run)
        write_cards(run, funnel)
        write_funnel(self.folder, funnel)

    def _check_losses(self) -> None:
        """Hold what is made so far to `max_loss_share`, before anything more is paid for."""
        if self.choices.max_loss_share is None:
            return
        funnel = funnel_of(RunFiles.read(self.folder))
        if funnel is not None:
            check_losses(funnel, self.choices.run, self.choices.max_loss_share)

    def _kept(self, chosen: Sequence[Planned]) -> None:
        with Display(self.folder) as display:
            for item in chosen:
                display.kept(item.step.name)

    def _require_inputs(self, step: Step) -> None:
        for name in step.inputs:
            if Record.read(self.folder / name) is None:
                raise UsageError(
                    f"step {step.name!r} reads {name!r}, which is not made", f"python -m pipeline run {name}"
                )

    def _bring(self, step: Step, teachers: Teachers, display: Display, forced: bool) -> None:
        made = {name: record.output for name in step.inputs if (record := Record.read(self.folder / name))}
        record = self.record_of(step, made)
        old = Record.read(self.folder / step.name, step.stage)
        if old and old.output and not forced and old.made_of() == record.made_of():
            display.kept(step.name)
            return
        if old and old.output and not forced:
            for line in old.differences(record):
                display.say(f"{step.name}: {line}")
        self._check_losses()
        with display.step(step.name) as progress:
            self._make(step, record, teachers, progress)

    def _make(self, step: Step, record: Record, teachers: Teachers, progress: StepProgress) -> None:
        part, final = self.folder / f"{step.name}.part", self.folder / step.name
        unfinished = Record.read(part, step.stage)
        agrees = unfinished is not None and unfinished.made_of() == record.made_of()
        if not (step.stage.resumes and agrees):
            shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True, exist_ok=True)
        write_json(part / RECORD, record.model_dump(mode="json"))
        begun = time.monotonic()
        teachers.begin(step.name, progress)
        counts = make_rows(step, self._rows(step), self._work(step, part, teachers, progress), part)
        progress.made(counts.told())
        finished = record.model_copy(
            update={
                "output": hash_folder(part),
                "counts": counts,
                "seconds": round(time.monotonic() - begun, 1),
            }
        )
        write_json(part / RECORD, finished.model_dump(mode="json"))
        _publish(part, final)

    def _rows(self, step: Step) -> StoredRows[Any]:
        return StoredRows([self.folder / name / "rows.jsonl" for name in step.rows], step.stage.reads or Row)

    def _work(self, step: Step, part: Path, teachers: Teachers, progress: Progress) -> Work:
        return Work(
            step=step.name,
            folder=part,
            base=self.choices.base,
            teachers=teachers,
            progress=progress,
            logs=self.logs,
            uses={role: self.folder / name for role, name in step.uses.items()},
        )

    def _paid_again(self, step: Step, teachers: Teachers) -> int:
        """Problems that a finished step has asked and whose first request the ledger does not know any more."""
        rows = self._rows(step)
        if not all(path.is_file() for path in rows.paths):
            return 0
        work = self._work(step, self.folder / step.name, teachers, teachers.progress)
        (teacher,) = step.stage.marked("teacher").values()
        return sum(not teachers.is_known(teacher, request) for request in first_requests(step, list(rows), work))


def _asked(steps: Iterable[Step]) -> list[str]:
    """The teachers that these steps ask, each once."""
    return list(dict.fromkeys(name for step in steps for name in step.stage.marked("teacher").values()))


def _publish(part: Path, final: Path) -> None:
    old = final.with_name(final.name + ".old")
    shutil.rmtree(old, ignore_errors=True)
    if final.exists():
        final.rename(old)
    part.rename(final)
    shutil.rmtree(old, ignore_errors=True)
