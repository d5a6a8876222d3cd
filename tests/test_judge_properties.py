"""What holds of the judge for every text, gold answer, kind and options: drawn by hypothesis, and long by intent."""

import string
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.answers import find, normalise, read, split
from pipeline.answers.canonical import value_of
from pipeline.answers.kinds import kind_of
from pipeline.answers.published import distilled_equation, distilled_option, first_or_last
from pipeline.answers.verdict import Question, decide
from pipeline.rows import AnswerKind, Outcome, Problem

PIECES = [
    *string.printable,
    *"−½°×·’“”€£∪∞±√İßſ",
    *(
        "the answer is ",
        "So the answer is (b)",
        "Answer: ",
        "#### ",
        r"\boxed{",
        r"\frac{1}{2}",
        r"\frac",
        r"\text{ cm}",
    ),
    *("$1,000.00", "1/2", "50 %", "12/06/2021", "May 5, 2021", "yes", "not ", " or ", " and ", "dollars", "million"),
    *(r"\left(1, 2\right]", r"\{1, 2\}", r"\begin{pmatrix}", "x = ", "3 * 10^8", "\n\nQ: ", "\nProblem: ", "```\n"),
    *("<answer>", "</answer>", "</think>", "(a) ", "neck", "jewelry box", "twenty-one", "because ", "A: "),
]
TEXTS = st.one_of(st.lists(st.sampled_from(PIECES), max_size=12).map("".join), st.text(max_size=60))
OPTIONS = st.one_of(st.just(()), st.lists(TEXTS, min_size=2, max_size=5).map(tuple), st.just(("neck", "box", "1/2")))
KINDS = st.one_of(st.none(), st.sampled_from(get_args(AnswerKind)))
OUTCOMES = get_args(Outcome)
settings.register_profile("steady", derandomize=True, deadline=None, max_examples=150, database=None)
settings.load_profile("steady")


def problem(
    gold: str | None, choices: tuple[str, ...] = (), kind: AnswerKind | None = None, question: str = ""
) -> Problem:
    return Problem(id="p", question=question, answer=gold, choices=choices, answer_kind=kind)


@given(TEXTS, OPTIONS)
def test_normalising_twice_changes_nothing(text: str, choices: tuple[str, ...]) -> None:
    once = normalise(text, choices)
    assert normalise(once, choices) == once


@given(TEXTS, TEXTS, OPTIONS, KINDS, TEXTS)
def test_every_text_is_read_and_decided(
    text: str, gold: str, choices: tuple[str, ...], kind: AnswerKind | None, question: str
) -> None:
    asked = problem(gold, choices, kind, question)
    found, rule = read(text, asked)
    assert (found is None) == (rule == "none")
    outcome = decide(found, asked)
    assert isinstance(outcome, Question) or outcome in OUTCOMES
    assert decide(found, asked) == outcome
    rationale, sentence = split(text)
    assert sentence is None or sentence in text
    assert len(rationale) <= len(text)


@given(TEXTS)
def test_without_gold_nothing_is_right_or_wrong(text: str) -> None:
    assert decide(find(text, problem(None)), problem(None)) == "unverifiable"


@given(TEXTS, TEXTS)
def test_numbers_and_texts_are_the_same_both_ways(one: str, other: str) -> None:
    """But for "50 %", which is 50 where gold has no percent sign, and for gold of which nothing is left."""
    first, second = decide(one, problem(other)), decide(other, problem(one))
    kinds = {kind_of(problem(one)), kind_of(problem(other))}
    are_percentages = "%" in one + other or "percent" in one + other
    if kinds in ({"number"}, {"text"}) and not are_percentages and normalise(one) and normalise(other):
        assert (first == "right") == (second == "right")


@given(TEXTS, KINDS)
def test_an_answer_is_never_wrong_against_itself(text: str, kind: AnswerKind | None) -> None:
    assert decide(text, problem(text, kind=kind)) != "wrong"


@given(st.integers(-(10**9), 10**9), st.integers(-(10**9), 10**9))
def test_two_integers_are_the_same_where_they_are_equal(one: int, other: int) -> None:
    assert (decide(f"{one:,}", problem(str(other))) == "right") == (one == other)
    assert decide(find(f"So the answer is ${one:,}.00.", problem(str(one))), problem(str(one))) == "right"


@given(st.fractions(max_denominator=1000))
def test_a_fraction_is_read_in_every_form(value: object) -> None:
    top, _, bottom = str(value).partition("/")
    forms = (
        f"{top}/{bottom or 1}",
        rf"\frac{{{top}}}{{{bottom or 1}}}",
        rf"\boxed{{\dfrac{{{top}}}{{{bottom or 1}}}}}",
    )
    assert {value_of(form) for form in forms} == {value}


LONG = {
    "brackets": "(" * 10_000,
    "closed brackets": "(" * 5000 + ")" * 5000,
    "mixed brackets": "[(," * 20_000,
    "commas": "1," * 50_000,
    "boxes": r"\boxed{" * 20_000,
    "fractions": r"\frac{" * 20_000,
    "digits": "7" * 1_000_000,
    "spaces": "a" + " " * 1_000_000 + "b",
    "lines": "\n" * 1_000_000,
    "phrases": "the answer is " * 20_000,
    "phrases without end": "the answer to " * 8_000,
    "phrases and spaces": ("the answer" + " " * 1000) * 100,
    "one sentence": "The answer is " + "1 - " * 50_000,
    "one sentence of words": "The answer is " + "a " * 100_000,
    "equations": "The answer is 1" + "=1" * 50_000,
    "next problems": "The answer is 5" + "\nProblem:" * 50_000,
    "next questions": "x\nQuestion" * 50_000,
    "hashes": "####" * 30_000,
    "dollars": "$a " * 50_000,
    "formulas": r"\(" * 20_000,
    "fences": "```\n" * 50_000,
    "tags": "<answer>" * 50_000,
    "thoughts": "</think>" * 50_000,
    "dates": "The answer is " + "1/1/2021 " * 10_000,
    "options": "(b) " * 50_000,
    "reasons": " because" * 50_000,
    "stars": "*" * 200_000,
}
GOLDS = [("18", ()), ("b", ("neck", "box")), ("B", ()), ("yes", ()), ("05/25/2021", ()), ("(1, 2)", ()), ("{1, 2}", ())]
GOLDS += [("x^2 + 1", ()), ("paris", ()), ("1 0\n0 1", ())]


@pytest.mark.parametrize("name", LONG)
def test_no_text_is_so_long_that_it_hangs(name: str) -> None:
    """What took the square of its length would take hours here."""
    text = LONG[name]
    for gold, choices in GOLDS:
        asked = problem(gold, choices)
        decide(read(text, asked).found, asked)
        decide(text, asked)
    normalise(text)
    split(text)
    decide("5", problem(text, question=text))
    distilled_option(text), distilled_equation(text), first_or_last(text, problem("18"), "The answer is")
