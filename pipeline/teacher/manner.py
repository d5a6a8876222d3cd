"""What a model behind an endpoint takes of a request, found out from what it refuses.

Nothing is asked for it: the first real request is the probe, and one that is refused for a parameter costs nothing.
What was found is remembered in the ledger and never tried again. Only how a request is sent changes, never its key.

Left out by themselves are the fields without which a reply is still one that was asked for: temperature, top_p, seed
and log-probabilities. The ceiling of a reply is renamed, never left out or lowered. Whatever else a stage or the user
wrote (`stop`, `response_format`, ...) is meant: without it the request stays refused. So it does for a value that is
merely out of range.
"""

import re
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from pipeline.teacher import dialect

Ceiling = Literal["max_tokens", "max_completion_tokens"]
CEILINGS: dict[str, Ceiling] = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}
OPTIONAL = ("temperature", "top_p", "seed", "logprobs", "top_logprobs")
"""Fields that are left out where they are refused."""

STATUSES = (200, 400, 404, 422, 500, 501)
"""With which parameters are refused: 200 by gateways that wrap errors, 500 by servers whose chat template stumbles."""
CODES = ("unsupported_parameter", "unsupported_value", "unknown_parameter")
MOST_READ = 2000
"""Characters of an error that are read; the fault stands at its beginning."""

FIELD = rf"(?:\w+, )*\[?(?<![\w.])(?P<field>{'|'.join((*OPTIONAL, *CEILINGS))})\b\]?"
NOUN = r"(?: (?:value|request|keyword|parameter|argument|field|property|name|key|option|supplied)(?:s|\(s\))?)*"
NO = (
    r"(?:not (?:currently )?(?:a )?(?:supported|enabled|allowed|permitted|accepted|available|valid)"
    r"|no longer supported|unsupported|deprecated)"
)
REFUSALS = [
    re.compile(pattern)
    for pattern in (
        rf"\bun(?:supported|recognized|known|expected){NOUN}:?{NOUN} {FIELD}",
        rf"\b{NO}(?: (?:on|for|with|by) (?:this|the)(?: current)? model)?[:,]{NOUN}:? {FIELD}",
        rf"\b(?:does not|doesnt) (?:support|accept|allow)(?: the)?{NOUN}:? {FIELD}",
        rf"\bnot allowed to (?:request|set|use) {FIELD}",
        rf"\binvalid {FIELD}: only [\d.]+ is allowed",
        rf"{FIELD}: input should be [\d.]+(?:;|$)",
        rf"{FIELD}{NOUN}:? (?:(?:is|are) )?{NO}",
        rf"{FIELD}:? (?:extra (?:inputs|fields)|must (?:not be set|be unset)|(?:may|can) only be|does not support)",
        rf"loc\W+body\W+{FIELD}\W+msg\W+extra (?:inputs|fields)",  # pydantic's list, written out as a text
    )
]
"""How a field is refused, in a text without quotes, in small letters and with names in snake_case."""
ONE_OF_TWO = re.compile(r"temperature and top_p cannot both|both temperature and top_p")
SYSTEM = re.compile(
    r"system (?:role|message|prompt|instruction)s?(?: is| are)? not supported|does not support system"
    r"|developer instruction is not enabled|(?:unexpected|invalid|unsupported|unknown)(?: message)? role"
    r"|roles must alternate|messages(?:\[\d+\]|\.\d+)\.role"
)
DEVELOPER = re.compile(r"\b(?:use|expected|one of|should be)\b[^.]*\bdeveloper\b")
"""Some servers silently drop a developer turn, so it is tried only where the server itself names it."""
SEVERAL = re.compile(
    r"\bn ?(?::|> ?1|must\b|is\b|parameter|does not)|(?:parameter|argument|property|name|value):? n\b"
    r"|(?:only one|multiple) (?:completion )?(?:choice|candidate|completion)"
)
MOST = re.compile(r"(?:at most|must (?:be|equal)|equal to|between 1 and|\[1,|<=) ?(\d+)")


class Manner(BaseModel):
    """How requests are sent to one model behind one endpoint.

    It is stored as `model_dump(mode="json")` and read by `model_validate`; fields of a later version are ignored.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    ceiling: Ceiling | None = None
    """Name that the ceiling of a reply goes under; None sends it as it was written."""
    system: Literal["system", "developer", "user"] = "system"
    """Role of the system prompt; `user` puts it before the first user turn."""
    most_choices: int | None = None
    """Most samples that one request may ask for; None where no number was refused."""
    left_out: tuple[str, ...] = ()
    """Fields that are not sent, sorted."""

    def shape(
        self, model: str, messages: list[dict[str, str]], fields: Mapping[str, Any], first: int, count: int
    ) -> bytes:
        """The body sent for `count` samples from index `first` on."""
        return dialect.body_of(model, self._turns(messages), self._taken(fields), first, count)

    def after(self, status: int, answer: bytes, sent: bytes) -> tuple["Manner", str] | None:
        """What to do about an answer that is no reply.

        Args:
            status: its HTTP status.
            answer: its body.
            sent: the body of the request, shaped by this manner or by an earlier one.

        Returns:
            The manner to send the same request with once more, and one line on what is new in it, which is empty
            where another request found it out first; None where the answer is about something else. Each time the
            body loses a field or gets a new name for one, so this ends.
        """
        payload = dialect.parse(answer) or {}
        said = _plainly(dialect.complaint(payload)[:MOST_READ])
        if status not in STATUSES or dialect.FINAL.search(said):
            return None
        body = dialect.parse(sent) or {}
        change = (
            self._other_fields(_refused(payload, said) & body.keys())
            or self._other_role(said, body)
            or _fewer_choices(said, body)
        )
        if not change:
            return None
        updated = self.model_copy(update=change)
        return updated, _news(self, updated)

    def _taken(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """The fields that are sent, under their names here."""
        taken = {
            self.ceiling if self.ceiling and name in CEILINGS else name: value
            for name, value in fields.items()
            if name not in self.left_out
        }
        if "extra_body" in taken:
            taken["extra_body"] = self._taken(taken["extra_body"])
        return taken

    def _turns(self, messages: list[dict[str, str]]) -> list[dict[str, str]]:
        """The messages, with the system prompt where it is taken."""
        if self.system == "system":
            return messages
        if self.system == "developer":
            return [{**turn, "role": "developer"} if turn["role"] == "system" else turn for turn in messages]
        said = [turn["content"] for turn in messages if turn["role"] == "system"]
        turns = [turn for turn in messages if turn["role"] != "system"]
        first = next((place for place, turn in enumerate(turns) if turn["role"] == "user"), None)
        if said and first is None:
            return [{"role": "user", "content": "\n\n".join(said)}, *turns]
        if said and first is not None:
            turns[first] = {**turns[first], "content": "\n\n".join([*said, turns[first]["content"]])}
        return turns

    def _other_fields(self, refused: set[str]) -> dict[str, Any]:
        """What a body without these fields takes; nothing where one of them cannot be done without."""
        change: dict[str, Any] = {}
        dropped = refused.intersection(OPTIONAL) | ({"top_logprobs"} if "logprobs" in refused else set())
        if dropped:
            change["left_out"] = tuple(sorted(dropped.union(self.left_out)))
        for name in refused.intersection(CEILINGS):
            if self.ceiling != name:  # else it is the second name that is refused
                change["ceiling"] = CEILINGS[name]
        return change

    def _other_role(self, said: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Another place for the system prompt of a body, where its role is refused."""
        roles = {turn["role"] for turn in body.get("messages", ())}
        if not SYSTEM.search(said) or not roles & {"system", "developer"}:
            return {}
        if self.system == "system" and "system" in roles and DEVELOPER.search(said):
            return {"system": "developer"}
        return {"system": "developer" if self.system == "developer" and "system" in roles else "user"}


def _refused(payload: Mapping[str, Any], said: str) -> set[str]:
    """The fields that an error says are not taken at all, whatever their values."""
    found = {match["field"] for pattern in REFUSALS for match in pattern.finditer(said)}
    if ONE_OF_TWO.search(said):
        found.add("top_p")
    error = payload.get("error")
    if isinstance(error, dict) and error.get("code") in CODES:
        found.add(str(error.get("param")))
    return found


def _fewer_choices(said: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """The number of samples to ask for, where that of a body is refused."""
    asked = body.get("n", 1)
    several = SEVERAL.search(said)
    if asked == 1 or several is None:
        return {}
    most = MOST.search(said, several.start())
    return {"most_choices": int(most[1]) if most and 1 <= int(most[1]) < asked else 1}


def _news(before: Manner, now: Manner) -> str:
    """One line on what changed, to follow the teacher's name."""
    news = []
    dropped = [name for name in now.left_out if name not in before.left_out]
    if dropped:
        news.append(f"takes no {', '.join(dropped)}: left out")
    if now.ceiling != before.ceiling:
        news.append(f"takes {now.ceiling} for the ceiling of a reply")
    if now.system != before.system:
        where = "stands before the first user turn" if now.system == "user" else "is sent as developer"
        news.append(f"takes no system role: the system prompt {where}")
    if now.most_choices != before.most_choices:
        most = "one sample" if now.most_choices == 1 else f"at most {now.most_choices} samples"
        news.append(f"takes {most} a request")
    return "; ".join(news)


def _plainly(text: str) -> str:
    """A text without quotes, in small letters, its namesInCamelCase as names_in_snake_case, on one line."""
    bare = re.sub(r"\\?[\"'`]", "", text)
    return " ".join(re.sub(r"(?<=[a-z])(?=[A-Z])", "_", bare).lower().split())
