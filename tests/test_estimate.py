"""What a plan predicts: intervals that hold the truth, time and disk, and the pilot that finds them out."""

import math
import random
import re
import sqlite3
from pathlib import Path
from statistics import fmean

import pytest

from pipeline.choices import Choices, Price, TeacherChoice
from pipeline.forecast import Forecaster, Held
from pipeline.pilot import spread
from pipeline.prediction import Predicted, predict_sum, student_t
from pipeline.progress import Silent
from pipeline.teacher import Teachers
from pipeline.teacher.keys import Teacher
from pipeline.teacher.ledger.history import INDEX_BYTES, Pace, Share, pace_of, share_of
from pipeline.teacher.ledger.ledger import Ledger
from pipeline.teacher.prices import Rates
from tests.fake_teacher import FakeTeacher
from tests.project import Project

QUESTIONS = [f"What is {' + '.join(str(number + place) for place in range(2 + number % 9))}?" for number in range(90)]
"""Of 2 to 10 terms, so that some take five times as much as others."""


@pytest.mark.parametrize(
    ("degrees", "quantile"),
    [(1, 12.706), (2, 4.303), (3, 3.182), (4, 2.776), (5, 2.571), (10, 2.228), (19, 2.093), (30, 2.042), (1000, 1.962)],
)
def test_the_quantile_is_that_of_the_tables(degrees: int, quantile: float) -> None:
    assert student_t(degrees) == pytest.approx(quantile, rel=0.01)


@pytest.mark.parametrize("parts", [[], [3.0]])
def test_nothing_is_predicted_from_too_little(parts: list[float]) -> None:
    assert predict_sum(parts, 10) is None


def test_a_sum_of_equal_parts_is_certain_and_what_is_paid_is_taken_off() -> None:
    assert predict_sum([2.0, 2.0, 2.0], 10) == Predicted(20.0, 20.0, 20.0)
    assert Predicted(20.0, 5.0, 30.0).less(6.0) == Predicted(14.0, 0.0, 24.0)


@pytest.mark.parametrize("count", [20, 1000])
def test_the_interval_holds_the_sum_about_as_often_as_it_says(count: int) -> None:
    draw = random.Random(0)
    held = 0
    for _ in range(400):
        # As token counts are: some replies are many times as long as most.
        population = [draw.lognormvariate(6, 0.5) for _ in range(20 + count)]
        predicted = predict_sum(population[:20], count)
        assert predicted is not None
        held += predicted.low <= math.fsum(population[20:]) <= predicted.high
    assert 0.9 <= held / 400 <= 0.98


@pytest.mark.parametrize(
    ("size", "count", "chosen"),
    [(10, 2, [2, 7]), (10, 10, list(range(10))), (3, 20, [0, 1, 2]), (100, 4, [12, 37, 62, 87]), (0, 5, [])],
)
def test_a_pilot_is_spread_evenly(size: int, count: int, chosen: list[int]) -> None:
    assert spread(range(size), count) == chosen


@pytest.mark.parametrize(
    ("requests", "side_by_side", "seconds"),
    [(1, 100, (2.0, 2.0)), (100, 100, (2.0, 25.0)), (1000, 100, (20.0, 250.0)), (1000, 1, (2000.0, 2000.0))],
)
def test_time_lies_between_all_at_once_and_the_pace_so_far(
    requests: float, side_by_side: int, seconds: tuple[float, float]
) -> None:
    assert Pace(latency_seconds=2.0, per_second=4.0).seconds(requests, side_by_side) == seconds


def test_the_pace_leaves_out_the_time_in_which_nothing_was_in_flight(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        assert pace_of(ledger, "here", "m") is None
        for sent_at, answered_at in [(0, 2), (1, 3), (100, 102), (100.5, 103)]:
            store(tmp_path / "ledger.sqlite", sent_at, answered_at)
        assert pace_of(ledger, "here", "m") == Pace(latency_seconds=fmean([2, 2, 2, 2.5]), per_second=4 / 6)
        assert pace_of(ledger, "there", "m") is None


def test_samples_share_what_their_request_took(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        store(tmp_path / "ledger.sqlite", 0, 1, keys="a b")
        size = 3 / 2 + INDEX_BYTES
        assert share_of(ledger, ["a"]) == Share(0.5, 5.0, 2.0, 20.0, size)
        assert share_of(ledger, ["a", "b", "b"]) == Share(1.0, 10.0, 4.0, 40.0, 2 * size)
        assert Share(1.0, 10.0, 4.0, 40.0, 0.0).cost_usd(Rates(10**12, 0, 10**12)) == 6 + 40
        store(tmp_path / "ledger.sqlite", 0, 1, keys="c", written=None)
        assert share_of(ledger, ["a", "c"]) is None


def test_a_plan_tells_how_to_find_out_and_after_a_pilot_the_cost_lies_in_its_interval(
    tmp_path: Path, teacher: FakeTeacher
) -> None:
    teacher.reset()
    project = Project(tmp_path, teacher.base_url, heldout=2)
    project.write("problems.jsonl", [{"question": question, "answer": "5"} for question in QUESTIONS])
    project.choices["teachers"]["main"]["price"] = {"input": 1, "output": 10}
    project.set(solve__max_tokens=100, evaluate__teacher_max_tokens=100)
    before = project.run("plan", "--config", "my.yaml").stdout
    assert "unknown: plan --pilot 20 asks 20 problems to find out (at most $0.08" in " ".join(before.split())
    assert teacher.count() == 0

    after = project.run("plan", "--config", "my.yaml", "--pilot", "20").stdout
    assert teacher.count() == 20 + 2
    asked = [
        QUESTIONS.index(seen.body["messages"][-1]["content"].partition("\n")[0]) for seen in teacher.requests()[:20]
    ]
    assert sorted(asked) == spread(range(90), 20)
    assert "at least 280 of 360 samples for 90 problems, at most $" in after
    assert "0 of 2 samples for 2 problems" in after
    low, high, fewest, most = numbers(
        r"\$([\d.]+) to \$([\d.]+), ([\d,]+) to ([\d,]+) tokens \(95 %, from 20 prob", after
    )

    teacher.reset()
    project.run("run", "heldout", "--config", "my.yaml")
    project.run("run", "load", "--config", "my.yaml")
    project.run("run", "solve", "--config", "my.yaml")
    assert teacher.count() == 70
    prompt, written = told(tmp_path / "outputs" / "ledger.sqlite", last=70)
    assert low <= (prompt + 10 * written) / 1e6 <= high
    assert fewest <= prompt + written <= most
    assert "0 of 360 samples" not in project.run("plan", "--config", "my.yaml").stdout  # it is kept

    project.set(solve__samples=6)
    more = project.run("plan", "--config", "my.yaml").stdout
    assert "180 of 540 samples for 90 problems" in more
    least_usd, least = numbers(
        r"at least \$([\d.]+) and ([\d,]+) tokens \(from 90 problems, 90 of them asked in part\)",
        " ".join(more.split()),
    )
    project.run("run", "solve", "--config", "my.yaml")
    prompt, written = told(tmp_path / "outputs" / "ledger.sqlite", last=90)
    assert 0 < least_usd <= (prompt + 10 * written) / 1e6
    assert 0 < least <= prompt + written


def test_a_pilot_counts_in_the_budget_of_its_run(tmp_path: Path, teacher: FakeTeacher) -> None:
    teacher.reset()
    project = Project(tmp_path, teacher.base_url, problems=12, budget_requests=5)
    stopped = project.run("plan", "--config", "my.yaml", "--pilot", "8", expect=1)
    assert "the budget of 5 requests is reached" in stopped.stderr
    assert teacher.count() == 5


def test_a_plan_ends_at_the_last_step_that_is_meant_and_its_pilot_asks_until_there(
    tmp_path: Path, teacher: FakeTeacher
) -> None:
    teacher.reset()
    project = Project(tmp_path, teacher.base_url, problems=12)
    planned = project.run("plan", "--config", "my.yaml", "--until", "solve", "--pilot", "3").stdout
    assert [line.split()[0] for line in planned.splitlines() if not line.startswith(" ")][-1] == "solve"
    assert teacher.count() == 3
    missing = project.run("plan", "--config", "my.yaml", "--until", "sovle", expect=2).stderr
    assert "no step 'sovle' in recipe 'r1-distill'" in missing


@pytest.mark.parametrize(("budget_usd", "is_said"), [(0.01, True), (100.0, False)])
def test_a_budget_that_may_end_the_run_is_said_beneath_the_plan(
    tmp_path: Path, teacher: FakeTeacher, budget_usd: float, is_said: bool
) -> None:
    project = Project(tmp_path, teacher.base_url, problems=12, budget_usd=budget_usd)
    project.choices["teachers"]["main"]["price"] = {"input": 1, "output": 10}
    project.set(solve__max_tokens=100, evaluate__teacher_max_tokens=100)
    planned = project.run("plan", "--config", "my.yaml").stdout
    assert ("and budget_usd is $0.0100: it may end the run" in planned.splitlines()[-1]) == is_said


def test_those_asked_in_part_count_in_the_forecast_so_that_easy_ones_do_not_stand_for_all(
    tmp_path: Path,
) -> None:
    choice = TeacherChoice(base_url="http://here/v1", model="m", price=Price(input=1, output=1))
    easy, hard, untouched = Share(1, 10, 0, 10, 100), Share(1, 10, 0, 1000, 100), Held(4, 4)
    with Teachers(choices_of(choice), tmp_path, "one", tmp_path / "logs", Silent()) as teachers:
        forecaster = Forecaster(teachers, Teacher("main", choice, tmp_path))
        whole = forecaster.outlook([Held(4, share=easy)] * 9 + [untouched])
        partly = forecaster.outlook([Held(4, share=easy)] * 9 + [Held(8, 4, share=hard)] * 9)
    assert whole is not None
    assert partly is not None
    assert (whole.seen, whole.in_part, whole.tokens.mean) == (9, 0, 20)
    assert (partly.seen, partly.in_part, partly.tokens.mean) == (18, 9, 9 * (20 + 2 * 1010) / 2 - 9 * 1010)


def test_what_batches_cost_is_told_at_half_the_price_with_their_rounds(tmp_path: Path, teacher: FakeTeacher) -> None:
    teacher.reset()
    project = Project(tmp_path, teacher.base_url, problems=30)
    main = project.choices["teachers"]["main"]
    main["price"] = {"input": 1, "output": 10}
    project.save()
    project.run("plan", "--config", "my.yaml", "--pilot", "10")
    online = project.run("plan", "--config", "my.yaml").stdout
    main["batch"] = True
    project.save()
    batched = project.run("plan", "--config", "my.yaml").stdout
    assert "in batches: at least 1 round of up to 24 h" in batched
    pattern = r"\$([\d.]+) to \$([\d.]+)"
    assert numbers(pattern, batched) == pytest.approx([value / 2 for value in numbers(pattern, online)], abs=1e-4)


def choices_of(choice: TeacherChoice) -> Choices:
    """A user's choices with this teacher."""
    return Choices.model_validate(
        {
            "recipe": "r1-distill",
            "data": {"train": "none", "eval": "none"},
            "student": {"model": "none"},
            "teachers": {"main": choice.model_dump()},
        }
    )


def numbers(pattern: str, text: str) -> list[float]:
    """The groups of the first match, as numbers."""
    found = re.search(pattern, text)
    assert found, text
    return [float(group.replace(",", "")) for group in found.groups()]


def told(path: Path, last: int) -> tuple[int, int]:
    """Tokens of the last so many requests."""
    with sqlite3.connect(path) as connection:
        query = (
            "SELECT SUM(prompt_tokens), SUM(completion_tokens) FROM (SELECT * FROM replies ORDER BY id DESC LIMIT ?)"
        )
        prompt, written = connection.execute(query, (last,)).fetchone()
    connection.close()
    return prompt, written


def store(path: Path, sent_at: float, answered_at: float, keys: str = "k", written: int | None = 40) -> None:
    """A request that took so long, with one sample a key."""
    names = keys.split()
    with sqlite3.connect(path) as connection:
        request = connection.execute(
            "INSERT INTO requests VALUES (NULL, ?, 'one', 'solve', 'here', 'm', 0, ?, NULL, 1, ?, x'00', NULL)",
            (sent_at, len(names), keys),
        ).lastrowid
        reply = connection.execute(
            "INSERT INTO replies VALUES (NULL, ?, ?, 'reply', 200, 10, 4, ?, '{}', x'0000')",
            (request, answered_at, written),
        ).lastrowid
        for place, key in enumerate(names):
            connection.execute("INSERT INTO samples VALUES (NULL, ?, ?, ?, 1, NULL)", (key, reply, place))
    connection.close()
