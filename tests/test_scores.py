"""What predictions come to, counted by hand."""

from typing import Any

import pytest

from pipeline.rows import Prediction
from pipeline.scores import Measured, measure, scores
from pipeline.statistics import paired_gain, wilson
from tests.made import problem


def prediction(
    found: str | None, right: bool, sample: int = 0, tokens: int | None = 4, cut: bool = False
) -> Prediction:
    return Prediction(
        id=f"p/{sample}", model="student", text="", found=found, right=right, sample=sample, tokens=tokens, cut=cut
    )


def of_signs(signs: str, source: str = "test") -> list[Measured]:
    """One sample a problem, right where there is a plus."""
    right = [int(sign == "+") for sign in signs]
    return [Measured(source, 1, one, bool(one), found=1, cut=0, tokens=4, counted=1) for one in right]


@pytest.mark.parametrize(
    ("base", "few_shot", "student", "over", "gain", "proven"),
    [
        ("--------", "++------", "++++++++", "base_few_shot", 0.75, True),
        ("+++-----", "++------", "+++-----", "base", 0.0, False),
        ("--------", None, "+-------", "base", 0.125, False),
        ("++++++++", "--------", "--------", "base", -1.0, False),
    ],
)
def test_the_gain_is_over_the_better_base_and_proven_only_above_zero(
    base: str, few_shot: str | None, student: str, over: str, gain: float, proven: bool
) -> None:
    measured = {"base": of_signs(base), "student": of_signs(student)}
    if few_shot:
        measured["base_few_shot"] = of_signs(few_shot)
    counted = scores(measured)["gain"]
    assert (counted["over"], counted["gain"], counted["proven"]) == (over, gain, proven)


def test_a_single_sample_has_the_interval_of_wilson_and_the_exact_test() -> None:
    found = scores({"base": of_signs("-" * 40), "student": of_signs("+" * 30 + "-" * 10)})
    student = found["models"]["student"]
    assert (student["low"], student["high"]) == wilson(30, 40)
    assert "majority" not in student
    assert found["gain"]["p"] == paired_gain([0] * 30, [1] * 30).p
    assert "to_teacher" not in found
    assert "sets" not in found


@pytest.mark.parametrize(
    ("found", "right", "majority"),
    [
        (("5", "5.0", "7"), (True, True, False), True),
        (("7", "5", "7"), (False, True, False), False),
        (("7", "5"), (False, True), False),
        (("5", "7"), (True, False), True),
        ((None, None, "5"), (False, False, True), True),
        ((None, None), (False, False), False),
        (("1/2", "0.5", "5", "5"), (False, False, True, True), False),
    ],
)
def test_the_majority_is_of_answers_that_mean_the_same_and_a_tie_goes_to_the_first(
    found: tuple[str | None, ...], right: tuple[bool, ...], majority: bool
) -> None:
    rows = [prediction(*pair, sample=sample) for sample, pair in enumerate(zip(found, right, strict=True))]
    assert measure(problem(), rows).majority_right is majority


def test_shares_are_means_over_samples_and_tokens_of_those_that_are_known() -> None:
    first = measure(problem("a"), [prediction("5", True, 0, 10), prediction(None, False, 1, None, cut=True)])
    second = measure(problem("b"), [prediction("5", True, 0, 20), prediction("5", True, 1, 30)])
    found = scores({"base": [first, first], "student": [first, second]})
    student = found["models"]["student"]
    assert (student["n"], student["right"], student["accuracy"]) == (2, 3, 0.75)
    assert (student["found_share"], student["cut_share"], student["mean_tokens"]) == (0.75, 0.25, 20)
    assert student["majority"]["accuracy"] == 1.0
    assert found["gain"]["gain"] == 0.25
    assert found["gain"]["p"] is None


def test_tokens_that_nobody_told_have_no_mean() -> None:
    untold = measure(problem(), [prediction("5", True, tokens=None)])
    assert scores({"base": [untold], "student": [untold]})["models"]["base"]["mean_tokens"] is None


def test_the_gain_on_each_of_several_sets_has_an_interval_that_allows_for_all_of_them() -> None:
    def both(signs: str) -> list[Measured]:
        return of_signs(signs, "one") + of_signs(signs, "two")

    measured: dict[str, Any] = {
        "teacher": both("+" * 10),
        "base": both("-" * 10),
        "base_few_shot": of_signs("+---------", "one") + of_signs("-" * 10, "two"),
        "student": both("++++++----"),
    }
    found = scores(measured)
    one, two = found["sets"]["one"], found["sets"]["two"]
    assert (one["problems"], found["problems"]) == (10, 20)
    assert (one["gain"]["over"], two["gain"]["over"]) == ("base_few_shot", "base")
    alone = paired_gain([0] * 10, [1] * 6 + [0] * 4)
    assert two["gain"]["gain"] == alone.gain
    assert two["gain"]["low"] < alone.low < alone.high < two["gain"]["high"]
    assert two["to_teacher"]["gain"] == pytest.approx(-0.4)
    assert "sets" not in one
