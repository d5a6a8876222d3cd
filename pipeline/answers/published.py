"""How the papers read the answers of their teachers: kept so that their numbers can be reached, not to judge by.

Source  Kojima et al. 2022, "Large Language Models are Zero-Shot Reasoners", arXiv:2205.11916, and Ho et al. 2023,
        "Large Language Models Are Reasoning Teachers", arXiv:2212.10071: `first_or_last`
        Hsieh et al. 2023, "Distilling Step-by-Step!", arXiv:2305.02301: `distilled_option` and `distilled_equation`
Differs the last paper evaluates equations as Python; here they are worked out as plain arithmetic
"""

import re

from pipeline.answers.canonical import LETTERS, value_of
from pipeline.answers.kinds import kind_of, letters_of
from pipeline.rows import Problem

NEXT_QUESTION = "Q:"
OPTION_PHRASE = "So the answer is"
EQUATION_PHRASE = "The answer is"
NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
POLAR = re.compile(r"\b(?:yes|no)\b")


def first_or_last(text: str, problem: Problem, phrase: str | None) -> str | None:
    """The candidate that zero-shot and few-shot chain of thought take; None where there is none.

    Args:
        text: the completion.
        problem: its gold answer and options say what a candidate is: an option's capital letter, a number, yes or no,
            else the text without quotes, points and spaces.
        phrase: few-shot: after this phrase the first candidate is taken, without it the last one. None, zero-shot:
            the completion answers "Therefore, the answer is", so the first one is taken.
    """
    stated = text.rpartition(phrase) if phrase else ("", "", text)
    candidates = _candidates(stated[2], problem)
    if not candidates:
        return None
    return candidates[0] if phrase is None or stated[1] else candidates[-1]


def distilled_option(completion: str) -> str | None:
    """The text of the option that a completion names, as Distilling Step-by-Step cuts it out; None where it cannot."""
    _, *after = completion.split(NEXT_QUESTION)[0].rstrip().split(OPTION_PHRASE)
    lettered = re.match(r"\s*\([a-z]\)\s*(.*)", after[0], re.DOTALL) if len(after) == 1 else None
    return lettered[1].removesuffix(".").strip() if lettered else None


def distilled_equation(completion: str) -> str | None:
    """The equation that a completion states, from the first bracket to the last of its line; None without brackets."""
    _, *after = completion.split(NEXT_QUESTION)[0].split(EQUATION_PHRASE)
    brackets = re.search(r"\(.*\)", after[0]) if len(after) == 1 else None
    return brackets[0] if brackets else None


def distilled_right(completion: str, gold: str, choices: tuple[str, ...] = ()) -> bool:
    """Whether Distilling Step-by-Step would call a completion right: options by their text, equations by value."""
    if choices:
        return distilled_option(completion) == gold
    equation = distilled_equation(completion)
    value = value_of(equation) if equation is not None else None
    return value is not None and value == value_of(gold)


def _candidates(text: str, problem: Problem) -> list[str]:
    kind = kind_of(problem)
    if kind == "choice":
        last = LETTERS[len(problem.choices or letters_of(problem)) - 1].upper()
        return re.findall(f"[A-{last}]", text)
    if kind == "number":
        return NUMBER.findall(text.replace(",", ""))
    if kind == "yes_no":
        return POLAR.findall(re.sub(r"[^\w\s]", " ", text.lower()))
    bare = re.sub(r"[\"'\n.\s]", "", text)
    return [bare] if bare else []
