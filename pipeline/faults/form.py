"""Faults of a solution's form: something is missing, or it is too long."""

import re

from pipeline.rows import Solution

UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
"""Letters of the scripts that put no space between words: Thai to Khmer, kana, Chinese characters."""
WORD = re.compile(rf"[{UNSPACED}]{{1,2}}|[^\s{UNSPACED}]+")


def words(text: str) -> int:
    """Number of words in a text; where no space parts them, two characters count as one."""
    return len(text.split()) if text.isascii() else len(WORD.findall(text))


def whole(row: Solution) -> str:
    """All that the teacher wrote, thoughts first."""
    return f"{row.thoughts}\n{row.text}".strip()


def empty(row: Solution) -> str | None:
    """The teacher wrote nothing, or only thoughts."""
    if row.text.strip():
        return None
    return "no text beside the thoughts" if row.thoughts else "no text"


def no_answer(row: Solution) -> str | None:
    """No final answer was found."""
    return "no final answer was found" if row.found is None else None


def too_long(row: Solution, most: int) -> str | None:
    """Thoughts and text have more characters than that."""
    length = len(whole(row))
    return f"{length} characters, {most} wanted at most" if length > most else None


def no_reasoning(row: Solution, least: int) -> str | None:
    """Thoughts and rationale have fewer words than that."""
    count = words(f"{row.thoughts} {row.rationale}")
    return f"{count} words of reasoning, {least} wanted at least" if count < least else None
