"""Choosing among trained students by a dev split."""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import StageError, UsageError
from pipeline.held_out import check_held_out
from pipeline.progress import Silent
from pipeline.recipe import Step
from pipeline.rows import Attempt, Dropped, Example, Problem
from pipeline.stage import Rows, Stage, Work
from pipeline.student import load
from pipeline.student.text import encode
from pipeline.weights import hash_of
from stages.choose import Choose, candidates_of, link
from stages.load import Load
from tests import tiny_student
from tests.made import problem, work

QUESTIONS = [f"What is {n} + 1?" for n in range(10)]


@pytest.fixture(scope="module")
def students(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Three that each learnt one answer to everything, and one that learnt nothing."""
    made = {name: tiny_student.make(tmp_path_factory.mktemp(name)) for name in ("five", "six", "seven", "none")}
    for name, answer in (("five", "5"), ("six", "6"), ("seven", "7")):
        _teach(made[name], answer)
    return made


def _teach(folder: Path, answer: str) -> None:
    import torch

    weights = load.find(str(folder), Path())
    model, tokenizer = load.load_model(weights, torch.float32), load.load_tokenizer(weights)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for question in QUESTIONS * 3:
        text = encode(tokenizer, tiny_student.example("t", question, f"It is {answer}."))
        model(input_ids=torch.tensor([text.input_ids]), labels=torch.tensor([text.labels])).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.save_pretrained(folder)


def trained(folder: Path, *epochs: Path, keeps: bool = True) -> Path:
    """The folder of a finished step `train`, and what it came to after each epoch."""
    for number, weights in enumerate(epochs if keeps else (), start=1):
        shutil.copytree(weights, folder / "epochs" / f"epoch-{number}")
    shutil.copytree(epochs[-1], folder / "model")
    steps = [{"step": place, "epoch": place / 2} for place in range(1, 2 * len(epochs) + 1)]
    (folder / "log.jsonl").write_text("".join(json.dumps(step) + "\n" for step in steps))
    return folder


def dev(fives: int, sixes: int, sevens: int) -> list[Problem]:
    answers = ["5"] * fives + ["6"] * sixes + ["7"] * sevens
    return [problem(f"p{n}", answer, QUESTIONS[n]) for n, answer in enumerate(answers)]


def chosen(folder: Path, problems: list[Problem], uses: dict[str, Path]) -> tuple[dict[str, Any], list[Attempt]]:
    folder.mkdir(exist_ok=True)
    rows = [row for row in stage().run(problems, work(folder, uses=uses)) if isinstance(row, Attempt)]
    return json.loads((folder / "scores.json").read_text()), rows


def stage() -> Choose:
    return Choose(max_new_tokens=8)


def test_the_candidate_that_answers_most_is_published_as_it_is(tmp_path: Path, students: Mapping[str, Path]) -> None:
    uses = {"one": trained(tmp_path / "low", students["five"]), "two": trained(tmp_path / "high", students["seven"])}
    scores, rows = chosen(tmp_path / "choose", dev(fives=2, sixes=0, sevens=4), uses)
    assert (scores["chosen"], scores["problems"]) == ("high", 6)
    assert [(one["name"], one["right"], round(one["accuracy"], 3)) for one in scores["candidates"]] == [
        ("high", 4, 0.667),
        ("low", 2, 0.333),
    ]
    assert all(one["low"] < one["accuracy"] < one["high"] for one in scores["candidates"])
    assert [(row.id, row.parent, row.found, row.right) for row in rows[::5]] == [
        ("p0/high", "p0", "7", False),
        ("p5/high", "p5", "7", True),
        ("p4/low", "p4", "5", False),
    ]
    assert sorted(path.name for path in (tmp_path / "choose").iterdir()) == ["model", "scores.json"]
    assert hash_of(tmp_path / "choose" / "model") == hash_of(tmp_path / "high" / "model")
    assert (tmp_path / "choose" / "model" / "model.safetensors").stat().st_nlink == 2


def test_every_epoch_that_was_kept_is_a_candidate_and_the_last_one_once(
    tmp_path: Path, students: Mapping[str, Path]
) -> None:
    first, second, third = students["six"], students["seven"], students["five"]
    step = trained(tmp_path / "train", first, second, third)
    names = [candidate.name for candidate in candidates_of([step])]
    assert names == ["train/epoch-1", "train/epoch-2", "train"]
    scores, _ = chosen(tmp_path / "choose", dev(fives=1, sixes=1, sevens=4), {"one": step})
    assert scores["chosen"] == "train/epoch-2"
    assert hash_of(tmp_path / "choose" / "model") == hash_of(second)


def test_of_equals_the_one_with_fewer_epochs_is_chosen_and_then_by_name(
    tmp_path: Path, students: Mapping[str, Path]
) -> None:
    five, seven, none = students["five"], students["seven"], students["none"]
    uses = {
        "c": trained(tmp_path / "c", none, five),
        "b": trained(tmp_path / "b", none, five, keeps=False),
        "a": trained(tmp_path / "a", none, none, seven),
    }
    for steps in (list(uses.values()), list(uses.values())[::-1]):
        names = [candidate.name for candidate in candidates_of(steps)]
        assert names == ["a/epoch-1", "c/epoch-1", "a/epoch-2", "b", "c", "a"]
    problems = dev(fives=3, sixes=0, sevens=3)
    assert chosen(tmp_path / "one", problems, uses)[0]["chosen"] == "b"
    assert chosen(tmp_path / "two", dev(0, 2, 0), {"a": uses["a"]})[0]["chosen"] == "a/epoch-1"


def test_a_killed_choice_goes_on_to_the_same_bytes(tmp_path: Path, students: Mapping[str, Path]) -> None:
    uses = {"one": trained(tmp_path / "low", students["five"]), "two": trained(tmp_path / "high", students["seven"])}
    problems = dev(2, 0, 4)
    _, whole = chosen(tmp_path / "whole", problems, uses)
    (tmp_path / "cut").mkdir()
    begun = stage().run(problems, work(tmp_path / "cut", uses=uses))
    assert next(begun) == whole[0]
    link(students["none"], tmp_path / "cut" / "model")  # as if it had ended while it published
    del begun
    count = Counted()
    plain = work(tmp_path / "cut", uses=uses)
    again = Work("step", plain.folder, plain.base, plain.teachers, count, plain.logs, uses)
    assert list(stage().run(problems, again)) == whole
    assert count.done == count.wanted == 12
    for name in ("scores.json", "model/model.safetensors"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


class Counted(Silent):
    """Remembers how far a step is."""

    def __init__(self) -> None:
        self.done, self.wanted = 0, 0

    def total(self, count: int) -> None:
        self.wanted = count

    def advance(self, count: int = 1) -> None:
        self.done += count


@pytest.mark.parametrize(
    ("problems", "steps", "told"),
    [
        ([], ["low"], "no dev problems"),
        ([problem("p", None)], ["low"], "dev problem p has no answer"),
        (dev(1, 0, 0), [], "no student to choose"),
        (dev(1, 0, 0), ["empty"], "empty has no trained student"),
    ],
)
def test_what_cannot_be_chosen_by_or_from_is_told(
    tmp_path: Path, students: Mapping[str, Path], problems: list[Problem], steps: list[str], told: str
) -> None:
    trained(tmp_path / "low", students["none"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(StageError, match=told):
        list(stage().run(problems, work(tmp_path, uses={name: tmp_path / name for name in steps})))


def test_where_no_links_can_be_made_the_weights_are_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(source: str, target: str) -> None:
        raise OSError("Invalid cross-device link")

    (tmp_path / "from" / "inner").mkdir(parents=True)
    (tmp_path / "from" / "inner" / "weights").write_bytes(b"1")
    monkeypatch.setattr(os, "link", refuses)
    link(tmp_path / "from", tmp_path / "to")
    assert (tmp_path / "to" / "inner" / "weights").read_bytes() == b"1"
    assert (tmp_path / "to" / "inner" / "weights").stat().st_nlink == 1


class Passing(Stage):
    """A stage between, that passes rows on."""

    reads = Problem
    writes = Problem

    def run(self, rows: Rows[Any], work: Work) -> Any:
        yield from rows


class Training(Stage):
    """What a step of training is to a recipe."""

    reads = Problem
    writes = Example
    shapes_student = True

    def run(self, rows: Rows[Any], work: Work) -> list[Example | Dropped]:  # type: ignore[override]
        return []


STEPS = [
    Step("heldout", Load(sources="e.jsonl", role="eval")),
    Step("dev", Load(sources="t.jsonl", role="dev", size=3), uses={"heldout": "heldout"}),
    Step("load", Load(sources="t.jsonl"), uses={"heldout": "heldout", "dev": "dev"}),
    Step("through", Passing(), rows=("load", "heldout")),
]


@pytest.mark.parametrize(
    ("step", "from_held_out"),
    [
        (Step("choose", Choose(), rows=("dev",), uses={"one": "train"}), False),
        (Step("choose", Choose(), rows=("heldout",), uses={"one": "train"}), True),
        (Step("choose", Choose(), rows=("dev", "through"), uses={"one": "train"}), True),
        (Step("train", Training(), rows=("load",), uses={"heldout": "heldout"}), False),
        (Step("train", Training(), rows=("through",)), True),
        (Step("through-again", Passing(), rows=("through",)), False),
    ],
)
def test_a_recipe_in_which_held_out_problems_shape_the_student_is_refused(step: Step, from_held_out: bool) -> None:
    if not from_held_out:
        check_held_out([*STEPS, step])
        return
    with pytest.raises(UsageError, match="'heldout', which are held out"):
        check_held_out([*STEPS, step])
