r"""Find the final answer that a text states, and part it from the reasoning before it.

Where an answer may stand, best first: `<answer>...</answer>`, the last `\boxed{}`, the last line `#### X`, the last
"the answer is X" or "answer: X", a last line `A: X`. What is taken of it depends on the gold answer: the letter of an
option, a number or plain arithmetic, yes or no, else the text up to the end of its sentence. A text that states no
answer in these ways is read from its last line (options, yes or no) or by its last number; one that is a single short
line is an answer as a whole.
"""

import re
from typing import NamedTuple

from pipeline.answers.canonical import LETTERS, NO_UNIT, PLAIN, normalise, number, option, tidy
from pipeline.rows import Problem

SHORT_WORDS = 12
"""A reply of one line and at most so many words is an answer as a whole."""

NEWEST = 3
"""So many of the last places are looked at; a `\\boxed{` that is not closed is none."""

RUN_ON = re.compile(r"\n[ \t]*(?:Q|Question)\s*(?::|\Z)")
"""Where a few-shot completion goes on to a question of its own."""
TAGGED = re.compile(r"<answer>(.*?)(?:</answer>|\Z)", re.DOTALL | re.IGNORECASE)
BOXED = re.compile(r"\\f?boxed\s*\{")
HASHES = re.compile(r"^[ \t]*####[ \t]*(\S.*)$", re.MULTILINE)
PHRASE = re.compile(
    r"(?:\b(?:the|my|our|its)\s+(?:(?:final|correct|right|best|numerical)\s+)*answer"
    r"(?:\s*\([^()\n]{0,60}\)|\s+to\s[^.:\n]{0,80}?)?\s+(?:is|are|was|will be|would be)\b(?!\s+not\b)"
    r"|\bthe\s+(?:correct|right|best)\s+(?:option|choice)\s+is\b"
    r"|\banswer[*_]*\s*[:=])[\s:*]*(?=\S)",
    re.IGNORECASE,
)
LAST_LINE = re.compile(r"^[ \t]*A:[ \t]*(\S.*)\Z", re.MULTILINE)
SENTENCE_END = re.compile(r"(?<!\bMr)(?<!\bMs)(?<!\bDr)(?<!\bSt)(?<!\bMrs)(?<!\bvs)[.!?](?=\s|\Z)|\n")
DISPLAY_START = re.compile(r"(?:\\\[|\$\$)\s*\Z")
DISPLAY_END = re.compile(r"\s*(?:\\\]|\$\$)\.?")

TERM = rf"(?:(?<![\w)])[-+−])?(?:\({{1,9}}[-+−]?)?(?:[$€£][-−]?)?(?<![A-Za-z\d.])(?:\d+ \d+/\d+|{PLAIN})\){{0,9}}"
EXPRESSION = re.compile(rf"{TERM}(?:(?:\s*[*/×÷+]\s*|\s+[-−–]\s+){TERM})*(?:\s?(?:%|percent\b))?", re.IGNORECASE)
INLINE_LATEX = re.compile(r"\${1,2}([^$]+)\${1,2}|\\\((.{1,500}?)\\\)|\\\[(.{1,500}?)\\\]", re.DOTALL)
POLAR = re.compile(r"\b(yes|no|true|false)\b", re.IGNORECASE)


class Statement(NamedTuple):
    """Where a text states its answer."""

    start: int
    at: int
    """Where the answer itself begins."""
    end: int
    content: str


def find(text: str, problem: Problem) -> str | None:
    """The final answer that a text states; None where it states none.

    Numbers come without unit and currency, options as their lower-case letter. Several options named at once are no
    answer.
    """
    body = _own(text)
    statement = _statement(body)
    gold = problem.answer
    choices = problem.choices or _letters_in(problem)
    if choices:
        return _letter(statement.content if statement else _last_line(body), choices)
    if gold is not None and "\n" in gold:
        return _lines(body[statement.at : statement.end if "\n" in statement.content else None] if statement else body)
    if gold is not None and normalise(gold) in ("yes", "no"):
        polar = POLAR.search(statement.content if statement else _last_line(body))
        return polar[1] if polar else None
    numeric = gold is not None and number(tidy(gold)) is not None
    found = None
    if statement is not None:
        found = _number(statement.content) if numeric else _text(statement.content, known=gold is not None)
    if found is None and (numeric or gold is None):
        found = _last_number(body)
    if found is None and not numeric and "\n" not in body and len(body.split()) <= SHORT_WORDS:
        found = _clean(body) or None
    return found


def split(text: str) -> tuple[str, str | None]:
    """The text without the sentence that states its answer, and that sentence; None where there is none."""
    body = _own(text)
    statement = _statement(body)
    if statement is None:
        return body, None
    start = max((match.end() for match in SENTENCE_END.finditer(body, 0, statement.start)), default=0)
    display = DISPLAY_START.search(body, 0, start)
    start = display.start() if display else start
    stop = SENTENCE_END.search(body, statement.end)
    end = stop.end() if stop else len(body)
    display = DISPLAY_END.match(body, end)
    end = display.end() if display else end
    rationale = "\n".join(part for part in (body[:start].rstrip(), body[end:].lstrip()) if part)
    return rationale, body[start:end].strip()


def _own(text: str) -> str:
    """The text without thoughts before it and without an invented next question."""
    return RUN_ON.split(text.rpartition("</think>")[2].strip(), maxsplit=1)[0].strip()


def _statement(body: str) -> Statement | None:
    for pattern in (TAGGED, BOXED, HASHES, PHRASE, LAST_LINE):
        for match in reversed(list(pattern.finditer(body))[-NEWEST:]):
            if pattern is BOXED:
                at, end = match.end(), _closing_brace(body, match.end())
            elif pattern is PHRASE:
                stop = SENTENCE_END.search(body, match.end())
                at, end = match.end(), stop.start() if stop else len(body)
            else:
                at, end = match.span(1)
            if end is not None:
                return Statement(match.start(), at, end, body[at:end])
    return None


def _closing_brace(body: str, at: int) -> int | None:
    depth = 1
    for match in re.compile(r"\\?[{}]").finditer(body, at):
        depth += {"{": 1, "}": -1}.get(match[0], 0)
        if depth == 0:
            return match.start()
    return None


def _last_line(body: str) -> str:
    return body[body.rfind("\n") + 1 :]


def _letters_in(problem: Problem) -> tuple[str, ...]:
    """Letters of the options that stand in the question itself, where the gold answer is one of them."""
    gold = (problem.answer or "").strip("() .").lower()
    if len(gold) != 1 or gold not in LETTERS:
        return ()
    letters = ""
    for letter in re.findall(r"\(([a-z])\)", problem.question.lower()):
        letters = "a" if letter == "a" else letters + letter if letter == LETTERS[len(letters)] else letters
    return tuple(letters) if gold in letters else ()


def _letter(content: str, choices: tuple[str, ...]) -> str | None:
    letters = LETTERS[: len(choices)]
    named = set(re.findall(r"\(([a-z])\)", content.lower())) & set(letters)
    if named:
        return named.pop() if len(named) == 1 else None
    whole = option(content, choices)
    capital = re.match(r"[\s*_]*([B-Z])\b", content)
    if whole is None and capital and capital[1].lower() in letters:
        return capital[1].lower()
    return whole or _only_option_in(content, choices)


def _only_option_in(content: str, choices: tuple[str, ...]) -> str | None:
    """The letter of the one option whose text stands in the sentence; an option within a longer one does not count."""
    words = _words(content)
    inside = [choice for choice in choices if len(choice) > 1 and _words(choice) in words]
    longest = [choice for choice in inside if not any(choice in other and choice != other for other in inside)]
    return LETTERS[choices.index(longest[0])] if len(longest) == 1 else None


def _words(text: str) -> str:
    return f" {' '.join(re.findall(r'[a-z0-9]+', text.lower()))} "


def _number(content: str) -> str | None:
    latex = INLINE_LATEX.search(content) if "\\" in content else None
    content = next(group for group in latex.groups() if group) if latex else content
    if "\\" in content and number(tidy(content)) is None:
        return _clean(content)
    value = content.rpartition("=")[2] if EXPRESSION.search(content.rpartition("=")[2]) else content
    if "\\" in value:
        return tidy(value)
    match = EXPRESSION.search(value)
    return _balanced(match[0]) if match else None


def _last_number(body: str) -> str | None:
    numbers = EXPRESSION.findall(body)
    return _balanced(numbers[-1]) if numbers else None


def _balanced(expression: str) -> str:
    bare = re.sub(r"[$€£]", "", expression).strip()
    return bare if bare.count("(") == bare.count(")") else bare.strip("()")


def _text(content: str, known: bool) -> str | None:
    latex = INLINE_LATEX.match(content)
    text = _clean(next(group for group in latex.groups() if group) if latex else content)
    if known:
        return text or None
    leading = EXPRESSION.match(content.lstrip("*_ "))
    follows = content.lstrip("*_ ")[leading.end() :] if leading else ""
    if number(tidy(text)) is not None or (leading and re.match(rf"\s(?!{NO_UNIT})[a-z]", follows)):
        return _number(content)
    return text or None


def _clean(text: str) -> str:
    text = text.strip(" \n*_`$").rstrip(".,;:!?").strip(" \n*_`$")
    quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" and text[0] not in text[1:-1]
    return text[1:-1] if quoted else text


def _lines(text: str) -> str | None:
    return re.sub(r"\A\s*```\w*\n|\n```\s*\Z", "", text).strip("\n") or None
