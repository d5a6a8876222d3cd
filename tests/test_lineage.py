"""Where a row came from, as a user asks for it."""

import json

import pytest

from tests.fake_teacher import FakeTeacher
from tests.project import Project


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, teacher: FakeTeacher) -> Project:
    """A run up to its data set, of which some samples were wrong."""
    teacher.behave(right_share=0.6)
    project = Project(tmp_path_factory.mktemp("lineage"), teacher.base_url, problems=6)
    project.choices["data"]["train"] = {"path": "problems.jsonl", "licence": "CC-BY-4.0"}
    project.choices["teachers"]["main"]["price"] = {"input": 0.5, "output": 2.0}
    project.set(solve__samples=2, assemble__terms={"main": "https://example.com/terms"})
    project.run_all("--until", "assemble")
    return project


def told(project: Project, *arguments: str) -> dict[str, str]:
    """The lines of `lineage`, by their names."""
    out = project.run("lineage", *arguments, "--run", "one").stdout
    return dict(line.strip().split(": ", 1) for line in out.splitlines() if ": " in line)


def test_a_row_of_the_data_set_leads_back_to_its_problem_its_reply_and_what_that_cost(made: Project) -> None:
    row = made.rows("assemble")[0]
    problem = next(one for one in made.rows("load") if one["id"] == row["problem_id"])
    lines = told(made, row["id"])
    assert lines["made by"].startswith(f"load ({problem['id']}), solve ({row['id']}), check ({row['id']})")
    assert lines["made by"].endswith(f"assemble ({row['id']})")
    assert (lines["source"], lines["licence"]) == ("problems.jsonl", "CC-BY-4.0")
    assert (lines["question"], lines["answer"]) == (problem["question"], problem["answer"])
    assert (lines["verdict"], lines["label"], lines["terms"]) == ("right", "gold", "https://example.com/terms")
    assert lines["teacher"] == f"fake-think at {made.choices['teachers']['main']['base_url']}"
    assert lines["price"] == "$0.5 a million tokens of prompt, $2 of reply"
    assert lines["asked"].endswith("of run one, step solve")
    assert lines["answered"].endswith(f"sample {1 + int(row['id'][-1])} of 2 in one request")
    assert problem["question"] in lines["user"]
    assert row["answer"] in lines["reply"]
    assert 0 < float(lines["cost"].split(",")[0].removeprefix("$")) < 0.01


def test_raw_shows_the_bodies_as_they_were_sent_and_came(made: Project) -> None:
    row = made.rows("assemble")[0]
    lines = told(made, row["id"], "--raw")
    assert json.loads(lines["request"])["n"] == 2
    assert len(json.loads(lines["reply"])["choices"]) == 2


def test_a_dropped_sample_leads_back_too_and_says_why_it_was_dropped(made: Project) -> None:
    folder = made.folder / "outputs" / "one" / "check"
    dropped = json.loads((folder / "dropped.jsonl").read_text().splitlines()[0])
    lines = told(made, dropped["id"], "--step", "check")
    assert lines["dropped"] == f"{dropped['reason']}: {dropped['detail']}"
    assert lines["made by"].endswith(f"solve ({dropped['id']})")
    assert lines["teacher"].startswith("fake-think at ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nobody/0"], "step 'assemble' of run 'one' has no row 'nobody/0'"),
        (["x", "--step", "asemble"], "did you mean 'assemble'?"),
        (["x", "--run", "two"], "no run 'two' under outputs"),
    ],
)
def test_what_is_not_there_is_told(made: Project, arguments: list[str], message: str) -> None:
    run = [] if "--run" in arguments else ["--run", "one"]
    assert message in made.run("lineage", *arguments, *run, expect=2).stderr
