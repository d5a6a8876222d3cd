"""The data set, as the student gets it."""

import os
from pathlib import Path

import pytest

from pipeline.rows import Example
from stages.assemble import Assemble
from tests.made import outcome, run, solution, work


def examples(stage: Assemble, rows: list[object], folder: Path) -> list[Example]:
    made = run(stage, rows, work(folder))
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
    assert "2 examples" in (tmp_path / "dataset" / "README.md").read_text()
