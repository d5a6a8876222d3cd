"""Removes a source of problems and everything that was made from it, over all runs, and says what is to be rebuilt.

A step's folder goes where it holds rows of the source, or where a step that it was made of goes. In the ledger those
requests go that rows of the source were made of or that ask one of its questions, but for those that rows of other
sources were made of too. The ledger is first, then the folders, the last steps first: so a removal that was killed
finds what is left when it is begun again.
"""

import contextlib
import json
import re
import shutil
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from shlex import quote
from typing import Any

from pipeline.choices import nearest
from pipeline.errors import UsageError
from pipeline.jsonl import IDENTITY
from pipeline.lock import hold
from pipeline.record import Record
from pipeline.report.files import RunFiles
from pipeline.teacher import dialect
from pipeline.teacher.ledger import forgetting
from pipeline.teacher.ledger.ledger import Ledger

OF_A_RUN = ("report.html", "funnel.json")
"""What is told of all steps of a run together."""
GOING = ".forgotten"
"""Ends the name of a folder that is being removed."""
KEYS = re.compile(rb'"keys": ?\[([^\]]*)\]')
PROBLEM = re.compile(IDENTITY.pattern + rb' ?"question"')
"""How the line of a problem begins."""
BEGINNING = 16
"""Characters of a question that it is looked up by."""


@dataclass
class Scope:
    """All that a source left behind."""

    source: str
    questions: set[str] = field(default_factory=set)
    kept_questions: set[str] = field(default_factory=set)
    """Of the problems of other sources."""
    keys: set[bytes] = field(default_factory=set)
    """Of the replies that its rows were made of."""
    kept_keys: set[bytes] = field(default_factory=set)
    """Of the replies that rows of other sources were made of."""
    folders: list[Path] = field(default_factory=list)
    """In the order in which they are removed: what was made of others before those, what was begun first of all."""
    named_by: dict[str, list[str]] = field(default_factory=dict)
    """Run -> the places in its choices that name the source."""

    @property
    def runs(self) -> list[Path]:
        """Folders of the runs that lose something."""
        return sorted({folder.parent for folder in self.folders})


def forget(outputs: Path, source: str, is_certain: bool) -> None:
    """Remove what was made of a source; without certainty only tell what that is.

    Args:
        outputs: folder of the ledger and of all runs.
        source: its path as it stands in the choices.
        is_certain: remove it now.

    Raises:
        UsageError: no run has it, or a run is under way.
    """
    runs = sorted({path.parent for path in outputs.glob("*/run.json")})
    ledger = outputs / "ledger.sqlite"
    with contextlib.ExitStack() as stack:
        if is_certain:
            for run in runs:
                stack.enter_context(hold(run / "lock", f"forget in run {run.name!r}"))
            stack.enter_context(hold(outputs / "ledger.lock", "forget", _say_waiting))
        scope = _scope(runs, source)
        if not scope.folders and not scope.named_by:
            raise UsageError(f"no run under {outputs} has the source {source!r}", _nearest(runs, source))
        _tell_folders(scope)
        if ledger.is_file():
            _forget_replies(scope, ledger, is_certain)
        if is_certain:
            _remove(scope)
    _tell_way_on(scope, is_certain)


def _scope(runs: Sequence[Path], source: str) -> Scope:
    """Look through all steps of all runs, those that are not finished included."""
    scope = Scope(source)
    for run in runs:
        places = [place for place, path in _named(run) if path == source]
        if places:
            scope.named_by[run.name] = places
        folders = [path for path in sorted(run.glob("*/")) if path.is_dir()]
        going = [path for path in folders if path.suffix == GOING]
        steps = [path for path in folders if path not in going]
        inputs = {path: set(record.inputs) for path in steps if (record := Record.read(path))}
        hit = {path for path in steps if (path / "rows.jsonl").is_file() and _read(scope, path / "rows.jsonl")}
        layers = [hit]
        while layers[-1]:
            names = {path.name for path in layers[-1]}
            layers.append({path for path in inputs if inputs[path] & names and not any(path in one for one in layers)})
        made_last = sorted(set().union(*layers), key=lambda path: (-_depth(path, inputs), path.name))
        scope.folders += [*going, *made_last]
    return scope


def _depth(path: Path, inputs: dict[Path, set[str]]) -> int:
    """How many steps, at most, stand between this one and the user's sources."""
    before = [path.with_name(name) for name in inputs.get(path, ())]
    return 1 + max((_depth(other, inputs) for other in before), default=0)


def _read(scope: Scope, path: Path) -> int:
    """Note questions and keys of a file of rows; gives how many of them are of the source."""
    marked = re.compile(rb'"source": ?' + re.escape(json.dumps(scope.source, ensure_ascii=False).encode()))
    found = 0
    with path.open("rb") as lines:
        for line in lines:
            is_whole, is_marked = line.endswith(b"\n"), marked.search(line) is not None
            row = json.loads(line) if is_whole and (is_marked or PROBLEM.match(line)) else {}
            problem = row.get("problem") or row
            is_own = is_marked and problem.get("source", scope.source) == scope.source
            found += is_own
            (scope.keys if is_own else scope.kept_keys).update(_keys(line))
            if "question" in problem:
                (scope.questions if is_own else scope.kept_questions).add(problem["question"])
    return found


def _keys(line: bytes) -> Iterator[bytes]:
    for listed in KEYS.findall(line):
        for key in json.loads(b"[%b]" % listed):
            yield bytes.fromhex(key)


class Questions:
    """Tells which of many questions a text asks.

    Args:
        questions: as they stand in the rows.
    """

    def __init__(self, questions: Iterable[str]) -> None:
        self._by_beginning: dict[str, list[str]] = defaultdict(list)
        for question in questions:
            self._by_beginning[question[:BEGINNING]].append(question)
        self._lengths = sorted({len(beginning) for beginning in self._by_beginning})

    def last_in(self, text: str) -> str | None:
        """The one that stands last in the text, word for word: those before it are examples. None where none does."""
        for place in reversed(range(len(text))):
            for length in self._lengths:
                for question in self._by_beginning.get(text[place : place + length], ()):
                    if text.startswith(question, place):
                        return question
        return None


def _forget_replies(scope: Scope, path: Path, is_certain: bool) -> None:
    """Remove from the ledger what was asked for the source.

    Raises:
        UsageError: a batch job that is under way asks for it.
    """
    questions = Questions(scope.questions | scope.kept_questions)
    meant = scope.questions - scope.kept_questions
    shared = 0

    def is_meant(keys: Sequence[str], body: bytes) -> bool:
        nonlocal shared
        held = {bytes.fromhex(key) for key in keys}
        is_own = not held.isdisjoint(scope.keys)
        if not held.isdisjoint(scope.kept_keys):
            shared += is_own
            return False
        return is_own or questions.last_in(_text_of(body)) in meant

    with Ledger(path) as ledger:
        requests = forgetting.matching(ledger, is_meant)
        samples, under_way = forgetting.count(ledger, requests)
        print(f"{path}: {len(requests):,} requests with {samples:,} samples; what they cost stays in the books")
        if shared:
            print(f"{path}: {shared:,} requests stay, because rows of other sources were made of them too")
        for copy in forgetting.copies(path):
            print(f"{copy}: a copy from before the ledger was migrated")
        if under_way and is_certain:
            raise UsageError(
                f"{under_way:,} of these requests are part of a batch job that is under way",
                "python -m pipeline batch list; wait for it, or python -m pipeline batch cancel",
            )
        if is_certain:
            forgetting.forget(ledger, requests)
    if is_certain:
        forgetting.compact(path)


def _text_of(body: bytes) -> str:
    """What a request says, all turns together."""
    turns = (dialect.parse(body) or {}).get("messages") or []
    return "\n".join(str(turn.get("content")) for turn in turns if isinstance(turn, dict))


def _remove(scope: Scope) -> None:
    """Remove the folders, each of them at once for whoever looks."""
    for run in {folder.parent for folder in scope.folders}:
        for name in OF_A_RUN:
            (run / name).unlink(missing_ok=True)
    for folder in scope.folders:
        going = folder if folder.suffix == GOING else folder.with_name(folder.name + GOING)
        if folder != going:
            shutil.rmtree(going, ignore_errors=True)
            folder.rename(going)
        shutil.rmtree(going)


def _tell_folders(scope: Scope) -> None:
    print(f"source {scope.source}: {len(scope.questions):,} questions")
    for run in scope.runs:
        names = [folder.name for folder in reversed(scope.folders) if folder.parent == run]
        told = [name for name in OF_A_RUN if (run / name).is_file()]
        print(f"{run}: {', '.join([*names, *told])}")


def _tell_way_on(scope: Scope, is_certain: bool) -> None:
    if not is_certain:
        print("\nnothing is removed yet; to remove all of this for good:")
        print(f"  python -m pipeline forget --source {quote(scope.source)} --yes")
        return
    print("\nall of this is removed")
    for name, places in scope.named_by.items():
        print(f"run {name} still names it under {', '.join(places)}: take it out of the choices, or it is loaded again")
    for run in scope.runs:
        print(f"to rebuild: python -m pipeline run all --config FILE --run {run.name}")
    if scope.runs:
        print("replies to problems of other sources are kept: the rebuild asks for none of them again")


def _named(run: Path) -> Iterator[tuple[str, str]]:
    """Place in the choices, and path, of each source that the run was begun with."""
    data: dict[str, Any] = (RunFiles.read(run).about.get("choices") or {}).get("data") or {}
    for part in ("train", "eval"):
        for source in data.get(part) or ():
            yield f"data.{part}", source["path"]


def _nearest(runs: Sequence[Path], source: str) -> str | None:
    known = sorted({path for run in runs for _, path in _named(run)})
    return nearest(source, known) if known else None


def _say_waiting(holder: str) -> None:
    print(f"waiting for {holder}", file=sys.stderr)
