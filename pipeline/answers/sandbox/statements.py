"""Statements that test a program, cut in two: what the program is asked, and what its answers are compared with.

    assert f(2) == 4                  asked: f(2)         compared: it == 4
    assert abs(f(2) - 4.0) < 1e-6     asked: f(2)         compared: abs(it - 4.0) < 1e-6
    assert sorted(f("b a")) == [1]    asked: sorted(...)  compared: it == [1]

Programs are run beside the first half only. So a program that prints what it likes, ends when it likes, changes the
interpreter or returns objects that are equal to everything can claim values, and only the right ones pass.

Differs human-eval and its kin run the whole statement in the program's own interpreter and believe that nothing was
        raised. What cannot be cut stays so here too: a comparison inside a comprehension, an `or`, a helper function or
        a method of unittest is made beside the program, and only its truth is claimed.
"""

import ast
import builtins
import sys
import warnings
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from pipeline.answers.sandbox.inside import CLAIMED

BUILTIN = frozenset(dir(builtins))
OF_OBJECTS = frozenset({"filter", "getattr", "hasattr", "isinstance", "map", "next"})
"""Functions that want an object of the program, not a value that a copy can stand for."""


class Halves(NamedTuple):
    """What is asked of the program, and what it is compared with."""

    statements: list[str]
    """The tests, in each assertion the values asked for instead of the comparison."""
    imports: list[str]
    """Of the standard library, as far as the tests make them."""
    checks: list[str]
    """One a claim, by its number."""


def cut(tests: Sequence[str]) -> Halves | None:
    """Both halves of statements that run one after another in one namespace; None where they cannot be parsed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "\d" in somebody's test
            trees = [ast.parse(test) for test in tests]
            imports = [statement for tree in trees for statement in _imports(tree)]
            bound = {name for tree in trees for name in _bound(tree)}
            imported = {_name(alias) for statement in imports for alias in statement.names} - bound
            cutter = _Cutter(imported, BUILTIN - bound)
            statements = [ast.unparse(ast.fix_missing_locations(cutter.visit(tree))) for tree in trees]
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    return Halves(statements, [ast.unparse(statement) for statement in imports], cutter.checks)


class _Cutter(ast.NodeTransformer):
    """Puts claims in the place of assertions and keeps what they are compared with."""

    def __init__(self, imported: set[str], builtin: frozenset[str]) -> None:
        self.imported = imported
        self.builtin = builtin
        self.checks: list[str] = []

    def visit_Assert(self, node: ast.Assert) -> list[ast.stmt]:
        match node.test:
            case ast.BoolOp(ast.And(), parts):
                return [self._claim(part) for part in parts]
        return [self._claim(node.test)]

    def _claim(self, test: ast.expr) -> ast.stmt:
        known = self.imported | self.builtin
        if _is_known(test, known):
            known = self.imported  # a program may be asked for its own `sum`
        if _is_known(test, known) or any(isinstance(n, ast.NamedExpr | ast.Await | ast.Yield) for n in ast.walk(test)):
            return ast.Assert(test)
        judge = _Judge(known)
        self.checks.append(ast.unparse(ast.fix_missing_locations(ast.Assert(judge.visit(test)))))
        arguments = [ast.Constant(len(self.checks) - 1), ast.Tuple(judge.asked, ast.Load())]
        return ast.Expr(ast.Call(ast.Name(CLAIMED, ast.Load()), arguments, []))


class _Judge(ast.NodeTransformer):
    """Takes an expression apart as far as its parts are known without the program; the others are asked for."""

    def __init__(self, known: set[str]) -> None:
        self.known = known
        self.asked: list[ast.expr] = []

    def visit(self, node: ast.AST) -> Any:
        if isinstance(node, ast.keyword) or (isinstance(node, ast.expr) and self._comes_apart(node)):
            return self.generic_visit(node)
        if not isinstance(node, ast.expr) or _is_known(node, self.known):
            return node
        self.asked.append(node)
        return ast.Subscript(ast.Name(CLAIMED, ast.Load()), ast.Constant(len(self.asked) - 1), ast.Load())

    def _comes_apart(self, node: ast.expr) -> bool:
        parts: list[ast.expr] = []
        match node:
            case ast.Compare(left, operators, others):
                if not any(isinstance(operator, ast.Is | ast.IsNot) for operator in operators):
                    return not _is_known(node, self.known)
                parts = [left, *others]
            case ast.BinOp(left, _, right):
                parts = [left, right]
            case ast.Call(ast.Name(name)) if name in OF_OBJECTS:
                return False
            case ast.Call(function, arguments, keywords) if _is_known(function, self.known):
                parts = [*arguments, *(keyword.value for keyword in keywords)]
        if any(isinstance(part, ast.Starred) for part in parts) or _is_known(node, self.known):
            return False
        return any(_is_known(part, self.known) or self._comes_apart(part) for part in parts)


def _is_known(node: ast.AST, known: Iterable[str]) -> bool:
    """Whether all names in it are known or its own, as the variable of a comprehension is."""
    used = {part.id for part in ast.walk(node) if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Load)}
    return used <= {*known, *_bound(node)}


def _bound(node: ast.AST) -> set[str]:
    """Names that are given a value in it, imports aside."""
    found = set()
    for part in ast.walk(node):
        match part:
            case ast.Name(name, ast.Store() | ast.Del()) | ast.arg(name):
                found.add(name)
            case ast.FunctionDef(name) | ast.AsyncFunctionDef(name) | ast.ClassDef(name):
                found.add(name)
    return found


def _imports(tree: ast.Module) -> list[ast.Import | ast.ImportFrom]:
    return [part for part in ast.walk(tree) if isinstance(part, ast.Import | ast.ImportFrom) and _is_standard(part)]


def _is_standard(statement: ast.Import | ast.ImportFrom) -> bool:
    modules = [alias.name for alias in statement.names] if isinstance(statement, ast.Import) else [statement.module]
    names = [alias.name for alias in statement.names]
    roots = {(module or "").partition(".")[0] for module in modules}
    return roots <= sys.stdlib_module_names - {"__future__"} and "*" not in names


def _name(alias: ast.alias) -> str:
    return alias.asname or alias.name.partition(".")[0]
