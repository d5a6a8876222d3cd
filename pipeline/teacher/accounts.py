"""What a run has asked and what it cost, summed from the ledger."""

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from pipeline.errors import UsageError
from pipeline.teacher.budget import Amount, Caps
from pipeline.teacher.keys import Teacher
from pipeline.teacher.ledger.ledger import Ledger
from pipeline.teacher.prices import Rates, rates_of, usd

MAYBE = "(r.kind IN ('lost', 'unknown') AND q.id NOT IN (SELECT request FROM settled))"
"""Nobody knows whether it was billed."""
UNTOLD = f"(r.kind IS NULL OR r.kind = 'reply' OR {MAYBE})"
"""It may have cost something: what nobody told of it counts at the most that it can be."""
RECORDED = "recorded:"
"""Begins the identity of replies that were bought elsewhere: nothing was sent for them."""
ORPHANED = "(r.kind IS NULL AND q.batch IS NULL AND ?2)"
"""No process is left that could hear of it, where `?2` says that nobody asks."""
BYTES = f"IIF({UNTOLD} AND r.prompt_tokens IS NULL, q.body_bytes, 0)"
LIMITS = f"IIF({UNTOLD} AND r.completion_tokens IS NULL, q.n * IFNULL(q.max_tokens, 0), 0)"

SUMS = f"""
WITH given AS (
    SELECT s.reply, COUNT(*) AS samples, SUM(NOT s.ended) AS cut,
        SUM(EXISTS (SELECT 1 FROM samples e WHERE e.key = s.key AND e.id < s.id AND NOT e.ended)) AS again
    FROM samples s JOIN replies r ON r.id = s.reply JOIN requests q ON q.id = r.request
    WHERE q.run = ?1 GROUP BY s.reply
)
SELECT q.identity, q.model, q.batch IS NOT NULL, COUNT(*),
    SUM(IFNULL(given.samples, 0)), SUM(IFNULL(given.cut, 0)), SUM(IFNULL(given.again, 0)),
    TOTAL(r.kind = 'failed'), TOTAL(r.kind = 'refused'), TOTAL(r.kind = 'lost' AND {MAYBE}),
    TOTAL((r.kind = 'unknown' AND {MAYBE}) OR {ORPHANED}), TOTAL(r.kind IN ('lost', 'unknown') AND NOT {MAYBE}),
    TOTAL(r.kind IS NULL AND NOT {ORPHANED}), TOTAL(r.kind = 'reply' AND r.completion_tokens IS NULL),
    SUM(LENGTH(q.body) + IFNULL(LENGTH(r.body), 0)),
    SUM(IFNULL(r.prompt_tokens, 0)), SUM(MIN(IFNULL(r.cached_tokens, 0), IFNULL(r.prompt_tokens, 0))),
    SUM(IFNULL(r.completion_tokens, 0)),
    TOTAL(1.0 * r.prompt_tokens * given.cut / given.samples),
    TOTAL(1.0 * r.cached_tokens * given.cut / given.samples),
    TOTAL(1.0 * r.completion_tokens * given.cut / given.samples),
    TOTAL(1.0 * r.prompt_tokens * given.again / given.samples),
    TOTAL(1.0 * r.cached_tokens * given.again / given.samples),
    TOTAL(1.0 * r.completion_tokens * given.again / given.samples),
    SUM({BYTES}), 0, SUM({LIMITS}),
    SUM(IIF({MAYBE} OR {ORPHANED}, {BYTES}, 0)), 0, SUM(IIF({MAYBE} OR {ORPHANED}, {LIMITS}, 0))
FROM requests q LEFT JOIN replies r ON r.request = q.id LEFT JOIN given ON given.reply = r.id
WHERE q.run = ?1 GROUP BY q.identity, q.model, q.batch IS NOT NULL ORDER BY MIN(q.id)
"""

SHARES = """
SELECT q.identity, q.model, q.batch IS NOT NULL, r.prompt_tokens * 1.0 / q.n, r.cached_tokens * 1.0 / q.n,
    r.completion_tokens * 1.0 / q.n
FROM samples s JOIN replies r ON r.id = s.reply JOIN requests q ON q.id = r.request
WHERE s.key = ? ORDER BY s.id
"""


@dataclass(frozen=True)
class Totals:
    """What one run asked of one teacher, restarts included."""

    identity: str
    model: str
    requests: int
    """HTTP requests that left, each attempt counted, and lines of batches."""
    samples: int
    """Samples that came back, refusals included."""
    cut: int
    """Of these, the ones that ended at their token limit."""
    again: int
    """Of these, the ones asked once more because an earlier one was cut."""
    failed: int
    """Attempts that the server answered with an error, or that never reached it; they cost nothing."""
    refused: int
    """Requests that the provider refused."""
    lost: int
    """Attempts that left and were never answered, or with nothing that can be read: a time-out, a broken connection."""
    maybe_billed: int
    """Requests that were in flight when a process died."""
    released: int
    """Lost or in flight at a death, and not billed, as the user told with `ledger settle`."""
    waiting: int
    """Requests that have no answer yet: in flight, or part of a batch that is under way."""
    uncounted: int
    """Requests that were answered without a word on how many tokens they generated; `completion_tokens` is without
    them. llama.cpp does so where it gives several samples at once."""
    bytes: int
    """Of all requests and replies, as they are stored."""
    prompt_tokens: int
    completion_tokens: int
    maybe_tokens: int
    """Most tokens that lost requests and those in flight at a death can have used."""
    cost_usd: float | None
    """Of all tokens told, at the price in the choices or the list price; None where nobody knows it."""
    cut_usd: float | None
    """Of `cost_usd`, what was spent on cut samples."""
    again_usd: float | None
    """Of `cost_usd`, what was spent on asking once more for cut ones."""
    maybe_usd: float | None
    """Most that lost requests and those in flight at a death can have cost, beyond `cost_usd`."""
    untold_usd: float | None
    """`maybe_usd`, and the most that the uncounted and the waiting can cost."""


Portion = Literal["told", "cut", "again", "untold", "maybe"]


class Sums(NamedTuple):
    """One row of `SUMS`, after the teacher: what was asked of it online, or through its batch API."""

    in_batch: int
    requests: int
    samples: int
    cut: int
    again: int
    failed: float
    refused: float
    lost: float
    maybe_billed: float
    released: float
    waiting: float
    uncounted: float
    bytes: int
    told_prompt: int
    told_cached: int
    told_written: int
    cut_prompt: float
    cut_cached: float
    cut_written: float
    again_prompt: float
    again_cached: float
    again_written: float
    untold_prompt: int
    untold_cached: int
    untold_written: int
    maybe_prompt: int
    maybe_cached: int
    maybe_written: int

    def taken(self, rates: Rates | None) -> Amount:
        """Most that these requests can have used."""
        prompt, written = self.told_prompt + self.untold_prompt, self.told_written + self.untold_written
        cost = rates.cost(prompt, self.told_cached, written) if rates else 0
        return Amount(cost, prompt + written, self.requests)

    def maybe(self, rates: Rates | None) -> Amount:
        """Of these, what may have been billed without an answer."""
        prompt, written = self.maybe_prompt, self.maybe_written
        cost = rates.cost(prompt, 0, written) if rates else 0
        return Amount(cost, prompt + written, int(self.lost + self.maybe_billed))

    def cost(self, what: Portion, rates: Rates) -> float:
        """What these tokens cost, in picodollars."""
        prompt, cached, written = (float(getattr(self, f"{what}_{kind}")) for kind in ("prompt", "cached", "written"))
        return rates.cost(prompt, cached, written)


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

    def rates(self, identity: str, model: str, in_batch: bool = False) -> Rates | None:
        """What a teacher costs; None where nobody knows."""
        known = (identity, model)
        if known not in self._rates:
            teacher = self._teacher(identity, model)
            self._rates[known] = rates_of(identity, model, teacher.choice if teacher else None)
        rates = self._rates[known]
        return rates.batch() if rates and in_batch else rates

    def totals(self, is_idle: bool = False) -> dict[str, Totals]:
        """What the run asked, by the teacher's name, in the order in which they were first asked.

        Args:
            is_idle: no process asks, so that what was sent online and has no answer may have been billed.
        """
        return {self._name(*teacher): self._total(*teacher, parts) for teacher, parts in self._sums(is_idle).items()}

    def taken(self, caps: Caps) -> Amount:
        """Most that the run can have used so far.

        Raises:
            UsageError: it asked somebody whose price nobody knows, and a cap needs it.
        """
        total = Amount()
        for (identity, model), parts in self._sums().items():
            for part in () if identity.startswith(RECORDED) else parts:
                rates = self.rates(identity, model, bool(part.in_batch))
                taken = part.taken(rates)
                if rates is None and taken.tokens and caps.picodollars is not None:
                    raise UsageError(
                        f"run {self._run!r} asked {model} at {identity}, nobody knows what it costs, and budget_usd "
                        "is set",
                        "name it under teachers with its price, or choose another --run NAME",
                    )
                total += taken
        return total

    def maybe_billed(self) -> Amount:
        """Of what `taken` gives, what may have been billed without an answer; an unknown price counts as none."""
        total = Amount()
        for (identity, model), parts in self._sums().items():
            for part in parts:
                total += part.maybe(self.rates(identity, model, bool(part.in_batch)))
        return total

    def cost_of(self, keys: Iterable[str]) -> tuple[int, float | None]:
        """Tokens generated for these samples, cut ones of the same key included, and what they cost in USD.

        Samples that travelled as one request share its tokens evenly; the cost is None where a price is not known.
        """
        written, picodollars, known = 0.0, 0.0, True
        for key in keys:
            for identity, model, in_batch, *told in self._ledger.rows(SHARES, (key,)):
                rates = self.rates(identity, model, bool(in_batch))
                prompt, cached, completion = (float(tokens or 0) for tokens in told)
                known = known and rates is not None
                written += completion
                picodollars += rates.cost(prompt, min(cached, prompt), completion) if rates else 0.0
        return round(written), usd(picodollars) if known else None

    def _sums(self, is_idle: bool = False) -> dict[tuple[str, str], list[Sums]]:
        found: dict[tuple[str, str], list[Sums]] = {}
        for identity, model, *sums in self._ledger.rows(SUMS, (self._run, is_idle)):
            found.setdefault((identity, model), []).append(Sums(*sums))
        return found

    def _total(self, identity: str, model: str, parts: list[Sums]) -> Totals:
        whole = Sums(*(sum(column) for column in zip(*parts, strict=True)))
        rates = [self.rates(identity, model, bool(part.in_batch)) for part in parts]

        def cost_usd(what: Portion) -> float | None:
            """Of all parts, each at its own rates."""
            costs = [part.cost(what, rate) for part, rate in zip(parts, rates, strict=True) if rate]
            return usd(sum(costs)) if len(costs) == len(parts) else None

        return Totals(
            identity=identity,
            model=model,
            requests=whole.requests,
            samples=whole.samples,
            cut=whole.cut,
            again=whole.again,
            failed=int(whole.failed),
            refused=int(whole.refused),
            lost=int(whole.lost),
            maybe_billed=int(whole.maybe_billed),
            released=int(whole.released),
            waiting=int(whole.waiting),
            uncounted=int(whole.uncounted),
            bytes=whole.bytes,
            prompt_tokens=whole.told_prompt,
            completion_tokens=whole.told_written,
            maybe_tokens=whole.maybe_prompt + whole.maybe_written,
            cost_usd=cost_usd("told"),
            cut_usd=cost_usd("cut"),
            again_usd=cost_usd("again"),
            maybe_usd=cost_usd("maybe"),
            untold_usd=cost_usd("untold"),
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
