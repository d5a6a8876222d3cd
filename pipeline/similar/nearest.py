"""The set of words that shares most with another, among many; exact, without comparing all of them.

Source  Chaudhuri, Ganti, Kaushik 2006, "A Primitive Operator for Similarity Joins in Data Cleaning", section 3: two
        sets that share enough share one of their rarest words
"""

import math
from collections import Counter
from collections.abc import Sequence, Set

from pipeline.similar.words import jaccard


class Nearest:
    """Sets of words, found by their rarest ones.

    Args:
        sets: the sets; empty ones are never found.
        share: least Jaccard similarity, above 0, to find one.
    """

    def __init__(self, sets: Sequence[Set[str]], share: float) -> None:
        self._sets = sets
        self._share = share
        self._counts = Counter(word for words in sets for word in words)
        self._holding: dict[str, list[int]] = {}
        for place, words in enumerate(sets):
            for word in self._rarest(words):
                self._holding.setdefault(word, []).append(place)

    def find(self, words: Set[str]) -> tuple[int, float] | None:
        """Place and similarity of the set that is most like this one, the first of equals; None where none is."""
        places = sorted({place for word in self._rarest(words) for place in self._holding.get(word, ())})
        found = [(jaccard(words, self._sets[place]), place) for place in places]
        share, place = max(found, key=lambda pair: pair[0], default=(0.0, -1))
        return (place, share) if share >= self._share else None

    def _rarest(self, words: Set[str]) -> list[str]:
        """So many of a set's rarest words that a set which shares none of them cannot share enough."""
        enough = math.ceil(self._share * len(words) - 1e-9)
        return sorted(words, key=lambda word: (self._counts[word], word))[: len(words) - enough + 1]
