"""What kind of answer a problem asks for: named by the user, or seen from the gold answer."""

import re
from functools import lru_cache

from pipeline.answers.canonical import LETTERS, is_name, normalise, value_of
from pipeline.answers.values.dates import meanings
from pipeline.answers.values.lists import is_list, is_set
from pipeline.rows import AnswerKind, Problem

LONGEST_EXPRESSION = 500
"""Characters; a longer answer is text."""
LATEX_TEXT = re.compile(r"\\(?:text|mathrm|mbox|begin|end)\s*\{[^{}]*\}")
LATEX_COMMAND = re.compile(r"\\[A-Za-z]+")
FUNCTIONS = {
    *("sin", "cos", "tan", "cot", "sec", "csc", "log", "ln", "exp", "pi", "sqrt", "abs", "min", "max", "mod"),
    *("arcsin", "arccos", "arctan"),
}
SMALL_WORDS = frozenset(
    ["am", "pm", "ad", "bc", "or", "to", "of", "no", "an", "at", "in", "is", "it", "on", "by", "st", "nd", "rd", "th"]
)
MATHEMATICS = re.compile(
    r"\\[A-Za-z]|[+*^=<>≤≥√π∞]|(?<![A-Za-z])\d+(?:\.\d+)?\s?(?:[a-z](?![A-Za-z\d])|pi\b|\()|[a-z]\(|\bsqrt\b"
    r"|\d\s?/\s?\d|[\d)]\s?/\s?[a-z(]|\b[a-z]\s?[-/]\s?[\da-z]\b|\d\s?-\s?[a-z]\b|\d\s-\s\d|\d!"
)
"""A LaTeX command, an operator, a coefficient, a function, a quotient or a difference."""
QUANTITY_ASKED = re.compile(
    r"\bhow\s+(?!(?:do|does|did|to|is|are|can|could|would|should)\b)[a-z]+\b|\bnumber of\b", re.IGNORECASE
)
LONE_LETTER = re.compile(r"\(([A-Za-z])\)\.?|([A-J])[.)]?")


def kind_of(problem: Problem) -> AnswerKind | None:
    """The kind of a problem's answer; None where it is not named and no gold answer shows it."""
    if problem.answer_kind is not None:
        return problem.answer_kind
    if problem.tests:
        return "code"
    if problem.choices:
        return "choice"
    if problem.answer is None:
        return None
    if len(problem.answer) <= 4 and letters_of(problem):
        return "choice"
    if is_name(problem.answer) and not QUANTITY_ASKED.search(problem.question):
        return "date" if meanings(problem.answer) else "text"
    return _shown_by(problem.answer) if len(problem.answer) <= LONGEST_EXPRESSION else "text"


def letters_of(problem: Problem) -> tuple[str, ...]:
    """Letters of the options of a problem that lists none, where its gold answer is one of them.

    They stand in the question itself; a lone capital letter, or any in brackets, is one of options not shown.
    """
    gold = (problem.answer or "").strip("() .").lower()
    if len(gold) != 1 or gold not in LETTERS:
        return ()
    letters = ""
    for letter in re.findall(r"(?:\(|(?:^|\s)(?=[a-z]\)))([a-z])\)", problem.question.lower()):
        letters = "a" if letter == "a" else letters + letter if letter == LETTERS[len(letters)] else letters
    if gold in letters:
        return tuple(letters)
    return tuple(LETTERS) if LONE_LETTER.fullmatch((problem.answer or "").strip()) else ()


def is_expression(text: str) -> bool:
    """Whether a text looks like mathematics: operators, coefficients or LaTeX, and no words but names of functions."""
    if len(text) > LONGEST_EXPRESSION:
        return False
    bare = LATEX_TEXT.sub(" ", text)
    if not re.search(r"[^\W_]|∞", text):
        return False
    if not (bare.isdigit() or "\\begin{" in text or MATHEMATICS.search(bare)):
        return False
    words = set(re.findall(r"[^\W\d_]{2,}", LATEX_COMMAND.sub(" ", bare).lower()))
    return all(word in FUNCTIONS or (len(word) == 2 and word not in SMALL_WORDS) for word in words)


@lru_cache(maxsize=1 << 14)
def _shown_by(gold: str) -> AnswerKind:
    if normalise(gold) in ("yes", "no"):
        return "yes_no"
    if value_of(gold) is not None and not re.fullmatch(r"\s*(?:\[.*\]|\\?\{.*\})\s*", gold):
        return "number"
    if "\n" in gold.strip():
        return "text"
    if meanings(gold):
        return "date"
    if is_set(gold):
        return "set"
    if is_list(gold):
        return "list"
    return "expression" if is_expression(gold) else "text"
