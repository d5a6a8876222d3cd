"""Compare answers with gold: at once where `decide` can tell, by workers that can be killed where it cannot."""

import os
from collections import OrderedDict, defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple

from pipeline.answers import own
from pipeline.answers.canonical import normalise
from pipeline.answers.verdict import Question, decide
from pipeline.answers.workers import Workers
from pipeline.rows import InputOutput, Outcome, Problem

BLOCK = 256
"""Rows that are looked at together."""
AHEAD = 8
"""Blocks that are under way while the first is waited for: a check that hangs holds up none that others can make."""
CHUNK = 32
"""Most checks that a worker is given at once."""
KEPT = 4096
"""Questions whose outcome is kept for the next one that is equal."""

Undecided = Outcome | Future[Outcome]


class Asked(NamedTuple):
    """One comparison."""

    found: str | None
    """The answer as it was read; None where none was found."""
    problem: Problem
    text: str = ""
    """The whole reply, for a function of the user's own."""


def compare(found: str | None, problem: Problem, *, text: str = "", base: Path = Path()) -> Outcome:
    """Whether a found answer is right; waits for a worker where one must be asked.

    Args:
        found: as it was read; None where none was found.
        problem: with the gold answer.
        text: the whole reply, for a function of the user's own.
        base: folder that the path of such a function is relative to.

    Raises:
        StageError: a check needs what cannot be loaded.
    """
    outcome = decide(found, problem, text=text)
    if not isinstance(outcome, Question):
        return outcome
    return next(compare_many([Asked(found, problem, text)], base=base))


def compare_many(asked: Iterable[Asked], *, base: Path = Path(), workers: int | None = None) -> Iterator[Outcome]:
    """Whether each answer is right, in their order; the outcomes do not depend on the number of workers.

    Args:
        asked: read as the outcomes are, at most `BLOCK` times `AHEAD` before them.
        base: folder that the paths of users' functions are relative to.
        workers: processes for each library; None takes one for each core.

    Raises:
        StageError: a check needs what cannot be loaded.
    """
    rows, ahead = iter(asked), deque[list[Undecided]]()
    asking = _Asking(base, workers or cores())
    try:
        while block := list(islice(rows, BLOCK)):
            ahead.append(asking.begun(block))
            if len(ahead) == AHEAD:
                yield from map(_settled, ahead.popleft())
        yield from map(_settled, chain.from_iterable(ahead))
    finally:
        asking.end()


def clusters(answers: Sequence[str | None], problem: Problem) -> list[str | None]:
    """For each answer the canonical text of the first one that means the same; None for None.

    Args:
        answers: of the samples of one problem.
        problem: its gold answer plays no part.
    """
    texts = [None if answer is None else normalise(answer, problem.choices) for answer in answers]
    firsts: dict[str, str] = {}
    for text, answer in zip(texts, answers, strict=True):
        if text is not None and answer is not None:
            firsts.setdefault(text, answer)
    pairs = [(text, other) for place, text in enumerate(firsts) for other in islice(firsts, place)]
    leaders: dict[str, str] = {}
    asked = (_as_gold(firsts[other], problem, firsts[text]) for text, other in pairs)
    for (text, other), outcome in zip(pairs, compare_many(asked), strict=True):
        if outcome == "right" and text not in leaders and other not in leaders:
            leaders[text] = other
    return [None if text is None else leaders.get(text, text) for text in texts]


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class _Key(NamedTuple):
    """What makes two questions one."""

    process: int
    """A process that was forked cannot wait for answers to its parent."""
    library: str
    source: str
    """The address of a user's function, with its whole path; empty for a library."""
    name: str
    arguments: str

    @classmethod
    def of(cls, question: Question, base: Path) -> "_Key":
        source = own.placed(question.arguments[0], base) if question.library == "python" else ""
        return cls(os.getpid(), question.library, source, question.name, repr(question.arguments))


_kept: "OrderedDict[_Key, Future[Outcome]]" = OrderedDict()
"""Outcomes that workers gave or will give, the oldest first."""


class _Asking:
    """The workers of one call of `compare_many`, and the threads that wait for sandboxes."""

    def __init__(self, base: Path, size: int) -> None:
        self._base, self._size = base, size
        self._threads = ThreadPoolExecutor(size, "sandbox")

    def begun(self, block: Sequence[Asked]) -> list[Undecided]:
        """A block's outcomes; those that workers were asked for, as futures."""
        decided = [decide(row.found, row.problem, text=row.text) for row in block]
        questions = {_Key.of(one, self._base): one for one in decided if isinstance(one, Question)}
        outcomes = {key: kept for key in questions if (kept := _kept.get(key)) is not None and _serves(kept)}
        places: defaultdict[tuple[str, str], list[_Key]] = defaultdict(list)
        for key in questions:
            if key not in outcomes:
                places[key.library, key.source].append(key)
        for (library, source), keys in places.items():
            asked = self._asked(library, source, [questions[key] for key in keys])
            outcomes.update(zip(keys, asked, strict=True))
        _keep(outcomes)
        return [outcomes[_Key.of(one, self._base)] if isinstance(one, Question) else one for one in decided]

    def end(self) -> None:
        """Wait for nothing more."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _asked(self, library: str, source: str, questions: Sequence[Question]) -> "list[Future[Outcome]]":
        if library == "sandbox":
            return [self._threads.submit(_tested, *question.arguments) for question in questions]
        workers = _workers(library, source, self._size, os.getpid())
        # A function of the user's own knows its scorer.
        checks = [(one.name, one.arguments[1:] if source else one.arguments) for one in questions]
        share = min(CHUNK, -(-len(checks) // self._size))
        chunks = (checks[place : place + share] for place in range(0, len(checks), share))
        return [outcome for chunk in chunks for outcome in workers.ask(chunk)]


@cache
def _workers(library: str, source: str, size: int, process: int) -> Workers:
    return Workers(library, source, size)


def _tested(code: str, tests: Sequence[str | dict[str, str]]) -> Outcome:
    from pipeline.answers.sandbox import run_tests

    return run_tests(code, [test if isinstance(test, str) else InputOutput(**test) for test in tests])


def _keep(outcomes: "dict[_Key, Future[Outcome]]") -> None:
    _kept.update((key, outcome) for key, outcome in outcomes.items() if key.library != "sandbox")
    while len(_kept) > KEPT:
        _kept.popitem(last=False)


def _serves(outcome: "Future[Outcome]") -> bool:
    """Whether it holds or will hold an outcome; what could not be loaded is tried again."""
    return not outcome.cancelled() and not (outcome.done() and outcome.exception())


def _settled(outcome: Undecided) -> Outcome:
    return outcome.result() if isinstance(outcome, Future) else outcome


def _as_gold(gold: str, problem: Problem, found: str) -> Asked:
    return Asked(found, problem.model_copy(update={"answer": gold, "scorer": None, "tests": ()}))
