"""Keys, tokens and passwords, known by their shapes.

General detectors of secrets are made for files of code: they take long words of prose for random ones. Here stand
only the shapes that nothing else has. An e-mail address is none of them.
"""

import re

from pipeline.rows import Solution

SHAPES = {
    "a private key": ("PRIVATE KEY", r"-----BEGIN (?:[A-Z]+ )?PRIVATE KEY(?: BLOCK)?-----\s*(?P<value>[\w+/=:-]{16})"),
    "a password in a URL": (
        "://",
        r"\b[a-z][a-z\d+.-]{1,20}://[^\s/:@<>{}$'\"]{1,64}:(?P<value>[^\s/:@<>{}$'\"]{6,128})@\w",
    ),
    "an OpenAI key": ("sk-", r"\bsk-(?:(?:proj|svcacct|admin)-[\w-]{40,200}|[A-Za-z\d]{20}T3BlbkFJ[A-Za-z\d]{20})"),
    "an Anthropic key": ("sk-ant-", r"\bsk-ant-[a-z\d]{3,10}-[\w-]{60,120}"),
    "an OpenRouter key": ("sk-or-", r"\bsk-or-v\d-[a-f\d]{64}\b"),
    "a Hugging Face token": ("hf_", r"\bhf_[A-Za-z]{34}\b"),
    "an AWS access key": ("IA", r"\b(?:AKIA|ASIA)[A-Z2-7]{16}\b"),
    "a Google API key": ("AIza", r"\bAIza[\w-]{35}(?![\w-])"),
    "a GitHub token": ("gh", r"\bgh[pousr]_[A-Za-z\d]{36,251}\b|\bgithub_pat_\w{82}\b"),
    "a GitLab token": ("glpat-", r"\bglpat-[\w-]{20,64}"),
    "a Slack token": ("xox", r"\bxox[abeoprs]-\d{8,14}-[\w-]{10,200}"),
    "a Slack webhook": ("hooks.slack.com", r"hooks\.slack\.com/services/T\w{8,12}/B\w{8,12}/\w{24}"),
    "a Stripe key": ("k_live_", r"\b[rs]k_live_[A-Za-z\d]{24,120}\b"),
    "an npm token": ("npm_", r"\bnpm_[A-Za-z\d]{36}\b"),
    "a PyPI token": ("pypi-AgE", r"\bpypi-AgE[\w-]{80,250}"),
    "a SendGrid key": ("SG.", r"\bSG\.[\w-]{22}\.[\w-]{43}(?![\w-])"),
    "a signed web token": (".eyJ", r"\beyJ[\w-]{10,200}\.eyJ[\w-]{10,4000}\.[\w-]{20,1000}"),
}
"""What it is: (text that stands in each of them, the whole shape)."""
COMPILED = [(name, sign, re.compile(shape)) for name, (sign, shape) in SHAPES.items()]
MADE_UP = re.compile(
    r"example|pass|secret|s3cr3t|your|user|test|dummy|change|placeholder|admin|postgres|12345|abcde|(.)\1{4}",
    re.IGNORECASE,
)
"""Stands in the keys of documentation, which open no door."""


def secrets(row: Solution) -> str | None:
    """The question, the thoughts or the text hold a secret; it is named by its kind and place alone."""
    parts = {"question": row.problem.question, "thoughts": row.thoughts, "text": row.text}
    everything = "\n".join(parts.values())
    shapes = [(name, shape) for name, sign, shape in COMPILED if sign in everything]
    for part, text in parts.items() if shapes else ():
        for name, shape in shapes:
            if (place := _place(shape, text)) is not None:
                return f"{name} in the {part}, at character {place}; none wanted"
    return None


def _place(shape: re.Pattern[str], text: str) -> int | None:
    """Where the first one begins that is not made up."""
    for match in shape.finditer(text):
        if MADE_UP.search(match.groupdict().get("value") or match[0]) is None:
            return match.start()
    return None
