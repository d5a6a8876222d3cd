"""Asks several teachers, or several prompts, the same few problems, and says what came of each; makes no step."""

import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from pipeline.answers import compare as compare_answer
from pipeline.choices import nearest
from pipeline.errors import UsageError
from pipeline.jsonl import StoredRows
from pipeline.making import make_rows
from pipeline.pilot import spread
from pipeline.progress import Display
from pipeline.prompt import Prompt
from pipeline.recipe import Step
from pipeline.rows import Dropped, Problem, Row, Solution
from pipeline.runner import Runner
from pipeline.stage import Conversation, R, Reply, Stage, Work
from pipeline.statistics import wilson
from pipeline.teacher import Teachers
from pipeline.teacher.replies import Replies

Held = tuple[Sequence[Solution | Dropped], Sequence[Reply]]
"""What one problem's conversation came to, and the replies that it was made from."""

UNASKED = ("teacher_error", "not_recorded")
"""Drop reasons of a sample that the teacher did not reply to: they say nothing of how good it is."""

SECONDS = """
SELECT q.id, r.at - q.sent_at FROM samples s JOIN replies r ON r.id = s.reply JOIN requests q ON q.id = r.request
WHERE s.key = ? AND q.batch IS NULL AND r.status IS NOT NULL
"""
"""Of the request that a sample came with, where one was sent for it and waited for."""

WIDTH = 200
"""Columns of the table where it does not go to a terminal, so that it is not folded."""


@dataclass(frozen=True)
class Compared:
    """What came of the problems with one teacher and one prompt."""

    teacher: str
    prompt: str
    problems: int
    samples: int
    """Those dropped included."""
    read: int
    """Of these, solutions with an answer that were not cut."""
    cut: int
    dropped: Counter[str]
    """By reason."""
    judged: int
    """Samples that can be told right or wrong; a refusal is not right."""
    judged_problems: int
    right: int
    tokens: int
    """Generated for all of them, further attempts included; 0 where nobody told."""
    cost_usd: float | None
    """None where nobody knows the price."""
    seconds: float | None
    """Median time of a request; None where none was sent."""

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the share that is right; the samples of one problem are alike, so it counts problems."""
        problems = self.judged_problems
        return wilson(round(self.right / self.judged * problems) if problems else 0, problems)


def print_comparison(
    runner: Runner, teachers: Sequence[str], prompts: Sequence[str], step: str | None, problems: int
) -> None:
    """Print a table on stdout, one row a teacher and prompt.

    Args:
        runner: whose problems are asked; what it costs counts in its budget, and its ledger keeps the replies.
        teachers: names in the choices; none takes all of them.
        prompts: prompt files; none takes the step's own.
        step: asks with its fields; None takes the first that asks for solutions.
        problems: how many, evenly over all.

    Raises:
        PipelineError: see `pipeline.errors`; whatever was paid for by then is kept.
    """
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("teacher", "prompt"):
        table.add_column(column, overflow="fold")
    for column in (
        "problems",
        "samples",
        "read",
        "right",
        "95 %",
        "cut",
        "tokens/sample",
        "USD",
        "USD/right",
        "seconds",
    ):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("dropped", overflow="fold")
    for compared in compare(runner, teachers, prompts, step, problems):
        table.add_row(*_cells(compared))
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = max(console.width, WIDTH)
    console.print(table)


def compare(
    runner: Runner, teachers: Sequence[str], prompts: Sequence[str], step: str | None, problems: int
) -> list[Compared]:
    """Ask all teachers with all prompts side by side; arguments and errors as of `print_comparison`.

    A teacher that is asked in batches is asked online, at its full price: a comparison is waited for.
    """
    asking = _step(runner, step)
    names = [_known(name, runner) for name in teachers] or list(runner.choices.teachers)
    pairs = list(dict.fromkeys(product(names, prompts or [asking.stage.marked("prompt")["prompt"]])))
    for _, prompt in pairs:
        Prompt.load(prompt, runner.choices.base).check_asks()
    online = {name: choice.model_copy(update={"batch": False}) for name, choice in runner.choices.teachers.items()}
    choices = runner.choices.model_copy(update={"teachers": online})
    with tempfile.TemporaryDirectory() as folder, Display(scratch := Path(folder)) as display:
        told = display.idle
        with Teachers(choices, runner.outputs, choices.run, scratch, told, max_failure_share=1.0) as door:
            door.check(dict(pairs))
            work = Work(asking.name, scratch, choices.base, door, told, scratch)
            folders = _inputs(runner, asking, work)
            work = replace(work, uses={role: folders[name] for role, name in asking.uses.items()})
            rows = spread(list(_rows(asking, folders)), problems)
            with display.step(f"{asking.name} (comparison)") as progress:
                door.begin(asking.name, progress)
                held = _hold(door, [_with(asking.stage, *pair) for pair in pairs], rows, work)
            return [_compared(*pair, rows, one, door, choices.base) for pair, one in zip(pairs, held, strict=True)]


def _step(runner: Runner, name: str | None) -> Step:
    """The step of that name, or the first, of those that ask for solutions."""
    asking = [step for step in runner.steps() if {"teacher", "prompt"} <= type(step.stage).model_fields.keys()]
    asking = [step for step in asking if (step.stage.reads, step.stage.writes) == (Problem, Solution)]
    found = next((step for step in asking if name in (None, step.name)), None)
    if found is None:
        fact = f"no step {name!r} asks for solutions" if asking else f"recipe {runner.choices.recipe!r} asks for none"
        raise UsageError(fact, nearest(name or "", [step.name for step in asking]) if asking else None)
    return found


def _known(name: str, runner: Runner) -> str:
    if name not in runner.choices.teachers:
        raise UsageError(f"no teacher {name!r}", nearest(name, list(runner.choices.teachers)))
    return name


def _with(stage: Stage, teacher: str, prompt: str) -> Stage:
    """The same stage, but for whom it asks and how."""
    return stage.model_copy(update={"teacher": teacher, "prompt": prompt})


def _inputs(runner: Runner, step: Step, work: Work) -> dict[str, Path]:
    """The folders of the steps that this one depends on; those that the run has not made are made beside it."""
    planned = runner.plan()
    needed = set(step.inputs)
    for item in reversed(planned):
        needed |= set(item.step.inputs) if item.step.name in needed else set()
    folders: dict[str, Path] = {}
    for item in planned:
        name = item.step.name
        if name in needed:
            folders[name] = runner.folder / name if item.state == "kept" else _made(item.step, folders, work)
    return folders


def _made(step: Step, folders: Mapping[str, Path], work: Work) -> Path:
    if step.stage.marked("teacher") or step.stage.precious:
        raise UsageError(
            f"step {work.step!r} reads {step.name!r}, which is not made", f"python -m pipeline run {step.name}"
        )
    folder = work.folder / step.name
    folder.mkdir()
    uses = {role: folders[name] for role, name in step.uses.items()}
    make_rows(step, _rows(step, folders), replace(work, step=step.name, folder=folder, uses=uses), folder)
    return folder


def _rows(step: Step, folders: Mapping[str, Path]) -> StoredRows[Any]:
    return StoredRows([folders[name] / "rows.jsonl" for name in step.rows], step.stage.reads or Row)


def _hold(teachers: Teachers, stages: Sequence[Stage], rows: Sequence[Problem], work: Work) -> list[list[Held]]:
    """What each stage's conversations come to, the stages side by side."""

    def conversation(stage: Stage, row: Problem) -> Conversation[Held]:
        talk = stage.conversation(row, work)
        assert talk is not None
        return _overheard(talk)

    asks = [
        teachers.asked_of(stage.marked("teacher")["teacher"], rows, partial(conversation, stage)) for stage in stages
    ]
    teachers.fill(asks)
    held = []
    for ask in asks:
        replies = Replies(teachers.ledger, ask.teacher, ask.given_up)
        held.append([replies.replay(ask.conversation(row)) for row in rows])
    return held


def _overheard(talk: Conversation[R]) -> Conversation[tuple[R, list[Reply]]]:
    """The conversation, whose replies are given beside what it comes to."""
    heard: list[Reply] = []
    try:
        requests = next(talk)
        while True:
            replies = yield requests
            heard += replies
            requests = talk.send(replies)
    except StopIteration as end:
        return end.value, heard


def _compared(
    teacher: str, prompt: str, rows: Sequence[Problem], held: Sequence[Held], teachers: Teachers, base: Path
) -> Compared:
    samples = [sample for made, _ in held for sample in made]
    solutions = [sample for sample in samples if isinstance(sample, Solution)]
    verdicts = [_verdicts(made, row, base) for row, (made, _) in zip(rows, held, strict=True)]
    keys = list(dict.fromkeys(reply.key for _, replies in held for reply in replies))
    tokens, cost_usd = teachers.books.cost_of(keys)
    seconds = dict(row for key in keys for row in teachers.ledger.rows(SECONDS, (key,)))
    return Compared(
        teacher=teacher,
        prompt=prompt,
        problems=len(rows),
        samples=len(samples),
        read=sum(solution.found is not None and not solution.cut for solution in solutions),
        cut=sum(solution.cut for solution in solutions),
        dropped=Counter(sample.reason for sample in samples if isinstance(sample, Dropped)),
        judged=sum(map(len, verdicts)),
        judged_problems=sum(map(bool, verdicts)),
        right=sum(map(sum, verdicts)),
        tokens=tokens,
        cost_usd=cost_usd,
        seconds=median(seconds.values()) if seconds else None,
    )


def _verdicts(made: Sequence[Solution | Dropped], problem: Problem, base: Path) -> list[bool]:
    """Whether each sample is right, those left out that nobody can judge; a refusal is not right."""
    if not problem.has_gold:
        return []
    verdicts = []
    for sample in made:
        if isinstance(sample, Solution):
            verdict = compare_answer(sample.found, problem, text=sample.text, base=base)
            verdicts += [verdict == "right"] if verdict != "unverifiable" else []
        elif sample.reason not in UNASKED:
            verdicts.append(False)
    return verdicts


def _cells(compared: Compared) -> list[str]:
    low, high = compared.interval
    right = [_share(compared.right, compared.judged), f"{100 * low:.0f} to {100 * high:.0f} %"]
    cost_usd = compared.cost_usd
    return [
        compared.teacher,
        compared.prompt,
        str(compared.problems),
        str(compared.samples),
        _share(compared.read, compared.samples),
        *(right if compared.judged else ["no gold", ""]),
        _share(compared.cut, compared.samples),
        f"{compared.tokens / compared.samples:,.0f}" if compared.tokens else "untold",
        "unknown" if cost_usd is None else f"{cost_usd:.4f}",
        f"{cost_usd / compared.right:.6f}" if cost_usd is not None and compared.right else "",
        "" if compared.seconds is None else f"{compared.seconds:.1f}",
        ", ".join(f"{count} {reason}" for reason, count in compared.dropped.most_common()),
    ]


def _share(count: int, of: int) -> str:
    return f"{100 * count / of:.1f} %" if of else ""
