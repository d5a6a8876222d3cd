"""How many tokens a request will use, as far as the replies so far tell."""

from dataclasses import dataclass

from pipeline.teacher.dialect import Usage

BYTES_A_TOKEN = 4.0
"""Of a request's body, before anything is known."""
WRITTEN = 512.0
"""Tokens of one sample, before anything is known."""
WEIGHT = 1 / 32
"""Of the newest reply in the moving means."""


@dataclass
class Reckoning:
    """Moving means over one teacher's replies."""

    prompt_rate: float = 1 / BYTES_A_TOKEN
    """Tokens of the prompt for each byte of the body."""
    written: float | None = None
    """Tokens of one sample."""

    def tokens(self, body_bytes: int, samples: int, limit: int | None) -> float:
        """Tokens that a request will use, of its prompt and all its samples."""
        written = WRITTEN if self.written is None else self.written
        return body_bytes * self.prompt_rate + samples * min(written, limit or written)

    def learn(self, body_bytes: int, samples: int, usage: Usage) -> float | None:
        """Take in what one request used; gives its tokens, None where the answer does not count them."""
        if usage.prompt_tokens is None or usage.completion_tokens is None or not samples:
            return None
        written = usage.completion_tokens / samples
        self.written = written if self.written is None else self.written + WEIGHT * (written - self.written)
        self.prompt_rate += WEIGHT * (usage.prompt_tokens / max(1, body_bytes) - self.prompt_rate)
        return usage.prompt_tokens + usage.completion_tokens
