"""The HTML report and the short table of a run."""

import json
import re
import shutil
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from pipeline.report import print_summary, summary_table, write_report
from pipeline.report.examples import MOST_CHARACTERS, clip, contrasts, dropped
from pipeline.report.figures import Scale, columns, loss_curve, whiskers
from pipeline.report.files import RunFiles
from pipeline.report.training import trainings
from pipeline.report.verdict import LABELS, judge, judge_against_teacher, judge_sets, points
from tests.run_folder import run_folder

SECTIONS = [
    "Held-out problems",
    "From problems to examples",
    "Teacher",
    "Training",
    "Examples to read",
    "How it was made",
]
EMPTY = {"meta", "line", "circle", "polyline"}
"""Elements without a closing tag."""


class Page(HTMLParser):
    """A page as a browser would take it apart; fails on a tag that is closed before it was opened."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.headings: list[str] = []
        self.texts: list[str] = []
        self.tags: set[str] = set()
        self.addresses: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.addresses += [value or "" for name, value in attributes if name in ("src", "href", "action", "data")]
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] == ["h2"]:
            self.headings.append(data)
        if data.strip() and self.open[-1:] != ["style"]:
            self.texts.append(" ".join(data.split()))


def report(folder: Path) -> Page:
    return Page(write_report(folder).read_text(encoding="utf-8"))


def change(path: Path, **over: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **over}), encoding="utf-8")


def scores(low: float, high: float, **over: Any) -> dict[str, Any]:
    gain = {"over": "base_few_shot", "gain": (low + high) / 2, "low": low, "high": high, "p": 0.01, "proven": True}
    models = {
        "base": {"n": 300, "accuracy": 0.2},
        "base_few_shot": {"n": 300, "accuracy": 0.3},
        "student": {"n": 300, "accuracy": 0.3 + (low + high) / 2},
    }
    return {"models": models, "gain": {**gain, **over}}


def sample_several(folder: Path) -> None:
    """As if the run's `evaluate` had drawn 8 samples of each problem, of two sets."""
    path = folder / "evaluate" / "scores.json"
    found = json.loads(path.read_text(encoding="utf-8"))
    majority = {"right": 150, "accuracy": 0.5, "low": 0.45, "high": 0.55}
    for model in found["models"].values():
        model.update(right=8 * model["right"], majority=majority, cut_share=0.02)
    half = {name: {"n": 150, "accuracy": share} for name, share in zip(LABELS, (0.2, 0.3, 0.35, 0.4), strict=True)}
    gain = {"over": "base_few_shot", "gain": 0.05, "p": None}
    sets = {
        "sums<&>": {"gain": {**gain, "low": 0.01, "high": 0.09, "proven": True}},
        "": {"gain": {**gain, "low": -0.04, "high": 0.14, "proven": False}},
    }
    told = {name: {"problems": 150, "samples": 8, "models": half, **of} for name, of in sets.items()}
    to_teacher = {"gain": -0.15, "low": -0.21, "high": -0.09, "p": None}
    change(path, samples=8, models=found["models"], gain={**found["gain"], "p": None}, sets=told, to_teacher=to_teacher)


def test_a_whole_run_has_every_section_once_and_in_order(tmp_path: Path) -> None:
    page = report(run_folder(tmp_path))
    assert page.headings == SECTIONS
    text = "\n".join(page.texts)
    assert "The embedded model distilled into itself" in text
    assert "teacher and student are the same weights" in text
    assert "The student gained 9.7 points [+4.2, +15.2] over the better of the base's zero-shot and few-shot" in text
    assert "Example Processor 8000, 2 cores" in text
    assert "main: 40 of 41 requests were answered without a word on how many tokens they generated" in text


def sample_adaptively(folder: Path, usage: dict[str, Any]) -> None:
    """As if the run's `solve` had sampled adaptively: 40 problems, 8 samples at most."""
    record = json.loads((folder / "solve" / "record.json").read_text(encoding="utf-8"))
    change(folder / "solve" / "record.json", fields={**record["fields"], "teacher": "main"})
    votes = {
        "certain": {"problems": 30, "with_gold": 30, "right": 27},
        "undecided": {"problems": 8, "with_gold": 0, "right": 0},
        "unanswered": {"problems": 2, "with_gold": 2, "right": 0},
    }
    told = {"problems": 40, "fixed": 8, "samples": 160, "counts": {"3": 32, "8": 8}, "votes": votes}
    (folder / "solve" / "sampling.json").write_text(json.dumps(told), encoding="utf-8")
    (folder / "usage.json").write_text(json.dumps(usage), encoding="utf-8")


@pytest.mark.parametrize(
    ("usage", "saved"),
    [
        ({"main": {"samples": 200, "cost_usd": 0.5}}, "$0.4000"),
        ({"main": {"samples": 10, "cost_usd": 0.5}}, "$8.00"),
        ({"main": {"samples": 200, "cost_usd": None}}, "unknown"),
        ({"main": {"samples": 0, "cost_usd": 0.0}}, "unknown"),
        ({}, "unknown"),
    ],
)
def test_a_step_that_sampled_adaptively_shows_what_that_saved(
    tmp_path: Path, usage: dict[str, Any], saved: str
) -> None:
    folder = run_folder(tmp_path)
    sample_adaptively(folder, usage)
    page = report(folder)
    assert "Sampling" in page.headings
    row = page.texts.index("solve", page.texts.index("samples asked"))
    assert page.texts[row : row + 9] == ["solve", "160", "320", "50.0 %", saved, "30", "90.0 %", "8", "–"]
    assert (
        "solve: problems by the samples asked for each, against 8 for every one; of 2 nothing came back." in page.texts
    )
    assert "32 problems with 3 samples" in page.texts


@pytest.mark.parametrize(
    ("found", "texts"),
    [
        ({}, ["It found none."]),
        (
            {"words": {"solutions": 3, "problems": 2, "removed": True}},
            ["13 words of it in a row", "removed", "check/contamination.jsonl"],
        ),
    ],
)
def test_held_out_questions_that_would_be_taught_are_counted(
    found: dict[str, Any], texts: list[str], tmp_path: Path
) -> None:
    folder = run_folder(tmp_path)
    counts = {"held_out": 300, "compared_by_words": 0, "of_a_template": 300, "under_30_words": 0, "solutions": 200}
    (folder / "check" / "contamination.json").write_text(json.dumps({**counts, "found": found}))
    page = Page(write_report(folder).read_text())
    assert "Held-out questions in what is taught" in page.headings
    whole = " ".join(page.texts)
    assert [text for text in texts if text not in whole] == []


def test_columns_stand_in_proportion_and_their_labels_apart() -> None:
    drawn = columns({3: 100, 5: 50, **dict.fromkeys(range(6, 129), 1)})
    first, second = drawn["bars"][:2]
    assert first["height"] == pytest.approx(2 * second["height"], abs=0.2)
    assert all(bar["x"] > 0 and bar["x"] + bar["width"] < drawn["width"] for bar in drawn["bars"])
    places = [label["x"] for label in drawn["across"]]
    assert all(after - before >= 20 for before, after in pairwise(places))
    assert [label["label"] for label in columns({3: 1, 8: 2})["across"]] == ["3", "8"]
    assert columns({4: 7})["bars"][0]["count"] == 7


def test_the_report_needs_nothing_but_itself(tmp_path: Path) -> None:
    page = report(run_folder(tmp_path))
    assert page.addresses == []
    assert not page.tags & {"script", "link", "img", "iframe", "object"}


def test_each_step_shows_what_entered_what_was_carried_on_and_what_was_dropped(tmp_path: Path) -> None:
    folder = run_folder(tmp_path)
    text = write_report(folder).read_text(encoding="utf-8")
    counts = json.loads((folder / "check" / "record.json").read_text(encoding="utf-8"))["counts"]
    row = next(line for line in text.splitlines() if line.startswith('<tr class="step"><td>check<'))
    assert [int(number) for number in re.findall(r'class="n">([\d,]+)<', row)] == [
        counts["entered"],
        counts["carried"],
        counts["written"],
    ]
    assert counts["carried"] + sum(counts["dropped"].values()) == counts["entered"]
    for reason, count in counts["dropped"].items():
        assert f'<td colspan="3">{reason}</td><td class="n">{count}</td>' in text


def test_examples_show_the_texts_themselves(tmp_path: Path) -> None:
    text = "\n".join(report(run_folder(tmp_path)).texts)
    assert "Right after training, wrong before: 5 of " in text
    assert "Wrong after training, right before: 5 of " in text
    assert "Solutions kept by check: 5 of " in text
    assert "Dropped by check as wrong: 3 of " in text
    assert "Dropped by solve as teacher_error: 1 of 1" in text
    assert "given up after 6 attempts: HTTP 503" in text
    assert "First I add the two numbers" in text


def test_contrasts_are_the_problems_that_make_up_the_gain(tmp_path: Path) -> None:
    run = RunFiles.read(run_folder(tmp_path))
    (evaluate,) = run.of_stage("evaluate")
    found = contrasts(run, evaluate, "base_few_shot")
    models = evaluate.json("scores.json")["models"]
    assert found is not None
    assert found.count_won - found.count_lost == models["student"]["right"] - models["base_few_shot"]["right"]
    assert [(item.base["right"], item.student["right"]) for item in found.won] == [(False, True)] * 5
    assert [(item.base["right"], item.student["right"]) for item in found.lost] == [(True, False)] * 5
    assert all(item.gold == item.student["found"] and item.question for item in found.won)


def test_a_dropped_row_is_shown_with_its_text_and_a_child_that_was_never_made_with_its_question(tmp_path: Path) -> None:
    run = RunFiles.read(run_folder(tmp_path))
    reasons = {(reason.step, reason.name): reason.samples for reason in dropped(run)}
    (solve,) = run.of_stage("solve")
    texts = {row["id"]: row["text"] for row in solve.rows()}
    assert [sample.text for sample in reasons["check", "wrong"]] == [
        texts[sample.id] for sample in reasons["check", "wrong"]
    ]
    (failed,) = reasons["solve", "teacher_error"]
    assert (failed.id, failed.text) == ("train-39/8", "")
    assert failed.question.startswith("What is ")


@pytest.mark.parametrize(
    ("gone", "headings"),
    [
        (["evaluate"], [name for name in SECTIONS if name != "Held-out problems"]),
        (["evaluate", "train"], [name for name in SECTIONS if name not in ("Held-out problems", "Training")]),
        (["evaluate/scores.json", "usage.json"], [n for n in SECTIONS if n not in ("Held-out problems", "Teacher")]),
        (["train/log.jsonl", "train/training_sample.json", "evaluate/timings.json"], SECTIONS),
        (["run.json", "usage.json"], []),
    ],
)
def test_a_section_whose_files_are_missing_is_left_out(tmp_path: Path, gone: list[str], headings: list[str]) -> None:
    folder = run_folder(tmp_path)
    for name in gone:
        path = folder / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert report(folder).headings == headings


def test_a_run_that_measured_nothing_says_so(tmp_path: Path) -> None:
    folder = run_folder(tmp_path)
    shutil.rmtree(folder / "evaluate")
    assert "No gain was measured in this run." in report(folder).texts
    assert summary_table(folder) is None


def test_nothing_is_shown_of_a_step_whose_input_was_made_anew(tmp_path: Path) -> None:
    folder = run_folder(tmp_path)
    change(folder / "solve" / "record.json", output="another hash")
    page = report(folder)
    assert "Held-out problems" not in page.headings
    assert summary_table(folder) is None
    assert any("has since been made anew: check, assemble, train, evaluate" in text for text in page.texts)


def test_text_of_a_model_or_a_user_is_never_read_as_markup(tmp_path: Path) -> None:
    question = "<script>alert(1)</script><b>{a} + {b} - {c}</b> </style> ]]>"
    folder = run_folder(tmp_path, question)
    sample = [{"id": "x", "tokens": [{"text": "<img src=x onerror=y>", "trained": True}]}]
    (folder / "train" / "training_sample.json").write_text(json.dumps(sample), encoding="utf-8")
    change(folder / "run.json", recipe='"><script>alert(2)</script>', processor="<i>processor</i>")
    page = report(folder)
    assert not page.tags & {"script", "b", "img", "i"}
    assert any("<script>alert(1)</script>" in text for text in page.texts)
    assert "<img src=x onerror=y>" in page.texts


def token(text: str, trained: bool = True, special: bool = False) -> dict[str, Any]:
    return {"text": text, "trained": trained, "special": special}


ASKED = [token("<s>", False, True), token("What is 4 + 3?\n", False)]
END = token("</s>", special=True)
SAMPLES = [
    {"id": "a", "tokens": [*ASKED, token("<th"), token("ink>It is 7."), token("</think>"), token("7"), END]},
    {
        "id": "b",
        "tokens": [
            *ASKED,
            token("<think>", False, True),
            token("It is 7."),
            token("</think>", special=True),
            token("7"),
        ],
    },
    {"id": "c", "tokens": [*ASKED, token("It is"), token(" 7."), END]},
    {"id": "d", "tokens": [*ASKED, token("<think>I am not"), token(" done")]},
]


def test_three_training_texts_show_what_is_masked_thought_answered_and_where_the_turn_ends(tmp_path: Path) -> None:
    folder = run_folder(tmp_path)
    (folder / "train" / "training_sample.json").write_text(json.dumps(SAMPLES), encoding="utf-8")
    (training,) = trainings(RunFiles.read(folder))
    asked = [("special prompt", "<s>"), ("prompt", "What is 4 + 3?\n")]
    assert [[(span["kind"], span["text"]) for span in sample["spans"]] for sample in training["samples"]] == [
        [*asked, ("thoughts", "<think>It is 7.</think>"), ("answer", "7"), ("special answer end", "</s>")],
        [
            *asked,
            ("special prompt", "<think>"),
            ("thoughts", "It is 7."),
            ("special thoughts", "</think>"),
            ("answer", "7"),
        ],
        [*asked, ("answer", "It is 7."), ("special answer end", "</s>")],
        [*asked, ("thoughts", "<think>I am not done")],
    ]
    texts = "\n".join(report(folder).texts)
    assert "a: 7 tokens, 5 in the loss" in texts
    assert "was proved on its tokens" in texts


def test_a_training_from_before_the_proof_claims_none(tmp_path: Path) -> None:
    page = report(run_folder(tmp_path))
    assert "Training texts, as the student saw them" in page.texts
    assert "was proved" not in "\n".join(page.texts)


def test_the_report_tells_how_a_training_fits_its_machine_and_why(tmp_path: Path) -> None:
    folder = run_folder(tmp_path)
    fit = {"dtype": "bf16", "micro_batch_size": 4096, "packing": False, "free_gb": 6.23456, "liger": None}
    assert "How it fits the machine" not in report(folder).texts
    (folder / "train" / "fit.json").write_text(json.dumps({**fit, "why": ["the processor has AMX"]}))
    texts = report(folder).texts
    told = texts.index("How it fits the machine") + 1
    assert texts[told : told + 8] == ["dtype", "bf16", "micro_batch_size", "4,096", "packing", "no", "free_gb", "6.235"]
    assert texts[told + 8] == "the processor has AMX"


@pytest.mark.parametrize(
    ("found", "outcome", "sentence"),
    [
        (
            scores(0.062, 0.178),
            "gained",
            "The student gained 12.0 points [+6.2, +17.8] over the better of the base's zero-shot and few-shot "
            "(base, few-shot) on 300 held-out problems: 42.0 % against 30.0 %.",
        ),
        (
            scores(-0.02, 0.06),
            "unclear",
            "No gain that this measurement can tell: +2.0 points [−2.0, +6.0] over the better of the base's zero-shot "
            "and few-shot (base, few-shot) on 300 held-out problems: 32.0 % against 30.0 %.",
        ),
        (
            scores(-0.15, -0.05),
            "lost",
            "The student lost 10.0 points [−15.0, −5.0] to the better of the base's zero-shot and few-shot "
            "(base, few-shot) on 300 held-out problems: 20.0 % against 30.0 %.",
        ),
    ],
)
def test_the_verdict_says_what_the_interval_says(found: dict[str, Any], outcome: str, sentence: str) -> None:
    verdict = judge(found)
    assert verdict is not None
    assert (verdict.outcome, verdict.sentence.replace("\u00a0", " ")) == (outcome, sentence)


@pytest.mark.parametrize(
    ("low", "high", "proven"),
    [(0.0, 0.1, True), (-0.001, 0.3, True), (-0.1, 0.0, True), (0.01, 0.1, False)],
)
def test_no_gain_is_claimed_where_the_interval_touches_zero_or_the_evaluation_proves_none(
    low: float, high: float, proven: bool
) -> None:
    verdict = judge(scores(low, high, proven=proven))
    assert verdict is not None
    assert verdict.outcome == "unclear"
    assert "gained" not in verdict.sentence


def test_over_a_single_base_the_verdict_names_that_one() -> None:
    found = scores(0.05, 0.1, over="base")
    del found["models"]["base_few_shot"]
    verdict = judge(found)
    assert verdict is not None
    assert "over the base, zero-shot on 300" in verdict.sentence


def of_sets(**intervals: tuple[float, float]) -> dict[str, Any]:
    return {**scores(0.01, 0.1), "sets": {name: scores(*interval) for name, interval in intervals.items()}}


def test_each_set_is_judged_by_its_own_interval_and_their_number_is_told() -> None:
    told = judge_sets(of_sets(sums=(0.01, 0.2), dates=(-0.001, 0.3), words=(-0.2, 0.0), units=(-0.2, -0.1)))
    assert told is not None
    assert told.replace("\u00a0", " ") == (
        "By set: gained on sums; no gain that can be told on dates, words; lost on units. These are 4 comparisons; "
        "their intervals are so wide that all of them hold at once at 95 %."
    )
    assert judge_sets(scores(0.01, 0.1)) is None


@pytest.mark.parametrize(
    ("low", "high", "sentence"),
    [
        (-0.2, -0.1, "The student is 15.0 points below the teacher, paired 95 % interval [−20.0, −10.0]."),
        (0.1, 0.2, "The student is 15.0 points above the teacher, paired 95 % interval [+10.0, +20.0]."),
        (-0.2, 0.1, "Student and teacher cannot be told apart: −5.0 points, paired 95 % interval [−20.0, +10.0]."),
        (0.0, 0.1, "Student and teacher cannot be told apart: +5.0 points, paired 95 % interval [+0.0, +10.0]."),
    ],
)
def test_student_and_teacher_are_told_apart_only_by_an_interval_without_zero(
    low: float, high: float, sentence: str
) -> None:
    told = judge_against_teacher({"to_teacher": {"gain": (low + high) / 2, "low": low, "high": high, "p": None}})
    assert told is not None
    assert told.replace("\u00a0", " ") == sentence
    assert judge_against_teacher({}) is None


def test_several_sets_of_several_samples_are_shown_apart_with_what_they_took(tmp_path: Path) -> None:
    folder = run_folder(tmp_path)
    sample_several(folder)
    page = report(folder)
    text = "\n".join(page.texts)
    assert "on 300 held-out problems, 8 samples each" in text
    row = page.texts.index("student", page.texts.index("maj@8"))
    assert page.texts[row + 3 : row + 5] == ["50.0 %", "45.0 % to 55.0 %"]
    first = page.texts.index("sums<&>", page.texts.index("By set"))
    assert page.texts[first : first + 5] == ["sums<&>", "150", "30.0 %", "35.0 %", "40.0 %"]
    assert page.texts[first + 5 : first + 8] == ["+5.0", "+1.0 to +9.0", "gained"]
    assert "unnamed" in page.texts
    assert "By set: gained on sums<&>; no gain that can be told on unnamed. These are 2 comparisons" in text
    took = page.texts.index("base, few-shot", page.texts.index("What it took"))
    assert page.texts[took + 1 : took + 6] == ["transformers, cpu, float32", "45 s", "207", "1.3 GB", "32"]
    assert "Of each model's 8 samples the first is compared." in text
    console = Console(width=200, record=True, file=(tmp_path / "screen").open("w", encoding="utf-8"))
    with console.file:
        console.print(summary_table(folder))
    lines = [" ".join(line.split()) for line in console.export_text().splitlines()]
    assert lines[0] == "pass@1 95 % interval maj@8 problems"
    assert lines[3] == "student 37.7 % 32.2 % to 43.1 % 50.0 % 300"
    assert lines[-1].startswith("By set: gained on sums<&>")


@pytest.mark.parametrize(("p", "is_told"), [(0.01, False), (0.12, True)])
def test_a_gain_that_the_exact_test_leaves_to_chance_says_so(tmp_path: Path, p: float, is_told: bool) -> None:
    folder = run_folder(tmp_path)
    path = folder / "evaluate" / "scores.json"
    gain = json.loads(path.read_text(encoding="utf-8"))["gain"]
    change(path, gain={**gain, "p": p})
    text = " ".join(report(folder).texts)
    assert f"McNemar's exact p = {p}" in text
    assert ("this stricter test still allows chance" in text) == is_told


def test_several_sets_are_shown_without_a_teacher_too(tmp_path: Path) -> None:
    folder = run_folder(tmp_path)
    sample_several(folder)
    found = json.loads((folder / "evaluate" / "scores.json").read_text(encoding="utf-8"))
    for of in (found, *found["sets"].values()):
        of["models"].pop("teacher", None)
    change(folder / "evaluate" / "scores.json", models=found["models"], sets=found["sets"], to_teacher=None)
    page = report(folder)
    first = page.texts.index("sums<&>", page.texts.index("By set"))
    assert page.texts[first : first + 5] == ["sums<&>", "150", "30.0 %", "35.0 %", "+5.0"]


def test_of_several_samples_the_first_ones_make_the_contrasts(tmp_path: Path) -> None:
    folder = run_folder(tmp_path)
    before = contrasts(RunFiles.read(folder), RunFiles.read(folder).of_stage("evaluate")[0], "base_few_shot")
    path = folder / "evaluate" / "rows.jsonl"
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    second = [{**row, "id": f"{row['id']}/1", "sample": 1, "right": not row["right"]} for row in rows]
    path.write_text("".join(json.dumps(row) + "\n" for row in [*rows, *second]), encoding="utf-8")
    run = RunFiles.read(folder)
    assert contrasts(run, run.of_stage("evaluate")[0], "base_few_shot") == before


def test_without_a_gain_there_is_no_verdict() -> None:
    assert judge({"models": {"student": {"n": 3, "accuracy": 0.3}}, "gain": None}) is None


def test_points_have_a_sign_of_full_width() -> None:
    assert [points(share) for share in (0.123, -0.01, 0.0)] == ["+12.3", "−1.0", "+0.0"]


def test_the_short_table_has_one_row_a_model_and_the_verdict(tmp_path: Path) -> None:
    console = Console(width=200, record=True, file=(tmp_path / "screen").open("w", encoding="utf-8"))
    table = summary_table(run_folder(tmp_path))
    assert table is not None
    with console.file:
        console.print(table)
    lines = [" ".join(line.split()) for line in console.export_text().splitlines()]
    assert lines[0] == "accuracy 95 % interval problems"
    assert lines[3] == "student 37.7 % 32.2 % to 43.1 % 300"
    assert lines[-1].startswith("The student gained 9.7 points")


def test_the_summary_goes_to_stdout_with_the_report_s_path(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = run_folder(tmp_path)
    write_report(folder)
    print_summary(folder)
    captured = capsys.readouterr()
    assert captured.out.splitlines()[-1] == f"report: {folder / 'report.html'}"
    assert captured.err == ""


def test_intervals_are_drawn_inside_the_figure_and_in_proportion() -> None:
    drawn = whiskers(
        {"base": {"low": 0.21, "accuracy": 0.26, "high": 0.31}, "student": {"low": 0, "accuracy": 0, "high": 0}}
    )
    mark = drawn["marks"]["base"]
    assert 0 < drawn["marks"]["student"]["low"] < mark["low"] < mark["dot"] < mark["high"] < drawn["width"]
    assert mark["dot"] - mark["low"] == pytest.approx(mark["high"] - mark["dot"], abs=0.2)
    assert [tick["label"] for tick in drawn["ticks"]] == ["0 %", "10 %", "20 %", "30 %", "40 %"]


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [(0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]), (0.1, 0.6, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]), (3, 907, [200, 400, 600, 800])],
)
def test_ticks_are_round(low: float, high: float, ticks: list[float]) -> None:
    assert Scale(low, high, 0, 100).ticks() == ticks


def test_a_long_loss_curve_is_drawn_from_means_and_a_single_value_not_at_all() -> None:
    log = [{"step": step, "loss": 2.0 + step % 2} for step in range(1000)]
    curve = loss_curve([*log, {"step": 1000}])
    assert curve is not None
    assert len(curve["points"].split()) == 334
    assert (curve["averaged"], curve["last"]) == (3, (999, 3.0))
    assert loss_curve(log[:1]) is None


def test_a_constant_loss_is_drawn() -> None:
    curve = loss_curve([{"step": step, "loss": 0.0} for step in (1, 2)])
    assert curve is not None
    assert len(curve["points"].split()) == 2


def test_a_very_long_text_keeps_its_beginning_and_its_end() -> None:
    text = "a" * MOST_CHARACTERS + "middle" + "b" * MOST_CHARACTERS
    assert clip(text).startswith("a" * 100)
    assert clip(text).endswith("b" * 100)
    assert f"{MOST_CHARACTERS + 6:,} characters left out" in clip(text)
    assert clip("short") == "short"
