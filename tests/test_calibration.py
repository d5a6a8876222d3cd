"""How sure a vote is: how it is counted, how well a chosen share holds on fresh problems, how it is drawn."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from pipeline.ballots import Weighing
from pipeline.calibration import Calibration, Curve, calibrate, least_problems
from pipeline.report import write_report
from pipeline.report.calibration import calibrations
from pipeline.report.files import RunFiles
from pipeline.rows import Dropped
from pipeline.statistics import wilson
from tests.made import problem, solution
from tests.run_folder import run_folder


def curve(*counted: tuple[float | None, int, int]) -> Curve:
    """A curve of (share, problems, of these right)."""
    made = Curve()
    for share, problems, right in counted:
        for index in range(problems):
            made.add(share, index < right)
    return made


def test_a_point_counts_the_winners_with_its_share_or_more() -> None:
    points = curve((0.5, 40, 20), (0.75, 30, 27), (1.0, 20, 20), (None, 10, 0)).points()
    assert [(point.share, point.covered, point.right) for point in points] == [
        (0.5, 90, 67),
        (0.75, 50, 47),
        (1, 20, 20),
    ]
    assert [point.coverage for point in points] == [0.9, 0.5, 0.2]
    assert points[1].precision == 47 / 50
    assert points[1].bounds == wilson(47, 50)


def test_the_least_share_is_taken_whose_interval_lies_above_the_precision() -> None:
    made = curve((0.5, 100, 70), (0.75, 100, 99), (1.0, 200, 200))
    chosen = made.least(0.95)
    assert chosen is not None
    assert (chosen.share, chosen.covered, chosen.right) == (0.75, 300, 299)
    assert made.least(0.99) is None
    assert curve((None, 100, 0)).least(0.5) is None


@pytest.mark.parametrize("share", [1 / 3, 2 / 3, 0.29, 0.57, 0.58, 4 / 7, 1.0])
def test_a_share_is_covered_by_the_point_that_it_made(share: float) -> None:
    (point,) = curve((share, 1, 1)).points()
    assert point.share <= share + 1e-9 < point.share + 0.01 + 2e-9
    assert curve((share, 1, 1)).at(share).covered == 1


@pytest.mark.parametrize(("precision", "problems"), [(0.95, 73), (0.9, 35), (0.99, 381), (0.5, 4)])
def test_so_many_right_problems_reach_a_precision_and_one_fewer_does_not(precision: float, problems: int) -> None:
    assert least_problems(precision) == problems
    assert wilson(problems, problems)[0] >= precision > wilson(problems - 1, problems - 1)[0]


def test_the_halves_are_the_same_in_every_run_and_about_even() -> None:
    halves = Calibration()
    chosen = [f"train-{i}" for i in range(1000) if halves.half(f"train-{i}") is halves.choice]
    assert chosen[:5] == ["train-0", "train-1", "train-4", "train-6", "train-7"]
    assert 450 < len(chosen) < 550


def test_a_step_of_samples_is_voted_on_and_compared_with_gold(tmp_path: Path) -> None:
    votes = {
        "right": ("5", ["5", "5.0", "7"]),
        "wrong": ("5", ["7", "7"]),
        "tied": ("5", ["5", "7"]),
        "silent": ("5", [None, None]),
        "no-gold": (None, ["5", "5"]),
        "unreadable": (r"\frac{1}{", [r"0.5 + \sqrt{2}"]),
        "lost": ("5", ["5"]),
    }
    rows = [
        solution(f"{name}/{i}", found=found, problem=problem(name, answer=gold))
        for name, (gold, answers) in votes.items()
        for i, found in enumerate(answers)
    ]
    (tmp_path / "rows.jsonl").write_text("".join(row.model_dump_json() + "\n" for row in rows))
    lost = Dropped(id="lost/1", parent="lost", reason="refused")
    (tmp_path / "dropped.jsonl").write_text(lost.model_dump_json() + "\n")
    made = calibrate(tmp_path, Weighing(), tmp_path)
    assert made.problems == 5
    both = [point for half in (made.choice, made.check) for point in half.points()]
    assert sum(half.at(0).covered for half in (made.choice, made.check)) == 3
    assert {point.share for point in both} == {0.5, 0.66, 1.0}
    assert sum(half.at(0).right for half in (made.choice, made.check)) == 2
    assert made.whole == {name: len(answers) + (name == "lost") for name, (_, answers) in votes.items()}


@pytest.mark.parametrize(("problems", "covered"), [(500, 0.4), (2000, 0.5)])
def test_a_chosen_share_is_as_precise_on_fresh_problems_as_was_wanted(problems: int, covered: float) -> None:
    import numpy

    draws = numpy.random.default_rng(5)
    shares, right = population(draws, 100_000)
    truth = Curve()
    for share, is_right in zip(shares, right, strict=True):
        truth.add(share, is_right)
    fresh = []
    for _ in range(200):
        made = Curve()
        for place in draws.integers(0, len(shares), problems):
            made.add(shares[place], right[place])
        if (chosen := made.least(0.95)) is not None:
            fresh.append(truth.at(chosen.share))
    assert len(fresh) >= 195
    assert sum(point.precision >= 0.95 for point in fresh) >= 0.975 * len(fresh)
    assert sum(point.coverage for point in fresh) / len(fresh) >= covered


def population(draws: Any, problems: int) -> tuple[list[float | None], list[bool]]:
    """Share of the winner of eight samples (None for a tie) and whether it is right, of problems easy and hard.

    Accuracies are Beta(1.1, 0.62), wrong answers Dirichlet(0.5) over eight.
    """
    import numpy

    accuracies = draws.beta(1.1, 0.62, problems)
    wrong = draws.dirichlet([0.5] * 8, problems) * (1 - accuracies)[:, None]
    votes = draws.multinomial(8, numpy.concatenate([accuracies[:, None], wrong], axis=1))
    second, first = numpy.sort(votes, axis=1)[:, -2:].T
    shares = [most / 8 if most > fewer else None for most, fewer in zip(first.tolist(), second.tolist(), strict=True)]
    return shares, (votes.argmax(axis=1) == 0).tolist()


def test_a_precision_a_point_below_is_seldom_taken_for_the_wanted_one_even_among_a_hundred_shares() -> None:
    import numpy

    draws = numpy.random.default_rng(7)
    taken = 0
    for _ in range(200):
        made = Curve()
        for share, chance in draws.random((500, 2)):
            made.add(share, bool(chance < 0.94))
        taken += made.least(0.95) is not None
    assert taken <= 0.05 * 200


def voted(folder: Path, min_share: float | str, precision: float = 0.95) -> Calibration:
    """A run with a calibrated vote behind its `check`."""
    import numpy

    made = Calibration()
    for index, (share, right) in enumerate(zip(*population(numpy.random.default_rng(3), 1500), strict=True)):
        made.half(f"train-{index}").add(share, right)
    shutil.copytree(folder / "check", folder / "vote")
    chosen = made.choice.least(precision)
    taken = min_share if isinstance(min_share, float) else chosen and chosen.share
    made.write(folder / "vote", precision, taken, Weighing())
    record = json.loads((folder / "vote" / "record.json").read_text())
    record |= {"step": "vote", "stage": "vote", "fields": {"min_share": min_share}}
    (folder / "vote" / "record.json").write_text(json.dumps(record | {"inputs": {"check": "hash of check"}}))
    about = json.loads((folder / "run.json").read_text())
    about["steps"].insert(4, {"name": "vote", "stage": "vote"})
    (folder / "run.json").write_text(json.dumps(about))
    return made


@pytest.mark.parametrize(
    ("min_share", "precision", "sentence", "shares"),
    [
        ("auto", 0.95, "Step vote kept winners with a share of 0.87 or more: the least one", [0.87]),
        (0.5, 0.95, "sure from 0.87 on, which <code>min_share: auto</code> would have taken", [0.5, 0.87]),
        ("auto", 0.999, "No share of the vote reaches a precision of 99.9\u00a0% on the problems with gold: step", []),
    ],
)
def test_the_report_draws_the_curve_and_what_a_least_share_comes_to(
    tmp_path: Path, min_share: float | str, precision: float, sentence: str, shares: list[float]
) -> None:
    folder = run_folder(tmp_path)
    made = voted(folder, min_share, precision)
    page = write_report(folder).read_text(encoding="utf-8")
    assert "<h2>How sure the vote is</h2>" in page
    assert sentence in page
    assert page.count('class="mark chosen"') == (precision == 0.95)
    drawn = [point for point in made.choice.points() if point.covered >= 20]
    assert page.count('<circle class="mark') == len(drawn)
    (told,) = calibrations(RunFiles.read(folder))
    for line, share in zip(told["lines"][::2], shares, strict=True):
        assert line["share"] == share
        assert line["point"]["covered"] == made.choice.at(share).covered
    assert all(0 <= x <= 944 and 0 <= y <= 260 for x, y in places(told["figure"]["band"]))


def places(path: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, _, y in (pair.partition(",") for pair in path.split())]


def test_a_vote_that_was_not_calibrated_or_has_one_share_only_is_not_drawn(tmp_path: Path) -> None:
    folder = run_folder(tmp_path)
    assert calibrations(RunFiles.read(folder)) == []
    voted(folder, 0.5)
    one = Calibration()
    for index in range(200):
        one.half(f"train-{index}").add(1.0, True)
    one.write(folder / "vote", 0.95, 0.5, Weighing())
    assert calibrations(RunFiles.read(folder)) == []
    assert "How sure the vote is" not in write_report(folder).read_text(encoding="utf-8")
