"""Evaluation, on tiny students of which one has learnt the answer."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from pipeline.errors import StageError
from pipeline.rows import Prediction
from pipeline.stage import Reply, Request
from stages.evaluate import Evaluate, scores
from stages.train import Train
from tests import tiny_student
from tests.made import Script, problem, run, work

QUESTION = "What is 4 + 3 - 2?"
PROBLEMS = [problem(f"p{n}", answer="5" if n < 6 else "7", question=QUESTION) for n in range(8)]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_student.make(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def trained(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a training step whose student always answers 5."""
    folder = tmp_path_factory.mktemp("train")
    rows = [tiny_student.example("p", QUESTION, "The answer is 5.")]
    run(Train(model=str(base), epochs=60, batch_size=1, learning_rate=5e-3), rows, work(folder))
    return folder


@pytest.fixture
def prompts(tmp_path: Path) -> dict[str, Any]:
    """A user's own prompt files, by relative path."""
    (tmp_path / "student.txt").write_text("<<user>>\n{{question}}\n<<assistant>>\n{{question}}\n")
    (tmp_path / "teacher.txt").write_text("<<user>>\nWhat is 1 + 1?\n<<assistant>>\n2\n<<user>>\n{{question}}\n")
    return {"student_prompt": "student.txt", "teacher_prompt": "teacher.txt"}


def teacher(request: Request) -> Reply:
    return Reply(key="00", text="5 it is.\nThe answer is 5.", tokens=9)


def evaluated(stage: Evaluate, folder: Path, trained: Path, reply: Any = teacher) -> tuple[list[Any], dict[str, Any]]:
    made = run(stage, PROBLEMS, work(folder, reply, {"student": trained}))
    return made, json.loads((folder / "scores.json").read_text())


def test_a_student_that_learnt_is_counted_right_and_its_gain_is_proven(
    base: Path, trained: Path, tmp_path: Path, prompts: dict[str, Any]
) -> None:
    stage = Evaluate(model=str(base), teacher="main", max_new_tokens=12, batch_size=3, **prompts)
    made, found = evaluated(stage, tmp_path, trained)
    assert [(row.id, row.parent) for row in made if row.model == "student"] == [
        (f"{row.id}/student", row.id) for row in PROBLEMS
    ]
    assert [row.text for row in made if row.model == "student"] == ["The answer is 5."] * 8
    assert {name: score["right"] for name, score in found["models"].items()} == {
        "teacher": 6,
        "base": 0,
        "base_few_shot": 0,
        "student": 6,
    }
    assert found["models"]["student"]["accuracy"] == 0.75
    assert found["models"]["student"]["found_share"] == 1
    assert found["models"]["base"]["cut_share"] == 1
    assert found["models"]["teacher"]["mean_tokens"] == 9
    assert found["gain"]["gain"] == 0.75
    assert found["gain"]["proven"]
    seconds = json.loads((tmp_path / "timings.json").read_text())["seconds"]
    assert set(seconds) == {"teacher", "base", "base_few_shot", "student"}


def test_the_rows_and_scores_are_the_same_bytes_again(base: Path, trained: Path, tmp_path: Path) -> None:
    stage = Evaluate(model=str(base), max_new_tokens=8)
    found = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        rows, _ = evaluated(stage, tmp_path / name, trained)
        found.append(([row.model_dump_json() for row in rows], (tmp_path / name / "scores.json").read_bytes()))
    assert found[0] == found[1]
    assert len(found[0][0]) == 16


def test_the_teacher_is_asked_once_a_problem_at_temperature_0_with_its_own_prompt(
    base: Path, tmp_path: Path, prompts: dict[str, Any]
) -> None:
    stage = Evaluate(
        model=str(base), teacher="main", teacher_max_tokens=64, teacher_stop=("\n",), max_new_tokens=4, **prompts
    )
    asked = next(stage.conversation(PROBLEMS[0], work(tmp_path)) or iter([]))
    (request,) = asked
    assert (request.temperature, request.max_tokens, request.stop) == (0, 64, ("\n",))
    assert [turn.content for turn in request.messages] == ["What is 1 + 1?", "2", QUESTION]
    surroundings = work(tmp_path, teacher)
    assert isinstance(surroundings.teachers, Script)
    list(surroundings.teachers.ask("main", PROBLEMS, lambda row: stage.conversation(row, surroundings)))  # type: ignore[arg-type, return-value]
    assert surroundings.teachers.asked == [request] * 8


def test_the_student_is_asked_with_its_prompt_up_to_its_own_turn(
    base: Path, trained: Path, tmp_path: Path, prompts: dict[str, Any]
) -> None:
    alone, _ = evaluated(Evaluate(model=str(base), max_new_tokens=8), tmp_path, trained)
    by_file, _ = evaluated(
        Evaluate(model=str(base), max_new_tokens=8, student_prompt=prompts["student_prompt"]), tmp_path, trained
    )
    assert [row.text for row in by_file] == [row.text for row in alone]


@pytest.mark.parametrize("lost", ["refused", "teacher_error"])
def test_what_the_teacher_did_not_answer_counts_as_wrong(
    base: Path, trained: Path, tmp_path: Path, prompts: dict[str, Any], lost: str
) -> None:
    stage = Evaluate(model=str(base), teacher="main", max_new_tokens=2, **prompts)
    made, found = evaluated(stage, tmp_path, trained, lambda _: Reply(key="00", problem=lost, text="The answer is 5."))
    assert all((row.text, row.found, row.right) == ("", None, False) for row in made if row.model == "teacher")
    assert found["models"]["teacher"]["right"] == 0


def predictions(model: Any, right: str) -> list[Prediction]:
    return [
        Prediction(id=f"{n}/{model}", model=model, text="", found="5", right=sign == "+")
        for n, sign in enumerate(right)
    ]


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
    found = {"base": predictions("base", base), "student": predictions("student", student)}
    if few_shot:
        found["base_few_shot"] = predictions("base_few_shot", few_shot)
    counted = scores(found, seed=0)["gain"]  # type: ignore[arg-type]
    assert (counted["over"], counted["gain"], counted["proven"]) == (over, gain, proven)


@pytest.mark.parametrize(
    ("rows", "named"), [([], "no held-out problems"), ([problem("x", answer=None)], "problem x has no answer")]
)
def test_problems_that_cannot_be_judged_are_a_told_error(tmp_path: Path, rows: list[Any], named: str) -> None:
    with pytest.raises(StageError, match=named):
        run(Evaluate(model="embedded"), rows, work(tmp_path))


def test_a_teacher_without_a_prompt_is_refused() -> None:
    with pytest.raises(ValidationError, match="a teacher needs teacher_prompt"):
        Evaluate(model="embedded", teacher="main")
