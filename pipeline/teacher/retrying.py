"""When another attempt is made at a request, and after which wait."""

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type

T = TypeVar("T")

QUICK_ATTEMPTS = 3
"""Attempts at a server that refuses connections and never answered: it is down, not busy."""
FIRST_WAIT_SECONDS = 1.0
"""Wait before a second attempt, about; each further one waits twice as long."""
MOST_WAIT_SECONDS = 60.0
"""Longest wait before another attempt, unless the server asks for more."""


class FailedError(Exception):
    """An attempt that may go better next time.

    Args:
        message: one line on what went wrong.
        wait_seconds: least wait that the server asked for.
        reached: the request may have reached the server.
    """

    def __init__(self, message: str, wait_seconds: float = 0.0, reached: bool = True) -> None:
        super().__init__(message)
        self.wait_seconds = wait_seconds
        self.reached = reached


class BusyError(Exception):
    """The teacher takes nothing for now, which says nothing of the request.

    Args:
        wait_seconds: least wait that the server asked for.
        was_refused: it was refused for a limit, so it goes before all others.
    """

    def __init__(self, wait_seconds: float, was_refused: bool) -> None:
        super().__init__()
        self.wait_seconds = wait_seconds
        self.was_refused = was_refused


@dataclass(frozen=True)
class Patience:
    """How long to insist on an answer.

    Waits double from one attempt to the next, each drawn from half to one and a half of its length, so that requests
    that failed together do not come back together.
    """

    attempts: int
    """Most attempts at one request."""
    was_answered: Callable[[], bool]
    """Whether the server has ever answered."""
    sleep: Callable[[float], Awaitable[None]]

    async def insist(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Attempt until it does not raise FailedError; the last one is raised."""

        # tenacity tells a coroutine function by its definition, so it gets one.
        async def once() -> T:
            return await attempt()

        retrying = AsyncRetrying(
            retry=retry_if_exception_type(FailedError),
            stop=self._is_enough,
            wait=self._wait_seconds,
            sleep=self.sleep,
            reraise=True,
        )
        return await retrying(once)

    def _is_enough(self, state: RetryCallState) -> bool:
        is_down = not _failure(state).reached and not self.was_answered()
        return state.attempt_number >= (min(QUICK_ATTEMPTS, self.attempts) if is_down else self.attempts)

    def _wait_seconds(self, state: RetryCallState) -> float:
        backoff = min(FIRST_WAIT_SECONDS * 2.0 ** (state.attempt_number - 1), MOST_WAIT_SECONDS)
        return max(backoff * random.uniform(0.5, 1.5), _failure(state).wait_seconds)


def _failure(state: RetryCallState) -> FailedError:
    error = state.outcome.exception() if state.outcome else None
    assert isinstance(error, FailedError)
    return error
