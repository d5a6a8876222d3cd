"""What a step's asking came to so far, for a person who watches it."""

from dataclasses import dataclass

from pipeline.progress import Progress


@dataclass
class Tally:
    """Figures of one asking, over all its teachers."""

    samples: int = 0
    tokens: int = 0
    cost_usd: float = 0.0
    errors: int = 0
    in_flight: int = 0

    def tell(self, progress: Progress, is_priced: bool) -> None:
        """Show the figures; the cost only where the price is known."""
        progress.note(
            samples=self.samples,
            tokens=self.tokens,
            cost_usd=self.cost_usd if is_priced else "unknown",
            errors=self.errors,
            in_flight=self.in_flight,
        )
