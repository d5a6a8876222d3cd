"""The card of a data set says where its rows came from and what was left out."""

from pathlib import Path

from pipeline.data_card import write_cards
from pipeline.data_set import with_dataset
from pipeline.funnel import funnel_of
from pipeline.report.files import RunFiles
from pipeline.rows import Example
from pipeline.similar.contamination import Contamination, Found
from tests.run_folder import run_folder


def example(name: str, **fields: object) -> Example:
    made = {"prompt": (), "completion": "5", "problem_id": name, "source": "a|b.jsonl", "teacher": "main", **fields}
    return Example.model_validate({"id": name, **made})


def card(folder: Path, *examples: Example) -> str:
    """The card of a made-up run whose data set holds these."""
    run = run_folder(folder)
    list(with_dataset(examples, run / "assemble" / "dataset"))
    found = RunFiles.read(run)
    write_cards(found, funnel_of(found))
    return (run / "assemble" / "dataset" / "README.md").read_text(encoding="utf-8")


def test_a_card_counts_licences_terms_labels_and_teachers(tmp_path: Path) -> None:
    text = card(
        tmp_path,
        example("a", licence="MIT", terms="any use", label="gold"),
        example("b", licence="MIT", terms="any use", label="vote"),
        example("c", task="label", weight=0.25, teacher="other"),
    )
    assert "# 3 examples for supervised fine-tuning" in text
    for line in (
        "| solve | 1 | 2 |",
        "| label | 0.25 | 1 |",
        "| a\\|b.jsonl | MIT | 2 |",
        "| a\\|b.jsonl | not given | 1 |",
        "| main | embedded | any use | 2 |",
        "| other | not known | not given | 1 |",
        "| the gold answer | 1 |",
        "| the vote of the teacher's samples | 1 |",
        "| nothing | 1 |",
        "| check | wrong | 0 | 114 |",
        "| all |  | 40 | 321 |",
        "`python -m pipeline lineage ID --run first`",
    ):
        assert line in text.splitlines() or line in text, line
    assert "Held-out" not in text


def test_a_card_tells_what_was_found_of_held_out_questions(tmp_path: Path) -> None:
    run = run_folder(tmp_path)
    told = Contamination(
        held_out=1300,
        compared_by_words=20,
        of_a_template=1000,
        under_30_words=280,
        solutions=5000,
        found={
            "exact": Found(solutions=4, problems=1, removed=True),
            "near": Found(solutions=9, problems=3, removed=False),
        },
    )
    (run / "check" / "contamination.json").write_text(told.model_dump_json())
    list(with_dataset([example("a")], run / "assemble" / "dataset"))
    write_cards(RunFiles.read(run), None)
    text = (run / "assemble" / "dataset" / "README.md").read_text(encoding="utf-8")
    assert "5,000 solutions were compared with 1,300 held-out questions" in text
    assert "| exact | 4 | 1 | removed |\n| near | 9 | 3 | kept |\n" in text
    assert "Where every problem" not in text
