"""Numbers and plain arithmetic in running text: which of them a sentence states as its answer."""

import re
from collections import deque
from itertools import accumulate

from pipeline.answers.canonical import GROUP_MARK, PLAIN, SYMBOLS, plain, tidy, value_of
from pipeline.answers.values.context import ASKED, COMPARED, GOES_ON, GROUPED, REJECTED, signed
from pipeline.answers.values.spelled import FIRST, IN_WORDS, value_in_words
from pipeline.answers.values.units import Unit, in_several_units, unit_after

LONGEST = 5000
"""Characters of a last line in which a number is looked for."""
TERM = (
    rf"(?:(?<![\w)])[-+−])?(?:\({{1,9}}[-+−]?)?(?:[$€£][-−]?)?(?<![A-Za-z\d.])(?:\d+ {{1,2}}\d+/\d+|{PLAIN})\){{0,9}}"
)
EXPRESSION = re.compile(
    rf"{TERM}(?:(?:\s*[*/×÷+]\s*|\s+[-−–x]\s+){TERM})*(?:(?:\s?\^\s?|\*\*(?=\d))\{{?[-−]?\d{{1,3}}\}}?)?(?:\s?(?:\\?%|percent\b))?",
    re.IGNORECASE,
)
MULTIPLE = re.compile(r"\s?(?:dozen|hundred|thousand|million|billion|trillion|mn|bn|tn)\b", re.IGNORECASE)
BOUND = re.compile(
    r"(?:[a-zA-Z](?<![mglshGLSH])(?![A-Za-z'’])|\s[xyznt](?![A-Za-z'’])|\s?\\?(?:sqrt|pi)\b|\s?[√π^!])(?!\s?\.)"
)
"""What makes the number before it a part of an expression."""
ALTERNATIVE = re.compile(
    r"(?:(?:\s+[^\W\d_]+){0,2},?\s+(?:or|and)\s+(?:[a-z]\s*=\s*)?"
    r"|\s?[-–—](?=\d)|\s+to\s+|:(?=\d)|,\s*|\s*(?:±|\+/-)\s*)[$€£(]*\.?\d",
    re.IGNORECASE,
)
"""A second number in the place of the first, or the end of a range."""
INLINE_LATEX = re.compile(
    r"(?<!\\)\${1,2}((?:\\.|[^$\\])+)\${1,2}(?!\d)|\\\((.{1,500}?)\\\)|\\\[(.{1,500}?)\\\]", re.DOTALL
)
FORMULA = re.compile(
    r"\\(?!(?:[dt]?frac|text|textbf|mathrm|mbox|times|cdot|div|left|right|boxed|approx|quad)\b)[A-Za-z]+"
)
REASON = re.compile(
    r"(?<!\s),?\s+(?:because|since|rather than|instead of|as (?:it|he|she|they|we|the|this|that|there)\b)",
    re.IGNORECASE,
)
CHAIN = re.compile(r"(?:(?!\b(?:and|so|which|where|while|but)\b)[^=,;])*=")
"""From a number on to the value that it is said to have."""
VARIABLE = re.compile(r"(?<![A-Za-z\\])([A-Za-z])\s*=")
SPELLED = re.compile(
    rf"[\W_]*(?:(?:exactly|about|only|just|approximately|a total of)\s+)?({IN_WORDS.pattern})", re.IGNORECASE
)
SECOND = re.compile(
    rf"-\w|(?:,|,?\s+(?:or|and|to|(?:more|less|fewer) than))\s+(?:\d|{FIRST})"
    r"|\s+(?:times|plus|minus|over|squared|cubed|multiplied|divided|[b-z])\b",
    re.IGNORECASE,
)
"""After a number in words: a second one, what is done with it, or the rest of a longer word."""
PER_CENT = re.compile(r"\s?(?:%|percent\b|per cent\b)", re.IGNORECASE)
DENIED = re.compile(r"\b(?:not|isn't|isn’t|never|can(?:not|['’]t) be)\s+\Z", re.IGNORECASE)
OPERATOR = re.compile(
    r"\w\s*(?:[*/×÷+]|(?<=\s)[-−])\s*\(*\Z"
    r"|\b(?:half|thirds?|quarters?|twice|double|triple|times|plus|minus|(?:divided|multiplied) by|than)\s+(?:of\s+)?\Z",
    re.IGNORECASE,
)
"""What joins the number after it to a word: "some bags + 4", "half of 8"."""
NORMAL_FORM = re.compile(r"(?:\d\s?[a-z](?![a-z])|[a-z]\s?[\^²])[^=,;]*=\s*0\W*\Z", re.IGNORECASE)
"""An equation that is an answer itself: it says nothing of a value ("3x + 4y - 7 = 0")."""
END = re.compile(r"(?:(?<!\d)!|[.,;:?])*\Z")
"""A factorial is no exclamation."""
INSIDE = re.compile(r"[\d][-–:/.]\Z")


def number_in(content: str, unit: Unit | None = None) -> str | None:
    """The number that a sentence states, which may be arithmetic; its whole text where it is a formula or several.

    Args:
        content: what follows "the answer is".
        unit: of the gold answer; with one, the number keeps its own.
    """
    content = REASON.split(GROUP_MARK.sub(",", latex_in(content).translate(SYMBOLS)), maxsplit=1)[0]
    spelled = spelled_in(content, unit) if "=" not in content else None
    if spelled is not None:
        return spelled
    if "\\" in content or "{" in content:
        if FORMULA.search(content) and value_of(content) is None:
            return clean(content)
        content = tidy(content) if unit is None else plain(content)
    if len(set(VARIABLE.findall(content))) > 1 or NORMAL_FORM.search(content):
        return clean(content)
    value = signed(_value_of(content))
    match = EXPRESSION.search(value)
    if match is None:
        return spelled_in(value, unit)
    several = in_several_units(value[match.start() :])
    if several is not None:
        return several[0]
    rest = value[match.end() :]
    if (
        (ALTERNATIVE.match(rest) and not _is_told_twice(value))
        or BOUND.match(rest)
        or GOES_ON.match(rest)
        or GROUPED.search(value[max(0, match.start() - 2) : match.end() + 2])
        or OPERATOR.search(value[: match.start()])
        or COMPARED.search(value[: match.start()])
    ):
        return clean(value)
    return _dressed(match, value, unit)


def last_number(text: str, unit: Unit | None = None) -> str | None:
    """The last number of a text; None where it is a part of something else, or said not to be the answer."""
    line = next((line for line in reversed(text.split("\n")) if any(map(str.isdigit, line))), "")
    line = signed(GROUP_MARK.sub(",", line[-LONGEST:].translate(SYMBOLS)))
    numbers = deque(EXPRESSION.finditer(line), maxlen=2)
    if not numbers:
        return None
    several = in_several_units(line[numbers[0].start() :]) if len(numbers) > 1 else None
    if several is not None and numbers[0].start() + several[1] >= numbers[-1].end():
        return several[0]
    match, is_last_line = numbers[-1], text.rstrip().endswith(line.rstrip())
    before, rest = line[max(0, match.start() - 12) : match.start()], line[match.end() :]
    if DENIED.search(before) or INSIDE.search(before) or BOUND.match(rest) or REJECTED.match(rest):
        return None
    if GOES_ON.match(rest) or (is_last_line and ASKED.fullmatch(rest)):
        return None
    return _dressed(match, line, unit)


def spelled_in(text: str, unit: Unit | None = None) -> str | None:
    """The number in words at the beginning of a text; None where there is none, or several.

    Args:
        text: a sentence.
        unit: of the gold answer; with one, the number is in digits and keeps its own.
    """
    spelled = SPELLED.match(text)
    value = value_in_words(spelled[1]) if spelled else None
    if spelled is None or value is None or SECOND.match(text, spelled.end()):
        return None
    rest = text[spelled.end() :]
    if PER_CENT.match(rest):
        return f"{value}%"
    if unit is None:
        return spelled[1]
    return f"{value}{rest[: unit_after(rest)[1]]}"


def latex_in(content: str) -> str:
    """The first formula of a sentence, without its dollars or brackets; the whole sentence where it has none."""
    latex = INLINE_LATEX.search(content) if "\\" in content or "$" in content.strip()[:1] else None
    if latex is None or ("\\" not in latex[0] and not re.search(r"\$\s*\Z", latex[0])):
        return content
    return next(group for group in latex.groups() if group)


def clean(text: str) -> str:
    """Without the marks, points and quotes around it."""
    text = END.sub("", text.strip(" \n*_`$")).strip(" \n*_`$")
    quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" and text[0] not in text[1:-1]
    return text[1:-1] if quoted else text


def _value_of(content: str) -> str:
    """What stands after the last sign of equality, but for one that comes after the answer itself."""
    leading = EXPRESSION.match(content.lstrip(" *_$("))
    if leading is not None:
        rest = content.lstrip(" *_$(")[leading.end() :]
        if not CHAIN.match(rest) and not BOUND.match(rest):
            return content
    last = content.rpartition("=")[2]
    return last if EXPRESSION.search(last) else content


def _is_told_twice(value: str) -> bool:
    """Whether both numbers are the same ("0.6 or 3/5")."""
    told = [value_of(number[0]) for number in EXPRESSION.finditer(value)]
    return len(told) == 2 and told[0] is not None and told[0] == told[1] and " or " in value


def _dressed(match: re.Match[str], text: str, unit: Unit | None) -> str:
    """A number with the word that multiplies it, and with its unit where that matters."""
    found, rest = match[0], text[match.end() :]
    multiple = MULTIPLE.match(rest)
    if multiple:
        found, rest = found + multiple[0], rest[multiple.end() :]
    symbol = re.search(r"[$€£]", found)
    if unit is not None:
        own, length = unit_after(rest, symbol[0] if symbol else "")
        return (found + rest[:length]).strip() if own is not None else found.strip()
    bare = re.sub(r"[$€£\\]", "", found).strip()
    bare = bare if _is_balanced(bare) else bare.strip("()")
    return bare if _is_balanced(bare) else clean(text)


def _is_balanced(text: str) -> bool:
    depths = list(accumulate((char == "(") - (char == ")") for char in text))
    return not depths or (min(depths) >= 0 and depths[-1] == 0)
