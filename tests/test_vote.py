"""Votes over the samples of one problem."""

import json
import math
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.calibration import Calibration
from pipeline.errors import StageError, UsageError
from pipeline.progress import Silent
from pipeline.rows import Dropped, Row, Solution
from pipeline.stage import Work
from stages.vote import Vote
from tests.made import outcome, problem, run, solution, work


class Lines(Silent):
    """A progress that keeps its lines."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, line: str) -> None:
        self.said.append(line)


def decided(stage: Vote, rows: list[Solution], surroundings: Work) -> list[str]:
    return [what for _, what in outcome(stage, rows, surroundings)]


def samples(name: str, *answers: str | None, gold: str | None = None, **more: Any) -> list[Solution]:
    of = problem(name, answer=gold)
    return [solution(f"{name}/{i}", found=answer, problem=of, **more) for i, answer in enumerate(answers)]


def step_folder(folder: Path, rows: Iterable[Row], dropped: Iterable[Dropped] = ()) -> Path:
    """The folder of a finished step."""
    folder.mkdir()
    for name, items in (("rows", rows), ("dropped", dropped)):
        (folder / f"{name}.jsonl").write_text("".join(item.model_dump_json() + "\n" for item in items))
    return folder


def easy_and_hard(easy: int, hard: int, per_hard_right: int = 2) -> list[Solution]:
    """Problems whose samples all agree on gold, and ones where three of four agree, rightly in one of so many."""
    rows = [row for i in range(easy) for row in samples(f"easy-{i}", "5", "5", "5", "5", gold="5")]
    for i in range(hard):
        rows += samples(f"hard-{i}", "5", "5", "5", "7", gold="5" if i % per_hard_right == 0 else "7")
    return rows


@pytest.mark.parametrize(
    ("answers", "min_share", "expected"),
    [
        (["5", "5", "7"], 0.5, ["kept", "kept", "outvoted"]),
        (["5", "5.0", "10/2"], 0.9, ["kept", "kept", "kept"]),
        (["5", "7", "8"], 0.0, ["tie", "tie", "tie"]),
        (["5", "5", "7", None, None], 0.5, ["no_majority", "no_majority", "no_majority", "no_answer", "no_answer"]),
        (["5", "5", "7", None, None], 0.4, ["kept", "kept", "outvoted", "no_answer", "no_answer"]),
        ([None, None], 0.0, ["no_answer", "no_answer"]),
        (["5"], 1.0, ["kept"]),
        (["sqrt(2)/2", "1/sqrt(2)", "2"], 0.6, ["kept", "kept", "outvoted"]),
    ],
)
def test_the_winner_needs_its_share_of_all_samples(
    tmp_path: Path, answers: list[str | None], min_share: float, expected: list[str]
) -> None:
    rows = [solution(f"p/{i}", found=answer) for i, answer in enumerate(answers)]
    assert decided(Vote(min_share=min_share), rows, work(tmp_path)) == expected


def test_a_text_that_was_cut_has_no_vote_unless_it_is_kept(tmp_path: Path) -> None:
    rows = [solution("p/0", found="5"), *(solution(f"p/{i}", found="7", cut=True) for i in (1, 2))]
    assert decided(Vote(min_share=0.3), rows, work(tmp_path)) == ["kept", "no_answer", "no_answer"]
    kept = [row.model_copy(update={"kept_cut": row.cut}) for row in rows]
    assert decided(Vote(min_share=0.3), kept, work(tmp_path)) == ["outvoted", "kept", "kept"]


def test_problems_vote_each_for_themselves(tmp_path: Path) -> None:
    rows = [solution("a/0", found="1"), solution("b/0", found="2"), solution("b/1", found="2")]
    made = list(Vote().run(rows, work(tmp_path)))
    assert [row.vote_share for row in made] == [1.0, 1.0, 1.0]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("fields", "each", "winner", "share"),
    [
        ({}, [{}, {}, {}], "5", 2 / 3),
        ({"weights": "logprob"}, [{"logprob": math.log(weight)} for weight in (0.2, 0.2, 0.6)], "7", 0.6),
        ({"weights": "logprob"}, [{"logprob": -0.5}] * 3, "5", 2 / 3),
        ({"weights": "judge"}, [{"judge_score": score} for score in (0.1, 0.2, 0.9)], "7", 0.75),
        ({"teacher_weights": {"wise": 3.0}}, [{}, {}, {"teacher": "wise"}], "7", 3 / 5),
        ({"teacher_weights": {"main": 0.0}}, [{}, {}, {"teacher": "wise"}], "7", 1.0),
        (
            {"weights": "judge", "teacher_weights": {"wise": 0.5}},
            [{"judge_score": 0.5}, {"judge_score": 0.5}, {"judge_score": 1.0, "teacher": "wise"}],
            "5",
            2 / 3,
        ),
    ],
)
def test_a_sample_counts_by_its_weight(
    tmp_path: Path, fields: dict[str, Any], each: list[dict[str, Any]], winner: str, share: float
) -> None:
    voters = samples("p", "5", "5", "7")
    rows = [row.model_copy(update=more) for row, more in zip(voters, each, strict=True)]
    kept = [row for row in run(Vote(**fields), rows, work(tmp_path)) if isinstance(row, Solution)]
    assert {row.found for row in kept} == {winner}
    assert [row.vote_share for row in kept] == [pytest.approx(share)] * len(kept)


def test_weights_that_sum_to_the_same_are_a_tie_whatever_they_round_to(tmp_path: Path) -> None:
    weights = {"5": (0.7, 0.1), "7": (0.8,)}
    assert sum(weights["5"]) != sum(weights["7"])
    rows = samples("p", *(answer for answer, scores in weights.items() for _ in scores))
    scores = [score for scores in weights.values() for score in scores]
    weighed = [row.model_copy(update={"judge_score": score}) for row, score in zip(rows, scores, strict=True)]
    assert decided(Vote(weights="judge", min_share=0), weighed, work(tmp_path)) == ["tie"] * 3


@pytest.mark.parametrize(("weights", "hint"), [("logprob", "solve.extra={logprobs: true}"), ("judge", "`grade`")])
def test_a_vote_without_any_of_its_weights_says_how_to_get_them(tmp_path: Path, weights: Any, hint: str) -> None:
    rows = [*samples("p", "5"), *samples("q", "6", gold="6")]
    with pytest.raises(StageError, match="none that 'step' holds has one") as told:
        run(Vote(weights=weights), rows, work(tmp_path))
    assert hint in str(told.value.hint)
    there = work(tmp_path, uses={"calibration": step_folder(tmp_path / "solve", rows)})
    with pytest.raises(StageError, match="none that 'solve' holds has one"):
        run(Vote(weights=weights, min_share="auto"), rows, there)


def test_a_judged_vote_by_a_number_does_not_look_into_samples_that_nobody_had_judged(tmp_path: Path) -> None:
    there = work(tmp_path, uses={"calibration": step_folder(tmp_path / "solve", samples("p", "5", "7", "7"))})
    scores = (0.9, 0.2, 0.1)
    judged = [
        row.model_copy(update={"judge_score": score})
        for row, score in zip(samples("p", "5", "7", "7"), scores, strict=True)
    ]
    assert decided(Vote(weights="judge"), judged, there) == ["kept", "outvoted", "outvoted"]


@pytest.mark.parametrize(
    ("answers", "scores", "share"),
    [
        (("5", "7", None), (0.6, 0.2, None), 0.6 / 1.2),
        (("5", "5", "7"), (0.6, None, 0.2), 1.0 / 1.2),
        (("5", "5", "7"), (None, None, None), 2 / 3),
    ],
)
def test_a_sample_without_its_weight_weighs_as_the_others_of_its_problem_do(
    tmp_path: Path, answers: tuple[str | None, ...], scores: tuple[float | None, ...], share: float
) -> None:
    judged = [
        row.model_copy(update={"judge_score": score}) for row, score in zip(samples("p", *answers), scores, strict=True)
    ]
    other = samples("q", "1", judge_score=1.0)
    kept = next(
        row for row in run(Vote(weights="judge"), [*judged, *other], work(tmp_path)) if isinstance(row, Solution)
    )
    assert kept.vote_share == pytest.approx(share)


def test_where_gold_decided_only_what_is_right_or_equal_to_it_goes_on(tmp_path: Path) -> None:
    verdicts = [("1", "right"), ("1.0", "unverifiable"), ("2", "unverifiable"), (None, "unverifiable"), ("1", "wrong")]
    rows = [
        solution(f"a/{i}", found=found, verdict=verdict, problem=problem("a", answer="1"))
        for i, (found, verdict) in enumerate(verdicts)
    ]
    made = run(Vote(without_gold_only=True), rows, work(tmp_path))
    assert [row.reason if isinstance(row, Dropped) else row.verdict for row in made] == [  # type: ignore[attr-defined]
        "right",
        "right",
        "outvoted",
        "no_answer",
        "outvoted",
    ]


def test_where_nothing_is_known_to_be_right_the_samples_vote(tmp_path: Path) -> None:
    right = solution("a/0", found="1", verdict="right")
    unknown = [row.model_copy(update={"verdict": "unverifiable"}) for row in samples("b", "1", "2")]
    unread = [row.model_copy(update={"verdict": "unverifiable"}) for row in samples("c", "1", "1", gold="?")]
    made = run(Vote(without_gold_only=True), [right, *unknown, *unread], work(tmp_path))
    told = [row.reason if isinstance(row, Dropped) else row.vote_share for row in made]  # type: ignore[attr-defined]
    assert told == [None, "tie", "tie", 1.0, 1.0]


def test_samples_that_were_dropped_or_never_made_count_in_the_share(tmp_path: Path) -> None:
    made = samples("p", "5", "5", None, "7")
    made[3] = made[3].model_copy(update={"cut": True})
    lost = [Dropped(id="p/4", parent="p", reason="teacher_error")]
    solve = step_folder(tmp_path / "solve", made, lost)
    kept = run(Vote(min_share=0.4), made[:3], work(tmp_path, uses={"calibration": solve}))[0]
    assert isinstance(kept, Solution)
    assert kept.vote_share == pytest.approx(2 / 5)
    assert not (tmp_path / "calibration.json").exists()


def test_auto_asks_for_the_least_share_that_is_right_often_enough(tmp_path: Path) -> None:
    solve = step_folder(tmp_path / "solve", easy_and_hard(easy=180, hard=40))
    progress = Lines()
    there = replace(work(tmp_path, uses={"calibration": solve}), progress=progress)
    unknown = [*samples("a", "1", "1", "1", "1"), *samples("b", "1", "1", "1", "2"), *samples("c", "1", "2")]
    assert decided(Vote(min_share="auto"), unknown, there) == ["kept"] * 4 + ["abstained"] * 4 + ["tie"] * 2
    told = json.loads((tmp_path / "calibration.json").read_text())
    assert (told["chosen"], told["min_share"], told["precision"]) == (1.0, 1.0, 0.95)
    assert told["choice"]["problems"] + told["check"]["problems"] == 220
    for half in ("choice", "check"):
        assert [point["share"] for point in told[half]["curve"]] == [0.75, 1.0]
        assert told[half]["curve"][1]["precision"] == 1.0
    (line,) = progress.said
    assert line.startswith("min_share 1: chosen where ")
    lenient = Vote(min_share="auto", precision=0.8)
    assert decided(lenient, unknown, there) == ["kept"] * 7 + ["outvoted"] + ["tie"] * 2


def test_where_no_share_is_right_often_enough_every_vote_is_abstained_from(tmp_path: Path) -> None:
    solve = step_folder(tmp_path / "solve", easy_and_hard(easy=0, hard=200))
    progress = Lines()
    there = replace(work(tmp_path, uses={"calibration": solve}), progress=progress)
    unknown = samples("a", "1", "1", "1", "1")
    right = [row.model_copy(update={"verdict": "right"}) for row in samples("b", "1", gold="1")]
    stage = Vote(min_share="auto", without_gold_only=True)
    assert decided(stage, [*unknown, *right], there) == ["abstained"] * 4 + ["kept"]
    (line,) = progress.said
    assert line.startswith("no share of the vote reaches a precision of 0.95")
    assert json.loads((tmp_path / "calibration.json").read_text())["min_share"] is None


@pytest.mark.parametrize(
    ("checked", "answer", "warned"),
    [(120, "5", []), (10, "5", []), (0, "5", []), (10, "7", [True]), (120, "7", [True])],
)
def test_a_precision_that_does_not_hold_on_the_other_half_is_told_loudly(
    tmp_path: Path, checked: int, answer: str, warned: list[bool]
) -> None:
    halves = Calibration()
    names = [f"p-{i}" for i in range(400)]
    choice = [name for name in names if halves.half(name) is halves.choice][:120]
    check = [name for name in names if halves.half(name) is halves.check][:checked]
    rows = [row for name in choice for row in samples(name, "5", "5", gold="5")]
    rows += [row for name in check for row in samples(name, answer, answer, gold="5")]
    progress = Lines()
    there = replace(work(tmp_path, uses={"calibration": step_folder(tmp_path / "solve", rows)}), progress=progress)
    run(Vote(min_share="auto"), samples("a", "1"), there)
    assert [line.startswith("WARNING: the precision of 0.95 does not hold") for line in progress.said[1:]] == warned


def test_with_a_number_the_curve_is_written_and_the_number_holds(tmp_path: Path) -> None:
    solve = step_folder(tmp_path / "solve", easy_and_hard(easy=180, hard=40))
    there = work(tmp_path, uses={"calibration": solve})
    assert decided(Vote(min_share=0.6), samples("b", "1", "1", "1", "2"), there) == ["kept"] * 3 + ["outvoted"]
    told = json.loads((tmp_path / "calibration.json").read_text())
    assert (told["chosen"], told["min_share"]) == (1.0, 0.6)


@pytest.mark.parametrize("easy", [0, 40, 100])
def test_too_few_problems_with_gold_are_told_with_the_number_that_is_needed(tmp_path: Path, easy: int) -> None:
    rows = [*easy_and_hard(easy=easy, hard=0), *samples("unknown", "1")]
    there = work(tmp_path, uses={"calibration": step_folder(tmp_path / "solve", rows)})
    with pytest.raises(StageError, match=rf"of {easy}; a precision of 0\.95 takes 73, all of them right") as told:
        run(Vote(min_share="auto"), samples("a", "1"), there)
    assert "give gold answers to 146 problems or more" in str(told.value.hint)


def test_auto_needs_a_step_to_calibrate_on(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="names no step to calibrate on") as told:
        run(Vote(min_share="auto"), samples("a", "1"), work(tmp_path))
    assert 'uses={"calibration": "solve"}' in str(told.value.hint)


def test_samples_whose_wrong_ones_are_gone_cannot_calibrate(tmp_path: Path) -> None:
    rows = [row.model_copy(update={"verdict": "right"}) for row in samples("a", "5", gold="5")]
    there = work(tmp_path, uses={"calibration": step_folder(tmp_path / "check", rows)})
    with pytest.raises(UsageError, match="'check': its samples were held against the gold answers"):
        run(Vote(), rows, there)
