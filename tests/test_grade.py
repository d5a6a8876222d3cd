"""A model as judge, tested by sending it replies, and once whole through the commands."""

import json
import signal
import subprocess
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.progress import Silent
from pipeline.rows import Dropped, Problem, Solution
from pipeline.stage import Reply, Request
from stages.grade import Grade
from tests.fake_teacher import FakeTeacher
from tests.made import outcome, run, solution, work
from tests.project import SUMS, Project

CAPITAL = Problem(id="p", question="What is the capital of the USA?", answer="Washington, D.C.")
ESSAY = Problem(id="q", question="Why is the sky blue?")


def capital(name: str = "p/0", found: str | None = "DC", verdict: str = "unverifiable") -> Solution:
    return solution(name, text="It is DC.", problem=CAPITAL, found=found, verdict=verdict)


def essay(name: str = "q/0") -> Solution:
    return solution(name, text="Air scatters blue light most.", found=None, problem=ESSAY)


def gold_comes_first(request: Request) -> bool:
    return "Answer A:\nWashington" in request.messages[-1].content


def votes(gold_second: str, gold_first: str) -> Callable[[Request], Reply]:
    """Says, of vote i in either order, what letter i stands for: `s`ame, `d`ifferent, or nothing that can be read."""

    def reply(request: Request) -> Reply:
        letter = (gold_first if gold_comes_first(request) else gold_second)[request.index]
        return Reply(
            key="00", text={"s": "Fine. Verdict: same", "d": "No.\n**Verdict:** different."}.get(letter, "Hm.")
        )

    return reply


@pytest.mark.parametrize(
    ("gold_second", "gold_first", "expected", "score"),
    [
        ("s", "s", "right", 1.0),
        ("d", "d", "judged_wrong", None),
        ("s", "d", "unverifiable", None),
        ("s", "-", "right", 1.0),
        ("-", "d", "judged_wrong", None),
        ("-", "-", "unverifiable", None),
        ("sss", "ssd", "right", 5 / 6),
        ("ssd", "ddd", "judged_wrong", None),
        ("ssd", "sdd", "unverifiable", None),
        ("s--", "dss", "right", 0.75),
    ],
)
def test_the_majority_of_all_votes_of_both_orders_decides_whether_it_is_the_gold_answer(
    tmp_path: Path, gold_second: str, gold_first: str, expected: str, score: float | None
) -> None:
    stage = Grade(votes=len(gold_second))
    (made,) = run(stage, [capital()], work(tmp_path, votes(gold_second, gold_first)))
    if isinstance(made, Dropped):
        assert made.reason == expected
    else:
        assert isinstance(made, Solution)
        assert (made.verdict, made.judge_score) == (expected, score)


def test_without_gold_a_solution_gets_a_score_whatever_the_gold_answer_is(tmp_path: Path) -> None:
    surroundings = work(tmp_path, lambda request: Reply(key="00", text="Score: 2"))
    (made,) = run(Grade(use_gold=False), [capital()], surroundings)
    assert isinstance(made, Solution)
    assert (made.verdict, made.judge_score) == ("unverifiable", 0.25)
    asked = surroundings.teachers.asked  # type: ignore[attr-defined]
    assert not any("Washington" in request.messages[-1].content for request in asked)


def test_both_answers_are_shown_in_both_orders_and_nothing_says_which_is_gold(tmp_path: Path) -> None:
    surroundings = work(tmp_path, votes("s", "s"))
    run(Grade(temperature=0.5, max_tokens=99), [capital()], surroundings)
    asked = surroundings.teachers.asked  # type: ignore[attr-defined]
    assert [gold_comes_first(request) for request in asked] == [False, True]
    first, second = (request.messages[-1].content for request in asked)
    assert "Answer A:\nDC\n\nAnswer B:\nWashington, D.C.\n" in first
    assert "gold" not in first.casefold()
    assert second.replace("Washington, D.C.", "*").replace("\nDC\n", "\nWashington, D.C.\n").replace("*", "DC") == first
    assert {(request.temperature, request.max_tokens, request.seed) for request in asked} == {(0.5, 99, 0)}


def test_one_order_is_asked_where_one_is_wanted_and_each_vote_is_a_sample(tmp_path: Path) -> None:
    surroundings = work(tmp_path, votes("sss", "ddd"))
    (made,) = run(Grade(votes=3, both_orders=False), [capital()], surroundings)
    asked = surroundings.teachers.asked  # type: ignore[attr-defined]
    assert [(gold_comes_first(request), request.index) for request in asked] == [(False, 0), (False, 1), (False, 2)]
    assert isinstance(made, Solution)
    assert made.verdict == "right"


def test_the_whole_reply_is_compared_where_no_answer_was_found_in_it(tmp_path: Path) -> None:
    surroundings = work(tmp_path, votes("s", "s"))
    run(Grade(), [capital(found=None)], surroundings)
    assert "Answer A:\nIt is DC.\n" in surroundings.teachers.asked[0].messages[-1].content  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("texts", "fields", "expected"),
    [
        (("Score: 5", "Score: 5"), {}, 1.0),
        (("Score: 1", "Score: 1"), {}, 0.0),
        (("Score: 4", "**Score:** 2/5"), {}, 0.5),
        (("Score: 3. No: score: 5", "score = 5"), {}, 1.0),
        (("Score: 4", "I cannot tell."), {}, 0.75),
        (("Score: 6", "Score: 45"), {}, None),
        (("Score: 4.5", "Score: 3 or so"), {}, 0.5),
        (("Score: 2", "Score: 3"), {"min_score": 0.5}, "judged_poor"),
        (("Score: 3", "Score: 3"), {"min_score": 0.5}, 0.5),
        (("Hm.", "Hm."), {"min_score": 0.5}, None),
    ],
)
def test_without_gold_the_mean_of_the_scores_is_kept(
    tmp_path: Path, texts: tuple[str, str], fields: dict[str, float], expected: float | str | None
) -> None:
    def reply(request: Request) -> Reply:
        shown = request.messages[-1].content
        is_second = shown.index("It is clear") < shown.index("Each step")
        return Reply(key="00", text=texts[is_second])

    (made,) = run(Grade.model_validate(fields), [essay()], work(tmp_path, reply))
    if isinstance(made, Dropped):
        assert made.reason == expected
    else:
        assert isinstance(made, Solution)
        assert (made.judge_score, made.verdict) == (expected, None)


def test_the_rubric_is_the_users(tmp_path: Path) -> None:
    surroundings = work(tmp_path, lambda _: Reply(key="00", text="Score: 4"))
    run(Grade(rubric=("It is short.", "It is kind.")), [essay()], surroundings)
    first, second = (request.messages[-1].content for request in surroundings.teachers.asked)  # type: ignore[attr-defined]
    assert "- It is short.\n- It is kind.\n" in first
    assert "- It is kind.\n- It is short.\n" in second


def test_what_a_rule_decided_is_not_asked_about_unless_everything_is(tmp_path: Path) -> None:
    rows = [capital("p/0", verdict="right"), capital("p/1", verdict="wrong"), capital("p/2"), essay("q/0")]
    surroundings = work(tmp_path, lambda _: Reply(key="00", text="Verdict: different. Score: 3"))
    assert outcome(Grade(), rows, surroundings) == [
        ("p/0", "kept"),
        ("p/1", "kept"),
        ("p/2", "judged_wrong"),
        ("q/0", "kept"),
    ]
    assert len(surroundings.teachers.asked) == 2 * 2  # type: ignore[attr-defined]
    assert [what for _, what in outcome(Grade(every=True), rows[:2], surroundings)] == ["judged_wrong", "judged_wrong"]


class Heard(Silent):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)


def lines(stage: Grade, rows: list[Solution], folder: Path, reply: Callable[[Request], Reply]) -> list[str]:
    """What is said, once every row is carried on as it was."""
    heard = Heard()
    assert run(stage, rows, replace(work(folder, reply), progress=heard)) == rows
    return heard.lines


@pytest.mark.parametrize(
    ("fault", "named"),
    [
        ({"problem": "refused"}, "refused"),
        ({"problem": "teacher_error"}, "teacher_error"),
        ({"problem": "not_recorded"}, "not_recorded"),
        ({"cut": True}, "cut"),
        ({"text": "Both are fine."}, "unreadable"),
        ({"text": "Verdict: not the same"}, "unreadable"),
    ],
)
def test_a_judge_that_does_not_judge_loses_no_solution(tmp_path: Path, fault: dict[str, object], named: str) -> None:
    def reply(request: Request) -> Reply:
        return Reply(**{"key": "00", "text": "Verdict: different. Score: 1", **fault})  # type: ignore[arg-type]

    rows = [capital()] if "text" in fault else [capital(), essay()]
    (line,) = lines(Grade(teacher="judge", min_score=0.9), rows, tmp_path, reply)
    assert line.endswith(
        f"of {len(rows)} solutions have no judgement and are carried on as they were: {len(rows)} {named}"
    )


def test_a_judge_that_goes_by_the_order_and_one_that_judges_itself_are_told(tmp_path: Path) -> None:
    assert lines(Grade(), [capital("p/0"), capital("p/1")], tmp_path, votes("s", "d")) == [
        "step: 2 of 2 solutions are the judge's own, and a model favours its own; "
        "name another teacher: --set step.teacher=NAME",
        "step: the judge changed its mind with the order of the answers on 2 of 2",
        "step: 2 of 2 solutions have no judgement and are carried on as they were: 2 tied",
    ]


RECIPE = """
from pipeline.choices import Choices
from pipeline.recipe import Step
from pipeline.recipes import problems
from stages.check import Check
from stages.grade import Grade
from stages.solve import Solve


def recipe(choices: Choices) -> list[Step]:
    return [
        *problems(choices),
        Step("solve", Solve(prompt="r1-distill/solve", samples=2), rows=("load",)),
        Step("check", Check(), rows=("solve",)),
        Step("grade", Grade(votes=2), rows=("check",)),
    ]
"""
COMMAND = ("run", "all", "--config", "my.yaml")


def judged_project(folder: Path, teacher: FakeTeacher) -> Project:
    """Eight problems whose answers nobody knows, asked about one by one."""
    made = Project(folder, teacher.base_url, recipe="my_recipe.py")
    (folder / "my_recipe.py").write_text(RECIPE)
    made.write("problems.jsonl", [{"question": question} for question in SUMS[:8]])
    made.choices["teachers"]["main"]["concurrency"] = 1
    made.save()
    return made


@pytest.mark.long
def test_through_the_commands_a_judge_that_was_killed_is_paid_once(tmp_path: Path, teacher: FakeTeacher) -> None:
    from pipeline.teacher.ledger.ledger import Ledger

    teacher.behave(right_share=1.0, latency_seconds=0.05)
    project = judged_project(tmp_path, teacher)
    project.run_all("--until", "check")
    teacher.reset()
    assert "64 of 64 samples for 16 problems" in project.run("plan", "--config", "my.yaml").stdout

    killed = subprocess.Popen(
        project.command(*COMMAND),
        cwd=project.folder,
        env=project.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    teacher.wait_for(5)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    done = project.run_all()
    with Ledger(tmp_path / "outputs" / "ledger.sqlite") as ledger:
        maybe_billed = len(ledger.maybe_billed())
    twice = sum(count - 1 for count in Counter(seen.digest for seen in teacher.requests()).values())
    assert twice <= maybe_billed <= 1
    # This teacher answers sums, whatever it is asked, so no vote of it can be read.
    assert "16 of 16 solutions have no judgement and are carried on as they were: 16 unreadable" in done.stderr
    assert "16 of 16 solutions are the judge's own" in done.stderr
    assert project.rows("grade") == project.rows("check")
    assert len(project.rows("grade")) == 16

    record = json.loads((tmp_path / "outputs" / "one" / "grade" / "record.json").read_text())
    assert record["prompts"].keys() == {"same_prompt", "score_prompt"}
