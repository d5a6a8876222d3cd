"""A file of replies that were bought elsewhere: an index of it is held in memory, a line is read when it is wanted."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.errors import UsageError
from pipeline.rows import Problem, Row
from pipeline.sources import question_key

SHAPE = '{"question": "...", "completions": ["...", "..."]}'
SHOWN = 60
"""Characters of a question that a message shows."""


def recording_of(recorded: str, base: Path) -> Path:
    """The user's file, relative to `base`.

    Raises:
        UsageError: it is not there.
    """
    path = base / recorded
    if not path.is_file():
        raise UsageError(f"no file {recorded}", f"looked for {path.resolve()}; paths are relative to the config file")
    return path


class Recording:
    """The replies of one file, by problem.

    {"id": "train-7", "question": "What is 4 + 3 - 2?", "completions": ["4 + 3 = 7. 7 - 2 = 5. The answer is 5."]}

    A line has `id` or `question` of a problem, or both, and `completion` (a text) or `completions` (a list of texts,
    or of objects with `text`, `reasoning` and `finish_reason`); beside them `reasoning`, a text or a list. A line of
    the output of OpenAI's batch API is taken too: `custom_id` is the problem's id. Lines of one problem add up.
    Reading 100,000 lines of 2.5 kB takes about 6 seconds, and their index 35 MB.

    Args:
        path: the file.

    Raises:
        UsageError: a line that cannot be read; says which.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.first = ""
        """What a person is told of the first line: its id and its question."""
        self._offsets: dict[bytes, tuple[int, ...]] = {}
        for offset, line, place in _lines(path):
            entry = _entry(line, place)
            _choices(entry, place)
            name, question = _name(entry, place)
            self.first = self.first or told(name, question)
            for key in _keys(name, question):
                self._offsets[key] = (*self._offsets.get(key, ()), offset)
        if not self._offsets:
            raise UsageError(f"{path.name} has no replies", f"one JSON object a line: {SHAPE}")

    def choices(self, row: Row) -> list[dict[str, Any]]:
        """The replies to a problem in the order of the file, each as the API writes a choice.

        Lines that name the row's id come first: only where there is none are those taken that ask its question, in
        whatever case, spaces and typography.
        """
        keys = _keys(row.id, getattr(row, "question", None))
        offsets = next((self._offsets[key] for key in keys if key in self._offsets), ())
        found: list[dict[str, Any]] = []
        with self.path.open("rb") as file:
            for offset in offsets:
                file.seek(offset)
                found += _choices(_entry(file.readline(), self.path.name), self.path.name)
        return [{**choice, "index": place} for place, choice in enumerate(found)]


def told(name: str | None, question: str | None) -> str:
    """A problem as a message names it: `id 'train-7', question 'What is 4 + 3 - 2?'`."""
    parts = [f"id {name[:SHOWN]!r}"] if name else []
    return ", ".join([*parts, f"question {question[:SHOWN]!r}"] if question else parts)


def _lines(path: Path) -> Iterator[tuple[int, bytes, str]]:
    """Offset, content and place (`replies.jsonl:3`) of each line that is not blank."""
    offset = 0
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                yield offset, line, f"{path.name}:{number}"
            offset += len(line)


def _entry(line: bytes, place: str) -> dict[str, Any]:
    try:
        entry = json.loads(line.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise UsageError(f"{place}: not UTF-8: {error.reason}", "save the file as UTF-8") from None
    except json.JSONDecodeError as error:
        raise UsageError(f"{place}: not JSON: {error.msg} at column {error.colno}", "one JSON object a line") from None
    if not isinstance(entry, dict):
        raise UsageError(f"{place}: expected an object, found {line[:SHOWN]!r}", SHAPE)
    return entry


def _name(entry: dict[str, Any], place: str) -> tuple[str | None, str | None]:
    """Id and question of the problem that a line replies to."""
    name, question = entry.get("custom_id", entry.get("id")), entry.get("question")
    if not isinstance(name, str | int | None) or not isinstance(question, str | None):
        met = name if not isinstance(name, str | int | None) else question
        raise UsageError(f"{place}: id and question are texts, found {met!r:.60}", SHAPE)
    name = None if name is None else str(name).strip()
    if not name and not (question or "").strip():
        raise UsageError(f"{place}: neither id nor question; it has {_fields(entry)}", _renamed("question", entry))
    return name, question


def _choices(entry: dict[str, Any], place: str) -> list[dict[str, Any]]:
    """The replies on a line."""
    match entry:
        case {"completion": one, "completions": several} if one is not None and several is not None:
            raise UsageError(f"{place}: both completion and completions", f"keep one of them: {SHAPE}")
        case {"completions": [_, *_] as completions}:
            pass
        case {"completion": str() as completion}:
            completions = [{"text": completion, "finish_reason": entry.get("finish_reason")}]
        case {"response": {"body": {"choices": [_, *_] as choices}}} if all(map(_is_choice, choices)):
            return list(choices)
        case {"completion": met} | {"completions": met}:
            raise UsageError(f"{place}: a completion is a text and completions are a list, found {met!r:.60}", SHAPE)
        case _:
            fact = f"{place}: neither completion nor completions; it has {_fields(entry)}"
            raise UsageError(fact, _renamed("completion", entry))
    reasoning = entry.get("reasoning")
    thoughts = reasoning if isinstance(reasoning, list) else [reasoning] * len(completions)
    if len(thoughts) != len(completions) or (isinstance(reasoning, str) and len(completions) > 1):
        count = len(thoughts) if isinstance(reasoning, list) else 1
        raise UsageError(f"{place}: {len(completions)} completions and {count} reasoning", "give one for each, or none")
    return [_choice(*pair, place) for pair in zip(completions, thoughts, strict=True)]


def _is_choice(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("message"), dict)


def _choice(completion: Any, thoughts: Any, place: str) -> dict[str, Any]:
    whole = {"text": completion} if isinstance(completion, str) else completion
    match whole:
        case {"text": str(text)}:
            thoughts = whole.get("reasoning", thoughts)
            reason = whole.get("finish_reason")
        case _:
            raise UsageError(f"{place}: a completion is a text, found {completion!r:.60}", SHAPE)
    if not isinstance(thoughts, str | None) or not isinstance(reason, str | None):
        met = reason if isinstance(thoughts, str | None) else thoughts
        raise UsageError(f"{place}: reasoning and finish_reason are texts, found {met!r:.60}", SHAPE)
    message = {"role": "assistant", "content": text, "reasoning_content": thoughts}
    return {"message": message, "finish_reason": reason}


def _keys(name: str | None, question: str | None) -> list[bytes]:
    """What a problem is found by, the surer one first; digests, so that the index is small."""
    texts = [f"id\n{name}"] if name else []
    if question and question.strip():
        texts.append(f"question\n{question_key(Problem(id='', question=question))}")
    return [hashlib.blake2b(text.encode(), digest_size=12).digest() for text in texts]


def _fields(entry: dict[str, Any]) -> str:
    return ", ".join(sorted(entry)[:8]) or "no fields"


def _renamed(ours: str, entry: dict[str, Any]) -> str:
    """How to give a field the name that is read here; each field's copy has a name of its own."""
    often = {"question": ("problem", "prompt", "instruction", "input"), "completion": ("response", "output", "answer")}
    theirs = next((name for name in often[ours] if isinstance(entry.get(name), str)), "THEIRS")
    return f"rename the field: jq -c '.{ours} = .{theirs}' FILE > with-{ours}.jsonl, and set recorded to that"
