"""What an edit of the choices asks for anew: exactly the new work, counted at the teacher."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.choices import load
from pipeline.errors import DriftError
from pipeline.runner import Runner
from tests.fake_teacher import FakeTeacher
from tests.project import SUMS, Project

PROBLEMS, SAMPLES = 12, 4
ALL = PROBLEMS * SAMPLES


@pytest.fixture
def project(tmp_path: Path, teacher: FakeTeacher) -> Project:
    made = Project(tmp_path, teacher.base_url, problems=PROBLEMS)
    made.set(solve__samples=SAMPLES, solve__max_tokens=27, solve__temperature=0.6)
    return made


def asked(project: Project, teacher: FakeTeacher, monkeypatch: pytest.MonkeyPatch, *redo: str) -> int:
    """Samples that a run up to `assemble` asks of the teacher."""
    monkeypatch.chdir(project.folder)
    teacher.reset()
    Runner(load(Path("my.yaml"), {}), Path("outputs")).run(until="assemble", redo=redo)
    return teacher.samples()


def cut(project: Project) -> int:
    """Samples that ended at their limit."""
    folder = project.folder / "outputs" / "one" / "solve"
    return sum(json.loads(line)["cut"] for line in (folder / "rows.jsonl").read_text().splitlines())


def add_a_problem(project: Project) -> None:
    project.write_problems(SUMS[: PROBLEMS + 1])


def put_a_problem_first(project: Project) -> None:
    project.write_problems([SUMS[100], *SUMS[:PROBLEMS]])


def edit_a_problem(project: Project) -> None:
    project.write_problems([*SUMS[: PROBLEMS - 1], SUMS[200]])


def remove_a_problem(project: Project) -> None:
    project.write_problems(SUMS[: PROBLEMS - 1])


def change_the_order(project: Project) -> None:
    project.write_problems(SUMS[:PROBLEMS][::-1])


def change_a_prompt(project: Project) -> None:
    (project.folder / "own.txt").write_text("<<system>>\nBe careful.\n<<user>>\n{{question}}\n")
    project.set(solve__prompt="own.txt")


def change_the_model(project: Project) -> None:
    project.choices["teachers"]["main"]["model"] = "fake-think-2"
    project.save()


def change_the_address(project: Project) -> None:
    main = project.choices["teachers"]["main"]
    main["base_url"] = main["base_url"].replace("127.0.0.1", "localhost")
    project.save()


def name_the_old_address(project: Project) -> None:
    main = project.choices["teachers"]["main"]
    main["identity"] = main["base_url"]
    change_the_address(project)


def change_the_request(project: Project) -> None:
    project.choices["teachers"]["main"]["request"] = {"reasoning_effort": "high"}
    project.save()


def change_concurrency_and_headers(project: Project) -> None:
    project.choices["teachers"]["main"] |= {"concurrency": 3, "headers": {"X-Team": "a"}, "timeout_seconds": 30}
    project.save()


def name_a_second_run(project: Project) -> None:
    project.choices["run"] = "two"
    project.save()


def set_(**fields: object) -> Callable[[Project], None]:
    return lambda project: project.set(**fields)


EDITS: list[tuple[Callable[[Project], None], int | str, bool]] = [
    # the edit, samples asked anew (`cut`: those that were cut), whether the run stops for it without --redo solve
    (lambda project: None, 0, False),
    (add_a_problem, SAMPLES, False),
    (put_a_problem_first, SAMPLES, False),
    (edit_a_problem, SAMPLES, False),
    (remove_a_problem, 0, False),
    (change_the_order, 0, False),
    (set_(solve__samples=8), 4 * PROBLEMS, False),
    (set_(solve__samples=2), 0, False),
    (set_(vote__min_share=0.9), 0, False),
    (set_(filter__max_characters=150), 0, False),
    (set_(assemble__max_per_problem=1), 0, False),
    (set_(solve__max_tokens=400), "cut", False),
    (set_(solve__max_tokens=10), 0, False),
    (change_a_prompt, ALL, True),
    (set_(solve__temperature=1.0), ALL, True),
    (set_(solve__seed=100), ALL, True),
    (change_the_model, ALL, True),
    (change_the_address, ALL, True),
    (name_the_old_address, 0, False),
    (change_the_request, ALL, True),
    (change_concurrency_and_headers, 0, False),
    (name_a_second_run, 0, False),
]


@pytest.mark.parametrize(("edit", "expected", "stops"), EDITS, ids=lambda value: getattr(value, "__name__", str(value)))
def test_an_edit_asks_for_its_own_work_and_no_more(
    project: Project,
    teacher: FakeTeacher,
    monkeypatch: pytest.MonkeyPatch,
    edit: Callable[[Project], None],
    expected: int | str,
    stops: bool,
) -> None:
    assert asked(project, teacher, monkeypatch) == ALL
    assert 0 < cut(project) < ALL
    wanted = cut(project) if expected == "cut" else expected
    edit(project)
    if stops:
        with pytest.raises(DriftError, match=f"{PROBLEMS} problems would be paid again"):
            asked(project, teacher, monkeypatch)
        assert teacher.samples() == 0
    assert asked(project, teacher, monkeypatch, *(["solve"] if stops else [])) == wanted


def test_two_teachers_replies_stand_side_by_side(
    project: Project, teacher: FakeTeacher, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked(project, teacher, monkeypatch)
    project.set(solve__temperature=1.0)
    assert asked(project, teacher, monkeypatch, "solve") == ALL
    project.set(solve__temperature=0.6)
    assert asked(project, teacher, monkeypatch) == 0
