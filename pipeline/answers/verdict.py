"""Judge an answer against the gold one, as far as that can be told at once; what needs a worker is a `Question`."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import yaml

from pipeline.answers.canonical import LETTERS, is_percentage, may_be_lettered, normalise, tidy, value_of
from pipeline.answers.extract import read
from pipeline.answers.kinds import is_expression, kind_of, letters_of
from pipeline.answers.own import outcome_of
from pipeline.answers.values.dates import compare_dates
from pipeline.answers.values.lists import differing
from pipeline.answers.values.numerals import NORMAL_FORM
from pipeline.answers.values.units import same_quantity
from pipeline.generated import Address
from pipeline.rows import AnswerKind, InputOutput, Outcome, Problem

ARTICLE = re.compile(r"\A(?:the|an?) (?=\S)")
SPELLED_OUT = re.compile(r"[^\W\d_](?:[\s,.-]{1,3}[^\W\d_])+")
PLACEHOLDERS = {"", "n/a", "unknown", "nan", "tbd", "none", "null"}
"""What stands for a gold answer that nobody knows."""
DIGITS_OF_FLOAT = 16
"""A decimal number of so many digits is a float, which is known to all but the last of them."""
ASSIGNED = re.compile(r"\s*(?:\$\s*)?([A-Za-z])\s*=(?!=)")


@dataclass(frozen=True)
class Question:
    """What only a worker can tell, as it may hang, needs a large library or runs a program."""

    library: Literal["math_verify", "reasoning_gym", "python", "sandbox"]
    name: str
    """`equal`, `score`, `own` or `tests`."""
    arguments: tuple[Any, ...]
    """JSON-able: (gold, found); (generator, parameters as YAML, found, entry); (scorer, text, gold); (code, tests)."""


class Verdict(NamedTuple):
    """What a text answers, and whether that is right."""

    found: str | None
    """The answer as it was read; None where the text has none."""
    outcome: Outcome
    rule: str
    """What found the answer; see `Reading.rule`."""


def judge(
    text: str,
    answer: str | float | None = None,
    choices: Sequence[str] | None = None,
    kind: AnswerKind | Callable[[str, str | None], Any] | None = None,
    *,
    question: str = "",
    tests: Sequence[str | InputOutput] = (),
) -> Verdict:
    r"""Read the final answer of a text and judge it.

    >>> judge(r"9 * 2 = 18, so she makes \boxed{18} dollars.", "18")
    Verdict(found='18', outcome='right', rule='boxed')

    Args:
        text: a reply, or a completion that may run on into an invented next question.
        answer: the gold answer; None where nobody knows it, which makes the outcome unverifiable.
        choices: options of a multiple-choice question, in order; the gold answer is one's letter or text.
        kind: of the answer; None infers it. A function of your own is given the text and the gold answer, and says
            True, False, or None where it cannot tell; it runs here, without limits.
        question: what was asked; options and the form of a date may stand in it.
        tests: of an answer that is code: statements that must run after it, or what it must print.
    """
    # imported here, since it imports this module
    from pipeline.answers.comparing import compare

    problem = Problem(
        id="",
        question=_sound(question),
        answer=None if answer is None else _sound(str(answer)),
        choices=tuple(map(_sound, choices or ())),
        answer_kind=None if callable(kind) else kind,
        tests=tuple(tests),
        metadata={},
    )
    text = _sound(text)
    found, rule = read(text, problem)
    if callable(kind):
        return Verdict(found, outcome_of(kind(text, problem.answer)), rule)
    return Verdict(found, compare(found, problem, text=text), rule)


def decide(found: str | None, problem: Problem, *, text: str = "") -> Outcome | Question:
    """Whether a found answer is right, or what a worker must be asked to know.

    Right is what is equal in canonical form, or as a quantity, date, list or set. Unverifiable is what has no gold
    answer or one that is none of its kind.

    Args:
        found: the answer as it was read; None where there was none.
        problem: with the gold answer.
        text: the whole reply, for a user's own function; empty gives it the found answer.
    """
    if problem.scorer is not None and problem.scorer.startswith("python:"):
        return Question("python", "own", (problem.scorer, text or found or "", problem.answer))
    if problem.scorer is not None:
        return _scored(found, problem.scorer, problem)
    kind = kind_of(problem)
    if kind == "code":
        return _tested(found, problem)
    if problem.answer is None or (kind != "choice" and problem.answer.strip().lower() in PLACEHOLDERS):
        return "unverifiable"
    return _compared(found, problem.answer, kind, problem)


def _compared(found: str | None, gold: str, kind: AnswerKind | None, problem: Problem) -> Outcome | Question:
    if kind == "number":
        return _same_number(found, gold)
    if kind == "choice" and (problem.choices or letters_of(problem)):
        return _same_option(found, gold, problem.choices or letters_of(problem))
    if kind == "yes_no":
        wanted = normalise(gold)
        return (
            "unverifiable" if wanted not in ("yes", "no") else _told(found is not None and normalise(found) == wanted)
        )
    if kind == "date":
        return compare_dates(found, gold, problem.question)
    if kind in ("list", "set"):
        return _same_list(found, gold, kind, problem.answer_kind is not None)
    if kind == "expression":
        return _same_expression(found, gold)
    wanted = _bare(gold)
    if not wanted:
        return "unverifiable"
    return _told(found is not None and (wanted in (_bare(found), _joined(found)) or tidy(found) == tidy(gold)))


def _same_number(found: str | None, gold: str) -> Outcome | Question:
    wanted = value_of(gold)
    if wanted is None:
        return _same_expression(found, gold) if is_expression(gold) else "unverifiable"
    if found is None or not _same_variable(found, gold):
        return "wrong"
    quantity = same_quantity(found, gold)
    if quantity is not None:
        return _told(quantity)
    value = value_of(found)
    if value is not None:
        is_float = len(re.sub(r"\D", "", gold)) >= DIGITS_OF_FLOAT and "." in gold
        same = abs(value - wanted) <= abs(wanted) / 10 ** (DIGITS_OF_FLOAT - 1) if is_float else value == wanted
        parts = (is_percentage(found) - is_percentage(gold)) if value else 0
        return _told(same or (parts == 1 and value * 100 == wanted) or (parts == -1 and value == wanted * 100))
    if not is_expression(found) or NORMAL_FORM.search(found):
        return "wrong"
    return Question("math_verify", "equal", (gold, found))


def _same_option(found: str | None, gold: str, choices: tuple[str, ...]) -> Outcome:
    letters = LETTERS[: len(choices)]
    if found and len(found) == len(gold) == 1 and found in letters and gold in letters:
        return _told(found == gold or _same_texts(letters.index(found), letters.index(gold), choices))
    wanted = normalise(gold, choices)
    if wanted not in letters:
        return "unverifiable"
    return _told(found is not None and normalise(found, choices) == wanted)


def _same_texts(one: int, other: int, choices: tuple[str, ...]) -> bool:
    """Whether two options are one; most problems are spared the look at all others."""
    if may_be_lettered(choices):
        return normalise(LETTERS[one], choices) == normalise(LETTERS[other], choices)
    return normalise(choices[one]) == normalise(choices[other])


def _same_list(found: str | None, gold: str, kind: AnswerKind, is_named: bool) -> Outcome | Question:
    if found is None:
        return "wrong"
    pairs = differing(found, gold, is_unordered=kind == "set", is_named=is_named)
    if pairs is None or not all(map(_may_be_same, pairs)):
        return "wrong"
    if not pairs:
        return "right"
    return Question("math_verify", "equal", pairs[0] if len(pairs) == 1 else (gold, found))


def _same_expression(found: str | None, gold: str) -> Outcome | Question:
    """What math-verify is asked; also where nothing was found, since only it can tell whether gold can be read."""
    if found is not None and normalise(found) == normalise(gold) and _same_variable(found, gold):
        return "right"
    if found is not None and value_of(found) is None and not is_expression(found):
        found = ""
    return Question("math_verify", "equal", (gold, found or ""))


def _scored(found: str | None, scorer: str, problem: Problem) -> Outcome | Question:
    """What the generator's own scorer is asked; it minds case and final points, which are not what was asked."""
    if found is None:
        return "wrong"
    if problem.answer is not None and tidy(found) == tidy(problem.answer):
        return "right"
    address = Address.of(scorer)
    entry = {"question": problem.question, "answer": problem.answer, "metadata": problem.metadata}
    return Question("reasoning_gym", "score", (address.name, yaml.safe_dump(dict(address.parameters)), found, entry))


def _tested(found: str | None, problem: Problem) -> Outcome | Question:
    if not problem.tests:
        return "unverifiable"
    tests = [test if isinstance(test, str) else test.model_dump() for test in problem.tests]
    return Question("sandbox", "tests", (found, tests)) if found else "wrong"


def _may_be_same(pair: tuple[str, str]) -> bool:
    """Whether two elements that are written differently may be one expression; two numbers may not."""
    return all(map(is_expression, pair)) and any(value_of(element) is None for element in pair)


def _same_variable(found: str, gold: str) -> bool:
    """Whether two equations are about one letter; one that names none may be about any."""
    ours, theirs = ASSIGNED.match(found), ASSIGNED.match(gold)
    return ours is None or theirs is None or ours[1] == theirs[1]


def _bare(text: str) -> str:
    """Canonical text without an article before it."""
    return ARTICLE.sub("", normalise(text))


def _joined(text: str) -> str | None:
    """The word that a text spells letter by letter ("n, o, s"); None for any other."""
    return "".join(re.findall(r"\w", text)).casefold() if SPELLED_OUT.fullmatch(text) else None


def _told(is_right: bool) -> Outcome:
    return "right" if is_right else "wrong"


def _sound(text: str) -> str:
    """The text without halves of characters, which no file could hold."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
