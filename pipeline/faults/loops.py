"""Texts that say the same again and again."""

from collections.abc import Sequence

from pipeline.faults.form import whole
from pipeline.rows import Solution

WINDOW = 8
"""Words, or characters, in a piece of text that is counted to find repetition."""
STRETCH = 100
"""Pieces in a row that were all said twice before: a draft and its fair copy say a thing twice, a loop goes on."""
LONG = 40
"""Characters of a word above which it is read by its characters: a loop without spaces, or Chinese."""


def repetition(row: Solution, most: float) -> str | None:
    """More than that share of the text has been said before, or a stretch of it for the third time."""
    words = whole(row).split()
    return _in_words(words, most) or _in_characters("".join([word for word in words if len(word) > LONG]))


def repeated_share(text: str) -> float:
    """Share, 0..1, of the word 8-grams of a text that stood in it before; 0 for a text of fewer than 8 words."""
    return _repeated_share(_pieces(text.split()))


def _in_words(words: Sequence[str], most: float) -> str | None:
    said_before = len(words) - 2 - len(set(zip(words, words[1:], words[2:], strict=False)))
    # Each 8-gram that was said before begins with such a 3-gram, and most texts have few of them.
    if said_before <= min(most * (len(words) - WINDOW + 1), STRETCH - 1):
        return None
    pieces = _pieces(words)
    share = _repeated_share(pieces)
    if share > most:
        return f"{share:.0%} of the text has been said before, {most:.0%} wanted at most"
    return _loop(words, pieces, "words")


def _in_characters(letters: str) -> str | None:
    return _loop(letters, _pieces(letters), "characters") if len(letters) > STRETCH else None


def _loop(units: Sequence[str], pieces: Sequence[int], unit: str) -> str | None:
    """The longest stretch said for the third time or more; None where it is short or holds no letter.

    A grid of zeros, or a long number, is an answer rather than a loop.
    """
    if len(pieces) - len(set(pieces)) < STRETCH:
        return None
    said: dict[int, int] = {}
    longest = start = end = 0
    for place, piece in enumerate(pieces):
        times = said[piece] = said.get(piece, 0) + 1
        if times <= 2:
            start = place + 1
        elif place + 1 - start > longest:
            longest, end = place + 1 - start, place + 1
    if longest < STRETCH or not any(map(str.isalpha, "".join(units[end - longest : end]))):
        return None
    return f"{longest} {unit} in a row for the third time or more, fewer than {STRETCH} wanted"


def _pieces(units: Sequence[str]) -> list[int]:
    """One hash for each 8 units that follow one another; the hashes take a fifth of the memory."""
    return [*map(hash, zip(*(units[start:] for start in range(WINDOW)), strict=False))]


def _repeated_share(pieces: Sequence[int]) -> float:
    return 1 - len(set(pieces)) / len(pieces) if pieces else 0.0
