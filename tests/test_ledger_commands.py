"""The ledger as a user handles it: told, settled, exported and imported."""

import asyncio
import io
import json
import sqlite3
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import UsageError
from pipeline.ledger_commands import export, import_, print_stats, settle
from pipeline.lock import hold
from pipeline.teacher.accounts import Books
from pipeline.teacher.budget import Amount, Caps
from pipeline.teacher.dialect import Usage
from pipeline.teacher.ledger.entries import Intent, Outcome, Sample
from pipeline.teacher.ledger.ledger import Ledger
from tests.fake_teacher import FakeTeacher
from tests.project import Project

URL = "https://api.example.com/v1"
BODY = json.dumps(
    {"model": "m", "messages": [{"role": "user", "content": "4 + 1?"}], "max_tokens": 50, "n": 2}
).encode()
WORST = len(BODY) + 2 * 50
TABLES = ("requests", "replies", "samples", "settled")


@pytest.mark.long
def test_a_ledger_moved_to_another_machine_answers_there_and_counts_in_the_budget(
    tmp_path: Path, teacher: FakeTeacher
) -> None:
    teacher.reset()
    here = Project(tmp_path / "here", teacher.base_url, problems=10, budget_requests=15)
    here.run_all("--until", "assemble")
    assert here.run("ledger", "export", "replies.jsonl").stdout == "replies.jsonl: 40 samples\n"
    assert teacher.count() == 10

    there = Project(tmp_path / "there", teacher.base_url, problems=20, budget_requests=15)
    told = there.run("ledger", "import", "../here/replies.jsonl").stdout
    assert told == "10 requests and 40 samples added; 0 requests were there already\n"
    stopped = there.run_all("--until", "assemble", expect=1)
    assert "the budget of 15 requests is reached" in stopped.stderr
    assert teacher.count() == 15
    assert there.bytes_of()["heldout/rows.jsonl"] == here.bytes_of()["heldout/rows.jsonl"]
    there.run_all("--until", "assemble", "--limit", "10")
    assert there.bytes_of() == here.bytes_of()
    assert teacher.count() == 15


def test_the_figures_of_each_run_and_teacher_stand_in_a_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    everything(tmp_path)
    write(tmp_path, "reply", texts=("one", "two"), run="two")
    (tmp_path / "two").mkdir()
    priced = {"base_url": URL, "model": "m", "price": {"input": 1000, "output": 100_000}}
    (tmp_path / "two" / "run.json").write_text(json.dumps({"choices": {"teachers": {"solver": priced}}}))
    capsys.readouterr()
    print_stats(tmp_path, None)
    head, one, two = capsys.readouterr().out.splitlines()
    assert head.split()[:5] == ["run", "teacher", "requests", "samples", "tokens"]
    assert " ".join(one.split()) == "one solver 7 6 54 $4.01 1, at most $10.09 0 0 1 1 kB"
    assert " ".join(two.split()) == "two solver 1 2 27 $2.01 0 0 0 0 0 kB"
    print_stats(tmp_path, "two")
    assert len(capsys.readouterr().out.splitlines()) == 2
    with pytest.raises(UsageError, match="no run 'three'"):
        print_stats(tmp_path, "three")


def test_a_run_without_choices_is_told_in_those_of_the_config_or_of_any_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, "reply", texts=("one", "two"), run="pilot")
    print_stats(tmp_path, None)
    assert f"m at {URL}" in capsys.readouterr().out
    known = {"base_url": URL, "model": "m", "price": {"input": 1000, "output": 100_000}}
    for run, teachers in (("later", {"main": {**known, "model": "other"}}), ("two", {"main": known})):
        (tmp_path / run).mkdir()
        (tmp_path / run / "run.json").write_text(json.dumps({"choices": {"teachers": teachers}}))
    print_stats(tmp_path, None)
    assert "pilot main of two 1 2 27 $2.01 " in " ".join(capsys.readouterr().out.split())
    project = Project(tmp_path / "project", URL)
    project.choices["teachers"] = {"main": {"base_url": URL, "model": "m", "price": {"input": 0, "output": 1_000_000}}}
    project.save()
    print_stats(tmp_path, None, project.folder / "my.yaml")
    assert "pilot main 1 2 27 $20.00 " in " ".join(capsys.readouterr().out.split())


def test_what_was_in_flight_at_a_kill_is_told_as_maybe_billed_once_nobody_asks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, None)
    with hold(tmp_path / "ledger.lock", "run 'one', step 'solve'"):
        print_stats(tmp_path, None)
    assert "1, at most" not in capsys.readouterr().out
    for _ in range(2):
        print_stats(tmp_path, None)
        assert "1, at most $?" in capsys.readouterr().out
    settle(tmp_path, None)
    assert capsys.readouterr().out == f"released 1 requests of run one, step solve, to m: at most {WORST} tokens\n"
    print_stats(tmp_path, None)
    assert "1, at most" not in capsys.readouterr().out


def test_what_was_in_flight_at_a_death_is_released_once_and_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, None, run="one")
    write(tmp_path, "lost", run="one")
    write(tmp_path, "lost", run="two")
    settle(tmp_path, "one")
    assert capsys.readouterr().out == f"released 2 requests of run one, step solve, to m: at most {2 * WORST} tokens\n"
    settle(tmp_path, "one")
    assert capsys.readouterr().out == "nothing to release: no request may have been billed without an answer\n"
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        assert Books(ledger, "one", {}).taken(Caps()) == Amount(0, 0, 2)
        assert Books(ledger, "two", {}).taken(Caps()) == Amount(0, WORST, 1)


def test_an_export_has_a_line_a_sample_that_a_person_can_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, "reply", texts=("The answer is 5.", "The answer is 6."))
    write(tmp_path, "failed")
    export(tmp_path, tmp_path / "out.jsonl", None)
    assert capsys.readouterr().out.endswith("out.jsonl: 2 samples\n")
    first, second, failed = lines_of(tmp_path / "out.jsonl")
    assert (first["messages"], first["fields"]) == ([{"role": "user", "content": "4 + 1?"}], {"max_tokens": 50})
    assert [line["completion"] for line in (first, second)] == ["The answer is 5.", "The answer is 6."]
    assert [line["index"] for line in (first, second)] == [3, 4]
    assert (first["finish"], first["tokens"], first["cost_usd"], first["run"]) == ("stop", 10, None, "one")
    assert [line["raw"] is None for line in (first, second, failed)] == [False, True, False]
    assert "key" not in failed


@pytest.mark.parametrize("prefix", ["", "other-"])
def test_an_import_gives_all_of_it_back_and_a_second_one_adds_nothing(tmp_path: Path, prefix: str) -> None:
    everything(tmp_path / "a")
    export(tmp_path / "a", tmp_path / "a.jsonl", None)
    import_(tmp_path / "b", tmp_path / "a.jsonl", prefix)
    import_(tmp_path / "b", tmp_path / "a.jsonl", "")
    import_(tmp_path / "b", tmp_path / "a.jsonl", prefix)
    expected, found = content(tmp_path / "a"), content(tmp_path / "b")
    for row in expected["requests"]:
        row["run"] = prefix + row["run"]
    assert found == expected
    export(tmp_path / "b", tmp_path / "b.jsonl", None)
    import_(tmp_path / "a", tmp_path / "b.jsonl", "")
    assert {table: len(rows) for table, rows in content(tmp_path / "a").items()} == {
        table: len(rows) for table, rows in expected.items()
    }
    with Ledger(tmp_path / "a" / "ledger.sqlite") as first, Ledger(tmp_path / "b" / "ledger.sqlite") as second:
        amounts = [
            Books(first, "one", {}).taken(Caps()),
            Books(second, f"{prefix}one", {}).taken(Caps()),
            Books(second, "one", {}).taken(Caps()),
        ]
    assert amounts[0].requests == 7
    assert amounts[1] == amounts[0]
    assert amounts[2] == (Amount() if prefix else amounts[0])


def test_imported_samples_stand_behind_those_that_are_there(tmp_path: Path) -> None:
    write(tmp_path / "a", "reply", texts=("elsewhere", "elsewhere"))
    write(tmp_path / "b", "reply", texts=("here", "here"))
    export(tmp_path / "a", tmp_path / "a.jsonl", None)
    import_(tmp_path / "b", tmp_path / "a.jsonl", "")
    with Ledger(tmp_path / "b" / "ledger.sqlite") as ledger:
        entry = ledger.find({"a" * 64: None}).get("a" * 64)
        assert entry is not None
        assert b"here" in entry.body
        assert b"elsewhere" not in entry.body


def test_batches_that_came_in_are_over_and_keep_their_price(tmp_path: Path) -> None:
    write(tmp_path / "a", "reply", texts=("one", "two"), batch="nonce-1")
    write(tmp_path / "a", None, batch="nonce-1")  # under way: it is left out
    export(tmp_path / "a", tmp_path / "a.jsonl", None)
    for _ in range(2):
        import_(tmp_path / "b", tmp_path / "a.jsonl", "")
    with Ledger(tmp_path / "b" / "ledger.sqlite") as ledger:
        assert ledger.rows("SELECT nonce FROM batches") == [("nonce-1",)]
        assert ledger.rows("SELECT kind FROM batch_events") == [("ended",)]
        assert ledger.rows("SELECT q.batch = b.id FROM requests q, batches b") == [(1,)]


def drop_raw(lines: list[dict[str, Any]]) -> None:
    lines[0]["raw"] = None


def drop_kind(lines: list[dict[str, Any]]) -> None:
    del lines[2]["raw"]["kind"]


def wrong_kind(lines: list[dict[str, Any]]) -> None:
    lines[2]["raw"]["kind"] = "won"


def wrong_type(lines: list[dict[str, Any]]) -> None:
    lines[1]["choice"] = "first"


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (drop_raw, r"out\.jsonl:1: request 1 has no line with `raw` before this one"),
        (wrong_type, r"out\.jsonl:2: choice: Input should be a valid integer, found 'first'"),
        (drop_kind, r"out\.jsonl:3: raw\.kind: Field required"),
        (wrong_kind, r"out\.jsonl:3: raw\.kind: Input should be 'reply'.*found 'won'"),
    ],
)
def test_a_line_that_is_no_export_is_told_and_nothing_is_added(
    tmp_path: Path, spoil: Callable[[list[dict[str, Any]]], None], told: str
) -> None:
    write(tmp_path / "a", "reply", texts=("one", "two"))
    write(tmp_path / "a", "failed")
    export(tmp_path / "a", tmp_path / "out.jsonl", None)
    lines = lines_of(tmp_path / "out.jsonl")
    spoil(lines)
    (tmp_path / "out.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(UsageError, match=told):
        import_(tmp_path / "b", tmp_path / "out.jsonl", "")
    assert not any(content(tmp_path / "b").values())


def test_what_is_not_json_is_told_with_its_line(tmp_path: Path) -> None:
    write(tmp_path / "a", "failed")
    export(tmp_path / "a", tmp_path / "out.jsonl", None)
    with (tmp_path / "out.jsonl").open("a") as file:
        file.write("{half a line\n")
    with pytest.raises(UsageError, match=r"out\.jsonl:2: not JSON: "):
        import_(tmp_path / "b", tmp_path / "out.jsonl", "")


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (lambda folder: print_stats(folder, None), "no ledger at"),
        (lambda folder: settle(folder, None), "no ledger at"),
        (lambda folder: export(folder, folder / "x.jsonl", None), "no ledger at"),
        (lambda folder: import_(folder, folder / "x.jsonl", ""), "no file"),
    ],
)
def test_what_is_not_there_is_told_and_nothing_is_made(
    tmp_path: Path, command: Callable[[Path], None], told: str
) -> None:
    with pytest.raises(UsageError, match=told):
        command(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_export_waits_for_the_step_that_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "failed")
    held, free, told = threading.Event(), threading.Event(), threading.Event()

    class Errors(io.StringIO):
        """A capture that is emptied while another thread prints may lose a line: this one only grows."""

        def write(self, text: str) -> int:
            if "waiting for run 'two', step 'solve'" in text:
                told.set()
            return super().write(text)

    monkeypatch.setattr(sys, "stderr", Errors())

    def step() -> None:
        with hold(tmp_path / "ledger.lock", "run 'two', step 'solve'"):
            held.set()
            free.wait()

    other = threading.Thread(target=step)
    other.start()
    held.wait()
    exporting = threading.Thread(target=export, args=(tmp_path, tmp_path / "out.jsonl", None))
    exporting.start()
    try:
        assert told.wait(timeout=30)
        assert not (tmp_path / "out.jsonl").exists()
    finally:
        free.set()
        exporting.join()
        other.join()
    assert len(lines_of(tmp_path / "out.jsonl")) == 1


def everything(folder: Path) -> None:
    """A ledger with one request of each kind, awkward bodies among them."""
    write(folder, "reply", texts=("plain", "käse 数学 \u2028"))
    write(folder, "reply", texts=("half a pair: \ud83d", "whole"))
    write(folder, "refused", texts=("a", "b"))
    write(folder, "failed", raw=b"<html>\xff\xfe not UTF-8")
    write(folder, "lost")
    write(folder, "unknown")
    settle(folder, None)
    write(folder, "unknown")


def write(
    folder: Path,
    kind: Any,
    texts: tuple[str, ...] = (),
    raw: bytes = b"",
    run: str = "one",
    batch: str | None = None,
) -> None:
    """A request of two samples, and what came of it where something did."""
    keys = ("a" * 64, "b" * 64)
    made = [{"index": place, "message": {"content": text}, "finish_reason": "stop"} for place, text in enumerate(texts)]
    answer = json.dumps({"choices": made}).encode() if texts else raw

    async def job() -> None:
        with Ledger(folder / "ledger.sqlite") as ledger, ledger.writing():
            job_id = await ledger.write(lambda connection: batch_of(connection, batch)) if batch else None
            number = await ledger.intend(Intent(run, "solve", URL, "m", 3, 50, keys, BODY, job_id))
            usage = Usage(7, 2, 20) if kind == "reply" else Usage()
            samples = [Sample(key, place, True, 50) for place, key in enumerate(keys)] if texts else []
            if kind is not None:
                await ledger.settle(number, Outcome(kind, 200, {"retry-after": "1"}, answer, usage), samples)

    asyncio.run(job())


def batch_of(connection: sqlite3.Connection, nonce: str) -> int:
    """The batch job of that nonce, begun where it is not."""
    connection.execute("INSERT OR IGNORE INTO batches VALUES (NULL, 1.0, 'one', 'solve', 'here', 'm', ?)", (nonce,))
    return int(connection.execute("SELECT id FROM batches WHERE nonce = ?", (nonce,)).fetchone()[0])


def content(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """All rows of the ledger."""
    with sqlite3.connect(folder / "ledger.sqlite") as connection:
        connection.row_factory = sqlite3.Row
        found = {table: [dict(row) for row in connection.execute(f"SELECT * FROM {table}")] for table in TABLES}
    connection.close()
    return found


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]
