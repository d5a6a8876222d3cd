"""Who a teacher is, what a request says to it, and the key under which its reply is kept."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pipeline.choices import TeacherChoice
from pipeline.errors import UsageError
from pipeline.stage import Request, canonical_json
from pipeline.teacher.local import weights_of
from pipeline.teacher.recording import recording_of

OURS = ("model", "messages", "n", "stream")
"""Fields of the body that a teacher's `request` cannot set: a reply could not be read or found again."""

LIMITS = ("max_completion_tokens", "max_tokens")
"""Names of the ceiling of a reply; never part of a key."""

PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Wanted:
    """One sample to be had."""

    request: Request
    key: str
    """SHA-256, hex, of everything that decides what the reply may be."""
    fields: Mapping[str, Any]
    """The body's fields but for model, messages and n, as the stage and the choices wrote them."""
    limit: int | None
    """Ceiling of the reply in tokens; None leaves it to the provider."""


@dataclass(frozen=True)
class Teacher:
    """A teacher of the choices, by its name there, and what tells it from any other."""

    name: str
    choice: TeacherChoice
    base: Path
    """Folder that paths to local weights and to recorded replies are relative to."""

    @cached_property
    def identity(self) -> str:
        """Address or weights, as it stands in the ledger."""
        return identity_of(self.choice, self.base)

    @cached_property
    def model(self) -> str:
        """The model's name, as it is sent."""
        return model_of(self.choice, self.base)

    def wanted(self, request: Request) -> Wanted:
        """The sample that a request is for.

        The teacher's own fields stand over the stage's. One that is null is left out of the body, and
        `max_completion_tokens` stands in for `max_tokens`.
        """
        merged = {
            "temperature": request.temperature,
            "top_p": request.top_p,
            "max_tokens": request.max_tokens,
            "stop": list(request.stop) or None,
            "seed": request.seed,
            **request.extra,
            **self.choice.request,
        }
        if merged.get("max_completion_tokens") is not None:
            merged.pop("max_tokens")
        fields = {name: value for name, value in merged.items() if value is not None}
        whole = {
            "identity": self.identity,
            "model": self.model,
            "messages": messages_of(request),
            "fields": {name: value for name, value in fields.items() if name not in LIMITS},
            "index": request.index,
        }
        key = hashlib.sha256(canonical_json(whole).encode()).hexdigest()
        return Wanted(request, key, fields, next((fields[name] for name in LIMITS if name in fields), None))


def messages_of(request: Request) -> list[dict[str, str]]:
    """The chat, as the API writes it."""
    return [{"role": message.role, "content": message.content} for message in request.messages]


def identity_of(choice: TeacherChoice, base: Path) -> str:
    """What tells this teacher from another in the ledger: its address, or the hash of its weights (`local:`) or of the
    file of its replies (`recorded:`).

    Raises:
        UsageError: an address that is none, or a file that is not there.
    """
    if choice.identity is not None:
        return choice.identity
    if choice.local is not None:
        path = weights_of(choice.local, base)
        return f"local:{_hash_of(path, path.stat().st_mtime_ns)}"
    if choice.recorded is not None:
        path = recording_of(choice.recorded, base)
        return f"recorded:{_hash_of(path, path.stat().st_mtime_ns)}"
    return address(choice.base_url or "")


def model_of(choice: TeacherChoice, base: Path) -> str:
    """The model's name; for local weights and recorded replies that of their file unless the choices give one."""
    if choice.model is not None:
        return choice.model
    if choice.recorded is not None:
        return recording_of(choice.recorded, base).stem
    return weights_of(choice.local or "", base).stem


def record_of(choice: TeacherChoice, base: Path) -> dict[str, Any]:
    """What a step's record says of a teacher that it asks."""
    return {
        "identity": identity_of(choice, base),
        "model": model_of(choice, base),
        "request": dict(choice.request),
    }


def address(base_url: str) -> str:
    """Scheme, host, port and path of an address; no user, no query, no default port.

    Raises:
        UsageError: the address has no scheme or no host.
    """
    try:
        parts = urlsplit(base_url.strip())
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme not in PORTS or not parts.hostname:
        raise UsageError(f"base_url {base_url.split('@')[-1][:80]!r} is no address", "write it as https://HOST/v1")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    shown = "" if port in (None, PORTS[parts.scheme]) else f":{port}"
    return f"{parts.scheme}://{host}{shown}{parts.path.rstrip('/')}"


def check(name: str, choice: TeacherChoice) -> None:
    """Refuse what a teacher's `request` cannot set.

    Raises:
        UsageError: it sets one of the pipeline's own fields.
    """
    for field in OURS:
        if field in choice.request or field in (choice.request.get("extra_body") or {}):
            raise UsageError(f"teachers.{name}.request: {field} is set by the pipeline", f"leave {field} out of it")


@cache
def _hash_of(path: Path, changed: int) -> str:
    """SHA-256 of a file, hex; read once a process as long as its time of change stays."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
