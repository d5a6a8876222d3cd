r"""Lists, tuples, intervals and sets, element by element.

"[1, 2, 3]"  "1, 2, 3"  "1, 2 and 3"      one list; its order counts
"(1, 2]"  "(1, 2)"  "[1, 2]"              three intervals
"{1, 2}"  "\{2, 1\}"                      one set
"""

import re
from typing import NamedTuple

from pipeline.answers.canonical import PLAIN, SYMBOLS, normalise

LONGEST = 10_000
"""Characters; a longer text is no list."""
LONGEST_SET = 1000
"""Characters of a set whose elements are brought in order."""
DRESS = re.compile(r"\\(?:left|right)(?![A-Za-z])|\\[,!;: ]|\\(?:text|mathrm)\s*(?=\{)|[$`]|\*\*")
NAME = re.compile(r"(?:[A-Za-z]\w?|\([^()=]{1,20}\))\s*(?:=|\\in(?![A-Za-z])|∈)\s*")
OPENING, CLOSING = "([{", ")]}"


class Elements(NamedTuple):
    """What stands between commas, and the brackets around it; empty where there are none."""

    opening: str
    closing: str
    items: tuple[str, ...]


def elements(text: str) -> Elements | None:
    """The elements of a list; None where brackets do not close, or the text is too long."""
    if len(text) > LONGEST:
        return None
    text = DRESS.sub("", text.translate(SYMBOLS)).replace("\\{", "{").replace("\\}", "}").strip(" \n.;:")
    name = NAME.match(text)
    text = text[name.end() :] if name else text
    opening = closing = ""
    if text[:1] and text[0] in OPENING and text[-1] in CLOSING and _closes_last(text):
        opening, closing, text = text[0], text[-1], text[1:-1].strip()
    items = [text] if not opening and re.fullmatch(rf"[-+]?[$]?{PLAIN}", text) else _split(text)
    if items is None:
        return None
    return Elements(opening, closing, tuple(item.strip(" \n'\"") for item in items if item.strip()))


def is_list(text: str) -> bool:
    """Whether a text is a list of several elements, by its brackets or by numbers between commas."""
    found = elements(text)
    if found is None or (len(found.items) < 2 and found.opening != "["):
        return False
    return bool(found.opening) or all(re.fullmatch(rf"[-+]?[$]?{PLAIN}%?", item.strip()) for item in found.items)


def is_set(text: str) -> bool:
    """Whether a text stands in braces that close at its end."""
    found = elements(text)
    return found is not None and found.opening == "{" and bool(re.search(r"^[^A-Za-z]*\{", text))


def canonical_set(text: str) -> str | None:
    """One text for all orders of a set's elements ("{1, 2}"); None for a text that is no set of several."""
    found = elements(text) if text.count("{") == 1 and len(text) <= LONGEST_SET else None
    if found is None or found.opening != "{" or len(found.items) < 2:
        return None
    items = sorted({normalise(item) for item in found.items})
    return items[0] if len(items) == 1 else f"{{{', '.join(items)}}}"


def differing(found: str, gold: str, is_unordered: bool, is_named: bool) -> tuple[tuple[str, str], ...] | None:
    """The elements in which two lists differ, in pairs (gold, found); None where no elements could make them the same.

    Args:
        found: the list that was found.
        gold: the list that is right.
        is_unordered: they are sets.
        is_named: the gold answer is known to be a list, so "[1, 2]" cannot be an interval.
    """
    ours, theirs = elements(found), elements(gold)
    if ours is None or theirs is None or not _brackets_agree(ours, theirs, is_unordered, is_named):
        return None
    wanted = {normalise(item): item for item in theirs.items} if is_unordered else {}
    given = {normalise(item): item for item in ours.items} if is_unordered else {}
    if is_unordered:
        missing = [item for text, item in wanted.items() if text not in given]
        extra = [item for text, item in given.items() if text not in wanted]
        return tuple(zip(missing, extra, strict=True)) if len(missing) == len(extra) else None
    if len(ours.items) != len(theirs.items):
        return None
    pairs = zip(theirs.items, ours.items, strict=True)
    return tuple(pair for pair in pairs if normalise(pair[0]) != normalise(pair[1]))


def _brackets_agree(ours: Elements, theirs: Elements, is_unordered: bool, is_named: bool) -> bool:
    if is_unordered:
        return ours.opening + ours.closing in (("", "{}", "[]", "()") if is_named else ("", "{}"))
    pair, wanted = ours.opening + ours.closing, theirs.opening + theirs.closing
    if pair == wanted:
        return True
    if not wanted:
        return pair in ("()", "[]", "{}")
    return not pair and wanted in ("[]", "()") and (is_named or len(theirs.items) > 2)


def _closes_last(text: str) -> bool:
    """Whether the first bracket is closed by the last character."""
    depth = 0
    for place, char in enumerate(text):
        depth += (char in OPENING) - (char in CLOSING)
        if depth <= 0:
            return place == len(text) - 1
    return False


def _split(text: str) -> list[str] | None:
    """Parts between the commas outside of brackets; where others are followed by spaces, "1,000" is a number."""
    text = re.sub(r",?\s+(?:and|or)\s+", ", ", text)
    parts, depth, start = [], 0, 0
    is_spaced = re.search(r",\s", text) is not None
    for place, char in enumerate(text):
        depth += (char in OPENING) - (char in CLOSING)
        if char in ",;" and depth == 0 and not (is_spaced and re.match(r",\d{3}(?!\d)", text[place : place + 5])):
            parts.append(text[start:place])
            start = place + 1
        if depth < 0 and char in CLOSING:
            return None
    return [*parts, text[start:]] if depth == 0 else None
