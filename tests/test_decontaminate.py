"""Held-out questions that turn up where they must not."""

import json
import random
from pathlib import Path
from typing import Any

import pytest

from pipeline.choices import Source
from pipeline.errors import StageError
from pipeline.progress import Silent
from pipeline.rows import Dropped, Problem, Solution
from pipeline.similar.contamination import Contamination, Found
from pipeline.stage import Work
from stages.decontaminate import Decontaminate
from tests.made import outcome, problem, solution, work
from tests.real_data import real

BAKERY = (
    "A baker fills 14 trays with rolls before dawn, and each tray holds 36 of them. By noon the market has taken 310 "
    "rolls, the school 75, and a hungry dog made off with 4 more. How many rolls are left for the evening?"
)
FERRY = (
    "The ferry crosses the strait every 50 minutes from six in the morning on. Marta lives 20 minutes from the pier, "
    "walks slowly when it rains, and must be across by a quarter past nine. When does she leave at the latest?"
)
SHORT = "How many legs do 3 spiders and 2 hens of the old farmer have together?"
PARAPHRASE = (
    "A baker loads 14 trays with rolls before sunrise, and each tray holds 36 of them. By noon the market took 310 "
    "rolls, the school 75, and one hungry dog ran off with 4 more. How many rolls are there for the evening?"
)
INNOCENT = "A gardener plants 12 rows of beans with 30 plants in each. Hail ruins 45 plants. How many are still alive?"


class Told(Silent):
    """Remembers what is said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)


def held_out(folder: Path, *questions: str, **more: Any) -> dict[str, Path]:
    """The folder of a step that holds these questions out: e0, e1, ..."""
    (folder / "heldout").mkdir()
    rows = [Problem(id=f"e{i}", question=question, **{"source": "f", **more}) for i, question in enumerate(questions)]
    (folder / "heldout" / "rows.jsonl").write_text("".join(row.model_dump_json() + "\n" for row in rows))
    return {"heldout": folder / "heldout"}


def asked(question: str, name: str = "p", text: str = "It is 5.", **more: Any) -> Solution:
    return solution(f"{name}/0", text=text, problem=problem(name, question=question), **more)


def hits(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "contamination.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(
    ("row", "reason", "how", "where"),
    [
        (asked(BAKERY), "in_eval", "exact", "question"),
        (asked(f"  {BAKERY.upper()}\n"), "in_eval", "exact", "question"),
        (asked(BAKERY.replace(",", "").replace(". ", " .  ")), "in_eval", "exact", "question"),
        (asked(SHORT.rstrip("?")), "in_eval", "exact", "question"),
        (asked(f"{BAKERY} Explain each of your steps."), "overlaps_eval", "words", "question"),
        (asked(f"Here is a riddle. {BAKERY.lower()}"), "overlaps_eval", "words", "question"),
        (asked(BAKERY.replace("310", "320")), "overlaps_eval", "words", "question"),
        (asked("A baker fills 14 trays with rolls before dawn, so 36. Why?"), "kept", None, None),
        (
            asked(INNOCENT, text=f"This is like: {FERRY} She leaves at 8. The answer is 5."),
            "overlaps_eval",
            "words",
            "text",
        ),
        (asked(INNOCENT, thoughts=f"I remember {FERRY}"), "overlaps_eval", "words", "thoughts"),
        (asked(INNOCENT, rationale=f"I remember {FERRY}"), "overlaps_eval", "words", "rationale"),
        (asked(INNOCENT, text=f"The answer is 5.\n\nQ: {SHORT}\nA: 28"), "overlaps_eval", "whole", "text"),
        (asked(INNOCENT, text=f"So 5.\n\nQ: {SHORT.replace('3 spiders', '4 spiders')}\nA: 36"), "kept", None, None),
        (asked(f"{SHORT} Say it in words."), "kept", None, None),
        (asked(PARAPHRASE), "kept", "near", "question"),
        (asked(INNOCENT), "kept", None, None),
        (asked("?", text=""), "kept", None, None),
    ],
)
def test_held_out_questions_are_found(
    tmp_path: Path, row: Solution, reason: str, how: str | None, where: str | None
) -> None:
    surroundings = work(tmp_path, uses=held_out(tmp_path, FERRY, BAKERY, SHORT))
    assert [what for _, what in outcome(Decontaminate(), [row], surroundings)] == [reason]
    assert [(hit["id"], hit["how"], hit["where"]) for hit in hits(tmp_path)] == ([("p/0", how, where)] if how else [])


def test_a_hit_says_whose_words_stand_where(tmp_path: Path) -> None:
    rows = [asked(INNOCENT, text=f"Well: {BAKERY[:110]} and so on."), asked(PARAPHRASE, "q")]
    made = list(Decontaminate().run(rows, work(tmp_path, uses=held_out(tmp_path, FERRY, BAKERY))))
    said = "a baker fills 14 trays with rolls before dawn and each tray holds 36 of them by noon the market has taken"
    assert isinstance(made[0], Dropped)
    assert made[0].detail == f"its text says of e1: {said}"
    assert hits(tmp_path)[0] == {
        "id": "p/0",
        "held_out": "e1",
        "how": "words",
        "where": "text",
        "words": said,
        "share": 0.5,
        "removed": True,
    }
    assert hits(tmp_path)[1]["share"] == 0.721


def test_near_ones_go_only_where_that_was_asked_for(tmp_path: Path) -> None:
    surroundings = work(tmp_path, uses=held_out(tmp_path, BAKERY))
    rows = [asked(PARAPHRASE), asked(INNOCENT, "q")]
    assert outcome(Decontaminate(), rows, surroundings) == [("p/0", "kept"), ("q/0", "kept")]
    assert Contamination.read(tmp_path) == Contamination(
        held_out=1,
        compared_by_words=1,
        of_a_template=0,
        under_30_words=0,
        solutions=2,
        found={"near": Found(solutions=1, problems=1, removed=False)},
    )
    assert outcome(Decontaminate(remove_fuzzy=True), rows, surroundings) == [("p/0", "near_eval"), ("q/0", "kept")]
    assert outcome(Decontaminate(remove_fuzzy=True, fuzzy_share=0.9), rows, surroundings)[0] == ("p/0", "kept")


def test_files_are_compared_with_too_and_stand_in_the_record(tmp_path: Path) -> None:
    (tmp_path / "benchmark.jsonl").write_text(json.dumps({"id": "e0", "question": FERRY}) + "\n")
    stage = Decontaminate(against=(Source(path="benchmark.jsonl"),))
    rows = [asked(BAKERY), asked(FERRY, "q"), asked(INNOCENT, "r", text=FERRY)]
    surroundings = work(tmp_path, uses=held_out(tmp_path, BAKERY))
    assert [what for _, what in outcome(stage, rows, surroundings)] == ["in_eval", "in_eval", "overlaps_eval"]
    assert [what for _, what in outcome(stage, rows, work(tmp_path))] == ["kept", "in_eval", "overlaps_eval"]
    assert [*stage.outside(tmp_path)] == ["benchmark.jsonl"]
    assert Decontaminate().outside(tmp_path) == {}


def test_with_nothing_held_out_all_is_passed_on_and_that_is_said(tmp_path: Path) -> None:
    told = Told()
    surroundings = Work("clean", tmp_path, tmp_path, work(tmp_path).teachers, told, tmp_path)
    assert outcome(Decontaminate(), [asked(BAKERY)], surroundings) == [("p/0", "kept")]
    assert told.lines == ["no held-out questions to compare with; name some with clean.against"]
    assert Contamination.read(tmp_path) is None


def test_a_run_can_be_ended_instead(tmp_path: Path) -> None:
    stage, folder = Decontaminate(fail_on_contamination=True), tmp_path / "outputs" / "mine" / "decontaminate.part"
    folder.mkdir(parents=True)
    told = Told()
    doors = work(tmp_path).teachers
    surroundings = Work("decontaminate", folder, tmp_path, doors, told, folder, held_out(tmp_path, BAKERY, SHORT))
    assert len(outcome(stage, [asked(INNOCENT), asked(PARAPHRASE, "q")], surroundings)) == 2
    with pytest.raises(StageError) as raised:
        outcome(stage, [asked(BAKERY), asked(INNOCENT, "q", text=BAKERY), asked(INNOCENT, "r")], surroundings)
    assert raised.value.fact == (
        "2 of 3 solutions would teach held-out questions: 1 dropped as in_eval, 1 dropped as overlaps_eval"
    )
    assert "python -m pipeline show decontaminate --run mine --dropped all" in str(raised.value.hint)
    assert told.lines[0] == ("2 held-out questions (1 of under 30 words are found exactly only): 1 kept as near_eval")
    assert len(hits(folder)) == 2


def test_generated_problems_are_found_exactly_only(tmp_path: Path) -> None:
    """Each says the same hundred words with other numbers; every looser measure would find all of them."""
    questions = [f"{BAKERY} {FERRY}".replace("14", str(number)).replace("50", str(number * 3)) for number in range(90)]
    surroundings = work(tmp_path, uses=held_out(tmp_path, *questions[1:2], source="reasoning_gym:bakery"))
    assert outcome(Decontaminate(), [asked(questions[2])], surroundings) == [("p/0", "kept")]
    rows = [asked(question, f"p{i}") for i, question in enumerate(questions[1:4])]
    assert [what for _, what in outcome(Decontaminate(), rows, surroundings)] == ["in_eval", "kept", "kept"]
    copied = [asked(INNOCENT, "p", text=f"See: {questions[1]}")]
    assert outcome(Decontaminate(), copied, surroundings) == [("p/0", "overlaps_eval")]
    (tmp_path / "file").mkdir()
    surroundings = work(tmp_path, uses=held_out(tmp_path / "file", *questions[:2]))
    rows = [asked(question, f"p{i}") for i, question in enumerate(questions[1:])]
    assert {what for _, what in outcome(Decontaminate(), rows[1:], surroundings)} == {"kept"}


def test_a_rationale_may_repeat_its_own_question(tmp_path: Path) -> None:
    """Where the own question holds a short held-out one whole, its rationale does so too."""
    question = f"{SHORT} Give the number of legs, then that of heads."
    surroundings = work(tmp_path, uses=held_out(tmp_path, SHORT))
    assert outcome(Decontaminate(), [asked(question, text=f"{question} 28 legs.")], surroundings) == [("p/0", "kept")]


def test_words_on_how_to_answer_are_no_overlap(tmp_path: Path) -> None:
    boxed = "Please reason step by step, and put your final answer within \\boxed{}."
    chance = random.Random(1)
    words = ["".join(chance.choices("abcdefghij", k=6)) for _ in range(900)]
    questions = [f"{' '.join(chance.choices(words, k=40))} in total? {boxed}" for _ in range(60)]
    surroundings = work(tmp_path, uses=held_out(tmp_path, *questions[:30]))
    rows = [asked(question, f"p{i}") for i, question in enumerate(questions[30:])]
    assert {what for _, what in outcome(Decontaminate(), rows, surroundings)} == {"kept"}
    planted = [asked(f"Now. {questions[0]}", "q"), *rows]
    assert outcome(Decontaminate(), planted, surroundings)[0] == ("q/0", "overlaps_eval")


@pytest.mark.parametrize(
    ("task", "most"),
    [
        ("addsub", 3),
        ("coin_flip", 0),
        ("date_understanding", 0),
        ("last_letter_concatenation", 0),
        ("multiarith", 6),
        ("single_eq", 0),
        ("strategy_qa", 1),
        ("svamp", 14),
        ("tracking_shuffled_objects", 0),
    ],
)
def test_the_train_split_of_a_real_task_stays_nearly_whole(tmp_path: Path, task: str, most: int) -> None:
    """What goes was read: real repeats in multiarith (5) and strategy_qa (1), and one problem's variants in svamp."""
    entries = [*real(f"fine-tune-cot/{task}.jsonl")]
    uses = held_out(tmp_path, *(entry["question"] for entry in entries if entry["split"] == "test"))
    rows = [
        asked(entry["question"], entry["id"], text=f"We read: {entry['question']} So it is 5.")
        for entry in entries
        if entry["split"] == "train"
    ]
    dropped = [what for _, what in outcome(Decontaminate(), rows, work(tmp_path, uses=uses)) if what != "kept"]
    assert len(dropped) <= most


def test_planted_questions_of_gsm8k_are_all_found_and_its_train_split_is_left_alone(tmp_path: Path) -> None:
    test = [entry["question"] for entry in real("gsm8k/test.jsonl")]
    train = list(real("gsm8k/train.jsonl"))[:1500]
    surroundings = work(tmp_path, uses=held_out(tmp_path, *test))
    rows = [asked(entry["question"], f"t{i}", text=entry["answer"]) for i, entry in enumerate(train)]
    long = [question for question in test if len(question.split()) >= 32][:60]
    for i, question in enumerate(long):
        rows += [
            asked(question.upper(), f"exact{i}"),
            asked(f"Solve this. {question} Take your time.", f"added{i}"),
            asked(INNOCENT, f"within{i}", text=f"It is as in: {question} So 5."),
        ]
    made = dict(outcome(Decontaminate(), rows, surroundings))
    assert [made[f"exact{i}/0"] for i in range(60)] == ["in_eval"] * 60
    assert [made[f"{how}{i}/0"] for how in ("added", "within") for i in range(60)] == ["overlaps_eval"] * 120
    alike = [name for name, what in made.items() if name[0] == "t" and what != "kept"]
    assert alike == ["t20/0", "t406/0"], "two problems that share a sentence of 15 words and more with one of the test"
    counts = Contamination.read(tmp_path)
    assert counts is not None
    assert (counts.held_out, counts.of_a_template) == (1319, 0)
