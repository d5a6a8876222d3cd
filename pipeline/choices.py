"""What a user chooses: one YAML file, flags over it, `--set step.field=value` over both; strict, and all of it is
checked before anything is asked, paid or loaded.
"""

import difflib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from pipeline.errors import UsageError
from pipeline.rows import AnswerKind

DEFAULT = Path(__file__).resolve().parent / "default.yaml"
"""The choices of somebody who chose nothing: the embedded teacher and generated problems."""

RUN_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"


class Choice(BaseModel):
    """A part of the choices."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Source(Choice):
    """Where problems come from; a bare string is its path.

    `problems.jsonl` (also .json, .csv, .parquet), `reasoning_gym:chain_sum?min_terms=2&size=500&seed=1`, or
    `hf:openai/gsm8k:main:train`.
    """

    path: str
    fields: Mapping[str, str] = {}
    """Our field -> the file's own name for it: `{question: problem, answer: solution}`."""
    split: str | None = None
    """Split of a Hugging Face data set; None takes what stands in the path, else `train`."""
    limit: int | None = Field(default=None, ge=1)
    """Most problems taken of this source, from its beginning; None takes all."""
    licence: str | None = None
    """Travels with every row that is made from it."""
    answer_kind: AnswerKind | None = None
    """What its answers are; None infers it for each problem."""
    judge: str | None = None
    """`my_judge.py:same`, a function of the user's own that takes a reply's text and the gold answer and says whether
    it is right (True, False, or None where it cannot tell); None compares by our rules."""
    kind: Literal["reasoning", "general"] = "reasoning"


def _source(value: Any) -> Any:
    return {"path": value} if isinstance(value, str) else value


def _sources(value: Any) -> Any:
    return value if isinstance(value, list | tuple) else [value]


Sources = Annotated[tuple[Annotated[Source, BeforeValidator(_source)], ...], BeforeValidator(_sources)]


class Data(Choice):
    """The problems."""

    train: Sources
    eval: Sources
    limit: int | None = Field(default=None, ge=1)
    """Most train problems, over all sources; None takes all. `--limit` sets it."""
    dev: int | None = Field(default=None, ge=1)
    """Train problems with gold that are set apart to choose among trained students by. `limit` does not count
    them. None sets none apart."""


class Price(Choice):
    """What a teacher costs, in USD per million tokens."""

    input: float = Field(ge=0)
    output: float = Field(ge=0)
    batch_share: float = Field(default=0.5, ge=0, le=1)
    """Of these, what the provider takes through its batch API."""


class TeacherChoice(Choice):
    """A model behind an OpenAI-compatible API, weights that we serve ourselves (the string `local` is the embedded
    one), or replies that were bought elsewhere.
    """

    base_url: str | None = None
    """With its version path, as in https://api.deepseek.com/v1; None only for `local`."""
    model: str | None = None
    key_env: str | None = None
    """Environment variable that holds the key; None sends none."""
    concurrency: int = Field(default=512, ge=1, le=10_000)
    """Most requests in flight; how many are best is found out below it."""
    requests_per_minute: float | None = Field(default=None, gt=0)
    """Most requests sent in a minute, evenly spread; None takes what the server tells or shows."""
    tokens_per_minute: float | None = Field(default=None, gt=0)
    """Most tokens of prompts and replies in a minute; None takes what the server tells or shows."""
    timeout_seconds: float = Field(default=600, gt=0)
    """Longest wait for one reply."""
    attempts: int = Field(default=6, ge=1)
    """Most times that one request is sent before it is given up."""
    request: Mapping[str, Any] = {}
    """Fields added to every request's body (`reasoning_effort: high`, provider options); part of the ledger key."""
    headers: Mapping[str, str] = {}
    """Sent with every request; not part of the key."""
    identity: str | None = None
    """Stands in for the address in the ledger key: give the old one for a server that moved."""
    local: str | None = None
    """`embedded`, or a GGUF file that we serve on a loopback port."""
    recorded: str | None = None
    """A .jsonl file of replies that were bought elsewhere; nothing is sent."""
    batch: bool = False
    """Ask through the provider's batch API: half the price, up to 24 hours a round."""
    price: Price | None = None
    """None looks the price up; local weights cost nothing."""
    terms: str | None = None
    """Its terms of use (a name or an address); travels with every row that is made of its replies."""

    @model_validator(mode="after")
    def _one_of_three(self) -> "TeacherChoice":
        ours = [name for name in ("local", "recorded") if getattr(self, name) is not None]
        if not ours and (self.base_url is None or self.model is None):
            raise ValueError("a teacher needs base_url and model, or local, or recorded")
        if len(ours) == 2:
            raise ValueError("a teacher is local or recorded, not both")
        if ours and (self.base_url is not None or self.key_env is not None or self.batch):
            raise ValueError(f"a {ours[0]} teacher has no base_url, no key_env and no batch")
        return self


def _teacher(value: Any) -> Any:
    return {"local": "embedded"} if value == "local" else value


class Student(Choice):
    """The model to train."""

    model: str
    """Name on the Hugging Face hub, a folder, a GGUF file, or `embedded` for the embedded teacher's own weights."""


class Choices(Choice):
    """Everything that a user chooses."""

    recipe: str
    run: str = Field(default="first", pattern=RUN_NAME)
    """Names the folder under outputs/."""
    data: Data
    teachers: Mapping[str, Annotated[TeacherChoice, BeforeValidator(_teacher)]]
    student: Student
    budget_usd: float | None = Field(default=None, gt=0)
    """Most that this run may spend; None sets no cap."""
    budget_tokens: int | None = Field(default=None, gt=0)
    """Most tokens, of prompts and replies, that this run may use; None sets no cap."""
    budget_requests: int | None = Field(default=None, gt=0)
    """Most requests that this run may send, each attempt counted; None sets no cap."""
    max_failure_share: float = Field(default=0.02, ge=0, le=1)
    """Largest share of a step's samples that may be given up after retries; they are dropped as teacher_error."""
    max_loss_share: float | None = Field(default=None, ge=0, le=1)
    """Largest share of the loaded problems of which a step may leave nothing; None lets any be lost."""
    set: Mapping[str, Any] = {}
    """`step.field: value`, over what the recipe chose."""
    base: Path = Field(default=Path(), exclude=True)
    """Folder of the file: paths in it are relative to it."""

    @property
    def terms(self) -> dict[str, str]:
        """Teacher -> its terms of use, of those that have any."""
        return {name: teacher.terms for name, teacher in self.teachers.items() if teacher.terms is not None}

    @model_validator(mode="after")
    def _has_main_teacher(self) -> "Choices":
        if "main" not in self.teachers:
            raise ValueError("teachers: one of them must be named main")
        return self


def load(file: Path | None, over: Mapping[str, Any], set_over: Sequence[str] = ()) -> Choices:
    """Read the choices.

    Args:
        file: the YAML file; None takes the embedded default.
        over: dotted keys from flags (`data.limit`), over the file; values of None are skipped.
        set_over: `step.field=value` from `--set`, values read as YAML.

    Raises:
        UsageError: no such file, not YAML, an unknown key or a value that does not fit.
    """
    path = file or DEFAULT
    name = str(file) if file else "the embedded default"
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"no file {name}", "give --config a YAML file, or leave it out") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{name}:{mark.line + 1}" if mark else name
        raise UsageError(f"{where}: not YAML: {getattr(error, 'problem', None) or error}") from None
    if raw is None:
        raise UsageError(f"{name} is empty", "give it recipe, data, teachers and student, or leave --config out")
    if not isinstance(raw, dict):
        raise UsageError(f"{name}: expected keys and values, found {type(raw).__name__}")
    for dotted, value in over.items():
        if value is not None:
            _put(raw, dotted.split("."), value)
    for item in set_over:
        address, equals, text = item.partition("=")
        if not equals or "." not in address:
            raise UsageError(f"--set {item}: expected step.field=value")
        _put(raw, ["set", address], _value(item, text))
    try:
        return Choices.model_validate({**raw, "base": path.parent if file else Path()})
    except ValidationError as error:
        raise UsageError(f"{name}: {first_fault(error)}", _nearest_key(error)) from None


def key_of(teacher: TeacherChoice, name: str) -> str | None:
    """The teacher's API key, from the environment only.

    Raises:
        UsageError: the variable is named but not set.
    """
    if teacher.key_env is None:
        return None
    key = os.environ.get(teacher.key_env, "").strip()
    if not key:
        raise UsageError(
            f"teachers.{name}: the environment has no {teacher.key_env}", f"export {teacher.key_env}=... and run again"
        )
    return key


def nearest(word: str, known: Sequence[str]) -> str:
    """A hint that names the nearest known word, or all of them."""
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"one of: {', '.join(sorted(known))}"


def first_fault(error: ValidationError) -> str:
    """The first fault of a validation error in one line, with the value met; never a key or a long text."""
    faults = error.errors(include_url=False)
    fault = _first(error)
    where = _place(fault["loc"])
    if fault["type"] == "extra_forbidden":
        return f"unknown key {where}"
    told = " or ".join(other["msg"] for other in faults if _place(other["loc"]) == where) if where else fault["msg"]
    met = "" if fault["type"] in ("missing", "value_error") else f", found {str(fault['input'])[:60]!r}"
    return f"{where}: {told}{met}" if where else told


def _place(parts: Sequence[int | str]) -> str:
    """Dotted keys; which of several types a value was held against is none of them."""
    return ".".join(str(part) for part in parts if not str(part).startswith(("constrained-", "literal[")))


def _first(error: ValidationError) -> Any:
    """An unknown key before all others: where a key is written wrong, it is missing too."""
    faults = error.errors(include_url=False)
    return next((fault for fault in faults if fault["type"] == "extra_forbidden"), faults[0])


def _put(raw: dict[str, Any], keys: Sequence[str], value: Any) -> None:
    """Set a value; where the file has no keys on the way to it, that is left for the validation to tell."""
    for key in keys[:-1]:
        if raw.get(key) is None:
            raw[key] = {}
        if not isinstance(raw[key], dict):
            return
        raw = raw[key]
    raw[keys[-1]] = value


def _value(item: str, text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UsageError(f"--set {item}: not YAML: {getattr(error, 'problem', None) or error}") from None


def _nearest_key(error: ValidationError) -> str | None:
    fault = _first(error)
    if fault["type"] != "extra_forbidden":
        return None
    if fault["loc"][0] == "teachers" and fault["loc"][-1] in ("api_key", "key", "token"):
        return "keys come from the environment: key_env: NAME_OF_VARIABLE"
    inner: dict[tuple[object, int], type[BaseModel]] = {
        ("data", 2): Data,
        ("data", 4): Source,
        ("student", 2): Student,
        ("teachers", 3): TeacherChoice,
        ("teachers", 4): Price,
    }
    model = inner.get((fault["loc"][0], len(fault["loc"])), Choices)
    return nearest(str(fault["loc"][-1]), [name for name in model.model_fields if name != "base"])
