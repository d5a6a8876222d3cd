"""Holds the conversations of a step side by side, until the ledger has every reply that they ask for."""

import asyncio
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Generic

from pipeline.stage import Conversation, R, Reply, RowT
from pipeline.teacher.halt import HaltedError, together
from pipeline.teacher.keys import Wanted
from pipeline.teacher.replies import Replies
from pipeline.teacher.sending import Sender


class Filling(Generic[RowT, R]):
    """The conversations of one step.

    Args:
        rows: taken one by one, as conversations end.
        conversation: what is held for each.
        replies: what the ledger has.
        sender: asks for the rest.
        flights: by key, what is in flight to this teacher, for other conversations that ask for the same.
    """

    def __init__(
        self,
        rows: Iterator[RowT],
        conversation: Callable[[RowT], Conversation[R]],
        replies: Replies,
        sender: Sender,
        flights: "dict[str, asyncio.Future[None]]",
    ) -> None:
        self._rows = rows
        self._conversation = conversation
        self._replies = replies
        self._sender = sender
        self._flights = flights
        self._turns = itertools.count()
        self.samples = 0
        """Samples that conversations were given."""
        self.lost = 0
        """Of these, the ones given up after retries."""

    async def run(self, side_by_side: int) -> None:
        """Hold them all, so many at once; why it ended early stands in the sender's halt."""
        await together(*(self._work() for _ in range(side_by_side)))
        held = self._sender.standing.held
        if held and not self._sender.halt.reason:
            self._sender.halt.stop(self._sender.standing.all_refused())

    async def _work(self) -> None:
        try:
            for row in self._rows:
                await self._hold(self._conversation(row), next(self._turns))
                self._sender.progress.advance()
        except HaltedError:
            return
        except Exception as error:
            self._sender.halt.stop(error)

    async def _hold(self, talk: Conversation[R], turn: int) -> None:
        await asyncio.sleep(0)  # a conversation that the ledger knows whole would keep the loop to itself
        try:
            requests = next(talk)
            while True:
                wanted = [self._replies.teacher.wanted(request) for request in requests]
                requests = talk.send(await self._answers(wanted, turn))
        except StopIteration:
            return

    async def _answers(self, wanted: Sequence[Wanted], turn: int) -> list[Reply]:
        """The replies, in order: from the ledger, from requests in flight, and else from the teacher."""
        while True:
            self._sender.halt.check()
            found = self._replies.find(wanted)
            missing = {one.key: one for one, reply in zip(wanted, found, strict=True) if reply is None}
            if not missing:
                replies = [reply for reply in found if reply is not None]
                self.samples += len(replies)
                self.lost += sum(reply.problem == "teacher_error" for reply in replies)
                return replies
            flights = [self._flights[key] for key in missing if key in self._flights]
            ours = [one for key, one in missing.items() if key not in self._flights]
            flown = [(group, self._enter(group)) for group in grouped(ours)]
            await together(*(self._fly(group, flight, turn) for group, flight in flown), *flights)

    def _enter(self, group: Sequence[Wanted]) -> "asyncio.Future[None]":
        """Note these as in flight: from here on nobody else asks for them."""
        flight = asyncio.get_running_loop().create_future()
        self._flights.update((one.key, flight) for one in group)
        return flight

    async def _fly(self, group: Sequence[Wanted], flight: "asyncio.Future[None]", turn: int) -> None:
        try:
            await self._sender.send(group, turn)
        finally:
            for one in group:
                del self._flights[one.key]
            flight.set_result(None)


def grouped(wanted: Sequence[Wanted]) -> list[list[Wanted]]:
    """Runs of samples that differ in nothing but an index that counts up: each can travel as one request."""
    groups: list[list[Wanted]] = []
    for one in wanted:
        if groups and _follows(groups[-1][-1], one):
            groups[-1].append(one)
        else:
            groups.append([one])
    return groups


def _follows(last: Wanted, one: Wanted) -> bool:
    return (
        one.request.index == last.request.index + 1
        and one.fields == last.fields
        and one.request.messages == last.request.messages
    )
