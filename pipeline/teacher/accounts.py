"""What a run has asked and what it cost, summed from the ledger."""

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pipeline.errors import UsageError
from pipeline.teacher.keys import Teacher
from pipeline.teacher.ledger import Ledger
from pipeline.teacher.prices import Rates, rates_of

UNTOLD = "(r.kind IS NULL OR r.kind IN ('lost', 'unknown') OR (r.kind = 'reply' AND r.completion_tokens IS NULL))"
"""A request that may have cost something that nobody told."""

SUMS = f"""
WITH given AS (
    SELECT s.reply, COUNT(*) AS samples, SUM(NOT s.ended) AS cut
    FROM samples s JOIN replies r ON r.id = s.reply JOIN requests q ON q.id = r.request
    WHERE q.run = ?1 GROUP BY s.reply
)
SELECT q.identity, q.model, COUNT(*), SUM(IFNULL(given.samples, 0)), SUM(IFNULL(given.cut, 0)),
    TOTAL(r.kind = 'failed'), TOTAL(r.kind = 'refused'), TOTAL(r.kind = 'lost'), TOTAL(r.kind IS 'unknown'),
    TOTAL(r.kind = 'reply' AND r.completion_tokens IS NULL),
    SUM(IFNULL(r.prompt_tokens, 0)), SUM(IFNULL(r.cached_tokens, 0)), SUM(IFNULL(r.completion_tokens, 0)),
    TOTAL(1.0 * r.prompt_tokens * given.cut / given.samples),
    TOTAL(1.0 * r.cached_tokens * given.cut / given.samples),
    TOTAL(1.0 * r.completion_tokens * given.cut / given.samples),
    SUM(CASE WHEN {UNTOLD} THEN q.body_bytes ELSE 0 END),
    SUM(CASE WHEN {UNTOLD} THEN q.n * IFNULL(q.max_tokens, 0) ELSE 0 END)
FROM requests q LEFT JOIN replies r ON r.request = q.id LEFT JOIN given ON given.reply = r.id
WHERE q.run = ?1 GROUP BY q.identity, q.model ORDER BY MIN(q.id)
"""

SHARES = """
SELECT q.identity, q.model, r.prompt_tokens * 1.0 / q.n, r.cached_tokens * 1.0 / q.n, r.completion_tokens * 1.0 / q.n
FROM samples s JOIN replies r ON r.id = s.reply JOIN requests q ON q.id = r.request
WHERE s.key = ? ORDER BY s.id
"""


@dataclass(frozen=True)
class Totals:
    """What one run asked of one teacher, restarts included."""

    identity: str
    model: str
    requests: int
    """HTTP requests that left, each attempt counted."""
    samples: int
    """Samples that came back, refusals included."""
    cut: int
    """Of these, the ones that ended at their token limit."""
    failed: int
    """Attempts that the server answered with an error, or that never reached it; they cost nothing."""
    refused: int
    """Requests that the provider refused."""
    lost: int
    """Attempts that left and were never answered: a time-out, a connection that broke."""
    maybe_billed: int
    """Requests that were in flight when a process died."""
    uncounted: int
    """Requests that were answered without a word on how many tokens they generated; `completion_tokens` is without
    them. llama.cpp does so where it gives several samples at once."""
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float | None
    """Of all tokens told, at the price in the choices or the list price; None where nobody knows it."""
    cut_usd: float | None
    """Of `cost_usd`, what was spent on cut samples."""
    untold_usd: float | None
    """Most that those requests can have cost, beyond `cost_usd`, whose tokens nobody told."""


class Books:
    """What was asked and what it cost, in one run or for some samples.

    Args:
        ledger: where it all stands.
        run: name of the run.
        teachers: those of the choices, with the prices that stand there.
    """

    def __init__(self, ledger: Ledger, run: str, teachers: Mapping[str, Teacher]) -> None:
        self._ledger = ledger
        self._run = run
        self._teachers = teachers
        self._rates: dict[tuple[str, str], Rates | None] = {}

    def rates(self, identity: str, model: str) -> Rates | None:
        """What a teacher costs; None where nobody knows."""
        known = (identity, model)
        if known not in self._rates:
            teacher = self._teacher(identity, model)
            self._rates[known] = rates_of(identity, model, teacher.choice if teacher else None)
        return self._rates[known]

    def totals(self) -> dict[str, Totals]:
        """What the run asked, by the teacher's name, in the order in which they were first asked."""
        return {self._name(row[0], row[1]): self._total(*row) for row in self._ledger.rows(SUMS, (self._run,))}

    def spent_usd(self) -> float:
        """Most that the run can have spent so far."""
        return sum((total.cost_usd or 0.0) + (total.untold_usd or 0.0) for total in self.totals().values())

    def cost_of(self, keys: Iterable[str]) -> tuple[int, float | None]:
        """Tokens generated for these samples, cut ones of the same key included, and what they cost in USD.

        Samples that travelled as one request share its tokens evenly; the cost is None where a price is not known.
        """
        written, cost_usd, known = 0.0, 0.0, True
        for key in keys:
            for identity, model, *tokens in self._ledger.rows(SHARES, (key,)):
                rates = self.rates(identity, model)
                known = known and rates is not None
                written += tokens[2] or 0
                cost_usd += rates.cost_usd(*tokens) if rates else 0.0
        return round(written), cost_usd if known else None

    def _total(self, identity: str, model: str, *sums: float) -> Totals:
        requests, samples, cut, failed, refused, lost, maybe_billed, uncounted = (int(count) for count in sums[:8])
        told, told_cut, untold = sums[8:11], sums[11:14], sums[14:]
        rates = self.rates(identity, model)
        return Totals(
            identity=identity,
            model=model,
            requests=requests,
            samples=samples,
            cut=cut,
            failed=failed,
            refused=refused,
            lost=lost,
            maybe_billed=maybe_billed,
            uncounted=uncounted,
            prompt_tokens=int(told[0]),
            completion_tokens=int(told[2]),
            cost_usd=rates.cost_usd(*told) if rates else None,
            cut_usd=rates.cost_usd(*told_cut) if rates else None,
            untold_usd=rates.most_usd(*untold) if rates else None,
        )

    def _teacher(self, identity: str, model: str) -> Teacher | None:
        """The teacher of the choices that this is; one whose weights are gone is none."""
        for teacher in self._teachers.values():
            with contextlib.suppress(UsageError):
                if (teacher.identity, teacher.model) == (identity, model):
                    return teacher
        return None

    def _name(self, identity: str, model: str) -> str:
        teacher = self._teacher(identity, model)
        return teacher.name if teacher else f"{model} at {identity}"
