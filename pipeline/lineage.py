"""Where one row came from: the steps that it went through, its problem, and each reply that it was made of."""

import json
import zlib
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.text import Text

from pipeline.choices import TeacherChoice, nearest
from pipeline.errors import UsageError
from pipeline.jsonl import identities
from pipeline.report.files import RunFiles, StepFiles
from pipeline.teacher import dialect
from pipeline.teacher.accounts import Books
from pipeline.teacher.keys import Teacher
from pipeline.teacher.ledger.entries import Entry
from pipeline.teacher.ledger.ledger import Ledger
from pipeline.teacher.prices import PICODOLLARS, Rates
from pipeline.teacher.replies import reply_of

SHORT = 600
"""Characters of a text that are shown."""

ASKED = """
SELECT q.id, q.run, q.step, q.identity, q.model, q.sent_at, q.n, q.body, q.batch IS NOT NULL, s.choice,
    r.at, r.kind, r.status, r.headers, r.body
FROM samples s JOIN replies r ON r.id = s.reply JOIN requests q ON q.id = r.request WHERE s.key = ? ORDER BY s.id
"""


class Asked(NamedTuple):
    """One row of `ASKED`: a sample with the request that it was asked in."""

    request: int
    run: str
    step: str
    identity: str
    model: str
    sent_at: float
    samples: int
    body: bytes
    in_batch: int
    choice: int
    answered_at: float
    kind: Any
    status: int | None
    headers: str
    answer: bytes


class Ancestor(NamedTuple):
    """A row that the asked one was made of, or itself, as a step wrote it."""

    step: str
    row: dict[str, Any]


def print_lineage(outputs: Path, run_name: str, step_name: str, name: str, is_raw: bool) -> None:
    """Print the row's way from its problem and its replies, on stdout.

    Args:
        outputs: folder of the ledger and of all runs.
        run_name: the run.
        step_name: a step that wrote the row or dropped it.
        name: the row's id.
        is_raw: show requests and replies whole, as they were sent and came.

    Raises:
        UsageError: no such run, step or row.
    """
    run = RunFiles.read(outputs / run_name)
    step = _step(run, step_name)
    step, dropped = _dropped(run, step, name)
    ancestors = lineage(run, step, name, dropped["parent"] if dropped else None)
    if dropped is None and (not ancestors or ancestors[-1].row["id"] != name):
        raise UsageError(
            f"step {step_name!r} of run {run_name!r} has no row {name!r}",
            f"python -m pipeline show {step_name} --run {run_name}",
        )
    told = _Told(Console(highlight=False))
    told.head(f"{name}, {'dropped' if dropped else 'written'} by {step.name} in run {run_name}")
    if dropped:
        told.line("dropped", ": ".join(filter(None, (dropped["reason"], dropped["detail"]))))
    told.line("made by", ", ".join(f"{step} ({row['id']})" for step, row in ancestors))
    _tell_rows(told, [row for _, row in ancestors])
    keys: list[str] = next((row["keys"] for _, row in reversed(ancestors) if row.get("keys")), [])
    path = outputs / "ledger.sqlite"
    if keys and not path.is_file():
        raise UsageError(f"no ledger at {path}", "run this where `outputs` is")
    if keys:
        with Ledger(path) as ledger:
            _tell_replies(told, ledger, _books(ledger, run), keys, is_raw)


def _dropped(run: RunFiles, step: StepFiles, name: str) -> tuple[StepFiles, dict[str, Any] | None]:
    """Where a row was dropped, and as what: by this step, or, where this one has no such row, by another."""
    if any(identity == name for identity, *_ in identities(step.folder / "rows.jsonl")):
        return step, None
    for other in (step, *run.steps):
        for row in other.dropped():
            if row["id"] == name:
                return other, row
    return step, None


def lineage(run: RunFiles, step: StepFiles, name: str, parent: str | None = None) -> list[Ancestor]:
    """The row and those that it was made of, as each step wrote them, the first one first.

    Args:
        run: the run.
        step: where the row is.
        name: its id.
        parent: what it would have been made of, where the step dropped it.
    """
    wanted = {name, *filter(None, [parent])}
    behind = {step.name}
    found: list[Ancestor] = []
    for other in reversed(run.steps):
        if other.name not in behind:
            continue
        behind.update(other.record.inputs)
        for identity, _, line in identities(other.folder / "rows.jsonl"):
            if identity in wanted:
                row = json.loads(line)
                found.append(Ancestor(other.name, row))
                wanted.update(filter(None, [row["parent"]]))
                break
    return found[::-1]


def _step(run: RunFiles, name: str) -> StepFiles:
    if not run.folder.is_dir():
        raise UsageError(f"no run {run.folder.name!r} under {run.folder.parent}", "python -m pipeline status")
    made = {step.name: step for step in run.steps}
    if name not in made:
        is_stale = name in run.stale
        fact = "was made of rows that have since been made anew" if is_stale else "is not made"
        hint = f"python -m pipeline run {name}" if is_stale else nearest(name, list(made)) if made else None
        raise UsageError(f"step {name!r} of run {run.folder.name!r} {fact}", hint)
    return made[name]


class _Told:
    """Lines of a name and a value on the terminal."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def head(self, title: str) -> None:
        """Begin a part."""
        self._console.print(Text(title, style="bold"), soft_wrap=True)

    def line(self, name: str, value: object) -> None:
        """One line; none where there is no value."""
        if value not in (None, "", [], (), {}):
            self._console.print(Text.assemble((f"  {name}: ", "dim"), str(value)), soft_wrap=True)


def _tell_rows(told: _Told, rows: list[dict[str, Any]]) -> None:
    """The problem, and what was found of the solution."""
    solution: Mapping[str, Any] = next((row for row in reversed(rows) if "problem" in row), {})
    problem = solution.get("problem") or next((row for row in rows if "question" in row), {})
    told.head(f"problem {problem.get('id', 'not known')}")
    for name in ("source", "licence", "question", "choices", "answer"):
        told.line(name, _short(problem.get(name)))
    if not solution:
        return
    told.head(f"solution {solution['id']}")
    for name in ("found", "verdict", "pass_rate", "vote_share", "judge_score", "wrong_steps", "hinted", "cut"):
        if solution.get(name) is not False:
            told.line(name, solution.get(name))
    example: Mapping[str, Any] = next((row for row in reversed(rows) if "completion" in row), {})
    for name in ("label", "terms"):
        told.line(name, example.get(name))


def _tell_replies(told: _Told, ledger: Ledger, books: Books, keys: list[str], is_raw: bool) -> None:
    for key in keys:
        samples = [Asked(*row) for row in ledger.rows(ASKED, (key,))]
        tokens, cost_usd = books.cost_of([key])
        told.head(f"reply {key[:16]}")
        if not samples:
            told.line("ledger", "holds nothing under this key: it was forgotten, or the run asked with another ledger")
            continue
        told.line("tokens", f"{tokens:,} written")
        told.line("cost", "unknown" if cost_usd is None else f"${cost_usd:.6f}, with its share of the prompt")
        for sample in samples:
            _tell_sample(told, sample, key, books.rates(sample.identity, sample.model, bool(sample.in_batch)), is_raw)


def _tell_sample(told: _Told, sample: Asked, key: str, rates: Rates | None, is_raw: bool) -> None:
    answer = zlib.decompress(sample.answer)
    reply = reply_of(key, Entry(sample.kind, sample.status, json.loads(sample.headers), answer, sample.choice))
    body = zlib.decompress(sample.body)
    request = dialect.parse(body) or {}
    told.line("teacher", f"{sample.model} at {sample.identity}")
    told.line("price", _price(rates))
    told.line("asked", f"{_time(sample.sent_at)}, as request {sample.request} of run {sample.run}, step {sample.step}")
    told.line("answered", f"{_time(sample.answered_at)}, sample {sample.choice + 1} of {sample.samples} in one request")
    if is_raw:
        told.line("request", body.decode("utf-8", "replace"))
        told.line("reply", answer.decode("utf-8", "replace"))
        return
    told.line(
        "fields", ", ".join(f"{name} {value}" for name, value in request.items() if name not in ("model", "messages"))
    )
    for turn in request.get("messages", []):
        told.line(str(turn.get("role")), _short(turn.get("content")))
    told.line("thoughts", _short(reply.thoughts))
    told.line("reply", _short(reply.text or reply.detail))


def _books(ledger: Ledger, run: RunFiles) -> Books:
    """The run's books, at the prices that stand in its choices."""
    chosen: Mapping[str, Any] = (run.about.get("choices") or {}).get("teachers", {})
    teachers = {name: Teacher(name, TeacherChoice.model_validate(choice), Path()) for name, choice in chosen.items()}
    return Books(ledger, run.folder.name, teachers)


def _price(rates: Rates | None) -> str:
    if rates is None:
        return "unknown"
    prompt, written = (10**6 * rate / PICODOLLARS for rate in (rates.prompt, rates.written))
    return f"${prompt:g} a million tokens of prompt, ${written:g} of reply"


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _short(value: Any) -> Any:
    if not isinstance(value, str) or len(value) <= SHORT:
        return value
    return f"{value[:SHORT]} ... ({len(value):,} characters; --raw shows all)"
