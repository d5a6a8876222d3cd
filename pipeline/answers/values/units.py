"""Units of measure, as far as two answers can differ by them: "5 hours" is not "5 minutes", "50 cents" is "$0.50".

An answer without a unit, or with one that is not known here ("5 apples"), is compared by its number alone.
"""

import re
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

from pipeline.answers.canonical import PLAIN, SHORT, tidy, value_of
from pipeline.answers.values.measures import KNOWN, SPEEDS

SYMBOL = re.compile(r"[-+−]?\s?([$€£¥₹])")
AFTER = re.compile(
    r"\s?-?(?:\\?(?:text|mathrm|mbox)\s*\{\s*)?(square |sq\.? |cubic )?([^\W\d_]+|[$€£¥₹°])"
    r"(?:\s?\^?\{?([23²³])(?!\d)\}?)?"
)
DEGREES = re.compile(r"\s?-?(?:°|degrees?\b)\s?(c|f|celsius|fahrenheit)\b", re.IGNORECASE)
PER = re.compile(r"(?:\s?/\s?|\s+(?:per|an?)\s+)([a-z]+)\b", re.IGNORECASE)
SEVERAL = re.compile(rf"[$(]*({PLAIN})(\s*[a-z]+),?\s+(?:and\s+)?({PLAIN})(\s*[a-z]+)", re.IGNORECASE)
HOUR = 3600
POWERS = {"square": 2, "sq": 2, "cubic": 3, "²": 2, "³": 3}


class Unit(NamedTuple):
    """What a number counts."""

    measure: str
    power: int
    factor: Fraction
    """So many of the measure's own units."""
    per: tuple[str, Fraction] | None = None
    """Measure and factor of what it is counted for; None for what is no rate."""


def unit_after(rest: str, symbol: str = "") -> tuple[Unit | None, int]:
    """The known unit of a number and how many characters of the text after the number name it.

    Args:
        rest: what follows the number.
        symbol: a currency sign before the number.
    """
    degrees = DEGREES.match(rest)
    if degrees:
        name = "celsius" if degrees[1].lower().startswith("c") else "fahrenheit"
        return Unit(name, 1, Fraction(1)), degrees.end()
    match = AFTER.match(rest)
    word = match[2].lower() if match else ""
    if match and word in SPEEDS:
        length, time = (KNOWN[unit] for unit in SPEEDS[word])
        return Unit(length[0], 1, length[1], time), match.end()
    if match and word in KNOWN:
        raised = (match[1] or match[3] or "1").strip(" .").lower()
        power = POWERS.get(raised) or int(raised)
        per, end = _per(rest, match.end())
        return Unit(KNOWN[word][0], power, KNOWN[word][1] ** power, per), end
    per, end = _per(rest, 0) if symbol else (None, 0)
    return (Unit(KNOWN[symbol][0], 1, KNOWN[symbol][1], per) if symbol else None), end


def _per(rest: str, at: int) -> tuple[tuple[str, Fraction] | None, int]:
    """What a quantity is counted for, and where its name ends; what is no known unit counts for none."""
    match = PER.match(rest, at)
    per = KNOWN.get(match[1].lower()) if match else None
    return (per, match.end()) if match and per else (None, at)


def unit_of(quantity: str) -> Unit | None:
    """The known unit of an answer that is a number with a unit; None where it has none, or is too long for one."""
    return _unit_of(quantity) if len(quantity) <= SHORT else None


@lru_cache(maxsize=1 << 12)
def _unit_of(quantity: str) -> Unit | None:
    symbol = SYMBOL.search(quantity)
    quantity = tidy(quantity) if "\\" in quantity else quantity
    digits = list(re.finditer(r"[\d}]\s*", re.sub(r"\^\s?\{?[23]\}?", lambda power: " " * len(power[0]), quantity)))
    if not digits:
        return None
    return unit_after(quantity[digits[-1].end() :].lstrip("\\, "), symbol[1] if symbol else "")[0]


def in_several_units(text: str) -> tuple[str, int] | None:
    """A quantity told in two units, in the first of them ("5/2 dollars"), and how long it is; None where it is not.

    The second unit measures the same and is smaller, as in "3 hours 30 minutes" and "2 dollars and 50 cents".
    """
    match = SEVERAL.match(text)
    first, second = (match and unit_of(match[1] + match[2])), (match and unit_of(match[3] + match[4]))
    if not match or not first or not second or first[:2] != second[:2] or first.factor <= second.factor:
        return None
    values = value_of(match[1]), value_of(match[3])
    if values[0] is None or values[1] is None:
        return None
    return f"{values[0] + values[1] * second.factor / first.factor} {match[2].strip()}", match.end()


def same_quantity(one: str, other: str) -> bool | None:
    """Whether two numbers with known units are the same quantity; None where not both have one."""
    ours, theirs = unit_of(one), unit_of(other)
    if ours is None or theirs is None or _is_bare_degree(ours, theirs):
        return None
    values = value_of(PER.sub("", one)), value_of(PER.sub("", other))
    if values[0] is None or values[1] is None or ours[:2] != theirs[:2]:
        return False
    scale = ours.factor / theirs.factor
    if ours.per and theirs.per:
        if ours.per[0] != theirs.per[0]:
            return False
        scale *= theirs.per[1] / ours.per[1]
    elif _is_speed(ours) or _is_speed(theirs):
        return False
    return values[0] * scale == values[1]


def _is_speed(unit: Unit) -> bool:
    """Whether a unit is a length in a time; any other rate may be told without what it is counted for."""
    return unit.measure == "length" and unit.per is not None and unit.per[0] == "time" and unit.per[1] <= HOUR


def _is_bare_degree(one: Unit, other: Unit) -> bool:
    """Whether one of two is a degree that does not say of what."""
    return {one.measure, other.measure} in ({"angle", "celsius"}, {"angle", "fahrenheit"})
