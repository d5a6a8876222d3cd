"""What is made of a refusal: fall-backs for parameters, and nothing for what is about the request itself."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.choices import TeacherChoice
from pipeline.rows import Message
from pipeline.stage import Request
from pipeline.teacher import dialect
from pipeline.teacher.keys import Teacher, Wanted, messages_of
from pipeline.teacher.manner import Manner

SYSTEM = {"role": "system", "content": "Be brief."}
USER = {"role": "user", "content": "What is 4 + 3 - 2?"}
FIELDS = {
    "temperature": 0.7, "top_p": 0.9, "max_tokens": 100, "seed": 3, "logprobs": True, "top_logprobs": 5, "stop": ["."],
    "top_k": 20,
}  # fmt: skip


def openai(message: str, param: str | None, code: str | None) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", "param": param, "code": code}}


def said(message: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error"}}


def forbidden(field: str) -> dict[str, Any]:
    return {"type": "extra_forbidden", "loc": ["body", field], "msg": "Extra inputs are not permitted", "input": 1}


def sent(manner: Manner, count: int = 4) -> bytes:
    return manner.shape("m", [SYSTEM, USER], FIELDS, 0, count)


def told(manner: Manner, status: int, answer: Any) -> dict[str, Any] | None:
    """What the manner becomes, as far as it is not the default."""
    found = manner.after(status, json.dumps(answer).encode(), sent(manner))
    return found[0].model_dump(exclude_defaults=True) if found else None


NO_LOGPROBS = ("logprobs", "top_logprobs")

FALL_BACKS: list[tuple[str, int, Any, dict[str, Any]]] = [
    (
        "openai max_tokens",
        400,
        openai(
            "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' "
            "instead.",
            "max_tokens",
            "unsupported_parameter",
        ),
        {"ceiling": "max_completion_tokens"},
    ),
    (
        "openai temperature",
        400,
        openai(
            "Unsupported value: 'temperature' does not support 0.7 with this model. Only the default (1) value is "
            "supported.",
            "temperature",
            "unsupported_value",
        ),
        {"left_out": ("temperature",)},
    ),
    ("openai by its fields", 400, openai("Bad.", "top_p", "unsupported_parameter"), {"left_out": ("top_p",)}),
    (
        "openai logprobs",
        400,
        said("You are not allowed to request logprobs from this model."),
        {"left_out": NO_LOGPROBS},
    ),
    (
        "openai system",  # https://github.com/microsoft/agent-framework/issues/1077
        400,
        openai(
            "Unsupported value: 'messages[0].role' does not support 'system' with this model.",
            "messages[0].role",
            "unsupported_value",
        ),
        {"system": "user"},
    ),
    (
        "openai n",
        400,
        openai("Unsupported value: 'n' does not support 4", "n", "unsupported_value"),
        {"most_choices": 1},
    ),
    ("azure", 400, said("Unrecognized request argument supplied: seed"), {"left_out": ("seed",)}),
    # The last one is found first, the others by the next refusals.
    ("azure, several", 400, said("Unrecognized request arguments supplied: seed, top_p"), {"left_out": ("top_p",)}),
    (
        "gemini",  # https://github.com/Vali-98/ChatterUI/issues/227
        400,
        [
            said(
                'Invalid JSON payload received. Unknown name "frequency_penalty": Cannot find field.\n'
                'Invalid JSON payload received. Unknown name "seed": Cannot find field.'
            )
        ],
        {"left_out": ("seed",)},
    ),
    ("gemini logprobs", 400, said("Logprobs is not enabled for models/gemini-2.5-pro"), {"left_out": NO_LOGPROBS}),
    ("gemini system", 400, said("Developer instruction is not enabled for models/gemma-3-27b-it"), {"system": "user"}),
    ("gemini n", 400, said("Multiple candidates is not enabled for this model"), {"most_choices": 1}),
    (
        "openrouter, of the provider behind it",  # https://github.com/BoundaryML/baml/issues/2109
        200,
        {
            "error": {
                "code": 400,
                "message": "Provider returned error",
                "metadata": {"raw": json.dumps(said("Developer instruction is not enabled for models/gemma-3-27b-it"))},
            }
        },
        {"system": "user"},
    ),
    (
        "pydantic",
        422,
        {"detail": [forbidden("seed"), forbidden("top_logprobs")]},
        {"left_out": ("seed", "top_logprobs")},
    ),
    (
        "pydantic, one value",
        422,
        {"detail": [{"loc": ["body", "temperature"], "msg": "Input should be 1", "input": 0.7}]},
        {"left_out": ("temperature",)},
    ),
    (
        "pydantic, a role",
        422,
        {"detail": [{"loc": ["body", "messages", 0, "role"], "msg": "Input should be 'user' or 'assistant'"}]},
        {"system": "user"},
    ),
    ("mistral", 422, {"object": "error", "message": {"detail": [forbidden("seed")]}}, {"left_out": ("seed",)}),
    (
        "mistral, as a text",  # https://github.com/mistralai/platform-docs-public/issues/7
        422,
        {"object": "error", "message": json.dumps({"detail": [forbidden("seed")]}), "code": "1000"},
        {"left_out": ("seed",)},
    ),
    (
        "vllm, as a text of Python",  # https://github.com/vllm-project/vllm/issues/3657
        400,
        {
            "object": "error",
            "message": "[{'type': 'extra_forbidden', 'loc': ('body', 'seed'), 'msg': 'Extra inputs are not permitted', "
            "'input': 3}]",
            "code": 400,
        },
        {"left_out": ("seed",)},
    ),
    (
        "vllm system",  # https://github.com/huggingface/chat-ui/issues/1386
        400,
        {"object": "error", "message": "System role not supported", "type": "BadRequestError", "code": 400},
        {"system": "user"},
    ),
    ("a chat template", 500, said("Conversation roles must alternate user/assistant/user/..."), {"system": "user"}),
    (
        "a server that names developer",
        400,
        said("messages[0].role: expected 'developer', 'user' or 'assistant', got 'system'"),
        {"system": "developer"},
    ),
    (
        "fireworks",
        400,
        said("Extra inputs are not permitted, field: 'logprobs', value: True"),
        {"left_out": NO_LOGPROBS},
    ),
    ("anthropic", 400, said("seed: Extra inputs are not permitted"), {"left_out": ("seed",)}),
    (
        "anthropic temperature",  # https://github.com/Mixpeal/anthropic-sdk/issues/11
        400,
        {"type": "error", **said("`temperature` is deprecated for this model.")},
        {"left_out": ("temperature",)},
    ),
    (
        "anthropic thinking",
        400,
        said("`temperature` may only be set to 1 when thinking is enabled."),
        {"left_out": ("temperature",)},
    ),
    (
        "anthropic, one of two",
        400,
        said("`temperature` and `top_p` cannot both be specified for this model. Please use only one."),
        {"left_out": ("top_p",)},
    ),
    (
        "bedrock",
        400,
        {"message": "Malformed input request: extraneous key [top_p] is not permitted, please reformat your input"},
        {"left_out": ("top_p",)},
    ),
    ("groq logprobs", 400, said("`logprobs` is not supported with this model"), {"left_out": NO_LOGPROBS}),
    ("groq n", 400, said("'n' : number must be at most 1"), {"most_choices": 1}),
    ("groq property", 400, said("property 'seed' is unsupported"), {"left_out": ("seed",)}),
    (
        "deepseek",  # https://github.com/lollipopkit/flutter_gpt_box/issues/213
        400,
        said("deepseek-reasoner does not support the parameter `top_p`"),
        {"left_out": ("top_p",)},
    ),
    ("xai", 400, {"code": "x", "error": "Argument not supported on this model: topP"}, {"left_out": ("top_p",)}),
    (
        "xai, newer",
        400,
        {"code": "invalid-argument", "error": "Model grok-4 does not support parameter logprobs."},
        {"left_out": NO_LOGPROBS},
    ),
    (
        "moonshot",  # https://github.com/HKUDS/nanobot/pull/202
        400,
        said("invalid temperature: only 1 is allowed for this model"),
        {"left_out": ("temperature",)},
    ),
    (
        "together",  # https://github.com/togethercomputer/together-py/issues/214
        422,
        said("Input validation error: `seed` must not be set when `best_of` > 1"),
        {"left_out": ("seed",)},
    ),
    ("cohere", 422, {"message": "unknown field: parameter 'seed' is not a valid field"}, {"left_out": ("seed",)}),
    ("a Python server", 400, said("create() got an unexpected keyword argument 'seed'"), {"left_out": ("seed",)}),
    ("a short one", 400, {"detail": "This model doesn't support top_p"}, {"left_out": ("top_p",)}),
    (
        "dashscope",
        400,
        {"code": "InvalidParameter", "message": "The n parameter must be 1 when enable_thinking is true"},
        {"most_choices": 1},
    ),
    ("a smaller n", 400, said("n must be between 1 and 2"), {"most_choices": 2}),
    (
        "a smaller n of pydantic",
        422,
        {"detail": [{"loc": ["body", "n"], "msg": "Input should be <= 3"}]},
        {"most_choices": 3},
    ),
    (
        "llama.cpp",
        500,
        {"error": {"code": 500, "message": "Only one completion choice is allowed"}},
        {"most_choices": 1},
    ),
]

REFUSALS: list[tuple[str, int, Any]] = [
    (
        "vllm context",
        400,
        said(
            "This model's maximum context length is 8192 tokens. However, you requested 9000 tokens (8900 in the "
            "messages, 100 in the completion). Please reduce the length of the messages or max_tokens."
        ),
    ),
    ("vllm max_tokens", 400, said("'max_tokens' is too large: 100. This model's maximum context length is 81 tokens")),
    ("azure", 400, openai("Filtered by the content management policy", "temperature", "unsupported_value")),
    ("openai ceiling", 400, said("max_tokens is too large: 100. This model supports at most 50 completion tokens")),
    ("deepseek ceiling", 400, said("Invalid max_tokens value, the valid range of max_tokens is [1, 8192]")),
    ("anthropic ceiling", 400, said("max_tokens: 100 > 50, which is the maximum allowed number of output tokens")),
    (
        "a value out of range",
        400,
        openai("Invalid 'temperature': Expected a value <= 2, but got 3.", "temperature", "decimal_above_max_value"),
    ),
    ("a value of the wrong type", 400, said("'temperature' : value must be a number")),
    ("pydantic range", 422, {"detail": [{"loc": ["body", "temperature"], "msg": "Input should be <= 1"}]}),
    (
        "pydantic, which repeats the request",
        422,
        {
            "detail": [
                {"loc": ["body", "model"], "msg": "Field required", "input": {"x": "temperature is not supported"}}
            ]
        },
    ),
    ("stop", 400, openai("Unsupported parameter: 'stop' is not supported.", "stop", "unsupported_parameter")),
    ("the user's own field", 422, {"detail": [forbidden("top_k")]}),
    ("the user's own, and another like it", 400, said("property 'top_k' is unsupported, did you mean 'top_p'?")),
    ("the user's own, and what is taken", 400, said("Unsupported parameter: top_k. Supported: temperature, seed")),
    ("the same of Rust", 422, said("unknown field `top_k`, expected one of `messages`, `temperature`, `seed`")),
    ("a field of a message", 422, {"detail": [{"loc": ["body", "messages", 0, "seed"], "msg": "Extra inputs"}]}),
    ("a wrong key", 401, said("temperature is not supported")),
    ("a key that may not", 403, said("You are not allowed to request logprobs from this model.")),
    ("busy", 429, said("temperature is not supported")),
    ("a long text", 400, said("a " * 2000 + "property 'seed' is unsupported")),
    ("no words", 400, {}),
    ("other words", 400, said("Invalid request data")),
]


@pytest.mark.parametrize(
    ("status", "answer", "change"), [row[1:] for row in FALL_BACKS], ids=[row[0] for row in FALL_BACKS]
)
def test_a_refused_parameter_falls_back(status: int, answer: Any, change: dict[str, Any]) -> None:
    assert told(Manner(), status, answer) == change


@pytest.mark.parametrize(("status", "answer"), [row[1:] for row in REFUSALS], ids=[row[0] for row in REFUSALS])
def test_what_is_about_this_request_is_no_parameter(status: int, answer: Any) -> None:
    assert told(Manner(), status, answer) is None


def test_a_field_that_was_not_sent_is_not_left_out() -> None:
    body = Manner().shape("m", [USER], {"max_tokens": 9}, 0, 1)
    for message in ("property 'seed' is unsupported", "System role not supported", "'n' : number must be at most 1"):
        assert Manner().after(400, json.dumps(said(message)).encode(), body) is None


def test_the_second_name_of_the_ceiling_is_the_last() -> None:
    first = json.dumps(openai("Unsupported parameter: 'max_tokens'", "max_tokens", "unsupported_parameter")).encode()
    found = Manner().after(400, first, sent(Manner()))
    assert found is not None
    renamed, line = found
    assert line == "takes max_completion_tokens for the ceiling of a reply"
    second = json.dumps(said("Unrecognized request argument supplied: max_completion_tokens")).encode()
    assert renamed.after(400, second, sent(renamed)) is None


def test_what_another_request_found_out_is_sent_again_and_not_said_again() -> None:
    refusal = json.dumps(said("property 'seed' is unsupported")).encode()
    body = sent(Manner())
    for now in (Manner(left_out=("seed",)), Manner(left_out=("seed", "top_p"), system="user")):
        assert now.after(400, refusal, body) == (now, "")
    renamed = Manner(ceiling="max_completion_tokens")
    assert renamed.after(400, json.dumps(said("max_tokens is not supported")).encode(), body) == (renamed, "")
    for moved in (Manner(system="user"), Manner(system="developer")):
        assert moved.after(400, json.dumps(said("System role not supported")).encode(), body) == (moved, "")


def test_everything_can_be_refused_in_turn_and_then_it_ends() -> None:
    refusals = [
        *(said(f"property '{name}' is unsupported") for name in ("temperature", "top_p", "seed", "logprobs")),
        said("max_tokens is not supported"), said("System role not supported"), said("'n' : number must be at most 1"),
    ]  # fmt: skip
    manner, lines = Manner(), []
    for refusal in refusals:
        found = manner.after(400, json.dumps(refusal).encode(), sent(manner, manner.most_choices or 4))
        assert found is not None
        manner, line = found
        lines.append(line)
    assert lines == [
        "takes no temperature: left out",
        "takes no top_p: left out",
        "takes no seed: left out",
        "takes no logprobs, top_logprobs: left out",
        "takes max_completion_tokens for the ceiling of a reply",
        "takes no system role: the system prompt stands before the first user turn",
        "takes one sample a request",
    ]
    body = dialect.parse(sent(manner, 1))
    turn = {"role": "user", "content": "Be brief.\n\nWhat is 4 + 3 - 2?"}
    assert body == {"model": "m", "messages": [turn], "max_completion_tokens": 100, "stop": ["."], "top_k": 20}
    for refusal in refusals:
        assert manner.after(400, json.dumps(refusal).encode(), sent(manner, 1)) is None


@pytest.mark.parametrize(
    ("manner", "turns", "sent_turns"),
    [
        (Manner(), [SYSTEM, USER], [SYSTEM, USER]),
        (Manner(system="developer"), [SYSTEM, USER], [{**SYSTEM, "role": "developer"}, USER]),
        (Manner(system="user"), [USER], [USER]),
        (Manner(system="user"), [SYSTEM], [{"role": "user", "content": "Be brief."}]),
        (
            Manner(system="user"),
            [SYSTEM, SYSTEM, USER, {"role": "assistant", "content": "5"}, USER],
            [
                {"role": "user", "content": "Be brief.\n\nBe brief.\n\nWhat is 4 + 3 - 2?"},
                {"role": "assistant", "content": "5"},
                USER,
            ],
        ),
    ],
)
def test_the_system_prompt_goes_where_it_is_taken(manner: Manner, turns: Any, sent_turns: Any) -> None:
    before = json.dumps(turns)
    assert (dialect.parse(manner.shape("m", turns, {}, 0, 1)) or {})["messages"] == sent_turns
    assert json.dumps(turns) == before


@pytest.mark.parametrize(
    ("fields", "body"),
    [
        ({"seed": 5, "temperature": 1, "max_tokens": 9}, {"max_completion_tokens": 9, "temperature": 1}),
        ({"max_completion_tokens": 9}, {"max_completion_tokens": 9}),
        ({"extra_body": {"seed": 5, "top_k": 3, "max_tokens": 9}}, {"top_k": 3, "max_completion_tokens": 9}),
        # Gemini wants an `extra_body` within the body.
        ({"extra_body": {"extra_body": {"google": {"seed": 1}}}}, {"extra_body": {"google": {"seed": 1}}}),
    ],
)
def test_fields_are_sent_under_the_names_that_are_taken(fields: dict[str, Any], body: dict[str, Any]) -> None:
    manner = Manner(ceiling="max_completion_tokens", left_out=("seed",))
    assert dialect.parse(manner.shape("m", [], fields, 4, 1)) == {"model": "m", "messages": [], **body}


def test_a_manner_comes_back_as_it_was_stored() -> None:
    manner = Manner(ceiling="max_tokens", system="developer", most_choices=2, left_out=("seed", "top_p"))
    stored = json.loads(json.dumps(manner.model_dump(mode="json")))
    assert Manner.model_validate(stored) == manner
    assert Manner.model_validate({**stored, "of_a_later_version": 1}) == manner
    assert Manner.model_validate({}) == Manner()


def test_a_manner_changes_what_is_sent_and_no_key() -> None:
    teacher = Teacher("main", TeacherChoice(base_url="https://host/v1", model="m"), Path())
    messages = tuple(Message.model_validate(turn) for turn in (SYSTEM, USER))
    request = Request(messages=messages, temperature=0.7, seed=3, max_tokens=50)

    def body(wanted: Wanted, manner: Manner) -> bytes:
        return manner.shape("m", messages_of(wanted.request), wanted.fields, 0, 1)

    before = teacher.wanted(request)
    plain = body(before, Manner())
    bent = body(before, Manner(system="user", left_out=("seed", "temperature"), ceiling="max_completion_tokens"))
    assert plain == dialect.body_of("m", messages_of(request), before.fields, 0, 1) != bent
    assert teacher.wanted(request) == before
    assert body(before, Manner()) == plain
