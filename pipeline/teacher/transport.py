"""One HTTP request to a teacher with the openai SDK, and whatever came back, as it came."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.choices import TeacherChoice
from pipeline.teacher import dialect

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
        yield Transport(sdk, client, dict(options.get("headers") or {}), choice.timeout_seconds)


class Transport:
    """An open client.

    Requests for completions go through the SDK's HTTP client with the SDK's headers, but past its request models:
    bodies are ready when they come here, and building a request takes the SDK longer than sending it.

    Args:
        sdk: the client.
        client: what it sends with.
        headers: over the SDK's own; those that are `Omit` are not sent.
        timeout_seconds: longest wait for one answer.
    """

    def __init__(
        self, sdk: "AsyncOpenAI", client: "httpx2.AsyncClient", headers: dict[str, Any], timeout_seconds: float
    ) -> None:
        import httpx2
        from openai import Omit

        self.sdk = sdk
        self.headers = headers
        self._client = client
        self._timeout_seconds = timeout_seconds
        self._timeout = {"timeout": httpx2.Timeout(timeout_seconds, pool=None).as_dict()}
        self._url = httpx2.URL(f"{str(sdk.base_url).rstrip('/')}/chat/completions")
        layers = (sdk.auth_headers, sdk.default_headers, headers)  # later ones over earlier ones, whatever their case
        sent = {name.lower(): text for layer in layers for name, text in layer.items()}
        self._sent_headers = httpx2.Headers({name: text for name, text in sent.items() if not isinstance(text, Omit)})

    async def post(self, body: bytes) -> Answer:
        """Send one body; raises nothing that a network or a server can cause."""
        import httpx2
        from aiohttp import ClientError

        request = httpx2.Request(
            "POST", self._url, headers=self._sent_headers, content=body, extensions=dict(self._timeout)
        )
        try:
            async with asyncio.timeout(self._timeout_seconds):
                response = await self._client.send(request)
        except (
            httpx2.HTTPError,
            ClientError,
            TimeoutError,
        ) as error:  # some of aiohttp's come through
            return self._unanswered(error)
        return _answered(response)

    def _unanswered(self, error: BaseException) -> Answer:
        """Tell a connection that was never made from one that broke, and both from none in time."""
        from aiohttp import ClientConnectorError

        chain = [error]
        while chain[-1].__cause__ is not None:
            chain.append(chain[-1].__cause__)
        for cause in chain:
            if isinstance(cause, ClientConnectorError):
                code = cause.os_error.errno
                known = os.strerror(code).lower() if code and code > 0 else None
                return Answer(fault=known or str(cause.os_error.strerror or cause.os_error), reached=False)
        if any(isinstance(cause, TimeoutError) for cause in chain):
            return Answer(fault=f"no answer within {self._timeout_seconds:g} s")
        return Answer(fault=dialect.one_line(str(error)) or type(error).__name__)


def _answered(response: "httpx2.Response") -> Answer:
    kept = {name: response.headers[name] for name in KEPT_HEADERS if name in response.headers}
    limits = {name: value for name, value in response.headers.items() if name.startswith(LIMIT_HEADERS)}
    return Answer(response.status_code, kept, response.content, limits)
