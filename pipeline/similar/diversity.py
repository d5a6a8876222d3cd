"""The most different of some texts.

Source  Gonzalez 1985, "Clustering to Minimize the Maximum Intercluster Distance", Theoretical Computer Science 38:
        farthest-first traversal
"""

from collections.abc import Sequence, Set

from pipeline.similar.words import jaccard


def most_diverse(sets: Sequence[Set[object]], count: int) -> list[int]:
    """Places, in their order, of so many sets: the first, then each time the one least like those taken.

    Args:
        sets: what the texts are made of, as shingles.
        count: how many are taken; all where there are no more.
    """
    taken = [0] if sets else []
    likeness = [jaccard(sets[0], other) for other in sets]
    """Of each set to the nearest that was taken."""
    while len(taken) < min(count, len(sets)):
        farthest = min((place for place in range(len(sets)) if place not in taken), key=lambda place: likeness[place])
        taken.append(farthest)
        likeness = [max(old, jaccard(sets[farthest], other)) for old, other in zip(likeness, sets, strict=True)]
    return sorted(taken)
