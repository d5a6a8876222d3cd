r"""Where a text states its final answer: its own part of the text, the place, and the reasoning around it.

Best first: `<answer>...</answer>`, the last `\boxed{}`, the last line `#### X`, the last "the answer is X" or
"answer: X", a last line `A: X`.
"""

import re
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

NEWEST = 3
"""So many of the last places are looked at; a `\\boxed{` that is not closed is none."""

END_OF_TURN = re.compile(r"<\|(?:im_end|im_start|endoftext|eot_id|end|user|start_header_id)\|>|</s>|\[/?INST\]")
RUN_ON = re.compile(
    r"\n[ \t]*(?:Q\s*:|Q\s*\Z|(?:New |Next )?Question(?:[ \t]+\d{1,3})?\s*(?::|\Z)|(?:Human|User)\s*:"
    r"|#{2,3}[ \t]*(?:Instruction|Question|Problem|Input|Human|User)\b)"
)
"""Where a few-shot completion goes on to a question of its own."""
RUN_ON_IF_STATED = re.compile(
    r"\n[ \t]*(?:(?:Problem|Input|Example|Exercise|Premise|Context|Passage|Instruction|Story|Task)"
    r"(?:[ \t]+\d{1,3})?[ \t]*:"
    r"|-{3,}[ \t]*\n\s*(?:\*\*)?(?:Problem|Question|Q)\b)"
)
"""The same in words that may as well head a part of the reasoning, so they count once an answer is stated."""
HEADING_WORDS = ("question", "problem", "solution", "restate")

TAGGED = re.compile(r"<answer>(.*?)(?:</answer>|\Z)", re.DOTALL | re.IGNORECASE)
BOXED = re.compile(r"\\f?box(?:ed)?\s*\{")
HASHES = re.compile(r"####[ \t]*(?:(\S[^\n]*)\s*\Z|(?!\d+[.)]\s)([-−$€£\d\\(][^\n]{0,40})$)", re.MULTILINE)
WORDS = ("answer", "option", "choice", "letter")
"""A phrase is looked for around each of these, from the last one back."""
VERDICTS = r"correct|right|wrong|incorrect|reasonable|plausible|valid|verified|consistent"
"""What a text says of an answer; an answer itself only where the text states no other."""
VERDICT = re.compile(rf"(?:{VERDICTS})\b")
BEFORE_WORD = 32
"""Characters; a phrase begins no further before its word."""
PHRASES = tuple(
    (re.compile(rf"(?:{before})\Z", re.IGNORECASE | re.MULTILINE), re.compile(after + r"[\s:*]*", re.IGNORECASE))
    for before, after in (
        (
            r"\b(?:the|my|our|its)\s+(?:(?:final|correct|right|best|numerical)\s+)*"
            r"(?<!if the )(?<!whether the )"
            r"|\b(?:final|correct|so|thus|hence|therefore),?\s+|^[ \t*]*",
            r"answer(?:\s+(?:choice|option|letter))?"
            r"(?:\s*\([^()\n]{0,60}\)|\s+(?:to|for|in|of|as)\s[^.:\n]{0,80}?)?"
            r"\s+(?:is|are|was|will be|would be|should be|equals)\b"
            rf"(?!\s+(?:not|{VERDICTS})\b)",
        ),
        (r"\bthe\s+(?:correct|right|best)\s+", r"(?:option|choice|letter)\s+is\b(?!\s+not\b)"),
        (r"(?<![^\W_])", r"answer[*_]*\s*[:=]"),
        (r"^[#*_ \t]*(?:the\s+)?(?:final\s+)?", r"answer[#*_ \t]*\n"),
    )
)
"""What stands before the word, and the word with what stands after it."""
VERDICT_PHRASES = (
    (re.compile(r"\bthe\s+\Z", re.IGNORECASE), re.compile(rf"answer\s+is\s+(?={VERDICTS})", re.IGNORECASE)),
)
DENIED = re.compile(
    r"answer(?:\s*\([^()\n]{0,60}\))?\s+(?:(?:is|are|was)\s+(?:not\b|never\b|un(?:known|clear|certain)\b)"
    r"|(?:is|are|was)n['’]t\b|can(?:not|['’]t|\s+not)\s+be\b)([^\n]*)",
    re.IGNORECASE,
)
"""What a text says its answer is not."""
LAST_LINE = re.compile(r"^[ \t]*A:[ \t]*(\S.*)\Z", re.MULTILINE)

SENTENCE_END = re.compile(r"\n|(?<!\\)[.!?](?=\s|\Z)(?<!\b(?:Mr|Ms|Dr|St|vs)\.)(?<!\bMrs\.)")
DISPLAY_START = re.compile(r"(?:\\\[|\$\$)\s*\Z")
DISPLAY_END = re.compile(r"\s*(?:\\\]|\$\$)\.?")
LONGEST_EQUATION = 20
"""Lines."""
BRACE = re.compile(r"\\?[{}]")


class Statement(NamedTuple):
    """Where a text states its answer."""

    rule: str
    """`tagged`, `boxed`, `hashes`, `phrase` or `last_line`."""
    start: int
    at: int
    """Where the answer itself begins."""
    end: int
    content: str


def own(text: str) -> str:
    """The text without thoughts before it and without an invented next question."""
    body = unthought(text).strip()
    end = END_OF_TURN.search(body) if "<|" in body or "</s>" in body or "INST]" in body else None
    body = body[: end.start()] if end and end.start() else body
    for pattern, needs_answer in ((RUN_ON, False), (RUN_ON_IF_STATED, True)):
        for match in islice(pattern.finditer(body), NEWEST):
            before = body[: match.start()].strip()
            if not (needs_answer or _is_heading(before)) or statement(before) is not None:
                body = before
                break
    return body


def unthought(text: str) -> str:
    """The text after its thoughts; thoughts that never end have nothing after them."""
    return text.rpartition("</think>")[2].partition("<think>")[0]


def statement(body: str) -> Statement | None:
    """Where a text of one's own states its answer; None where it states none."""
    for rule, places in (("tagged", _tagged), ("boxed", _boxed), ("hashes", _hashes), ("phrase", _phrases)):
        for start, at, end in places(body):
            if body[at:end].strip():
                return Statement(rule, start, at, end, body[at:end])
    match = LAST_LINE.search(body, body.rfind("\n") + 1) if "A:" in body else None
    if match:
        return Statement("last_line", match.start(), *match.span(1), match[1])
    start, at, end = next(_phrases(body, VERDICT_PHRASES), (0, 0, 0))
    return Statement("phrase", start, at, end, body[at:end]) if end else None


def denied(body: str) -> tuple[int, str] | None:
    """Where a text says for the last time what its answer is not, and what it is not; None where it does not end so."""
    match = DENIED.match(body, max(body.rfind("answer"), body.rfind("Answer"), 0))
    return (match.start(), match[1]) if match else None


def split(text: str) -> tuple[str, str | None]:
    """The text without the sentence that states its answer, and that sentence; None where there is none."""
    body = own(text)
    stated = statement(body)
    if stated is None:
        return body, None
    start = max((match.end() for match in SENTENCE_END.finditer(body, 0, stated.start)), default=0)
    display = DISPLAY_START.search(body, 0, start)
    start = display.start() if display else start
    stop = SENTENCE_END.search(body, stated.end)
    end = stop.end() if stop else len(body)
    display = DISPLAY_END.match(body, end)
    end = display.end() if display else end
    rationale = "\n".join(part for part in (body[:start].rstrip(), body[end:].lstrip()) if part)
    return rationale, body[start:end].strip()


def _is_heading(text: str) -> bool:
    """Whether all that stands before a question is a line that leads to the asked one, told once more."""
    if "\n" in text:
        return False
    lowered = text.lower()
    return text.startswith(("#", "*")) or text.endswith(":") or any(word in lowered for word in HEADING_WORDS)


def _tagged(body: str) -> Iterator[tuple[int, int, int]]:
    """Start, and begin and end of the content, of each place; the last place first, as in all that follow."""
    if "<" in body:
        for match in reversed(list(TAGGED.finditer(body))[-NEWEST:]):
            yield match.start(), *match.span(1)


def _boxed(body: str) -> Iterator[tuple[int, int, int]]:
    if "box" not in body:
        return
    for match in reversed(list(BOXED.finditer(body))[-NEWEST:]):
        depth = 1
        for brace in BRACE.finditer(body, match.end()):
            depth += {"{": 1, "}": -1}.get(brace[0], 0)
            if depth == 0:
                yield match.start(), match.end(), brace.start()
                break


def _hashes(body: str) -> Iterator[tuple[int, int, int]]:
    if "####" in body:
        for match in reversed(list(HASHES.finditer(body))[-NEWEST:]):
            yield match.start(), *match.span(match.lastindex or 0)


def _phrases(
    body: str, phrases: tuple[tuple[re.Pattern[str], re.Pattern[str]], ...] = PHRASES
) -> Iterator[tuple[int, int, int]]:
    for place in _words_from_the_end(body):
        around = max(0, place - BEFORE_WORD)
        for before, after in phrases:
            follows = after.match(body, place)
            leads = before.search(body[around:place]) if follows else None
            if follows and leads:
                yield around + leads.start(), follows.end(), _sentence_end(body, follows.end())


def _sentence_end(body: str, at: int) -> int:
    """Where a sentence ends; an equation goes on over the end of a line that ends in its sign."""
    for stop in islice(SENTENCE_END.finditer(body, at), LONGEST_EQUATION):
        if not body[max(at, stop.start() - 3) : stop.start()].rstrip().endswith("="):
            return stop.start()
    return len(body)


def _words_from_the_end(body: str) -> Iterator[int]:
    """Where the words of phrases stand; each is looked for once from each of its places, however long the text is."""
    lowered = body.lower()
    lowered = lowered if len(lowered) == len(body) else body
    places = {word: lowered.rfind(word) for word in WORDS}
    while (place := max(places.values())) >= 0:
        yield place
        word = next(word for word in WORDS if places[word] == place)
        places[word] = lowered.rfind(word, 0, place)
