"""What stands around a number and makes it another value, or none: bases, operators, comparisons, signs."""

import re

from pipeline.answers.values.spelled import FIRST, PARTS

GOES_ON = re.compile(
    r"_\{?\d|['’]\s?\d|\s+\d|,?\s*(?:with\s+(?:a\s+)?)?(?:r|rem|remainder)\.?\s*(?:of\s+)?\d"
    rf"|,?\s+and\s+(?:an?|one|two|three)[\s-]+(?:{'|'.join(PARTS)})s?\b"
    r"|\s+(?:squared|cubed)\b(?!\s+(?:inch|f[eo]{2}t|yard|mile|[a-z]*met))|\s+to\s+the\s+(?:power|\w+\s+power)\b"
    rf"|\s+(?:times|plus|minus|over|(?:multiplied|divided)\s+by|(?:more|less|fewer)\s+than)\s+[$€£(]*(?:\d|{FIRST})"
    r"|\s+or\s+(?:more|less|fewer)\b",
    re.IGNORECASE,
)
"""After a number: its base, a second number beside it, or what is done with it."""
COMPARED = re.compile(
    r"(?:\b(?:at\s+(?:least|most)|over|under|above|below|beyond|up\s+to|(?:minim|maxim)um\s+of)\s+"
    r"|(?:[<>≤≥]=?|\\(?:geq?|leq?|gt|lt|geqslant|leqslant)(?![a-z]))\s*)[$€£(]*\Z",
    re.IGNORECASE,
)
"""Before a number that is only a bound of the answer."""
NEGATIVE = re.compile(
    r"(\A[\s*_$(]*|[=:(]\s*|\b(?:is|was|equals|exactly)\s+)(?:negative|minus)\s+(?=[$€£]?\.?\d)", re.IGNORECASE
)
REJECTED = re.compile(
    r"(?:\s+[^\W\d]+)?\s+(?:(?:is|was)(?:\s+not|n['’]t)|can(?:not|\s+not|['’]t)\s+be)\s+(?:the|my|our)\s+(?:\w+\s+)?answer",
    re.IGNORECASE,
)
"""After a number that is not the answer."""
ASKED = re.compile(r"[^.!?]*\?\W*\Z")
"""After a number in a question at the end of a text."""
GROUPED = re.compile(r"[(\[{]\s*\d{1,3}(?:,\d{3})+\s*\\?[)\]}]")
"""A number with commas alone in brackets may as well be a tuple or a set."""


def signed(text: str) -> str:
    """The text with a sign for the word before a number."""
    return NEGATIVE.sub(r"\1-", text)
