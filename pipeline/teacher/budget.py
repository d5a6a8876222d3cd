"""The cap on what a run may spend: the worst case of each request is set aside before it leaves."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from pipeline.errors import BudgetError


class Budget:
    """Money of one run.

    Args:
        cap_usd: most that the run may spend; None sets no cap.
        spent_usd: what it spent before, restarts included.
    """

    def __init__(self, cap_usd: float | None, spent_usd: float) -> None:
        self.cap_usd = cap_usd
        self.spent_usd = spent_usd
        self._reserved_usd = 0.0
        self._freed = asyncio.Condition()

    @contextlib.asynccontextmanager
    async def reserved(self, most_usd: float) -> AsyncIterator[None]:
        """Hold the most that a request can cost until it is known what it did cost.

        While other requests are in flight it waits for them: most cost less than their worst case.

        Raises:
            BudgetError: it does not fit, and nothing is in flight that could free some.
        """
        if self.cap_usd is None:
            yield
            return
        async with self._freed:
            await self._freed.wait_for(lambda: self._fits(most_usd) or not self._reserved_usd)
            if not self._fits(most_usd):
                raise BudgetError(
                    f"the budget of {self.cap_usd:.2f} USD is reached: {self.spent_usd:.4f} are spent, and the next "
                    f"request may cost up to {most_usd:.4f}",
                    "everything paid for is kept; raise budget_usd (--budget) and run again, or lower max_tokens",
                )
            self._reserved_usd += most_usd
        try:
            yield
        finally:
            async with self._freed:
                self._reserved_usd = max(0.0, self._reserved_usd - most_usd)
                self._freed.notify_all()

    def _fits(self, most_usd: float) -> bool:
        assert self.cap_usd is not None
        return self.spent_usd + self._reserved_usd + most_usd <= self.cap_usd
