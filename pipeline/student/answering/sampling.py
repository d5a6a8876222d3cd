"""How a next token is drawn: temperature, nucleus, and a share of chance for each text.

Source  top_p: Holtzman et al. 2020, "The Curious Case of Neural Text Degeneration", arXiv:1904.09751, section 3.1
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

MOST_LIKELY = 1024
"""Tokens among which the nucleus is looked for first: to sort them all takes longer than many a student's step."""


@dataclass(frozen=True)
class Sampling:
    """How each next token is drawn."""

    temperature: float
    """Above 0."""
    top_p: float
    """Drawn among the likeliest tokens that have this much of the probability together; 1 takes all."""
    seeds: Sequence[int]
    """One a prompt."""


def draw(logits: "torch.Tensor", sampling: Sampling, chances: Sequence[float]) -> "torch.Tensor":
    """Draw one token for each row.

    It is the one at which the probabilities, summed up in the order of the vocabulary, reach a given share of their
    sum: a last digit that differs with the batch then changes a token as seldom as can be.

    Args:
        logits: (batch, vocabulary) of any float type.
        sampling: temperature and top_p; its seeds play no part.
        chances: the share, 0 or more and below 1, of each row.
    """
    import torch

    probabilities = (logits.float() / sampling.temperature).softmax(-1)
    if sampling.top_p < 1:
        outside = probabilities < _least(probabilities, sampling.top_p)
        probabilities = probabilities.masked_fill(outside, 0)
    sums = probabilities.cumsum(-1, dtype=torch.float64)
    wanted = torch.tensor(chances, dtype=torch.float64, device=sums.device)[:, None] * sums[:, -1:]
    return torch.searchsorted(sums, wanted, right=True)[:, 0].clamp(max=sums.shape[1] - 1)


def _least(probabilities: "torch.Tensor", top_p: float) -> "torch.Tensor":
    """Probability of the last token that is needed for `top_p`, (batch, 1); tokens as likely as that one are in."""
    vocabulary = probabilities.shape[1]
    for most in (min(MOST_LIKELY, vocabulary), vocabulary):
        top = probabilities.topk(most).values
        sums = top.cumsum(-1)
        if bool((sums[:, -1] >= top_p).all()):
            break
    needed = (sums < top_p).sum(-1, keepdim=True).clamp(max=most - 1)
    return top.gather(-1, needed)
