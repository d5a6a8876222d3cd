"""The data set, as the student gets it."""

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from pipeline.data_set import AT_ONCE
from pipeline.progress import Silent
from pipeline.rows import Dropped, Example
from pipeline.student import load
from pipeline.student.text import IGNORED, encode
from stages.assemble import Assemble
from tests import tiny_student
from tests.made import outcome, problem, run, solution, work


class Told(Silent):
    """Remembers what is said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)


def examples(stage: Assemble, rows: Sequence[object], folder: Path) -> list[Example]:
    made = run(stage, list(rows), work(folder))
    return [row for row in made if isinstance(row, Example)]


def test_thoughts_stand_in_a_think_block_before_the_reply(tmp_path: Path) -> None:
    row = solution(text=r"So \boxed{5}.", thoughts="4 + 3 = 7, minus 2 is 5")
    (example,) = examples(Assemble(prompt="r1-distill/student"), [row], tmp_path)
    assert example.completion == "<think>\n4 + 3 = 7, minus 2 is 5\n</think>\n\nSo \\boxed{5}."
    assert [turn.role for turn in example.prompt] == ["user"]
    assert "4 + 3 - 2" in example.prompt[0].content


def test_a_teacher_without_thoughts_leaves_no_empty_think_block(tmp_path: Path) -> None:
    (example,) = examples(Assemble(prompt="r1-distill/student"), [solution()], tmp_path)
    assert "<think>" not in example.completion


def test_an_item_becomes_a_label_row_and_a_rationale_row(tmp_path: Path) -> None:
    stage = Assemble(
        prompt="distilling-step-by-step/label", rationale_prompt="distilling-step-by-step/rationale", alpha=0.25
    )
    wrong = solution(text="4 + 3 = 8. So the answer is 8.")
    made = examples(stage, [wrong], tmp_path)
    assert [(row.task, row.completion, row.weight) for row in made] == [
        ("label", "5", 0.25),
        ("rationale", "4 + 3 = 8.", 0.75),
    ]
    (label, _) = examples(stage.model_copy(update={"answers": "teacher"}), [wrong], tmp_path)
    assert label.completion == "8"


@pytest.mark.parametrize(
    ("stage", "expected"),
    [
        (Assemble(prompt="r1-distill/student"), ["kept", "kept", "kept"]),
        (Assemble(prompt="r1-distill/student", distinct=True), ["kept", "duplicate", "kept"]),
        (Assemble(prompt="r1-distill/student", max_per_problem=2), ["kept", "kept", "surplus"]),
        (Assemble(prompt="r1-distill/student", require_thoughts=True), ["no_thoughts"] * 3),
    ],
)
def test_rows_that_are_not_wanted_carry_a_reason(tmp_path: Path, stage: Assemble, expected: list[str]) -> None:
    rows = [solution("p/0"), solution("p/1"), solution("p/2", text="4 - 2 = 2. 2 + 3 = 5. The answer is 5.")]
    assert [what for _, what in outcome(stage, rows, work(tmp_path))] == expected


def test_load_dataset_opens_the_folder_and_a_row_leads_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "HF_HUB_OFFLINE", "1")
    examples(Assemble(prompt="r1-distill/student"), [solution("p/0"), solution("q/0")], tmp_path)
    from datasets import load_dataset

    data = load_dataset(str(tmp_path / "dataset"), split="train", cache_dir=str(tmp_path / "cache"))
    assert data["id"][:] == ["p/0", "q/0"]
    assert data[0]["prompt"][0]["role"] == "user"
    assert data[0]["completion"] == [{"role": "assistant", "content": "4 + 3 = 7. 7 - 2 = 5. The answer is 5."}]
    assert (data[0]["problem_id"], data[0]["keys"], data[0]["source"]) == ("p", ["00"], "test")


@pytest.mark.parametrize(
    ("fields", "label"),
    [
        ({"verdict": "right"}, "gold"),
        ({"verdict": "right", "vote_share": 0.75}, "gold"),
        ({"verdict": "unverifiable", "vote_share": 0.75}, "vote"),
        ({"vote_share": 0.75}, "vote"),
        ({"verdict": "right", "judge_score": 0.9}, "judge"),
        ({"verdict": "unverifiable", "vote_share": 0.75, "judge_score": 0.9}, "judge"),
        ({"verdict": "wrong", "vote_share": 0.75}, None),
        ({"verdict": "unverifiable"}, None),
        ({}, None),
    ],
)
def test_a_row_says_what_vouches_for_its_answer(tmp_path: Path, fields: dict[str, Any], label: str | None) -> None:
    (example,) = examples(Assemble(prompt="r1-distill/student"), [solution(**fields)], tmp_path)
    assert example.label == label


def test_a_label_row_that_states_the_gold_answer_is_vouched_for_by_it(tmp_path: Path) -> None:
    stage = Assemble(prompt="distilling-step-by-step/label", rationale_prompt="distilling-step-by-step/rationale")
    wrong = solution(text="4 + 3 = 8. So the answer is 8.")
    assert [row.label for row in examples(stage, [wrong], tmp_path)] == ["gold", None]
    by_teacher = stage.model_copy(update={"answers": "teacher"})
    assert [row.label for row in examples(by_teacher, [wrong], tmp_path)] == [None, None]


def test_an_answer_by_itself_is_vouched_for_by_gold_and_is_never_empty(tmp_path: Path) -> None:
    rows = [
        solution("p/0", text="4 + 3 = 8. So the answer is 8."),
        solution("q/0", text="The answer is 7.", problem=problem("q", answer=None)),
        solution("r/0", text="I cannot tell.", found=None, problem=problem("r", answer=None)),
    ]
    stage = Assemble(prompt="answer-only/student")
    assert [what for _, what in outcome(stage, rows, work(tmp_path))] == ["kept", "kept", "no_answer"]
    made = examples(stage, rows, tmp_path)
    assert [(row.completion, row.label) for row in made] == [("5", "gold"), ("7", None)]
    in_words = Assemble(prompt="fine-tune-cot/student")
    assert [what for _, what in outcome(in_words, rows, work(tmp_path))] == ["kept", "kept", "no_answer"]


def test_the_terms_of_the_teacher_travel_with_the_row(tmp_path: Path) -> None:
    stage = Assemble(prompt="r1-distill/student", terms={"main": "no competing models", "other": "any use"})
    rows = [solution("p/0"), solution("q/0").model_copy(update={"teacher": "third"})]
    assert [row.terms for row in examples(stage, rows, tmp_path)] == ["no competing models", None]
    table = pq.read_table(tmp_path / "dataset" / "train.parquet")
    assert table["terms"].to_pylist() == ["no competing models", None]


def test_a_large_data_set_is_written_in_parts_and_is_whole(tmp_path: Path) -> None:
    rows = [solution(f"p{index}/0") for index in range(2 * AT_ONCE + 1)]
    made = examples(Assemble(prompt="r1-distill/student"), rows, tmp_path)
    file = pq.ParquetFile(tmp_path / "dataset" / "train.parquet")
    assert file.metadata.num_row_groups == 3
    assert file.read()["id"].to_pylist() == [row.id for row in made] == [row.id for row in rows]


def test_nothing_kept_is_an_empty_data_set(tmp_path: Path) -> None:
    assert examples(Assemble(prompt="r1-distill/student", require_thoughts=True), [solution()], tmp_path) == []
    assert pq.read_table(tmp_path / "dataset" / "train.parquet").num_rows == 0


PROMPT = "r1-distill/student"


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A student with a context of 1000 tokens."""
    return str(tiny_student.make(tmp_path_factory.mktemp("student"), context=1000))


def words(count: int) -> str:
    return " ".join("5" for _ in range(count))  # a token a word for the tiny student


def tokens_of(student: str, example: Example) -> list[bool]:
    """Of each token of the training text, whether the student must write it."""
    tokenizer = load.load_tokenizer(load.find(student, Path()))
    return [label != IGNORED for label in encode(tokenizer, example).labels]


def test_the_longest_text_is_counted_in_the_students_tokens_with_the_prompt(tmp_path: Path, student: str) -> None:
    rows = [solution(f"p/{count}", text=words(count)) for count in (10, 20, 30, 1200)]
    lengths = [len(tokens_of(student, row)) for row in examples(Assemble(prompt=PROMPT), rows, tmp_path)]
    stage = Assemble(prompt=PROMPT, student=student, max_tokens=lengths[1])
    made = run(stage, rows, work(tmp_path))
    assert [row.reason if isinstance(row, Dropped) else "" for row in made] == ["", "", "too_long", "too_long"]
    assert [row.detail for row in made if isinstance(row, Dropped)] == [
        f"{length} tokens, {lengths[1]} at most" for length in lengths[2:]
    ]
    beyond = stage.model_copy(update={"max_tokens": 10_000})
    assert [what for _, what in outcome(beyond, rows, work(tmp_path))] == ["kept"] * 3 + ["too_long"]


def test_a_solution_that_is_too_long_takes_no_place_of_its_problem(tmp_path: Path, student: str) -> None:
    rows = [solution(f"p/{place}", text=words(count)) for place, count in enumerate((600, 10, 10))]
    stage = Assemble(prompt=PROMPT, student=student, max_tokens=500, max_per_problem=1)
    assert [what for _, what in outcome(stage, rows, work(tmp_path))] == ["too_long", "kept", "surplus"]


@pytest.mark.parametrize(
    ("long", "short", "share", "expected"),
    [
        (40, 40, 0.2, (10, 40)),
        (10, 90, 0.2, (10, 40)),
        (10, 40, 0.2, (10, 40)),
        (90, 10, 0.9, (90, 10)),
        (3, 90, 0.01, (1, 90)),
        (40, 0, 0.2, (40, 0)),
        (0, 40, 0.2, (0, 40)),
    ],
)
def test_long_and_short_are_mixed_by_share_whatever_their_order(
    tmp_path: Path, student: str, long: int, short: int, share: float, expected: tuple[int, int]
) -> None:
    rows = [solution(f"l{i}/0", text=words(30)) for i in range(long)]
    rows += [solution(f"s{i}/0", text=words(9)) for i in range(short)]
    stage = Assemble(prompt=PROMPT, student=student, long_share=share, long_tokens=20)
    made = outcome(stage, rows, work(tmp_path))
    assert [name for name, _ in made] == [row.id for row in rows]
    kept = {name for name, what in made if what == "kept"}
    assert (sum(name[0] == "l" for name in kept), sum(name[0] == "s" for name in kept)) == expected
    assert {what for _, what in made} <= {"kept", "surplus_long" if expected[1] == short else "surplus_short"}
    assert kept == {name for name, what in outcome(stage, rows[::-1], work(tmp_path)) if what == "kept"}


def test_what_the_student_must_write_makes_a_solution_long_thoughts_included(tmp_path: Path, student: str) -> None:
    rows = [
        solution("a/0", text=words(9), thoughts=words(30)),
        solution("b/0", text=words(9), problem=problem("b", question=f"What is {words(50)}?")),
        solution("c/0", text=words(1)),
    ]
    written = [sum(tokens_of(student, row)) for row in examples(Assemble(prompt=PROMPT), rows, tmp_path)]
    told = Told()
    for bound, counts in ((written[0], "0 solutions of more"), (written[0] - 1, "1 of 1 long and 2 of 2 short")):
        stage = Assemble(prompt=PROMPT, student=student, long_share=0.34, long_tokens=bound)
        run(stage, rows, replace(work(tmp_path), progress=told))
        assert counts in told.lines[-1]
    assert written[1] < written[0] - 1


def test_of_each_problem_those_are_kept_that_the_student_finds_likeliest(tmp_path: Path, student: str) -> None:
    texts = ["So 5.", "The answer is 5.", "Hm. 5?", "The answer is 5.", "qwxz 5"]
    rows = [solution(f"{of}/{place}", text=text) for of in "pq" for place, text in enumerate(texts)]
    stage = Assemble(prompt=PROMPT, student=student, max_per_problem=2, prefer="likeliest")
    made = run(stage, rows, work(tmp_path))
    entries = [json.loads(line) for line in (tmp_path / "likelihood.jsonl").read_text().splitlines()]
    assert [entry["id"] for entry in entries] == [row.id for row in rows]
    for of in range(0, 10, 5):
        numbers = [entry["logprob"] for entry in entries[of : of + 5]]
        best = sorted(sorted(range(5), key=lambda place: -numbers[place])[:2])
        assert [place for place in range(5) if isinstance(made[of + place], Example)] == best
        assert [(row.reason, row.detail) for row in made[of : of + 5] if isinstance(row, Dropped)] == [
            ("less_likely", f"{numbers[place]} a token") for place in range(5) if place not in best
        ]
        assert numbers[1] == numbers[3]  # of equals the first is kept
    one = stage.model_copy(update={"max_per_problem": 1})
    alike = [solution("p/0", text=texts[1]), solution("p/1", text=texts[1])]
    again = tmp_path / "again"
    again.mkdir()
    assert [what for _, what in outcome(one, alike, work(again))] == ["kept", "less_likely"]


def test_a_label_and_its_rationale_are_chosen_together(tmp_path: Path, student: str) -> None:
    stage = Assemble(
        prompt="distilling-step-by-step/label",
        rationale_prompt="distilling-step-by-step/rationale",
        student=student,
        max_per_problem=1,
        prefer="likeliest",
        long_share=0.5,
        long_tokens=30,
    )
    rows = [solution("p/0"), solution("p/1", text=f"{words(40)} = 5. The answer is 5."), solution("q/0")]
    made = run(stage, rows, work(tmp_path))
    assert sum(isinstance(row, Example) for row in made) == 4
    assert {row.id for row in made if isinstance(row, Dropped)} < {"p/0", "p/1"}
    assert {row.parent for row in made if isinstance(row, Example)} > {"q/0"}


@pytest.mark.parametrize(
    "fields",
    [{"max_tokens": 9}, {"long_share": 0.2}, {"max_per_problem": 1, "prefer": "likeliest"}, {"prefer": "likeliest"}],
)
def test_what_asks_the_student_needs_to_know_it(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=r"set (student|it) too"):
        Assemble(prompt=PROMPT, **fields)


def test_the_students_weights_are_in_the_record_only_where_it_is_asked(student: str) -> None:
    assert Assemble(prompt=PROMPT, student="nowhere/at-all.gguf").outside(Path()) == {}
    asked = Assemble(prompt=PROMPT, student=student, max_tokens=9)
    assert asked.outside(Path()) == {"student": load.fingerprint(student, Path())}


def test_every_solution_leaves_once_and_in_its_place_with_all_options_on(tmp_path: Path, student: str) -> None:
    rows = [
        solution(f"p{of}/{place}", text=f"{words(count)} {of % 3}. The answer is 5.", cut=place == 5)
        for of in range(6)
        for place, count in enumerate((5, 5, 9, 40, 600, 6))
    ]
    stage = Assemble(
        prompt=PROMPT,
        distinct=True,
        student=student,
        max_tokens=500,
        max_per_problem=2,
        prefer="likeliest",
        long_share=0.1,
        long_tokens=30,
    )
    made = outcome(stage, rows, work(tmp_path))
    assert [name for name, _ in made] == [row.id for row in rows]
    assert {what for _, what in made} >= {"kept", "cut_off", "duplicate", "too_long", "less_likely"}
