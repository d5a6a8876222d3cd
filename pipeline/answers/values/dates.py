"""Dates in the ways that people write them; one that can mean two days is never taken for one of them."""

import re
from typing import Literal, NamedTuple

from pipeline.rows import Outcome

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
MONTH = (
    r"(?P<month>jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?"
    r"|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\b\.?"
)
DAY = r"(?P<day>\d{1,2})(?:st|nd|rd|th)?\b"
YEAR = r"(?P<year>\d{4})(?![\d/])"
FORMS = tuple(
    re.compile(rf"(?<![\w/.-]){form}", re.IGNORECASE)
    for form in (
        rf"{YEAR}(?P<mark>[-/.])(?P<first>\d{{1,2}})(?P=mark)(?P<second>\d{{1,2}})(?![\w/-])",
        r"(?P<first>\d{1,2})(?P<mark>[-/.])(?P<second>\d{1,2})(?P=mark)(?P<year>\d{4}|\d{2})(?![\w/-])",
        rf"{MONTH}\s+(?:the\s+)?{DAY}(?:,?\s+{YEAR})?",
        rf"(?:the\s+)?{DAY}(?:\s+of)?[\s-]+{MONTH}(?:[,\s-]+{YEAR})?",
        rf"{MONTH},?\s+{YEAR}",
    )
)
WEEKDAY = re.compile(
    r"\A(?:on\s+)?(?:mon|tue|tues|wed|wednes|thu|thur|thurs|fri|sat|satur|sun)(?:day)?\b\.?,?\s+", re.IGNORECASE
)
MONTH_FIRST = re.compile(r"\bm{1,2}\W+d{1,2}\W+y{2,4}\b", re.IGNORECASE)
DAY_FIRST = re.compile(r"\bd{1,2}\W+m{1,2}\W+y{2,4}\b", re.IGNORECASE)
OUTER = " \t\n.,;:!?\"'*_`$()"

LONGEST = 50
"""Characters; a longer text is no date as a whole."""

Order = Literal["month_first", "day_first"]


class Date(NamedTuple):
    """A day, a day of every year or a month."""

    year: int | None
    month: int
    day: int | None


def order_in(text: str) -> Order | None:
    """How numbers of a date stand where a text says so ("MM/DD/YYYY"), or shows it by a day above 12."""
    if MONTH_FIRST.search(text):
        return "month_first"
    if DAY_FIRST.search(text):
        return "day_first"
    match = FORMS[1].search(text)
    if match is None or max(int(match["first"]), int(match["second"])) <= 12:
        return None
    return "month_first" if int(match["second"]) > 12 else "day_first"


def find_dates(text: str) -> list[str]:
    """The dates in a text as they are written, in order."""
    found: list[tuple[int, int]] = []
    for form in FORMS:
        for match in form.finditer(text):
            if meanings(match[0]) and not any(start < match.end() and match.start() < end for start, end in found):
                found.append(match.span())
    return [text[start:end] for start, end in sorted(found)]


def meanings(text: str, order: Order | None = None) -> tuple[Date, ...]:
    """All days that a text may mean, month first before day first; none where it is not one date."""
    text = WEEKDAY.sub("", text.strip(OUTER))
    for form in FORMS:
        match = form.fullmatch(text)
        if match is None:
            continue
        parts = match.groupdict()
        if parts.get("month"):
            dates = [_named(parts)]
        else:
            dates = _numbered(parts, is_year_first=match.start("year") == 0, order=order)
        return tuple(dict.fromkeys(date for date in dates if _exists(date)))
    return ()


def canonical_date(text: str) -> str | None:
    """One text for all ways to write a day ("2021-05-04", "may 4"); None where it is none, or may be another day."""
    dates = meanings(text) if len(text) <= LONGEST and any(map(str.isdigit, text)) else ()
    if len(dates) != 1:
        return None
    year, month, day = dates[0]
    if year and day:
        return f"{year:04}-{month:02}-{day:02}"
    return f"{MONTHS[month - 1]} {day or f'{year:04}'}"


def compare_dates(found: str | None, gold: str, question: str) -> Outcome:
    """Whether a date is the gold one; unverifiable where gold is no date, or where either may mean another day too."""
    order = order_in(question) or order_in(gold)
    golds = meanings(gold, order)
    if not golds:
        return "unverifiable"
    dates = meanings(found, order) if found is not None else ()
    if golds == dates:
        return "right"
    are_numbers = len(golds) == len(dates) == 2
    return "wrong" if are_numbers or not set(golds) & set(dates) else "unverifiable"


def _named(parts: dict[str, str | None]) -> Date:
    year, day = parts["year"], parts.get("day")
    month = MONTHS.index((parts["month"] or "")[:3].lower()) + 1
    return Date(int(year) if year else None, month, int(day) if day else None)


def _numbered(parts: dict[str, str | None], is_year_first: bool, order: Order | None) -> list[Date]:
    first, second = int(parts["first"] or 0), int(parts["second"] or 0)
    written = parts["year"] or ""
    years = [int(written)] if len(written) == 4 else [2000 + int(written), 1900 + int(written)]
    pairs = [(first, second), (second, first)]
    if is_year_first or order == "month_first":
        pairs = pairs[:1]
    elif parts["mark"] == "." or order == "day_first":
        pairs = pairs[1:]
    return [Date(year, month, day) for year in years for month, day in pairs]


def _exists(date: Date) -> bool:
    longest = 29 if date.month == 2 else 30 if date.month in (4, 6, 9, 11) else 31
    return 1 <= date.month <= 12 and (date.day is None or 1 <= date.day <= longest)
