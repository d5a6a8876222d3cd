"""A loaded model that answers many prompts: by vLLM where that is installed and a CUDA device is there, else by
transformers.
"""

import os
import time
from collections import deque
from collections.abc import Sequence
from importlib.util import find_spec
from types import SimpleNamespace
from typing import Any, Literal, Protocol

from pipeline.errors import StageError
from pipeline.progress import Progress
from pipeline.student import load
from pipeline.student.answering import memory
from pipeline.student.answering.generate import Generated, Generation, Limits, end_tokens, finished, window_of
from pipeline.student.answering.sampling import Sampling
from pipeline.student.answering.written import Took, Written

Backend = Literal["vllm", "transformers"]

CHUNK = 1024
"""Texts that vLLM is given at once: enough to keep it busy, and what a kill can cost."""


class Writer(Protocol):
    """A loaded model."""

    tokenizer: Any

    def write(
        self, prompts: Sequence[Sequence[int]], limits: Limits, sampling: Sampling | None, written: Written
    ) -> None:
        """Continue the prompts whose texts are missing, and put them there batch by batch.

        A prompt that leaves the model no room gets an empty text, cut.

        Args:
            prompts: their tokens, none empty, by the numbers that their texts have in `written`.
            limits: where a text ends.
            sampling: how tokens are drawn; None takes the likeliest.
            written: where the texts go.
        """
        ...

    def close(self) -> None:
        """Give the memory back."""
        ...


def backend_of(models: Sequence[load.Weights]) -> Backend:
    """What writes for all of these: one for all, so that they are compared on the same footing."""
    is_able = load.device() == "cuda" and find_spec("vllm") is not None
    return "vllm" if is_able and not any(weights.gguf_file for weights in models) else "transformers"


def hand_of(backend: Backend) -> str:
    """What writes, in words that tell apart what may write other texts: `transformers, cpu, float32`."""
    return f"{backend}, {load.device()}, {_dtype_name()}"


def load_writer(weights: load.Weights, backend: Backend, batch_size: int, progress: Progress) -> Writer:
    """Load a model.

    Args:
        weights: the model.
        backend: what runs it.
        batch_size: most texts side by side, by transformers; vLLM sees to that itself.
        progress: advanced by one for every text.

    Raises:
        StageError: it cannot be loaded.
    """
    if backend == "vllm":
        return VllmWriter(weights, progress)
    return TransformersWriter(weights, batch_size, progress)


class TransformersWriter:
    """A model run by transformers; where memory does not do for a batch, it is halved, and so are all that follow."""

    def __init__(self, weights: load.Weights, batch_size: int, progress: Progress) -> None:
        self.tokenizer = load.load_tokenizer(weights)
        self.batch_size = batch_size
        self._model = load.load_model(weights, load.fast_dtype())
        self._progress = progress

    def write(
        self, prompts: Sequence[Sequence[int]], limits: Limits, sampling: Sampling | None, written: Written
    ) -> None:
        """See `Writer`."""
        _leave_empty(prompts, window_of(self._model), written, self._progress)
        if written.is_whole:
            return
        generation = Generation(self._model, self.tokenizer, prompts, limits, sampling)
        parts = deque(generation.batches(self.batch_size, done=written))
        while parts:
            part = parts.popleft()
            if len(part) > self.batch_size:
                parts.extendleft((part[self.batch_size :], part[: self.batch_size]))
                continue
            memory.begin_peak()
            began = time.monotonic()
            texts = self._attempt(generation, part)
            if texts is None:
                self._halve(len(part))
                parts.appendleft(part)
                continue
            seconds = time.monotonic() - began
            took = Took(seconds, self.batch_size, memory.peak_bytes())
            written.add(list(zip(part, texts, strict=True)), took)

    def close(self) -> None:
        """See `Writer`."""
        del self._model
        load.free()

    def _attempt(self, generation: Generation, batch: Sequence[int]) -> list[Generated] | None:
        """The batch's texts; None where memory does not do, and then nothing of the attempt is held any more."""
        from accelerate.utils.memory import should_reduce_batch_size

        ended = 0

        def end(count: int) -> None:
            nonlocal ended
            ended += count
            self._progress.advance(count)

        try:
            return generation.write(batch, end)
        except RuntimeError as error:
            if not should_reduce_batch_size(error):
                raise
        self._progress.advance(-ended)
        return None

    def _halve(self, size: int) -> None:
        load.free()
        if size == 1:
            raise StageError(
                "memory does not do for a single text", "lower evaluate.max_new_tokens, or take a machine with more"
            )
        self.batch_size = (size + 1) // 2
        self._progress.say(f"memory does not do for {size} texts side by side: {self.batch_size} from here on")


class VllmWriter:
    """A model run by vLLM, which fills the device's memory and chooses itself how many texts stand side by side."""

    def __init__(self, weights: load.Weights, progress: Progress) -> None:
        os.environ.setdefault("VLLM_LOGGING_STREAM", "ext://sys.stderr")  # stdout is data
        os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
        self.tokenizer = load.load_tokenizer(weights)
        self._progress = progress
        try:
            from vllm import LLM  # built for another torch or CUDA, it cannot be imported

            revision = weights.revision
            self._llm = LLM(model=weights.name, revision=revision, tokenizer_revision=revision, dtype=_dtype_name())
        except (ImportError, OSError, RuntimeError, ValueError) as error:
            raise StageError(
                f"vLLM cannot load {weights.name}: {str(error).strip().splitlines()[0][:200]}",
                "free the device's memory, or pip uninstall vllm: transformers writes then",
            ) from error
        self._ends = end_tokens(SimpleNamespace(generation_config=_generation_config(weights)), self.tokenizer)

    def write(
        self, prompts: Sequence[Sequence[int]], limits: Limits, sampling: Sampling | None, written: Written
    ) -> None:
        """See `Writer`."""
        _leave_empty(prompts, self._llm.llm_engine.model_config.max_model_len, written, self._progress)
        missing = [number for number in range(len(prompts)) if number not in written]
        for start in range(0, len(missing), CHUNK):
            chunk = missing[start : start + CHUNK]
            began = time.monotonic()
            outputs = self._llm.generate(
                [{"prompt_token_ids": list(prompts[number])} for number in chunk],
                [self._asked(limits, sampling, number) for number in chunk],
                use_tqdm=False,
            )
            ids = [list(output.outputs[0].token_ids) for output in outputs]
            texts = [finished(self.tokenizer, one, self._ends, limits) for one in ids]
            written.add(list(zip(chunk, texts, strict=True)), Took(time.monotonic() - began))
            self._progress.advance(len(chunk))

    def close(self) -> None:
        """See `Writer`."""
        self._llm.llm_engine.engine_core.shutdown()
        del self._llm
        load.free()

    def _asked(self, limits: Limits, sampling: Sampling | None, number: int) -> Any:
        from vllm import SamplingParams

        drawn = {"temperature": 0.0}
        if sampling is not None:
            drawn = {
                "temperature": sampling.temperature,
                "top_p": sampling.top_p,
                "seed": sampling.seeds[number],
            }
        return SamplingParams(
            **drawn, max_tokens=limits.max_new_tokens, stop=list(limits.stop), stop_token_ids=sorted(self._ends)
        )


def _leave_empty(prompts: Sequence[Sequence[int]], window: int | None, written: Written, progress: Progress) -> None:
    """Write nothing behind prompts that are as long as all that the model takes."""
    if window is None:
        return
    full = [number for number, prompt in enumerate(prompts) if len(prompt) >= window and number not in written]
    if full:
        told = f"{len(full)} of {len(prompts)} prompts fill the {window:,} tokens that the model takes"
        progress.say(f"{told}: their texts are empty, and count as cut")
        written.add([(number, Generated("", 0, True)) for number in full], Took(0.0))
        progress.advance(len(full))


def _dtype_name() -> str:
    return str(load.fast_dtype()).removeprefix("torch.")


def _generation_config(weights: load.Weights) -> Any:
    """As transformers finds it: in its own file, else made of the model's."""
    from transformers import AutoConfig, GenerationConfig

    try:
        return GenerationConfig.from_pretrained(weights.name, **weights.options)
    except OSError:
        return GenerationConfig.from_model_config(AutoConfig.from_pretrained(weights.name, **weights.options))
