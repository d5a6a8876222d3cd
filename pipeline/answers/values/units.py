"""Units of measure, as far as two answers can differ by them: "5 hours" is not "5 minutes", "50 cents" is "$0.50".

An answer without a unit, or with one that is not known here ("5 apples"), is compared by its number alone.
"""

import re
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

from pipeline.answers.canonical import SHORT, tidy, value_of
from pipeline.answers.values.measures import KNOWN

SYMBOL = re.compile(r"[-+−]?\s?([$€£])")
AFTER = re.compile(
    r"\s?-?(?:\\?(?:text|mathrm|mbox)\s*\{\s*)?(square |sq\.? |cubic )?([^\W\d_]+|[$€£°])(?:\s?\^?\{?([23²³])\}?)?"
)
POWERS = {"square": 2, "sq": 2, "cubic": 3, "²": 2, "³": 3}


class Unit(NamedTuple):
    """What a number counts."""

    measure: str
    power: int
    factor: Fraction
    """So many of the measure's own units."""


def unit_after(rest: str, symbol: str = "") -> tuple[Unit | None, int]:
    """The known unit of a number and how many characters of the text after the number name it.

    Args:
        rest: what follows the number.
        symbol: a currency sign before the number.
    """
    match = AFTER.match(rest)
    word = match[2].lower() if match else ""
    if match and word in KNOWN:
        raised = (match[1] or match[3] or "1").strip(" .").lower()
        power = POWERS.get(raised) or int(raised)
        return Unit(KNOWN[word][0], power, KNOWN[word][1] ** power), match.end()
    return (Unit(KNOWN[symbol][0], 1, KNOWN[symbol][1]) if symbol else None), 0


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


def same_quantity(one: str, other: str) -> bool | None:
    """Whether two numbers with known units are the same quantity; None where not both have one."""
    units = unit_of(one), unit_of(other)
    if units[0] is None or units[1] is None:
        return None
    values = value_of(one), value_of(other)
    if values[0] is None or values[1] is None or units[0][:2] != units[1][:2]:
        return False
    return values[0] * units[0].factor == values[1] * units[1].factor
