"""Every problem and every sample of a run ends in exactly one state."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import StageError
from pipeline.funnel import Ends, Funnel, check_losses, funnel_of
from pipeline.record import Counts, Record
from pipeline.report.files import RunFiles
from tests.fake_teacher import FakeTeacher
from tests.project import Project

STAR = [
    ("load", "load", []),
    ("solve", "solve", ["load"]),
    ("check", "check", ["solve"]),
    ("rationalize", "rationalize", ["load"]),
    ("check-hinted", "check", ["rationalize"]),
    ("filter", "filter", ["check", "check-hinted"]),
    ("assemble", "assemble", ["filter"]),
    ("train", "train", ["assemble"]),
]
PLAIN = [
    ("load", "load", []),
    ("solve", "solve", ["load"]),
    ("check", "check", ["solve"]),
    ("assemble", "assemble", ["check"]),
]


class Made:
    """A run's folder, to which steps are added one after another."""

    def __init__(self, folder: Path, steps: Sequence[tuple[str, str, list[str]]]) -> None:
        self.folder = folder
        self.steps = {name: (stage, rows) for name, stage, rows in steps}
        told = [{"name": name, "stage": stage, "rows": rows} for name, stage, rows in steps]
        (folder / "run.json").write_text(json.dumps({"steps": told}))

    def add(self, name: str, rows: Sequence[str], dropped: Sequence[str] = (), record: bool = True) -> None:
        """Add a step by what it wrote, `id < parent`, and what it dropped, `id < parent: reason`."""
        stage, inputs = self.steps[name]
        lost = [dict(zip(("row", "reason"), one.split(": "), strict=True)) for one in dropped]
        counts = Counts(
            entered=0,
            carried=0,
            written=len(rows),
            dropped={one["reason"]: [other["reason"] for other in lost].count(one["reason"]) for one in lost},
        )
        made = Record(
            step=name,
            stage=stage,
            version=1,
            fields={},
            inputs={step: f"hash of {step}" for step in inputs},
            output=f"hash of {name}",
            counts=counts,
        )
        self.write(name, "rows.jsonl", [identity(row) for row in rows])
        self.write(name, "dropped.jsonl", [{**identity(one["row"]), "reason": one["reason"]} for one in lost])
        (self.folder / name / "record.json").write_text(made.model_dump_json())

    def write(self, step: str, file: str, rows: list[dict[str, Any]]) -> None:
        """Write the rows of one file."""
        (self.folder / step).mkdir(exist_ok=True)
        (self.folder / step / file).write_text("".join(json.dumps(row) + "\n" for row in rows))

    def funnel(self) -> Funnel:
        """The funnel of what is there, held to its sums."""
        found = funnel_of(RunFiles.read(self.folder))
        assert found is not None
        for ends in (found.problems, found.samples):
            assert ends.entered == ends.in_data_set + ends.open + sum(ends.lost_at(step) for step in ends.lost)
        return found


def identity(told: str) -> dict[str, Any]:
    name, _, parent = told.partition(" < ")
    return {"id": name, "parent": parent or None}


def ends(entered: int, in_data_set: int, open_: int = 0, **lost: dict[str, int]) -> Ends:
    return Ends(
        entered=entered,
        in_data_set=in_data_set,
        open=open_,
        lost={step.replace("_", "-"): reasons for step, reasons in lost.items()},
    )


def star(folder: Path) -> Made:
    """Up to the first check: a was solved, b was not, c has no gold, d asks what a asks."""
    made = Made(folder, STAR)
    made.add("load", ["a", "b", "c"], ["d: duplicate_question"])
    made.add("solve", ["a/0 < a", "b/0 < b", "c/0 < c"])
    made.add("check", ["a/0 < a"], ["b/0: wrong_answer", "c/0: no_answer"])
    return made


def test_a_sample_that_was_dropped_is_no_loss_while_another_step_reads_its_problem(tmp_path: Path) -> None:
    made = star(tmp_path)
    assert made.funnel().problems == ends(4, 0, 3, load={"duplicate_question": 1})
    assert made.funnel().samples == ends(3, 0, 1, check={"wrong_answer": 1, "no_answer": 1})
    assert made.funnel().loaded == 3

    made.add("rationalize", ["b/hint-0 < b"], ["a: already_solved", "c: no_gold"])
    assert made.funnel().problems == ends(4, 0, 2, load={"duplicate_question": 1}, rationalize={"no_gold": 1})

    made.add("check-hinted", ["b/hint-0 < b"])
    made.add("filter", ["b/hint-0 < b"], ["a/0: repetition"])
    made.add("assemble", ["b/hint-0 < b"])
    done = made.funnel()
    assert done.problems == ends(
        4, 1, load={"duplicate_question": 1}, rationalize={"no_gold": 1}, filter={"repetition": 1}
    )
    assert done.samples == ends(4, 1, check={"wrong_answer": 1, "no_answer": 1}, filter={"repetition": 1})
    assert (done.examples, done.loading) == (1, ("load",))


def test_two_rows_of_one_sample_are_one_sample_and_one_that_was_never_made_is_one_too(tmp_path: Path) -> None:
    made = Made(tmp_path, PLAIN)
    made.add("load", ["a", "b"])
    made.add("solve", ["a/0 < a"], ["a/1 < a: refused", "b/0 < b: teacher_error"])
    made.add("check", ["a/0 < a"])
    made.add("assemble", ["a/0/label < a/0", "a/0/rationale < a/0"])
    assert made.funnel().samples == ends(3, 1, solve={"refused": 1, "teacher_error": 1})
    assert made.funnel().problems == ends(2, 1, solve={"teacher_error": 1})
    assert made.funnel().examples == 2


@pytest.mark.parametrize(
    ("reasons", "told"),
    [
        (["wrong_answer", "wrong_answer", "cut_off"], "wrong_answer"),
        (["cut_off", "wrong_answer", "wrong_answer"], "wrong_answer"),
        (["cut_off", "wrong_answer"], "cut_off"),
    ],
)
def test_a_problem_is_lost_for_what_most_of_its_samples_were_dropped_for(
    tmp_path: Path, reasons: list[str], told: str
) -> None:
    made = Made(tmp_path, PLAIN)
    made.add("load", ["a", "b"])
    made.add("solve", ["b/0 < b", *(f"a/{index} < a" for index in range(len(reasons)))], ["a/9 < a: refused"])
    made.add("check", ["b/0 < b"], [f"a/{index}: {reason}" for index, reason in enumerate(reasons)])
    assert made.funnel().problems == ends(2, 0, 1, check={told: 1})


def test_rows_that_do_not_reconcile_are_a_bug(tmp_path: Path) -> None:
    made = Made(tmp_path, PLAIN)
    made.add("load", ["a"])
    made.add("solve", ["a/0 < a", "x/0 < x"])
    with pytest.raises(RuntimeError, match="'solve' has a row 'x/0', made of 'x', that leads to no problem"):
        made.funnel()
    made.add("solve", ["a/0 < a", "a/1 < a"])
    made.add("check", ["a/0 < a"])
    with pytest.raises(RuntimeError, match="1 problems or samples ended nowhere"):
        made.funnel()
    made.write("check", "rows.jsonl", [identity("a/0 < a"), identity("a/1 < a")])
    with pytest.raises(RuntimeError, match=r"check holds 2 rows and dropped \{\}; its record says"):
        made.funnel()


def test_a_run_without_a_data_set_has_no_funnel(tmp_path: Path) -> None:
    made = Made(tmp_path, PLAIN[:2])
    made.add("load", ["a"])
    assert funnel_of(RunFiles.read(tmp_path)) is None
    assert funnel_of(RunFiles.read(tmp_path / "nowhere")) is None


def test_a_step_may_lose_its_share_of_the_loaded_problems_and_no_more(tmp_path: Path) -> None:
    made = star(tmp_path)
    made.add("rationalize", ["b/hint-0 < b"], ["a: already_solved", "c: no_gold"])
    check_losses(made.funnel(), "one", 0.34)
    with pytest.raises(StageError) as caught:
        check_losses(made.funnel(), "one", 0.33)
    assert caught.value.fact == (
        "step 'rationalize' left nothing of 1 of 3 problems, 33.3%; max_loss_share allows 33.0%; 1 of them were lost "
        "as no_gold"
    )
    assert "python -m pipeline show rationalize --run one --dropped no_gold" in (caught.value.hint or "")


def test_a_run_that_lost_too_much_stops_until_the_limit_is_raised_and_pays_for_nothing_twice(
    tmp_path: Path, teacher: FakeTeacher
) -> None:
    teacher.reset()
    teacher.behave(right_share=0.5)
    project = Project(tmp_path, teacher.base_url, problems=10, max_loss_share=0.0)
    project.set(solve__samples=1)
    outputs = tmp_path / "outputs" / "one"
    for _ in range(2):
        stopped = project.run_all("--until", "assemble", expect=1)
        assert "error: step 'check' left nothing of" in stopped.stderr
        assert "max_loss_share allows 0.0%" in stopped.stderr
        assert not (outputs / "assemble").exists()
        told = json.loads((outputs / "funnel.json").read_text())
        assert told["problems"]["lost"]["check"]["wrong_answer"] > 0
        assert teacher.count() == 10
    project.choices["max_loss_share"] = 0.9
    project.save()
    project.run_all("--until", "assemble")
    assert teacher.count() == 10
    problems = Funnel.model_validate_json((outputs / "funnel.json").read_bytes()).problems
    assert problems.entered == 10 == problems.in_data_set + problems.lost_at("check")
    project.choices["max_loss_share"] = 0.0
    project.save()
    assert "left nothing of" in project.run_all("--until", "assemble", expect=1).stderr
    page = (outputs / "report.html").read_text()
    assert f'<td>check</td><td>wrong_answer</td><td class="n">{problems.lost_at("check")}</td>' in page
    assert (
        f"| check | wrong_answer | {problems.lost_at('check')} |"
        in (outputs / "assemble" / "dataset" / "README.md").read_text()
    )
