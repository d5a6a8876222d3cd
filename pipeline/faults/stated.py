"""Answers stated in the wrong place, or more than one of them."""

import re

from pipeline.answers import find, normalise, split
from pipeline.faults.form import words
from pipeline.rows import Solution

LEAST_WORDS = 8
"""Words after an answer from which they are reasons, no farewell."""
MOST_STATEMENTS = 8
"""So many statements of one text are compared, the last ones."""

FIRST = re.compile(r"\A\s*[^\n]*?(?:(?<=[.!?])(?=\s)|\n|\Z)")
HEADING = re.compile(r"\A\s*[#*_ ]*(?:the )?(?:final |correct )?answer[ :*_]*\n+[^\n]*", re.IGNORECASE)
BARE = re.compile(
    r"[\s*_#]*(?:\([A-Za-z]\)|[A-Za-z][).:*]|(?:yes|no|true|false)\b|[$€£]?[-+]?[\d.,/]*\d[%*.\s]*\Z)", re.IGNORECASE
)
"""An answer that stands by itself: an option's letter, yes or no, a number."""
PREMISE = re.compile(r"\banswer (?:should|must) be\b", re.IGNORECASE)
"""What is looked for is no answer yet: `the answer must be a place where trees grow`."""


def answer_before_reasoning(row: Solution) -> str | None:
    """The final answer stands first, and what follows defends it; thoughts come before both."""
    if row.found is None or row.thoughts:
        return None
    text = row.text.lstrip()
    first = (HEADING.match(text) or FIRST.match(text) or [""])[0]
    after = words(text[len(first) :])
    if after < LEAST_WORDS or PREMISE.search(first) or not (BARE.match(first) or split(first)[1] is not None):
        return None
    stated = find(first, row.problem)
    if stated is None or normalise(stated, row.problem.choices) != normalise(row.found, row.problem.choices):
        return None
    return f"the answer stands first, {after} words of reasoning after it; before it wanted"


def several_answers(row: Solution) -> str | None:
    """The text states different final answers; thoughts may change their mind."""
    stated: list[str] = []
    rationale, statement = split(row.text)
    for _ in range(MOST_STATEMENTS):
        if statement is None:
            break
        answer = None if PREMISE.search(statement) else find(statement, row.problem)
        if answer is not None:
            stated.append(normalise(answer, row.problem.choices))
            if not _agree(stated[0], stated[-1]):
                return f"states {stated[-1][:40]!r} and {stated[0][:40]!r} as final answers, one wanted"
        rationale, statement = split(rationale)
    return None


def _agree(one: str, other: str) -> bool:
    """They are the same, or one says more: `5` and `5 apples`."""
    fewer, more = sorted((set(one.split()), set(other.split())), key=len)
    return fewer <= more
