"""For each of many texts, the first one that it repeats.

Both ways give places: `firsts[i]` is the place of the first text that text i repeats, i itself where it repeats none.

Source  Lee et al. 2022, "Deduplicating Training Data Makes Language Models Better", arXiv:2107.06499, section 4: exact
        matches, and MinHash over 5-grams of words; Broder 1997, "On the resemblance and containment of documents"
"""

import hashlib
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

from pipeline.similar.words import plain, shingles

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

SHINGLE = 5
"""Words in a row."""
VALUES = 128
"""In a signature, of 16 bits each: a million texts take 256 MB. The standard error of a similarity of 0.8 is 0.035."""
BAND = 4
"""Values that two signatures must share, side by side, to be compared; 64 bits. Of pairs as similar as 0.7 less than
one in 5,000 shares none of the 32 bands."""
AT_ONCE = 1024
"""Texts whose signatures are made in one call."""
SEED = 1


def exact_firsts(texts: Iterable[str]) -> "NDArray[numpy.int64]":
    """Of texts that are equal but for case, marks and spaces the first; 8 bytes a text, 40 while they are sorted."""
    import numpy

    digests = (hashlib.blake2b(plain(text).encode(), digest_size=8).digest() for text in texts)
    return _first_of_equals(numpy.frombuffer(b"".join(digests), dtype=numpy.uint64))


def near_firsts(texts: Iterable[str], count: int, share: float) -> "NDArray[numpy.int64]":
    """Of texts that are near each other the first; in a chain of near ones that is the first of the chain.

    Args:
        texts: the texts.
        count: most texts that there may be.
        share: least Jaccard similarity of near texts' shingles, as their signatures tell it.
    """
    import numpy

    signatures = numpy.zeros((count, VALUES), dtype=numpy.uint16)
    rows = 0
    for signature in _signatures(texts):
        signatures[rows] = signature
        rows += 1
    signatures = signatures[:rows]
    firsts = numpy.arange(rows)
    for band in signatures.view(numpy.uint64).T:
        leaders = _first_of_equals(band)
        asked = numpy.flatnonzero(leaders < firsts)
        for part in numpy.array_split(asked, len(asked) // AT_ONCE + 1):
            alike = (signatures[part] == signatures[leaders[part]]).mean(axis=1) >= share
            firsts[part[alike]] = leaders[part[alike]]
    for place, first in enumerate(firsts):
        firsts[place] = firsts[first]
    return firsts


def _first_of_equals(values: "NDArray[Any]") -> "NDArray[numpy.int64]":
    import numpy

    _, first, group = numpy.unique(values, return_index=True, return_inverse=True)
    return first[group]


def _signatures(texts: Iterable[str]) -> "Iterator[NDArray[numpy.uint16]]":
    import numpy
    from rensa import RMinHash

    left = iter(texts)
    while part := [[" ".join(gram) for gram in shingles(text, SHINGLE)] for text in islice(left, AT_ONCE)]:
        made = RMinHash.digest_matrix_from_token_sets(part, num_perm=VALUES, seed=SEED)
        yield from (numpy.array(made.to_rows(), dtype=numpy.uint32) & 0xFFFF).astype(numpy.uint16)
