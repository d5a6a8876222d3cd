"""Which words of held-out questions are a template's, so that finding them elsewhere tells nothing.

A template shows in the questions themselves, once their numbers and capitalised words are masked. Its sentences are
said with other numbers and names each time: 13 words in a row, or the question whole, that are filled in three ways.
Or they are said in one question after another: 13 words in a row that stand in three held-out questions, or 6 that
stand in every twentieth ("put your final answer within"). The words that are left are a question's own. A copy of a
question with one number changed fills its sentences in only two ways, so it is still found.
"""

from collections import Counter
from collections.abc import Collection, Iterator

from pipeline.similar.words import grams, tokens

SENTENCE = 13
"""Words in a row that tell where they are from; Brown et al. 2020, appendix C."""
PHRASE = 6
"""Words in a row that say no more than how to answer, where many questions say them."""
OFTEN = 3
"""Fillings, or held-out questions, from which on a sentence is a template's."""
OFTEN_SHARE = 0.05
"""Share of the held-out questions from which on a phrase is a template's."""


class Templates:
    """The template's sentences and phrases among those of some held-out questions.

    Memory grows with the held-out questions alone.

    Args:
        held_out: the questions, each different.
    """

    def __init__(self, held_out: Collection[str]) -> None:
        self._fillings: dict[int, tuple[int, ...]] = {}
        self._questions: Counter[int] = Counter()
        phrases: Counter[int] = Counter()
        for question in held_out:
            self._questions.update({masked for _, masked, _ in _sentences(question)})
            phrases.update(set(_phrases(question)))
        often = max(OFTEN, OFTEN_SHARE * len(held_out))
        self._phrases = {phrase for phrase, count in phrases.items() if count >= often}
        for question in held_out:
            self.add(question)

    def add(self, question: str) -> None:
        """Another question, held out or not, that may say their sentences with other numbers and names."""
        for _, masked, filling in _sentences(question):
            known = self._fillings.get(masked, ())
            if masked in self._questions and len(known) < OFTEN and filling not in known:
                self._fillings[masked] = (*known, filling)

    def own_words(self, question: str) -> list[bool]:
        """For each word of a held-out question, whether it is its own and no template's."""
        own = [True] * len(tokens(question))
        for place, masked, _ in _sentences(question):
            if self._questions[masked] >= OFTEN or len(self._fillings[masked]) >= OFTEN:
                own[place] = [False] * len(own[place])
        for start, phrase in enumerate(_phrases(question)):
            if phrase in self._phrases:
                own[start : start + PHRASE] = [False] * PHRASE
        return own


def _sentences(question: str) -> Iterator[tuple[slice, int, int]]:
    """Each 13 words in a row, and all of them: where they stand, and hashes of them masked and as they are said."""
    written = tokens(question)
    masked, said = _masked(written), [word.casefold() for word in written]
    for start, pair in enumerate(zip(grams(masked, SENTENCE), grams(said, SENTENCE), strict=True)):
        yield slice(start, start + SENTENCE), hash(pair[0]), hash(pair[1])
    yield slice(0, len(written)), hash(tuple(masked)), hash(tuple(said))


def _phrases(question: str) -> Iterator[int]:
    return map(hash, grams(_masked(tokens(question)), PHRASE))


def _masked(written: list[str]) -> list[str]:
    return ["#" if word[0].isdigit() else "A" if word[0].isupper() else word for word in written]
