"""What a step has yet to ask, and what that takes: predicted from what the ledger knows of the step's own requests."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.prediction import Predicted, predict_sum
from pipeline.stage import Conversation, Request
from pipeline.teacher import Teachers
from pipeline.teacher.keys import Teacher
from pipeline.teacher.ledger.history import Share, pace_of, share_of


@dataclass(frozen=True)
class Held:
    """One row's conversation, as far as it goes with what the ledger has."""

    wanted: int = 0
    """Samples that it asks for, those that it stands at included; what comes of them may make it ask for more."""
    lacking: int = 0
    """Of these, how many the ledger lacks; none where it comes to its end."""
    most_usd: float | None = 0.0
    """What the lacking ones would cost if each ran to its `max_tokens`; None where price or ceiling is unknown."""
    share: Share | None = None
    """What those that are there took; None where there are none, or nobody told."""


@dataclass(frozen=True)
class Outlook:
    """What the missing replies of a step will take."""

    seen: int
    """Problems that it is predicted from."""
    in_part: int
    """Of these, the ones that have only some of their samples: where there are any, the lower ends alone are told."""
    cost_usd: Predicted | None
    """None where nobody knows the price."""
    tokens: Predicted
    """Of prompts and replies."""
    bytes: float
    """That the ledger grows by."""
    seconds: tuple[float, float] | None
    """If the teacher keeps its latency with all that may be in flight, and at its pace so far; None for batches, and
    where that pace is not known."""


@dataclass(frozen=True)
class Forecaster:
    """Predicts for a step that asks one teacher."""

    teachers: Teachers
    teacher: Teacher

    def hold(self, talk: Conversation[Any] | None) -> Held:
        """Hold a conversation until it ends or asks for something that is not known."""
        wanted = 0
        keys: list[str] = []
        if talk is None:
            return Held()
        try:
            requests = next(talk)
            while True:
                wanted += len(requests)
                replies = [self.teachers.known(self.teacher.name, request) for request in requests]
                there = [reply for reply in replies if reply is not None]
                keys += [reply.key for reply in there]
                lacking = [request for request, reply in zip(requests, replies, strict=True) if reply is None]
                if lacking:
                    talk.close()
                    return Held(wanted, len(lacking), self._most_usd(lacking), self._share(keys))
                requests = talk.send(there)
        except StopIteration:
            pass
        return Held(wanted, share=self._share(keys))

    def outlook(self, held: Sequence[Held]) -> Outlook | None:
        """What these have yet to ask will take; None where the ledger knows too little to tell.

        A problem takes what one took that is there. One that is there in part counts with what its samples took,
        scaled up to all that it asks for by now: without it, those that ended early would stand for all.
        """
        unfinished = [one for one in held if one.lacking]
        like = [one for one in held if one.share]
        known = [one.share.times(one.wanted / (one.wanted - one.lacking)) for one in like if one.share]
        tokens = predict_sum([share.tokens for share in known], len(unfinished))
        if tokens is None:
            return None
        rates = self.teachers.books.rates(self.teacher.identity, self.teacher.model, self.teacher.choice.batch)
        cost_usd = predict_sum([share.cost_usd(rates) for share in known], len(unfinished)) if rates else None
        mean = sum(known, Share()).times(len(unfinished) / len(known))
        paid = sum((one.share for one in unfinished if one.share), Share())
        return Outlook(
            seen=len(known),
            in_part=sum(one.lacking > 0 for one in like),
            cost_usd=cost_usd.less(paid.cost_usd(rates)) if cost_usd and rates else None,
            tokens=tokens.less(paid.tokens),
            bytes=max(0.0, mean.bytes - paid.bytes),
            seconds=self._seconds(max(1.0, mean.requests - paid.requests)),
        )

    def _share(self, keys: Sequence[str]) -> Share | None:
        return share_of(self.teachers.ledger, keys) if keys else None

    def _most_usd(self, requests: Sequence[Request]) -> float | None:
        worst = [self.teachers.worst_case_usd(self.teacher.name, request) for request in requests]
        return total_usd(worst)

    def _seconds(self, requests: float) -> tuple[float, float] | None:
        choice = self.teacher.choice
        pace = pace_of(self.teachers.ledger, self.teacher.identity, self.teacher.model)
        if pace is None or choice.batch:
            return None
        low, high = pace.seconds(requests, choice.concurrency)
        least = 60 * requests / choice.requests_per_minute if choice.requests_per_minute else 0.0
        return max(low, least), max(high, least)


def total_usd(parts: Sequence[float | None]) -> float | None:
    """Their sum; None where one of them is not known."""
    return None if None in parts else sum(part or 0.0 for part in parts)
