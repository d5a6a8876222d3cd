"""The commands as a user types them: what they print where, their exit status, how fast they are."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.fake_teacher import FakeTeacher
from tests.project import Project

HEAVY = ("torch", "transformers", "trl", "datasets", "openai", "math_verify", "reasoning_gym", "numpy", "jinja2")


@pytest.fixture
def project(tmp_path: Path, teacher: FakeTeacher) -> Project:
    teacher.reset()
    return Project(tmp_path, teacher.base_url)


def test_help_loads_nothing_heavy() -> None:
    code = f"import sys; import pipeline.__main__; print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_plan_counts_what_would_be_asked_and_asks_nothing(project: Project, teacher: FakeTeacher) -> None:
    done = project.run("plan", "--config", "my.yaml")
    assert "48 of 48 samples for 12 problems" in done.stdout
    assert "8 of 8 samples for 8 problems" in done.stdout
    assert teacher.count() == 0
    assert not (project.folder / "outputs" / "one" / "load").exists()

    project.run_all("--until", "assemble")
    project.set(solve__samples=6)
    done = project.run("plan", "--config", "my.yaml")
    assert "24 of 72 samples for 12 problems" in done.stdout
    assert "fields.samples: 4 -> 6" in done.stdout


def test_show_prints_rows_and_what_was_dropped(project: Project) -> None:
    project.run_all("--until", "assemble")
    shown = project.run("show", "check", "--run", "one", "-n", "1").stdout
    assert "text: " in shown
    assert "found: " in shown
    dropped = project.run("show", "check", "--run", "one", "--dropped", "wrong_answer").stdout
    assert "reason: wrong_answer" in dropped
    assert "The answer is" in dropped
    project.run_all(
        "--until", "assemble", "--set", "check.wrong_steps=drop", "--set", "filter.min_rationale_words=999", expect=1
    )
    anew = project.run("show", "filter", "--run", "one", "--dropped", "no_reasoning").stdout
    assert "filter is not finished" in anew
    wrong = project.run("show", "chekc", "--run", "one", expect=2)
    assert "did you mean 'check'?" in wrong.stderr


def test_recipes_are_listed_with_their_sources(project: Project) -> None:
    listed = project.run("recipes").stdout
    assert "r1-distill" in listed
    assert "arXiv:2501.12948" in listed


def test_status_tells_of_a_finished_run(project: Project) -> None:
    project.run_all("--until", "assemble")
    assert "assemble" in project.run("status", "--run", "one").stdout


def test_one_step_needs_its_inputs(project: Project) -> None:
    done = project.run("run", "check", "--config", "my.yaml", expect=2)
    assert "reads 'solve', which is not made" in done.stderr
    for step in ("heldout", "load", "solve", "check"):
        project.run("run", step, "--config", "my.yaml")
    assert project.rows("check")


def test_an_unknown_step_is_a_usage_error(project: Project) -> None:
    for arguments in (["--until", "assembel"], ["--redo", "assembel"]):
        assert "did you mean 'assemble'?" in project.run_all(*arguments, expect=2).stderr


def test_every_problem_and_sample_is_accounted_for(project: Project) -> None:
    import json

    project.run_all("--until", "assemble")
    run = project.folder / "outputs" / "one"
    for step in json.loads((run / "run.json").read_text())["steps"]:
        if not step["rows"] or not (run / step["name"]).is_dir():
            continue
        entered = {row["id"] for name in step["rows"] for row in project.rows(name)}
        dropped = [json.loads(line) for line in (run / step["name"] / "dropped.jsonl").read_text().splitlines()]
        left = {name for row in project.rows(step["name"]) for name in (row["id"], row["parent"])}
        lost = {name for row in dropped for name in (row["id"], row["parent"])}
        assert entered
        assert entered <= left | lost
        assert not {row["id"] for row in dropped} & left
