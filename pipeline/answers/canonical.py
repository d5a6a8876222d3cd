r"""The canonical text of a final answer: two answers are the same exactly where these texts are equal.

Pure and fast: no time limit and no symbolic algebra, so a vote does not depend on the machine. Numbers are exact.

    "16"  "016"  "16.0"  "$16"  "16 dollars"  "\boxed{16}"  "8 * 2"  "x = 16"    ->  "16"
    "1/2"  "0.5"  "50 %"  "\frac{1}{2}"                                          ->  "1/2"
    "(B)"  "b"  "B) neck"  "neck", with the choices ("jewelry store", "neck")    ->  "b"
    "George  Washington."  "**george washington**"                               ->  "george washington"
    "yes"  "True"                                                                ->  "yes"
"""

import ast
import operator
import re
from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache
from itertools import accumulate

LETTERS = "abcdefghijklmnopqrstuvwxyz"
LONGEST = 1000
"""Characters; a longer answer is compared as it stands, casefolded."""
LONGEST_SUM = 200
"""Characters of arithmetic that are worked out."""
NESTED = 4
"""LaTeX commands within each other that are taken away."""

SYMBOLS = str.maketrans("−–×·÷⁄’‘“”\xa0", "--**//''\"\" ")
LATEX = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"\\(?:text|textbf|mathrm|mathbf|mbox|operatorname)\s*\{([^{}]*)\}", r" \1 "),
        (r"(\d)\s*\\[dt]?frac\s*\{(\d+)\}\s*\{(\d+)\}", r"\1 \2/\3"),
        (r"\\[dt]?frac\s*\{(\d+)\}\s*\{(\d+)\}", r"\1/\2"),
        (r"\\[dt]?frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}", r"(\1)/(\2)"),
        (r"\\(?:times|cdot)(?![a-z])", "*"),
        (r"\\div(?![a-z])", "/"),
        (r"\{,\}", ","),
        (r"\\(?:left|right|displaystyle)(?![a-z])|\\[,!;: ]|\^?\{?\\circ\}?|°", ""),
        (r"\\+([$%#&])", r"\1"),
        (r"\\boxed\s*\{([^{}]*)\}", r" \1 "),
    )
)

OUTER = " .,;:!?\"'`*_$"
PLAIN = r"(?:(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?|\.\d+)(?:e[-+]?\d{1,3})?"
NO_UNIT = r"(?:am|pm|ad|bc|ce|bce|pi|or|and|to|not|mod|sqrt|sin|cos|tan|log|ln|exp|halves|thirds|fourths|fifths)\b"
UNIT = r"[a-z]{2,}\.?(?:[ /-](?:[a-z]{2,}|[ahs])\.?){0,3}(?:\s?\^?\{?[23²³]\}?)?"
QUANTITY = re.compile(
    rf"(?P<sign>[-+]?)\s?[$€£¥₹]?\s?(?:(?P<whole>\d+) (?=\d+/\d))?(?P<value>\d+\s?/\s?\d+|{PLAIN})"
    r"\s?(?P<scale>%|(?:percent(?:age)?|dozen|hundred|thousand|million|billion|trillion)\b)?"
    rf"\s?[€$£]?(?:[\s-]?(?!{NO_UNIT}){UNIT})?"
)
PERCENT = {"%", "percent", "percentage"}
SCALES = {
    **dict.fromkeys(PERCENT, Fraction(1, 100)),
    "dozen": Fraction(12),
    "hundred": Fraction(10**2),
    "thousand": Fraction(10**3),
    "million": Fraction(10**6),
    "billion": Fraction(10**9),
    "trillion": Fraction(10**12),
}
ARITHMETIC = re.compile(r"[\d\s.,+\-*/()]*\d[\d\s.,+\-*/()]*", re.ASCII)
NOT_ARITHMETIC = re.compile(r"\d-\d+(?:-|$)|\d/\d+/\d|\*\s*\*|/\s*/|\d\s+[\d.]")
"""Ranges and dates, powers and floor division, and numbers that stand side by side."""
OPERATORS: dict[type[ast.AST], Callable[[Fraction, Fraction], Fraction]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
ASSIGNED = re.compile(r"(?:[a-z]\w{0,2} ?|[\d\s.,+\-*/()$]+)=([^=]+)")
LETTERED = re.compile(r"(?:(?:option|choice|answer)\s+)?(?:\(([a-z])\)|([a-z])(?:\)|[.:](?=\s|$)|$))")
POLAR = {"true": "yes", "false": "no"}


def normalise(answer: str, choices: tuple[str, ...] = ()) -> str:
    """Canonical text of an answer.

    Args:
        answer: as it was found or given.
        choices: the options of a multiple-choice question; an answer that names one of them, by its letter or by its
            text, becomes the letter.
    """
    letter = option(answer, choices)
    if letter is not None:
        return letter
    text = tidy(answer)
    value = number(text)
    if value is not None:
        return str(value)
    return text if choices else POLAR.get(text, text)


def option(answer: str, choices: tuple[str, ...]) -> str | None:
    """The lower-case letter of the option that an answer names; None where it names none.

    Of options with the same text the first stands for all.
    """
    if not choices:
        return None
    letters, known = LETTERS[: len(choices)], _option_texts(choices)
    lettered = LETTERED.match(_plain(answer).strip(OUTER))
    letter = lettered and (lettered[1] or lettered[2])
    if letter and letter in letters:
        return letters[known.index(known[letters.index(letter)])]
    text = normalise(answer)
    if text in known:
        return letters[known.index(text)]
    first, _, rest = text.partition(" ")
    if len(first) == 1 and first in letters and known[letters.index(first)] == normalise(rest):
        return first
    return None


def tidy(answer: str) -> str:
    """Casefolded, plain symbols for typographic and simple LaTeX ones, without outer punctuation."""
    text, before = _plain(answer), ""
    while text != before and len(text) <= LONGEST:
        before = text
        text = _without_brackets(_stripped(text))
    return text


def number(text: str) -> Fraction | None:
    """The exact value of a tidy text: a number with or without its unit, or arithmetic; None for anything else."""
    if len(text) > LONGEST:
        return None
    assigned = ASSIGNED.fullmatch(text)
    if assigned:
        text = tidy(assigned[1])
    try:
        quantity = _quantity(text)
        return quantity if quantity is not None else _worked_out(text)
    except (ArithmeticError, ValueError, SyntaxError, RecursionError, MemoryError):
        return None


def is_percentage(text: str) -> bool:
    """Whether a text is a number of per cent."""
    quantity = QUANTITY.fullmatch(tidy(text))
    return quantity is not None and quantity["scale"] in PERCENT


def _plain(answer: str) -> str:
    text = " ".join(answer.translate(SYMBOLS).casefold().split())
    before, rounds = "", 0
    while text != before and rounds < NESTED and any(mark in text for mark in "\\{°"):
        before, rounds = text, rounds + 1
        for pattern, replacement in LATEX:
            text = pattern.sub(replacement, text)
    return re.sub(r"\s*,\s+", ", ", " ".join(text.split()))


def _stripped(text: str) -> str:
    """Without outer punctuation; the point of ".5" belongs to the number."""
    text = text.rstrip(OUTER)
    inner = text.lstrip(OUTER)
    return "." + inner if inner[:1].isdigit() and text.removesuffix(inner).endswith(".") else inner


def _without_brackets(text: str) -> str:
    """Without the brackets around all of it, but for those that may mean a tuple, an interval or a set."""
    if "," in text and not re.fullmatch(PLAIN, text[1:-1]):
        return text
    if text[:1] + text[-1:] in ("()", "[]", "{}"):
        depths = accumulate((char == text[0]) - (char == text[-1]) for char in text[1:-1])
        return text[1:-1] if min(depths, default=0) >= 0 else text
    if text[-1:] in (")", "]", "}") and not set("([{") & set(text):
        return text[:-1]
    if text[:1] in ("(", "[", "{") and not set(")]}") & set(text):
        return text[1:]
    return text


def _quantity(text: str) -> Fraction | None:
    quantity = QUANTITY.fullmatch(text)
    if quantity is None:
        return None
    value = int(quantity["whole"] or 0) + Fraction(re.sub(r"[,\s]", "", quantity["value"]))
    return value * SCALES.get(quantity["scale"] or "", Fraction(1)) * (-1 if quantity["sign"] == "-" else 1)


def _worked_out(text: str) -> Fraction | None:
    """The value of plain arithmetic; the text is parsed, never evaluated."""
    if len(text) > LONGEST_SUM or not ARITHMETIC.fullmatch(text) or NOT_ARITHMETIC.search(text):
        return None
    digits = re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", text)
    digits = re.sub(r"(?<![\d.])0+(?=\d)", "", digits).strip()
    return _value(ast.parse(digits, mode="eval").body, digits)


def _value(node: ast.expr, text: str) -> Fraction:
    if isinstance(node, ast.Constant):
        return Fraction(text[node.col_offset : node.end_col_offset])
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_value(node.operand, text)
    if isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
        return OPERATORS[type(node.op)](_value(node.left, text), _value(node.right, text))
    raise ValueError("not arithmetic")


@lru_cache(maxsize=4096)
def _option_texts(choices: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(map(normalise, choices))
