"""What could be trained on: a few measures of each solution, and why one of them is left out.

A million solutions stand in 100 MB, since their texts stay on the disk.
"""

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from pipeline.stage import seed_of
from pipeline.student.text import IGNORED, Encoded


class Stock:
    """Solutions in their order; each method leaves out some of those that are still in.

    Args:
        max_tokens: longest text that is not left out at once; None where nobody counts tokens.
    """

    def __init__(self, max_tokens: int | None) -> None:
        self.max_tokens = max_tokens
        self._reasons: list[str | None] = []
        self._longest = array("L")
        self._written = array("L")
        self._logprobs = array("d")
        self._seeds = array("L")
        self._problems = array("L")
        self._numbers: dict[str, int] = {}

    def add(self, name: str, problem: str, texts: Sequence[Encoded] = ()) -> bool:
        """Measure the next solution; gives whether it is short enough.

        Args:
            name: its id.
            problem: that of its problem.
            texts: its training texts; none where nobody counts tokens.
        """
        longest = max((len(text.input_ids) for text in texts), default=0)
        fits = self.max_tokens is None or longest <= self.max_tokens
        self._reasons.append(None if fits else "too_long")
        self._longest.append(longest)
        self._written.append(sum(label != IGNORED for text in texts for label in text.labels))
        self._logprobs.append(0)
        self._seeds.append(seed_of(name))
        self._problems.append(self._numbers.setdefault(problem, len(self._numbers)))
        return fits

    def find_likely(self, logprobs: Iterable[float]) -> None:
        """Take note of how likely the student finds each solution that is still in."""
        for place, logprob in zip(self._left(), logprobs, strict=True):
            self._logprobs[place] = logprob

    def keep_of_each_problem(self, most: int, reason: str) -> None:
        """Leave out all but the likeliest of each problem, of equals all but the first."""
        taken: Counter[int] = Counter()
        for place in sorted(self._left(), key=lambda place: -self._logprobs[place]):
            taken[self._problems[place]] += 1
            if taken[self._problems[place]] > most:
                self._reasons[place] = reason

    def mix(self, long_share: float, long_tokens: int) -> str:
        """Leave out long or short ones until the share is met; which of them, the seeds of their ids tell.

        Args:
            long_share: of long ones in what stays in.
            long_tokens: what the student must write of a long one is more than this.

        Returns:
            What was done, for a person.
        """
        long = [place for place in self._left() if self._written[place] > long_tokens]
        short = [place for place in self._left() if self._written[place] <= long_tokens]
        if not long or not short:
            return f"nothing to mix: {len(long)} solutions of more than {long_tokens} tokens, {len(short)} others"
        most_long = min(len(long), round(len(short) * long_share / (1 - long_share)) or 1)
        most_short = min(len(short), round(len(long) * (1 - long_share) / long_share) or 1)
        for places, most, reason in ((long, most_long, "surplus_long"), (short, most_short, "surplus_short")):
            for place in sorted(places, key=lambda place: self._seeds[place])[most:]:
                self._reasons[place] = reason
        return f"{most_long} of {len(long)} long and {most_short} of {len(short)} short solutions are kept"

    def faults(self) -> Iterator[tuple[str, str] | None]:
        """Reason and detail of each solution that is left out, None of each that is in."""
        for place, reason in enumerate(self._reasons):
            yield None if reason is None else (reason, self._detail(place, reason))

    def _detail(self, place: int, reason: str) -> str:
        if reason == "too_long":
            return f"{self._longest[place]} tokens, {self.max_tokens} at most"
        return f"{self._logprobs[place]} a token" if reason == "less_likely" else ""

    def _left(self) -> list[int]:
        return [place for place, reason in enumerate(self._reasons) if reason is None]
