"""The files and batches of an OpenAI-compatible API; each call is insisted on, and no batch is made twice."""

import contextlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, TypeVar

from pipeline.errors import TeacherError, UsageError
from pipeline.teacher import dialect
from pipeline.teacher.limits.headers import retry_after
from pipeline.teacher.retrying import FailedError, Patience
from pipeline.teacher.standing import Standing
from pipeline.teacher.transport import Transport

if TYPE_CHECKING:
    from openai import APIStatusError
    from openai.types import Batch as Told

T = TypeVar("T")

ENDPOINT: Literal["/v1/chat/completions"] = "/v1/chat/completions"
"""What a provider's batch API calls it, whatever path its base_url has."""

LONG_ATTEMPTS = 60
"""Attempts, for an hour, at what a run waits for over a day: a provider that is away for a while ends nothing."""

MARK = "cot_distill"
"""Name in a batch's metadata of what tells whose it is."""

ENDS = ("completed", "failed", "expired", "cancelled")
"""What a batch may be in the end."""

FULL = ("token_limit_exceeded", "enqueued token", "too large", "too_large", "too_many_tasks")
"""What a provider says where a batch is too large, by itself or beside those under way."""

PAGE = 100
"""Batches told in one answer to a request for their list."""


class FullError(Exception):
    """The provider has no room for a batch of this size."""


class GoneError(Exception):
    """The provider knows no such file or batch."""


@dataclass(frozen=True)
class Batch:
    """A batch, as its provider tells it."""

    id: str
    status: str
    requests: int
    """As counted by the provider; 0 until it has read them."""
    done: int
    """Of these, the ones answered, whatever with."""
    files: tuple[str, ...]
    """Those of its results: replies first, then errors."""
    fault: str
    """The first of its errors, on one line; empty where there is none."""

    @property
    def has_ended(self) -> bool:
        """Nothing more will come."""
        return self.status in ENDS

    @property
    def is_full(self) -> bool:
        """It failed for its size."""
        return self.status == "failed" and is_full(self.fault)


class BatchApi:
    """One teacher's batch API.

    Args:
        transport: an open client.
        standing: whose API it is.
        patience: how long to insist on an answer.
    """

    def __init__(self, transport: Transport, standing: Standing, patience: Patience) -> None:
        self._sdk = transport.sdk
        self._headers = dict(transport.headers)
        self._standing = standing
        self._patience = patience
        self._long_patience = replace(patience, attempts=max(LONG_ATTEMPTS, patience.attempts))

    async def check(self) -> None:
        """Ask whether there is such an API.

        Raises:
            UsageError: there is none.
        """
        import httpx2

        async def ask() -> bool:
            options: Any = {"headers": self._headers, "params": {"limit": 1}}
            answer = await self._sdk.get("/batches", cast_to=httpx2.Response, options=options)
            return isinstance((dialect.parse(answer.content) or {}).get("data"), list)

        with contextlib.suppress(GoneError):
            if await self._insist(ask):
                return
        name = self._standing.teacher.name
        raise UsageError(
            f"teachers.{name} ({self._standing.teacher.model} at {self._standing.address}) has no batch API",
            f"take `batch: true` out of teachers.{name}",
        )

    async def upload(self, name: str, file: BinaryIO) -> str:
        """Upload a job's file; gives what the provider calls it.

        Raises:
            FullError: it is too large.
        """

        async def ask() -> str:
            file.seek(0)
            made = await self._sdk.files.create(
                file=(name, file, "application/jsonl"), purpose="batch", extra_headers=self._headers
            )
            return _object(made).id

        return await self._insist(ask)

    async def create(self, file: str, mark: str) -> Batch:
        """Have the requests of an uploaded file answered.

        Raises:
            FullError: there is no room for it.
        """
        is_in_doubt = False

        async def ask() -> Batch:
            nonlocal is_in_doubt
            known = await self._search(mark) if is_in_doubt else None
            if known is not None:
                return known
            is_in_doubt = True
            made = await self._sdk.batches.create(
                completion_window="24h",
                endpoint=ENDPOINT,
                input_file_id=file,
                metadata={MARK: mark},
                extra_headers=self._headers,
            )
            return _read(made)

        return await self._insist(ask)

    async def find(self, mark: str) -> Batch | None:
        """The batch that carries this mark, among all that the provider has."""
        return await self._insist(lambda: self._search(mark))

    async def get(self, batch: str) -> Batch:
        """A batch as it is now.

        Raises:
            GoneError: there is none of that name.
        """

        async def ask() -> Batch:
            return _read(await self._sdk.batches.retrieve(batch, extra_headers=self._headers))

        return await self._insist(ask, self._long_patience)

    async def cancel(self, batch: str) -> Batch:
        """Have no more of a batch's requests answered.

        Raises:
            GoneError: there is none of that name.
        """

        async def ask() -> Batch:
            return _read(await self._sdk.batches.cancel(batch, extra_headers=self._headers))

        return await self._insist(ask)

    async def download(self, file: str, into: BinaryIO) -> None:
        """Write a file of results.

        Raises:
            GoneError: there is none of that name.
        """

        async def ask() -> None:
            into.seek(0)
            into.truncate()
            async with self._sdk.files.with_streaming_response.content(file, extra_headers=self._headers) as answer:
                async for piece in answer.iter_bytes():
                    into.write(piece)

        await self._insist(ask, self._long_patience)

    async def _search(self, mark: str) -> Batch | None:
        async for told in self._sdk.batches.list(limit=PAGE, extra_headers=self._headers):
            if (told.metadata or {}).get(MARK) == mark:
                return _read(told)
        return None

    async def _insist(self, ask: Callable[[], Awaitable[T]], patience: Patience | None = None) -> T:
        import httpx2
        from openai import APIConnectionError, APIStatusError

        async def once() -> T:
            try:
                return await ask()
            except APIStatusError as error:
                raise self._judged(error) from None
            except (APIConnectionError, httpx2.HTTPError) as error:
                raise FailedError(str(error) or type(error).__name__) from None
            except ValueError as error:
                raise FailedError(f"an answer that cannot be read: {dialect.one_line(str(error))}") from None

        try:
            return await (patience or self._patience).insist(once)
        except FailedError as error:
            raise TeacherError(
                f"{self._who}: {self._standing.told(str(error))}",
                "nothing is lost; run the same command again when it is back",
            ) from None

    def _judged(self, error: "APIStatusError") -> Exception:
        answer = error.response
        verdict = dialect.judge(answer.status_code, answer.headers.get("content-type", ""), answer.content)
        if is_full(verdict.message) or answer.status_code == 413:
            return FullError(verdict.message)
        if answer.status_code in (404, 405, 501):
            return GoneError(verdict.message)
        if verdict.kind == "failed":
            return FailedError(verdict.message, retry_after(answer.headers.get("retry-after"), time.time()))
        if verdict.kind == "fatal":
            return self._standing.fatal(verdict)
        return TeacherError(f"{self._who}: {self._standing.told(verdict.message)}", "nothing that was paid for is lost")

    @property
    def _who(self) -> str:
        return f"teachers.{self._standing.teacher.name}: batch API at {self._standing.address}"


def is_full(message: str) -> bool:
    """Whether this says that a batch is too large."""
    return any(mark in message.lower() for mark in FULL)


def _object(told: T) -> T:
    """The SDK gives an answer that is not JSON as its text, and one that lacks its fields as an object without them."""
    if isinstance(told, str):
        raise FailedError("an answer that is not JSON")
    if not isinstance(getattr(told, "id", None), str):
        raise FailedError("an answer without an id")
    return told


def _read(told: "Told") -> Batch:
    told = _object(told)
    counts = told.request_counts
    errors = (told.errors.data if told.errors else None) or []
    fault = f"{errors[0].code}: {errors[0].message}" if errors else ""
    return Batch(
        id=told.id,
        status=told.status,
        requests=counts.total if counts else 0,
        done=counts.completed + counts.failed if counts else 0,
        files=tuple(file for file in (told.output_file_id, told.error_file_id) if file),
        fault=dialect.one_line(fault),
    )
