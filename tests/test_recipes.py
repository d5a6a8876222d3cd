"""Every recipe runs whole: a real server teaches, a tiny student is trained for real, a report comes out."""

import json
import os
from pathlib import Path

import pytest

from pipeline import recipe
from pipeline.choices import load
from pipeline.errors import UsageError
from pipeline.rows import Problem
from tests.fake_teacher import FakeTeacher
from tests.project import Project
from tests.tiny_student import make

GOLDEN = Path(__file__).parent / "golden"
SMALL = {
    "train.epochs": 1,
    "train.batch_size": 8,
    "train.micro_batch_size": 8,
    "evaluate.max_new_tokens": 8,
}
OWN = {
    "self-distillation": {"solve.samples": 2, "solve.max_tokens": 60},
    "fine-tune-cot": {"solve.samples": 2},
}


@pytest.mark.parametrize("name", recipe.names())
def test_a_recipe_runs_whole_and_a_second_time_does_nothing(name: str, tmp_path: Path, teacher: FakeTeacher) -> None:
    make(tmp_path / "student", context=2048)
    project = Project(tmp_path, teacher.base_url, problems=8, heldout=4, recipe=name)
    project.choices["set"] = {**SMALL, **OWN.get(name, {})}
    project.save()
    done = project.run_all()
    assert "student" in done.stdout

    outputs = tmp_path / "outputs" / "one"
    scores = json.loads((outputs / "evaluate" / "scores.json").read_text())
    assert set(scores["models"]) == {"base", "base_few_shot", "student", "teacher"}
    assert "<html" in (outputs / "report.html").read_text()
    assert_golden(name, golden_text(project))

    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    from datasets import load_dataset
    from transformers import AutoModelForCausalLM

    data = load_dataset(str(outputs / "assemble" / "dataset"), split="train", cache_dir=str(tmp_path / "cache"))
    assert len(data) == len(project.rows("assemble"))
    assert AutoModelForCausalLM.from_pretrained(outputs / "train" / "model").num_parameters() > 0

    teacher.reset()
    before = {path: path.stat().st_mtime_ns for path in outputs.rglob("*") if path.is_file()}
    project.run_all()
    assert teacher.count() == 0
    same = {path for path, time in before.items() if path.stat().st_mtime_ns == time}
    assert {str(path.relative_to(outputs)) for path in before.keys() - same} <= {"progress.json"}


@pytest.mark.parametrize("name", recipe.names())
def test_with_a_dev_split_every_recipe_chooses_the_epoch_by_it_and_nothing_else(name: str, tmp_path: Path) -> None:
    project = Project(tmp_path, "http://127.0.0.1:9/v1", recipe=name)
    project.choices["data"]["dev"] = 3
    project.save()
    steps = {step.name: step for step in recipe.steps(load(tmp_path / "my.yaml", {}))}
    assert (steps["dev"].stage.role, steps["dev"].stage.size) == ("dev", 3)  # type: ignore[attr-defined]
    assert steps["load"].uses == {"heldout": "heldout", "dev": "dev"}
    assert steps["train"].stage.keep_epochs  # type: ignore[attr-defined]
    assert (steps["choose"].rows, steps["choose"].uses) == (("dev",), {"student": "train"})
    room = [steps[name].stage.max_new_tokens for name in ("choose", "evaluate")]  # type: ignore[attr-defined]
    assert room[0] == room[1]
    assert steps["evaluate"].uses == {"student": "choose"}


def test_a_recipe_that_would_train_on_held_out_problems_is_refused(tmp_path: Path) -> None:
    project = Project(tmp_path, "http://127.0.0.1:9/v1", recipe="own.py")
    (tmp_path / "own.py").write_text(
        "from dataclasses import replace\n"
        "from pipeline.recipes import fine_tune_cot\n"
        "def recipe(choices):\n"
        "    steps = fine_tune_cot.recipe(choices)\n"
        "    return [replace(step, rows=('heldout',)) if step.name == 'solve' else step for step in steps]\n"
    )
    done = project.run("plan", "--config", "my.yaml", expect=2)
    assert "step 'train' would read problems of 'heldout', which are held out" in done.stderr


TAUGHT = "<<system>>\nReason.\n<<user>>\n{{question}}\n<<assistant>>\n{{text}}\n"


@pytest.mark.parametrize(
    ("recipe_name", "field", "prompt", "refused"),
    [
        ("r1-distill", "assemble.prompt", TAUGHT, "step 'evaluate' would ask the student with r1-distill/student, and"),
        ("r1-distill", "evaluate.student_prompt", TAUGHT, "step 'evaluate' would ask the student with mine.txt, and"),
        ("r1-distill", "evaluate.student_prompt", None, "would ask the student with the question alone, and it is tr"),
        ("fine-tune-cot", "evaluate.student_prompt", None, None),
        ("fine-tune-cot", "assemble.prompt", "<<user>>\n{{ question }}\n<<assistant>>\nSo: {{text}}\n", None),
        ("distilling-step-by-step", "evaluate.student_prompt", "<<user>>\nexplain: {{question}}\n", None),
    ],
)
def test_a_student_is_asked_with_a_prompt_that_it_was_trained_on(
    tmp_path: Path, recipe_name: str, field: str, prompt: str | None, refused: str | None
) -> None:
    project = Project(tmp_path, "http://127.0.0.1:9/v1", recipe=recipe_name)
    project.choices["set"] = {field: None if prompt is None else "mine.txt"}
    project.save()
    (tmp_path / "mine.txt").write_text(prompt or "")
    choices = load(tmp_path / "my.yaml", {})
    if refused is None:
        recipe.steps(choices)
        return
    with pytest.raises(UsageError) as told:
        recipe.steps(choices)
    assert refused in told.value.fact
    assert told.value.hint
    assert told.value.hint.startswith("--set evaluate.student_prompt=")


def test_a_dev_split_is_asked_with_the_prompt_of_the_training_too(tmp_path: Path) -> None:
    project = Project(tmp_path, "http://127.0.0.1:9/v1")
    (tmp_path / "mine.txt").write_text(TAUGHT)
    project.choices["data"]["dev"] = 3
    project.set(assemble__prompt="mine.txt", evaluate__student_prompt="mine.txt")
    with pytest.raises(UsageError, match="step 'choose' would ask the student with r1-distill/student"):
        recipe.steps(load(tmp_path / "my.yaml", {}))
    project.set(choose__student_prompt="mine.txt")
    recipe.steps(load(tmp_path / "my.yaml", {}))


def test_a_setting_that_is_no_field_is_told_with_the_form_wanted(tmp_path: Path) -> None:
    project = Project(tmp_path, "http://127.0.0.1:9/v1")
    for settings, fact in (
        ({"train": {"epochs": 1}}, "set: train: expected step.field: value"),
        ({"evaluate.samples": 4}, "set: evaluate: 4 samples at temperature 0 are all alike"),
        ({"train.method": "loar"}, "set: train.method: Input should be 'auto', "),
    ):
        project.choices["set"] = settings
        project.save()
        with pytest.raises(UsageError) as told:
            recipe.steps(load(tmp_path / "my.yaml", {}))
        assert fact in told.value.fact


@pytest.mark.gpu
@pytest.mark.parametrize("method", ["full", "lora"])
def test_a_recipe_trains_and_evaluates_on_a_cuda_device(method: str, tmp_path: Path, teacher: FakeTeacher) -> None:
    import torch

    assert torch.cuda.is_available(), "this test needs a CUDA device"
    make(tmp_path / "student", context=2048)
    project = Project(tmp_path, teacher.base_url, problems=8, heldout=4)
    project.choices["set"] = {**SMALL, "train.method": method, "train.epochs": 4}
    project.save()
    project.run_all()
    log = (tmp_path / "outputs" / "one" / "train" / "log.jsonl").read_text().splitlines()
    losses = [json.loads(line)["loss"] for line in log]
    assert losses[-1] < losses[0]


def golden_text(project: Project) -> str:
    """What the teacher is asked about the first problem, and the first examples that the student is given."""
    choices = load(project.folder / "my.yaml", {})
    problem = Problem.model_validate(project.rows("load")[0])
    pieces = []
    for step in recipe.steps(choices):
        if step.stage.name() in ("solve", "rationalize"):
            prompts = step.stage.marked("prompt")
            for field, prompt in prompts.items():
                pieces += [f"==== {step.name}.{field}", *rendered(prompt, problem)]
    for row in project.rows("assemble")[:2]:
        pieces.append(f"==== assemble, {row['task']} row, weight {row['weight']:g}")
        pieces += [f"<<{turn['role']}>>\n{turn['content']}" for turn in row["prompt"]]
        pieces.append(f"<<assistant>>\n{row['completion']}")
    return "\n".join(pieces) + "\n"


def rendered(prompt: str, problem: Problem) -> list[str]:
    from pipeline.prompt import Prompt, problem_fields

    fields = {**problem_fields(problem), "reasoning": "(the first reply)"}
    return [f"<<{turn.role}>>\n{turn.content}" for turn in Prompt.load(prompt, Path()).render(fields)]


def assert_golden(name: str, text: str) -> None:
    path = GOLDEN / f"{name}.txt"
    if os.environ.get("WRITE_GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    assert text == path.read_text(), f"if this is meant: WRITE_GOLDEN=1 make test, and read the diff of {path.name}"
