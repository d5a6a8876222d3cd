"""What a stage is, what it is given, and how it asks a teacher.

A stage is a frozen pydantic model whose fields are its whole configuration; `run` turns rows into rows, some of
them `Dropped` with a reason. Where and how it runs (folder, teachers, other steps' folders) comes in `Work`.
"""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Protocol, TypeVar, get_args

from pydantic import BaseModel, ConfigDict

from pipeline.progress import Progress
from pipeline.prompt import Prompt
from pipeline.rows import Dropped, Message, Row

R = TypeVar("R")
RowT = TypeVar("RowT", bound=Row)
Row_co = TypeVar("Row_co", bound=Row, covariant=True)

PromptName = Annotated[str, "prompt"]
"""A field that names a prompt file; its content is part of the record."""
TeacherName = Annotated[str, "teacher"]
"""A field that names a teacher of the choices; its identity is part of the record."""


class Request(BaseModel):
    """One sample wanted of a teacher.

    Equal requests are one: the same key, the same reply, paid once. Several samples of one prompt are several
    requests that differ in `index`; the teacher sends them as one where the provider takes `n`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    messages: tuple[Message, ...]
    index: int = 0
    """Which sample of this prompt, from 0."""
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    """Ceiling of this reply; None leaves it to the provider. Not part of the key."""
    stop: tuple[str, ...] = ()
    seed: int | None = None
    """Sample i is sent with seed + i; None sends none."""
    extra: Mapping[str, Any] = {}
    """Further fields of the request's body, as the API names them (`logprobs`, `reasoning_effort`, ...)."""

    def samples(self, count: int, first: int = 0) -> list["Request"]:
        """This request `count` times, with the indices `first` ... `first + count - 1`."""
        return [self.model_copy(update={"index": index}) for index in range(first, first + count)]


@dataclass(frozen=True)
class TokenLogprob:
    """One token of a reply, with its natural log-probability."""

    token: str
    logprob: float
    top: Mapping[str, float] = field(default_factory=dict)
    """The likeliest tokens at this place, as many as were asked for (`top_logprobs`)."""


@dataclass(frozen=True)
class Reply:
    """What came back for one request."""

    key: str
    """Ledger key, hex."""
    text: str = ""
    thoughts: str = ""
    cut: bool = False
    """It ended at its token limit."""
    problem: str | None = None
    """None for a reply; `refused` where the provider refused this very request (final), `teacher_error` where it
    was given up after retries (asked again at the next start of an unfinished step), `not_recorded` where the file of
    recorded replies has none."""
    detail: str = ""
    """One line on the problem, for a person."""
    tokens: int | None = None
    """Tokens generated, thoughts included; None where the provider did not say for this sample."""
    logprobs: tuple[TokenLogprob, ...] = ()
    """One a token of the text, where they were asked for (`extra: {logprobs: true}`) and given."""


Conversation = Generator[Sequence[Request], Sequence[Reply], R]
"""Yields requests, is sent their replies in the same order, returns what the stage makes of them.

It is a pure function of its row and the replies: no network, no clock, no randomness but from the row's id.
"""


class Rows(Protocol[Row_co]):
    """Rows of one or several steps; can be iterated again."""

    def __iter__(self) -> Iterator[Row_co]: ...
    def __len__(self) -> int: ...


class Asks(Protocol):
    """The door to the teachers, as a stage sees it."""

    def ask(
        self, teacher: str, rows: Iterable[RowT], conversation: Callable[[RowT], Conversation[R]]
    ) -> Iterator[tuple[RowT, R]]:
        """Hold one conversation a row; gives (row, result) in the order of `rows`, the same for the same ledger."""
        ...

    def in_batches(self, teacher: str) -> bool:
        """Whether each further question to this teacher takes as long as a batch job, up to a day."""
        ...


@dataclass(frozen=True)
class Work:
    """Where and how a step runs; nothing in it changes what the step makes."""

    step: str
    """The step's name."""
    folder: Path
    """The step's own folder while it is being made; whatever is written here is published with its rows."""
    base: Path
    """Folder that paths in the choices are relative to."""
    teachers: Asks
    progress: Progress
    logs: Path
    """Folder for logs of this run."""
    uses: Mapping[str, Path] = field(default_factory=dict)
    """Finished folders of other steps, by the part that they play for this one."""
    prompts: dict[str, Prompt] = field(default_factory=dict)
    """Those read so far: a file that is edited while the step runs changes nothing in it."""

    def prompt(self, name: str) -> Prompt:
        """The prompt of that name (`recipe/use`), or at that path of the user's own."""
        if name not in self.prompts:
            self.prompts[name] = Prompt.load(name, self.base)
        return self.prompts[name]


class Stage(BaseModel, ABC):
    """One verb of the pipeline. Never subclassed twice: a stage knows no other stage."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: ClassVar[int] = 1
    """Raised when the same fields and input give other output."""
    reads: ClassVar[type[Row] | None] = None
    writes: ClassVar[type[Row]]
    shapes_student: ClassVar[bool] = False
    """What its rows say decides which weights come out: none of them may be made of a held-out problem."""
    precious: ClassVar[bool] = False
    """What it made took long and is not in the ledger: `run all` stops rather than replace it unasked."""
    may_be_empty: ClassVar[bool] = False
    """It may carry nothing on; from the others an empty step is an error."""
    resumes: ClassVar[bool] = False
    """It goes on in a folder that a killed run left half made; the others begin anew."""

    @classmethod
    def name(cls) -> str:
        """The stage's verb, which is its module's name."""
        return cls.__module__.rpartition(".")[2]

    @abstractmethod
    def run(self, rows: Rows[Any], work: Work) -> Iterator[Row | Dropped]:
        """Turn rows into rows. Each row that enters leaves as itself, as children or as `Dropped`."""

    def conversation(self, row: Any, work: Work) -> Conversation[Any] | None:
        """What the stage would ask for this row; None for a stage that asks nothing."""
        return None

    def foretell(self, rows: Rows[Any] | None, work: Work) -> list[str]:
        """What a plan says of it besides what it would ask, a line each; `rows` is None where they are not made yet."""
        return []

    def outside(self, base: Path) -> dict[str, str]:
        """Content hash or revision of everything read from outside the run; empty when nothing is."""
        return {}

    def marked(self, mark: str) -> dict[str, str]:
        """The fields annotated as `prompt` or `teacher`, with their values; those that are None left out."""
        found = {}
        for name, info in type(self).model_fields.items():
            value = getattr(self, name)
            optional = [get_args(part) for part in get_args(info.annotation)]
            if isinstance(value, str) and (mark in info.metadata or any(mark in part for part in optional)):
                found[name] = value
        return found


def canonical_json(value: Any) -> str:
    """JSON that is the same for equal values: keys sorted, no spaces, text as it is."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def seed_of(*parts: object) -> int:
    """A seed in 0 ... 2**31 - 1 made of the parts; the same on every machine."""
    digest = hashlib.sha256("\x1f".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:4], "big") & 0x7FFF_FFFF
