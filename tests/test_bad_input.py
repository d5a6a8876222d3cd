"""Bad input: a clear error, nothing lost, nothing paid."""

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.fake_teacher import FakeTeacher
from tests.project import Project


@pytest.fixture
def project(tmp_path: Path, teacher: FakeTeacher) -> Project:
    teacher.behave(fail_first=0, html=False)
    teacher.reset()
    return Project(tmp_path, teacher.base_url)


def lines(*texts: str) -> Callable[[Project], None]:
    return lambda project: (project.folder / "problems.jsonl").write_text("\n".join(texts) + "\n") and None


def choose(**choices: object) -> Callable[[Project], None]:
    def edit(project: Project) -> None:
        project.choices |= choices
        project.save()

    return edit


def key_wanted(project: Project) -> None:
    project.choices["teachers"]["main"]["key_env"] = "NO_SUCH_KEY"
    project.save()


GOOD = json.dumps({"question": "What is 1 + 1?", "answer": "2", "id": "a"})

CASES: list[tuple[str, Callable[[Project], None], int, str, str]] = [
    ("missing file", choose(data={"train": "none.jsonl", "eval": "heldout.jsonl"}), 2, "none.jsonl", ""),
    ("malformed line", lines(GOOD, "{oops"), 2, "problems.jsonl:2", ""),
    ("duplicate ids", lines(GOOD, GOOD.replace("1 + 1", "2 + 1")), 2, "problems.jsonl:2", "'a'"),
    ("empty question", lines(GOOD, '{"question": " ", "answer": "2"}'), 2, "problems.jsonl:2", "question"),
    ("unknown recipe", choose(recipe="r1-distil"), 2, "no recipe 'r1-distil'", "did you mean 'r1-distill'?"),
    ("unknown step", choose(set={"slove.samples": 2}), 2, "no step 'slove'", "did you mean 'solve'?"),
    ("unknown field", choose(set={"solve.sampels": 2}), 2, "no field 'sampels'", "did you mean 'samples'?"),
    ("wrong value", choose(set={"solve.samples": 0}), 2, "set: solve.samples", "greater than or equal to 1"),
    ("no key", key_wanted, 2, "NO_SUCH_KEY", "export NO_SUCH_KEY"),
]


@pytest.mark.parametrize(("edit", "status", "fact", "more"), [case[1:] for case in CASES], ids=[c[0] for c in CASES])
def test_a_mistake_is_told_before_anything_is_asked(
    project: Project, teacher: FakeTeacher, edit: Callable[[Project], None], status: int, fact: str, more: str
) -> None:
    edit(project)
    done = project.run_all("--until", "assemble", expect=status)
    assert done.stderr.startswith("error: ") or "\nerror: " in done.stderr
    assert fact in done.stderr
    assert more in done.stderr
    assert "Traceback" not in done.stderr
    assert teacher.count() == 0


def test_a_wrong_key_ends_the_run_and_the_right_one_goes_on(project: Project, teacher: FakeTeacher) -> None:
    project.choices["teachers"]["main"]["key_env"] = "FAKE_KEY"
    project.save()
    teacher.behave(fail_first=-1, fail_status=401)
    arguments = ("run", "all", "--config", "my.yaml", "--until", "assemble")
    done = project.run(*arguments, expect=1, extra={"FAKE_KEY": "sk-not-to-be-shown"})
    assert "FAKE_KEY" in done.stderr
    assert "sk-not-to-be-shown" not in done.stderr + done.stdout
    teacher.behave(fail_first=0)
    project.run(*arguments, extra={"FAKE_KEY": "sk-not-to-be-shown"})
    kept = b"".join(path.read_bytes() for path in (project.folder / "outputs").rglob("*") if path.is_file())
    assert b"sk-not-to-be-shown" not in kept


def test_a_server_that_answers_html_is_told_apart(project: Project, teacher: FakeTeacher) -> None:
    teacher.behave(html=True)
    done = project.run_all("--until", "assemble", expect=1)
    assert "text/html" in done.stderr
    assert "/v1" in done.stderr


def test_a_server_that_is_down_is_told_within_seconds(tmp_path: Path) -> None:
    with FakeTeacher() as gone:
        project = Project(tmp_path, gone.base_url)
    done = project.run_all("--until", "assemble", expect=1)
    assert "no answer from" in done.stderr


def test_a_second_runner_on_the_same_run_is_refused(project: Project, teacher: FakeTeacher) -> None:
    teacher.behave(answer_first=0)
    first = subprocess.Popen(
        project.command("run", "all", "--config", "my.yaml", "--until", "assemble"),
        cwd=project.folder,
        env=project.environment(),
        stderr=subprocess.DEVNULL,
    )
    try:
        teacher.wait_for(1)
        done = project.run_all("--until", "assemble", expect=2)
        assert f"error: run 'one', process {first.pid}, is under way\n" in done.stderr
    finally:
        teacher.behave(answer_first=None)
    assert first.wait() == 0


def test_two_runs_at_once_share_one_ledger_and_one_waits(project: Project, teacher: FakeTeacher) -> None:
    teacher.behave(answer_first=0)
    command = project.command("run", "all", "--config", "my.yaml", "--until", "assemble")
    options = {"cwd": project.folder, "env": project.environment(), "stderr": subprocess.PIPE, "text": True}
    first = subprocess.Popen(command, **options)  # type: ignore[call-overload]
    teacher.wait_for(1)
    second = subprocess.Popen([*command, "--run", "two"], **options)  # type: ignore[call-overload]
    waiting = ""
    while "wait" not in waiting:
        line = second.stderr.readline()
        assert line, waiting
        waiting += line
    assert "'one'" in waiting
    teacher.behave(answer_first=None)
    first.communicate()
    second.communicate()
    assert (first.returncode, second.returncode) == (0, 0)
    digests = [seen.digest for seen in teacher.requests()]
    assert len(digests) == len(set(digests))
    assert project.bytes_of("one") == project.bytes_of("two")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 40 MB; who may not mount one cannot run this."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40m", "none", disk], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip(f"cannot mount a tmpfs: {mounted.stderr.decode().strip()}")
    yield disk
    subprocess.run(["umount", disk], check=True)


def test_a_disk_that_is_nearly_full_is_told_before_anything_is_asked(small_disk: Path, teacher: FakeTeacher) -> None:
    teacher.behave(fail_first=0, html=False)
    teacher.reset()
    project = Project(small_disk, teacher.base_url)
    done = project.run_all("--until", "assemble", expect=1)
    assert "free" in done.stderr
    assert str(Path("outputs")) in done.stderr
    assert teacher.count() == 0
    subprocess.run(["mount", "-o", "remount,size=400m", small_disk], check=True)
    project.run_all("--until", "assemble")
