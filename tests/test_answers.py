"""Final answers: where they are found, when they are the same, and who is right."""

import random
from collections import Counter
from typing import Any

import pytest

from pipeline.answers import compare, find, normalise, split
from pipeline.rows import Problem
from tests.real_data import real

OPTIONS = ("jewelry store", "neck", "box", "boutique", "jewelry box")


def problem(answer: str | None = None, choices: tuple[str, ...] = (), **more: Any) -> Problem:
    return Problem(id="p", question=more.pop("question", "?"), answer=answer, choices=choices, **more)


@pytest.mark.parametrize(
    "same",
    [
        ("16", "016", "16.0", "16.00", " 16. ", "$16", "16 dollars", "**16**", r"\boxed{16}", "$16$", "(16)"),
        ("1000", "$1,000.00", "1,000", r"1{,}000", "1000 miles per hour", "1 thousand", "1e3"),
        ("1/2", "0.5", ".5", "50 %", "50%", "50 percent", r"\boxed{\frac{1}{2}}", "2/4", r"50\%", "1 / 2"),
        ("5/2", "2.5", "2 1/2", r"2\frac{1}{2}", "2 1/2 cups", "( 5.0 / 2.0 )"),
        ("-3", "−3", "-3.0", "-$3", "(4 - 7)", "x = -3", "4 - 7 = -3"),
        ("450", "10 * 45", "(10 * 45)", "10 × 45", r"10 \times 45", "((8 + 2) * 45)"),
        ("0", "0.0", "0 dollars", "3 - 3", "-0"),
        ("90", r"90^\circ", "90°", "90 degrees", "90 cm^2", r"90\text{ cm}^2"),
        ("18", "18 hours a day", "18-inch", "18km/h"),
        ("24", "2 dozen"),
        ("yes", "Yes.", "YES", "true", "True"),
        ("no", "No!", "false"),
        ("george washington", "George  Washington.", "**George Washington**", '"George Washington"'),
        ("1, 2, 3", "1,  2, 3", "1 , 2, 3"),
        ("don't", "Don’t"),
        ("346", "three hundred forty-six", "Three hundred and forty-six"),
        ("5/2", "two and a half", "two point five"),
        (
            "2021-03-04",
            "March 4, 2021",
            "4 March 2021",
            "the 4th of March, 2021",
            "Thursday, March 4, 2021",
            "04.03.2021",
        ),
        ("mar 4", "March 4", "4 March", "Mar. 4th"),
        ("{1, 2}", "{2, 1}", r"\{1, 2\}", r"\{ 2.0, 1, 1 \}", r"$\{1,2\}$"),
        ("7_eleven", "7 Eleven", "7-Eleven"),
        ("])", "] )", "] ) ."),
    ],
)
def test_answers_that_mean_the_same_have_one_text(same: tuple[str, ...]) -> None:
    assert {normalise(answer) for answer in same} == {same[0]}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1/2", "1/3"),
        ("1.0000000000000000001", "1"),
        ("3 pm", "3 am"),
        ("10 million", "10"),
        ("2pi", "2"),
        ("5 or 6", "5"),
        ("05/01/2021", "5/2/2021"),
        ("12/06/2021", "2/1/2021"),
        ("2021-05-01", "2015"),
        ("(1, 2)", "[1, 2]"),
        ("2x", "2"),
        ("2^10", "20"),
        ("-5", "5"),
        ("x = 5 or x = 3", "3"),
        ("12 34", "1234"),
        ("1/0", "0"),
        ("1e999999999", "1"),
        ("", "0"),
        ("7 Eleven", "7 Up"),
        ("] )", ")"),
        ("} } }", "}"),
        ("03/04/2021", "04/03/2021"),
        ("March 4", "March 2004"),
        ("{1, 2}", "(1, 2)"),
        ("{1, 2}", "{1, 3}"),
        ("five six", "11"),
    ],
)
def test_answers_that_differ_keep_different_texts(one: str, other: str) -> None:
    assert normalise(one) != normalise(other)


@pytest.mark.parametrize(
    ("answer", "letter"),
    [
        ("b", "b"), ("B", "b"), ("(B)", "b"), ("b.", "b"), ("B) neck", "b"), ("(b) neck", "b"), ("b neck", "b"),
        ("Neck.", "b"), ("option b", "b"), ("Option (B): neck", "b"), (r"\boxed{\text{(B)}}", "b"), ("**B**", "b"),
        ("jewelry box", "e"), ("f", "f"), ("a ring", "a ring"), ("(z)", "z"),
    ],
)  # fmt: skip
def test_an_option_is_its_letter_however_it_is_named(answer: str, letter: str) -> None:
    assert normalise(answer, OPTIONS) == letter


def test_options_that_are_numbers_are_compared_as_numbers() -> None:
    assert normalise("$1,000", ("900", "1000 dollars")) == "b"


def test_of_options_with_one_text_the_first_stands_for_all() -> None:
    assert normalise("(d)", ("bus depot", "bridge", "beach", "bridge")) == "b"


def test_normalising_twice_changes_nothing() -> None:
    draw = random.Random(5)
    pieces = [
        *"0123456789.,%$()[]{}*/+-=^\\ abxyz'\"!?_−½°\n",
        r"\frac{1}{2}",
        r"\text{ cm}",
        "dollars",
        "million",
        "yes",
    ]
    for _ in range(20_000):
        text = "".join(draw.choices(pieces, k=draw.randint(0, 9)))
        choices = draw.choice([(), OPTIONS])
        once = normalise(text, choices)
        assert normalise(once, choices) == once, text


FOUND = [
    # where an answer stands
    (r"So 3 + 4 = \boxed{7}.", "7", "7"),
    (r"First \boxed{3}, then \boxed{\frac{1}{2}}, so we are done with 9.", "1/2", "1/2"),
    (r"It is \boxed{\sqrt{x^{2}}}.", "x", r"\sqrt{x^{2}}"),
    (r"Thus \boxed{5} and then \boxed{6", "5", "5"),
    ("9 * 2 = 18\n#### 18", "18", "18"),
    ("<think>The answer is 3.</think>\nIt is 4.", "4", "4"),
    (r"The sum is \boxed{5}. The answer is 6.", "5", "5"),
    ("<answer>18</answer>", "18", "18"),
    ("The answer is 17. No, wait. The answer is 18.", "18", "18"),
    ("She makes 18.\nA: 18", "18", "18"),
    ("**Final Answer:** 18 dollars", "18", "18"),
    ("**Answer**: $18", "18", "18"),
    ("The final answer is:\n\n18", "18", "18"),
    ("Therefore, the answer (arabic numerals) is 18.", "18", "18"),
    ("The answer to the question is 18 because 3 * 6 = 18 and 2 is even.", "18", "18"),
    ("Of 5 boys 2 are tall, so 3 are short", "3", "3"),
    ("18", "18", "18"),
    # a completion that runs on
    ("The answer is 5.\n\nQ: There are 3 cars.\nA: The answer is 3.", "5", "5"),
    ("The answer is 5.\n\nQ", "5", "5"),
    ("The answer is 5.\nQuestion: What is 1 + 1?\nThe answer is 2.", "5", "5"),
    # numbers
    ("The answer is $1,234.50.", "1234.5", "1,234.50"),
    ("The answer is -4.", "-4", "-4"),
    ("The answer is (10 * 45).", "450", "(10 * 45)"),
    ("The answer is ((173 + 103) - 86).", "190", "((173 + 103) - 86)"),
    ("The answer is 5 + 3 = 8.", "8", "8"),
    ("The answer is 10-15.", "10", "10-15"),
    ("The answer is 50%.", "0.5", "50%"),
    ("The answer is COVID-19.", "19", "19"),
    (r"The answer is $\frac{3}{4}$ of it.", "3/4", "3/4"),
    (r"The answer is \(18\).", "18", "18"),
    ("The answer is unknown.", "18", None),
    ("", "18", None),
    # text and yes or no
    ('The last letters make "yajo". The answer is "yajo".', "yajo", "yajo"),
    ("So the answer is Mr. Smith. He came late.", "Mr. Smith", "Mr. Smith"),
    ("So the answer is no, because yes means yes.", "no", "no"),
    ("It is warm there.\nSo yes, it is.", "Yes", "yes"),
    ("I do not know what to say about this long and winding question, so I shall not.", "paris", None),
    ("Here is the board. The answer is:\n```\n1 0\n0 1\n```", "1 0\n0 1", "1 0\n0 1"),
    # gold that nobody knows
    ("The answer is 18 dollars.", None, "18"),
    ("The answer is 18 dollars because each of the nine eggs costs two.", None, "18"),
    ("The answer is 3 pm.", None, "3 pm"),
    ("The answer is 05/01/2021.", None, "05/01/2021"),
    ("The answer is George Washington.", None, "George Washington"),
    ("First 3, and after a very long walk through all of the old town, in the end, 4 of them", None, "4"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "gold", "expected"), FOUND)
def test_the_answer_is_found_where_a_text_states_it(text: str, gold: str | None, expected: str | None) -> None:
    assert find(text, problem(gold)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Necks wear chokers. So the answer is (b) neck.", "b"),
        ("The answer is B.", "b"),
        ("The answer is B, as necks wear chokers.", "b"),
        ("The answer is B because a neck wears it.", "b"),
        ("The correct option is (B).", "b"),
        (r"\boxed{\text{B}}", "b"),
        ("So the answer is neck.", "b"),
        ("So the answer is a jewelry box, I think.", "e"),
        ("The answer is a place to wear a choker.", None),
        ("The answer is (b) or (c).", None),
        ("The answer is neck or box.", None),
        ("The answer must be something one wears. Of these only", None),
        ("(b) neck", "b"),
        ("neck", "b"),
        ("First (a) and (c) fall away.\nThat leaves (b).", "b"),
        ("So the answer is (z).", None),
    ],
)
def test_an_option_is_found_as_its_letter(text: str, expected: str | None) -> None:
    assert find(text, problem("b", OPTIONS)) == expected


def test_options_within_the_question_are_known() -> None:
    within = problem("C", question="Where? Answer choices: (A) store, (B) neck, (C) box.")
    assert find("The neck is no box. The answer is (C) box.", within) == "c"
    assert compare("c", within) == "right"


@pytest.mark.parametrize(
    ("text", "rationale", "sentence"),
    [
        ("4 + 3 = 7. 7 - 2 = 5. The answer is 5.", "4 + 3 = 7. 7 - 2 = 5.", "The answer is 5."),
        ("Necks do. So the answer is (b) neck.\n\nQ: Where?\nA: Here.", "Necks do.", "So the answer is (b) neck."),
        ("9 * 2 = 18\n#### 18", "9 * 2 = 18", "#### 18"),
        ("9 * 2 = 18\nA: 18", "9 * 2 = 18", "A: 18"),
        ("We add.\n\nThus we get $\\boxed{5}$.", "We add.", "Thus we get $\\boxed{5}$."),
        ("We add.\n\\[\n\\boxed{5}\n\\]", "We add.", "\\[\n\\boxed{5}\n\\]"),
        ("**Step 1.** We add 3.\n\n**Answer:** 5", "**Step 1.** We add 3.", "**Answer:** 5"),
        ("The answer is 5. That is because 4 + 1 = 5.", "That is because 4 + 1 = 5.", "The answer is 5."),
        ("The answer is 5.", "", "The answer is 5."),
        ("No end to this", "No end to this", None),
        ("", "", None),
    ],
)  # fmt: skip
def test_the_rationale_is_parted_from_the_answer(text: str, rationale: str, sentence: str | None) -> None:
    assert split(text) == (rationale, sentence)


def test_four_models_solutions_of_gsm8k_get_their_true_labels() -> None:
    right: Counter[str] = Counter()
    for row in real("gsm8k/example_model_solutions.jsonl"):
        item = problem(row.pop("ground_truth").rpartition("A: ")[2], question=row.pop("question"))
        for model, solution in row.items():
            verdict = compare(find(solution["solution"], item), item)
            assert (verdict == "right") == solution["is_correct"], (model, item.question)
            right[model] += verdict == "right"
    assert list(right.values()) == [286, 515, 458, 742]


@pytest.mark.parametrize(
    ("name", "right"),
    [("cqa-train", 7344), ("cqa-test", 958), ("svamp-train", 595), ("svamp-test", 155)],
)
def test_raw_completions_of_palm_are_read_rightly(name: str, right: int) -> None:
    """SVAMP train has one more than a reading of the phrase alone: a row that states the number without it."""
    verdicts: Counter[str] = Counter()
    for row in real(f"palm/{name}.jsonl"):
        choices = tuple(row.get("choices", ()))
        item = problem(row.get("gold") or row["gold_equation"], choices, question=row["question"])
        verdicts[compare(find(row["completion"], item), item)] += 1
    assert verdicts["right"] == right
