"""Replies that were bought elsewhere: how their file is read, and that a run works from them as from a live teacher."""

import contextlib
import json
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from pipeline.choices import Choices
from pipeline.errors import UsageError
from pipeline.progress import Silent
from pipeline.rows import Message, Problem
from pipeline.stage import Conversation, Reply, Request
from pipeline.teacher import Teachers
from pipeline.teacher.ledger.ledger import Ledger
from tests.fake_teacher import FakeTeacher
from tests.project import Project, gold
from tests.real_data import real_file

ONE, TWO = (Problem(id=f"sums-{number}", question=f"What is {number} + 3?") for number in (1, 2))


class Asking:
    """One way to ask a file of recorded replies; `self(lines)` asks both problems and gives the replies of each."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rows: Sequence[Problem] = (ONE, TWO)
        self.samples = 1
        self.prompt = "Think. {question}"
        self.step = "solve"
        self.conversation: Callable[[Problem], Conversation[Sequence[Reply]]] = self._talk

    def _talk(self, problem: Problem) -> Conversation[Sequence[Reply]]:
        replies = yield self.request(problem).samples(self.samples)
        return replies

    def request(self, problem: Problem) -> Request:
        content = self.prompt.format(question=problem.question)
        return Request(messages=(Message(role="user", content=content),), max_tokens=50, seed=1)

    def __call__(self, *lines: dict[str, Any] | bytes) -> dict[str, list[Reply]]:
        written = [line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines]
        if lines:
            (self.folder / "replies.jsonl").write_bytes(b"\n".join(written))
        choices = {
            "recipe": "r1-distill",
            "data": {"train": "none", "eval": "none"},
            "student": {"model": "none"},
            "teachers": {"main": {"recorded": "replies.jsonl"}},
            "base": self.folder,
        }
        progress = Silent()
        with Teachers(Choices.model_validate(choices), self.folder, "one", self.folder, progress) as teachers:
            teachers.check(["main"])
            teachers.begin(self.step, progress)
            return {row.id: list(replies) for row, replies in teachers.ask("main", self.rows, self.conversation)}

    def stored(self) -> list[tuple[Any, ...]]:
        """The ledger's requests, each with what came of it."""
        with Ledger(self.folder / "ledger.sqlite") as ledger:
            return ledger.rows(
                "SELECT q.identity, q.model, q.n, r.kind FROM requests q JOIN replies r ON r.request = q.id"
            )


@pytest.fixture
def asking(tmp_path: Path) -> Asking:
    return Asking(tmp_path)


def read(replies: Sequence[Reply]) -> list[tuple[str, str, bool]]:
    assert not [reply for reply in replies if reply.problem]
    return [(reply.text, reply.thoughts, reply.cut) for reply in replies]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"completion": "It is 4."}, [("It is 4.", "", False)]),
        ({"completion": "It is 4.", "reasoning": "1 + 3."}, [("It is 4.", "1 + 3.", False)]),
        ({"completion": "It is", "finish_reason": "length"}, [("It is", "", True)]),
        ({"completion": "<think>1 + 3.</think>\nIt is 4."}, [("It is 4.", "1 + 3.", False)]),
        ({"completions": ["4.", "Four."]}, [("4.", "", False), ("Four.", "", False)]),
        ({"completions": ["4.", "Four."], "reasoning": ["a", None]}, [("4.", "a", False), ("Four.", "", False)]),
        ({"completions": ["4."], "completion": None}, [("4.", "", False)]),
        ({"completions": ["4.", "Four."], "reasoning": None}, [("4.", "", False), ("Four.", "", False)]),
        (
            {"completions": [{"text": "4.", "reasoning": "a"}, {"text": "It", "finish_reason": "length"}, "Four."]},
            [("4.", "a", False), ("It", "", True), ("Four.", "", False)],
        ),
        ({"completion": "It is 4.", "model": "o9", "score": 0.3, "prompt": ["?"]}, [("It is 4.", "", False)]),
    ],
)
def test_a_line_is_read_however_it_writes_its_replies(
    asking: Asking, fields: dict[str, Any], expected: list[tuple[str, str, bool]]
) -> None:
    asking.samples, asking.rows = len(expected), [ONE]
    found = asking({"question": ONE.question, **fields})
    assert read(found[ONE.id]) == expected


def test_the_output_of_a_batch_job_is_read_as_it_came(asking: Asking) -> None:
    def line(*texts: str) -> dict[str, Any]:
        messages = [{"role": "assistant", "content": text, "reasoning_content": "1 + 3."} for text in texts]
        choices = [{"index": i, "message": each, "finish_reason": "stop"} for i, each in enumerate(messages)]
        return {"id": "batch_1", "custom_id": ONE.id, "response": {"status_code": 200, "body": {"choices": choices}}}

    asking.rows, asking.samples = [ONE], 4
    found = asking(line("a", "b"), line("c", "d"))
    assert read(found[ONE.id]) == [(text, "1 + 3.", False) for text in "abcd"]


@pytest.mark.parametrize(
    ("line", "is_found"),
    [
        ({"id": "sums-1"}, True),
        ({"id": "sums-1", "question": "something else"}, True),
        ({"id": "17", "question": ONE.question}, True),
        ({"id": 17, "question": ONE.question}, True),
        ({"question": "  what IS 1  +\n3 ?"}, True),
        ({"question": "What is 1 + 4?"}, False),
        ({"id": "1", "question": "What is 1 + 4?"}, False),
        ({"id": ONE.question}, False),
        ({"question": "sums-1"}, False),
    ],
)
def test_a_problem_is_found_by_its_id_or_by_its_question(asking: Asking, line: dict[str, Any], is_found: bool) -> None:
    found = asking({"id": TWO.id, "completion": "It is 5."}, {**line, "completion": "It is 4."})
    assert [reply.text for reply in found[TWO.id]] == ["It is 5."]
    assert [reply.text for reply in found[ONE.id]] == (["It is 4."] if is_found else [""])


def test_where_lines_name_its_id_a_problem_gets_these_alone(asking: Asking) -> None:
    asking.rows, asking.samples = [ONE], 2
    lines = [{"question": ONE.question, "completion": "a"}, {"id": ONE.id, "completion": "b"}]
    assert [reply.text for reply in asking(*lines)[ONE.id]] == ["b", ""]


def test_lines_of_one_problem_add_up_in_the_order_of_the_file(asking: Asking) -> None:
    asking.samples = 3
    lines = [(ONE, ["a", "b"]), (TWO, ["d", "e", "f", "g"]), (ONE, ["c"])]
    found = asking(*[{"question": row.question, "completions": texts} for row, texts in lines])
    assert {name: [reply.text for reply in replies] for name, replies in found.items()} == {
        ONE.id: ["a", "b", "c"],
        TWO.id: ["d", "e", "f"],
    }


def test_what_the_file_lacks_is_told_of_each_sample(asking: Asking) -> None:
    asking.samples = 3
    found = asking({"id": ONE.id, "completions": ["a", "b"]})
    assert [reply.problem for reply in found[ONE.id]] == [None, None, "not_recorded"]
    assert [reply.problem for reply in found[TWO.id]] == ["not_recorded"] * 3
    assert found[ONE.id][2].detail == "replies.jsonl has 2 of its samples; this is number 3"


def test_a_later_turn_may_ask_for_further_samples_of_the_same_prompt(asking: Asking) -> None:
    def adaptive(problem: Problem) -> Conversation[Sequence[Reply]]:
        first = yield asking.request(problem).samples(2)
        more = yield asking.request(problem).samples(2, first=2)
        longer = yield [asking.request(problem).model_copy(update={"max_tokens": 5000})]
        return [*first, *more, *longer]

    asking.conversation, asking.rows = adaptive, [ONE]
    cut = {"text": "a", "finish_reason": "length"}
    found = asking({"id": ONE.id, "completions": [cut, "b", "c"]})
    assert [(reply.text, reply.problem) for reply in found[ONE.id]] == [
        ("a", None), ("b", None), ("c", None), ("", "not_recorded"), ("a", None),
    ]  # fmt: skip
    assert found[ONE.id][0].cut
    with Ledger(asking.folder / "ledger.sqlite") as ledger:
        assert ledger.rows("SELECT ended, max_tokens FROM samples") == [(0, None), (1, None), (1, None)]


def test_a_question_about_a_reply_is_refused_before_anything_is_made_of_it(asking: Asking) -> None:
    def two_calls(problem: Problem) -> Conversation[Sequence[Reply]]:
        (reply,) = yield [asking.request(problem)]
        content = f"{problem.question} {reply.text} Therefore, the answer is"
        answers = yield [Request(messages=(Message(role="user", content=content),))]
        return answers

    asking.conversation = two_calls
    with pytest.raises(UsageError) as told:
        asking({"id": ONE.id, "completion": "a"})
    assert "step solve asks a second question about each reply" in told.value.fact
    assert "--set solve.answer_prompt=null" in (told.value.hint or "")


def test_problems_with_the_same_prompt_share_their_replies(asking: Asking) -> None:
    asking.rows = [ONE, TWO]
    asking.prompt = "Say a number."
    found = asking({"id": ONE.id, "completion": "a"}, {"id": TWO.id, "completion": "b"})
    assert [replies[0].text for replies in found.values()] == ["a", "a"]
    assert len(asking.stored()) == 1


def test_replies_enter_the_ledger_once(asking: Asking) -> None:
    asking.samples = 2
    lines = [{"id": row.id, "completions": ["a", "b"], "reasoning": ["c", "d"]} for row in (ONE, TWO)]
    found = asking(*lines)
    stored = asking.stored()
    assert [row[1:] for row in stored] == [("replies", 2, "reply")] * 2
    assert stored[0][0].startswith("recorded:")
    assert asking() == found
    assert asking.stored() == stored
    with Ledger(asking.folder / "ledger.sqlite") as ledger:
        key = found[TWO.id][1].key
        entry = ledger.find({key: 50}).get(key)
    assert entry is not None
    assert json.loads(entry.body)["choices"][1]["message"]["reasoning_content"] == "d"


def test_an_edited_file_is_another_teacher(asking: Asking) -> None:
    lines = [{"id": ONE.id, "completion": "a"}, {"id": TWO.id, "completion": "b"}]
    before, after = asking(lines[0]), asking(*lines)
    assert [replies[0].problem for replies in before.values()] == [None, "not_recorded"]
    assert [replies[0].text for replies in after.values()] == ["a", "b"]
    assert before[ONE.id][0].key != after[ONE.id][0].key


GOOD = b'{"id": "sums-1", "completion": "a"}'


@pytest.mark.parametrize(
    ("line", "fact"),
    [
        (b'{"id": "x", "completion": "a"', "not JSON: "),
        (b'["a"]', 'expected an object, found b\'["a"]'),
        (b'{"id": "\xff"}', "not UTF-8: "),
        (b'{"completion": "a"}', "neither id nor question; it has completion"),
        (b'{"id": " ", "completion": "a"}', "neither id nor question"),
        (b'{"id": [1], "completion": "a"}', "id and question are texts, found [1]"),
        (b'{"question": 7, "completion": "a"}', "id and question are texts, found 7"),
        (b'{"id": "x", "response": "a"}', "neither completion nor completions; it has id, response"),
        (b'{"id": "x", "completion": null}', "a completion is a text and completions are a list, found None"),
        (b'{"id": "x", "completions": []}', "a completion is a text and completions are a list, found []"),
        (b'{"id": "x", "completion": "a", "completions": ["b"]}', "both completion and completions"),
        (b'{"id": "x", "completions": ["a", 3]}', "a completion is a text, found 3"),
        (b'{"id": "x", "completions": [{"content": "a"}]}', "a completion is a text, found {'content': 'a'}"),
        (b'{"id": "x", "completion": "a", "reasoning": 3}', "reasoning and finish_reason are texts, found 3"),
        (b'{"id": "x", "completion": "a", "finish_reason": 3}', "reasoning and finish_reason are texts, found 3"),
        (b'{"id": "x", "completions": ["a", "b"], "reasoning": ["c"]}', "2 completions and 1 reasoning"),
        (b'{"id": "x", "completions": ["a", "b"], "reasoning": "c"}', "2 completions and 1 reasoning"),
        (b'{"id": "x", "response": {"body": {"choices": [3]}}}', "neither completion nor completions"),
    ],
)
def test_a_bad_line_is_told_with_its_place_before_anything_is_stored(asking: Asking, line: bytes, fact: str) -> None:
    with pytest.raises(UsageError) as told:
        asking(GOOD, b"", line)
    assert told.value.fact.startswith(f"replies.jsonl:3: {fact}")
    assert asking.stored() == []


@pytest.mark.parametrize(
    ("line", "command"),
    [
        ({"prompt": "Why?", "completion": "a"}, "jq -c '.question = .prompt' FILE > with-question.jsonl"),
        ({"id": "x", "response": "a"}, "jq -c '.completion = .response' FILE > with-completion.jsonl"),
        ({"id": "x", "said": "a"}, "jq -c '.completion = .THEIRS' FILE > with-completion.jsonl"),
    ],
)
def test_a_field_of_another_name_is_told_with_the_command_that_renames_it(
    asking: Asking, line: dict[str, Any], command: str
) -> None:
    with pytest.raises(UsageError) as told:
        asking(line)
    assert command in (told.value.hint or "")


def test_a_mark_at_its_beginning_and_blank_lines_are_no_part_of_a_file(asking: Asking) -> None:
    found = asking(b"\xef\xbb\xbf" + GOOD, b"  ", b'{"id": "sums-2", "completion": "b"}\r', b"")
    assert [replies[0].text for replies in found.values()] == ["a", "b"]


@pytest.mark.parametrize(
    ("content", "fact"), [(None, "no file replies.jsonl"), (b"\n", "replies.jsonl has no replies")]
)
def test_a_file_that_is_not_there_or_is_empty_is_told(asking: Asking, content: bytes | None, fact: str) -> None:
    with pytest.raises(UsageError, match=fact):
        asking(*([] if content is None else [content]))


def test_a_file_for_other_problems_is_told_with_an_example_of_both(asking: Asking) -> None:
    with pytest.raises(UsageError) as told:
        asking({"id": 7, "question": "Where do you live?", "completion": "a"})
    assert told.value.fact == (
        "step solve: replies.jsonl has no reply to any of the rows: its first line has id '7', question 'Where do you "
        "live?'; the first row has id 'sums-1', question 'What is 1 + 3?'"
    )
    assert "python -m pipeline show load" in (told.value.hint or "")


def test_a_file_that_served_one_step_may_lack_all_problems_of_another(asking: Asking) -> None:
    asking.rows = [ONE]
    asking({"id": ONE.id, "completion": "a"})
    asking.rows = [TWO]
    assert [reply.problem for reply in asking()[TWO.id]] == ["not_recorded"]


def recorded(project: Project, lines: list[dict[str, Any]], **choice: Any) -> None:
    """Let the project's teacher be a file of these lines."""
    project.write("replies.jsonl", lines)
    project.choices["teachers"] = {"main": {"recorded": "replies.jsonl", **choice}}
    project.save()


def by_problem(solutions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Solutions as a file of recorded replies, a line a problem."""
    lines: dict[str, dict[str, Any]] = {}
    for row in solutions:
        line = lines.setdefault(
            row["parent"], {"question": row["problem"]["question"], "completions": [], "reasoning": []}
        )
        line["completions"].append(row["text"])
        line["reasoning"].append(row["thoughts"])
    return list(lines.values())


def without_keys(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name != "keys"} for row in rows]


@pytest.mark.long
def test_a_run_works_from_recorded_replies_as_from_the_live_teacher(tmp_path: Path, teacher: FakeTeacher) -> None:
    live = Project(tmp_path / "live", teacher.base_url)
    live.run_all("--until", "assemble")
    project = Project(tmp_path / "recorded", "http://127.0.0.1:9/v1")
    lines = by_problem(live.rows("solve"))
    recorded(project, lines)
    done = project.run_all("--until", "assemble", "--budget", "0.01")
    assert "solve  12 rows -> 48" in done.stderr
    for step in ("solve", "check", "filter", "assemble"):
        assert without_keys(project.rows(step)) == without_keys(live.rows(step))

    made, ledger = project.bytes_of(), project.folder / "outputs" / "ledger.sqlite"
    with Ledger(ledger) as opened:
        counts = opened.rows("SELECT COUNT(*), SUM(n) FROM requests")
    shutil.rmtree(project.folder / "outputs" / "one")
    project.run_all("--until", "assemble")
    assert project.bytes_of() == made
    with Ledger(ledger) as opened:
        assert opened.rows("SELECT COUNT(*), SUM(n) FROM requests") == counts == [(12, 48)]


def test_replies_added_to_the_file_join_a_finished_run_without_being_asked_twice(tmp_path: Path) -> None:
    project = Project(tmp_path, "http://127.0.0.1:9/v1", problems=2)
    project.set(solve__samples=2)
    questions = [row["question"] for row in map(json.loads, (tmp_path / "problems.jsonl").read_text().splitlines())]
    lines = [{"question": q, "completions": [f"I add them up. The answer is {gold(q)}."]} for q in questions]
    recorded(project, lines)
    project.run_all("--until", "assemble")
    assert len(project.rows("solve")) == 2
    shown = project.run("show", "solve", "--run", "one", "--dropped", "not_recorded").stdout
    assert "replies.jsonl has 1 of its samples; this is number 2" in shown
    second = f"Once more. The answer is {gold(questions[0])}."
    recorded(project, [*lines, {"question": questions[0], "completion": second}])
    project.run_all("--until", "assemble")
    assert [row["text"] for row in project.rows("solve")][1] == second


@pytest.mark.long
def test_killed_while_replies_are_read_in_a_run_ends_with_the_same_bytes(tmp_path: Path) -> None:
    def project_in(folder: Path) -> Project:
        project = Project(folder, "http://127.0.0.1:9/v1")
        questions = [f"What is {number} + 3 - 2?" for number in range(2_000)]
        project.write_problems(questions)
        reply = "I add them up. The answer is {}."
        recorded(project, [{"question": q, "completions": [reply.format(gold(q))] * 2} for q in questions])
        project.set(solve__samples=2)
        return project

    def stored(project: Project, kind: str) -> int:
        path = project.folder / "outputs" / "ledger.sqlite"
        if not path.exists():
            return 0
        with Ledger(path) as ledger:
            return int(ledger.rows("SELECT COUNT(*) FROM replies WHERE kind = ?", (kind,))[0][0])

    def killed(folder: Path) -> Project:
        project = project_in(folder)
        command = project.command("run", "all", "--config", "my.yaml", "--until", "check")
        environment = project.environment()
        with subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.DEVNULL) as process:
            while not stored(project, "reply"):
                with contextlib.suppress(subprocess.TimeoutExpired):
                    assert process.wait(timeout=0.01) is None, "it ended before it was killed"
            process.kill()
        return project

    undisturbed = project_in(tmp_path / "undisturbed")
    undisturbed.run_all("--until", "check")
    tries = (killed(tmp_path / f"killed-{number}") for number in range(10))
    project = next(met for met in tries if stored(met, "reply") < 2_000)  # a busy machine may look only after the last
    project.run_all("--until", "check")
    assert project.bytes_of() == undisturbed.bytes_of()
    assert (stored(project, "reply"), stored(project, "unknown")) == (2_000, 0)


def test_real_completions_of_palm_are_worked_from_up_to_the_question_that_they_invent(tmp_path: Path) -> None:
    path = real_file("palm/svamp-test.jsonl")
    shutil.copy(path, tmp_path / "palm.jsonl")
    source = {"path": "palm.jsonl", "fields": {"answer": "gold_equation"}}
    project = Project(tmp_path, "http://127.0.0.1:9/v1", data={"train": source, "eval": "heldout.jsonl"})
    recorded(project, [])
    project.choices["teachers"]["main"]["recorded"] = "palm.jsonl"
    project.set(solve__samples=1)
    project.run_all("--until", "check")
    solutions, lines = project.rows("solve"), [json.loads(line) for line in path.read_bytes().splitlines()]
    wholes = [line["completion"].strip() for line in lines]
    assert all(whole.startswith(row["text"]) for whole, row in zip(wholes, solutions, strict=True))
    rest = [whole.removeprefix(row["text"]).strip() for whole, row in zip(wholes, solutions, strict=True)]
    assert {text.partition(":")[0] for text in rest if text} <= {"Q", "Question"}
    assert {row["teacher"] for row in solutions} == {"main"}
    assert len(project.rows("check")) in (155, 156)
