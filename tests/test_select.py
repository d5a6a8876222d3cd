"""Choosing among the right solutions."""

from pathlib import Path
from typing import Any

import pytest

from pipeline.progress import Silent
from pipeline.rows import Dropped
from pipeline.stage import Work
from stages.select import Select
from tests.made import outcome, problem, run, solution, work

CLIPS = (
    "Natalia sold 48 clips in April and half as many in May so in May she sold 48 / 2 = 24 clips and that is 72 in all."
)
OTHER = "Half of 48 is 24, which is what May brought; April and May together make 48 + 24, and so the sum is 72."


class Told(Silent):
    """Remembers what is said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)


def told(folder: Path) -> tuple[Work, list[str]]:
    said = Told()
    plain = work(folder)
    return Work("select", folder, folder, plain.teachers, said, folder), said.lines


def reasons(stage: Select, rows: list[Any], folder: Path) -> list[str]:
    return [what for _, what in outcome(stage, rows, work(folder))]


def samples(*texts: str, of: str = "p") -> list[Any]:
    return [solution(f"{of}/{i}", text=text, rationale=text) for i, text in enumerate(texts)]


def words(count: int, name: str = "w") -> str:
    return " ".join(f"{name}{i}" for i in range(count))


def test_with_no_option_everything_is_passed_on_as_it_is(tmp_path: Path) -> None:
    rows = [*samples(CLIPS, CLIPS, ""), *samples(CLIPS, of="q")]
    assert run(Select(), rows, work(tmp_path)) == rows


@pytest.mark.parametrize(
    ("texts", "share", "expected"),
    [
        ((CLIPS, CLIPS, OTHER), 0.8, ["kept", "near_duplicate", "kept"]),
        ((CLIPS, CLIPS.upper().replace(",", ""), OTHER), 1.0, ["kept", "near_duplicate", "kept"]),
        ((CLIPS, CLIPS.replace("in all", "altogether")), 0.8, ["kept", "near_duplicate"]),
        ((CLIPS, CLIPS.replace("in all", "altogether")), 1.0, ["kept", "kept"]),
        ((CLIPS, CLIPS.replace("24", "23")), 0.8, ["kept", "kept"]),
        (("", ""), 0.8, ["kept", "near_duplicate"]),
    ],
)
def test_what_is_near_an_earlier_solution_of_its_problem_goes(
    tmp_path: Path, texts: tuple[str, ...], share: float, expected: list[str]
) -> None:
    assert reasons(Select(near_duplicates=share), samples(*texts), tmp_path) == expected


def test_a_near_duplicate_names_the_one_that_stays(tmp_path: Path) -> None:
    dropped = run(Select(near_duplicates=0.8), samples(OTHER, CLIPS, CLIPS, CLIPS), work(tmp_path))[2:]
    assert [row.detail for row in dropped if isinstance(row, Dropped)] == ["100% like p/1"] * 2


def test_thoughts_make_solutions_differ(tmp_path: Path) -> None:
    rows = samples(CLIPS, CLIPS)
    rows[1] = rows[1].model_copy(update={"thoughts": OTHER})
    assert reasons(Select(near_duplicates=0.8), rows, tmp_path) == ["kept", "kept"]


def test_near_solutions_of_two_problems_both_stay(tmp_path: Path) -> None:
    rows = [*samples(CLIPS, of="p"), *samples(CLIPS, of="q")]
    assert reasons(Select(near_duplicates=0.8, keep=1), rows, tmp_path) == ["kept", "kept"]


@pytest.mark.parametrize(
    ("keep", "expected"),
    [
        (1, ["kept", "surplus", "surplus", "surplus"]),
        (2, ["kept", "surplus", "kept", "surplus"]),
        (3, ["kept", "surplus", "kept", "kept"]),
        (4, ["kept", "kept", "kept", "kept"]),
    ],
)
def test_the_most_different_are_kept(tmp_path: Path, keep: int, expected: list[str]) -> None:
    rows = samples(CLIPS, CLIPS, OTHER, f"{CLIPS} {OTHER}")
    assert reasons(Select(keep=keep), rows, tmp_path) == expected


def test_surplus_is_counted_after_near_duplicates(tmp_path: Path) -> None:
    rows = samples(CLIPS, CLIPS, OTHER, words(30))
    assert reasons(Select(near_duplicates=0.8, keep=2), rows, tmp_path) == ["kept", "near_duplicate", "kept", "surplus"]


def test_the_band_of_difficulty_takes_the_pass_rate_and_without_it_the_vote(tmp_path: Path) -> None:
    given = [
        ({"pass_rate": 0.1}, "too_hard"),
        ({"pass_rate": 0.2}, "kept"),
        ({"pass_rate": 0.5, "vote_share": 1.0}, "kept"),
        ({"vote_share": 0.9}, "kept"),
        ({"vote_share": 1.0}, "too_easy"),
        ({}, "kept"),
    ]
    rows = [solution(f"p{i}/0", **more) for i, (more, _) in enumerate(given)]
    surroundings, lines = told(tmp_path)
    expected = [what for _, what in given]
    assert [what for _, what in outcome(Select(pass_rate_min=0.2, pass_rate_max=0.9), rows, surroundings)] == expected
    assert lines == ["1 of 6 solutions have neither a pass rate nor a vote: all passed on"]
    assert reasons(Select(pass_rate_max=0.9), rows, tmp_path) == ["kept", *expected[1:]]


def test_exact_duplicates_are_of_question_and_solution(tmp_path: Path) -> None:
    same, other = problem("q", question="what is 4+3-2"), problem("r", question="What is 4 + 3 + 2?")
    rows = [
        solution("p/0", text=CLIPS),
        solution("p/1", text=CLIPS.upper()),
        solution("q/0", text=CLIPS, problem=same),
        solution("r/0", text=CLIPS, problem=other),
        solution("r/1", text=CLIPS, thoughts=OTHER, problem=other),
    ]
    made = run(Select(duplicates="exact"), rows, work(tmp_path))
    assert [row.reason if isinstance(row, Dropped) else "" for row in made] == ["", "duplicate", "duplicate", "", ""]
    assert {row.detail for row in made if isinstance(row, Dropped)} == {"repeats p/0"}


def test_near_duplicates_over_the_set_name_the_first(tmp_path: Path) -> None:
    long = words(120)
    rows = [
        solution("a/0", text=words(120, "other"), problem=problem("a", question="What is asked here?")),
        solution("b/0", text=long, problem=problem("b", question="What is asked here?")),
        solution("c/0", text=f"{long} and so on", problem=problem("c", question="What is asked here?")),
        solution("d/0", text=CLIPS, problem=problem("d", question="What is asked here?")),
    ]
    made = run(Select(duplicates="near"), rows, work(tmp_path))
    assert [(row.id, row.detail) for row in made if isinstance(row, Dropped)] == [("c/0", "repeats b/0")]
    assert reasons(Select(duplicates="exact"), rows, tmp_path) == ["kept"] * 4


def test_a_template_is_told_where_nearly_everything_is_near(tmp_path: Path) -> None:
    rows = [solution(f"p{i}/0", text=f"{words(60)} {i}") for i in range(10)]
    surroundings, lines = told(tmp_path)
    assert outcome(Select(duplicates="near"), rows, surroundings)[1:] == [
        (f"p{i}/0", "duplicate") for i in range(1, 10)
    ]
    assert lines == [
        "9 of 10 solutions are near an earlier one: that is a template's way, not that of copies; "
        "select.duplicates=exact keeps what differs"
    ]


def test_what_an_earlier_option_dropped_is_nobodys_duplicate(tmp_path: Path) -> None:
    rows = [solution("a/0", text=CLIPS, pass_rate=0.0), solution("b/0", text=CLIPS, pass_rate=0.5)]
    assert reasons(Select(pass_rate_min=0.1, duplicates="exact"), rows, tmp_path) == ["too_hard", "kept"]


def test_every_row_leaves_once_and_in_its_place_with_all_options_on(tmp_path: Path) -> None:
    texts = (CLIPS, OTHER, CLIPS, words(50), words(51), words(10), "")
    rows = [
        solution(f"p{i}/{j}", text=text, problem=problem(f"p{i}", question=f"Question {i % 5}?"), pass_rate=i / 20)
        for i in range(20)
        for j, text in enumerate(texts)
    ]
    stage = Select(
        pass_rate_min=0.2,
        pass_rate_max=0.8,
        near_duplicates=0.8,
        keep=4,
        duplicates="near",
    )
    made = outcome(stage, rows, work(tmp_path))
    assert [name for name, _ in made] == [row.id for row in rows]
    assert {what for _, what in made} >= {"kept", "too_easy", "too_hard", "near_duplicate", "surplus", "duplicate"}
