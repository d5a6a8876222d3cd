"""Standard benchmarks: lm-eval's own process on local tasks, and what is made of its results."""

import json
import sys
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
import yaml

from pipeline.benchmarks import Results, compared
from pipeline.errors import StageError, UsageError
from pipeline.rows import Score
from pipeline.statistics import paired_gain
from pipeline.student.text import encode
from stages.benchmark import Benchmark
from tests import tiny_student
from tests.fake_teacher import FakeTeacher
from tests.made import run, work
from tests.project import Project

QUESTIONS = 12
CHOICE: dict[str, Any] = {
    "dataset_path": "json",
    "test_split": "train",
    "output_type": "multiple_choice",
    "doc_to_text": "{{question}} The answer is",
    "doc_to_choice": ["1", "2", "3"],
    "doc_to_target": "{{label}}",
    "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
}
WRITTEN: dict[str, Any] = {
    "output_type": "generate_until",
    "doc_to_choice": None,
    "doc_to_target": "{{answer}}",
    "generation_kwargs": {"max_gen_toks": 4, "until": ["\n"]},
    "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
}


def write_tasks(folder: Path) -> None:
    """Tasks of a user's own: one by itself, and a group of two."""
    folder.mkdir()
    questions = [{"question": f"What is {n} + 1?", "label": n % 3, "answer": str(n + 1)} for n in range(QUESTIONS)]
    (folder / "sums.jsonl").write_text("".join(json.dumps(question) + "\n" for question in questions))
    data = {"dataset_kwargs": {"data_files": str(folder / "sums.jsonl")}}
    tasks = {"alone": WRITTEN, "first": {}, "second": {}}
    for name, more in tasks.items():
        told = {key: value for key, value in {"task": name, **CHOICE, **data, **more}.items() if value is not None}
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(told))
    mean = {"metric": "acc", "aggregation": "mean", "weight_by_size": True}
    group = {"group": "group", "task": ["first", "second"], "aggregate_metric_list": [mean]}
    (folder / "group.yaml").write_text(yaml.safe_dump(group))


def other_weights(folder: Path, like: Path) -> None:
    """A student that answers otherwise than the model at `like`."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(like)
    torch.manual_seed(1)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.2 * torch.randn_like(weight))
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(like).save_pretrained(folder)


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """What lm-eval loads is not kept beyond the test."""
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path_factory.getbasetemp() / "datasets"))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with tasks and two students, in which both were measured."""
    folder = tmp_path_factory.mktemp("benchmark")
    write_tasks(folder / "tasks")
    tiny_student.make(folder / "base")
    other_weights(folder / "train" / "model", folder / "base")
    return folder


def stage() -> Benchmark:
    return Benchmark(model="base", tasks=("tasks/alone.yaml", "tasks/first.yaml"), limit=10)


def measured(folder: Path) -> list[Score]:
    rows = run(stage(), [], work(folder, uses={"student": folder / "train"}))
    return [row for row in rows if isinstance(row, Score)]


def test_both_models_are_measured_on_the_same_questions(made: Path, capfd: pytest.CaptureFixture[str]) -> None:
    rows = measured(made)
    assert {(row.task, row.metric, row.n) for row in rows} == {
        ("alone", "exact_match", 10),
        ("first", "acc", 10),
    }
    assert [row.model for row in rows] == ["base"] * 2 + ["student"] * 2
    answers = {model: samples(made, model, "first") for model in ("base", "student")}
    assert [answer["doc"] for answer in answers["base"]] == [answer["doc"] for answer in answers["student"]]
    assert [answer["arguments"] for answer in answers["base"]] == [answer["arguments"] for answer in answers["student"]]
    assert [answer["resps"] for answer in answers["base"]] != [answer["resps"] for answer in answers["student"]]
    assert answers["base"][0]["arguments"][0][0] == (
        "<|im_start|>user\nWhat is 0 + 1? The answer is<|im_end|>\n<|im_start|>assistant\n"
    )
    assert capfd.readouterr() == ("", "")
    assert "Running" in (made / "step.log").read_text()


def samples(folder: Path, model: str, task: str) -> list[dict[str, Any]]:
    lines = (folder / f"{model}_samples.jsonl").read_text().splitlines()
    return [sample for sample in map(json.loads, lines) if sample["task"] == task]


def test_the_comparison_is_that_of_the_single_answers(made: Path) -> None:
    measured(made)
    told = json.loads((made / "benchmarks.json").read_text())
    assert [(line["task"], line["n"], line["of"]) for line in told["comparisons"]] == [
        ("alone", 10, QUESTIONS),
        ("first", 10, QUESTIONS),
    ]
    assert told["confidence"] == pytest.approx(0.975)
    line = told["comparisons"][1]
    base, student = ([answer["acc"] for answer in samples(made, model, "first")] for model in ("base", "student"))
    gain = paired_gain(base, student, comparisons=2)
    assert (line["base"], line["student"]) == (fmean(base), fmean(student))
    assert (line["gain"], line["low"], line["high"], line["p"]) == (gain.gain, gain.low, gain.high, gain.p)


def test_a_model_that_is_measured_is_not_measured_again(made: Path) -> None:
    before = measured(made)
    stamp = (made / "base.json").stat().st_mtime_ns
    (made / "step.log").unlink()
    assert measured(made) == before
    assert (made / "base.json").stat().st_mtime_ns == stamp
    assert not (made / "step.log").exists()


def write_results(folder: Path, name: str, values: dict[str, list[float]], **more: Any) -> Results:
    """Results as lm-eval writes them: a metric of a task (`task metric`), and its value for each question."""
    results: dict[str, Any] = {"groups": {}, "group_subtasks": {}, "higher_is_better": {}, "n-samples": {}}
    results["results"] = {}
    with (folder / f"{name}_samples.jsonl").open("w") as file:
        for key, numbers in values.items():
            task, metric = key.split()
            results["results"].setdefault(task, {})[f"{metric},none"] = fmean(numbers)
            results["results"][task][f"{metric}_stderr,none"] = "N/A"
            results["higher_is_better"].setdefault(task, {})[metric] = metric != "loss"
            results["n-samples"][task] = {"original": 2 * len(numbers), "effective": len(numbers)}
            for place, number in enumerate(numbers):
                sample = {"task": task, "doc_id": place, "doc_hash": f"{task}{place}", "filter": "none"}
                file.write(json.dumps({**sample, "metrics": [metric], metric: number}) + "\n")
    results.update(more)
    (folder / f"{name}.json").write_text(json.dumps(results))
    return Results.read(folder, name)


def compare(folder: Path, base: dict[str, list[float]], student: dict[str, list[float]], **more: Any) -> Any:
    return compared(write_results(folder, "base", base, **more), write_results(folder, "student", student, **more))


@pytest.mark.parametrize(
    ("student", "outcome"),
    [([1] * 40, "gained"), ([0] * 40, "lost"), ([1] * 22 + [0] * 18, "unclear")],
)
def test_a_gain_is_claimed_only_outside_its_interval(tmp_path: Path, student: list[float], outcome: str) -> None:
    (line,) = compare(tmp_path, {"sums acc": [1, 0] * 20}, {"sums acc": student})["comparisons"]
    assert line["outcome"] == outcome
    assert (line["low"] > 0, line["high"] < 0) == (outcome == "gained", outcome == "lost")


def test_what_is_a_gain_alone_is_none_among_twenty(tmp_path: Path) -> None:
    base, student = [1] * 30 + [0] * 30, [1] * 28 + [0] * 2 + [1] * 12 + [0] * 18
    alone = compare(tmp_path, {"sums acc": base}, {"sums acc": student})
    names = [f"task{n} acc" for n in range(20)]
    many = compare(tmp_path, dict.fromkeys(names, base), dict.fromkeys(names, student))
    assert [line["outcome"] for line in alone["comparisons"]] == ["gained"]
    assert {line["outcome"] for line in many["comparisons"]} == {"unclear"}
    assert (alone["confidence"], many["confidence"]) == pytest.approx((0.95, 0.9975))


@pytest.mark.parametrize(
    ("metric", "base", "student"),
    [
        ("perplexity", [7.1, 3.2], [6.5, 3.0]),  # not in 0..1
        ("loss", [0.2, 0.3], [0.1, 0.2]),  # less is better
        ("acc", [0, 1], [0, 1, 1]),  # not the same questions
    ],
)
def test_what_is_no_mean_of_shares_of_the_same_questions_is_not_compared(
    tmp_path: Path, metric: str, base: list[float], student: list[float]
) -> None:
    told = compare(tmp_path, {f"sums {metric}": base}, {f"sums {metric}": student})
    assert (told["comparisons"], told["not_compared"]) == ([], [f"sums {metric}"])


def test_a_metric_that_is_not_the_mean_of_its_answers_is_not_compared(tmp_path: Path) -> None:
    told = {"results": {"sums": {"f1,none": 0.9}}}
    assert compare(tmp_path, {"sums f1": [0, 1]}, {"sums f1": [1, 1]}, **told)["comparisons"] == []


def test_a_group_is_compared_as_one_over_the_questions_of_its_tasks(tmp_path: Path) -> None:
    group = {
        "results": {"group": {"acc,none": 0.6}, "one": {"acc,none": 0.5}, "two": {"acc,none": 2 / 3}},
        "group_subtasks": {"group": ["one", "inner"], "inner": ["two"]},
        "higher_is_better": {name: {"acc": True} for name in ("group", "one", "two")},
    }
    answers = {"one acc": [0, 1], "two acc": [0, 1, 1]}
    told = compare(tmp_path, answers, answers, **group)
    assert [(line["task"], line["n"], line["of"]) for line in told["comparisons"]] == [("group", 5, 10)]
    assert [row.task for row in Results.read(tmp_path, "base").scores("base")] == ["group", "one", "two"]


def test_the_tasks_of_a_group_without_metrics_are_compared_each(tmp_path: Path) -> None:
    answers = {"one acc": [0, 1], "two acc": [0, 1, 1]}
    told = compare(tmp_path, answers, answers, group_subtasks={"group": ["one", "two"]})
    assert [line["task"] for line in told["comparisons"]] == ["one", "two"]


def test_without_lm_eval_it_is_refused_before_anything_is_made(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lm_eval", None)
    with pytest.raises(UsageError, match=r"pip install 'cot-distill\[benchmarks\]'"):
        stage().outside(made)


@pytest.mark.parametrize(
    ("fields", "fact"),
    [
        ({"tasks": ("no_such_task",)}, "lm-eval has no task 'no_such_task'"),
        ({"tasks": ("tasks/none.yaml",)}, "no task file"),
        ({"tasks": ("first",), "include_path": "none"}, "no folder"),
    ],
)
def test_a_task_that_is_not_there_is_refused_before_anything_is_made(
    made: Path, fields: dict[str, Any], fact: str
) -> None:
    with pytest.raises(UsageError, match=fact):
        Benchmark(model="base", **fields).outside(made)


def test_the_record_holds_the_users_own_tasks(made: Path) -> None:
    named = Benchmark(model="base", tasks=("first", "tasks/second.yaml"), include_path="tasks").outside(made)
    assert set(named) == {"lm_eval", "model", "tasks/second.yaml", "tasks"}


@pytest.mark.long
def test_what_lm_eval_cannot_run_is_told_with_its_last_line(made: Path, tmp_path: Path) -> None:
    told = yaml.safe_load((made / "tasks" / "first.yaml").read_text())
    (tmp_path / "broken.yaml").write_text(yaml.safe_dump({**told, "test_split": "absent"}))
    broken = Benchmark(model=str(made / "base"), tasks=("broken.yaml",))
    with pytest.raises(StageError, match=r"lm-eval stopped: .*absent"):
        run(broken, [], work(tmp_path, uses={"student": made / "train"}))


@pytest.mark.long
def test_a_student_that_thinks_is_given_room_for_it_and_judged_by_what_comes_after(tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    write_tasks(tmp_path / "tasks")
    student = tiny_student.make(tmp_path / "train" / "model")
    tiny_student.make(tmp_path / "base")
    model, tokenizer = AutoModelForCausalLM.from_pretrained(student), AutoTokenizer.from_pretrained(student)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    thinking = tiny_student.example("t", "What is 4 + 1? The answer is", "<think>\nIt is 6.\n</think>\n5")
    text = encode(tokenizer, thinking)
    for _ in range(60):
        model(input_ids=torch.tensor([text.input_ids]), labels=torch.tensor([text.labels])).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.save_pretrained(student)
    told = yaml.safe_load((tmp_path / "tasks" / "alone.yaml").read_text())
    told["generation_kwargs"]["until"] = ["Question:"]
    (tmp_path / "tasks" / "alone.yaml").write_text(yaml.safe_dump(told))
    roomy = Benchmark(model="base", tasks=("tasks/alone.yaml",), max_new_tokens=60)
    run(roomy, [], work(tmp_path, uses={"student": tmp_path / "train"}))
    answers = samples(tmp_path, "student", "alone")
    assert [answer["resps"] for answer in answers] == [[["5"]]] * QUESTIONS
    assert sum(answer["exact_match"] for answer in answers) == 1


RECIPE = """
from pipeline.choices import Choices
from pipeline.recipe import Step
from pipeline.recipes import r1_distill
from stages.benchmark import Benchmark


def recipe(choices: Choices) -> list[Step]:
    tasks = ("tasks/alone.yaml", "group")
    benchmark = Benchmark(model=choices.student.model, tasks=tasks, include_path="tasks", num_fewshot=1)
    return [*r1_distill.recipe(choices), Step("benchmark", benchmark, uses={"student": "train"})]
"""


@pytest.mark.long
def test_a_users_own_recipe_runs_them_after_training(tmp_path: Path, teacher: FakeTeacher) -> None:
    project = Project(tmp_path / "mine", teacher.base_url, recipe="mine.py")
    (project.folder / "mine.py").write_text(RECIPE)
    write_tasks(project.folder / "tasks")
    tiny_student.make(project.folder / "student")
    project.set(train__epochs=1, evaluate__max_new_tokens=8)
    done = project.run_all()
    assert "tqdm" not in done.stderr and "loglikelihood" not in done.stderr
    rows = project.rows("benchmark")
    assert {row["id"] for row in rows if row["model"] == "student"} == {
        "alone/exact_match/student",
        "first/acc/student",
        "second/acc/student",
        "group/acc/student",
    }
    told = json.loads((project.folder / "outputs" / "one" / "benchmark" / "benchmarks.json").read_text())
    assert [(line["task"], line["n"]) for line in told["comparisons"]] == [("alone", 12), ("group", 24)]
    report = (project.folder / "outputs" / "one" / "report.html").read_text()
    assert "Standard benchmarks" in report and "cannot tell" in report
    assert "benchmark  kept" in project.run_all().stderr
