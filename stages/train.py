"""Train the student on the examples, prompt masked, nothing cut.

Reads   Example
Writes  Example, those it was trained on; drops carry too_long. Beside them model/, log.jsonl, training_sample.json,
        fit.json (how it was fitted to the machine, and why) and, where they are kept, epochs/epoch-1/ and so on
Source  full fine-tuning; LoRA: Hu et al. 2021, "LoRA: Low-Rank Adaptation of Large Language Models", arXiv:2106.09685;
        QLoRA: Dettmers et al. 2023, "QLoRA: Efficient Finetuning of Quantized LLMs", arXiv:2305.14314; the tenfold
        learning rate of adapters: Schulman et al. 2025, "LoRA Without Regret", Thinking Machines Lab (Biderman et al.
        2024, "LoRA Learns Less and Forgets Less", arXiv:2405.09673, took four and ten times as high a one to instruct)
"""

import shutil
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from pipeline.errors import PipelineError, StageError
from pipeline.jsonl import write_json
from pipeline.progress import Progress
from pipeline.rows import Dropped, Example
from pipeline.stage import Rows, Stage, Work
from pipeline.student import load
from pipeline.student.proof import prove_example, prove_template
from pipeline.student.sample import sample
from pipeline.student.text import IGNORED, Encoded, encode
from pipeline.student.training import fit, prospect
from pipeline.student.training.batching import Lengths
from pipeline.student.training.decision import Decision, Wishes
from pipeline.student.training.footprint import Size, size_of
from pipeline.student.training.job import (
    CHECKPOINTS,
    LOG,
    Adapter,
    Job,
    OutOfMemory,
    Schedule,
    tokens_in,
    training_order,
)
from pipeline.student.training.launch import launch
from pipeline.student.training.machine import look
from pipeline.student.training.tokens import write_tokens

SHOWN = 3
"""Examples in `training_sample.json`."""
FIT = "fit.json"
"""What was chosen at the first start; it stays when a stopped training goes on."""


@dataclass
class _Measured:
    """Length of each row, and how many tokens of it carry loss."""

    tokens: "array[int]" = field(default_factory=lambda: array("l"))
    trained: "array[int]" = field(default_factory=lambda: array("l"))


@dataclass
class _Steps:
    """A progress on which a training may begin again: what it did before is not counted twice."""

    shown: Progress
    done: int = 0

    def total(self, count: int) -> None:
        self.shown.total(count)
        if self.done:
            self.advance(-self.done)

    def advance(self, count: int = 1) -> None:
        self.done += count
        self.shown.advance(count)

    def note(self, **figures: float | str) -> None:
        self.shown.note(**figures)

    def say(self, line: str) -> None:
        self.shown.say(line)


class Train(Stage):
    """The fields are the recipe of the training; what is left open about the machine is found out and told."""

    version = 2
    reads = Example
    writes = Example
    shapes_student = True
    precious = True
    resumes = True

    model: str
    """The student before training: a name on the Hugging Face hub, a folder, a GGUF file, or `embedded`."""
    method: Literal["auto", "full", "lora", "qlora"] = "auto"
    """`full` trains every weight; `lora` small matrices beside the linear layers, which are merged at the end; `qlora`
    the same beside weights of 4 bits; `auto` the first of these that fits into the free memory.
    """
    lora_rank: int = Field(default=16, ge=1)
    """Rank of those matrices."""
    lora_alpha: int = Field(default=32, ge=1)
    """Their output is scaled by lora_alpha / lora_rank."""
    loss: Literal["token", "row"] = "token"
    """Over what a batch's loss is the mean: `token`, over all its tokens; `row`, over its rows, each of which has the
    mean over its own tokens. Both times the weight of the example.
    """
    epochs: int = Field(default=3, ge=1)
    """Times that each example is seen."""
    learning_rate: float = Field(default=2e-5, gt=0)
    """The highest that AdamW gets; matrices need one about ten times as high. What is given is taken as it is for the
    method that is given; `auto` takes it for `full`, and ten times as much, up to 1e-3, where it must train matrices.
    """
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    """How the learning rate falls to zero after the warm-up, or that it does not."""
    warmup_share: float = Field(default=0.05, ge=0, lt=1)
    """Share of all steps, 0..1, over which the learning rate rises from zero."""
    batch_size: int = Field(default=16, ge=1)
    """Examples a step."""
    micro_batch_size: int | None = Field(default=None, ge=1)
    """Most examples in memory at once; divides batch_size, unless it is larger. None chooses it."""
    processes: int | None = Field(default=None, ge=1)
    """Processes that each batch is divided among, one a GPU; None makes as many as there are GPUs, or one."""
    max_tokens: int | None = Field(default=None, ge=1)
    """Longest example, prompt included, in tokens; longer ones are dropped. None sets no bound but the model's own."""
    dtype: Literal["auto", "bf16", "fp16", "fp32"] = "auto"
    """What is multiplied in; `auto` takes the fastest that the device has."""
    activation_checkpointing: bool | None = None
    """Save memory for about a third more time: most activations are computed again when they are needed. None chooses
    it.
    """
    padding_free: bool | None = None
    """Let the examples of a micro batch stand one after another instead of padding each to the longest. None does so
    with flash attention. Batches, weights of the examples and the loss stay what they are.
    """
    liger: bool | None = None
    """Use liger-kernel's norms and MLP. None does so on a CUDA device where it is installed."""
    save_steps: int = Field(default=50, ge=1)
    """Steps from one checkpoint to the next, from the last of which a stopped training goes on."""
    keep_epochs: bool = False
    """Keep the weights after each epoch too, in `epochs/epoch-1/` and so on, for a step `choose` to choose among."""
    seed: int = Field(default=0, ge=0, lt=2**32)
    """Of the order of the examples, and of LoRA's first weights."""

    @model_validator(mode="after")
    def _batches_divide(self) -> "Train":
        if self.micro_batch_size and self.batch_size % min(self.micro_batch_size, self.batch_size):
            raise ValueError(f"micro_batch_size {self.micro_batch_size} does not divide batch_size {self.batch_size}")
        if self.processes and self.batch_size % self.processes:
            raise ValueError(f"batch_size {self.batch_size} cannot be divided among {self.processes} processes")
        return self

    def outside(self, base: Path) -> dict[str, str]:
        """The student's weights."""
        return {"model": load.fingerprint(self.model, base)}

    def run(self, rows: Rows[Example], work: Work) -> Iterator[Example | Dropped]:
        """Train once on all rows that fit, then pass them through."""
        weights = load.find(self.model, work.base)
        size = size_of(weights)
        fit.check(look(), size, self._wishes())
        limit = self._longest(size)
        measured = self._write_tokens(load.load_tokenizer(weights), rows, limit, work.folder)
        if not (work.folder / LOG).exists():
            self._train(weights, size, measured, limit, work)
        shutil.rmtree(work.folder / CHECKPOINTS, ignore_errors=True)
        for row, length in zip(rows, measured.tokens, strict=True):
            yield row if length <= limit else Dropped(id=row.id, reason="too_long", detail=_over(length, limit))

    def foretell(self, rows: Rows[Example] | None, work: Work) -> list[str]:
        """How it would be fitted to this machine."""
        try:
            return prospect.told(self.model, rows, work.base, self.max_tokens, self._schedule(), self._wishes())
        except PipelineError as error:
            return [f"unknown: {error.fact}"]

    def _schedule(self) -> Schedule:
        return Schedule.model_validate({name: getattr(self, name) for name in Schedule.model_fields})

    def _wishes(self) -> Wishes:
        return Wishes.model_validate({name: getattr(self, name) for name in Wishes.model_fields})

    def _longest(self, size: Size) -> int:
        """Tokens of the longest row that can be trained on."""
        return size.context if self.max_tokens is None else min(size.context, self.max_tokens)

    def _write_tokens(self, tokenizer: Any, rows: Rows[Example], limit: int, folder: Path) -> _Measured:
        """Prove and write the rows that fit, and a sample of them.

        Raises:
            StageError: none fits, or one is not sound.
        """
        measured = _Measured()
        shown: list[dict[str, Any]] = []
        proved: set[tuple[str, ...]] = set()

        def fitting() -> Iterator[tuple[Encoded, float]]:
            for row in rows:
                encoded = encode(tokenizer, row)
                measured.tokens.append(len(encoded.input_ids))
                measured.trained.append(sum(label != IGNORED for label in encoded.labels))
                if measured.tokens[-1] > limit:
                    continue
                roles = tuple(turn.role for turn in row.prompt)
                if roles not in proved:
                    prove_template(tokenizer, row.prompt)
                    proved.add(roles)
                prove_example(tokenizer, row, encoded)
                if len(shown) < SHOWN:
                    shown.append(sample(tokenizer, row, encoded))
                yield encoded, row.weight

        write_tokens(tokens_in(folder), fitting())
        if not shown:
            raise StageError(
                f"none of {len(measured.tokens)} examples can be trained on: {_why_none(measured.tokens, limit)}",
                "look at the dropped rows of the steps before, or raise train.max_tokens",
            )
        write_json(folder / "training_sample.json", shown)
        return measured

    def _train(self, weights: load.Weights, size: Size, measured: _Measured, limit: int, work: Work) -> None:
        """Train, with less in memory at once each time that it was too much."""
        decision = Decision.read(work.folder / FIT) or self._decide(size, measured, limit)
        fit.require_devices(look(), decision.fit.processes)
        if self.method == "auto" and decision.method != "full":
            work.progress.say(decision.why[0])
        progress = _Steps(work.progress)
        while True:
            write_json(work.folder / FIT, decision.published())
            try:
                _run(self._job(weights, decision, work.folder), progress, work.logs)
                return
            except OutOfMemory:
                smaller = decision.smaller()
                if smaller is None:
                    raise _too_small(decision, max(length for length in measured.tokens if length <= limit)) from None
                decision = smaller
            work.progress.say(decision.why[-1])

    def _decide(self, size: Size, measured: _Measured, limit: int) -> Decision:
        kept = [row for row, length in enumerate(measured.tokens) if length <= limit]
        order = [kept[place] for place in training_order([measured.tokens[row] for row in kept], self._schedule())]
        lengths = Lengths([measured.tokens[row] for row in order], [measured.trained[row] for row in order])
        return fit.decide(look(), size, lengths, self._wishes())

    def _job(self, weights: load.Weights, decision: Decision, folder: Path) -> Job:
        how = self._schedule()
        adapter = Adapter(rank=self.lora_rank, alpha=self.lora_alpha, quantized=decision.method == "qlora")
        return Job(
            weights=weights,
            adapter=None if decision.method == "full" else adapter,
            schedule=how.model_copy(update={"learning_rate": how.learning_rate * decision.learning_rate_factor}),
            fit=decision.fit,
            folder=folder,
        )


def _run(job: Job, progress: Progress, logs: Path) -> None:
    if job.fit.processes > 1:
        launch(job, progress, logs)
        return
    from pipeline.student.training.trainer import train

    train(job, progress)
    load.free()


def _too_small(decision: Decision, longest: int) -> StageError:
    ways = "" if decision.method == "qlora" else "--set train.method=qlora, or "
    fact = f"one example of {longest} tokens at once does not fit into memory, its activations computed again"
    return StageError(fact, f"{ways}--set train.max_tokens={longest // 2}, which drops what is longer")


def _over(length: int, limit: int) -> str:
    return f"{length} tokens, {limit} at most"


def _why_none(lengths: Sequence[int], limit: int) -> str:
    return f"the shortest has {_over(min(lengths), limit)}" if lengths else "there are none"
