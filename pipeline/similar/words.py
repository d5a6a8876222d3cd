"""The words of a text, without case, marks and typography; numbers are words."""

import re
import unicodedata
from collections.abc import Iterator, Sequence, Set

from pipeline.answers.canonical import SYMBOLS
from pipeline.rows import Problem
from pipeline.sources import question_key

WORD = re.compile(
    r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?"  # 1,000 is 1000; 3,4 is two numbers
    r"|[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]"  # scripts without spaces between words
    r"|[^\W\d_]+(?:'[^\W\d_]+)*"
)
MARKS = re.compile(r'[.,;:?"](?!\d)|(?<=[^\W\d_]{2})!')
"""Of a sentence, not of a number or a formula."""

Gram = tuple[str, ...]


def tokens(text: str) -> list[str]:
    """The words as they are written, with their capitals."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text).translate(SYMBOLS)
    return [token.replace(",", "") for token in WORD.findall(text)]


def words(text: str) -> list[str]:
    """The words without case: `It's 1,000 m.` is `it's`, `1000`, `m`."""
    return [token.casefold() for token in tokens(text)]


def grams(of: Sequence[str], size: int) -> Iterator[Gram]:
    """Each `size` words that stand in a row; none of fewer words."""
    return zip(*(of[start:] for start in range(size)), strict=False)


def shingles(text: str, size: int) -> frozenset[Gram]:
    """The set of a text's grams; a text of fewer words is one shingle, one without words none."""
    spoken = words(text)
    return frozenset(grams(spoken, size)) or frozenset([tuple(spoken)] if spoken else [])


def jaccard(first: Set[object], second: Set[object]) -> float:
    """Share, 0..1, of what either holds that both hold; 1 for two empty sets."""
    shared = len(first & second)
    return shared / (len(first) + len(second) - shared) if first or second else 1.0


def plain(text: str) -> str:
    """A text without case, marks and needless spaces; the signs of a formula stay, since they are what is asked."""
    folded = unicodedata.normalize("NFKC", text).translate(SYMBOLS).casefold()
    return re.sub(r" ?([^\w ]) ?", r"\1", " ".join(MARKS.sub(" ", folded).split()))


def plain_question(problem: Problem) -> str:
    """Text that is the same for two problems that ask the same, whatever their marks and the order of their options."""
    question, *options = question_key(problem).split("\n")
    return "\n".join([plain(question), *sorted(map(plain, options))])
