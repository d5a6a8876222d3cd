"""The program that makes symbolic checks: reads one JSON question a line, writes one JSON answer a line.

It runs on its own and imports nothing of the pipeline. Its parent holds it to a time limit and kills it. Texts come
from a model, and sympy and some scorers would evaluate them as Python, so what they evaluate is worked out here by
`evaluate`, which knows numbers, lists, operators and sympy's own classes, and nothing else.
"""

import ast
import importlib
import json
import logging
import operator
import os
import re
import resource
import signal
import sys
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

MEMORY_BYTES = 4 << 30
ORPHAN_SECONDS = 30
"""A check that still runs then has lost its parent."""

NAMES = re.compile(r"(?<![\\A-Za-z])(sin|cos|tan|cot|sec|csc|log|ln|exp|pi)(?![A-Za-z])")
"""Written without a backslash they would be read as products of letters."""
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


def load(library: str) -> bool:
    """Import what later checks need, with our evaluation in the place of Python's."""
    from sympy.parsing import sympy_parser

    sympy_parser.eval_expr = lambda code, local_names, global_names: evaluate(code, local_names, global_names)
    importlib.import_module(library)
    return True


def parses(gold: str) -> bool:
    """Whether a gold answer can be read as an expression."""
    return bool(_expressions(gold))


def equal(gold: str, found: str) -> bool:
    """Whether two answers are the same expression."""
    from math_verify import verify

    # Its own time limits are signals, which lie in threads; the parent's limit holds.
    return bool(verify(_expressions(gold), _expressions(found), timeout_seconds=None))


def score(name: str, parameters: str, found: str, entry: dict[str, Any]) -> bool:
    """Whether the scorer of a generated data set, with its parameters as YAML, gives an answer full marks."""
    scorer = _scorer(name, parameters)
    # JSON knows no tuples, and some scorers compare with them.
    return any(scorer.score_answer(found, form) >= 1 for form in (entry, _tuples(entry)))


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


CHECKS: dict[str, Callable[..., bool]] = {"load": load, "parses": parses, "equal": equal, "score": score}


def answer(line: str) -> dict[str, Any]:
    """Answer one question; a check that fails on its input is a no."""
    name, *arguments = json.loads(line)
    try:
        return {"value": CHECKS[name](*arguments)}
    except Exception as error:
        return {"value": False, "error": f"{type(error).__name__}: {error}"[:300]}


def main() -> None:
    """Answer questions until there are no more."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints is no answer
    logging.disable()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    for line in sys.stdin:
        signal.alarm(ORPHAN_SECONDS if '"load"' not in line else 0)
        print(json.dumps(answer(line)), file=answers, flush=True)
        signal.alarm(0)


if __name__ == "__main__":
    main()
