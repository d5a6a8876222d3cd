"""What this process has learnt of a teacher, and when that is a reason to end the run."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from pipeline.errors import TeacherError
from pipeline.teacher.dialect import Verdict
from pipeline.teacher.keys import Teacher, address
from pipeline.teacher.ledger.entries import Sample
from pipeline.teacher.limits.limits import Change, Limits
from pipeline.teacher.manner import Manner
from pipeline.teacher.retrying import MOST_WAIT_SECONDS

MOST_REFUSALS = 8
"""Refusals of a teacher that never gave a reply, after which the fault lies in the choices."""
GONE_SECONDS = 1800
"""Without taking a request, while it is tried again and again, after which a teacher counts as gone."""
NEVER_SECONDS = 120
"""The same for one that never gave a reply."""
MOST_LOSSES = 20
"""Requests given up one after another, after which the teacher counts as gone."""


@dataclass
class Standing:
    """One teacher, over all steps of this process."""

    teacher: Teacher
    base_url: str
    limits: Limits
    """What it takes."""
    key: str | None
    """The API key, so that no message shows it."""
    most_choices: int
    """Most samples to ask in one request."""
    manner: Manner
    """In which it takes requests."""
    accepted: bool
    """It has given a reply before, to this process or to any other."""
    spoke: bool = False
    """It has answered this process anything at all."""
    answered: bool = False
    """It has answered this process with a reply or a refusal."""
    gave_several: bool = False
    """It has given this process several samples for one request."""
    denials: int = 0
    """Requests denied by 403 or 404 since its last reply."""
    losses: int = 0
    """Requests given up since its last answer."""
    remembered: Mapping[str, float] = field(default_factory=dict)
    """The paces that stand in the ledger."""
    held: dict[int, list[Sample]] = field(default_factory=dict)
    """Refusals, by the reply's id, that count once the teacher has shown that it accepts anything."""
    last_fault: str = ""
    _waits_until: float = -math.inf

    def gave(self, given: int, asked: int) -> None:
        """It replied with so many samples of those asked for, broken ones included."""
        self.answered = self.accepted = True
        self.losses = self.denials = 0
        self.gave_several = self.gave_several or given > 1
        if given == 1 < asked and not self.gave_several:
            self.adapt(self.manner.model_copy(update={"most_choices": 1}))

    def refused_several(self) -> None:
        """It refused a request for several samples, which may be for their number."""
        if not self.gave_several:
            self.most_choices = 1

    def refused(self, message: str) -> None:
        """It refused one request."""
        self.answered = True
        self.losses = 0
        self.last_fault = self.told(message)

    def denies_one(self, status: int | None) -> bool:
        """Whether a 403 or 404 is about one request alone, as from a firewall: others get replies."""
        if status not in (403, 404) or not self.answered:
            return False
        self.denials += 1
        return self.denials < MOST_REFUSALS

    def lost(self, fault: str) -> TeacherError | None:
        """One request was given up; gives the reason to end the run where it is one."""
        self.losses += 1
        self.last_fault = fault
        if not self.spoke or not (self.answered or self.accepted):
            return TeacherError(f"teachers.{self.teacher.name}: no answer from {self.address}: {fault}", self._down)
        if self.losses >= MOST_LOSSES:
            return TeacherError(
                f"{self._who} has not answered the last {self.losses} requests, the last one with: {fault}",
                "everything paid for is kept; run the same command again when it is back",
            )
        return None

    def all_refused(self) -> TeacherError:
        """The reason to end the run where nothing but refusals came."""
        return TeacherError(
            f"{self._who} refused every request so far ({len(self.held)}), the last one with: {self.last_fault}",
            f"change teachers.{self.teacher.name}.request, where null leaves a field out of the body, or the step's "
            "fields; no refusal is kept",
        )

    def fatal(self, verdict: Verdict) -> TeacherError:
        """The reason to end the run where no request can go better."""
        env = self.teacher.choice.key_env
        key = f"the key in {env}" if env else f"the key: teachers.{self.teacher.name}.key_env names its variable"
        return TeacherError(f"{self._who}: {self.told(verdict.message)}", verdict.hint.format(key=key))

    def adapt(self, manner: Manner) -> None:
        """It takes requests in this manner."""
        self.manner = manner
        if manner.most_choices is not None:
            self.most_choices = min(self.most_choices, manner.most_choices)

    def told_change(self, change: Change) -> str:
        """One line on whether it takes requests; empty where nothing changed."""
        if change == "open":
            return f"{self._who} takes nothing for now ({self.last_fault}): it is tried until it does"
        return f"{self._who} takes requests again" if change else ""

    def told_wait(self, now: float, wait_seconds: float, message: str) -> str:
        """One line on a long wait that it asks for; empty where that is short or was told."""
        if wait_seconds <= MOST_WAIT_SECONDS or now + wait_seconds < self._waits_until + MOST_WAIT_SECONDS:
            return ""
        self._waits_until = now + wait_seconds
        return f"teachers.{self.teacher.name} asks to wait {wait_seconds:.0f} s: {message}"

    def away(self, wait_seconds: float, message: str) -> TeacherError:
        """The reason to end the run where it asks to wait for too long."""
        return TeacherError(
            f"{self._who} asks to wait {wait_seconds / 60:.0f} minutes: {message}",
            "everything paid for is kept; run the same command again then",
        )

    def gone(self, now: float) -> TeacherError | None:
        """The reason to end the run where it has taken nothing for too long."""
        breaker = self.limits.breaker
        patience_seconds = GONE_SECONDS if self.accepted else NEVER_SECONDS
        if not breaker.is_open or now - breaker.opened_at < patience_seconds:
            return None
        return TeacherError(
            f"{self._who} has taken nothing for {patience_seconds // 60} minutes, the last fault: {self.last_fault}",
            "everything paid for is kept; run the same command again when it is back",
        )

    def told(self, message: str) -> str:
        """A provider's message, without our key in it."""
        return message.replace(self.key, "***") if self.key else message

    @property
    def address(self) -> str:
        """Where it is, for a person."""
        return address(self.base_url)

    @property
    def _who(self) -> str:
        return f"teachers.{self.teacher.name} ({self.teacher.model} at {self.address})"

    @property
    def _down(self) -> str:
        if self.teacher.choice.local:
            return "its log is beside the run, in logs/local-teacher.log"
        return "check base_url, and that the server is up and can be reached from here"
