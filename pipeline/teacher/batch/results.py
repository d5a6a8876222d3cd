"""The results of a job: each line of a provider's file becomes what the ledger holds of its request."""

import asyncio
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import BinaryIO, TypeVar

from pipeline.teacher import dialect
from pipeline.teacher.batch.jobs import Rest, Waiting
from pipeline.teacher.budget import Amount, Budget, told
from pipeline.teacher.ledger.entries import Outcome, Sample
from pipeline.teacher.ledger.ledger import Ledger
from pipeline.teacher.prices import Rates, usd
from pipeline.teacher.sending import FREE
from pipeline.teacher.standing import Standing
from pipeline.teacher.tally import Tally

T = TypeVar("T")

CHUNK = 256
"""Results written to the ledger together."""


@dataclass(frozen=True)
class Result:
    """One line of a file of results."""

    custom_id: str
    status: int | None
    """HTTP status; None where the request was not answered: the batch expired or was cancelled before."""
    request_id: str
    body: bytes
    """The answer as it would have come online."""
    fault: str
    """Why it was not answered."""


@dataclass
class Results:
    """What comes of one job's requests.

    Each result is found by its custom id alone, and is in the ledger before anybody sees it.
    """

    ledger: Ledger
    standing: Standing
    rates: Rates | None
    """What the batch API costs; None where nobody knows."""
    budget: Budget | None
    """Where the requests are reserved; None for those of another run."""
    waiting: dict[str, Waiting]
    """The requests without an answer, by their custom ids; shrinks as answers come."""
    tally: Tally
    """Counts what comes."""
    replies: int = 0
    """Requests that were replied to."""
    strange: int = 0
    """Lines that are no result, or of a request that has one or is not the job's; they are not used."""
    last_fault: str = ""
    news: list[str] = field(default_factory=list)
    """What the refusals told of the manner in which the teacher takes requests; it is followed from here on."""

    async def take(self, file: BinaryIO) -> None:
        """Store every result of a file."""
        file.seek(0)
        for lines in _chunks(file, CHUNK):
            found = [result for line in lines if line.strip() and (result := self._of_ours(line))]
            await asyncio.gather(*(self._store(*pair) for pair in found))

    def give_up(self, rest: Rest) -> None:
        """No more results will come: the requests left failed, or may be billed all the same."""
        while self.waiting:
            _, waiting = self.waiting.popitem()
            self._free(waiting, FREE if rest == "failed" else None)

    def _of_ours(self, line: bytes) -> tuple[Waiting, Result] | None:
        result = read_result(line)
        waiting = self.waiting.pop(result.custom_id, None) if result else None
        if result is None or waiting is None:
            self.strange += 1
            return None
        return waiting, result

    async def _store(self, waiting: Waiting, result: Result) -> None:
        outcome, samples = self._judged(waiting, result)
        await self.ledger.settle(waiting.number, outcome, samples)
        used = told(self.rates, outcome.usage)
        self.replies += outcome.kind == "reply"
        self.tally.samples += len(samples)
        self.tally.tokens += outcome.usage.completion_tokens or 0
        self.tally.cost_usd += usd(used.picodollars) if used else 0.0
        self._free(waiting, FREE if outcome.kind in ("failed", "refused") else used)

    def _judged(self, waiting: Waiting, result: Result) -> tuple[Outcome, list[Sample]]:
        """What a result is to the ledger; a request that it leaves without samples will be asked again."""
        if result.status is None:
            self.last_fault = result.fault
            return Outcome("failed"), []
        verdict = dialect.judge(result.status, "application/json", result.body)
        headers = {"content-type": "application/json", "x-request-id": result.request_id}
        outcome = Outcome("failed", result.status, headers, result.body)
        if verdict.kind == "reply":
            return self._read(waiting, replace(outcome, kind="reply"))
        self.last_fault = self.standing.told(verdict.message)
        if self._adapts(waiting, result):
            return outcome, []
        if verdict.kind == "refused":
            # One that may be for the number of samples, or for what every request has, is left to be asked online.
            is_final = verdict.certain or (self.standing.accepted and len(waiting.keys) == 1)
            samples = [Sample(key, 0, True, waiting.max_tokens) for key in waiting.keys] if is_final else []
            return replace(outcome, kind="refused"), samples
        is_readable = result.status != 200 or "error" in (dialect.parse(result.body) or {})
        return outcome if is_readable else replace(outcome, kind="lost"), []

    def _adapts(self, waiting: Waiting, result: Result) -> bool:
        """Whether the answer is about a parameter that the teacher does not take: it is asked without from here on."""
        found = self.standing.manner.after(result.status or 0, result.body, self.ledger.body_of(waiting.number))
        if found is None:
            return False
        manner, news = found
        self.standing.adapt(manner)
        self.news.extend([news] if news else [])
        return True

    def _read(self, waiting: Waiting, outcome: Outcome) -> tuple[Outcome, list[Sample]]:
        payload = dialect.parse(outcome.body) or {}
        given = min(len(dialect.choices_of(payload)), len(waiting.keys))
        self.standing.gave(given, len(waiting.keys))
        samples = [
            Sample(key, place, not dialect.read(payload, place).cut, waiting.max_tokens)
            for place, key in enumerate(waiting.keys[:given])
        ]
        return replace(outcome, usage=dialect.usage_of(payload)), samples

    def _free(self, waiting: Waiting, used: Amount | None) -> None:
        if self.budget is not None:
            most = most_of(waiting, self.rates)
            self.budget.free(most, most if used is None else used)


def most_of(waiting: Waiting, rates: Rates | None) -> Amount:
    """Most that a request under way can use."""
    written = len(waiting.keys) * (waiting.max_tokens or 0)
    return Amount(rates.cost(waiting.body_bytes, 0, written) if rates else 0, waiting.body_bytes + written, 1)


def read_result(line: bytes) -> Result | None:
    """One line of a file of results; None where it is none."""
    told = dialect.parse(line)
    if told is None or not isinstance(told.get("custom_id"), str):
        return None
    response = told.get("response")
    response = response if isinstance(response, dict) else {}
    status = response.get("status_code")
    body = response.get("body")
    error = told.get("error")
    fault = error if isinstance(error, dict) else {}
    return Result(
        custom_id=told["custom_id"],
        status=status if isinstance(status, int) and status else None,
        request_id=str(response.get("request_id") or ""),
        body=body.encode() if isinstance(body, str) else json.dumps(body).encode(),
        fault=dialect.one_line(str(fault.get("message") or fault.get("code") or error or "it was not answered")),
    )


def _chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    rest = iter(items)
    while chunk := list(islice(rest, size)):
        yield chunk
