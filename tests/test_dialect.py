"""What answers of providers mean: one file a shape in dialects/, and tables of what goes wrong in them."""

import json
import math
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from pipeline.stage import TokenLogprob
from pipeline.teacher import dialect, logprobs, thoughts
from pipeline.teacher.ledger.entries import Entry
from pipeline.teacher.replies import reply_of

SHAPES = sorted((Path(__file__).parent / "dialects").glob("*.json"))
REAL = Path(__file__).resolve().parent.parent.parent / "shared/data/logprobs/codex-top5-gsm8k-train0.jsonl"


@pytest.mark.parametrize("file", SHAPES, ids=lambda file: file.stem)
def test_every_provider_is_read(file: Path) -> None:
    shape = json.loads(file.read_text(encoding="utf-8"))
    answer, told = shape["answer"], shape["told"]
    assert dialect.judge(200, "application/json", json.dumps(answer).encode()).kind == "reply"
    places = range(len(dialect.choices_of(answer)))
    assert [asdict(dialect.read(answer, place)) for place in places] == told["choices"]
    assert asdict(dialect.usage_of(answer)) == told["usage"]


def test_the_shapes_are_many() -> None:
    assert len(SHAPES) >= 16


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("Five.", ("", "Five.")),
        ("  Five.\n", ("", "  Five.\n")),
        ("<think>I count.</think>Five.", ("I count.", "Five.")),
        ("\n<think>\nI count.\n</think>\n\nFive.", ("I count.", "Five.")),
        ("<think>\n\n</think>\n\nFive.", ("", "Five.")),
        ("</think>\n\nFive.", ("", "Five.")),
        ("I count.</think>Five.", ("I count.", "Five.")),
        ("<think>I count and", ("I count and", "")),
        ("<think>I count.</think>", ("I count.", "")),
        ("<think>One.</think>\n<think>Two.</think>\nFive.", ("One.\n\nTwo.", "Five.")),
        ("<think>One.</think>Five. <think>Two.</think>Six.", ("One.", "Five. <think>Two.</think>Six.")),
        ("<think>It ends with `</think>`, so I close.</think>Five.", ("It ends with `</think>`, so I close.", "Five.")),
        ("<think>I count.</think>Write `</think>` last.", ("I count.", "Write `</think>` last.")),
        ("Close the block with `</think>`.", ("", "Close the block with `</think>`.")),
        ('split("</think>")', ("", 'split("</think>")')),
        ('<think>He says "five"</think>Five.', ('He says "five"', "Five.")),
        ('He says five.</think>"Five."', ("He says five.", '"Five."')),
        ("A <think> is a tag, and </think> closes it.", ("", "A <think> is a tag, and </think> closes it.")),
        ("<thinking>I count.</thinking>Five.", ("I count.", "Five.")),
        ("<thought>I count.</thought>Five.", ("I count.", "Five.")),
        ("I count.</thought>Five.", ("", "I count.</thought>Five.")),
        ("[THINK]I count.[/THINK]Five.", ("I count.", "Five.")),
        ("◁think▷I count.◁/think▷Five.", ("I count.", "Five.")),
        ("<|begin_of_thought|>I count.<|end_of_thought|>\n\nFive.", ("I count.", "Five.")),
        ("<|channel|>analysis<|message|>I count", ("I count", "")),
        ("<|channel|>final<|message|>Five.", ("", "Five.")),
    ],
)
def test_thoughts_within_a_content_are_told_from_its_text(content: str, found: tuple[str, str]) -> None:
    assert thoughts.split(content) == found


@pytest.mark.parametrize(
    ("message", "found"),
    [
        ({"reasoning_content": "", "reasoning": "I count.", "content": "Five."}, ("I count.", "Five.")),
        ({"reasoning_content": "I count.", "reasoning": "I count.", "content": "Five."}, ("I count.", "Five.")),
        ({"reasoning_content": " I count.\n", "content": "<think>I count.</think>Five."}, (" I count.\n", "Five.")),
        ({"reasoning_content": "I count.", "content": "<think>Again.</think>Five."}, ("I count.\n\nAgain.", "Five.")),
        (
            {"reasoning_content": "I count.", "content": "In R1 </think> ends it."},
            ("I count.", "In R1 </think> ends it."),
        ),
        ({"reasoning": {"text": "I count."}, "content": "Five."}, ("I count.", "Five.")),
        ({"reasoning": 7, "content": "Five."}, ("", "Five.")),
        (
            {"content": [{"type": "reasoning", "text": "I count."}, {"type": "text", "text": "Five."}]},
            ("I count.", "Five."),
        ),
        (
            {"content": [{"type": "reasoning", "summary": [{"text": "I count."}]}, {"text": "Five."}]},
            ("I count.", "Five."),
        ),
        ({"content": ["Fi", None, 3, {"type": "image_url", "image_url": {}}, {"text": "ve."}]}, ("", "Five.")),
        ({"content": []}, ("", "")),
        (None, ("", "")),
        ("Five.", ("", "")),
    ],
)
def test_thoughts_are_found_wherever_they_stand(message: Any, found: tuple[str, str]) -> None:
    choice = dialect.read({"choices": [{"message": message, "finish_reason": "stop"}]}, 0)
    assert (choice.thoughts, choice.text) == found


@pytest.mark.parametrize(
    ("reason", "means"),
    [
        *((reason, "end") for reason in ("stop", "STOP", "eos", "eos_token", "end_turn", "stop_sequence", "", None, 1)),
        *(
            (reason, "cut")
            for reason in ("length", "max_tokens", "MAX_TOKENS", "FinishReason.MAX_TOKENS", "token_limit")
        ),
        *((reason, "cut") for reason in ("model_length", "max_output_tokens", "model_context_window_exceeded")),
        *((reason, "kept back") for reason in ("content_filter", "SAFETY", "RECITATION", "PROHIBITED_CONTENT")),
        *((reason, "kept back") for reason in ("content_filter: OTHER", "refusal", "sensitive", "FinishReason.SPII")),
        *((reason, "broken") for reason in ("error", "network_error", "insufficient_system_resource", "abort")),
    ],
)
def test_a_finish_reason_is_read_in_every_spelling(reason: Any, means: str) -> None:
    payload = {"choices": [{"message": {"content": "Fi"}, "finish_reason": reason}]}
    verdict = dialect.judge(200, "application/json", json.dumps(payload).encode())
    assert verdict.kind == ("failed" if means == "broken" else "reply")
    if means != "broken":
        choice = dialect.read(payload, 0)
        assert (choice.cut, bool(choice.refusal)) == (means == "cut", means == "kept back")


@pytest.mark.parametrize(
    ("message", "refusal"),
    [
        ({"content": None, "refusal": "I can't\nhelp."}, "I can't help."),
        ({"content": [{"type": "refusal", "refusal": "I can't help."}]}, "I can't help."),
        ({"content": "Five.", "refusal": None}, ""),
        ({"content": "Five.", "refusal": ""}, ""),
    ],
)
def test_a_model_that_refuses_is_heard(message: dict[str, Any], refusal: str) -> None:
    choice = dialect.read({"choices": [{"message": message, "finish_reason": "stop"}]}, 0)
    assert choice.refusal == refusal


@pytest.mark.parametrize(
    ("choices", "texts"),
    [
        ([(1, "b"), (0, "a")], ["a", "b"]),
        ([(0, "a"), (0, "b"), (0, "c")], ["a", "b", "c"]),
        ([(None, "a"), (None, "b")], ["a", "b"]),
        ([("1", "a"), ("0", "b")], ["a", "b"]),
        ([(2, "c"), (5, "f")], ["c", "f"]),
    ],
)
def test_choices_stand_in_the_order_of_their_indices(choices: list[tuple[Any, str]], texts: list[str]) -> None:
    payload = {"choices": [None, *({"index": index, "message": {"content": text}} for index, text in choices)]}
    found = [dialect.read(payload, place).text for place in range(len(dialect.choices_of(payload)))]
    assert found == texts


@pytest.mark.parametrize(
    ("usage", "told"),
    [
        (None, (None, 0, None)),
        ("many", (None, 0, None)),
        ({"prompt_tokens": -1, "completion_tokens": "5"}, (None, 0, None)),
        ({"prompt_tokens": 10**12, "completion_tokens": True}, (None, 0, None)),
        ({"prompt_tokens": 9, "completion_tokens": -5}, (9, 0, None)),
        ({"prompt_tokens": 9, "total_tokens": 14}, (9, 0, 5)),
        ({"prompt_tokens": 9, "total_tokens": 4}, (9, 0, None)),
        ({"completion_tokens": 5, "total_tokens": 14}, (None, 0, 5)),
        ({"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 0}, (9, 0, 5)),
        ({"prompt_tokens": 9, "completion_tokens": 5, "prompt_tokens_details": None}, (9, 0, 5)),
        ({"prompt_tokens": 9, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 99}}, (9, 9, 5)),
        ({"prompt_tokens": 9, "completion_tokens": 5, "completion_tokens_details": {"reasoning_tokens": 4}}, (9, 0, 5)),
        (
            {"prompt_tokens": 9, "completion_tokens": 5, "completion_tokens_details": {"reasoning_tokens": 20}},
            (9, 0, 25),
        ),
        ({"input_tokens": 9, "output_tokens": 5}, (9, 0, 5)),
    ],
)
def test_a_wrong_count_is_none(usage: Any, told: tuple[int | None, int, int | None]) -> None:
    found = dialect.usage_of({"choices": [{}], "usage": usage})
    assert (found.prompt_tokens, found.cached_tokens, found.completion_tokens) == told


@pytest.mark.parametrize(
    ("status", "payload", "kind", "message"),
    [
        (200, {"choices": None}, "failed", "an answer without choices"),
        (200, {"choices": "none"}, "failed", "an answer without choices"),
        (200, {"choices": [None]}, "failed", "an answer without choices"),
        (200, {"choices": [{"error": {"message": "gone"}}]}, "failed", "an answer without choices: gone"),
        (
            200,
            {"choices": [{"finish_reason": "error", "error": {"code": 502, "message": "Upstream went away"}}]},
            "failed",
            "an answer without choices: Upstream went away",
        ),
        (200, {"object": "error", "message": "too busy", "code": 503, "choices": None}, "failed", "503: too busy"),
        (200, {"object": "error", "message": "bad field", "code": 400}, "refused", "400: bad field"),
        (200, {"error": {"message": "odd"}}, "failed", "500: odd"),
        (400, {"object": "error", "message": "bad field", "code": 400}, "refused", "400: bad field"),
        (400, {"code": "Client specified an invalid argument", "error": "bad field"}, "refused", "400: bad field"),
        (400, {"code": "data_inspection_failed", "message": "no"}, "refused", "no"),
        (
            400,
            {
                "error": {
                    "code": 400,
                    "message": "Provider returned error",
                    "metadata": {"raw": '{"error":{"message":"no"}}'},
                }
            },
            "refused",
            "400: no",
        ),
        (
            422,
            {
                "detail": [
                    {
                        "type": "missing",
                        "loc": ["body", "model"],
                        "msg": "Field required",
                        "input": {"messages": "secret"},
                    }
                ]
            },
            "refused",
            "422: model: Field required",
        ),
    ],
)
def test_a_fault_is_told_in_its_own_words(status: int, payload: Any, kind: str, message: str) -> None:
    verdict = dialect.judge(status, "application/json", json.dumps(payload).encode())
    assert (verdict.kind, verdict.message) == (kind, message)


@pytest.mark.parametrize(
    ("message", "most"),
    [
        ("max_tokens is too large: 9000. This model supports at most 4096 completion tokens.", 4096),
        ("Invalid max_tokens value, the valid range of max_tokens is [1, 8192]", 8192),
        ("max_tokens: 100000 > 64000, which is the maximum allowed number of output tokens for this model", 64000),
        ("`max_completion_tokens` must be less than or equal to `8192`", 8192),
        ("`max_completion_tokens` must be less than or equal to 8192", 8192),
        ("temperature must be less than or equal to 2", None),
    ],
)
def test_a_ceiling_above_the_models_own_is_refused_with_that_one(message: str, most: int | None) -> None:
    verdict = dialect.judge(400, "application/json", json.dumps({"error": {"message": message}}).encode())
    assert (verdict.kind, verdict.certain) == ("refused", False)
    assert verdict.hint == (f"lower max_tokens: the model's own ceiling is {most}" if most else "")


CHAT = {
    "content": [
        {"token": " A", "logprob": -0.1, "bytes": [32, 65], "top_logprobs": [
            {"token": " A", "logprob": -0.1, "bytes": [32, 65]}, {"token": " B", "logprob": -2.5, "bytes": [32, 66]},
            {"token": " B", "logprob": -9.0, "bytes": None},
        ]},
        {"token": ".", "logprob": 0, "bytes": [46], "top_logprobs": []},
    ],
    "refusal": None,
}  # fmt: skip
OLDER = {
    "tokens": [" A", "."],
    "token_logprobs": [-0.1, 0],
    "top_logprobs": [{" A": -0.1, " B": -2.5}, None],
    "text_offset": [0, 2],
}


@pytest.mark.parametrize(
    ("told", "found"),
    [
        (CHAT, (TokenLogprob(" A", -0.1, {" A": -0.1, " B": -2.5}), TokenLogprob(".", 0))),
        (OLDER, (TokenLogprob(" A", -0.1, {" A": -0.1, " B": -2.5}), TokenLogprob(".", 0))),
        ({**OLDER, "top_logprobs": None}, (TokenLogprob(" A", -0.1), TokenLogprob(".", 0))),
        ({**OLDER, "token_logprobs": [None, 0]}, ()),
        ({"content": [{"token": "A"}]}, ()),
        ({"content": [{"token": "A", "logprob": None}]}, ()),
        ({"content": [{"token": "A", "logprob": -1, "top_logprobs": ["A"]}]}, ()),
        ({"content": ["A"]}, ()),
        ({"content": None}, ()),
        ({}, ()),
        (None, ()),
    ],
)
def test_log_probabilities_are_read_in_both_shapes(told: Any, found: tuple[TokenLogprob, ...]) -> None:
    assert logprobs.read({"logprobs": told}) == found


def test_a_stored_reply_has_its_log_probabilities() -> None:
    choices = [
        {"index": place, "message": {"content": " A."}, "logprobs": told} for place, told in enumerate([CHAT, None])
    ]
    body = json.dumps({"choices": choices}).encode()
    replies = [reply_of("key", Entry("reply", 200, {}, body, place)) for place in range(2)]
    assert [[(one.token, dict(one.top)) for one in reply.logprobs] for reply in replies] == [
        [(" A", {" A": -0.1, " B": -2.5}), (".", {})],
        [],
    ]


def test_real_log_probabilities_come_through_unchanged() -> None:
    if not REAL.is_file():
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(f"no {REAL.name} in ../shared/data/logprobs")
    count = 0
    for line in REAL.read_text(encoding="utf-8").splitlines():
        steps = json.loads(line)["steps"]
        top = [{token: math.log(max(prob, 1e-9)) for token, prob in step["top"].items()} for step in steps]
        values = [math.log(max(step["prob"], 1e-9)) for step in steps]
        tokens = [step["token"] for step in steps]
        older = {"tokens": tokens, "token_logprobs": values, "top_logprobs": top}
        chat = {
            "content": [
                {
                    "token": token,
                    "logprob": value,
                    "top_logprobs": [{"token": t, "logprob": v} for t, v in likely.items()],
                }
                for token, value, likely in zip(tokens, values, top, strict=True)
            ]
        }
        found = [logprobs.read(json.loads(json.dumps({"logprobs": told}))) for told in (older, chat)]
        assert found[0] == found[1]
        assert [(one.token, one.logprob, one.top) for one in found[0]] == list(zip(tokens, values, top, strict=True))
        count += len(steps)
    assert count == 2578
