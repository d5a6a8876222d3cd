"""The data set, as the student gets it."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipeline.rows import Example
from stages.assemble import AT_ONCE, Assemble
from tests.made import outcome, run, solution, work


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
