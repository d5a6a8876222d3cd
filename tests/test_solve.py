"""Conversations with a teacher, tested by sending them replies."""

import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from pipeline.errors import UsageError
from pipeline.jsonl import write_json
from pipeline.record import Record
from pipeline.rows import Dropped, Problem, Row, Solution
from pipeline.stage import Conversation, Reply, Request, Work
from stages.rationalize import Rationalize
from stages.solve import Solve
from tests.fake_teacher import FakeTeacher
from tests.made import problem, run, solution, work
from tests.project import Project


class Door:
    """Answers conversations from a function, and remembers what they asked, turn by turn."""

    def __init__(self, reply: Callable[[Request], Reply], batches: bool = False) -> None:
        self.reply = reply
        self.batches = batches
        self.turns: list[Sequence[Request]] = []

    def ask(
        self, teacher: str, rows: Iterable[Any], conversation: Callable[[Any], Conversation[Any]]
    ) -> Iterator[tuple[Any, Any]]:
        for row in rows:
            yield row, self.hold(conversation(row))

    def hold(self, talk: Conversation[Any]) -> Any:
        try:
            requests = next(talk)
            while True:
                self.turns.append(requests)
                requests = talk.send([self.reply(request) for request in requests])
        except StopIteration as stop:
            return stop.value

    def in_batches(self, teacher: str) -> bool:
        return self.batches


def through(door: Door, folder: Path, **uses: Path) -> Work:
    return replace(work(folder, uses=uses), teachers=door)


def answering(answers: dict[str, Sequence[str | None]]) -> Callable[[Request], Reply]:
    """Sample i of a question gets the answer at place i, the last one over and over; None is a refusal."""

    def reply(request: Request) -> Reply:
        given = next(given for question, given in answers.items() if question in request.messages[-1].content)
        answer = given[min(request.index, len(given) - 1)]
        text = f"Step by step. {f'The answer is {answer}.' if answer else 'I cannot tell.'}"
        return Reply(key=f"{request.index:02x}", text=text, problem="refused" if answer is None else None)

    return reply


def indices(door: Door) -> list[list[int]]:
    """The samples asked for, turn by turn."""
    return [[request.index for request in turn] for turn in door.turns]


ADAPTIVE = Solve(prompt="r1-distill/solve", samples=9, samples_min=3)


def test_each_sample_becomes_a_solution_with_its_answer(tmp_path: Path) -> None:
    def reply(request: object) -> Reply:
        index = request.index  # type: ignore[attr-defined]
        return Reply(key=f"{index:02x}", text=f"Add: 4 + 3 = 7. The answer is {7 - index}.", thoughts="hm")

    surroundings = work(tmp_path, reply)
    made = run(Solve(prompt="r1-distill/solve", samples=2, temperature=0.6), [problem()], surroundings)
    assert [(row.id, row.parent, row.found, row.thoughts, row.keys) for row in made if isinstance(row, Solution)] == [
        ("p/0", "p", "7", "hm", ("00",)),
        ("p/1", "p", "6", "hm", ("01",)),
    ]
    assert [request.temperature for request in surroundings.teachers.asked] == [0.6, 0.6]  # type: ignore[attr-defined]


def test_a_next_question_that_a_completion_invents_is_no_part_of_its_text(tmp_path: Path) -> None:
    run_on = "4 + 3 = 7. The answer is 7.\n\nQ: There are 15 trees. How many?\nA: There are"
    (made,) = run(
        Solve(prompt="r1-distill/solve"), [problem()], work(tmp_path, lambda request: Reply(key="00", text=run_on))
    )
    assert isinstance(made, Solution)
    assert (made.text, made.rationale, made.found) == ("4 + 3 = 7. The answer is 7.", "4 + 3 = 7.", "7")


def test_a_second_call_asks_for_the_answer_alone(tmp_path: Path) -> None:
    def reply(request: object) -> Reply:
        messages = request.messages  # type: ignore[attr-defined]
        text = "12." if len(messages) == 3 else "First 4 + 3 = 7, then 7 - 2."
        return Reply(key=f"{len(messages):02x}", text=text)

    stage = Solve(prompt="fine-tune-cot/solve", answer_prompt="fine-tune-cot/answer")
    (row,) = run(stage, [problem()], work(tmp_path, reply))
    assert isinstance(row, Solution)
    assert row.rationale == "First 4 + 3 = 7, then 7 - 2."
    assert row.text.endswith("Therefore, the answer is 12.")
    assert (row.found, row.keys) == ("12", ("01", "03"))


def test_a_refusal_drops_its_sample_alone(tmp_path: Path) -> None:
    def reply(request: object) -> Reply:
        refused = request.index == 1  # type: ignore[attr-defined]
        return Reply(key="00", text="The answer is 5.", problem="refused" if refused else None, detail="filter")

    made = run(Solve(prompt="r1-distill/solve", samples=2), [problem()], work(tmp_path, reply))
    assert [row.reason if isinstance(row, Dropped) else "kept" for row in made] == ["kept", "refused"]


def test_only_unsolved_problems_are_rationalized_and_every_problem_is_accounted_for(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text(solution("a/0").model_dump_json() + "\n")
    surroundings = work(tmp_path, lambda _: Reply(key="00", text="Because. The answer is 5."), {"solved": tmp_path})
    rows = [problem("a"), problem("b", answer=None), problem("c")]
    made = run(Rationalize(prompt="star/rationalize"), rows, surroundings)
    assert [(row.id, getattr(row, "reason", "kept")) for row in made] == [
        ("a", "already_solved"),
        ("b", "no_gold"),
        ("c/hint-0", "kept"),
    ]
    assert "(the answer is 5)" in surroundings.teachers.asked[0].messages[-1].content  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("answers", "fields", "expected"),
    [
        (["5"], {}, [3, 2]),
        (["5"], {"confidence": 0.9}, [3]),
        (["5"], {"samples_step": 1}, [3, 1]),
        (["5"], {"samples_min": 4}, [4]),
        (["5"], {"samples_min": 9}, [9]),
        (["5"], {"samples_min": None}, [9]),
        (["5"], {"samples": 4}, [3, 1]),
        (["5", "7"], {}, [3, 2, 2]),
        (["5", "5.0", "$5", "10/2"], {"samples_step": 1}, [3, 1]),
        (["5", "7", "5", "7", "5", "7"], {}, [3, 2, 2, 2]),
        ([""], {}, [3, 2, 2, 2]),
        (["", "", "", "5"], {"samples_step": 1}, [3, 1, 1, 1, 1]),
        ([None, None, None, "5"], {}, [3]),
        ([None, None, "5"], {"samples_step": 1}, [3, 1, 1, 1]),
        (["7", "5"], {"stop_rule": "window", "window": 3}, [3, 2]),
        (["7", "", "5"], {"stop_rule": "window", "window": 3}, [3, 2]),
        (["5", "5", "5", "5", "5", "7", "8"], {"stop_rule": "dirichlet", "samples_min": 7, "confidence": 0.9}, [7, 2]),
        (["5", "5", "5", "5", "5", "7", "8"], {"stop_rule": "beta", "samples_min": 7, "confidence": 0.9}, [7]),
    ],
)
def test_more_samples_are_asked_while_the_vote_is_not_certain(
    tmp_path: Path, answers: list[str | None], fields: dict[str, Any], expected: list[int]
) -> None:
    door = Door(answering({"": answers}))
    stage = Solve.model_validate({**ADAPTIVE.model_dump(), **fields})
    made = run(stage, [problem()], through(door, tmp_path))
    assert [len(turn) for turn in indices(door)] == expected
    assert [index for turn in indices(door) for index in turn] == list(range(len(made)))
    assert [row.id for row in made] == [f"p/{index}" for index in range(len(made))]


def test_a_teacher_asked_in_batches_gets_two_rounds_at_most(tmp_path: Path) -> None:
    door = Door(answering({"easy": ["5"], "hard": ["5", "7"]}), batches=True)
    stage = Solve.model_validate({**ADAPTIVE.model_dump(), "samples_min": 4})
    run(stage, [problem("a", question="easy"), problem("b", question="hard")], through(door, tmp_path))
    assert [len(turn) for turn in indices(door)] == [4, 4, 5]


def test_the_vote_reads_the_answers_of_a_second_call(tmp_path: Path) -> None:
    def reply(request: Request) -> Reply:
        asked_for_answer = len(request.messages) == 3
        return Reply(key="00", text="5." if asked_for_answer else f"Thinking, attempt {request.index}. It is 7 or 5.")

    door = Door(reply)
    stage = Solve(
        prompt="fine-tune-cot/solve", answer_prompt="fine-tune-cot/answer", samples=9, samples_min=3, samples_step=1
    )
    made = run(stage, [problem()], through(door, tmp_path))
    assert [len(turn) for turn in door.turns] == [3, 3, 1, 1]
    assert [row.found for row in made if isinstance(row, Solution)] == ["5"] * 4


def cut_below(limit: int, *cut: int) -> Callable[[Request], Reply]:
    """These samples are cut unless they may have so many tokens."""

    def reply(request: Request) -> Reply:
        short = request.index in cut and (request.max_tokens or 0) < limit
        text = "Adding, we have 7" if short else "4 + 3 - 2 is 5. The answer is 5."
        return Reply(key=f"{request.index:02x}", text=text, cut=short)

    return reply


@pytest.mark.parametrize(
    ("fields", "cured_at", "asked", "cut"),
    [
        ({}, 400, [(4, 100)], [1, 3]),
        ({"truncated": "keep"}, 400, [(4, 100)], [1, 3]),
        ({"truncated": "escalate"}, 400, [(4, 100), (2, 400)], []),
        ({"truncated": "escalate", "escalate_to": 150}, 400, [(4, 100), (2, 150)], [1, 3]),
        ({"truncated": "escalate", "escalate_to": 150}, 150, [(4, 100), (2, 150)], []),
        ({"truncated": "escalate"}, 50, [(4, 100)], []),
    ],
)
def test_a_cut_reply_is_asked_for_once_more_at_most(
    tmp_path: Path, fields: dict[str, Any], cured_at: int, asked: list[tuple[int, int]], cut: list[int]
) -> None:
    stage = Solve(prompt="r1-distill/solve", samples=4, max_tokens=100, **fields)
    hinting = Rationalize(prompt="star/rationalize", samples=4, max_tokens=100, **fields)
    (tmp_path / "rows.jsonl").touch()
    for one in (stage, hinting):
        door = Door(cut_below(cured_at, 1, 3))
        made = run(one, [problem()], through(door, tmp_path, solved=tmp_path))
        assert [(len(turn), turn[0].max_tokens) for turn in door.turns] == asked
        rows = [row for row in made if isinstance(row, Solution)]
        assert [place for place, row in enumerate(rows) if row.cut] == cut
        assert [place for place, row in enumerate(rows) if row.kept_cut] == (cut if one.truncated == "keep" else [])


def test_an_escalated_request_differs_in_its_limit_alone(tmp_path: Path) -> None:
    door = Door(cut_below(400, 2))
    stage = Solve(prompt="r1-distill/solve", samples=4, max_tokens=100, truncated="escalate", temperature=0.7, seed=3)
    run(stage, [problem()], through(door, tmp_path))
    (first, second) = door.turns
    assert second == [first[2].model_copy(update={"max_tokens": 400})]


def test_a_cut_sample_votes_only_once_it_is_whole(tmp_path: Path) -> None:
    stage = Solve.model_validate(
        {**ADAPTIVE.model_dump(), "samples_min": 4, "max_tokens": 100, "truncated": "escalate"}
    )
    door = Door(cut_below(400, 0, 1))
    made = run(stage, [problem()], through(door, tmp_path))
    assert [len(turn) for turn in door.turns] == [4, 2]
    assert [row.found for row in made if isinstance(row, Solution)] == ["5"] * 4


@pytest.mark.parametrize(("truncated", "expected"), [("drop", [4, 2, 2, 1]), ("keep", [4])])
def test_samples_that_stay_cut_make_no_vote_certain_unless_they_are_kept(
    tmp_path: Path, truncated: str, expected: list[int]
) -> None:
    door = Door(cut_below(400, *range(9)))
    fields = {"samples_min": 4, "max_tokens": 100, "truncated": truncated}
    run(Solve.model_validate({**ADAPTIVE.model_dump(), **fields}), [problem()], through(door, tmp_path))
    assert [len(turn) for turn in door.turns] == expected


def test_both_calls_of_a_sample_are_escalated(tmp_path: Path) -> None:
    def reply(request: Request) -> Reply:
        cut = (request.max_tokens or 0) < 400
        return Reply(key="00", text="12" if len(request.messages) == 3 else f"So it is {request.max_tokens}", cut=cut)

    door = Door(reply)
    stage = Solve(
        prompt="fine-tune-cot/solve", answer_prompt="fine-tune-cot/answer", max_tokens=100, truncated="escalate"
    )
    (row,) = run(stage, [problem()], through(door, tmp_path))
    assert [(len(turn[0].messages), turn[0].max_tokens) for turn in door.turns] == [
        (1, 100),
        (1, 400),
        (3, 100),
        (3, 400),
    ]
    assert isinstance(row, Solution)
    assert (row.cut, row.rationale) == (False, "So it is 400")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"truncated": "escalate"}, "add max_tokens: 2048"),
        (
            {"truncated": "escalate", "max_tokens": 100, "escalate_to": 100},
            "escalate_to: 100 is not above max_tokens: 100",
        ),
        ({"samples": 2, "samples_min": 3}, "samples_min: 3 is more than samples: 2"),
        ({"samples": 8, "samples_most": 7}, "samples_most: 7 is less than samples: 8"),
    ],
)
def test_fields_that_contradict_each_other_are_refused(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Solve(prompt="r1-distill/solve", **fields)


QUESTIONS = {
    "easy": ["5"],
    "late": ["5", "7", "5"],
    "open": [str(number) for number in range(99)],
    "silent": [None],
}
PROBLEMS = [problem(name, question=name) for name in QUESTIONS]


def solved(
    stage: Solve, folder: Path, door: Door, rows: Sequence[Problem] = PROBLEMS, **uses: Path
) -> list[Row | Dropped]:
    """What the stage makes, with its record in the folder."""
    folder.mkdir()
    made = run(stage, list(rows), through(door, folder, **uses))
    record = Record(step=folder.name, stage="solve", version=1, fields=stage.model_dump(mode="json"))
    write_json(folder / "record.json", record.model_dump(mode="json"))
    return made


def samples_of(made: list[Row | Dropped]) -> dict[str, int]:
    parents = [row.parent for row in made]
    return {name: parents.count(name) for name in QUESTIONS}


@pytest.mark.parametrize(("most", "cap"), [(None, 21), (12, 12), (9, 9), (100, 21)])
def test_a_second_step_spends_what_was_saved_on_the_undecided_alone(tmp_path: Path, most: int | None, cap: int) -> None:
    first, second = Door(answering(QUESTIONS)), Door(answering(QUESTIONS))
    made = solved(ADAPTIVE, tmp_path / "solve", first)
    assert samples_of(made) == {"easy": 5, "late": 7, "open": 9, "silent": 3}
    stage = ADAPTIVE.model_copy(update={"samples_most": most})
    more = solved(stage, tmp_path / "more", second, first=tmp_path / "solve")
    assert samples_of(more) == {"easy": 5, "late": 7, "open": cap, "silent": 3}
    assert len(more) <= 9 * len(QUESTIONS)
    assert [row for row in more if row in made] == made
    told = json.loads((tmp_path / "more" / "sampling.json").read_text())
    assert (told["samples"], told["votes"]["undecided"]["problems"]) == (len(more), 1)


@pytest.mark.parametrize(("most", "cap"), [(None, 36), (50, 50), (99, 61)])
def test_however_much_was_saved_a_problem_has_a_most(tmp_path: Path, most: int | None, cap: int) -> None:
    rows = [*PROBLEMS, *(problem(f"easy-{number}", question="easy") for number in range(10))]
    solved(ADAPTIVE, tmp_path / "solve", Door(answering(QUESTIONS)), rows)
    stage = ADAPTIVE.model_copy(update={"samples_most": most})
    made = solved(stage, tmp_path / "more", Door(answering(QUESTIONS)), rows, first=tmp_path / "solve")
    assert samples_of(made)["open"] == cap


def test_in_batches_the_second_step_asks_for_the_rest_at_once(tmp_path: Path) -> None:
    solved(ADAPTIVE, tmp_path / "solve", Door(answering(QUESTIONS), batches=True))
    again = Door(answering(QUESTIONS), batches=True)
    solved(ADAPTIVE, tmp_path / "more", again, PROBLEMS[2:3], first=tmp_path / "solve")
    assert [len(turn) for turn in indices(again)] == [3, 6, 6]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"temperature": 1.0}, "temperature is None there, 1.0 here"),
        ({"samples": 12}, "samples is 9 there, 12 here"),
    ],
)
def test_a_second_step_that_would_ask_for_other_samples_is_refused(
    tmp_path: Path, fields: dict[str, Any], said: str
) -> None:
    solved(ADAPTIVE, tmp_path / "solve", Door(answering(QUESTIONS)))
    door = Door(answering(QUESTIONS))
    with pytest.raises(UsageError, match=said):
        solved(ADAPTIVE.model_copy(update=fields), tmp_path / "more", door, first=tmp_path / "solve")
    assert door.turns == []


def test_a_second_step_over_fixed_samples_is_refused(tmp_path: Path) -> None:
    fixed = ADAPTIVE.model_copy(update={"samples_min": None})
    solved(fixed, tmp_path / "solve", Door(answering(QUESTIONS)))
    with pytest.raises(UsageError, match="no samples_min"):
        solved(fixed, tmp_path / "more", Door(answering(QUESTIONS)), first=tmp_path / "solve")


def test_fixed_samples_leave_no_account_of_sampling(tmp_path: Path) -> None:
    solved(ADAPTIVE.model_copy(update={"samples_min": None}), tmp_path / "solve", Door(answering(QUESTIONS)))
    assert not (tmp_path / "solve" / "sampling.json").exists()


UNCHECKED = """
from pipeline.choices import Choices
from pipeline.recipe import Step
from pipeline.recipes import problems
from stages.assemble import Assemble
from stages.filter import Filter
from stages.solve import Solve


def recipe(choices: Choices) -> list[Step]:
    return [
        *problems(choices),
        Step("solve", Solve(prompt="r1-distill/solve", samples=1, max_tokens=100), rows=("load",)),
        Step("filter", Filter(require_answer=False), rows=("solve",)),
        Step("assemble", Assemble(prompt="r1-distill/student"), rows=("filter",)),
    ]
"""


@pytest.mark.long
def test_of_500_rows_the_cut_ones_alone_are_paid_for_twice_and_none_is_trained_on_unless_kept(
    tmp_path: Path, teacher: FakeTeacher
) -> None:
    teacher.behave(right_share=1.0, cut_share=0.17, cut_cured_at=400)
    teacher.reset()
    project = Project(tmp_path, teacher.base_url, recipe="unchecked.py")
    (tmp_path / "unchecked.py").write_text(UNCHECKED)
    project.write_problems([f"What is {number} + 3 - 2?" for number in range(2500, 3000)])

    def made(truncated: str) -> tuple[int, int, int]:
        """Requests that were sent so far, cut rows that were made, cut texts in the data set."""
        project.set(solve__truncated=truncated)
        project.run_all()
        cut = {row["id"] for row in project.rows("solve") if row["cut"]}
        return teacher.count(), len(cut), len(cut & {row["id"] for row in project.rows("assemble")})

    requests, cut, trained_on = made("drop")
    assert (requests, trained_on) == (500, 0)
    assert 70 <= cut <= 86
    assert made("keep") == (500, cut, cut)
    assert made("escalate") == (500 + cut, 0, 0)


TWO_STEPS = """
from pipeline.choices import Choices
from pipeline.recipe import Step
from pipeline.recipes import problems
from stages.assemble import Assemble
from stages.check import Check
from stages.filter import Filter
from stages.solve import Solve


def recipe(choices: Choices) -> list[Step]:
    solve = Solve(prompt="r1-distill/solve", samples=8, samples_min=3, samples_step=1)
    more = solve.model_copy(update={"samples_most": 20})
    return [
        *problems(choices),
        Step("solve", solve, rows=("load",)),
        Step("solve-more", more, rows=("load",), uses={"first": "solve"}),
        Step("check", Check(), rows=("solve-more",)),
        Step("filter", Filter(), rows=("check",)),
        Step("assemble", Assemble(prompt="r1-distill/student"), rows=("filter",)),
    ]
"""


@pytest.mark.long
def test_a_recipe_spends_what_was_saved_and_a_second_run_asks_nothing(tmp_path: Path, teacher: FakeTeacher) -> None:
    teacher.behave(right_share=0.7, cut_share=0.0)
    teacher.reset()
    project = Project(tmp_path, teacher.base_url, problems=40, recipe="my.py")
    (tmp_path / "my.py").write_text(TWO_STEPS)
    project.run_all("--until", "solve")
    first = teacher.samples()
    assert first == len(project.rows("solve")) < 40 * 8

    project.run_all()
    solved, more = project.rows("solve"), project.rows("solve-more")
    assert teacher.samples() == len(more)
    assert first < len(more) <= 40 * 8
    assert [row for row in more if row in solved] == solved
    samples = Counter(row["parent"] for row in more)
    told = json.loads((tmp_path / "outputs" / "one" / "solve" / "sampling.json").read_text())
    cap = min(20, 8 + (40 * 8 - first) // told["votes"]["undecided"]["problems"])
    assert 8 < max(samples.values()) <= cap
    assert {row["id"] for row in project.rows("assemble")} <= {row["id"] for row in more}
    report = (tmp_path / "outputs" / "one" / "report.html").read_text()
    assert "solve-more: problems by the samples asked for each" in report

    made = project.bytes_of()
    teacher.reset()
    shutil.rmtree(tmp_path / "outputs" / "one")
    project.run_all()
    assert teacher.count() == 0
    assert project.bytes_of() == made


def test_a_raised_cap_asks_for_what_is_new_alone(tmp_path: Path, teacher: FakeTeacher) -> None:
    teacher.behave(right_share=0.7, cut_share=0.0)
    project = Project(tmp_path, teacher.base_url, problems=40)
    project.set(solve__samples=8, solve__samples_min=4, solve__samples_step=2)
    project.run_all("--until", "solve")
    before = {row["id"]: row for row in project.rows("solve")}
    teacher.reset()
    project.set(solve__samples=16)
    project.run_all("--until", "solve")
    after = {row["id"]: row for row in project.rows("solve")}
    assert before.items() <= after.items()
    assert teacher.samples() == len(after) - len(before) > 0
