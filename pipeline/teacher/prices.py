"""What tokens cost, from the choices or from the list that comes with genai-prices; nothing is looked up online."""

from dataclasses import dataclass

from pipeline.choices import TeacherChoice

PROBE_TOKENS = 1000
"""Few enough to stay below the first tier of a price list that has tiers."""


@dataclass(frozen=True)
class Rates:
    """USD per token."""

    prompt: float
    cached: float
    written: float

    def cost_usd(self, prompt_tokens: float | None, cached_tokens: float | None, written: float | None) -> float:
        """What so many tokens cost, the cached ones being part of the prompt; those not told cost nothing."""
        prompt, cached = prompt_tokens or 0, min(cached_tokens or 0, prompt_tokens or 0)
        return (prompt - cached) * self.prompt + cached * self.cached + (written or 0) * self.written

    def most_usd(self, body_bytes: float, written: float) -> float:
        """Most that a request can cost: no tokenizer makes more tokens than bytes."""
        return body_bytes * self.prompt + written * self.written


def rates_of(identity: str, model: str, choice: TeacherChoice | None) -> Rates | None:
    """What a teacher costs; None where nobody knows.

    Args:
        identity: as in the ledger; for most teachers their address.
        model: the model's name.
        choice: the teacher in the choices, where it is still among them.
    """
    if choice and choice.price:
        price = choice.price
        return Rates(price.input / 1e6, price.input / 1e6, price.output / 1e6)
    if identity.startswith("local:") or (choice and choice.local):
        return Rates(0.0, 0.0, 0.0)
    return _listed((choice.base_url if choice else None) or identity, model)


def _listed(address: str, model: str) -> Rates | None:
    from genai_prices import Usage as Tokens
    from genai_prices import calc_price

    probes = (
        Tokens(input_tokens=PROBE_TOKENS),
        Tokens(input_tokens=PROBE_TOKENS, cache_read_tokens=PROBE_TOKENS),
        Tokens(output_tokens=PROBE_TOKENS),
    )
    try:
        costs = [float(calc_price(probe, model, provider_api_url=address).total_price) for probe in probes]
    except (LookupError, ValueError):
        return None
    return Rates(*(cost / PROBE_TOKENS for cost in costs))
