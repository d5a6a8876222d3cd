"""What tokens cost, from the choices or from the list that comes with genai-prices; nothing is looked up online."""

import math
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeVar

from pipeline.choices import TeacherChoice

PICODOLLARS = 10**12
"""In one USD. Prices a token are whole numbers of them, so that sums are exact and a budget is kept to the last one."""

PROBE_TOKENS = 1000
"""Few enough to stay below the first tier of a price list that has tiers."""

Tokens = TypeVar("Tokens", int, float)


@dataclass(frozen=True)
class Rates:
    """Picodollars a token, rounded up."""

    prompt: int
    cached: int
    written: int
    batch_share: float = 0.5
    """Of these, what the batch API takes."""

    def cost(self, prompt: Tokens, cached: Tokens, written: Tokens) -> Tokens:
        """Picodollars for so many tokens, the cached ones being part of the prompt."""
        return (prompt - cached) * self.prompt + cached * self.cached + written * self.written

    def batch(self) -> "Rates":
        """What the same tokens cost through the batch API."""
        share = Decimal(str(self.batch_share))
        return Rates(*(math.ceil(share * rate) for rate in (self.prompt, self.cached, self.written)))


def usd(picodollars: float) -> float:
    """The same in USD, to be shown."""
    return picodollars / PICODOLLARS


def rates_of(identity: str, model: str, choice: TeacherChoice | None) -> Rates | None:
    """What a teacher costs; None where nobody knows.

    Args:
        identity: as in the ledger; for most teachers their address.
        model: the model's name.
        choice: the teacher in the choices, where it is still among them.
    """
    if choice and choice.price:
        price = choice.price
        written, prompt = _per_token(price.output, 10**6), _per_token(price.input, 10**6)
        return Rates(prompt, prompt, written, price.batch_share)
    if identity.startswith(("local:", "recorded:")) or (choice and (choice.local or choice.recorded)):
        return Rates(0, 0, 0)
    return _listed((choice.base_url if choice else None) or identity, model)


def _listed(address: str, model: str) -> Rates | None:
    from genai_prices import Usage, calc_price

    probes = (
        Usage(input_tokens=PROBE_TOKENS),
        Usage(input_tokens=PROBE_TOKENS, cache_read_tokens=PROBE_TOKENS),
        Usage(output_tokens=PROBE_TOKENS),
    )
    try:
        costs = [calc_price(probe, model, provider_api_url=address).total_price for probe in probes]
    except (LookupError, ValueError):
        return None
    return Rates(*(_per_token(cost, PROBE_TOKENS) for cost in costs))


def _per_token(cost_usd: float | Decimal, tokens: int) -> int:
    return math.ceil(Decimal(str(cost_usd)) * PICODOLLARS / tokens)
