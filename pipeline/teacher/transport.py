"""One HTTP request to a teacher with the openai SDK, and whatever came back, as it came."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.choices import TeacherChoice

if TYPE_CHECKING:
    import httpx2
    from openai import AsyncOpenAI
    from openai._types import RequestOptions

KEPT_HEADERS = ("content-type", "date", "retry-after", "x-request-id", "request-id", "cf-ray", "openai-processing-ms")

LIMIT_HEADERS = "x-ratelimit-"


@dataclass(frozen=True)
class Answer:
    """What came back for one HTTP request."""

    status: int | None = None
    """None where no answer came."""
    headers: Mapping[str, str] | None = None
    body: bytes = b""
    limits: Mapping[str, str] | None = None
    """Headers that tell the server's limits."""
    fault: str = ""
    """Why none came."""
    reached: bool = True
    """The request may have reached the server, which may bill it."""


@contextlib.asynccontextmanager
async def connected(base_url: str, key: str | None, choice: TeacherChoice) -> AsyncIterator["Transport"]:
    """A client for one teacher, within one event loop."""
    import httpx2
    from openai import AsyncOpenAI, DefaultAioHttpClient, Omit

    client = DefaultAioHttpClient(
        limits=httpx2.Limits(max_connections=choice.concurrency, max_keepalive_connections=choice.concurrency),
        trust_env=choice.local is None,  # a proxy of the environment does not know our loopback address
    )
    own_authorization = "authorization" in {name.lower() for name in choice.headers}
    options: RequestOptions = {"headers": {"Authorization": Omit()} if key is None and not own_authorization else {}}
    async with AsyncOpenAI(
        base_url=base_url,
        api_key=key or "none",
        max_retries=0,
        timeout=httpx2.Timeout(choice.timeout_seconds, pool=None),
        default_headers=choice.headers,
        http_client=client,
    ) as sdk:
        yield Transport(sdk, options, choice.timeout_seconds)


class Transport:
    """An open client.

    Args:
        sdk: the client.
        options: what each request is sent with.
        timeout_seconds: longest wait for one answer.
    """

    def __init__(self, sdk: "AsyncOpenAI", options: "RequestOptions", timeout_seconds: float) -> None:
        self.sdk = sdk
        self.headers = options.get("headers") or {}
        self._options = options
        self._timeout_seconds = timeout_seconds

    async def post(self, body: bytes) -> Answer:
        """Send one body; raises nothing that a network or a server can cause."""
        import httpx2
        from openai import APIConnectionError, APIStatusError

        try:
            async with asyncio.timeout(self._timeout_seconds):
                response = await self.sdk.post(
                    "/chat/completions", cast_to=httpx2.Response, content=body, options=self._options
                )
        except APIStatusError as error:
            return _answered(error.response)
        except APIConnectionError as error:  # its time-out too
            return _unanswered(error)
        except TimeoutError:
            return Answer(fault=f"no answer within {self._timeout_seconds:g} s")
        return _answered(response)


def _answered(response: "httpx2.Response") -> Answer:
    kept = {name: response.headers[name] for name in KEPT_HEADERS if name in response.headers}
    limits = {name: value for name, value in response.headers.items() if name.startswith(LIMIT_HEADERS)}
    return Answer(response.status_code, kept, response.content, limits)


def _unanswered(error: BaseException) -> Answer:
    """Tell a connection that was never made from one that broke: the SDK's own classes mix the two up."""
    from aiohttp import ClientConnectorError

    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ClientConnectorError):
            code = cause.os_error.errno
            fault = os.strerror(code).lower() if code and code > 0 else str(cause.os_error.strerror or cause.os_error)
            return Answer(fault=fault, reached=False)
        error, cause = cause, cause.__cause__
    return Answer(fault=str(error) or type(error).__name__)
