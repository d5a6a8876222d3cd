r"""Steps of arithmetic in a text, each worked out again: those that do not hold are named.

    "48/2 = 24 clips"   "5 apples + 3 apples = 8 apples"   "<<16-3-4=9>>9"   "20% of 50 = $10"    hold
    "10/3 = 3.33"       "\frac{1}{2} \times 10 = 5"        "3 + 4 = 7 - 2 = 5", said in one go    hold
    "x + 3 = 9"         "2 dozen + 1 = 25"                 "1 hour - 20 minutes = 40 minutes"     not judged
    "12 - 5 = 8"        "2 + 3 * 4 = 20"                   "16-3-4=8 eggs"                        wrong

A result holds to the digits that it is given to. A step that is named is false: one that may mean something else (with
an unknown in it, two units of one measure, a whole number of a broken one, a part of a whole told elsewhere) is not.
"""

import re
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import product

from pipeline.answers.arithmetic import MOST_DIGITS, RELATION, Equation, Token, equations, values

MARK = re.compile(r"<<([^<>]{0,300})>>")
"""GSM8K's calculator: says once more, before the result, what stands before it."""
RELATED = re.compile(RELATION.replace("\\ ", " "))
PLAIN_STEP = re.compile(
    r"(?<![-+*/×÷^%$.,)\w])(?<![-+*/×÷^(] )\$?(\d{1,9}) ?([-+*/x×]) ?\$?(\d{1,9}) ?= ?\$?(\d{1,18})"
    r"(?![\w%/^]|[.,]\d| ?[-+*/×÷^=%])"
)
"""Two whole numbers and what they make, with nothing beside them that could change it: most steps are such."""
FLOATING = Fraction(1, 10**9)
"""Share by which a number with more digits than that may be off, as a computer's are."""
ROUNDED = Fraction(1, 20)
"""Largest share of a value by which rounding to a whole number may change it unsaid."""
NEARBY = 40
"""Characters around a step in which a word for rounding may stand; behind it half as many for its unit."""
ROUNDING = re.compile(r"round|remain|left|whole|full|complete|about|approx|nearest|at (?:most|least)|almost|nearly")
MEASURES = (
    "second sec minute min hour hr day week month year decade century",
    "inch inche foot feet yard mile centimeter millimeter meter kilometer mm cm km ft mi",
    "gram kilogram pound ounce ton milligram mg kg lb oz",
    "cup pint quart gallon ounce liter litre milliliter ml tablespoon teaspoon tbsp tsp oz",
    "$ dollar cent penny pennie nickel dime quarter buck",
)
"""Units of time, length, weight, volume and money, each without its plural s."""
CONVERSIONS = frozenset((3, 4, 7, 8, 10, 12, 16, 24, 30, 36, 52, 60, 100, 365, 1000, 3600, 5280))
"""Factors between two units of one measure."""
THOUSANDS = re.compile(r"[1-9][0-9]{0,2}(?:\.[0-9]{3})+")
"""What may be a whole number, written as in Berlin."""


def wrong_steps(text: str) -> tuple[str, ...]:
    """The steps `a op b = c` in a text that do not hold, as they stand there, each once."""
    found: dict[str, str] = {}
    for part in (MARK.sub("", text), *MARK.findall(text)):
        for step in _wrong_in(part):
            found.setdefault("".join(step.split()), step)
    return tuple(found.values())


def _wrong_in(text: str) -> Iterator[str]:
    for line in text.splitlines():
        relations = sum(1 for _ in RELATED.finditer(line))
        if relations and relations > sum(map(_holds_plainly, PLAIN_STEP.finditer(line))):
            yield from (equation.text for equation in equations(line) if _is_wrong(equation))


def _holds_plainly(step: re.Match[str]) -> bool:
    """Whether whole numbers make what is said; parsing a whole line is fifty times the work."""
    left, right, result = int(step[1]), int(step[3]), int(step[4])
    match step[2]:
        case "+":
            return left + right == result
        case "-":
            return left - right == result
        case "/":
            return right * result == left != 0
        case _:
            return left * right == result


def _is_wrong(step: Equation) -> bool:
    """Whether the two sides differ in every sense that they may have."""
    if not any(token.kind == "sign" for token in step.left[1:]):
        return False
    try:
        lefts, rights = values(step.left), _results(step.right, is_about=step.relation in ("≈", "≅", "\\approx"))
    except (ValueError, SyntaxError, ArithmeticError):
        return False
    if any(_agree(value, *result) for value, result in product(lefts, rights)):
        return False
    value, result = lefts[0], rights[0][0]
    return not (_is_rounded(step, value, result) or _is_loose(step, value, result) or _is_in_units(step, value, result))


def _results(side: Sequence[Token], is_about: bool) -> list[tuple[Fraction, Fraction]]:
    """What a right side may state, each with the worth of its last digit: its value, or its first number where one goes
    on with that (`= 7 - 2 = 5`).

    Raises:
        ValueError, SyntaxError, ArithmeticError: see `values`.
    """
    first = side[: 2 if side[0].text == "-" else 1]
    figures, _, digits = first[-1].text.rstrip("%").replace(",", "").partition(".")
    zeros = len(figures) - len(figures.rstrip("0")) if is_about and not digits else 0
    last_digit = Fraction(10**zeros, 10 ** len(digits))
    worths = [last_digit / 100, last_digit] if first[-1].text.endswith("%") else [last_digit]
    stated = list(zip(values(first), worths, strict=False))
    if len(first) == len(side):
        return stated
    return [(value, abs(value) / 100 if is_about or digits else Fraction(0)) for value in values(side)] + stated


def _agree(value: Fraction, result: Fraction, last_digit: Fraction) -> bool:
    """Whether a result is the value, rounded or cut to its last digit; a whole one only where the value has no end."""
    off = abs(value - result)
    if last_digit == 1 and 10**MOST_DIGITS % value.denominator == 0:
        return off == 0
    return off == 0 or off < last_digit or (0 < last_digit < FLOATING and off <= abs(result) * FLOATING)


def _is_rounded(step: Equation, value: Fraction, result: Fraction) -> bool:
    """Whether the result may be a whole number made of a broken one: 480 / 75 = 6 candy bars."""
    off = abs(value - result)
    if result.denominator != 1 or off >= 1:
        return False
    texts = [token.text for token in step.left]
    is_small = 2 * off < 1 and off < abs(value) * ROUNDED
    around = step.line[max(0, step.left[0].start - NEARBY) : step.right[-1].end + NEARBY]
    return (
        ROUNDING.search(around) is not None
        or (is_small and any(not text.isdigit() for text in texts[::2]))
        or (texts[1:2] == ["/"] and len(texts) == 3)
    )


def _is_loose(step: Equation, value: Fraction, result: Fraction) -> bool:
    """Whether a way of writing, true for its writer, makes the step false: a range, a part of a whole, two slashes."""
    texts = [token.text for token in step.left]
    numbers = [token.text for token in (*step.left, *step.right) if token.kind == "number"]
    is_joined = step.left[0].end == step.left[1].start
    return (
        (is_joined and texts[1:2] == ["-"] and len(texts) == 3 and value < 0 != result + value)  # weeks 1-2 = 96 - 70
        or any(pair == ("/", "/") for pair in zip(texts, texts[2:], strict=False))  # 28 / 1/5 = 140
        or 0 < abs(value) < 1 < abs(result)  # 1/4 = 20 students
        or ("%" not in numbers[-1] and all("%" in number for number in numbers[:-1]))  # 100% + 20% = 360
        or any(THOUSANDS.fullmatch(number) for number in numbers)  # 1.500 + 500 = 2.000
    )


def _is_in_units(step: Equation, value: Fraction, result: Fraction) -> bool:
    """Whether the step may be true because one measure is told in two units: 6 * 25 cents = $1.50."""
    around = step.line[step.left[0].start : step.right[-1].end + NEARBY // 2].casefold()
    words = {word.removesuffix("s") for word in re.findall(r"[a-z]+|\$", around)}
    told = [len(words.intersection(units.split())) for units in MEASURES]
    if max(told) != 1 or not value or not result:
        return max(told) > 1
    return not {value / result, result / value}.isdisjoint(CONVERSIONS)
