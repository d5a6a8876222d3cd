"""Votes over the samples of one problem."""

from pathlib import Path

import pytest

from stages.vote import Vote
from tests.made import outcome, problem, solution, work


@pytest.mark.parametrize(
    ("answers", "min_share", "expected"),
    [
        (["5", "5", "7"], 0.5, ["kept", "kept", "outvoted"]),
        (["5", "5.0", "10/2"], 0.9, ["kept", "kept", "kept"]),
        (["5", "7", "8"], 0.0, ["tie", "tie", "tie"]),
        (["5", "5", "7", None, None], 0.5, ["no_majority", "no_majority", "no_majority", "no_answer", "no_answer"]),
        ([None, None], 0.0, ["no_answer", "no_answer"]),
        (["5"], 1.0, ["kept"]),
    ],
)
def test_the_winner_needs_its_share_of_all_samples(
    tmp_path: Path, answers: list[str | None], min_share: float, expected: list[str]
) -> None:
    rows = [solution(f"p/{i}", found=answer) for i, answer in enumerate(answers)]
    assert [what for _, what in outcome(Vote(min_share=min_share), rows, work(tmp_path))] == expected


def test_a_text_that_was_cut_has_no_vote_unless_it_is_kept(tmp_path: Path) -> None:
    rows = [solution("p/0", found="5"), *(solution(f"p/{i}", found="7", cut=True) for i in (1, 2))]
    assert [what for _, what in outcome(Vote(min_share=0.3), rows, work(tmp_path))] == [
        "kept",
        "no_answer",
        "no_answer",
    ]
    kept = [row.model_copy(update={"kept_cut": row.cut}) for row in rows]
    assert [what for _, what in outcome(Vote(min_share=0.3), kept, work(tmp_path))] == ["outvoted", "kept", "kept"]


def test_problems_vote_each_for_themselves(tmp_path: Path) -> None:
    rows = [solution("a/0", found="1"), solution("b/0", found="2"), solution("b/1", found="2")]
    made = list(Vote().run(rows, work(tmp_path)))
    assert [row.vote_share for row in made] == [1.0, 1.0, 1.0]  # type: ignore[union-attr]


def test_what_gold_decided_is_passed_on_when_only_the_rest_votes(tmp_path: Path) -> None:
    checked = solution("a/0", found="1", verdict="right")
    unknown = [solution(f"b/{i}", found=str(i), problem=problem("b", answer=None)) for i in range(2)]
    assert outcome(Vote(without_gold_only=True), [checked, *unknown], work(tmp_path)) == [
        ("a/0", "kept"),
        ("b/0", "tie"),
        ("b/1", "tie"),
    ]
