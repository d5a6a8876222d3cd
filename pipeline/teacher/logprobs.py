"""Log-probabilities of a reply's tokens, in the shape of chats and in that of the older completions."""

from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.stage import TokenLogprob


def read(choice: Mapping[str, Any]) -> tuple[TokenLogprob, ...]:
    """The log-probabilities of one choice, token by token; none where that of any token is missing."""
    told = choice.get("logprobs")
    if not isinstance(told, dict):
        return ()
    try:
        steps = list(_steps(told))
    except (AttributeError, KeyError, TypeError):  # of a shape that nobody knows
        return ()
    if not all(isinstance(token, str) and type(logprob) in (int, float) for token, logprob, _ in steps):
        return ()
    return tuple(TokenLogprob(token, logprob, top) for token, logprob, top in steps)


def _steps(told: Mapping[str, Any]) -> Iterator[tuple[Any, Any, dict[str, float]]]:
    """Token, log-probability and the likeliest tokens of each place."""
    for step in told.get("content") or ():
        # Of two tokens that read alike the likelier one stands first.
        top = {likely["token"]: likely["logprob"] for likely in reversed(step.get("top_logprobs") or ())}
        yield step["token"], step["logprob"], top
    # Together and Fireworks keep the older shape for chats.
    tokens = told.get("tokens") or ()
    tops = told.get("top_logprobs") or [None] * len(tokens)
    for token, logprob, likeliest in zip(tokens, told.get("token_logprobs") or (), tops, strict=False):
        yield token, logprob, dict(likeliest or {})
