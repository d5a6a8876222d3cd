"""What nobody should learn from: the first fault of a solution is its drop reason."""

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from pipeline.errors import StageError
from pipeline.rows import Dropped, Solution
from stages.filter import TOGETHER, Filter
from tests import tiny_student
from tests.made import outcome, problem, run, solution, work
from tests.real_data import real

FIRST = 1000
"""Lines of a file that are read."""
KEY = "AKIA" + "QZRTUIOPMNBVCXYA"
EVERYTHING: dict[str, Any] = {
    "max_characters": 1000,
    "drop_answers_first": True,
    "drop_several_answers": True,
    "language": "en",
}


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (solution(), "kept"),
        (solution(cut=True), "cut_off"),
        (solution(cut=True, kept_cut=True), "kept"),
        (solution(cut=True, kept_cut=True, text="4 + 3 = 7, then we", found=None), "no_answer"),
        (solution(text=" ", thoughts="well, 4 + 3 is 7", found="5"), "empty"),
        (solution(text="4 + 3 = 7, then we take two away.", found=None), "no_answer"),
        (solution(text="The answer is 5."), "no_reasoning"),
        (solution(text="The answer is 5.", thoughts="4 + 3 = 7, 7 - 2 = 5"), "kept"),
        (solution(text="4 + 3 is 7. " * 40 + "The answer is 7."), "repetition"),
        (solution(text="one two three " + "x" * 990 + " The answer is 7."), "too_long"),
        (solution(text=f"Set the key to {KEY} first. The answer is 5."), "secrets"),
        (solution(text="I'm sorry, but I can't help with that.", found=None), "refusal"),
        (solution(text="4 + 3 = 7. 7 - 2 = 5. The answer is 5.<|im_end|>"), "prompt_leaked"),
        (solution(text="The answer given in the prompt is 5. So 7 - 2 is meant.", hinted=True), "prompt_leaked"),
        (solution(text="The answer is 5. We add 4 and 3 to get 7, then take 2 away."), "answer_before_reasoning"),
        (solution(text="4 + 3 = 7, so the answer is 7. Now less 2. The answer is 5."), "several_answers"),
        (
            solution(text="我们先把四和三加起来得到七，然后再从七里面减去二，这样最后就得到五。答案是5。", found="5"),
            "language",
        ),
    ],
)
def test_the_first_fault_is_the_reason(tmp_path: Path, row: Solution, expected: str) -> None:
    pytest.importorskip("lingua")
    assert outcome(Filter(**EVERYTHING), [row], work(tmp_path)) == [("p/0", expected)]


@pytest.mark.parametrize(
    ("row", "fields"),
    [
        (solution(text=f"Set the key to {KEY} first. The answer is 5."), {"drop_secrets": False}),
        (solution(text="I'm sorry, but I can't help with that.", found="5"), {"drop_refusals": False}),
        (solution(text="4 + 3 = 7. 7 - 2 = 5.<|im_end|>"), {"drop_leaked_prompts": False}),
        (solution(text="no number here at all", found=None), {"require_answer": False}),
        (solution(text="The answer is 5."), {"min_rationale_words": 0}),
        (solution(text="4 + 3 is 7. " * 40), {"max_repeated_share": 1}),
        (solution(text="The answer is 5. We add 4 and 3 to get 7, then take 2 away."), {}),
        (solution(text="4 + 3 = 7, so the answer is 7. Now less 2. The answer is 5."), {}),
        (solution(text="我们先把四和三加起来得到七，然后再从七里面减去二，这样最后就得到五。答案是5。", found="5"), {}),
    ],
)
def test_what_is_not_asked_for_is_not_looked_for(tmp_path: Path, row: Solution, fields: dict[str, Any]) -> None:
    assert outcome(Filter(**fields), [row], work(tmp_path)) == [("p/0", "kept")]


def test_no_detail_shows_a_secret(tmp_path: Path) -> None:
    hidden = solution(text=f"The answer is {KEY}. Or else, the answer is 5.", found=KEY)
    (dropped,) = run(Filter(**{**EVERYTHING, "language": None}), [hidden], work(tmp_path))
    assert isinstance(dropped, Dropped)
    assert dropped.detail == "an AWS access key in the text, at character 14; none wanted"


def test_a_reply_that_repeats_the_prompt_is_dropped_where_the_prompt_is_named(tmp_path: Path) -> None:
    said = solution(text="Reason step by step, and put the final answer within \\boxed{}. 4 + 3 - 2 is \\boxed{5}.")
    assert outcome(Filter(), [said], work(tmp_path)) == [("p/0", "kept")]
    named = Filter(prompt="r1-distill/solve")
    assert outcome(named, [said, solution("q/0")], work(tmp_path)) == [("p/0", "prompt_leaked"), ("q/0", "kept")]


def test_tokens_are_those_of_the_students_tokenizer(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    student = tiny_student.make(tmp_path / "student")
    lengths = {"short": 5, "fitting": 60, "thoughtful": 60, "long": 200}
    rows = [solution(f"{name}/0", text="7 " * (length // 2), found="5") for name, length in lengths.items()]
    rows[2] = rows[2].model_copy(update={"thoughts": "7 " * 100})
    stage = Filter(tokenizer=str(student), min_tokens=20, max_tokens=100, min_rationale_words=0, max_repeated_share=1)
    made = run(stage, rows, work(tmp_path))
    assert [row.reason if isinstance(row, Dropped) else row.id for row in made] == [
        "too_short",
        "fitting/0",
        "too_long",
        "too_long",
    ]
    assert [row.detail for row in made if isinstance(row, Dropped)] == [
        "3 tokens, 20 wanted at least",
        "260 tokens, 100 wanted at most",
        "199 tokens, 100 wanted at most",
    ]
    assert stage.outside(tmp_path)["tokenizer"].startswith("sha256:")


@pytest.mark.parametrize("fields", [{}, {"min_tokens": 1}])
def test_rows_leave_in_the_order_in_which_they_came(tmp_path: Path, fields: dict[str, Any]) -> None:
    if fields:
        pytest.importorskip("transformers")
        fields = {**fields, "tokenizer": str(tiny_student.make(tmp_path / "student"))}
    faulty = "The answer is 5."
    rows = [
        solution(f"{n}/0", **({"text": faulty} if n % 7 == 3 else {}), problem=problem(str(n)))
        for n in range(2 * TOGETHER + 5)
    ]
    made = outcome(Filter(**fields), rows, work(tmp_path))
    assert made == [(row.id, "no_reasoning" if row.text == faulty else "kept") for row in rows]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"max_tokens": 100}, "max_tokens counts tokens of the student: set tokenizer too, to its student.model"),
        ({"tokenizer": "x", "min_tokens": 9, "max_tokens": 8}, "min_tokens: 9 is above max_tokens: 8"),
    ],
)
def test_limits_that_cannot_be_kept_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Filter(**fields)


def test_without_lingua_a_language_cannot_be_wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lingua", None)
    with pytest.raises(StageError, match="lingua, which is not installed") as told:
        run(Filter(language="en"), [solution()], work(tmp_path))
    assert told.value.hint == "pip install 'cot-distill[languages]'"


def gsm8k(lines: Iterator[dict[str, Any]]) -> Iterator[tuple[str, str, str]]:
    for line in lines:
        yield line["question"], line["answer"], line["answer"].rpartition("#### ")[2]


def four_models(lines: Iterator[dict[str, Any]]) -> Iterator[tuple[str, str, str]]:
    for line in lines:
        gold = line["ground_truth"].rpartition("A: ")[2]
        yield from ((line["question"], value["solution"], gold) for value in line.values() if isinstance(value, dict))


def three_answerers(lines: Iterator[dict[str, Any]]) -> Iterator[tuple[str, str, str]]:
    for line in lines:
        yield from ((line["question"], text, str(line["gold"])) for text in line["answers"].values())


def rationales(lines: Iterator[dict[str, Any]]) -> Iterator[tuple[str, str, str]]:
    for line in lines:
        answer = line["answer"].lower()
        yield line["question"], f"{line['rationale']} So the answer is {answer}.", answer


@pytest.mark.parametrize(
    ("name", "read", "expected"),
    [
        ("gsm8k/train.jsonl", gsm8k, {}),
        ("gsm8k/example_model_solutions.jsonl", four_models, {"repetition": 4, "no_reasoning": 1}),
        ("subquestions/gsm8k-test.jsonl", three_answerers, {}),
        ("fine-tune-cot/strategy_qa.jsonl", rationales, {}),
    ],
)
def test_real_solutions_have_few_faults(
    tmp_path: Path, name: str, read: Callable[..., Iterator[tuple[str, str, str]]], expected: dict[str, int]
) -> None:
    pytest.importorskip("lingua")
    rows = [
        solution(f"{n}/0", text, problem=problem(str(n), answer, question))
        for n, (question, text, answer) in enumerate(read(real(name, FIRST)))
    ]
    stage = Filter(language="en", require_answer=False, drop_answers_first=True)
    found = Counter(what for _, what in outcome(stage, rows, work(tmp_path)))
    assert {reason: count for reason, count in found.items() if reason != "kept"} == expected
