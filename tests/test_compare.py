"""Comparing teachers and prompts: the same few problems, what came of each, and what it cost."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.choices import load
from pipeline.compare import Compared, compare
from pipeline.errors import BudgetError, TeacherError, UsageError
from pipeline.runner import Runner
from pipeline.statistics import wilson
from tests.fake_teacher import FakeTeacher
from tests.project import SUMS, Project, gold

OWN_PROMPT = "<<user>>\nBe brief. {{question}}\n"


@pytest.fixture(scope="module")
def weak() -> Iterator[FakeTeacher]:
    """A second teacher, seldom right."""
    with FakeTeacher(right_share=0.2) as weak:
        yield weak


@pytest.fixture
def project(tmp_path: Path, teacher: FakeTeacher, weak: FakeTeacher) -> Project:
    for server, right_share in ((teacher, 1.0), (weak, 0.2)):
        server.reset()
        server.behave(right_share=right_share, refuse=None, fail_first=0, fail_after=0)
    project = Project(tmp_path, teacher.base_url)
    project.choices["teachers"] = {
        "main": {"base_url": teacher.base_url, "model": "strong", "price": {"input": 0, "output": 10}},
        "weak": {"base_url": weak.base_url, "model": "weak", "price": {"input": 0, "output": 1}, "attempts": 1},
    }
    project.save()
    (tmp_path / "own.txt").write_text(OWN_PROMPT)
    return project


def compared(project: Project, *teachers: str, prompts: tuple[str, ...] = (), problems: int = 6) -> list[Compared]:
    choices = load(project.folder / "my.yaml", {})
    return compare(Runner(choices, project.folder / "outputs"), teachers, prompts, None, problems)


def asked(server: FakeTeacher) -> Counter[str]:
    """The problems that a teacher was asked, each with how often."""
    questions = [seen.body["messages"][-1]["content"] for seen in server.requests()]
    return Counter(question for question in SUMS for content in questions if question in content)


def test_teachers_are_asked_the_same_problems_and_told_apart(
    project: Project, teacher: FakeTeacher, weak: FakeTeacher
) -> None:
    strong, other = compared(project)
    assert asked(teacher) == asked(weak) == Counter(SUMS[1:12:2])
    assert (strong.teacher, strong.problems, strong.samples, strong.judged, strong.right) == ("main", 6, 24, 24, 24)
    assert (other.teacher, other.problems, other.samples, other.judged) == ("weak", 6, 24, 24)
    assert 0 < other.right < 12
    assert (strong.read, strong.cut, strong.dropped) == (24, 0, Counter())
    assert strong.cost_usd == pytest.approx(strong.tokens * 10e-6)
    assert other.cost_usd == pytest.approx(other.tokens * 1e-6)
    assert strong.seconds is not None
    assert not (project.folder / "outputs" / "one").exists()


def test_what_a_comparison_paid_for_is_not_paid_again(
    project: Project, teacher: FakeTeacher, weak: FakeTeacher
) -> None:
    first = compared(project, problems=12)
    counts = teacher.count(), weak.count()
    assert compared(project, problems=12) == first
    project.run_all("--until", "solve")
    assert (teacher.count(), weak.count()) == counts
    assert compared(project, "main", problems=12) == first[:1]


def test_each_prompt_is_a_row_of_each_teacher(project: Project, teacher: FakeTeacher) -> None:
    rows = compared(project, prompts=("r1-distill/solve", "own.txt"), problems=2)
    assert [(row.teacher, row.prompt) for row in rows] == [
        ("main", "r1-distill/solve"), ("main", "own.txt"), ("weak", "r1-distill/solve"), ("weak", "own.txt"),
    ]  # fmt: skip
    briefly = [seen for seen in teacher.requests() if seen.body["messages"][-1]["content"].startswith("Be brief. ")]
    assert (len(briefly), teacher.count()) == (2, 4)


def test_what_was_refused_is_not_right_and_what_was_lost_is_left_out(
    project: Project, teacher: FakeTeacher, weak: FakeTeacher
) -> None:
    teacher.behave(refuse=SUMS[1])
    compared(project, "weak", problems=3)
    weak.behave(fail_first=-1, fail_after=4, fail_status=503)
    refusing, losing = compared(project, problems=4)
    assert (refusing.dropped, refusing.judged, refusing.right) == (Counter(refused=4), 16, 12)
    assert (losing.dropped, losing.samples, losing.judged) == (Counter(teacher_error=8), 16, 8)


def test_a_teacher_that_is_gone_ends_the_comparison(project: Project, weak: FakeTeacher) -> None:
    weak.behave(fail_first=-1, fail_status=503)
    with pytest.raises(TeacherError, match=r"teachers\.weak: no answer"):
        compared(project)


def test_a_recorded_teacher_is_compared_on_what_it_has(project: Project) -> None:
    completion = "2 + 3 is 5. The answer is {}."
    lines = [{"question": q, "completion": completion.format(gold(q))} for q in SUMS[:6]]
    project.write("replies.jsonl", lines)
    project.choices["teachers"]["bought"] = {"recorded": "replies.jsonl"}
    project.set(solve__samples=2)
    main, bought = compared(project, "main", "bought", problems=12)
    assert (bought.samples, bought.judged, bought.judged_problems, bought.right) == (24, 6, 6, 6)
    assert bought.dropped == Counter(not_recorded=18)
    assert (bought.tokens, bought.cost_usd, bought.seconds) == (0, 0.0, None)
    assert (main.samples, main.judged_problems) == (24, 12)


def test_cut_replies_are_told_and_do_not_count_as_read_whatever_they_say(project: Project) -> None:
    project.set(solve__max_tokens=9)
    (row,) = compared(project, "main")
    assert (row.cut, row.read) == (24, 0)


def test_problems_without_gold_are_asked_and_not_judged(project: Project) -> None:
    project.write("problems.jsonl", [{"question": question} for question in SUMS[:4]])
    (row,) = compared(project, "main")
    assert (row.problems, row.samples, row.judged, row.judged_problems) == (4, 16, 0, 0)
    assert "no gold" in project.run("compare-teachers", "--config", "my.yaml", "--teachers", "main").stdout


@pytest.mark.parametrize(("right", "of_problems"), [(0, 0), (24, 6), (12, 3), (1, 0)])
def test_the_interval_counts_problems_not_samples(right: int, of_problems: int) -> None:
    row = Compared(
        teacher="main", prompt="p", problems=6, samples=24, read=24, cut=0, dropped=Counter(), judged=24,
        judged_problems=6, right=right, tokens=0, cost_usd=None, seconds=None,
    )  # fmt: skip
    assert row.interval == wilson(of_problems, 6)


def test_a_budget_holds_for_a_comparison(project: Project) -> None:
    project.choices["budget_usd"] = 0.01
    project.set(solve__max_tokens=200)
    with pytest.raises(BudgetError, match=r"budget of 0\.01 USD"):
        compared(project, problems=12)


def test_the_table_is_all_that_goes_to_stdout_and_is_not_folded(project: Project) -> None:
    done = project.run("compare-teachers", "--config", "my.yaml", "--pilot", "3", "--set", "solve.samples=2")
    header, main, weak = done.stdout.splitlines()
    assert header.split("  ")[0] == "teacher"
    assert main.split()[:7] == ["main", "r1-distill/solve", "3", "6", "100.0", "%", "100.0"]
    assert weak.split()[:4] == ["weak", "r1-distill/solve", "3", "6"]
    assert "solve (comparison)" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "fact", "hint"),
    [
        (["--teachers", "mian"], "no teacher 'mian'", "did you mean 'main'?"),
        (["--prompts", "r1-distil/solve"], "no prompt 'r1-distil/solve'", "r1-distill/solve"),
        (["--step", "slove"], "no step 'slove' asks for solutions", "did you mean 'solve'?"),
        (["--step", "evaluate"], "no step 'evaluate' asks for solutions", "solve"),
        (["--recipe", "star", "--step", "rationalize"], "reads 'solve', which is not made", "pipeline run solve"),
    ],
)
def test_a_wrong_name_is_told_before_anything_is_asked(
    project: Project, teacher: FakeTeacher, arguments: list[str], fact: str, hint: str
) -> None:
    done = project.run("compare-teachers", "--config", "my.yaml", *arguments, expect=2)
    assert fact in done.stderr
    assert hint in done.stderr
    assert teacher.count() == 0


def test_a_recorded_teacher_that_is_asked_about_its_replies_is_told(project: Project) -> None:
    project.write("replies.jsonl", [{"question": SUMS[1], "completion": "It is 5."}])
    project.choices["teachers"]["bought"] = {"recorded": "replies.jsonl"}
    project.choices["recipe"] = "fine-tune-cot"
    project.save()
    with pytest.raises(UsageError, match="asks a second question about each reply"):
        compared(project, "bought")
