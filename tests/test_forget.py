"""A source and everything made from it are removed, and nothing else."""

import copy
import json
import shutil
import signal
import sqlite3
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

from pipeline.forget import Questions
from pipeline.ledger_commands import export, import_
from pipeline.lock import hold
from tests.fake_teacher import FakeTeacher
from tests.project import SUMS, Project, gold

HERE, THERE = SUMS[:6], SUMS[6:12]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, teacher: FakeTeacher) -> Project:
    """A finished data set of two sources; the prompt has a question of one of them as its example."""
    teacher.behave(right_share=1.0)
    project = Project(tmp_path_factory.mktemp("made"), teacher.base_url)
    project.write("here.jsonl", [{"question": q, "answer": gold(q)} for q in HERE])
    project.write("there.jsonl", [{"question": q, "answer": gold(q)} for q in THERE])
    (project.folder / "own.txt").write_text(
        f"<<user>>\nQ: {HERE[0]}\nA: {gold(HERE[0])}\n\nQ: {{{{question}}}}\nReason step by step.\n"
    )
    project.choices["data"]["train"] = ["here.jsonl", "there.jsonl"]
    project.choices["teachers"]["main"]["price"] = {"input": 0.5, "output": 2.0}
    project.set(solve__samples=2, solve__prompt="own.txt")
    project.run_all("--until", "assemble")
    return project


@pytest.fixture
def project(made: Project, tmp_path: Path) -> Project:
    """The same in a folder of its own."""
    project = copy.deepcopy(made)
    project.folder = tmp_path / "project"
    shutil.copytree(made.folder, project.folder)
    return project


def bodies(project: Project) -> list[str]:
    """Everything that the ledger holds of requests and replies."""
    with sqlite3.connect(project.folder / "outputs" / "ledger.sqlite") as ledger:
        found = ledger.execute("SELECT body FROM requests UNION ALL SELECT body FROM replies").fetchall()
    ledger.close()
    return [zlib.decompress(body).decode() for (body,) in found]


def asks(project: Project, question: str) -> int:
    """In how many requests the question is the last one."""
    return sum(f"Q: {question}\\nReason" in body for body in bodies(project))


def spent(project: Project) -> list[str]:
    """Requests, tokens and cost, as `ledger stats` tells them."""
    words = project.run("ledger", "stats", "--config", "my.yaml").stdout.splitlines()[1].split()
    return [words[2], *words[4:6]]


def lost_by(out: str) -> list[str]:
    """What the run loses, in order."""
    (line,) = [line for line in out.splitlines() if line.startswith("outputs/one: ")]
    return line.removeprefix("outputs/one: ").split(", ")


def test_without_yes_it_tells_what_would_go_and_leaves_it(project: Project) -> None:
    before = project.bytes_of()
    out = project.run("forget", "--source", "here.jsonl").stdout
    assert out.splitlines()[0] == "source here.jsonl: 6 questions"
    assert lost_by(out)[:2] == ["load", "solve"]
    assert lost_by(out)[-3:] == ["assemble", "report.html", "funnel.json"]
    assert "6 requests with 12 samples" in out
    assert "python -m pipeline forget --source here.jsonl --yes" in out
    assert project.bytes_of() == before
    assert all(asks(project, question) == 1 for question in SUMS[:12])


def test_a_source_goes_with_all_that_was_made_of_it_and_the_rebuild_asks_nothing_again(
    project: Project, teacher: FakeTeacher
) -> None:
    costs, asked = spent(project), teacher.count()
    out = project.run("forget", "--source", "here.jsonl", "--yes").stdout
    run = project.folder / "outputs" / "one"
    assert sorted(path.name for path in run.iterdir()) == [
        "heldout",
        "lock",
        "logs",
        "progress.json",
        "run.json",
        "usage.json",
    ]
    assert [asks(project, question) for question in HERE] == [0] * 6
    assert [asks(project, question) for question in THERE] == [1] * 6
    assert spent(project) == costs
    assert "run one still names it under data.train" in out
    assert "python -m pipeline run all --config FILE --run one" in out

    project.choices["data"]["train"] = "there.jsonl"
    project.save()
    project.run_all("--until", "assemble")
    assert teacher.count() == asked
    assert {row["source"] for row in project.rows("assemble")} == {"there.jsonl"}
    assert (
        "no run under outputs has the source 'here.jsonl'"
        in project.run("forget", "--source", "here.jsonl", expect=2).stderr
    )


def test_the_bytes_are_gone_from_the_ledger_s_files(project: Project) -> None:
    outputs = project.folder / "outputs"
    with sqlite3.connect(outputs / "ledger.sqlite") as ledger:
        (stored,) = ledger.execute("SELECT body FROM requests ORDER BY id LIMIT 1").fetchone()
    ledger.close()
    copy = outputs / "ledger.sqlite.version-1"
    copy.write_bytes((outputs / "ledger.sqlite").read_bytes())
    assert any(stored in path.read_bytes() for path in outputs.glob("ledger.sqlite*"))
    project.run("forget", "--source", "here.jsonl", "--yes")
    assert not any(stored in path.read_bytes() for path in outputs.glob("ledger.sqlite*"))
    assert not copy.exists()


@pytest.mark.long
def test_replies_of_a_step_that_was_not_finished_and_of_rows_that_are_gone_go_too(project: Project) -> None:
    project.write("here.jsonl", [{"question": q, "answer": gold(q)} for q in [*HERE, SUMS[20]]])
    project.choices["budget_requests"] = 13
    project.set(solve__samples=4)
    project.run_all("--until", "assemble", expect=1)
    run = project.folder / "outputs" / "one"
    assert (run / "solve.part").is_dir()
    out = project.run("forget", "--source", "here.jsonl", "--yes").stdout
    assert not list(run.glob("solve*"))
    assert [asks(project, question) for question in [*HERE, SUMS[20]]] == [0] * 7
    assert lost_by(out)[:3] == ["load", "solve.part", "solve"]


@pytest.mark.long
def test_what_rows_of_another_source_were_made_of_stays(project: Project, teacher: FakeTeacher) -> None:
    project.write("same.jsonl", [{"question": q, "answer": gold(q)} for q in HERE[:2]])
    project.choices["data"]["train"] = "same.jsonl"
    project.save()
    project.run_all("--until", "assemble", "--run", "two")
    asked = teacher.count()
    before = project.bytes_of("two")
    out = project.run("forget", "--source", "here.jsonl", "--yes").stdout
    assert "2 requests stay, because rows of other sources were made of them too" in out
    assert [asks(project, question) for question in HERE[:3]] == [1, 1, 0]
    assert project.bytes_of("two") == before
    project.run_all("--until", "assemble", "--run", "two", "--redo", "solve")
    assert teacher.count() == asked


def test_a_held_out_source_goes_with_what_it_was_measured_by(project: Project) -> None:
    out = project.run("forget", "--source", "heldout.jsonl").stdout
    assert lost_by(out)[:3] == ["heldout", "load", "solve"]


def test_a_removal_that_was_killed_is_finished_by_the_next(project: Project) -> None:
    run = project.folder / "outputs" / "one"
    (run / "assemble").rename(run / "assemble.forgotten")
    (run / "assemble.forgotten" / "rows.jsonl").unlink()
    with (run / "check" / "rows.jsonl").open("a") as file:
        file.write('{"id": "x", "parent": null, "question": "half a line?", "source": "here.jsonl", "li')
    project.run("forget", "--source", "here.jsonl", "--yes")
    assert not list(run.glob("*.forgotten"))
    assert not (run / "check").exists()
    again = project.run("forget", "--source", "here.jsonl", "--yes").stdout
    assert again.startswith("source here.jsonl: 0 questions\n")
    assert "0 requests with 0 samples" in again


DYING = """
import os, signal, sys
from pipeline.__main__ import main

left = int(sys.argv.pop(1))

def count(event, arguments):
    global left
    if event in ("os.rename", "os.remove", "os.rmdir", "sqlite3.connect", "fcntl.flock"):
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(count)
main()
"""
"""The command line in a process that dies before its n-th change of a file."""


@pytest.mark.long
def test_killed_before_any_change_of_a_file_it_is_finished_by_the_next(project: Project, tmp_path: Path) -> None:
    command = [sys.executable, "-c", DYING]
    arguments = ["forget", "--source", "here.jsonl", "--yes"]
    whole = project.folder
    status, moment = -signal.SIGKILL, 0
    while status == -signal.SIGKILL:
        moment += 3
        project.folder = tmp_path / f"moment-{moment}"
        shutil.copytree(whole, project.folder)
        status = subprocess.run(
            [*command, str(moment), *arguments],
            cwd=project.folder,
            env=project.environment(),
            stdout=subprocess.DEVNULL,
            check=False,
        ).returncode
        project.run(*arguments)
        run = project.folder / "outputs" / "one"
        assert sorted(path.name for path in run.glob("*/")) == ["heldout", "logs"], moment
        assert [asks(project, question) for question in HERE] == [0] * 6, moment
        assert [asks(project, question) for question in THERE] == [1] * 6, moment
    assert status == 0
    assert moment > 30


def test_a_run_under_way_keeps_a_source_from_being_removed(project: Project) -> None:
    before = project.bytes_of()
    with hold(project.folder / "outputs" / "one" / "lock", "run 'one'"):
        assert "run 'one', process " in project.run("forget", "--source", "here.jsonl", "--yes", expect=2).stderr
    assert project.bytes_of() == before
    assert asks(project, HERE[0]) == 1


def test_an_unknown_source_is_told_with_the_nearest(project: Project) -> None:
    stopped = project.run("forget", "--source", "her.jsonl", "--yes", expect=2)
    assert "no run under outputs has the source 'her.jsonl'" in stopped.stderr
    assert "did you mean 'here.jsonl'?" in stopped.stderr


def test_a_ledger_without_the_source_is_exported_and_imported_as_any_other(project: Project, tmp_path: Path) -> None:
    project.run("forget", "--source", "here.jsonl", "--yes")
    export(project.folder / "outputs", tmp_path / "out.jsonl", None)
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert sum("key" in line for line in lines) == 12
    costs = spent(project)
    elsewhere = Project(tmp_path / "elsewhere", project.choices["teachers"]["main"]["base_url"])
    for _ in range(2):
        import_(elsewhere.folder / "outputs", tmp_path / "out.jsonl", "")
    assert spent(elsewhere)[:2] == costs[:2]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Q: What is 4 + 3 - 2?\nA: 5\nQ: What is 1 + 1?", "What is 1 + 1?"),
        ("What is 1 + 1? What is 4 + 3 - 2?", "What is 4 + 3 - 2?"),
        ("问题：多少？", "多少？"),
        ("What is 4 + 3 - 3?", None),
        ("", None),
    ],
)
def test_a_text_asks_the_question_that_stands_last(text: str, expected: str | None) -> None:
    assert Questions(["What is 4 + 3 - 2?", "What is 1 + 1?", "多少？"]).last_in(text) == expected
