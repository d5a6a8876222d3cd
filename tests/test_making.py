"""A stage is held to its books: what enters is carried on or dropped, over ids."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import StageError
from pipeline.jsonl import StoredRows, identities, read_rows
from pipeline.making import make_rows
from pipeline.recipe import Step
from pipeline.record import Record
from pipeline.rows import Dropped, Problem, Row
from pipeline.stage import Rows, Stage, Work
from stages.load import Load
from tests.made import problem, work


class Scripted(Stage):
    """Makes what it is told to."""

    reads = Problem
    writes = Problem

    made: tuple[Any, ...]

    def run(self, rows: Rows[Problem], work: Work) -> Iterator[Row | Dropped]:
        yield from self.made


def making(folder: Path, *made: Row | Dropped) -> object:
    step = Step("step", Scripted(made=made), rows=("load",))
    return make_rows(step, [problem("a"), problem("b")], work(folder), folder)


def child(name: str, parent: str) -> Problem:
    return problem(name).model_copy(update={"parent": parent})


def test_rows_leave_as_themselves_as_children_or_dropped(tmp_path: Path) -> None:
    counts = making(
        tmp_path, child("a/0", "a"), Dropped(id="a/1", parent="a", reason="cut"), Dropped(id="b", reason="x")
    )
    assert counts.model_dump() == {  # type: ignore[attr-defined]
        "entered": 2,
        "carried": 1,
        "written": 1,
        "dropped": {"cut": 1, "x": 1},
    }


@pytest.mark.parametrize(
    ("made", "fault"),
    [
        ([problem("a")], "lost 1 rows without a reason, 'b' first"),
        ([problem("a"), problem("b"), problem("c")], "made rows of 'c', which did not enter"),
        ([problem("a"), problem("b"), problem("a")], "two rows with the id 'a'"),
        ([problem("a"), problem("b"), Dropped(id="a", reason="x")], "dropped 'a' and carried it on"),
    ],
)
def test_a_stage_that_loses_count_is_a_bug(tmp_path: Path, made: list[Row | Dropped], fault: str) -> None:
    with pytest.raises(RuntimeError, match=fault):
        making(tmp_path, *made)


def test_a_step_that_carries_nothing_on_says_why_and_where_to_look(tmp_path: Path) -> None:
    with pytest.raises(StageError) as caught:
        making(tmp_path, Dropped(id="a", reason="x"), Dropped(id="b", reason="x"))
    assert "carried none of 2 rows on: 2 x" in caught.value.fact
    assert "show step" in (caught.value.hint or "")


def test_a_step_that_others_stand_in_for_may_carry_nothing_on(tmp_path: Path) -> None:
    step = Step("step", Scripted(made=(Dropped(id="a", reason="x"),)), rows=("load",), may_be_empty=True)
    assert make_rows(step, [problem("a")], work(tmp_path), tmp_path).written == 0


def test_where_nothing_entered_the_step_before_is_shown(tmp_path: Path) -> None:
    with pytest.raises(StageError) as caught:
        make_rows(Step("step", Scripted(made=()), rows=("before",)), [], work(tmp_path), tmp_path)
    assert "show before --dropped all" in (caught.value.hint or "")


def test_a_field_that_a_stage_got_since_makes_no_finished_step_drift(tmp_path: Path) -> None:
    load = Load.model_validate({"sources": "problems.jsonl"})
    written = Record(step="load", stage="load", version=1, fields=load.model_dump(mode="json"), output="x")
    document = written.model_dump(mode="json")
    del document["fields"]["distinct"]
    (tmp_path / "record.json").write_text(json.dumps(document))
    read = Record.read(tmp_path, load)
    assert read is not None
    assert read.differences(written) == []
    assert read.differences(written.model_copy(update={"fields": {**written.fields, "distinct": False}})) == [
        "fields.distinct: true -> false"
    ]


def test_what_a_source_got_since_makes_no_finished_step_drift(tmp_path: Path) -> None:
    load = Load.model_validate({"sources": ["a.jsonl", "b.jsonl"]})
    written = Record(step="load", stage="load", version=1, fields=load.model_dump(mode="json"), output="x")
    document = written.model_dump(mode="json")
    for source in document["fields"]["sources"]:
        del source["judge"]
    (tmp_path / "record.json").write_text(json.dumps(document))
    read = Record.read(tmp_path, load)
    assert read is not None
    assert read.made_of() == written.made_of()
    licensed = Load.model_validate({"sources": ["a.jsonl", {"path": "b.jsonl", "licence": "MIT"}]})
    assert read.differences(written.model_copy(update={"fields": licensed.model_dump(mode="json")})) == [
        'fields.sources.1.licence: null -> "MIT"'
    ]


NAMES = ["plain", 'a "quoted" one', "back\\slash", "käse 数学 \u2028", "}, {", ""]


def test_an_id_is_the_same_read_from_the_beginning_of_its_line(tmp_path: Path) -> None:
    rows = [child(name, parent) for name in NAMES for parent in NAMES] + [problem(name) for name in NAMES]
    expected = [(row.id, row.parent) for row in rows]
    (tmp_path / "as-made.jsonl").write_text("".join(row.model_dump_json() + "\n" for row in rows), encoding="utf-8")
    (tmp_path / "spaced.jsonl").write_text("".join(json.dumps(row.model_dump()) + "\n" for row in rows))
    (tmp_path / "other.jsonl").write_text("".join(json.dumps({"x": 1, **row.model_dump()}) + "\n" for row in rows))
    for file in tmp_path.glob("*.jsonl"):
        assert [(name, parent) for name, parent, _ in identities(file)] == expected, file.name


def test_rows_in_files_are_counted_by_the_ids_there(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text(problem("a").model_dump_json() + "\n" + problem("b").model_dump_json() + "\n")
    rows = StoredRows([tmp_path / "in.jsonl"], Problem)
    step = Step("step", Scripted(made=(problem("b"), Dropped(id="a", reason="x"))), rows=("load",))
    counts = make_rows(step, rows, work(tmp_path), tmp_path)
    assert (counts.entered, counts.carried, counts.written, counts.dropped) == (2, 1, 1, {"x": 1})
    assert [row.id for row in read_rows(tmp_path / "rows.jsonl", Problem)] == ["b"]
