"""Rows and works for tests of single stages."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from pipeline.progress import Silent
from pipeline.rows import Dropped, Problem, Row, Solution
from pipeline.stage import Conversation, Reply, Stage, Work


class Script:
    """A door to the teachers that answers conversations from a function; no network, as a conversation has none."""

    def __init__(self, reply: Callable[[Any], Reply]) -> None:
        self.reply = reply
        self.asked: list[Any] = []

    def ask(
        self, teacher: str, rows: Iterable[Any], conversation: Callable[[Any], Conversation[Any]]
    ) -> Iterator[tuple[Any, Any]]:
        for row in rows:
            talk = conversation(row)
            try:
                requests = next(talk)
                while True:
                    self.asked += requests
                    requests = talk.send([self.reply(request) for request in requests])
            except StopIteration as stop:
                yield row, stop.value


def work(folder: Path, reply: Callable[[Any], Reply] | None = None, uses: dict[str, Path] | None = None) -> Work:
    """A step's surroundings in a folder of the test."""
    door = Script(reply or (lambda request: Reply(key="00")))
    return Work("step", folder, folder, door, Silent(), folder, uses or {})


def problem(name: str = "p", answer: str | None = "5", question: str = "What is 4 + 3 - 2?") -> Problem:
    """A problem."""
    return Problem(id=name, question=question, answer=answer, source="test")


def solution(name: str = "p/0", text: str = "4 + 3 = 7. 7 - 2 = 5. The answer is 5.", **more: Any) -> Solution:
    """A solution of the problem before its slash."""
    from pipeline.answers import find, split

    of = more.pop("problem", None) or problem(name.partition("/")[0])
    made = {"rationale": split(text)[0], "found": find(text, of), **more}
    return Solution(id=name, parent=of.id, problem=of, text=text, teacher="main", keys=("00",), **made)


def outcome(stage: Stage, rows: list[Any], surroundings: Work) -> list[tuple[str, str]]:
    """What became of each row: (id, `kept` or the drop reason)."""
    return [(row.id, row.reason if isinstance(row, Dropped) else "kept") for row in run(stage, rows, surroundings)]


def run(stage: Stage, rows: list[Any], surroundings: Work) -> list[Row | Dropped]:
    """All that a stage makes of the rows."""
    return list(stage.run(rows, surroundings))
