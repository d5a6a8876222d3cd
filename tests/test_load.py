"""Problems of the user's sources: what is read, what is dropped, and what is told of a source that cannot be read."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from pipeline.choices import Source
from pipeline.entries import outside
from pipeline.errors import StageError, UsageError
from pipeline.rows import Dropped, Problem
from pipeline.sources import problems
from stages.load import Load
from tests.made import outcome, work

GSM8K = "Natalia sold 48/2 = <<48/2=24>>24 clips in May.\n#### 1,072"


def write(path: Path, *records: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def read(folder: Path, path: str, **more: Any) -> list[Problem]:
    return list(problems([Source(path=path, **more)], folder))


def fault(folder: Path, *paths: str, **more: Any) -> str:
    with pytest.raises(UsageError) as caught:
        list(problems([Source(path=path, **more) for path in paths], folder))
    return str(caught.value)


def test_every_kind_of_file_gives_the_same_problems(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    rows = [
        {"id": "one", "question": "What is 1 + 1?", "answer": "2"},
        {"id": "two", "question": 'Say "a, b"\nor c', "answer": "c"},
    ]
    write(tmp_path / "t.jsonl", *rows)
    (tmp_path / "t.json").write_text(json.dumps(rows))
    with (tmp_path / "t.csv").open("w", newline="", encoding="utf-8-sig") as file:
        writer = csv.DictWriter(file, ["id", "question", "answer"])
        writer.writeheader()
        writer.writerows(rows)
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "t.parquet")
    expected = [(row["id"], row["question"], row["answer"]) for row in rows]
    for name in ("t.jsonl", "t.json", "t.csv", "t.parquet"):
        assert [(row.id, row.question, row.answer) for row in read(tmp_path, name)] == expected, name


@pytest.mark.parametrize(
    ("value", "gold"),
    [
        ("18", "18"), (18, "18"), (0, "0"), (0.5, "0.5"), (True, "true"), (None, None), ("", None),
        (float("nan"), None),
        (GSM8K, "1,072"), ("1 0\n0 1\n", "1 0\n0 1"), ("#### of it", "of it"),
    ],
)  # fmt: skip
def test_a_gold_answer_is_a_text_or_nothing(tmp_path: Path, value: object, gold: str | None) -> None:
    write(tmp_path / "t.jsonl", {"question": "q", "answer": value})
    assert read(tmp_path, "t.jsonl")[0].answer == gold


@pytest.mark.parametrize(
    ("choices", "answer", "letter"),
    [
        (["ant", "bee", "cow"], "B", "b"),
        (["ant", "bee", "cow"], "(b)", "b"),
        (["ant", "bee", "cow"], "Bee", "b"),
        (["ant", "bee", "cow"], 1, "b"),
        (["1", "2", "3"], 2, "b"),
        ([10, 20], 20, "b"),
        ({"label": ["1", "2"], "text": ["ant", "bee"]}, "2", "b"),
        ([{"label": "X", "text": "ant"}, {"label": "Y", "text": "bee"}], "Y", "b"),
        ({"A": "ant", "B": "bee"}, "B", "b"),
        ('["ant", "bee"]', "1", "b"),
        (["ant", "bee"], None, None),
        ([], "5", "5"),
    ],
)
def test_the_gold_option_is_given_by_label_letter_text_or_index(
    tmp_path: Path, choices: object, answer: object, letter: str | None
) -> None:
    write(tmp_path / "t.jsonl", {"question": "q", "choices": choices, "answer": answer})
    assert read(tmp_path, "t.jsonl")[0].answer == letter


def test_fields_are_mapped_and_the_rest_travels_along(tmp_path: Path) -> None:
    write(tmp_path / "t.jsonl", {"problem": "q", "answer": "no", "solution": GSM8K})
    (row,) = read(
        tmp_path, "t.jsonl", fields={"question": "problem", "answer": "solution"}, licence="MIT", kind="general"
    )
    assert (row.question, row.answer, row.licence, row.kind, row.source) == ("q", "1,072", "MIT", "general", "t.jsonl")


def test_an_id_made_of_the_question_outlives_an_edit_elsewhere(tmp_path: Path) -> None:
    before = [{"question": f"q{i}"} for i in range(3)]
    write(tmp_path / "t.jsonl", *before)
    ids = [row.id for row in read(tmp_path, "t.jsonl")]
    write(tmp_path / "t.jsonl", before[0], {"question": "new"}, *before[1:])
    assert [row.id for row in read(tmp_path, "t.jsonl") if row.question != "new"] == ids
    assert all(name.startswith("t-") for name in ids)


def test_ids_of_one_question_are_told_apart(tmp_path: Path) -> None:
    write(tmp_path / "t.jsonl", {"question": "Why?"}, {"question": "why ?"})
    first, second = read(tmp_path, "t.jsonl")
    assert second.id == f"{first.id}-2"


def test_numbered_ids_of_two_files_do_not_meet(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", {"id": 0, "question": "q"})
    write(tmp_path / "b.jsonl", {"id": 0, "question": "r"})
    assert [row.id for row in problems([Source(path="a.jsonl"), Source(path="b.jsonl")], tmp_path)] == ["a-0", "b-0"]


def test_a_source_is_read_no_further_than_its_limit(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text('{"question": "a"}\n{"question": "b"}\nnot read\n')
    assert [row.question for row in read(tmp_path, "t.jsonl", limit=2)] == ["a", "b"]


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("t.jsonl", b"", "t.jsonl has no problems"),
        ("t.jsonl", b"\n\n", "t.jsonl has no problems"),
        ("t.csv", b"question,answer\n", "t.csv has no problems"),
        ("t.json", b"[]", "t.json has no problems"),
        ("t.jsonl", b'{"question": "a"}\n{"question": "b"\n', "t.jsonl:2: not JSON: Expecting ',' delimiter"),
        ("t.jsonl", b'{"question": "a"}\n["b"]\n', "t.jsonl:2: expected an object, found a list"),
        ("t.jsonl", b'{"question": "a"}\n{"question": "\xff"}\n', "t.jsonl:2: not UTF-8"),
        ("t.json", b'{"question": "a"}\n{"question": "b"}\n', "t.json:2: not JSON: Extra data"),
        ("t.json", b'{"data": []}', "t.json: expected a list of objects, found an object"),
        ("t.json", b'[{"question": "a"}, 7]', "t.json: item 2: expected an object, found a number"),
        ("t.csv", b"question,answer\na\n", "t.csv:2: fewer cells than the header, which has 2"),
        ("t.csv", b"question,answer\na,b,c\n", "t.csv:2: more cells than the header, which has 2"),
        ("t.csv", b'question,answer\n"a" b,c\n', "t.csv:2: not CSV"),
        ("t.csv", b"question,answer\n\xff,c\n", "t.csv:2: not UTF-8"),
        ("t.parquet", b"no such thing", "t.parquet: not a Parquet file"),
        ("t.jsonl", b'{"question": "a", "tests": ["f(1) == 3"]}\n', "t.jsonl:1: the tests check nothing"),
        ("t.jsonl", b'{"question": "a", "tests": [1]}\n', "t.jsonl:1: tests are not statements or inputs with outputs"),
        ("t.jsonl", b'{"problem": "a", "gold": 1}\n', "t.jsonl:1: no field 'question'; it has problem, gold"),
        ("t.jsonl", b'{"question": " "}\n', "t.jsonl:1: the question is empty"),
        ("t.jsonl", b'{"question": null}\n', "t.jsonl:1: the question is empty"),
        ("t.jsonl", b'{"question": ["a"]}\n', "t.jsonl:1: the question is ['a'], not a text"),
        ("t.jsonl", b'{"question": "a", "answer": [1]}\n', "t.jsonl:1: the answer is a list"),
        ("t.jsonl", b'{"question": "a", "choices": ["b"]}\n', "t.jsonl:1: choices are not 2 to 26 texts"),
        ("t.jsonl", b'{"question": "a", "choices": "b"}\n', "t.jsonl:1: choices are not 2 to 26 texts"),
        ("t.jsonl", b'{"question": "a", "choices": ["b", "c"], "answer": "d"}\n', "'d' is none of the 2 choices"),
        ("t.jsonl", b'{"id": "x", "question": "a"}\n\n{"id": "x", "question": "b"}\n',
         "t.jsonl:3: id 'x' stands at t.jsonl:1 too"),
        ("t.txt", b"a", "t.txt: unknown kind of source"),
        ("t", b"a", "t: unknown kind of source"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_read_says_where(tmp_path: Path, name: str, content: bytes, told: str) -> None:
    (tmp_path / name).write_bytes(content)
    message = fault(tmp_path, name)
    assert told in message
    assert str(tmp_path) not in message


def test_a_missing_field_comes_with_the_mapping_to_write(tmp_path: Path) -> None:
    write(tmp_path / "t.jsonl", {"n": 1, "problem": "a", "solution": "b"})
    assert "{path: t.jsonl, fields: {question: problem}}" in fault(tmp_path, "t.jsonl")
    assert "no field 'gold'; it has n, problem, solution" in fault(
        tmp_path, "t.jsonl", fields={"question": "problem", "answer": "gold"}
    )
    assert "did you mean 'question'?" in fault(tmp_path, "t.jsonl", fields={"questoin": "problem"})


def test_a_missing_file_says_where_it_was_looked_for(tmp_path: Path) -> None:
    assert f"no file no.jsonl\nhint: looked for {tmp_path}/no.jsonl" in fault(tmp_path, "no.jsonl")


def test_one_id_in_two_sources_is_told_with_both_places(tmp_path: Path) -> None:
    for name in ("a.jsonl", "b.jsonl"):
        write(tmp_path / name, {"id": "x", "question": name})
    assert "b.jsonl:1: id 'x' stands at a.jsonl:1 too" in fault(tmp_path, "a.jsonl", "b.jsonl")


@pytest.mark.parametrize("names", [("x", "x/0"), ("x/0", "x"), ("x/hint-1", "x"), ("y", "x/y", "x/y/12")])
def test_an_id_that_a_sample_of_another_problem_gets_is_refused(tmp_path: Path, names: tuple[str, ...]) -> None:
    write(tmp_path / "a.jsonl", *({"id": name, "question": name} for name in names))
    longest = max(names, key=len)
    assert f"id {longest!r} is what a sample of {longest.rpartition('/')[0]!r} at" in fault(tmp_path, "a.jsonl")


def test_ids_with_slashes_that_no_sample_gets_are_kept(tmp_path: Path) -> None:
    names = ["x", "x/y", "x/1.json", "z/0", "z/1"]
    write(tmp_path / "a.jsonl", *({"id": name, "question": name} for name in names))
    assert [row.id for row in read(tmp_path, "a.jsonl")] == names


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("chain_sums", "reasoning-gym has no data set 'chain_sums'\nhint: did you mean 'chain_sum'?"),
        ("chain_sum?min_term=2", "chain_sum has no parameter 'min_term'\nhint: did you mean 'min_terms'?"),
        ("chain_sum?min_terms", "expected parameter=value, found 'min_terms'"),
        ("chain_sum?size=many", "size is a whole number, found 'many'"),
        ("chain_sum?min_terms=0", "chain_sum refuses its parameters: min_terms must be positive"),
        ("chain_sum?size=0", "chain_sum refuses its parameters: size must be positive"),
        ("chain_sum?min_terms=two", "chain_sum refuses its parameters"),
        ("chain_sum?min_terms=[", "'[' is not a value as YAML writes it"),
    ],
)
def test_a_wrong_generator_address_is_told(tmp_path: Path, query: str, told: str) -> None:
    assert told in fault(tmp_path, f"reasoning_gym:{query}")


def test_generated_problems_are_the_same_every_time_and_bring_their_scorer(tmp_path: Path) -> None:
    path = "reasoning_gym:chain_sum?min_terms=2&max_terms=3&size=5&seed=9"
    first = read(tmp_path, path)
    assert read(tmp_path, path) == first
    assert len(first) == 5
    assert first[0].scorer == "reasoning_gym:chain_sum?min_terms=2&max_terms=3"
    assert first[0].metadata["num_terms"] in (2, 3)
    assert first[0].id.startswith("chain_sum-")
    assert Problem.model_validate_json(first[0].model_dump_json()).question == first[0].question


def test_the_record_holds_what_the_problems_depend_on(tmp_path: Path) -> None:
    write(tmp_path / "t.jsonl", {"question": "a"})
    before = Load(sources=("t.jsonl", "reasoning_gym:chain_sum")).outside(tmp_path)
    assert list(before) == ["t.jsonl", "reasoning-gym"]
    write(tmp_path / "t.jsonl", {"question": "b"})
    assert outside(Source(path="t.jsonl"), tmp_path)["t.jsonl"] != before["t.jsonl"]


def test_a_hub_data_set_that_cannot_be_loaded_is_told(tmp_path: Path) -> None:
    message = fault(tmp_path, "hf:not a name:main:train")
    assert message.startswith("hf:not a name:main:train cannot be loaded: ")
    assert "write hf:OWNER/NAME:CONFIG:SPLIT" in message


def held_out(folder: Path, *questions: str) -> dict[str, Path]:
    folder = folder / "heldout"
    folder.mkdir()
    rows = [Problem(id=f"h{i}", question=question).model_dump_json() for i, question in enumerate(questions)]
    (folder / "rows.jsonl").write_text("".join(row + "\n" for row in rows))
    return {"heldout": folder}


def test_train_problems_that_are_held_out_or_repeated_are_dropped(tmp_path: Path) -> None:
    questions = ["a?", "What is  THIS ?", "b?", "A?", "“c”"]
    write(tmp_path / "t.jsonl", *({"id": f"t{i}", "question": text} for i, text in enumerate(questions)))
    rows = list(Load(sources="t.jsonl").run((), work(tmp_path, uses=held_out(tmp_path, "what is this?", '"C"'))))
    assert [(row.id, row.reason, row.detail) for row in rows if isinstance(row, Dropped)] == [
        ("t1", "in_eval", "asks the same as h0"),
        ("t3", "duplicate_question", "asks the same as t0"),
        ("t4", "in_eval", "asks the same as h1"),
    ]
    assert [row.id for row in rows if isinstance(row, Problem)] == ["t0", "t2"]


def test_one_question_with_other_options_is_another_problem(tmp_path: Path) -> None:
    options = [["ant", "bee"], ["ant", "cow"], ["Ant", "bee"]]
    asked = {"question": "Which?", "answer": "A"}
    write(tmp_path / "t.jsonl", *({"id": f"t{i}", **asked, "choices": o} for i, o in enumerate(options)))
    what = outcome(Load(sources="t.jsonl", role="eval"), [], work(tmp_path))
    assert what == [("t0", "kept"), ("t1", "kept"), ("t2", "duplicate_question")]


def test_held_out_problems_are_not_held_against_themselves(tmp_path: Path) -> None:
    write(tmp_path / "t.jsonl", {"id": "t", "question": "a", "answer": "b"})
    what = outcome(Load(sources="t.jsonl", role="eval"), [], work(tmp_path, uses=held_out(tmp_path, "a")))
    assert what == [("t", "kept")]


def test_a_held_out_problem_without_an_answer_is_refused_before_anything_is_paid(tmp_path: Path) -> None:
    write(tmp_path / "t.jsonl", {"id": "t", "question": "a", "answer": "b"}, {"id": "u", "question": "c"})
    with pytest.raises(StageError, match="held-out problem u has no answer to compare with"):
        list(Load(sources="t.jsonl", role="eval").run((), work(tmp_path)))


def test_what_is_not_made_distinct_still_leaves_out_what_is_held_out(tmp_path: Path) -> None:
    write(tmp_path / "t.jsonl", *({"id": f"t{i}", "question": text} for i, text in enumerate("aba")))
    stage = Load(sources="t.jsonl", distinct=False)
    what = outcome(stage, [], work(tmp_path, uses=held_out(tmp_path, "b")))
    assert what == [("t0", "kept"), ("t1", "in_eval"), ("t2", "kept")]


def test_the_limit_counts_what_is_carried_on_and_ends_the_reading(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text('{"question": "a"}\n{"question": "a"}\n{"question": "b"}\nnot read\n')
    what = [reason for _, reason in outcome(Load(sources="t.jsonl", limit=2), [], work(tmp_path))]
    assert what == ["kept", "duplicate_question", "kept"]


def test_a_dev_split_is_apart_from_train_and_from_what_is_held_out(tmp_path: Path) -> None:
    questions = [f"What is {i} + 1?" for i in range(30)]
    write(tmp_path / "t.jsonl", *({"id": f"t{i}", "question": text, "answer": "1"} for i, text in enumerate(questions)))
    uses = held_out(tmp_path, *questions[:10])
    dev = dev_split(tmp_path, 8, uses)
    assert len(dev) == 8 and not set(dev) & set(questions[:10])
    what = outcome(Load(sources="t.jsonl", limit=9), [], work(tmp_path, uses={**uses, "dev": tmp_path / "dev"}))
    assert sum(reason == "kept" for _, reason in what) == 9
    expected = {True: "in_eval", False: "kept"}
    for name, reason in what:
        question = questions[int(name[1:])]
        assert reason == ("in_dev" if question in dev else expected[question in questions[:10]])
    assert {reason for _, reason in what} == {"kept", "in_eval", "in_dev"}


def test_neither_order_nor_spelling_nor_a_limit_moves_a_problem_in_or_out_of_dev(tmp_path: Path) -> None:
    questions = [f"What is {i} + 1?" for i in range(30)]
    write(tmp_path / "t.jsonl", *({"question": text, "answer": "1"} for text in questions))
    dev = dev_split(tmp_path, 8)
    assert dev != questions[:8] and dev == [question for question in questions if question in dev]
    write(tmp_path / "t.jsonl", *({"question": text, "answer": "1"} for text in reversed(questions)))
    assert dev_split(tmp_path, 8) == dev[::-1]
    write(tmp_path / "t.jsonl", *({"question": f" {text.upper()} ", "answer": "1"} for text in questions))
    assert [text.casefold() for text in dev_split(tmp_path, 8)] == [text.casefold() for text in dev]
    assert set(dev_split(tmp_path, 4)) < set(dev_split(tmp_path, 8))


def test_a_dev_split_has_each_question_once_and_none_without_gold(tmp_path: Path) -> None:
    answers = {"a?": None, "b?": "1", " B ?": "2", "c?": "3", "A?": "4"}
    write(tmp_path / "t.jsonl", *({"question": text, "answer": gold} for text, gold in answers.items()))
    assert sorted(dev_split(tmp_path, 3)) == ["A?", "b?", "c?"]
    stage = Load(sources="t.jsonl", distinct=False)
    assert {reason for _, reason in outcome(stage, [], work(tmp_path, uses={"dev": tmp_path / "dev"}))} == {"in_dev"}
    with pytest.raises(StageError, match="to have 4 problems, and the train sources hold 3 with gold"):
        dev_split(tmp_path, 4)


@pytest.mark.parametrize("fields", [{"role": "dev"}, {"size": 3}, {"role": "dev", "size": 3, "limit": 5}])
def test_only_a_dev_split_has_a_size_and_it_has_no_limit(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Load(sources="t.jsonl", **fields)


def dev_split(folder: Path, size: int, uses: dict[str, Path] | None = None) -> list[str]:
    """The questions of a dev split of `t.jsonl`, which is written to the folder `dev` as its step would be."""
    rows = list(Load(sources="t.jsonl", role="dev", size=size).run((), work(folder, uses=uses)))
    (folder / "dev").mkdir(exist_ok=True)
    (folder / "dev" / "rows.jsonl").write_text("".join(row.model_dump_json() + "\n" for row in rows))
    return [row.question for row in rows if isinstance(row, Problem)]


def test_sources_come_as_one_or_many_texts_or_mappings() -> None:
    assert Load(sources="a.jsonl") == Load(sources=[{"path": "a.jsonl"}])
    with pytest.raises(ValidationError):
        Load(sources=[{"path": "a.jsonl", "limt": 3}])
