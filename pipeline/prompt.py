"""Prompt files: plain text with `<<system>>`, `<<user>>` and `<<assistant>>` turns and `{{field}}`, nothing else."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from pipeline.choices import nearest
from pipeline.errors import UsageError
from pipeline.rows import Message, Problem

FOLDER = Path(__file__).resolve().parent.parent / "prompts"
TURN = re.compile(r"^<<(system|user|assistant)>>[ \t]*\n?", re.MULTILINE)
FIELD = re.compile(r"\{\{[ \t]*(\w+)[ \t]*\}\}")
HALF_FIELD = re.compile(r"(?<![\w{])\{[ \t]*(question|choices|reasoning)[ \t]*\}(?!\})")
"""A field as other template languages write it; {answer} and {text} are left out, since a prompt may ask for those."""


@dataclass(frozen=True)
class Prompt:
    """A chat with holes in it."""

    name: str
    turns: tuple[Message, ...]
    hash: str
    """SHA-256 of the file's text, hex."""
    path: Path
    """The file."""

    @classmethod
    def load(cls, name: str, base: Path) -> "Prompt":
        """Read `prompts/<name>.txt`, or a file of the user's own at a path relative to `base`.

        Raises:
            UsageError: no such file, a file without turns, or a field in single braces.
        """
        own = base / name
        shipped = FOLDER / f"{name}.txt"
        path = own if own.is_file() else shipped
        if not path.is_file():
            raise UsageError(f"no prompt {name!r}", f"give a file's path; {nearest(name, names())}")
        text = path.read_text(encoding="utf-8")
        if half := HALF_FIELD.search(text):
            place = f"{path}:{text.count(chr(10), 0, half.start()) + 1}"
            raise UsageError(f"{place}: {half.group()} is no field", f"write {{{{{half.group(1)}}}}}")
        pieces = TURN.split(text)
        if pieces[0].strip() or len(pieces) < 3:
            raise UsageError(f"{path}:1: a prompt begins with a turn", "write <<system>> or <<user>> on its first line")
        turns = tuple(
            Message.model_validate({"role": role, "content": body.strip("\n")})
            for role, body in zip(pieces[1::2], pieces[2::2], strict=True)
        )
        return cls(name, turns, hashlib.sha256(text.encode()).hexdigest(), path)

    @property
    def asked(self) -> "Prompt":
        """The turns up to the model's own: a student's prompt file ends with the turn that it is to write."""
        return replace(self, turns=self.turns[:-1]) if self.turns[-1].role == "assistant" else self

    @property
    def written(self) -> frozenset[str]:
        """The fields that its last turn names."""
        return frozenset(FIELD.findall(self.turns[-1].content))

    def check_asks(self) -> None:
        """Refuse a prompt that would ask the same for every problem.

        Raises:
            UsageError: no turn names {{question}}, nor {{reasoning}}, which is a reply to it.
        """
        named = {name for turn in self.turns for name in FIELD.findall(turn.content)}
        if not named & {"question", "reasoning"}:
            raise UsageError(
                f"{self.path}:1: nowhere names {{{{question}}}}, so every problem would be asked the same",
                "write {{question}} where the problem is to stand",
            )

    def example(self, fields: Mapping[str, str]) -> tuple[tuple[Message, ...], str]:
        """What a student reads, and what it is to write.

        Raises:
            UsageError: the file does not end with an assistant's turn.
        """
        rendered = self.render(fields)
        if rendered[-1].role != "assistant":
            raise UsageError(f"prompt {self.name!r} must end with <<assistant>>, the turn that the student writes")
        return rendered[:-1], rendered[-1].content

    def render(self, fields: Mapping[str, str]) -> tuple[Message, ...]:
        """Fill the holes; a value is put in as it stands and never read again for holes.

        Raises:
            UsageError: the file names a field that the stage does not fill.
        """

        def fill(match: re.Match[str]) -> str:
            name = match.group(1)
            if name not in fields:
                raise UsageError(
                    f"prompt {self.name!r} has {{{{{name}}}}}, which is not filled here",
                    f"fields of this prompt: {', '.join(sorted(fields))}",
                )
            return fields[name]

        return tuple(turn.model_copy(update={"content": FIELD.sub(fill, turn.content)}) for turn in self.turns)


def names() -> list[str]:
    """The prompts that come with the project."""
    return sorted(str(path.relative_to(FOLDER).with_suffix("")) for path in FOLDER.rglob("*.txt"))


def problem_fields(problem: Problem) -> dict[str, str]:
    """What a prompt about a problem may name: `question` (options beneath it), `answer`, `choices`."""
    options = "\n".join(f"({chr(ord('a') + i)}) {choice}" for i, choice in enumerate(problem.choices))
    question = f"{problem.question}\nAnswer Choices:\n{options}" if options else problem.question
    return {"question": question, "choices": options, "answer": problem.answer or ""}
