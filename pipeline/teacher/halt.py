"""The orderly end of asking: nothing more is sent, what is in flight is waited for."""

import asyncio
import contextlib
import os
import signal
import threading
from collections.abc import Awaitable, Callable, Iterator
from types import FrameType

from pipeline.errors import Interrupted

INTERRUPTS = (signal.SIGINT, signal.SIGTERM)


class HaltedError(Exception):
    """Asking has ended; why stands in `Halt.reason`."""


class Halt:
    """Whether to send no more, and why; the first reason counts."""

    def __init__(self) -> None:
        self.reason: BaseException | None = None
        self._event = asyncio.Event()
        self._callbacks: list[Callable[[], None]] = []

    def when_stopped(self, callback: Callable[[], None]) -> None:
        """Call this once nothing more is to be sent."""
        self._callbacks.append(callback)

    def stop(self, reason: BaseException) -> None:
        """Send no more."""
        if self.reason is None:
            self.reason = reason
            self._event.set()
            for callback in self._callbacks:
                callback()

    def check(self) -> None:
        """Raise HaltedError once nothing more is to be sent."""
        if self.reason is not None:
            raise HaltedError

    async def sleep(self, seconds: float) -> None:
        """Wait, unless asking ends meanwhile."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._event.wait(), seconds)
        self.check()


async def together(*tasks: Awaitable[None]) -> None:
    """Await all of them to their ends, then raise the first error: what is in flight is never left behind."""
    if len(tasks) == 1:
        await tasks[0]
        return
    results = await asyncio.gather(*tasks, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result


@contextlib.contextmanager
def interruptible(halt: Halt, say: Callable[[], None]) -> Iterator[None]:
    """The first SIGINT or SIGTERM halts and calls `say`, the second ends the process at once; the ledger is safe.

    Must be entered within the event loop of the halt; does nothing outside the main thread.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()

    def stop() -> None:
        say()
        halt.stop(Interrupted("interrupted", "run the same command again: nothing that was paid for is asked again"))

    seen: list[int] = []

    def handle(number: int, frame: FrameType | None) -> None:
        seen.append(number)
        if len(seen) > 1:
            os._exit(130)
        loop.call_soon_threadsafe(stop)

    before = {number: signal.signal(number, handle) for number in INTERRUPTS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
