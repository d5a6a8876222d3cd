"""What nobody should learn from, whatever its answer."""

from pathlib import Path

import pytest

from pipeline.rows import Solution
from stages.filter import Filter, repeated_share
from tests.made import outcome, solution, work


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (solution(), "kept"),
        (solution(cut=True), "cut_off"),
        (solution(cut=True, kept_cut=True), "kept"),
        (solution(cut=True, kept_cut=True, text="4 + 3 = 7, then we", found=None), "no_answer"),
        (solution(text=" ", thoughts="well, 4 + 3 is 7", found="5"), "empty"),
        (solution(text="4 + 3 = 7, then we take two away.", found=None), "no_answer"),
        (solution(text="The answer is 5."), "no_reasoning"),
        (solution(text="The answer is 5.", thoughts="4 + 3 = 7, 7 - 2 = 5"), "kept"),
        (solution(text="4 + 3 is 7. " * 40 + "The answer is 7."), "repetition"),
        (solution(text="one two three " + "x" * 990 + " The answer is 7."), "too_long"),
    ],
)
def test_the_first_fault_is_the_reason(tmp_path: Path, row: Solution, expected: str) -> None:
    assert outcome(Filter(max_characters=1000), [row], work(tmp_path)) == [("p/0", expected)]


def test_ordinary_text_repeats_little() -> None:
    assert repeated_share("a b c") == 0
    assert repeated_share("one two three four five six seven eight nine ten") == 0
    assert repeated_share("so we add one " * 10) > 0.8
