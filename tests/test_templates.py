"""Every chat template in the installed TRL is proved or refused, and the README's table says which.

`python -m tests.test_templates` prints that table.
"""

import re
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from pipeline.errors import StageError
from pipeline.rows import Example, Message
from pipeline.student import faults
from pipeline.student.faults import Fault
from pipeline.student.proof import prove_example, prove_template
from pipeline.student.text import encode, encode_whole, turn_ending
from tests import tiny_student, tiny_tokenizer

SPECIAL = re.compile(r"<[|｜][^<>\s]+?[|｜]>|<\|\w+>|<\w+\|>|<(?:start|end)_of_\w+>|\[gMASK\]|<sop>|</s>")
"""What the templates write that is one token in their models."""
THOUGHTS = tiny_student.example("thoughts", "What is 4 + 3?", "<think>\n4 + 3 = 7.\n</think>\n\nThe answer is 7.")
PLAIN = tiny_student.example("plain", "What is 4 + 3?", "4 + 3 = 7. The answer is 7.")
SYSTEM = Message(role="system", content="Be brief.")


class Family(NamedTuple):
    """What the tokenizers of a family of models have."""

    bos: str | None
    eos: str
    end: str
    """Of the assistant's turn; what the proof must find."""


FAMILIES = {
    "cohere": Family("<BOS_TOKEN>", "<|END_OF_TURN_TOKEN|>", "<|END_OF_TURN_TOKEN|>"),
    "cohere2": Family("<BOS_TOKEN>", "<|END_OF_TURN_TOKEN|>", "<|END_RESPONSE|><|END_OF_TURN_TOKEN|>"),
    "deepseek": Family("<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜end▁of▁sentence｜>"),
    "diffusion_gemma": Family("<bos>", "<eos>", "<turn|>"),
    "gemma": Family("<bos>", "<eos>", "<end_of_turn>"),
    "gemma4": Family("<bos>", "<eos>", "<turn|>"),
    "glm4moe": Family(None, "<|endoftext|>", "<|endoftext|>"),
    "glm4moe_training": Family(None, "<|endoftext|>", "<|user|>"),
    "gptoss": Family("<|startoftext|>", "<|return|>", "<|return|>"),
    "idefics3": Family("<|begin_of_text|>", "<|end_of_text|>", "<end_of_utterance>"),
    "lfm2": Family("<|startoftext|>", "<|im_end|>", "<|im_end|>"),
    "llama3": Family("<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>"),
    "llava_next": Family("<s>", "</s>", "</s>"),
    "muse_glimmer": Family("<|begin_of_text|>", "<|eot|>", "<|eot|>"),
    "nemotron": Family("<s>", "<|im_end|>", "<|im_end|>"),
    "phi3": Family("<s>", "<|endoftext|>", "<|end|>"),
    "qwen": Family(None, "<|im_end|>", "<|im_end|>"),
    "smolvlm": Family("<|im_start|>", "<end_of_utterance>", "<end_of_utterance>"),
}
"""By how the names of their templates begin; the longest that fits."""


class Outcome(NamedTuple):
    """Of each way the fault that is found, None where the text is proved."""

    ours: Fault | None
    """The prompt by the template, the completion verbatim, the turn's end: as `train` does."""
    whole: Fault | None
    """The template writes the whole conversation, and what it shares with the prompt is masked: as TRL does."""
    plain: Fault | None
    """As `train` does, for a completion without thoughts."""
    templates: str
    """Without `.jinja`; `*` stands for a template and its `_training` twin."""


OUTCOMES = [
    Outcome(
        None,
        None,
        None,
        "cohere* cohere2* diffusion_gemma* gemma* gemma3* gemma4 gemma4_v2 gemma4_v3 gemma4_v4 gemma4_v5 "
        "glm4moe_training idefics3* lfm2* lfm2_v2* lfm2_2_5 lfm2_2_5_v2 lfm2_2_5_vl llama3* llama3_1 llama3_2 "
        "llava_next* phi3* phi3_5* qwen2_5* qwen2_5_vl* qwen3* qwen3_instruct_2507* qwen3_vl* smolvlm*",
    ),
    Outcome(
        None,
        None,
        faults.THOUGHTS_UNCLOSED,
        "deepseek_r1_distill_training nemotron_3_nano* nemotron_3_super* nemotron_3_ultra* nemotron_3_5_lightning* "
        "qwen3_5_think* qwen3_6*",
    ),
    Outcome(None, faults.END_MISSING, None, "glm4moe"),
    Outcome(None, faults.THOUGHTS_MISSING, faults.THOUGHTS_UNCLOSED, "deepseek_r1_distill deepseekv3*"),
    Outcome(None, faults.THOUGHTS_CLOSED, faults.THOUGHTS_UNCLOSED, "qwen3_8*"),
    Outcome(faults.THOUGHTS_CLOSED, faults.THOUGHTS_CLOSED, None, "qwen3_5_nothink*"),
    Outcome(
        faults.NO_GENERATION_PROMPT,
        faults.NO_GENERATION_PROMPT,
        faults.NO_GENERATION_PROMPT,
        "gptoss* muse_glimmer*",
    ),
]
NO_SYSTEM_TURN = {"gemma", "gemma_training"}
"""They refuse one, and say so."""
EXPECTED = {
    name: outcome
    for outcome in OUTCOMES
    for listed in outcome.templates.split()
    for name in ([listed[:-1], f"{listed[:-1]}_training"] if listed.endswith("*") else [listed])
}


@cache
def installed() -> dict[str, str]:
    spec = find_spec("trl")
    assert spec
    assert spec.origin
    folder = Path(spec.origin).parent / "chat_templates"
    return {path.stem: path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.jinja"))}


def family_of(name: str) -> Family:
    return FAMILIES[max((start for start in FAMILIES if name.startswith(start)), key=len)]


def tokenizer_of(name: str) -> Any:
    template, family = installed()[name], family_of(name)
    special = SPECIAL.findall(template)
    return tiny_tokenizer.make(template, family.eos, bos=family.bos, special=special, whole_tags="<think>" in template)


def as_we_train(tokenizer: Any, example: Example) -> None:
    prove_template(tokenizer, example.prompt)
    prove_example(tokenizer, example, encode(tokenizer, example))


def rendered_whole(tokenizer: Any, example: Example) -> None:
    prove_example(tokenizer, example, encode_whole(tokenizer, example))


def check(fault: Fault | None, proof: Callable[[Any, Example], None], tokenizer: Any, example: Example) -> None:
    if fault is None:
        proof(tokenizer, example)
        return
    with pytest.raises(StageError) as raised:
        proof(tokenizer, example)
    assert f": {fault.name}: " in raised.value.fact
    assert raised.value.hint == fault.hint


def test_the_table_holds_every_installed_template_once() -> None:
    assert sorted(EXPECTED) == sorted(installed())
    assert len(EXPECTED) == sum(1 + listed.endswith("*") for o in OUTCOMES for listed in o.templates.split())


@pytest.mark.parametrize("name", EXPECTED)
def test_each_template_is_proved_or_refused_as_the_table_says(name: str) -> None:
    tokenizer, expected = tokenizer_of(name), EXPECTED[name]
    assert tokenizer.decode(turn_ending(tokenizer)) == family_of(name).end
    check(expected.plain, as_we_train, tokenizer, PLAIN)
    check(expected.ours, as_we_train, tokenizer, THOUGHTS)
    check(expected.whole, rendered_whole, tokenizer, THOUGHTS)
    briefly = THOUGHTS.model_copy(update={"prompt": (SYSTEM, *THOUGHTS.prompt)})
    if name in NO_SYSTEM_TURN:
        for proof in (as_we_train, rendered_whole):
            with pytest.raises(StageError, match=r"refuses the turns \(system, user\).*\n?.*without a system turn"):
                proof(tokenizer, briefly)
    else:
        check(expected.ours, as_we_train, tokenizer, briefly)
        check(expected.whole, rendered_whole, tokenizer, briefly)


def table() -> str:
    """The outcomes in Markdown."""
    lines = ["| templates | as `train` does | without thoughts | rendered whole |", "|---|---|---|---|"]
    for outcome in OUTCOMES:
        told = [
            f"refused: {fault.name}" if fault else "proved" for fault in (outcome.ours, outcome.plain, outcome.whole)
        ]
        names = ", ".join(f"`{name}`" for name in outcome.templates.split())
        lines.append(f"| {names} | {' | '.join(told)} |")
    return "\n".join(lines).replace("<think>", "`<think>`")


if __name__ == "__main__":
    print(table())
