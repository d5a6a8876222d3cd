"""What takes a stated answer back ("Wait, that is wrong; it is 20"), and what a text says in its place."""

import re
from typing import NamedTuple

AFTER = 300
"""Characters after a statement in which it may be taken back."""
WRONG = (
    r"(?:(?:is|was|must\s+be|seems|looks)\s+(?:\w+ly\s+)?(?:wrong|incorrect|not\s+(?:right|correct|true)|an?\s+(?:mistake|error))"
    r"|['’]s\s+(?:wrong|incorrect|not\s+(?:right|correct))"
    r"|can(?:not|\s+not|['’]t)\s+be(?:\s+(?:right|correct|true))?\b(?!\s+\w)|isn['’]t\s+(?:right|correct))"
)
OPENER = re.compile(
    r"(?:</answer>|\\[\])]|[\s.,;:!?*_})$\]>\"'”—–-])*"
    rf"(?:(?P<wrong>(?:(?:but|no|wait|actually|hmm+)\b[\s,.:—-]*)*(?:that|this|it|which)\s*{WRONG})"
    r"|(?P<not>,\s*I\s+(?:think|guess)\s+not\b)"
    r"|\b(?:(?:but\s+)?wait|actually|correction|hmm+)\b|\bno(?=\s*[,:.]|\s+wait\b))",
    re.IGNORECASE,
)
WITHIN = re.compile(
    rf"[,;—–]\s*(?:(?:but\s+)?(?:that|this|it|which)\s*{WRONG}|I\s+(?:think|guess)\s+not\b|no\s*,|(?:but\s+)?wait\b|correction\b)",
    re.IGNORECASE,
)
"""In the sentence of the statement itself."""
DENIAL = re.compile(
    r"\b(?:wrong|incorrect|mistaken?|not\s+(?:right|correct|sure|true|it)|give\s+up)\b"
    r"|n['’]t\s+(?:right|correct|sure|true|be)\b|\bcannot\s+be\b",
    re.IGNORECASE,
)
CLAUSE = re.compile(r"[.!?](?=\s|\Z)|[;\n]")
LEAD = re.compile(
    r"[\s.,;:!?*_\"'—–-]*(?:(?:no(?=\s*[,:]\s*\w)|so|then|wait|actually|rather)\b[\s,:]*)*"
    r"(?:(?:it|that|this|(?:the|my)\s+(?:\w+\s+)?answer)?\s*"
    r"(?:['’]s|\b(?:is|was|must\s+be|should\s+be|has\s+to\s+be|would\s+be|make\s+(?:it|that)))\s*)?",
    re.IGNORECASE,
)
HYPOTHETICAL = re.compile(
    r"(?:\A|(?<=[.!?\n]))[^.!?\n]{0,300}\b(?:"
    r"(?:if|suppose(?: that)?|assum(?:e|ing)(?: that)?|(?:not true|false|wrong) that|wrong to say(?: that)?)"
    r" the answer is\b[^.!?\n]{0,300}[.!\n]?"
    r"|is the answer\b[^.!?\n]{0,100}\?)",
    re.IGNORECASE,
)
"""A sentence that says what follows from an answer, that it is none, or asks whether it is one."""
NOT_KNOWN = re.compile(
    r"\b(?:do(?:\s+not|n['’]t)|can(?:not|['’]t))\s+(?:know|find|tell|determine)\s+the\s+(?:\w+\s+)?answer",
    re.IGNORECASE,
)


class Retraction(NamedTuple):
    """That a statement is taken back, or may be."""

    is_certain: bool
    """Whether nothing is left of the statement also where the text says nothing in its place."""
    follows: str
    """What comes after the words that take it back."""
    instead: str
    """The clause that may hold another answer, from the answer on."""


def retraction(content: str, rest: str) -> Retraction | None:
    """What takes back the answer that a text has stated; None where nothing does.

    Args:
        content: of the statement.
        rest: of the text, after it.
    """
    within = WITHIN.search(content)
    opener = None if within else OPENER.match(rest[:AFTER])
    if within:
        follows, is_certain = content[within.end() :] + rest, True
    elif opener:
        follows, is_certain = rest[opener.end() :], bool(opener["wrong"] or opener["not"] or "?" in opener[0])
    else:
        return None
    clauses = [clause for clause in CLAUSE.split(follows[:AFTER]) if re.search(r"\w", clause)]
    if clauses and DENIAL.search(clauses[0]):
        is_certain, clauses = True, clauses[1:]
    if not clauses:
        return Retraction(is_certain, follows, "")
    lead = LEAD.match(clauses[0])
    return Retraction(is_certain, follows, clauses[0][lead.end() if lead else 0 :])
