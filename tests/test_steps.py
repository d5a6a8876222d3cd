"""Steps of arithmetic in a rationale: which are worked out again, and which of them are called wrong."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.answers.steps import wrong_steps
from tests.real_data import real

WRONG = [
    ("So 12 - 5 = 8.", "12 - 5 = 8"),
    ("sold 48/2 = <<48/2=25>>25 clips in May.", "48/2 = 25"),
    ("Half of them is <<48/2=25>>25.", "48/2=25"),
    ("so 5 apples + 3 apples = 9 apples", "5 apples + 3 apples = 9"),
    ("She makes $2 * 9 = $19 a day", "$2 * 9 = $19"),
    ("3 x 4 = 13 eggs", "3 x 4 = 13"),
    ("20% of 50 = 11", "20% of 50 = 11"),
    ("1/2 * 10 = 6", "1/2 * 10 = 6"),
    ("1/2 of 10 is equal to 6", "1/2 of 10 is equal to 6"),
    (r"\[ \frac{1}{2} \times 10 = 6 \text{ bolts} \]", r"[1/2] \times 10 = 6"),
    (r"$3 \cdot 4 = \boxed{13}$", r"$3 \cdot 4 = 13"),
    (r"\(\dfrac{2+4}{3} = 3\)", "[(2+4)/(3)] = 3"),
    ("2 + 3 * 4 = 20", "2 + 3 * 4 = 20"),
    ("(2 + 3) * 4 = 14", "(2 + 3) * 4 = 14"),
    ("2(3 + 4) = 15", "2(3 + 4) = 15"),
    ("He earned $1,200 + $1,300 = $2,600", "$1,200 + $1,300 = $2,600"),
    ("7 - 9 = 2", "7 - 9 = 2"),
    ("3 * (-2) = 6", "3 * (-2) = 6"),
    ("10/3 = 3.43", "10/3 = 3.43"),
    ("10/3 ≈ 4.5", "10/3 ≈ 4.5"),
    ("3 + 4 = 8 - 2 = 6", "3 + 4 = 8 - 2"),
    ("3 + 4 = 7 - 2 = 6", "7 - 2 = 6"),
    ("(14 + 16 = 31)", "14 + 16 = 31"),
    ("- 5 + 3 = 9", "5 + 3 = 9"),
    ("2. 5 + 3 = 9", "5 + 3 = 9"),
    ("2^10 = 1000", "2^10 = 1000"),
    ("5 times 4 equals 21", "5 times 4 equals 21"),
    ("**4 * 4 = 15**", "4 * 4 = 15"),
    ("共有 3 + 4 = 8。", "3 + 4 = 8"),
    ("8 hours x $10 per hour = $81", "8 hours x $10 per hour = $81"),
    ("0.1 + 0.2 = 0.4000000000000001", "0.1 + 0.2 = 0.4000000000000001"),
    ("10/40 * 100 = 30%", "10/40 * 100 = 30%"),
    ("1/3 = 35%", "1/3 = 35%"),
    ("50% + 40% = 100%", "50% + 40% = 100%"),
]
HOLD = [
    "48/2 = <<48/2=24>>24 clips. 48+24 = <<48+24=72>>72 in all.",
    "16 - 3 - 4 = 9. 9 * 2 = $<<9*2=18>>18",
    r"\frac{1}{2} \times 10 = 5, 3 \cdot 4 = 12, \frac{\frac{1}{2}}{2} = 0.25",
    "20% of 50 = 10, 20% * 50 = 10, 50 + 10% = 55, 10/50 * 100 = 20%, 10/50 = 20%, 100% - 20% = 80%",
    "3 + 4 = 7 - 2 = 5, and 3 + 4 = 5 + 2 = 7",
    "10/3 = 3.33, 10/3 = 3.3, 2/3 = 0.67, 2/3 = 0.66, 10/3 = 3, 1/3 = 33.33%, 10/3 ≈ 3, 1234 * 2 ≈ 2500",
    "0.1 + 0.2 = 0.30000000000000004, 50/3 = 16.666666666666668",
    "3 - 2 = 1 hour. $5 - $2 = $3. -3 + 5 = 2. 2 - 5 = -3. 5 * -3 = -15.",
    "1,000 + 2,500 = 3,500 and 2^3 = 8",
    "480 / 75 = 6 candy bars, 132.3 + 6.6 = 139, and 20% of 51 days = 10 days",
    "7 * 1.5 = 10 when rounded down",
]
NOT_JUDGED = [
    "x + 3 = 9 and 3x + 4 = 11, 2 x + 4 = 11, 3A + 2 = 35, y - 3 = 4 + 5, 100-x+40 = 60, 8/3 = 24/Y, 60-Losses = 3",
    "The length + 3 = 9, 2 * width + 3 = 11, 12 = 3 + 8, week 2 = 3 + 4",
    "2 dozen + 1 = 25, half of 8 + 3 = 7, twice 4 + 3 = 11, 3 squared + 1 = 10, 5! + 3 = 123, √16 + 1 = 5",
    "5 + 3 = 2 dozen, 5 + 3 = 2 hundred apples",
    "1 hour - 20 minutes = 40 minutes, 6 * 25 cents = $1.50, 3 * 60 = 3 hours, 2 feet + 6 inches = 30 inches",
    "1/4 = 20 students, 100% + 20% = 360 students, 1/2 of the tank = 8 gallons",
    "10/12/2021 = Tuesday, 2021-10-12 - 5 = 7, 3:4 = 6:8, 10:30 + 2 = 12:30, 11 + 3 = 2 pm, 3.11.2 + 1 = 4",
    "28 / 1/5 = 140, 6/2(1 + 2) = 1, 3 of 4 + 2 = 7, 9 because - 18/-2 = 9",
    "weeks 1-2 = 96, 1.500 + 500 = 2.000, 3,5 + 1,5 = 5, 10 000 + 5 = 10 005",
    "the sum of 3 and 4 + 20 + 10 to the 29 + 24 already up = 83",
    "Step 3 - 2 + 4 = 6. 17 / 5 = 3 remainder 2. 3 != 4 + 5, 3 + 4 <= 9, a => 3, 3 + 4 == 8",
    "$100 + ($100 * 10/100) = 0 + $110 or so, (5 + 3 = 8) apples, f(3 + 1) = 9",
    "1/0 = 5, 9^99999 = 1, 9^9^9^9 = 3, (9^20)^20 = 1, 5 + = 9, = 3 + 4 =, (((, )))",
    "",
]


@pytest.mark.parametrize(("text", "step"), WRONG)
def test_a_step_that_does_not_hold_is_named_as_it_stands(text: str, step: str) -> None:
    assert wrong_steps(text) == (step,)


@pytest.mark.parametrize("text", [*HOLD, *NOT_JUDGED])
def test_what_holds_or_may_mean_something_else_is_not_named(text: str) -> None:
    assert wrong_steps(text) == ()


def test_each_wrong_step_is_named_once_in_the_order_of_the_text() -> None:
    text = "3 + 4 = 8.\nThen 8 - 2 = 5, and again 3+4 = 8; 1 + 1 = 3"
    assert wrong_steps(text) == ("3 + 4 = 8", "8 - 2 = 5", "1 + 1 = 3")


@given(st.integers(-999, 999), st.sampled_from("+-*"), st.integers(0, 999), st.integers(-3, 3))
def test_a_step_is_wrong_exactly_where_its_result_is(left: int, sign: str, right: int, off: int) -> None:
    value = {"+": left + right, "-": left - right, "*": left * right}[sign]
    step = f"{left} {sign} {right} = {value + off}"
    assert bool(wrong_steps(f"so that {step}.")) == (off != 0 and left >= 0)
    assert wrong_steps(f"so: {step} apples") == ((step,) if off else ())


@given(st.text(alphabet="0123456789+-*/=().,%$ x\\{}frac<>\n≈abof:", max_size=60))
def test_no_text_raises(text: str) -> None:
    assert all(isinstance(step, str) for step in wrong_steps(text))


@pytest.mark.parametrize(
    "unit",
    ["1", "1 ", "a", "1+", "(", ")", "=", "1=", "1+1=", "1 a ", "<<", "\\frac{", "\\text{a", "$", " .", "1,", "- ",
     "a-", "((1)", "1 + 1 = 3 ", " (a", "x 1", "1%", "9^9 = "],
)  # fmt: skip
def test_a_long_text_of_one_thing_over_and_over_comes_to_an_end(unit: str) -> None:
    wrong_steps(unit * (60_000 // len(unit)) + "=")


def test_gsm8k_has_18_solutions_with_a_wrong_step_each_of_them_read_by_eye() -> None:
    flagged = [
        place
        for place, row in enumerate(real("gsm8k/train.jsonl"))
        if wrong_steps(re.sub("<<.*?>>", "", row["answer"]))
    ]
    assert flagged == [
        168, 224, 1817, 3002, 3334, 3409, 4691, 4973, 5350, 5781, 6001, 6157, 6256, 6700, 6713, 6760, 6812, 7444,
    ]  # fmt: skip


def test_wrong_solutions_have_wrong_steps_several_times_as_often_as_right_ones() -> None:
    flagged: dict[bool, list[bool]] = {True: [], False: []}
    for row in real("gsm8k/example_model_solutions.jsonl"):
        for model in ("6b_verification", "175b_verification"):
            flagged[row[model]["is_correct"]].append(bool(wrong_steps(row[model]["solution"])))
    rate = {is_right: sum(found) / len(found) for is_right, found in flagged.items()}
    assert rate[True] < 0.01
    assert rate[False] > 5 * rate[True]
