r"""Read the final answer of a text.

What is taken of the place where a text states its answer (`statement.py`) depends on the kind of the gold answer
(`kinds.py`): the letter of an option, a number or plain arithmetic, yes or no, a date, else the text up to the end of
its sentence. A text that states no answer is read from its last line (options, yes or no) or by its last number or
date; one that is a single short line is an answer as a whole. What names several answers at once names none.
"""

import re
from typing import NamedTuple

from pipeline.answers.canonical import LETTERS, NO_UNIT, option, value_of
from pipeline.answers.kinds import is_expression, kind_of, letters_of
from pipeline.answers.retraction import HYPOTHETICAL, NOT_KNOWN, Retraction, retraction
from pipeline.answers.statement import VERDICT, denied, own, statement, unthought
from pipeline.answers.values.dates import find_dates
from pipeline.answers.values.numerals import (
    EXPRESSION,
    INLINE_LATEX,
    REASON,
    VARIABLE,
    clean,
    last_number,
    latex_in,
    number_in,
    spelled_in,
)
from pipeline.answers.values.spelled import FIRST
from pipeline.answers.values.units import unit_of
from pipeline.rows import AnswerKind, Problem

SHORT_WORDS = 12
"""A reply of one line and at most so many words is an answer as a whole."""

LONGEST = 5000
"""Characters of a sentence or a last line in which an answer is looked for."""
NEAREST = 3
"""So many opening brackets are looked at for a list."""

ADVERB = r"(?:(?:most|very|quite|more)\s+)?(?!(?:un|hard|scarce|bare|rare|seldom))[a-z]+ly,?\s+"
POLAR = re.compile(r"(yes|no|true|false)\b(?!\s*(?:or|and|/)\s*(?:yes|no|true|false)\b)(?!-)", re.IGNORECASE)
BOTH = re.compile(r"\b(?:and|but|or)\s+(?:yes|no)\s+(?:in|for|otherwise|if|when)\b", re.IGNORECASE)
"""The other answer, for other cases."""
NO_NOUN = re.compile(
    r"\s+(?:way|one|information|longer|such|more|less|doubt|idea|answer|evidence|need|reason|matter)\b", re.IGNORECASE
)
POLAR_LEAD = re.compile(
    r"(?:(?:\A|[.!?,:;—]\s*|\b(?:so|thus|hence|therefore|then|is|likely),?\s+)(?:"
    + ADVERB
    + r")?(?:to\s+be\s+)?)[\s\"'*_$({]*"
    r"(?:\\(?:text|boxed|mathrm)\s*\{\s*)?(?:an?\s+)?(?=(?:yes|no|true|false)\b)",
    re.IGNORECASE,
)
POLAR_NEXT = re.compile(r"(?:\A[.!?:]?|\n)\s*(?:\d\.\s+)?[\"'*_]*(yes|no)\b(?=[\s.,!:*_]|\Z)", re.IGNORECASE)
"""At the beginning of what comes after a sentence that was to answer."""
CANDIDATES = {
    "number": re.compile(r"\d"),
    "choice": re.compile(r"\b[A-Z]\b|\([a-z]\)"),
    "yes_no": re.compile("yes|no\\b"),
}
"""What an answer is made of; "the answer is not known" has none, so it takes back all that came before."""
START: dict[AnswerKind | None, re.Pattern[str]] = {
    "number": re.compile(rf"[\s*$€£(\\]*(?:boxed\{{)?[-−]?[.\d]|\s*{FIRST}", re.IGNORECASE),
    "choice": re.compile(r"\s*(?:option\s+)?(?:\([A-Za-z]\)|[A-Z]\b)"),
    "yes_no": re.compile(r"\W*(?:yes|no)\b", re.IGNORECASE),
}
"""How another answer begins."""
DENIED = re.compile(
    r"\b(?:not|isn't|isn’t|cannot be|can't be|never|rather than|instead of|except)\s+"
    r"(?:option\s+)?\(?[A-Za-z]\)?(?![A-Za-z])"
)
CAPITAL = re.compile(
    rf"[\s*_\"“]*(?:either\s+)?(?:{ADVERB})?(?:to\s+be\s+)?(?:(?:option|choice|letter)\s+)?[\s*_\"“]*"
    r"(?:([A-Z])(?=[*_\"”]*\s*(?:[,:;.)—–]|\Z|(?:or|and)\b))|([BCD-HJ-Z])\b(?!['’]))",
)
ANOTHER = re.compile(r"(?:,|/|&|\b(?:or|and))\s*(?:(?:or|and)\s+)?(?:option\s+)?\(?([A-Z])(?![\w'’]|\s+[a-z]{3})")
"""A second letter in the place of the first; a letter with words after it is an article."""
BOUND_DATE = re.compile(r"\b(?:before|after|until|since|not)\s+(?:the\s+)?\Z", re.IGNORECASE)
"""Before a date that is another one."""
WORDS = re.compile(r"(?<![\w-])-?\d+(?:[.,/:]\d+)*|[a-z]+|\d+")
FENCED = re.compile(r"^[ \t]*(`{3,}|~{3,})[^\n`]*\n(.*?)(?:^[ \t]*\1[`~]*[ \t]*$|\Z)", re.MULTILINE | re.DOTALL)


class Reading(NamedTuple):
    """What was read of a text, and by which rule."""

    found: str | None
    rule: str
    """Where the answer stood: `tagged`, `boxed`, `hashes`, `phrase`, `last_line`, `code_block`; or, where the text
    stated none, what stood in for it: `letter`, `polar`, `last_number`, `last_date`, `whole`. `none` found nothing."""


NOTHING = Reading(None, "none")


def find(text: str, problem: Problem) -> str | None:
    """The final answer that a text states; None where it states none."""
    return read(text, problem).found


def read(text: str, problem: Problem) -> Reading:
    """The final answer that a text states, and the rule that found it.

    Numbers come without currency and without units that make no difference, options as their lower-case letter.
    """
    kind = kind_of(problem)
    if kind == "code":
        return _code(text)
    body = HYPOTHETICAL.sub("", own(text)) if "nswer" in text else own(text)
    stated = statement(body)
    if "\n" in (problem.answer or "").strip():
        grid = body[stated.at : stated.end if "\n" in stated.content else None] if stated else body
        return _reading(_lines(grid), stated.rule if stated else "whole")
    if stated and kind not in ("text", None) and VERDICT.match(stated.content):
        stated = None
    place, what = denied(body) or (0, "")
    if place and stated and stated.at < place and kind in CANDIDATES and not CANDIDATES[kind].search(what):
        stated = None
    if stated is None:
        return _unstated(body[place:], kind, problem)
    taken_back = retraction(stated.content, body[stated.end :]) if kind in CANDIDATES else None
    instead = _instead(taken_back, kind, problem) if taken_back else None
    if instead is not None:
        return instead
    found = _taken(stated.content[:LONGEST], kind, problem)
    if found is not None:
        return Reading(found, stated.rule)
    if kind == "yes_no":
        return _reading(_polar_after(body[stated.end : stated.end + LONGEST]), "polar")
    return NOTHING if kind == "choice" else _unstated(body[stated.at :], kind, problem)


def _instead(taken_back: Retraction, kind: AnswerKind | None, problem: Problem) -> Reading | None:
    """What a text says in place of an answer that it takes back; None where that answer stands after all."""
    later = statement(taken_back.follows)
    if later and not VERDICT.match(later.content):
        return _reading(_taken(later.content[:LONGEST], kind, problem), later.rule)
    if START[kind].match(taken_back.instead):
        found = _taken(taken_back.instead, kind, problem)
        if found is not None:
            return Reading(found, "phrase")
    return NOTHING if taken_back.is_certain else None


def _taken(content: str, kind: AnswerKind | None, problem: Problem) -> str | None:
    """The answer in the place where a text states it."""
    choices = problem.choices or (letters_of(problem) if kind == "choice" else ())
    if choices:
        return _letter(content, choices)
    if kind == "yes_no":
        return _polar(content)
    if kind == "number":
        gold, variables = problem.answer or "", set(VARIABLE.findall(content))
        other = variables and not variables & set(VARIABLE.findall(gold)) and "=" in gold
        return clean(content) if other else number_in(content, unit_of(gold))
    if kind == "date":
        return _date(content)
    if kind in ("list", "set"):
        return _bracketed(latex_in(content))
    if kind is None:
        return _unknown(content)
    text = _text(content)
    return _without_words(text) if kind == "expression" and text else text


def _unstated(body: str, kind: AnswerKind | None, problem: Problem) -> Reading:
    """What stands in for the answer of a text that states none."""
    last = body[body.rfind("\n") + 1 :][-LONGEST:]
    if kind in CANDIDATES and "answer" in last and NOT_KNOWN.search(last):
        return NOTHING
    if kind == "choice" and (problem.choices or letters_of(problem)):
        if len(last.split(maxsplit=SHORT_WORDS)) > SHORT_WORDS and last[-1].isalnum():
            return NOTHING
        return _reading(_taken(DENIED.sub(" ", last), kind, problem), "letter")
    if kind == "yes_no":
        taken_back = retraction("", last[polar.end() :]) if (polar := POLAR.match(last)) else None
        return (taken_back and _instead(taken_back, kind, problem)) or _reading(_polar(last), "polar")
    if kind == "number":
        unit = unit_of(problem.answer or "")
        return _reading(last_number(body, unit) or (spelled_in(body) if _is_short(body) else None), "last_number")
    if kind == "date":
        dates = find_dates(last)
        return _reading(dates[-1] if dates else None, "last_date")
    if kind is None and (found := last_number(body)) is not None:
        return Reading(found, "last_number")
    if kind == "expression" and not _is_short(body):
        formulas = INLINE_LATEX.findall(last)
        return _reading(next(filter(None, formulas[-1])) if formulas else None, "last_formula")
    return _reading(clean(latex_in(body)) if _is_short(body) else None, "whole")


def _reading(found: str | None, rule: str) -> Reading:
    return Reading(found, rule) if found else NOTHING


def _is_short(body: str) -> bool:
    return "\n" not in body and len(body.split(maxsplit=SHORT_WORDS)) <= SHORT_WORDS


def _letter(content: str, choices: tuple[str, ...]) -> str | None:
    content = REASON.split(content, maxsplit=1)[0]
    letters = LETTERS[: len(choices)]
    named = set(re.findall(r"\(([a-z])\)", content.lower())) & set(letters)
    if named:
        return named.pop() if len(named) == 1 else None
    whole = option(content, choices)
    capital = CAPITAL.match(content) if whole is None else None
    letter = (capital[1] or capital[2]).lower() if capital else ""
    if capital and letter in letters:
        others = {other[1].lower() for other in ANOTHER.finditer(content, capital.end())} & set(letters)
        return letter if others <= {letter} else None
    return whole or _only_option_in(content, choices)


def _only_option_in(content: str, choices: tuple[str, ...]) -> str | None:
    """The letter of the one option whose text stands in the sentence; an option within a longer one does not count."""
    words = _words(content)
    inside = [choice for choice in choices if len(choice) > 1 and _words(choice) in words]
    longest = [choice for choice in inside if not any(choice in other and choice != other for other in inside)]
    return LETTERS[choices.index(longest[0])] if len(longest) == 1 else None


def _words(text: str) -> str:
    return f" {' '.join(WORDS.findall(text.lower()))} "


def _polar(content: str) -> str | None:
    for lead in POLAR_LEAD.finditer(content):
        polar = POLAR.match(content, lead.end())
        if polar and not NO_NOUN.match(content, polar.end()):
            return None if BOTH.search(content, polar.end()) else polar[1]
    return None


def _polar_after(rest: str) -> str | None:
    """What the lines after a sentence begin with, where they agree."""
    polars = {match[1].lower() for match in POLAR_NEXT.finditer(rest) if not NO_NOUN.match(rest, match.end())}
    return polars.pop() if len(polars) == 1 else None


def _date(content: str) -> str | None:
    dates = find_dates(content)
    if dates and BOUND_DATE.search(content[: content.find(dates[0])]):
        return clean(content)
    if len(dates) > 1 and re.search(r"\bor\b", content):
        return clean(content)
    return dates[0] if dates else None


def _bracketed(content: str) -> str | None:
    """The first group in brackets that has several elements, else the whole text."""
    for opening in list(re.finditer(r"\\?[(\[{]", content))[:NEAREST]:
        depth = 0
        for bracket in re.finditer(r"[(\[{]|[)\]}]", content[opening.start() :]):
            depth += 1 if bracket[0] in "([{" else -1
            if depth == 0:
                group = content[opening.start() : opening.start() + bracket.end()]
                if "," in group:
                    return group
                break
    return _text(content)


def _unknown(content: str) -> str | None:
    """An answer of which nobody knows the kind: a number with a unit is the number."""
    text = _text(content) or ""
    leading = EXPRESSION.match(content.lstrip("*_ "))
    follows = content.lstrip("*_ ")[leading.end() :] if leading else ""
    if value_of(text) is not None or (leading and re.match(rf"\s(?!{NO_UNIT})[a-z]", follows)):
        return number_in(content)
    return text or None


def _text(content: str) -> str | None:
    latex = INLINE_LATEX.match(content)
    text = next(group for group in latex.groups() if group) if latex else REASON.split(content, maxsplit=1)[0]
    return clean(text) or None


def _without_words(text: str) -> str:
    """An expression without the words after it ("2x units")."""
    bare = re.sub(r"(?:\s+[a-z]{3,})+\Z", "", text)
    return bare if is_expression(bare) else text


def _lines(text: str) -> str | None:
    return re.sub(r"\A\s*```\w*\n|\n```\s*\Z", "", text).strip("\n") or None


def _code(text: str) -> Reading:
    """The last fenced block; a reply without any is a program as a whole."""
    blocks = FENCED.findall(own(text)) or FENCED.findall(unthought(text))
    if blocks:
        return _reading(blocks[-1][1].strip("\n"), "code_block")
    return _reading(unthought(text).strip("\n") or None, "whole")
