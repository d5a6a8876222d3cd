"""The funnel: how every problem and every sample of a run ended, in the data set or at one step for one reason.

A sample is a row made of a problem; rows made of a sample stand for it. A problem is in the data set where a row of it
is, and else was lost at the last step that dropped a row of it, for the reason that most of its rows there had.
"""

from array import array
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from pipeline.errors import StageError
from pipeline.jsonl import identities, write_json
from pipeline.report.files import RunFiles, StepFiles

FUNNEL = "funnel.json"
DATA_SET = "assemble"
"""The stage whose rows are the data set."""

OPEN, ARRIVED = 1, 2
"""Marks of a problem or a sample: a row of it waits for a step that is not made; a row of it is in the data set."""
REASONS = 1 << 16
"""More than a run has reasons to drop a row, all steps together."""


class Ends(BaseModel):
    """How the problems ended, or the samples: entered = in_data_set + open + all those lost."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    entered: int
    in_data_set: int
    open: int
    """Those with a row that waits for a step that is not made."""
    lost: Mapping[str, Mapping[str, int]]
    """Step -> reason -> how many."""

    def lost_at(self, step: str) -> int:
        """How many, for any reason."""
        return sum(self.lost.get(step, {}).values())


class Funnel(BaseModel):
    """What `funnel.json` holds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    problems: Ends
    samples: Ends
    examples: int
    """Rows of the data set."""
    loading: tuple[str, ...]
    """The steps that read no rows: what they dropped was never loaded."""

    @property
    def loaded(self) -> int:
        """Of the problems, those that the loading steps carried on."""
        return self.problems.entered - sum(self.problems.lost_at(step) for step in self.loading)


def write_funnel(run_folder: Path, funnel: Funnel | None) -> None:
    """Write `funnel.json`; where there is none, one that stands there does not hold any more."""
    if funnel is None:
        (run_folder / FUNNEL).unlink(missing_ok=True)
    else:
        write_json(run_folder / FUNNEL, funnel.model_dump(mode="json"))


def funnel_of(run: RunFiles) -> Funnel | None:
    """Read it off the rows of the finished steps; None where the run makes no data set, or nothing of it is made.

    Raises:
        RuntimeError: a row that leads to no problem, a problem or a sample that ended nowhere, or files of a step that
            are not those of its record.
    """
    reads = _data_steps(run)
    finished = [step for step in run.steps if step.name in reads]
    if not finished:
        return None
    made = {step.name for step in finished}
    waiting = {name for step, rows in reads.items() if step not in made for name in rows}
    trace = _Trace()
    examples = 0
    for step in finished:
        is_data_set = step.record.stage == DATA_SET
        written = trace.add(step, not reads[step.name], ARRIVED if is_data_set else OPEN * (step.name in waiting))
        examples += written if is_data_set else 0
    return Funnel(
        problems=trace.problems(),
        samples=trace.samples(),
        examples=examples,
        loading=tuple(step.name for step in finished if not reads[step.name]),
    )


def check_losses(funnel: Funnel, run: str, max_loss_share: float) -> None:
    """Hold each step to the share of the loaded problems that it may lose.

    Raises:
        StageError: it left nothing of more than that.
    """
    for step, reasons in funnel.problems.lost.items():
        lost = funnel.problems.lost_at(step)
        if step in funnel.loading or lost <= max_loss_share * funnel.loaded:
            continue
        reason, count = max(reasons.items(), key=lambda item: item[1])
        raise StageError(
            f"step {step!r} left nothing of {lost:,} of {funnel.loaded:,} problems, {lost / funnel.loaded:.1%}; "
            f"max_loss_share allows {max_loss_share:.1%}; {count:,} of them were lost as {reason}",
            f"python -m pipeline show {step} --run {run} --dropped {reason}\n"
            "what is made is kept: raise max_loss_share in the choices to go on with what is left",
        )


def _data_steps(run: RunFiles) -> dict[str, tuple[str, ...]]:
    """The steps whose rows lead to the data set, each with those that it reads; empty where `run.json` tells none."""
    steps = {step["name"]: step for step in run.about.get("steps", []) if "rows" in step}
    wanted = [name for name, step in steps.items() if step["stage"] == DATA_SET]
    found: dict[str, tuple[str, ...]] = {}
    while wanted:
        name = wanted.pop()
        if name in steps and name not in found:
            found[name] = tuple(steps[name]["rows"])
            wanted += found[name]
    return found


class _Trace:
    """Problems and samples, numbered as they are met: an id and seven bytes each."""

    def __init__(self) -> None:
        self._places: dict[str, int] = {}
        """Row -> number of the problem or sample that it is or stands for."""
        self._problem = array("I")
        """Number of its problem; a problem is its own."""
        self._marks = bytearray()
        self._lost = array("H")
        """Where it was lost last, as a place in `_reasons`."""
        self._reasons: list[tuple[str, str]] = [("", "")]
        """Step and reason; the first stands for none."""

    def add(self, step: StepFiles, is_loading: bool, mark: int) -> int:
        """Follow the rows through one more step; gives how many it wrote."""
        written = 0
        for name, parent, _ in identities(step.folder / "rows.jsonl"):
            place = self._place(step, name, parent, is_loading)
            self._marks[place] |= mark
            self._marks[self._problem[place]] |= mark
            written += 1
        dropped = self._drop(step, is_loading)
        counts = step.record.counts
        if counts is None or (written, dropped) != (counts.written, counts.dropped):
            raise RuntimeError(f"{step.folder} holds {written} rows and dropped {dropped}; its record says {counts}")
        return written

    def problems(self) -> Ends:
        """How they ended."""
        return self._ends(place for place, problem in enumerate(self._problem) if place == problem)

    def samples(self) -> Ends:
        """How they ended."""
        return self._ends(place for place, problem in enumerate(self._problem) if place != problem)

    def _place(self, step: StepFiles, name: str, parent: str | None, is_loading: bool) -> int:
        """Number of the problem or sample of a row; one that is new gets the next."""
        known = self._places.get(name)
        if known is not None:
            return known
        origin = None if is_loading else self._places.get(parent or "")
        if origin is None and not is_loading:
            raise RuntimeError(f"step {step.name!r} has a row {name!r}, made of {parent!r}, that leads to no problem")
        if origin is not None and self._problem[origin] != origin:
            self._places[name] = origin
            return origin
        place = len(self._problem)
        self._places[name] = place
        self._problem.append(place if origin is None else origin)
        self._marks.append(0)
        self._lost.append(0)
        return place

    def _drop(self, step: StepFiles, is_loading: bool) -> dict[str, int]:
        """Note what the step dropped; gives how often for which reason."""
        first = len(self._reasons)
        reasons: dict[str, int] = {}
        counts: Counter[str] = Counter()
        of_problems: Counter[int] = Counter()
        for row in step.dropped():
            place = self._place(step, row["id"], row["parent"], is_loading)
            reason = reasons.setdefault(row["reason"], first + len(reasons))
            counts[row["reason"]] += 1
            self._lost[place] = reason
            of_problems[self._problem[place] * REASONS + reason] += 1
        self._reasons += [(step.name, reason) for reason in reasons]
        most: dict[int, int] = {}
        for key, count in of_problems.items():
            problem, reason = divmod(key, REASONS)
            if count > most.get(problem, 0):
                most[problem] = count
                self._lost[problem] = reason
        return dict(counts)

    def _ends(self, places: Iterable[int]) -> Ends:
        entered, arrived, waiting = 0, 0, 0
        lost: Counter[int] = Counter()
        for place in places:
            entered += 1
            if self._marks[place] & ARRIVED:
                arrived += 1
            elif self._marks[place] & OPEN:
                waiting += 1
            else:
                lost[self._lost[place]] += 1
        if lost[0]:
            raise RuntimeError(f"{lost[0]} problems or samples ended nowhere")
        by_step: dict[str, dict[str, int]] = {}
        for reason, count in sorted(lost.items()):
            step, told = self._reasons[reason]
            by_step.setdefault(step, {})[told] = count
        return Ends(entered=entered, in_data_set=arrived, open=waiting, lost=by_step)
