"""What can be wrong with a training text, each with what to do about it."""

from dataclasses import dataclass

from pipeline.errors import StageError

SHOWN_CHARACTERS = 60
"""Of an offending text, cut in its middle."""
_EDIT = "edit chat_template.jinja in a copy of the student's folder and give that folder as the student"


@dataclass(frozen=True)
class Fault:
    """One way in which a student would learn something else than what it is asked at inference."""

    name: str
    """In plain words."""
    hint: str

    def error(self, where: str, detail: str) -> StageError:
        """The error to raise.

        Args:
            where: the example or batch that has it.
            detail: what was met and what was wanted.
        """
        return StageError(f"{where}: {self.name}: {detail}", self.hint)


DROPPED = Fault(
    "the chat template loses a turn",
    f"it takes neither plain text nor a list of parts there as they stand; {_EDIT}, or take another student",
)
DOUBLE_BOS = Fault(
    "BOS stands twice",
    f"the tokenizer adds one to the template's own; remove {{{{ bos_token }}}} once: {_EDIT}; or tokenise the rendered "
    "text with add_special_tokens=False",
)
NO_GENERATION_PROMPT = Fault(
    "the generation prompt is missing",
    "under {% if add_generation_prompt %} the template must write all that stands before the assistant's words; "
    + _EDIT,
)
OTHER_PROMPT = Fault(
    "the prompt at inference is not the beginning of the training text",
    "render both through one template, the prompt with add_generation_prompt=True, and write the completion behind it",
)
SYSTEM_AT_ONE_END = Fault(
    "a system turn is added at one end only",
    "the template must open a prompt and a finished conversation alike, and training and inference must be given the "
    f"same turns; {_EDIT}, or give the system turn yourself",
)
PROMPT_NOT_MASKED = Fault(
    "the prompt is not masked", "set the labels of the prompt to -100: only what the student must write is learnt"
)
THOUGHTS_MISSING = Fault(
    "<think> is missing from the labels",
    "the template strips the thoughts: write the completion behind the rendered prompt, as `train` does, or take the "
    f"template's training twin (trl/chat_templates/*_training.jinja): {_EDIT}",
)
THOUGHTS_CLOSED = Fault(
    "the thoughts are closed before the completion thinks",
    "the prompt must end before <think> or just behind it: drop `<think>\\n\\n</think>` from the generation prompt (in "
    f"many templates by enable_thinking): {_EDIT}; or train on answers without thoughts",
)
THOUGHTS_UNCLOSED = Fault(
    "the prompt opens thoughts that the completion never closes",
    "all that the student writes would count as thoughts: train only on completions with </think>, as "
    f"--set assemble.require_thoughts=true does, or drop `<think>` from the generation prompt: {_EDIT}",
)
CUT = Fault(
    "the answer is cut",
    "raise the limit on the length, or drop the rows that are longer; `train.max_tokens` drops them",
)
OTHER_ANSWER = Fault(
    "the completion is missing from the labels",
    f"the template or the tokenizer rewrites it: write it behind the rendered prompt, as `train` does; or {_EDIT}",
)
END_MISSING = Fault(
    "the end of the turn is missing from the labels",
    "without it the student never learns to stop: end a text with what ends the template's turn, and learn "
    f"it; {_EDIT}, or set eos_token",
)
END_INSIDE = Fault(
    "the end of the turn stands inside the completion",
    "what follows it would never be written: spell special tokens out (split_special_tokens=True), as `train` does, or "
    "drop the row",
)
END_MASKED = Fault(
    "the end of the turn is masked because the pad token is EOS",
    "mask by the attention mask and not by the pad token's id, or give the tokenizer a pad token of its own",
)
PADDING_LEARNT = Fault(
    "padding carries loss", "set the labels to -100 wherever the attention mask is 0, and give the collator's mask on"
)
OTHER_ROW = Fault(
    "a row of the batch is not its example", "the collator changes tokens or labels: it may only pad and concatenate"
)


def shortened(text: str) -> str:
    """The text as a literal, cut in its middle."""
    half = SHOWN_CHARACTERS // 2
    return repr(text if len(text) <= SHOWN_CHARACTERS else f"{text[:half]} [...] {text[-half:]}")
