"""A user's own judge: a Python function of a reply's text and the gold answer, in a file of theirs.

    def same(text: str, answer: str | None) -> bool | None:
        return answer is not None and answer in text

Choices name it `my_judge.py:same`; a problem's row names it `python:my_judge.py:same@9f86d081884c`, so that an edited
file makes other rows. It runs in a worker, under a worker's limits.
"""

import ast
import hashlib
import importlib.util
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipeline.choices import nearest
from pipeline.errors import StageError, UsageError
from pipeline.rows import Outcome

PREFIX = "python:"
BROKEN = "broken: "
SHOWN = 60
"""Characters of a reply that a message shows."""
DIGITS = 12
"""Of the file's SHA-256, in hex."""
SAYS: dict[Any, Outcome] = {True: "right", False: "wrong", None: "unverifiable"}
SAYS |= {"right": "right", "wrong": "wrong", "unverifiable": "unverifiable"}
FORM = "judge: FILE.py:FUNCTION, the file relative to the folder of the config"


def scorer_of(judge: str, base: Path) -> str:
    """The address of a user's function, as a problem's row holds it. The file is read, not run.

    Args:
        judge: `my_judge.py:same`, as in the choices.
        base: folder that the file is relative to.

    Raises:
        UsageError: there is no such file or no such function in it.
    """
    file, _, function = judge.rpartition(":")
    path = base / file
    if not file or not path.is_file():
        raise UsageError(f"judge {judge}: no file {path if file else judge}", FORM)
    content = path.read_bytes()
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError) as error:
        raise UsageError(f"judge {judge}: {path}:{getattr(error, 'lineno', 1)}: not Python: {error}") from None
    functions = {node.name: node.args for node in tree.body if isinstance(node, ast.FunctionDef)}
    if function not in functions:
        hint = nearest(function, list(functions)) if functions else f"def {function}(text, answer): ..."
        raise UsageError(f"judge {judge}: {path} has no function {function!r}", hint)
    takes = functions[function]
    most = len(takes.posonlyargs) + len(takes.args)
    if not most - len(takes.defaults) <= 2 <= (2 if takes.vararg else most):
        raise UsageError(
            f"judge {judge}: {path}: {function} takes {most} arguments", f"def {function}(text, answer): ..."
        )
    return f"{PREFIX}{file}:{function}@{_digest(content)}"


def placed(scorer: str, base: Path) -> str:
    """A scorer with its file's whole path."""
    return f"{PREFIX}{(base / scorer.removeprefix(PREFIX)).resolve()}"


def load(scorer: str) -> None:
    """Import the function of a scorer with its whole path; `judged` calls it from then on.

    Raises:
        StageError: the file is gone, was edited since the problems were loaded, or cannot be imported.
    """
    address, _, digest = scorer.removeprefix(PREFIX).rpartition("@")
    file, _, function = address.rpartition(":")
    path = Path(file)
    try:
        met = _digest(path.read_bytes())
        if met != digest:
            raise StageError(
                f"{path} was edited since its problems were loaded: its hash is {met}, theirs {digest}",
                "python -m pipeline run all --redo load",
            )
        _own[:] = [_imported(path, function)]
    except StageError:
        raise
    except Exception as error:
        raise StageError(
            f"answers cannot be checked: {path} does not load: {type(error).__name__}: {error}"[:500],
            f"python {path}",
        ) from None


def judged(text: str, gold: str | None) -> str:
    """What the user's function says of a reply: an outcome, or what is wrong with the function."""
    try:
        return outcome_of(_own[0](text, gold))
    except MemoryError:
        raise
    except Exception as error:
        given = f"the reply {text[:SHOWN]!r} and the gold {gold!r:.60}"
        return f"{BROKEN}{type(error).__name__}: {error}; it was given {given}"


def outcome_of(said: Any) -> Outcome:
    """What a user's function says: True, False, None or an outcome.

    Raises:
        TypeError: it says anything else.
    """
    try:
        return SAYS[said]
    except (KeyError, TypeError):
        raise TypeError(f"it returned {said!r:.60}, not True, False or None") from None


def fault_of(outcome: str, source: str) -> StageError | None:
    """What is wrong with the user's function, where that is what came instead of an outcome."""
    if not outcome.startswith(BROKEN):
        return None
    address = source.removeprefix(PREFIX).rpartition("@")[0]
    return StageError(
        f"the judge {address} failed: {outcome.removeprefix(BROKEN)}",
        "it is given a reply's text and the gold answer, and returns True, False, or None where it cannot tell",
    )


_own: list[Callable[[str, str | None], Any]] = []
"""The function of this process: workers of two functions are two pools."""


def _imported(path: Path, name: str) -> Callable[[str, str | None], Any]:
    sys.path.insert(0, str(path.parent))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = sys.modules[path.stem] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    function: Callable[[str, str | None], Any] = getattr(module, name)
    inspect.signature(function).bind("", None)
    return function


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:DIGITS]
