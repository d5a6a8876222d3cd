r"""The canonical text of a final answer: two answers are the same exactly where these texts are equal.

Pure and fast: no time limit and no symbolic algebra, so a vote does not depend on the machine. Numbers are exact.

    "16"  "016"  "16.0"  "$16"  "16 dollars"  "\boxed{16}"  "8 * 2"  "x = 16"    ->  "16"
    "1/2"  "0.5"  "50 %"  "\frac{1}{2}"                                          ->  "1/2"
    "(B)"  "b"  "B) neck"  "neck", with the choices ("jewelry store", "neck")    ->  "b"
    "George  Washington."  "**george washington**"                               ->  "george washington"
    "7 Eleven"  "7-Eleven"                                                       ->  "7_eleven"
    "May 4, 2021"  "2021-05-04"                                                  ->  "2021-05-04"
    "{2, 1}"  "\{1, 2\}"                                                       ->  "{1, 2}"
    "yes"  "True"                                                                ->  "yes"
"""

import ast
import operator
import re
from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache
from itertools import accumulate

from pipeline.answers.values.dates import canonical_date
from pipeline.answers.values.measures import KNOWN
from pipeline.answers.values.spelled import value_in_words

LETTERS = "abcdefghijklmnopqrstuvwxyz"
LONGEST = 1000
"""Characters; a longer answer is compared as it stands, casefolded."""
SHORT = 100
"""Characters; the texts of shorter answers are remembered, as most of them come again."""
LONGEST_SUM = 200
"""Characters of arithmetic that are worked out."""
ROUNDS = 200
"""LaTeX commands within each other that are taken away; no text of the longest length holds more."""

HALVES = {"½": " 1/2", "¼": " 1/4", "¾": " 3/4", "⅓": " 1/3", "⅔": " 2/3"}
SYMBOLS = str.maketrans(dict(zip("−–×·÷⁄’‘“”\xa0", "--**//''\"\" ", strict=True)) | HALVES)
LATEX = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"\\(?:text(?:bf|it|rm|sf)?|math(?:rm|bf|it|sf)|mbox|operatorname)\s*\{([^{}]*)\}", r" \1 "),
        (r"\\[dt]?frac\s*(\d)", r"\\frac{\1}"),
        (r"\\[dt]?frac\s*(\{\d+\})\s*(\d)", r"\\frac\1{\2}"),
        (r"(\d)\s*\\[dt]?frac\s*\{(\d+)\}\s*\{(\d+)\}", r"\1 \2/\3"),
        (r"\\[dt]?frac\s*\{(\d+)\}\s*\{(\d+)\}", r"\1/\2"),
        (r"\\[dt]?frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}", r"(\1)/(\2)"),
        (r"\\(?:times|cdot)(?![a-z])", "*"),
        (r"\\div(?![a-z])", "/"),
        (r"(?<=\d) ?(?:\{ ?, ?\}|, ?\\!) ?(?=\d{3}(?!\d))", ","),
        (r"\\(?:left|right|displaystyle)(?![a-z])|\\[,!;: ()\[\]]|\^?\{?\\circ\}?|°|\\degree(?![a-z])", ""),
        (r"~", " "),
        (r"\\+([$%#&])", r"\1"),
        (r"\\boxed\s*\{([^{}]*)\}", r" \1 "),
    )
)

GROUP_MARK = re.compile(r"(?<=\d)'(?=\d{3}(?!\d))")
BETWEEN = re.compile(r"(?<=\d) ?(:) ?(?=\d)")
"""Of a ratio."""
DIGIT = re.compile(r"\d")
BRACKETS = "()[]{}<> "
"""An answer of nothing else is what was asked for."""
OUTER = " .,;:!?\"'`*_$"
PLAIN = r"(?:(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?|\.\d+)(?:e[-+]?\d{1,3})?"
NO_UNIT = (
    r"(?:am|pm|ad|bc|ce|bce|pi|or|and|to|not|mod|sqrt|sin|cos|tan|log|ln|exp|halves|thirds|fourths|fifths"
    r"|(?:squared|cubed)(?! \w))\b"
)
UNIT = (
    r"(?:(?<=\s)[cfgklmsh](?![a-z])|an?(?=\s[a-z])|[a-z]{2,})\.?"
    r"(?:[ /-](?:[a-z]{2,}|[ahms])\.?){0,3}(?:\s?\^\s?\{?[23]\}?|[23]|\s?[²³])?"
)
QUANTITY = re.compile(
    r"(?P<sign>[-+]?)\s?(?:us|usd|eur|rs\.?)?\s?[$€£¥₹]?\s?(?:(?P<whole>\d+) (?:and )?(?=\d+\s?/\s?\d))?"
    rf"(?P<value>\d+\s?/\s?\d+|{PLAIN})"
    r"\s?(?P<scale>%|(?:percent(?:age)?|dozen|hundred|thousand|million|billion|trillion|mn|bn|tn)\b)?"
    rf"\s?[€$£]?(?:[\s-]?(?!{NO_UNIT}){UNIT})?"
)
PERCENT = {"%", "percent", "percentage"}
POWERS = {"hundred": 2, "thousand": 3, "million": 6, "mn": 6, "billion": 9, "bn": 9, "trillion": 12, "tn": 12}
SCALES = {
    **dict.fromkeys(PERCENT, Fraction(1, 100)),
    "dozen": Fraction(12),
    **{word: Fraction(10**power) for word, power in POWERS.items()},
}
SCIENTIFIC = re.compile(rf"(-?{PLAIN}) ?[*x] ?10 ?(?:\^|\*\*) ?[{{(]?([-+]?\d{{1,3}})[)}}]?")
ARITHMETIC = re.compile(r"[\d\s.,+\-*/()]*\d[\d\s.,+\-*/()]*", re.ASCII)
NOT_ARITHMETIC = re.compile(r"\d-\d+(?:-|$)|\d/\d+/\d|\*\s*\*|/\s*/|\d\s+[\d.]|^[(\[]\d{1,3}(?:,\d{3})+[)\]]$")
"""Ranges and dates, powers and floor division, and numbers that stand side by side."""
OPERATORS: dict[type[ast.AST], Callable[[Fraction, Fraction], Fraction]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
ASSIGNED = re.compile(r"(?:[a-z]\w{0,2} ?|[\d\s.,+\-*/()$]+)=([^=]+)")
LETTERED = re.compile(r"(?:(?:option|choice|answer)\s+)?(?:\(([a-z])\)|([a-z])(?:\)|[.:](?=\s|$)|$))")
NAMED = re.compile(r"\W*\d[\d,.]*[\s-]([A-Z][a-z]+)\b")
"""A number with a word that may be a part of its name ("7 Eleven"), unless it is a unit ("7 Hours")."""
POLAR = {"true": "yes", "false": "no"}


def normalise(answer: str, choices: tuple[str, ...] = ()) -> str:
    """Canonical text of an answer.

    Args:
        answer: as it was found or given.
        choices: the options of a multiple-choice question; an answer that names one of them, by its letter or by its
            text, becomes the letter.
    """
    return _remembered(answer, choices) if len(answer) <= SHORT else _normalised(answer, choices)


def _normalised(answer: str, choices: tuple[str, ...]) -> str:
    letter = option(answer, choices) if choices else None
    if letter is not None:
        return letter
    text = tidy(answer)
    if is_name(answer):
        return canonical_date(text) or re.sub(r"[\s-]", "_", text)
    value = number(text)
    if value is not None:
        return str(value)
    if not choices:
        text = POLAR.get(text) or canonical_date(text) or _canonical_set(text) or text
    return text


_remembered = lru_cache(maxsize=1 << 14)(_normalised)


def option(answer: str, choices: tuple[str, ...]) -> str | None:
    """The lower-case letter of the option that an answer names; None where it names none.

    Of options with the same text the first stands for all.
    """
    if not choices:
        return None
    letters, known = LETTERS[: len(choices)], _option_texts(choices)
    lettered = LETTERED.match(plain(answer).strip(OUTER))
    letter = lettered and (lettered[1] or lettered[2])
    if letter and letter in letters:
        return letters[known.index(known[letters.index(letter)])]
    text = normalise(answer)
    if text in known:
        return letters[known.index(text)]
    first, _, rest = text.partition(" ")
    first = first.rstrip(",:;")
    if len(first) == 1 and first in letters and known[letters.index(first)] == normalise(rest):
        return first
    return None


def tidy(answer: str) -> str:
    """Casefolded, plain symbols for typographic and simple LaTeX ones, without outer punctuation."""
    text, before = plain(answer), ""
    if _is_words(text):
        return text
    while text != before and len(text) <= LONGEST:
        before = text
        text = _without_brackets(_stripped(text))
    return text


def number(text: str) -> Fraction | None:
    """The exact value of a tidy text: a number with its unit or without, or arithmetic; None for any other."""
    if len(text) > LONGEST:
        return None
    if not DIGIT.search(text):
        return value_in_words(text)
    assigned = ASSIGNED.fullmatch(text)
    if assigned:
        text = tidy(assigned[1])
    try:
        quantity = _quantity(text)
        return quantity if quantity is not None else _worked_out(text)
    except (ArithmeticError, ValueError, SyntaxError, RecursionError, MemoryError):
        return None


def value_of(answer: str) -> Fraction | None:
    """The exact value of an answer that is a number, with or without its unit, or arithmetic; None for any other."""
    return _remembered_value(answer) if len(answer) <= SHORT else number(tidy(answer))


_remembered_value = lru_cache(maxsize=1 << 14)(lambda answer: number(tidy(answer)))


def is_percentage(text: str) -> bool:
    """Whether a text is a number of per cent."""
    quantity = QUANTITY.fullmatch(tidy(text))
    return quantity is not None and quantity["scale"] in PERCENT


def is_name(answer: str) -> bool:
    """Whether a number is a part of a name: a capitalised word that is no known unit follows it."""
    named = NAMED.match(answer) if len(answer) <= SHORT else None
    return named is not None and named[1].lower() not in KNOWN and named[1].lower() not in SCALES


def _canonical_set(text: str) -> str | None:
    if not text.startswith(("{", "\\{")):
        return None
    # imported here, since it imports this module
    from pipeline.answers.values.lists import canonical_set

    return canonical_set(text)


def _is_words(text: str) -> bool:
    """Whether a text holds nothing but plain words, as most options do: there is nothing to tidy or work out."""
    return text.isascii() and text.replace(" ", "").isalpha()


def plain(answer: str) -> str:
    """Casefolded, with plain symbols for typographic and simple LaTeX ones."""
    if _is_words(answer):
        return " ".join(answer.lower().split())
    text = " ".join(GROUP_MARK.sub(",", answer.translate(SYMBOLS)).casefold().split())
    before, rounds = "", 0
    while text != before and rounds < ROUNDS and len(text) <= LONGEST and any(mark in text for mark in "\\{°"):
        before, rounds = text, rounds + 1
        for pattern, replacement in LATEX:
            text = pattern.sub(replacement, text)
    return BETWEEN.sub(r"\1", re.sub(r" ?, ", ", ", " ".join(text.split())))


def _stripped(text: str) -> str:
    """Without outer punctuation; the point of ".5" belongs to the number."""
    text, end = text.rstrip(OUTER), text[len(text.rstrip(OUTER)) :]
    text += "!" if end.startswith("!") and text[-1:].isdigit() else ""
    inner = text.lstrip(OUTER)
    return "." + inner if inner[:1].isdigit() and text.removesuffix(inner).endswith(".") else inner


def _without_brackets(text: str) -> str:
    """Without the brackets around all of it, but for those that may mean a tuple, an interval or a set."""
    if "," in text:
        return text
    if not text.strip(BRACKETS):
        return text.replace(" ", "")
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
        return _scientific(text)
    value = int(quantity["whole"] or 0) + Fraction(re.sub(r"[,\s]", "", quantity["value"]))
    return value * SCALES.get(quantity["scale"] or "", Fraction(1)) * (-1 if quantity["sign"] == "-" else 1)


def _scientific(text: str) -> Fraction | None:
    scientific = SCIENTIFIC.fullmatch(text) if "10" in text else None
    return Fraction(scientific[1].replace(",", "")) * Fraction(10) ** int(scientific[2]) if scientific else None


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


def may_be_lettered(choices: tuple[str, ...]) -> bool:
    """Whether letters may stand before the options ("A) neck")."""
    return choices[0].lstrip(" (").startswith(("A", "a"))


@lru_cache(maxsize=4096)
def _option_texts(choices: tuple[str, ...]) -> tuple[str, ...]:
    """Canonical texts of the options, without the letters that may stand before them."""
    if not may_be_lettered(choices):
        return tuple(map(normalise, choices))
    labelled = [re.match(r"\s*\(?([A-Za-z])[).:]\s*(?=\S)", choice) for choice in choices]
    letters = [label[1].lower() if label else "" for label in labelled]
    if letters != list(LETTERS[: len(choices)]):
        return tuple(map(normalise, choices))
    return tuple(normalise(choice[label.end() :]) for choice, label in zip(choices, labelled, strict=True) if label)
