"""Replies in which the prompt shows: chat templates, instructions, a hint that the student will not have."""

import re
from collections.abc import Collection

from pipeline.prompt import FIELD, Prompt
from pipeline.rows import Solution

LEAST_WORDS = 8
"""Words of a sentence of the prompt that nobody writes twice by chance."""

MARK = re.compile(
    r"<[|｜](?:im_(?:start|end|sep)|endoftext|eot_id|eom_id|(?:start|end)_header_id|(?:begin|end)_of_text"
    r"|(?:begin|end)▁of▁sentence|[Ss]ystem|[Uu]ser|[Aa]ssistant|tool|channel|message|start|return|call"
    r"|(?:start|end)_of_role|end_of_turn|endofprompt|fim_(?:prefix|middle|suffix))[|｜]>"
    r"|\[/?INST\]|<</?SYS>>|<(?:start|end)_of_turn>|(?:<eos>|</s>)\s*\Z"
    r"|(?:\A|\n)### ?(?:Instruction|Response|Human|Assistant|System|User):"
    r"|\n\n(?:Human|Assistant):|\n(?:USER|ASSISTANT):"
)
"""What templates put around turns."""
MARK_SIGNS = (
    "|>",
    "｜>",
    "INST]",
    "SYS>>",
    "_of_turn>",
    "<eos>",
    "</s>",
    "###",
    "Human:",
    "istant:",
    "USER:",
    "ISTANT:",
)
"""One of these stands in each of them: a text without them need not be searched."""
INSTRUCTION = re.compile(
    r"\byou are (?:chatgpt|an? (?:helpful|honest|harmless|expert|professional|experienced)[\w, ]{0,40}"
    r"(?:assistant|ai|tutor|teacher|mathematician|model)\b|an? (?:ai|large language|language) (?:assistant|model)\b)"
    r"|\b(?:my|the) system (?:prompt|message)\b|\bknowledge cutoff: ?\d{4}"
)
"""How system prompts speak."""
INSTRUCTION_SIGNS = ("you are ", "system prompt", "system message", "knowledge cutoff")
THE_ANSWER = r"the (?:correct |final |gold |right )?answer"
HINT = re.compile(
    rf"\b(?:{THE_ANSWER} (?:that )?(?:is |was )?(?:already )?(?:given|provided|supplied|shown|stated)"
    r" (?:in|as|by|to|above)\b"
    r"|the (?:given|provided|supplied|stated|known) (?:correct |final |right )?answer\b(?! (?:choice|option))"
    r"|(?:the|this|that|our) hint\b|as (?:the )?hint(?:s|ed)\b"
    rf"|(?:since|as|because) (?:we|i) (?:already )?know (?:that )?{THE_ANSWER} (?:is|must|should)\b"
    rf"|(?:we|i) (?:are|were|am|was|have been) (?:told|given|shown) (?:that )?{THE_ANSWER}\b"
    r"|according to the (?:given |provided )?answer\b)"
)
"""How a rationale speaks that knew the answer before it began."""


def prompt_leaked(row: Solution, sentences: Collection[str] = ()) -> str | None:
    """The reply holds a template's mark, a system prompt's words, a hint, or one of these sentences.

    Marks are looked for in the thoughts too: a student's tokenizer reads them as turns. Thoughts may well speak of
    what was asked.
    """
    mark = _mark(row.thoughts) or _mark(row.text)
    if mark is not None and mark not in row.problem.question:
        return f"the template's mark {mark!r}; none wanted"
    small = row.text.lower()
    said = INSTRUCTION.search(small) if any(sign in small for sign in INSTRUCTION_SIGNS) else None
    if said is not None and said[0] not in row.problem.question.lower():
        return f"speaks as a system prompt does, {said[0][:60]!r}; not wanted"
    if row.hinted and (hint := HINT.search(row.rationale.lower())) is not None:
        return f"speaks of the answer that it was shown, {hint[0][:60]!r}; not wanted"
    return _repeated(row.text, sentences) if sentences else None


def sentences_of(prompt: Prompt) -> tuple[str, ...]:
    """The sentences of a prompt, with no hole in them, that are long enough to be known again."""
    pieces = [piece for turn in prompt.turns for piece in FIELD.split(turn.content)[::2]]
    cut = [part for piece in pieces for part in re.split(r"\n|(?<=[.!?])\s", piece)]
    return tuple(dict.fromkeys(_plain(part) for part in cut if len(part.split()) >= LEAST_WORDS))


def _plain(text: str) -> str:
    """The text in small letters with single spaces."""
    return " ".join(text.lower().split())


def _repeated(text: str, sentences: Collection[str]) -> str | None:
    plain = _plain(text)
    lengths = [len(sentence.split()) for sentence in sentences if sentence in plain]
    return f"repeats a sentence of {max(lengths)} words of the prompt; none wanted" if lengths else None


def _mark(text: str) -> str | None:
    found = MARK.search(text) if any(sign in text for sign in MARK_SIGNS) else None
    return found[0].strip() if found else None
