"""Final answers: find them in a text, bring them to one form, compare them with gold."""

from pipeline.answers.canonical import normalise
from pipeline.answers.extract import find, split
from pipeline.answers.verdict import compare

__all__ = ["compare", "find", "normalise", "split"]
