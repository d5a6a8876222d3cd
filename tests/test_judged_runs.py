"""What decides right and wrong in a run beside our own rules: a function of the user's own, and tests of code."""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.project import Project

OPPOSITES = """
PAIRS = {"warm": "cold", "up": "down"}

def opposite(text, answer):
    said = text.rpartition(" ")[2].strip(".")
    return None if said == "unsure" else PAIRS.get(answer) == said
"""


def project_of(folder: Path, problems: list[dict[str, Any]], **source: Any) -> Project:
    """A project whose teacher is a file with the `completions` of its problems."""
    project = Project(folder, "http://127.0.0.1:9/v1", data={"train": {"path": "p.jsonl", **source}, "eval": "e.jsonl"})
    project.write("p.jsonl", [{key: row[key] for key in row if key != "completions"} for row in problems])
    project.write("e.jsonl", [{"question": "What is held out?", "answer": "this"}])
    project.write("replies.jsonl", [{key: row[key] for key in ("question", "completions")} for row in problems])
    project.choices["teachers"] = {"main": {"recorded": "replies.jsonl"}}
    project.set(solve__samples=2)
    return project


def test_a_function_of_the_users_own_decides_and_an_edit_of_it_decides_anew(tmp_path: Path) -> None:
    problems = [
        {"question": "The opposite of warm?", "answer": "warm", "completions": ["Think. It is cold.", "It is warm."]},
        {"question": "The opposite of up?", "answer": "up", "completions": ["It is down.", "I am unsure."]},
    ]
    project = project_of(tmp_path, problems, judge="mine.py:opposite")
    (tmp_path / "mine.py").write_text(OPPOSITES)
    project.run_all("--until", "check")
    verdicts = [(row["text"], row["verdict"]) for row in project.rows("check")]
    assert verdicts == [
        ("Think. It is cold.", "right"),
        ("It is down.", "right"),
        ("I am unsure.", "unverifiable"),
    ]

    (tmp_path / "mine.py").write_text(OPPOSITES.replace('"down"', '"left"'))
    told = project.run_all("--until", "check").stderr
    assert "load: outside.mine.py:opposite:" in told
    assert [row["text"] for row in project.rows("check")] == ["Think. It is cold.", "I am unsure."]


def test_a_judge_that_is_not_there_is_told_before_anything_is_asked(tmp_path: Path) -> None:
    project = project_of(tmp_path, [{"question": "Q?", "completions": ["A."]}], judge="mine.py:oposite")
    assert "mine.py" in project.run_all(expect=2).stderr
    (tmp_path / "mine.py").write_text(OPPOSITES)
    told = project.run_all(expect=2).stderr
    assert "has no function 'oposite'" in told
    assert "did you mean 'opposite'?" in told


@pytest.mark.skipif(
    shutil.which("bwrap") is None and os.environ.get("CI") != "true", reason="bubblewrap is not installed"
)
def test_code_is_kept_where_it_passes_its_tests(tmp_path: Path) -> None:
    right = "I add them.\n```python\ndef add(a, b):\n    return a + b\n```"
    wrong = "I take one away.\n```python\ndef add(a, b):\n    return a - b\n```"
    echo = "It reads and doubles.\n```python\nprint(2 * int(input()))\n```"
    problems = [
        {"question": "Write add(a, b).", "tests": ["assert add(2, 3) == 5"], "completions": [wrong, right]},
        {"question": "Double it.", "tests": [{"input": "4", "output": "8"}], "completions": [echo, "I cannot tell."]},
    ]
    project = project_of(tmp_path, problems)
    project.run_all("--until", "check")
    assert [(row["text"], row["verdict"], row["pass_rate"]) for row in project.rows("check")] == [
        (right, "right", 0.5),
        (echo, "right", 0.5),
    ]


def test_without_a_sandbox_code_is_refused_before_anything_is_asked(tmp_path: Path) -> None:
    project = project_of(tmp_path, [{"question": "Q?", "tests": ["assert f() == 1"], "completions": ["A."]}])
    (tmp_path / "bin").mkdir()
    told = project.run("run", "all", "--config", "my.yaml", expect=1, extra={"PATH": str(tmp_path / "bin")}).stderr
    assert "bubblewrap" in told
    assert not (tmp_path / "outputs" / "one" / "solve").exists()
