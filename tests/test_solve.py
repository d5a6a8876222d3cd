"""Conversations with a teacher, tested by sending them replies."""

from pathlib import Path

from pipeline.rows import Dropped, Solution
from pipeline.stage import Reply
from stages.rationalize import Rationalize
from stages.solve import Solve
from tests.made import problem, run, solution, work


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
