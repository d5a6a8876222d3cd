"""What the provider does; every field can be given to `FakeTeacher`, to `behave` and on the command line."""

import argparse
import ast
import inspect
from dataclasses import dataclass, field, fields
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

Broken = Literal[
    "reset", "drip", "timeout", "html_502", "half_json", "empty_choices", "null_content", "duplicate_ids", "wrong_usage"
]


@dataclass(frozen=True)
class Behaviour:
    """What the provider does. Everything that goes wrong is off; times are the provider's, see `time_speed`."""

    time_speed: float = 1.0
    """All of the provider's times run so many times faster: latencies, limits a minute, batches. What it tells of
    time (Retry-After, x-ratelimit-reset) is in its own seconds: at 20, `Retry-After: 10` is over in half a second."""
    latency_seconds: float = 0.0
    """Wait before each reply."""
    latency_spread: float = 0.0
    """A request waits its latency times 1 +- so much at most, drawn from its body."""
    batching: float | None = None
    """A batching server: latency * (1 + requests in flight at the arrival / so much)."""
    queue_slots: int | None = None
    """So many requests are worked on at a time, the others queue, first come first served, and are never refused."""
    answer_first: int | None = None
    """Only the first so many requests get a reply, the others wait until this is raised or None; None answers all."""

    requests_per_minute: float | None = None
    """A bucket of requests, refilled all the time, that holds one second's worth: what finds it empty gets 429."""
    tokens_per_minute: float | None = None
    """Such a bucket of tokens. A request of more than it holds is let in by a full one and leaves it in debt."""
    token_charge: Literal["used", "asked"] = "used"
    """What a request takes of the tokens: `used`, prompt and reply, or `asked`, prompt and n * max_tokens."""
    limit_tells: bool = False
    """A 429 says which limit, how much of it, and in Retry-After how long until this very request would be let in."""
    limit_headers: bool = False
    """Every answer has OpenAI's x-ratelimit-* headers."""
    most_in_flight: int | None = None
    """Requests above so many at a time get 429."""
    storm_seconds: float = 0.0
    """For so long from the moment it is set, everything gets `storm_status`."""
    storm_status: int = 429
    """Status of a storm."""

    fail_first: int = 0
    """So many requests, the first ones, get `fail_status`; -1 fails all."""
    fail_after: int = 0
    """So many requests are let through before those."""
    fail_status: int = 500
    """Status of these failures."""
    fail_body: str = '{"error": {"message": "told to fail", "code": null, "type": "fake"}}'
    """Their body."""
    fail_rows: str | None = None
    """Requests whose messages match this regular expression get `fail_rows_status` for ever."""
    fail_rows_status: int = 500
    """Status of these."""
    retry_after: str | None = None
    """Retry-After of these failures and of a storm."""
    broken: Broken | None = None
    """How the answers that `broken_share` and `broken_always` choose are broken: the connection reset in mid-body, the
    body byte by byte, never anything, or what the name says."""
    broken_share: float = 0.0
    """Share of the answers broken, drawn from the body and its attempt, so that a retry may go well."""
    broken_always: str | None = None
    """Requests whose messages contain this text get a broken answer at every attempt."""
    html: bool = False
    """Answer 200 with a web page."""
    refuse: str | None = None
    """A request whose messages contain this text is answered with 400 and `refuse_code`."""
    refuse_code: str | None = "content_filter"
    """The code of that error."""

    right_share: float = 0.7
    """Probability that a choice is right."""
    cut_share: float = 0.0
    """Share of the questions whose replies are cut (finish reason length) whatever max_tokens is."""
    cut_cured_at: int | None = None
    """A max_tokens that lets those end by themselves; None: there is none."""
    ignore_n: bool = False
    """Give one choice whatever n is."""
    reject_n: bool = False
    """Answer 400 where n > 1."""
    no_usage: bool = False
    """Leave the usage out."""
    usage_of_one_choice: bool = False
    """The usage counts one choice of n, and there are `timings`, as from llama.cpp."""
    thoughts: Literal["reasoning_content", "reasoning", "parts", "inline", "closing_only", "empty"] | None = None
    """The model thinks, whatever its name, and shows it in that field, in parts of the content, inline in <think>
    tags, so with the opening tag missing, or has empty tags. None: as the model's name says."""
    finish_reason: str = "stop"
    """The spelling of a normal end: stop, STOP, end_turn, eos; null is JSON's null."""
    length_reason: str = "length"
    """The spelling of a cut."""
    gives_logprobs: bool = False
    """Gives the logprobs and top_logprobs that are asked for."""
    unsupported: list[str] = field(default_factory=list)
    """What is answered with 400 where a request has it: names of fields, of which `temperature` and `n` may be 1, and
    `system`, the role."""
    unsupported_style: Literal["openai", "pydantic", "prose"] = "openai"
    """How that is said: openai (param and code), pydantic (422 with a list of loc and msg) or prose."""

    batches: bool = True
    """There are files and batches; without, 404."""
    batch_seconds: float = 0.0
    """From the creation of a batch to its end: a tenth validating, then in progress, a tenth finalizing. Changed, it
    holds for the batches under way."""
    batch_most_requests: int = 50_000
    """A batch of more fails."""
    batch_most_bytes: int = 200_000_000
    """A larger file is refused."""
    batch_enqueued_tokens: int | None = None
    """Most prompt tokens in the batches under way; a batch above it fails with token_limit_exceeded."""
    batch_ends: Literal["completed", "expired", "cancelled", "failed"] = "completed"
    """How batches end."""
    batch_done_share: float = 0.5
    """Share of the requests that have a result when a batch expires or is cancelled."""
    batch_error_share: float = 0.0
    """Share of the requests of a batch that get 500."""
    batch_shuffled: bool = True
    """Results stand in another order than the requests."""

    keep_bodies: bool = True
    """Keep the body of every request met; without, 100,000 requests take less memory."""

    def __post_init__(self) -> None:
        for name, hint in get_type_hints(Behaviour).items():
            allowed = kind(hint).get("choices")
            value = getattr(self, name)
            assert allowed is None or value is None or value in allowed, f"{name} is {value!r}, not one of {allowed}"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Make an option of every field above, explained by what stands beneath it."""
    hints, explained = get_type_hints(Behaviour), explanations()
    for each in fields(Behaviour):
        flag, help_text = "--" + each.name.replace("_", "-"), explained[each.name].replace("%", "%%")
        default = getattr(Behaviour(), each.name)
        parser.add_argument(flag, dest=each.name, default=default, help=help_text, **kind(hints[each.name]))


def kind(hint: Any) -> dict[str, Any]:
    """What argparse wants to know of a field with this type."""
    if NoneType in get_args(hint):
        (hint,) = (each for each in get_args(hint) if each is not NoneType)
    if hint is bool:
        return {"action": argparse.BooleanOptionalAction}
    if get_origin(hint) is Literal:
        return {"choices": get_args(hint)}
    if get_origin(hint) is list:
        return {"nargs": "+", "metavar": "NAME"}
    return {"type": hint, "metavar": {int: "COUNT", float: "NUMBER"}.get(hint, "TEXT")}


def explanations() -> dict[str, str]:
    """What stands beneath each field above, by its name."""
    (made,) = ast.parse(inspect.getsource(Behaviour)).body
    assert isinstance(made, ast.ClassDef)
    found = {}
    for before, after in zip(made.body, made.body[1:], strict=False):
        if isinstance(before, ast.AnnAssign) and isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            found[ast.unparse(before.target)] = " ".join(str(after.value.value).split())
    return found
