"""Final answers: find them in a text, bring them to one form, judge them against gold.

>>> from pipeline.answers import judge
>>> judge("9 * 2 = 18. The answer is 18 dollars.", "18")
Verdict(found='18', outcome='right', rule='phrase')
"""

from pipeline.answers.canonical import normalise
from pipeline.answers.comparing import compare, compare_many
from pipeline.answers.extract import find, read
from pipeline.answers.statement import split
from pipeline.answers.verdict import Verdict, judge

__all__ = ["Verdict", "compare", "compare_many", "find", "judge", "normalise", "read", "split"]
