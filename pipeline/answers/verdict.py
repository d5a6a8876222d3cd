"""Judge a found answer against the gold one."""

import re
from functools import lru_cache

import yaml

from pipeline.answers.canonical import is_percentage, normalise, number, tidy
from pipeline.answers.symbolic import shared_process
from pipeline.generated import Address
from pipeline.rows import Outcome, Problem

LONGEST_EXPRESSION = 500
"""Characters; a longer answer is compared as text."""
LATEX_TEXT = re.compile(r"\\(?:text|mathrm|mbox)\s*\{[^{}]*\}")
LATEX_COMMAND = re.compile(r"\\[A-Za-z]+")
FUNCTIONS = {"sin", "cos", "tan", "cot", "sec", "csc", "log", "exp", "sqrt", "abs", "min", "max", "mod", "arcsin"}


def compare(found: str | None, problem: Problem) -> Outcome:
    """Whether a found answer is right.

    Right is what is equal in canonical form, or as an expression, or has full marks from the generator's own scorer.
    Unverifiable is what has no gold answer, or one that looks like mathematics and cannot be read.

    Raises:
        StageError: a check needs a library that cannot be loaded.
    """
    if problem.scorer is not None:
        return "right" if found is not None and _scored(found, problem.scorer, problem) else "wrong"
    if problem.answer is None:
        return "unverifiable"
    if found is None:
        return "wrong"
    gold = normalise(problem.answer, problem.choices)
    if gold in _readings(found, problem):
        return "right"
    if problem.choices or not (is_expression(problem.answer) and is_expression(found)):
        return "wrong"
    if number(tidy(problem.answer)) is not None and number(tidy(found)) is not None:
        return "wrong"
    if not _parses(problem.answer):
        return "unverifiable"
    return "right" if shared_process().check("math_verify", "equal", problem.answer, found) else "wrong"


def is_expression(text: str) -> bool:
    """Whether a text looks like mathematics: digits, operators or LaTeX, and no words but names of functions."""
    if len(text) > LONGEST_EXPRESSION or not re.search(r"\d|\\[A-Za-z]|[+*/^=<>]|\w\(", text):
        return False
    words = re.findall(r"[^\W\d_]{3,}", LATEX_COMMAND.sub(" ", LATEX_TEXT.sub(" ", text)).lower())
    return set(words) <= FUNCTIONS


def _readings(found: str, problem: Problem) -> set[str]:
    """The answer in canonical form; "50 %" is read as 50 too where the gold answer has no percent sign."""
    readings = {normalise(found, problem.choices)}
    if problem.answer is not None and is_percentage(found) and not is_percentage(problem.answer):
        readings.add(normalise(re.sub(r"\\?%|percent(?:age)?", "", found, flags=re.IGNORECASE), problem.choices))
    return readings


def _scored(found: str, scorer: str, problem: Problem) -> bool:
    """Whether the scorer gives full marks; it minds case and final points, which are not what was asked."""
    if problem.answer is not None and tidy(found) == tidy(problem.answer):
        return True
    address = Address.of(scorer)
    parameters = yaml.safe_dump(dict(address.parameters))
    entry = {"question": problem.question, "answer": problem.answer, "metadata": problem.metadata}
    return bool(shared_process().check("reasoning_gym", "score", address.name, parameters, found, entry))


@lru_cache(maxsize=4096)
def _parses(gold: str) -> bool:
    return bool(shared_process().check("math_verify", "parses", gold))
