"""Texts that are in another language than the wanted one, or partly so."""

import re
import unicodedata
from collections.abc import Callable, Iterator
from functools import cache
from typing import TYPE_CHECKING

from pipeline.errors import StageError, UsageError
from pipeline.faults.form import whole
from pipeline.rows import Solution

if TYPE_CHECKING:
    from lingua import Language

LIKELY = ("ar", "de", "en", "es", "fr", "hi", "id", "it", "ja", "ko", "nl", "pl", "pt", "ru", "tr", "vi", "zh")
"""Languages that teachers fall into (ISO 639-1). Among all 75 that lingua knows it takes three times as long, and rare
words of English pass for Latin more often."""
PIECE_WORDS = 16
"""Different words that are judged at once; fewer say little about a language."""
LEAST_CONFIDENCE = 0.001
"""Confidence, 0..1, that lingua has in the wanted language for the strangest pieces that are written in it: lists of
food and animals. Below it stands what is written in any other."""

NOT_PROSE = re.compile(
    r"```.*?(?:```|\Z)|`[^`\n]+`|\b\w{2,10}://\S+|\$\$[^$]*\$\$|\$[^$\n]*[\\^_={][^$\n]*\$"
    r"|\\\((?:[^\\]|\\[^()])*+\\\)|\\\[(?:[^\\]|\\[^\[\]])*+\\\]|\\[A-Za-z]+",
    re.DOTALL,
)
"""Code, addresses and formulas."""
WORD = re.compile(
    r"[^\s\d!-&(-,./:-@\[-`{-~\u00a1-\u00bf×÷\u02b0-\u036f\u2000-\u2bff\u3000-\u303f\uff00-\uff20\U0001d400-\U0001fbff]{2,}"
)
"""Two letters or more, with apostrophe and hyphen; signs of punctuation, mathematics and joy are none."""
UNSPACED = ("CJK", "THAI", "LAO", "KHMER", "MYANMAR")
"""Scripts without spaces between words: two characters count as a word."""
GREEK_WORD = 3
"""Letters of a Greek word; shorter ones are angles and constants."""


def language_of(wanted: str) -> "Language":
    """The language that a code (ISO 639-1: `en`) stands for.

    Raises:
        StageError: lingua is not installed.
        UsageError: lingua knows no such language.
    """
    try:
        from lingua import Language
    except ImportError as error:
        raise StageError(
            f"language: {wanted} needs lingua, which is not installed", "pip install 'cot-distill[languages]'"
        ) from error
    known = {language.iso_code_639_1.name.lower(): language for language in Language.all()}
    if wanted not in known:
        raise UsageError(f"language: {wanted!r} is no code of a known language", f"one of {', '.join(sorted(known))}")
    return known[wanted]


def other_language(wanted: str) -> Callable[[Solution], str | None]:
    """A look for texts of which a passage is not in that language.

    Raises:
        PipelineError: see `language_of`.
    """
    language = language_of(wanted)
    from lingua import IsoCode639_1, LanguageDetectorBuilder

    codes = [IsoCode639_1.from_str(code) for code in sorted({wanted, *LIKELY})]
    builder = LanguageDetectorBuilder.from_iso_codes_639_1(*codes).with_low_accuracy_mode()
    detector = builder.build()

    def look(row: Solution) -> str | None:
        for piece in passages(whole(row)):
            if detector.compute_language_confidence(piece, language) < LEAST_CONFIDENCE:
                met = detector.detect_language_of(piece)
                return f"a passage in {_title(met) if met else 'another language'}, {_title(language)} wanted"
        return None

    return look


def _title(language: "Language") -> str:
    return str(language.name).title()


def passages(text: str) -> Iterator[str]:
    """What a text says in each script, piece by piece; few words of one script are no passage.

    A word counts where it first stands, so a long text costs little more than a short one. Names and headings, which
    tell nothing, begin with a capital.
    """
    scripts: dict[str, dict[str, float]] = {}
    for word in WORD.findall(NOT_PROSE.sub(" ", text)):
        script = _script(word[0])
        if word == word.lower() and (script != "GREEK" or len(word) >= GREEK_WORD):
            scripts.setdefault(script, {})[word] = len(word) / 2 if script in UNSPACED else 1
    for words in scripts.values():
        yield from _cut(words)


def _cut(words: dict[str, float]) -> Iterator[str]:
    """Pieces of words, each with its weight, that are long enough to judge; a short rest goes with the last of them."""
    left, piece, weight = sum(words.values()), list[str](), 0.0
    for word, weighs in words.items():
        piece.append(word)
        weight += weighs
        left -= weighs
        if weight >= PIECE_WORDS and (left >= PIECE_WORDS or left <= 0):
            yield " ".join(piece)
            piece, weight = [], 0.0


@cache
def _script(letter: str) -> str:
    """The script of a letter, as Unicode names it; Japanese writes in three that are one here."""
    name = unicodedata.name(letter, "").partition(" ")[0]
    return "CJK" if name in ("HIRAGANA", "KATAKANA") else name
