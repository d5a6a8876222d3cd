"""What a worker does: checks that may hang, grow without bound or end it, one after another, each under limits.

Texts come from a model, and sympy and some scorers would evaluate them as Python, so what they evaluate is worked out
here by `evaluate`, which knows numbers, lists, operators and sympy's own classes, and nothing else.
"""

import ast
import importlib
import operator
import os
import re
import resource
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from pipeline.answers import own
from pipeline.errors import StageError
from pipeline.rows import Outcome

Check = tuple[str, Sequence[Any]]
"""A check's name and its arguments, as JSON."""

MEMORY_BYTES = 80 << 20
"""What a worker can take above what it took when it was idle and loaded; with its stack and the pages of libraries
that it touches first, it stays below 100 MB."""
TRUSTED_BYTES = 40 << 20
"""A worker that took more is ended and says nothing: libraries catch an allocation that failed, as any other error, and
go on to an answer."""
STATM = Path("/proc/self/statm")
OUT_OF_MEMORY = 12
"""Exit status of a worker that met its limit."""

NAMES = re.compile(r"(?<![\\A-Za-z])(sin|cos|tan|cot|sec|csc|log|ln|exp|pi)(?![A-Za-z])")
"""Written without a backslash they would be read as products of letters."""
WARMING = ((r"\frac{x}{2} + 1", "x + 2"), (r"\{1, \sqrt{2}\}", r"(1, \sqrt{3}]"))
"""What sympy and the parser build at their first use is built once for all workers."""
FUNCTIONS = {"sqrt", "cbrt", "root"}
"""What sympy writes as functions; all else that a name may stand for is a class or a constant of its own."""
OPERATORS: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
    ast.LShift: operator.lshift,
    ast.RShift: operator.rshift,
    ast.BitOr: operator.or_,
    ast.BitAnd: operator.and_,
    ast.BitXor: operator.xor,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Invert: operator.invert,
}


_limit_seconds, _idle_bytes = 0.0, 0


def load(library: str, source: str) -> None:
    """Import what later checks need, with our evaluation in the place of Python's.

    Args:
        library: `math_verify`, `reasoning_gym`, or `python` for a function of the user's own.
        source: that function's `python:PATH:FUNCTION@HASH`; empty for a library.

    Raises:
        StageError: it cannot be loaded.
    """
    if source:
        own.load(source)
        return
    try:
        from sympy.parsing import sympy_parser

        sympy_parser.eval_expr = lambda code, local_names, global_names: evaluate(code, local_names, global_names)
        importlib.import_module(library)
    except Exception as error:
        fault = f"{library} does not load: {type(error).__name__}: {error}"
        raise StageError(f"answers cannot be checked: {fault}", f"pip install {library}") from None
    if library == "math_verify":
        for gold, found in WARMING:
            equal(gold, found)


def begin(limit_seconds: float) -> None:
    """Set a new worker's limits, before its first check.

    Args:
        limit_seconds: processor time of one check. The clock would make a busy machine's answers others.
    """
    global _limit_seconds, _idle_bytes
    _limit_seconds, _idle_bytes = limit_seconds, _most_bytes()
    for number in (signal.SIGTERM, signal.SIGPROF):
        signal.signal(number, signal.SIG_DFL)  # ends it even where Python has no say, deep within one operation
    if STATM.exists():
        idle = int(STATM.read_text().split()[5]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_DATA, (idle + MEMORY_BYTES, idle + MEMORY_BYTES))


def checked(checks: Sequence[Check]) -> list[str]:
    """The outcomes of a chunk of checks; a check that meets a limit ends the worker."""
    return [_limited(name, arguments) for name, arguments in checks]


def _limited(name: str, arguments: Sequence[Any]) -> str:
    outcome = "unverifiable"
    signal.setitimer(signal.ITIMER_PROF, _limit_seconds)
    try:
        outcome = CHECKS[name](*arguments)
    except MemoryError:
        os._exit(OUT_OF_MEMORY)
    except Exception:
        pass
    signal.setitimer(signal.ITIMER_PROF, 0)
    if _most_bytes() - _idle_bytes > TRUSTED_BYTES:
        os._exit(OUT_OF_MEMORY)
    return outcome


def _most_bytes() -> int:
    """The most memory that this process ever held."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def equal(gold: str, found: str) -> Outcome:
    """Whether two answers are the same expression."""
    from math_verify import verify

    golden = _expressions(gold)
    if not golden:
        return "unverifiable"
    # Its own time limits are signals, which lie in threads and are caught by bare excepts; the worker's hold.
    return "right" if verify(golden, _expressions(found), timeout_seconds=None, raise_on_error=True) else "wrong"


def score(name: str, parameters: str, found: str, entry: dict[str, Any]) -> Outcome:
    """Whether the scorer of a generated data set, with its parameters as YAML, gives an answer full marks."""
    scorer = _scorer(name, parameters)
    try:
        # JSON knows no tuples, and some scorers compare with them.
        full = any(scorer.score_answer(found, form) >= 1 for form in (entry, _tuples(entry)))
    except MemoryError:
        raise
    except Exception:
        return "wrong"  # scorers take many a malformed answer for an error
    return "right" if full else "wrong"


def evaluate(code: str, *names: Mapping[str, Any]) -> Any:
    """The value of a Python expression of numbers, texts, lists, operators and calls of sympy's classes.

    Raises:
        ValueError: anything else stands in it.
    """
    return _value(ast.parse(code.strip(), mode="eval").body, names)


def _value(node: ast.AST, names: tuple[Mapping[str, Any], ...]) -> Any:
    match node:
        case ast.Constant():
            return node.value
        case ast.List() | ast.Tuple():
            values = [_value(element, names) for element in node.elts]
            return values if isinstance(node, ast.List) else tuple(values)
        case ast.UnaryOp() if type(node.op) in OPERATORS:
            return OPERATORS[type(node.op)](_value(node.operand, names))
        case ast.BinOp() if type(node.op) in OPERATORS:
            return OPERATORS[type(node.op)](_value(node.left, names), _value(node.right, names))
        case ast.Call(func=ast.Name(id=name), keywords=[]):
            return _named(name, names)(*(_value(argument, names) for argument in node.args))
        case ast.Name():
            return _named(node.id, names)
    raise ValueError(f"{type(node).__name__} is not arithmetic")


def _named(name: str, names: tuple[Mapping[str, Any], ...]) -> Any:
    from sympy import Basic

    found = next((known[name] for known in names if name in known), None)
    if isinstance(found, Basic) or (isinstance(found, type) and issubclass(found, Basic)) or name in FUNCTIONS:
        return found
    raise ValueError(f"{name!r} is not arithmetic")


@lru_cache(maxsize=64)
def _expressions(text: str) -> list[Any]:
    from math_verify import LatexExtractionConfig, parse

    latex = NAMES.sub(r"\\\1", text.strip().strip("$").replace("**", "^"))
    found: list[Any] = parse(f"${latex}$", [LatexExtractionConfig()], fallback_mode="no_fallback", parsing_timeout=None)
    return found


@lru_cache(maxsize=64)
def _scorer(name: str, parameters: str) -> Any:
    import yaml
    from reasoning_gym import create_dataset

    scorer = create_dataset(name, seed=0, size=1, **yaml.safe_load(parameters))
    vars(sys.modules[type(scorer).__module__])["eval"] = evaluate
    return scorer


def _tuples(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _tuples(part) for key, part in value.items()}
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


CHECKS: dict[str, Callable[..., str]] = {"equal": equal, "score": score, "own": own.judged}
