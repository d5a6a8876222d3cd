"""What becomes of solutions by their answers."""

from pathlib import Path

import pytest

from pipeline.rows import Dropped, Solution
from stages.check import Check
from tests.made import outcome, problem, run, solution, work


@pytest.mark.parametrize(
    ("text", "gold", "expected"),
    [
        ("3 + 2 = 5. The answer is 5.", "5", "right"),
        ("3 + 2 = 5. The answer is $5.00.", "5", "right"),
        ("3 + 2 = 6. The answer is 6.", "5", "wrong_answer"),
        ("I do not know.", "5", "no_answer"),
        ("The answer is 6.", None, "unverifiable"),
        ("I cannot say what this is about, nor who would know, nor when I shall.", None, "unverifiable"),
        (r"So it is \boxed{0.5 + \sqrt{2}}.", r"\frac{1}{", "unverifiable"),
    ],
)
def test_the_right_ones_and_those_that_cannot_be_judged_go_on(
    tmp_path: Path, text: str, gold: str | None, expected: str
) -> None:
    (row,) = run(Check(), [solution(text=text, problem=problem(answer=gold))], work(tmp_path))
    assert (row.reason if isinstance(row, Dropped) else row.verdict if isinstance(row, Solution) else None) == expected
    assert row.id == "p/0"


def test_a_wrong_answer_is_shown_beside_the_gold_one(tmp_path: Path) -> None:
    (row,) = run(Check(), [solution(text=f"The answer is {'9' * 99}.")], work(tmp_path))
    assert isinstance(row, Dropped)
    assert row.detail == f"found '{'9' * 60}', gold '5'"


@pytest.mark.parametrize("gold", ["5", "8", None])
def test_the_last_number_of_a_text_that_was_cut_is_never_judged(tmp_path: Path, gold: str | None) -> None:
    text, of = "Lena has 5 pencils, and then", problem(answer=gold)
    (row,) = run(Check(), [solution(text=text, problem=of, found="5", cut=True)], work(tmp_path))
    assert isinstance(row, Dropped)
    assert (row.reason, row.detail) == ("cut_off", f"ended at its token limit, after {len(text)} characters")
    (kept,) = run(Check(), [solution(text=text, problem=of, found="5", cut=True, kept_cut=True)], work(tmp_path))
    judged = kept.reason if isinstance(kept, Dropped) else kept.verdict if isinstance(kept, Solution) else None
    assert judged == {"5": "right", "8": "wrong_answer", None: "unverifiable"}[gold]


def test_rows_keep_their_order_and_ids(tmp_path: Path) -> None:
    rows = [solution(f"p/{i}", found=found) for i, found in enumerate(["5", "6", None, "5.0"])]
    what = outcome(Check(), rows, work(tmp_path))
    assert what == [("p/0", "kept"), ("p/1", "wrong_answer"), ("p/2", "no_answer"), ("p/3", "kept")]
