"""Where models and servers put thoughts within a content, and how they are told from the text after them."""

import re

TAGS = {
    "<think>": "</think>",
    "<thinking>": "</thinking>",
    "<thought>": "</thought>",  # Gemini's OpenAI endpoint with include_thoughts
    "<reasoning>": "</reasoning>",
    "<seed:think>": "</seed:think>",
    "[THINK]": "[/THINK]",  # Magistral, served without its parser
    "◁think▷": "◁/think▷",  # Kimi
    "<|begin_of_thought|>": "<|end_of_thought|>",  # OpenThinker, Sky-T1
    "<|channel|>analysis<|message|>": "<|end|>",  # gpt-oss, served without its parser
}

OPENED = re.compile(r"\s*(?:<\|start\|>assistant)?(?P<tag>" + "|".join(map(re.escape, TAGS)) + ")")
CLOSED = {tag: re.compile(f"(?<![`'\"]){re.escape(end)}|{re.escape(end)}(?![`'\"])") for tag, end in TAGS.items()}
"""A tag between quotes is talked about, not meant."""
FINAL_CHANNEL = re.compile(r"\s*(?:<\|start\|>assistant)?<\|channel\|>final<\|message\|>")


def split(content: str, opening: bool = False) -> tuple[str, str]:
    """Thoughts and text of a content.

    Thoughts stand at the beginning, in one block or several; a tag further on belongs to the text. Without any tag all
    of it is text, as it came. Thoughts that never end are thoughts to the end.

    Args:
        content: what the model wrote.
        opening: the first block must have its opening tag; without this, `</think>` alone ends the thoughts, because
            some templates write the opening tag into the prompt.
    """
    blocks, rest = [], content
    while opened := OPENED.match(rest):
        closed = CLOSED[opened["tag"]].search(rest, opened.end())
        blocks.append(rest[opened.end() : closed.start() if closed else None].strip())
        rest = rest[closed.end() :] if closed else ""
    if not blocks and not opening:
        closed = CLOSED["<think>"].search(content)
        if closed and "<think>" not in content[: closed.start()]:
            blocks, rest = [content[: closed.start()].strip()], content[closed.end() :]
    final = FINAL_CHANNEL.match(rest)
    if final:
        rest = rest[final.end() :]
    return "\n\n".join(filter(None, blocks)), rest.lstrip() if blocks or final else content
