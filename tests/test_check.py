"""What becomes of solutions by their answers."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.answers import own
from pipeline.rows import Dropped, Solution
from stages.check import Check
from tests.made import outcome, problem, run, solution, work
from tests.test_vote import Lines


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


@pytest.mark.parametrize(
    ("gold", "answers", "rate"),
    [
        ("5", ["5", "6", "5.0", None], 0.5),
        ("5", ["6", "5"], 0.5),
        (None, ["5", "5"], None),
        (r"\frac{1}{", [r"0.5 + \sqrt{2}"], None),
    ],
)
def test_a_solution_says_which_share_of_its_problems_samples_is_right(
    tmp_path: Path, gold: str | None, answers: list[str | None], rate: float | None
) -> None:
    of = problem(answer=gold)
    rows = [solution(f"p/{i}", found=found, problem=of) for i, found in enumerate(answers)]
    carried = [row for row in run(Check(), [*rows, solution("q/0")], work(tmp_path)) if isinstance(row, Solution)]
    assert [row.pass_rate for row in carried] == [rate] * (len(carried) - 1) + [1.0]
    assert len(carried) > 1


def test_a_function_of_the_users_own_is_given_the_whole_reply(tmp_path: Path) -> None:
    (tmp_path / "my_judge.py").write_text('def shown(text, answer):\n    return "because" in text\n')
    of = problem().model_copy(update={"scorer": own.scorer_of("my_judge.py:shown", tmp_path)})
    rows = [solution(f"p/{i}", text=text, problem=of) for i, text in enumerate(["5, because it is.", "5."])]
    assert outcome(Check(), rows, work(tmp_path)) == [("p/0", "kept"), ("p/1", "wrong_answer")]


def test_a_sample_that_was_cut_counts_as_one_that_is_not_right(tmp_path: Path) -> None:
    rows = [solution("p/0"), solution("p/1", cut=True)]
    right, cut = run(Check(), rows, work(tmp_path))
    assert isinstance(right, Solution)
    assert right.pass_rate == 0.5
    assert isinstance(cut, Dropped)


def test_a_right_answer_by_a_wrong_step_is_marked_or_dropped(tmp_path: Path) -> None:
    rows = [solution("p/0", text="4 + 3 = 8. 8 - 2 = 6, or rather 5. The answer is 5."), solution("p/1")]
    marked, clean = run(Check(), rows, work(tmp_path))
    assert isinstance(marked, Solution)
    assert isinstance(clean, Solution)
    assert (marked.verdict, marked.wrong_steps, clean.wrong_steps) == ("right", ("4 + 3 = 8",), ())
    dropped, kept = run(Check(wrong_steps="drop"), rows, work(tmp_path))
    assert isinstance(dropped, Dropped)
    assert (dropped.reason, dropped.detail) == ("wrong_step", "4 + 3 = 8")
    assert kept == clean


def test_how_many_cannot_be_judged_is_told_with_the_reasons(tmp_path: Path) -> None:
    golds = {"a": None, "b": r"\frac{1}{", "c": "5"}
    rows = [
        solution(f"{name}/{i}", found=r"0.5 + \sqrt{2}", problem=problem(name, answer=gold))
        for name, gold in golds.items()
        for i in range(2)
    ]
    progress = Lines()
    run(Check(), rows, replace(work(tmp_path), progress=progress))
    assert progress.said == [
        "4 solutions cannot be judged: 2 have no gold answer, 2 have gold that no rule can read, "
        "or a check that broke or hit a limit"
    ]
    run(Check(), rows[4:], replace(work(tmp_path), progress=progress))
    assert len(progress.said) == 1


def test_what_goes_in_at_the_end_is_read_after_the_first_comes_out(tmp_path: Path) -> None:
    read = 0

    class Many(list[Solution]):
        def __iter__(self) -> Iterator[Solution]:
            nonlocal read
            for index in range(20_000):
                read += 1
                yield solution(f"p-{index}/0", text="5")

    next(iter(Check().run(Many(), work(tmp_path))))
    assert read < 5_000
