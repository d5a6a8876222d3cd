"""The cap on what a run may use: the worst case of each request is set aside before it leaves."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal

from pipeline.choices import Choices
from pipeline.errors import BudgetError, UsageError
from pipeline.teacher.dialect import Usage
from pipeline.teacher.prices import PICODOLLARS, Rates

SETTLE = "; where the provider's own figures show no such requests: python -m pipeline ledger settle"
"""Ends the hint where some of the budget may have been billed without an answer."""


@dataclass(frozen=True)
class Amount:
    """What something uses, in the three currencies of a budget; whole numbers, so that sums are exact."""

    picodollars: int = 0
    tokens: int = 0
    """Of prompts and replies."""
    requests: int = 0

    def __add__(self, other: "Amount") -> "Amount":
        return Amount(self.picodollars + other.picodollars, self.tokens + other.tokens, self.requests + other.requests)

    def __sub__(self, other: "Amount") -> "Amount":
        return Amount(self.picodollars - other.picodollars, self.tokens - other.tokens, self.requests - other.requests)


def told(rates: Rates | None, usage: Usage) -> Amount | None:
    """What a request used by the count of its own answer; None where the answer does not count."""
    if usage.prompt_tokens is None or usage.completion_tokens is None:
        return None
    cached = min(usage.cached_tokens, usage.prompt_tokens)
    cost = rates.cost(usage.prompt_tokens, cached, usage.completion_tokens) if rates else 0
    return Amount(cost, usage.prompt_tokens + usage.completion_tokens, 1)


@dataclass(frozen=True)
class Caps:
    """Most that a run may use of each currency; None sets no cap."""

    picodollars: int | None = None
    tokens: int | None = None
    requests: int | None = None

    @classmethod
    def of(cls, choices: Choices) -> "Caps":
        """What the user chose."""
        dollars = choices.budget_usd
        return cls(
            None if dollars is None else int(Decimal(str(dollars)) * PICODOLLARS),
            choices.budget_tokens,
            choices.budget_requests,
        )


class Budget:
    """What one run has used and may still use.

    Args:
        caps: most that it may use.
        taken: most that it can have used so far, restarts included; batches that are under way count at their worst.
        maybe_billed: tells what of that may have been billed without an answer, by now.
    """

    def __init__(self, caps: Caps, taken: Amount, maybe_billed: Callable[[], Amount] = Amount) -> None:
        self._caps = caps
        self._taken = taken
        self._maybe_billed = maybe_billed
        self._in_flight = 0
        self._freed = asyncio.Event()

    def most(
        self, rates: Rates | None, body_bytes: int, samples: int, limit: int | None, *, step: str, teacher: str
    ) -> Amount:
        """Most that a request can use: no tokenizer makes more tokens than bytes, and no reply passes its limit.

        A provider that bills thoughts beyond the limit passes it all the same; then what it told counts from the next
        request on.

        Args:
            rates: what the teacher costs; None where nobody knows, which `budget_usd` does not allow.
            body_bytes: of the whole body.
            samples: `n` of the request.
            limit: most tokens of one sample.
            step: which step asks.
            teacher: its name in the choices.

        Raises:
            UsageError: there is no limit and a cap that needs one.
        """
        if limit is None:
            self._refuse_unlimited(rates, step, teacher)
        written = samples * (limit or 0)
        return Amount(rates.cost(body_bytes, 0, written) if rates else 0, body_bytes + written, 1)

    @contextlib.asynccontextmanager
    async def reserved(self, most: Amount) -> AsyncIterator[Callable[[Amount], None]]:
        """Set aside the most that a request can use; the caller is to tell what it did use, else the most counts.

        While other requests are in flight it waits for them: most use less than their worst case.

        Raises:
            BudgetError: it does not fit, and nothing is in flight that could free some.
        """
        while not self.reserve([most]):
            await self._freed.wait()
        used = most

        def tell(amount: Amount) -> None:
            nonlocal used
            used = amount

        try:
            yield tell
        finally:
            self.free(most, used)

    def reserve(self, mosts: Iterable[Amount]) -> int:
        """Set aside what these requests can use, as many of the first as fit now; gives how many those are.

        Each of them is to be given to `free` once it is known what it used.

        Raises:
            BudgetError: the first does not fit, and nothing is in flight that could free some.
        """
        fitting = 0
        for most in mosts:
            currency = self._lacking(most)
            if currency is not None and not self._in_flight:
                raise self._reached(currency, most)
            if currency is not None:
                break
            self._taken += most
            self._in_flight += 1
            fitting += 1
        return fitting

    def resume(self, requests: int) -> None:
        """So many requests that an earlier process sent are waited for again; `taken` holds their worst case."""
        self._in_flight += requests

    def free(self, most: Amount, used: Amount) -> None:
        """One of those that were set aside or resumed is over."""
        self._taken += used - most
        self._in_flight -= 1
        self._freed.set()
        self._freed = asyncio.Event()

    def _lacking(self, most: Amount) -> str | None:
        """The currency of which there is not enough left."""
        for currency in ("picodollars", "tokens", "requests"):
            cap = getattr(self._caps, currency)
            if cap is not None and getattr(self._taken, currency) + getattr(most, currency) > cap:
                return currency
        return None

    def _refuse_unlimited(self, rates: Rates | None, step: str, teacher: str) -> None:
        if self._caps.picodollars is not None and rates is not None and rates.written:
            lacks, cap = "what a reply may cost", "budget_usd"
        elif self._caps.tokens is not None:
            lacks, cap = "how many tokens a reply may have", "budget_tokens"
        else:
            return
        raise UsageError(
            f"step {step} sets no max_tokens, so nobody knows {lacks}, and {cap} is set",
            f"teachers.{teacher}.request: {{max_tokens: 4096}}, or set {step}.max_tokens",
        )

    def _reached(self, currency: str, most: Amount) -> BudgetError:
        caps, maybe = self._caps, self._maybe_billed()
        told = self._taken - maybe
        kept = "everything paid for is kept; raise"
        if currency == "picodollars":
            unsure = f", {_dollars(maybe.picodollars)} may have been billed without an answer"
            return BudgetError(
                f"the budget of {_cap_dollars(caps.picodollars or 0)} USD is reached: {_dollars(told.picodollars)} are "
                f"spent{unsure if maybe.picodollars else ''}, and the next request may cost up to "
                f"{_dollars(most.picodollars)}",
                f"{kept} budget_usd (--budget) and run again, or lower max_tokens"
                + (SETTLE if maybe.picodollars else ""),
            )
        if currency == "tokens":
            unsure = f", {maybe.tokens:,} may have been used without an answer"
            return BudgetError(
                f"the budget of {caps.tokens:,} tokens is reached: {told.tokens:,} are used"
                f"{unsure if maybe.tokens else ''}, and the next request may use up to {most.tokens:,}",
                f"{kept} budget_tokens and run again, or lower max_tokens" + (SETTLE if maybe.tokens else ""),
            )
        return BudgetError(
            f"the budget of {caps.requests:,} requests is reached: {self._taken.requests:,} are sent",
            f"{kept} budget_requests and run again",
        )


def _cap_dollars(picodollars: int) -> str:
    """With all the digits that the user chose."""
    dollars = (Decimal(picodollars) / PICODOLLARS).normalize()
    return f"{dollars:.{max(2, -int(dollars.as_tuple().exponent))}f}"


def _dollars(picodollars: int) -> str:
    """To a hundredth of a cent; what is less keeps two digits that count."""
    dollars = Decimal(picodollars) / PICODOLLARS
    return f"{dollars:.{max(4, 1 - dollars.adjusted()) if dollars else 4}f}"
