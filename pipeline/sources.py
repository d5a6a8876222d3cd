"""Problems made of the entries of the user's sources.

An id in the source is kept; one of digits alone gets the source's short name before it (`train-7`), since every file
counts from 0. Where the source gives none, the id is made of the question (`train-1f0c6a2b`), so that a problem put in
or taken out changes no other's id. Two entries with one id are an error, over all sources.
"""

import hashlib
import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from pipeline import generated
from pipeline.answers.canonical import LETTERS, SYMBOLS, option
from pipeline.answers.own import scorer_of
from pipeline.choices import Source, nearest
from pipeline.entries import entries, stem
from pipeline.errors import UsageError
from pipeline.rows import InputOutput, Problem

FIELDS = ("id", "question", "answer", "choices", "tests")
OFTEN_NAMED = {
    "question": ("problem", "prompt", "query", "input", "instruction", "text"),
    "answer": ("gold", "solution", "target", "output", "label", "answerKey", "expected"),
    "choices": ("options",),
}
SAMPLE = re.compile(r"(.+)/(?:hint-)?\d+", re.DOTALL)
"""An id that a sample of the problem before the last slash may get."""
GSM8K_ANSWER = re.compile(r"^[ \t]*####[ \t]*(\S.*?)[ \t]*$", re.MULTILINE)


def problems(sources: Sequence[Source], base: Path) -> Iterator[Problem]:
    """The problems of all sources, one source after another, read as they are asked for.

    Args:
        sources: what the user named.
        base: folder that their paths are relative to.

    Raises:
        UsageError: a source that cannot be read, or an entry that is no problem; says where.
    """
    places: dict[str, str] = {}
    sampled: dict[str, str] = {}
    repeats: Counter[str] = Counter()
    for source in sources:
        _check_fields(source)
        name, scorer, place = stem(source), _scorer(source, base), None
        for place, entry in islice(entries(source, base), source.limit):
            problem = _problem(entry, source, place, scorer)
            identity = _given_id(entry, source, name, place) or _made_id(problem, name, repeats)
            if identity in places:
                raise UsageError(
                    f"{place}: id {identity!r} stands at {places[identity]} too",
                    "give each problem its own id, or leave the field out and ids are made of the questions",
                )
            places[identity] = place
            _check_no_sample(identity, places, sampled)
            yield problem.model_copy(update={"id": identity})
        if place is None:
            raise UsageError(f"{source.path} has no problems")


def question_key(problem: Problem) -> str:
    """Text that is the same for two problems exactly where they ask the same: question and options, without the
    differences of case, spaces and typography.
    """
    return "\n".join(
        re.sub(r" (?=[.,;:?!])", "", " ".join(text.translate(SYMBOLS).casefold().split()))
        for text in (problem.question, *problem.choices)
    )


def _problem(entry: dict[str, Any], source: Source, place: str, scorer: str | None) -> Problem:
    question = _field(entry, "question", source, place)
    if not isinstance(question, str) or not question.strip():
        fault = (
            "is empty" if question in (None, "") or isinstance(question, str) else f"is {question!r:.60}, not a text"
        )
        raise UsageError(f"{place}: the question {fault}", "give it a text, or take the entry out")
    answer = _answer(_field(entry, "answer", source, place), place)
    labels, choices = _choices(_field(entry, "choices", source, place), place)
    is_generated = source.path.startswith(generated.PREFIX)
    return Problem(
        id="",
        question=question.strip(),
        answer=_letter(answer, labels, choices, place) if choices and answer is not None else answer,
        choices=choices,
        answer_kind=source.answer_kind,
        tests=_tests(_field(entry, "tests", source, place), place),
        kind=source.kind,
        source=source.path,
        licence=source.licence,
        scorer=scorer,
        metadata=entry.get("metadata", {}) if is_generated else {},
    )


def _scorer(source: Source, base: Path) -> str | None:
    if source.judge is not None:
        return scorer_of(source.judge, base)
    return generated.Address.of(source.path).scorer if source.path.startswith(generated.PREFIX) else None


def _check_fields(source: Source) -> None:
    for field in source.fields:
        if field not in FIELDS:
            raise UsageError(f"{source.path}: fields: there is no {field!r} of ours", nearest(field, FIELDS))


def _field(entry: dict[str, Any], ours: str, source: Source, place: str) -> Any:
    name = source.fields.get(ours, ours)
    if name in entry:
        return entry[name]
    if ours != "question" and ours not in source.fields:
        return None
    guess = next((known for known in OFTEN_NAMED.get(ours, ()) if known in entry), "...")
    raise UsageError(
        f"{place}: no field {name!r}; it has {', '.join(map(str, entry)) or 'none'}",
        f"it has {ours!r} by that name: leave it out of fields"
        if ours in entry
        else f"name the field under data: {{path: {source.path}, fields: {{{ours}: {guess}}}}}",
    )


def _answer(value: Any, place: str) -> str | None:
    if isinstance(value, list | dict):
        raise UsageError(
            f"{place}: the answer is {'a list' if isinstance(value, list) else 'an object'}",
            "give one text or number, or name another field with fields: {answer: ...}",
        )
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    text = str(value).lower() if isinstance(value, bool) else str(value).strip("\n")
    marked = GSM8K_ANSWER.findall(text)
    return (marked[-1] if marked else text) or None


def _choices(value: Any, place: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Labels, where the source has its own, and texts of the options."""
    if isinstance(value, str) and value.strip():
        value = _from_cell(value)
    if not value:
        return (), ()
    match value:
        case {"label": list(labels), "text": list(texts)} if len(labels) == len(texts):
            pairs = list(zip(labels, texts, strict=True))
        case dict():
            pairs = list(value.items())
        case [{"label": _, "text": _}, *_]:
            pairs = [(item.get("label"), item.get("text")) for item in value]
        case list():
            pairs = [("", text) for text in value]
        case _:
            pairs = []
    usable = all(isinstance(text, str | int | float) for _, text in pairs)
    if not usable or not 2 <= len(pairs) <= len(LETTERS):
        raise UsageError(
            f"{place}: choices are not 2 to {len(LETTERS)} texts, found {value!r:.60}",
            'a list of texts, or {"label": ["A", "B"], "text": ["...", "..."]}',
        )
    return tuple(str(label) for label, _ in pairs), tuple(str(text) for _, text in pairs)


def _tests(value: Any, place: str) -> tuple[str | InputOutput, ...]:
    """Tests of a question that asks for code: statements, objects with `input` and `output`, or both lists of APPS."""
    if isinstance(value, str) and value.strip():
        value = _from_cell(value)
    match value:
        case None | "" | [] | {}:
            return ()
        case str(statements) if statements.strip():
            return _that_check([statements], place)
        case {"inputs": list(inputs), "outputs": list(outputs)} if len(inputs) == len(outputs):
            return tuple(InputOutput(input=str(i), output=str(o)) for i, o in zip(inputs, outputs, strict=True))
        case list(tests) if all(isinstance(test, str) for test in tests):
            return _that_check(tests, place)
        case list(tests) if all(isinstance(test, dict) and {"input", "output"} <= set(test) for test in tests):
            return tuple(InputOutput(input=str(test["input"]), output=str(test["output"])) for test in tests)
    raise UsageError(
        f"{place}: tests are not statements or inputs with outputs, found {value!r:.60}",
        'a list of texts like "assert f(2) == 4", or of {"input": "2", "output": "4"}',
    )


def _that_check(statements: Sequence[str], place: str) -> tuple[str, ...]:
    """Statements of which at least one can fail."""
    if not any("assert" in statement or "raise" in statement for statement in statements):
        raise UsageError(
            f"{place}: the tests check nothing, found {statements[0]!r:.60}", 'write statements like "assert f(2) == 4"'
        )
    return tuple(statements)


def _from_cell(cell: str) -> Any:
    """Choices or tests in a cell of a CSV file, where they are JSON."""
    try:
        return json.loads(cell)
    except json.JSONDecodeError:
        return cell


def _letter(answer: str, labels: tuple[str, ...], choices: tuple[str, ...], place: str) -> str:
    """The gold option's letter, given as the source's own label, a letter, its text, or its index from 0."""
    if answer.strip() in labels:
        return LETTERS[labels.index(answer.strip())]
    letter = option(answer, choices)
    if letter is not None:
        return letter
    if answer.strip().isdecimal() and int(answer) < len(choices):
        return LETTERS[int(answer)]
    raise UsageError(
        f"{place}: answer {answer[:60]!r} is none of the {len(choices)} choices",
        "give the option's letter, its text, or its index from 0",
    )


def _given_id(entry: dict[str, Any], source: Source, name: str, place: str) -> str | None:
    value = _field(entry, "id", source, place)
    text = "" if value is None else str(value).strip()
    return f"{name}-{text}" if text.isdecimal() else text or None


def _check_no_sample(identity: str, places: dict[str, str], sampled: dict[str, str]) -> None:
    """Refuse `q12/1` beside `q12`, whose samples are called so.

    Args:
        identity: of the problem that was met last.
        places: id -> where it stands, of all so far.
        sampled: of those that could be a sample's, the problem's id -> the id; this one is added.
    """
    match = SAMPLE.fullmatch(identity)
    if match:
        sampled[match[1]] = identity
    parent = match[1] if match and match[1] in places else identity
    if parent in sampled:
        name = identity if parent != identity else sampled[parent]
        raise UsageError(
            f"{places[name]}: id {name!r} is what a sample of {parent!r} at {places[parent]} is called",
            "write it without the slash, or leave ids out and they are made of the questions",
        )


def _made_id(problem: Problem, name: str, repeats: Counter[str]) -> str:
    made = f"{name}-{hashlib.sha256(question_key(problem).encode()).hexdigest()[:8]}"
    repeats[made] += 1
    return made if repeats[made] == 1 else f"{made}-{repeats[made]}"
