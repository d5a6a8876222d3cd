"""Numbers in words: "eleven", "two hundred ninety-four", "fifty-two point six two", "one half"."""

import re
from fractions import Fraction

ONES = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
SMALL = {word: value for value, word in enumerate(ONES)} | {word: 10 * ten for ten, word in enumerate(TENS, start=2)}
LARGE = {"dozen": 12, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
PARTS = {"half": 2, "halve": 2, "third": 3, "quarter": 4, "fourth": 4, "fifth": 5, "sixth": 6, "eighth": 8, "tenth": 10}
SIGNS = ("minus", "negative")
FIRST = (
    rf"(?:(?:{'|'.join(SIGNS)})\s+)?(?:{'|'.join(SMALL)}|an?(?=[\s-]+(?:{'|'.join((*PARTS, *LARGE, 'hundred'))})))\b"
)
REST = rf"(?:an?\s+)?(?:{'|'.join((*SMALL, *LARGE, 'hundred', 'point'))}|(?:{'|'.join(PARTS)})s?)\b"
IN_WORDS = re.compile(rf"{FIRST}(?:[\s-]+(?:and\s+)?{REST})*", re.IGNORECASE)


def value_in_words(text: str) -> Fraction | None:
    """The exact value of a number in words; None for any other text, as for words that make no one number."""
    if not IN_WORDS.fullmatch(text):
        return None
    words = re.split(r"[\s-]+", text.lower())
    if words[0] in SIGNS:
        value = value_in_words(text.split(None, 1)[1])
        return None if value is None else -value
    if words[-1].removesuffix("s") in PARTS:
        return _parts(words[:-1], PARTS[words[-1].removesuffix("s")])
    if "point" in words:
        place = words.index("point")
        return _decimal(_whole(words[:place]), words[place + 1 :])
    whole = _whole(words)
    return None if whole is None else Fraction(whole)


def _parts(words: list[str], size: int) -> Fraction | None:
    """Of "two thirds" and "three and a half"."""
    place = len(words) - words[::-1].index("and") if "and" in words else 0
    whole, top = _whole(words[: place - 1]) if place else 0, _whole(words[place:])
    return None if whole is None or top is None else whole + Fraction(top, size)


def _decimal(whole: int | None, digits: list[str]) -> Fraction | None:
    if whole is None or not digits or not set(digits) <= set(ONES[:10]):
        return None
    return Fraction(f"{whole}.{''.join(str(SMALL[digit]) for digit in digits)}")


def _whole(words: list[str]) -> int | None:
    """A whole number, from its words: groups below a thousand, each with its own power of a thousand."""
    total, group, least = 0, None, 10**15
    for before, word in zip(["", *words], words, strict=False):
        if word == "and":
            if before not in ("hundred", *LARGE):
                return None
        elif word in LARGE:
            if not group or LARGE[word] >= least:
                return None
            total, group, least = total + group * LARGE[word], None, LARGE[word]
        else:
            group = _joined(group, word)
            if group is None:
                return None
    return total + (group or 0)


def _joined(group: int | None, word: str) -> int | None:
    """A number below a thousand and its next word; None where they do not go together."""
    if word in ("a", "an"):
        return 1 if group is None else None
    if word == "hundred":
        return group * 100 if group and group < 100 else None
    value = SMALL.get(word)
    if value is None or group is None:
        return value
    fits = value if group % 100 == 0 else value < 10 and group % 10 == 0 and group % 100 >= 20
    return group + value if group and value and fits else None
