"""How much a provider lets be under way in batches at once: nobody tells, so it is found out by being refused."""

import math
from typing import Any

from pipeline.teacher.batch.jobs import Job

ROOM = "batch_room"
"""What the ledger calls what was learnt."""
KEPT_SECONDS = 86_400.0
"""After so long it is found out anew: others of the account may have filled the room, or it was made larger."""


class Room:
    """The room of one teacher's queue of batches, in bytes of requests; providers count tokens, and tell neither how
    many they count nor how many they allow.

    Args:
        learnt: what `narrow` gave last, where the ledger has it.
        now: Unix time.
    """

    def __init__(self, learnt: dict[str, Any] | None, now: float) -> None:
        is_fresh = learnt is not None and learnt["at"] > now - KEPT_SECONDS
        self.most_bytes: float = learnt["bytes"] if learnt and is_fresh else math.inf
        """Most that is sent at once; a larger job must be split."""
        self._under_way: dict[int, int] = {}
        self._beside: dict[int, int] = {}

    def must_split(self, job: Job) -> bool:
        """Whether a job is too large even by itself."""
        return job.requests > 1 and job.body_bytes > self.most_bytes

    def is_free_for(self, job: Job) -> bool:
        """Whether a job may leave now: it fits beside those under way, or is alone."""
        taken_bytes = sum(self._under_way.values())
        return not taken_bytes or taken_bytes + job.body_bytes <= self.most_bytes

    def enter(self, job: Job) -> None:
        """A job is sent, or was before."""
        self._under_way[job.number] = job.body_bytes
        taken_bytes = sum(self._under_way.values())
        for number, own_bytes in self._under_way.items():
            self._beside[number] = max(self._beside.get(number, 0), taken_bytes - own_bytes)

    def leave(self, job: Job) -> int:
        """It is over; gives the most bytes that were under way beside it at any time."""
        del self._under_way[job.number]
        return self._beside.pop(job.number)

    def narrow(self, job: Job, beside_bytes: int, now: float) -> dict[str, Any]:
        """A job was refused beside so many bytes; gives what is to be remembered.

        The room gets smaller by half of the job at least, so a job is refused a few times at most.
        """
        self.most_bytes = min(self.most_bytes, beside_bytes + job.body_bytes // 2)
        return {"bytes": self.most_bytes, "at": now}
