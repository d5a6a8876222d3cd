"""Evaluation, on tiny students of which one has learnt the answer."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from pipeline.errors import StageError
from pipeline.progress import Silent
from pipeline.stage import Reply, Request
from stages.evaluate import WRITTEN, Evaluate
from stages.train import Train
from tests import tiny_student
from tests.made import Script, problem, run, work

QUESTION = "What is 4 + 3 - 2?"
PROBLEMS = [problem(f"p{n}", answer="5" if n < 6 else "7", question=QUESTION) for n in range(8)]
DRAWN = {"samples": 3, "temperature": 1.5, "top_p": 0.9, "max_new_tokens": 6, "batch_size": 5}
KILLED_AT = """
import os, signal, sys
from pathlib import Path
from pipeline.progress import Silent
from pipeline.stage import Work
from stages.evaluate import Evaluate
from tests.made import Script
from tests.test_evaluate import DRAWN, PROBLEMS, teacher

class Killed(Silent):
    texts = 0
    def advance(self, count=1):
        self.texts += count
        if self.texts >= int(sys.argv[4]):
            os.kill(os.getpid(), signal.SIGKILL)

base, trained, folder = map(Path, sys.argv[1:4])
surroundings = Work("evaluate", folder, folder, Script(teacher), Killed(), folder, {"student": trained})
stage = Evaluate(model=str(base), teacher="main", teacher_prompt="teacher.txt", **DRAWN)
list(stage.run(PROBLEMS, surroundings))
"""


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
    timings = json.loads((tmp_path / "timings.json").read_text())
    assert list(timings) == ["teacher", "base", "base_few_shot", "student"]
    assert timings["student"]["by"] == "transformers, cpu, float32"
    assert timings["student"]["batch_size"] == 3
    assert timings["student"]["tokens_per_second"] > 0
    assert timings["student"]["peak_memory_bytes"] > 10_000_000
    assert timings["teacher"]["peak_memory_bytes"] is None
    assert timings["teacher"]["tokens_per_second"] is None  # they may all come from the ledger, in no time


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


def test_a_teachers_prompt_with_a_system_turn_is_put_to_a_base_whose_template_has_none(tmp_path: Path) -> None:
    refusal = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system turn') }}{% endif %}"
    base = tiny_student.make(tmp_path / "base", refusal + tiny_student.TEMPLATE)
    tiny_student.make(tmp_path / "train" / "model", refusal + tiny_student.TEMPLATE)
    (tmp_path / "turn.txt").write_text("<<system>>\nBe brief.\n<<user>>\n{{question}}\n")
    (tmp_path / "folded.txt").write_text("<<user>>\nBe brief.\n\n{{question}}\n")
    texts = []
    for name in ("turn.txt", "folded.txt"):
        stage = Evaluate(model=str(base), teacher="main", teacher_prompt=name, max_new_tokens=6)
        made, found = evaluated(stage, tmp_path, tmp_path / "train")
        assert "base_few_shot" in found["models"]
        texts.append([row.text for row in made if row.model == "base_few_shot"])
    assert texts[0] == texts[1]


@pytest.mark.parametrize("lost", ["refused", "teacher_error"])
def test_what_the_teacher_did_not_answer_counts_as_wrong(
    base: Path, trained: Path, tmp_path: Path, prompts: dict[str, Any], lost: str
) -> None:
    stage = Evaluate(model=str(base), teacher="main", max_new_tokens=2, **prompts)
    made, found = evaluated(stage, tmp_path, trained, lambda _: Reply(key="00", problem=lost, text="The answer is 5."))
    assert all((row.text, row.found, row.right) == ("", None, False) for row in made if row.model == "teacher")
    assert found["models"]["teacher"]["right"] == 0


@pytest.mark.parametrize(
    ("rows", "named"), [([], "no held-out problems"), ([problem("x", answer=None)], "problem x has no answer")]
)
def test_problems_that_cannot_be_judged_are_a_told_error(tmp_path: Path, rows: list[Any], named: str) -> None:
    with pytest.raises(StageError, match=named):
        run(Evaluate(model="embedded"), rows, work(tmp_path))


def test_a_teacher_without_a_prompt_is_refused() -> None:
    with pytest.raises(ValidationError, match="a teacher needs teacher_prompt"):
        Evaluate(model="embedded", teacher="main")


@pytest.mark.parametrize(
    ("fields", "named"),
    [({"samples": 4}, "4 samples at temperature 0 are all alike"), ({"top_p": 0.9}, "top_p without a temperature")],
)
def test_fields_that_would_change_nothing_are_refused(fields: dict[str, Any], named: str) -> None:
    with pytest.raises(ValidationError, match=named):
        Evaluate(model="embedded", **fields)


def test_several_samples_of_all_models_are_drawn_at_one_temperature_and_counted_by_problem(
    base: Path, trained: Path, tmp_path: Path, prompts: dict[str, Any]
) -> None:
    stage = Evaluate(model=str(base), teacher="main", **DRAWN, **prompts)
    asked: list[Request] = []

    def in_turn(request: Request) -> Reply:
        asked.append(request)
        return Reply(key="00", text="The answer is 5." if request.index != 1 else "The answer is 7.", tokens=9)

    made, found = evaluated(stage, tmp_path, trained, in_turn)
    assert [(row.id, row.parent, row.sample) for row in made][3:7] == [
        ("p1/teacher/0", "p1", 0),
        ("p1/teacher/1", "p1", 1),
        ("p1/teacher/2", "p1", 2),
        ("p2/teacher/0", "p2", 0),
    ]
    assert [(request.index, request.temperature, request.top_p) for request in asked[:4]] == [
        (0, 1.5, 0.9),
        (1, 1.5, 0.9),
        (2, 1.5, 0.9),
        (0, 1.5, 0.9),
    ]
    taught = found["models"]["teacher"]
    assert (taught["n"], taught["right"], taught["accuracy"]) == (8, 14, pytest.approx(14 / 24))
    assert taught["majority"]["accuracy"] == 0.75
    assert taught["low"] < taught["accuracy"] < taught["high"]
    assert found["samples"] == 3
    assert found["gain"]["p"] is None
    assert found["to_teacher"]["gain"] == pytest.approx(
        found["models"]["student"]["accuracy"] - found["models"]["teacher"]["accuracy"]
    )
    drawn = {name: [row.text for row in made if row.model == name] for name in ("base", "student")}
    assert len(set(drawn["base"])) > 12


def test_each_sample_has_the_same_text_whatever_the_batch_size_and_the_order_of_the_problems(
    base: Path, trained: Path, tmp_path: Path
) -> None:
    def texts(problems: list[Any], **over: int) -> dict[str, str]:
        stage = Evaluate(model=str(base), **{**DRAWN, **over})
        rows = run(stage, problems, work(tmp_path, uses={"student": trained}))
        return {row.id: row.text for row in rows}  # type: ignore[union-attr]

    all_texts = texts(PROBLEMS[:4])
    assert texts(PROBLEMS[3::-1], batch_size=64) == all_texts
    assert texts(PROBLEMS[2:4], batch_size=1).items() <= all_texts.items()
    assert not texts(PROBLEMS[2:4], seed=1).items() <= all_texts.items()


def test_several_eval_sets_are_scored_apart_and_together(base: Path, trained: Path, tmp_path: Path) -> None:
    rows = [row.model_copy(update={"source": "sevens" if row.answer == "7" else "fives"}) for row in PROBLEMS]
    run(Evaluate(model=str(base), max_new_tokens=12), rows, work(tmp_path, uses={"student": trained}))
    found = json.loads((tmp_path / "scores.json").read_text())
    assert {name: (of["problems"], of["gain"]["gain"], of["gain"]["proven"]) for name, of in found["sets"].items()} == {
        "fives": (6, 1.0, True),
        "sevens": (2, 0.0, False),
    }
    assert found["gain"]["gain"] == 0.75


class Heard(Silent):
    def __init__(self) -> None:
        self.done = 0
        self.wanted = 0

    def total(self, count: int) -> None:
        self.wanted = count

    def advance(self, count: int = 1) -> None:
        self.done += count


def drawn_in(folder: Path, base: Path, trained: Path) -> tuple[list[str], dict[str, bytes], int]:
    """The rows, the files that are the same whatever happened, and the texts that the progress counted."""
    (folder / "teacher.txt").write_text("<<user>>\nWhat is 1 + 1?\n<<assistant>>\n2\n<<user>>\n{{question}}\n")
    stage = Evaluate(model=str(base), teacher="main", teacher_prompt="teacher.txt", **DRAWN)
    heard = Heard()
    surroundings = dataclasses.replace(work(folder, teacher, {"student": trained}), progress=heard)
    rows = [row.model_dump_json() for row in run(stage, PROBLEMS, surroundings)]
    assert heard.wanted == heard.done + len(PROBLEMS)  # a real door counts the problems that the teacher is asked
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["scores.json", "teacher.txt", "timings.json"]
    return rows, {name: (folder / name).read_bytes() for name in names if name != "timings.json"}, heard.done


@pytest.fixture(scope="module")
def undisturbed(base: Path, trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return drawn_in(tmp_path_factory.mktemp("undisturbed"), base, trained)


@pytest.mark.parametrize("texts", [30, 70])
def test_an_evaluation_killed_by_sigkill_goes_on_and_ends_with_the_same_bytes(
    base: Path, trained: Path, undisturbed: Any, tmp_path: Path, texts: int
) -> None:
    (tmp_path / "teacher.txt").write_text("<<user>>\nWhat is 1 + 1?\n<<assistant>>\n2\n<<user>>\n{{question}}\n")
    root = Path(__file__).resolve().parent.parent
    command = [sys.executable, "-c", KILLED_AT, str(base), str(trained), str(tmp_path), str(texts)]
    ended = subprocess.run(command, cwd=root, env={**os.environ, "PYTHONPATH": str(root)}, stderr=subprocess.PIPE)
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
    written = {path.stem: path for path in (tmp_path / WRITTEN).glob("*.jsonl")}
    assert len(written) == 3 + (texts > 48)
    for torn in written.values():
        torn.write_bytes(torn.read_bytes() + b'{"number": 23, "text": "half')
    assert drawn_in(tmp_path, base, trained) == undisturbed


def test_what_is_whole_is_not_written_again(
    base: Path, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Evaluate(model=str(base), max_new_tokens=4)
    kept = stage.run(PROBLEMS, work(tmp_path, uses={"student": trained}))
    first = [next(kept) for _ in range(9)]  # the student's first: all is written
    gone = work(tmp_path, uses={"student": tmp_path / "gone"})
    assert [row.id for row in run(stage, PROBLEMS, gone)][:9] == [row.id for row in first]  # type: ignore[union-attr]


@pytest.mark.gpu
def test_vllm_and_transformers_write_the_same_texts(base: Path, trained: Path, tmp_path: Path) -> None:
    pytest.importorskip("vllm")
    from pipeline.student import load
    from pipeline.student.answering.generate import Limits
    from pipeline.student.answering.sampling import Sampling
    from pipeline.student.answering.writer import Backend, backend_of, load_writer
    from pipeline.student.answering.written import Written
    from pipeline.student.text import encode_prompt

    weights = load.Weights(str(trained / "model"))
    assert backend_of([weights]) == "vllm"
    backends: list[Backend] = ["vllm", "transformers"]
    texts: dict[str, Any] = {}
    for backend in backends:
        writer = load_writer(weights, backend, 4, Silent())
        prompts = [encode_prompt(writer.tokenizer, tiny_student.example("p", QUESTION, "").prompt)] * 4
        for name, sampling in (("greedy", None), ("drawn", Sampling(1.5, 0.9, [1, 2, 3, 1]))):
            written = Written(tmp_path / backend / f"{name}.jsonl", 4, backend)
            writer.write(prompts, Limits(12, ("is 5",)), sampling, written)
            texts[f"{backend} {name}"] = list(written)
        writer.close()
    assert texts["vllm greedy"] == texts["transformers greedy"]
    drawn = texts["vllm drawn"]
    assert drawn[0] == drawn[3]
    assert len({text.text for text in drawn}) > 1
