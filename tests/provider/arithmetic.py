"""What the teacher knows: it works out sums step by step, and gets some of them wrong in the last step."""

import hashlib
import json
import re
from typing import Any

SUM = re.compile(r"-?\d+(?:\s*[-+*]\s*\d+)+")
STATED = re.compile(r"The answer is (-?\d+)\.")
OPENINGS = ("Let us see.", "Step by step.", "I add them up.", "Working it out.")


def attempts(messages: list[dict[str, Any]], seed: int, count: int, right_share: float) -> list[tuple[str, str]]:
    """Thoughts and text of the choices with the seeds from `seed` on; each depends on the messages and its seed."""
    asked = next((said(message) for message in reversed(messages) if message["role"] == "user"), "")
    sums = SUM.findall(asked)
    if not sums and (stated := STATED.findall(" ".join(map(said, messages)))):
        return [("I said it.", f"{stated[-1]}.")] * count
    if not sums:
        return [("I look for a sum.", "I see no sum to work out.")] * count
    *steps, last = work_out(sums[-1])
    conversation = json.dumps(messages)
    found = []
    for place in range(seed, seed + count):
        digest = hashlib.sha256(f"[{conversation}, {place}]".encode()).digest()
        right = int.from_bytes(digest[:4], "big") < right_share * 2**32
        step, _, total = last.rpartition(" ")
        answer = int(total) + (0 if right else 1 + digest[4] % 3)
        worked = ". ".join([*steps, f"{step} {answer}"])
        text = f"{OPENINGS[digest[5] % 4]} {worked}. The answer is {answer}."
        found.append((f"The sum is {sums[-1]}. Attempt {digest[6]}.", text))
    return found


def work_out(text: str) -> list[str]:
    """The steps of a sum, products first; the last one ends in its value."""
    steps: list[str] = []
    signs = re.findall(r"(?<=\d)\s*([-+*])", text)
    numbers = [int(number.replace(" ", "")) for number in re.split(r"(?<=\d)\s*[-+*]\s*", text)]
    for operators in ("*", "+-"):
        place = 0
        while place < len(signs):
            if signs[place] not in operators:
                place += 1
                continue
            left, sign, right = numbers[place], signs.pop(place), numbers.pop(place + 1)
            numbers[place] = {"+": left + right, "-": left - right, "*": left * right}[sign]
            steps.append(f"{left} {sign} {right} = {numbers[place]}")
    return steps


def said(message: dict[str, Any]) -> str:
    """The text of a message, whose content may come in parts."""
    content = message.get("content") or ""
    return content if isinstance(content, str) else " ".join(part.get("text", "") for part in content)


def drawn(*seeds: bytes) -> float:
    """A number from 0 to 1 that depends on nothing but the seeds."""
    return int.from_bytes(hashlib.sha256(b"\0".join(seeds)).digest()[:8], "big") / 2**64
