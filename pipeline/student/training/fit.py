"""How a training fits the machine: method, number format, micro batches and the rest, chosen from what there is.

What the user wished for is obeyed; what he left open is chosen so that each step takes least time, of the ways that
fit into the memory that is free: training all weights before adapters, adapters before 4-bit weights.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import gcd

from pipeline.errors import UsageError
from pipeline.status import size as told_bytes
from pipeline.student.training.batching import Batching, Lengths
from pipeline.student.training.decision import Decision, Wishes
from pipeline.student.training.footprint import Dtype, Method, Size, Way, bytes_needed
from pipeline.student.training.job import Fit
from pipeline.student.training.machine import Machine

ASKED = "as you asked"
USED_SHARE = 0.9
"""Of the free memory, the share that is reckoned with: allocators cut it into pieces that do not all fit."""
ADAPTER_RATE = 10
"""How much higher the learning rate of adapters is where they stand in for all weights unasked."""
HIGHEST_RATE = 1e-3
"""But no higher than this by our own doing: some recipes' rates are high for all weights already."""
RECOMPUTED = 4 / 3
"""Time of a step whose activations are computed again: two forward passes and a backward pass of twice their time."""
NEARLY_LEAST = 1.05
"""A way that takes so much of the least time is as good, and of those the one that takes least memory is the best."""
BEGINNING_TOKENS = {"cpu": 40, "cuda": 2048}
"""What beginning one more micro batch costs, in tokens that could have been trained on in that time.

Measured on a processor (SmolLM2-135M, float32, AVX2: 8 rows of 40 to 300 tokens took 19.0 s as micro batches of 1, 18.5
of 2, 21.2 of 4 and 23.0 of 8); taken to be so for CUDA, where small micro batches leave the device idle.
"""


@dataclass(frozen=True)
class _Candidate:
    way: Way
    micro_batch_size: int
    needed_bytes: int
    cost: float
    """Time of all steps, in tokens."""


@dataclass(frozen=True)
class _Choice:
    best: _Candidate
    fits: bool
    refused: tuple[str, ...]
    """What the methods take that would have been better."""


def decide(machine: Machine, size: Size, lengths: Lengths, wishes: Wishes) -> Decision:
    """Choose how a training is done; the same for the same arguments.

    Args:
        machine: what there is.
        size: of the student.
        lengths: of the rows.
        wishes: what the user wants.

    Raises:
        UsageError: a wish that this machine, or what is installed on it, cannot meet.
    """
    check(machine, size, wishes)
    processes = wishes.processes or machine.devices
    share = share_of(wishes.batch_size, processes)
    dtype, dtype_why = _dtype(machine, wishes)
    able = machine.flash_attention and size.keeps_rows_apart and dtype != "fp32"
    padding_free = able if wishes.padding_free is None else wishes.padding_free
    liger = machine.liger and machine.kind == "cuda" if wishes.liger is None else wishes.liger
    sizes = {micro: Batching.of(lengths, micro, padding_free) for micro in _micro_batch_sizes(wishes, share)}
    way = Way("full", dtype, wishes.lora_rank, False, processes, machine.kind == "cuda")
    choice = _choose(machine, size, way, sizes, wishes)
    best = choice.best
    fit = Fit(
        dtype=dtype,
        micro_batch_size=best.micro_batch_size,
        activation_checkpointing=best.way.activation_checkpointing,
        padding_free=padding_free,
        liger=liger,
        processes=processes,
        threads=max(1, machine.cores // processes) if machine.kind == "cpu" else None,
    )
    stands_in = wishes.method == "auto" and best.way.method != "full"
    factor = _rate_factor(wishes.learning_rate) if stands_in else 1
    why = (
        _method_why(choice, factor, wishes),
        dtype_why,
        _micro_batch_why(best, sizes[best.micro_batch_size], lengths, wishes, share),
        _checkpointing_why(choice, wishes),
        _padding_why(padding_free, size, wishes),
        _liger_why(liger, machine, wishes),
        f"processes {processes}: {'one a device' if wishes.processes is None else ASKED}",
    )
    return Decision(method=best.way.method, learning_rate_factor=factor, fit=fit, why=why)


def share_of(batch_size: int, processes: int) -> int:
    """Examples of a batch that are one process's.

    Raises:
        UsageError: the batch cannot be divided among so many.
    """
    share, left = divmod(batch_size, processes)
    if left:
        raise UsageError(
            f"a batch of {batch_size} examples cannot be divided among {processes} processes, one a GPU",
            f"--set train.batch_size={(share + 1) * processes}, or --set train.processes=N with N a divisor",
        )
    return share


def require_devices(machine: Machine, processes: int) -> None:
    """Hold a number of processes to the devices that there are; a processor takes as many as one likes.

    Raises:
        UsageError: there are fewer.
    """
    if machine.kind == "cuda" and processes > machine.devices:
        raise UsageError(
            f"{processes} processes need a CUDA device each, and there are {machine.devices}",
            f"train where there are {processes}, or begin anew with --set train.processes={machine.devices}",
        )


def longest_that_fits(machine: Machine, size: Size, method: Method, wishes: Wishes) -> int:
    """The longest row that can be trained on by a method, one at once, in tokens."""
    dtype, _ = _dtype(machine, wishes)
    checkpointing = wishes.activation_checkpointing is not False
    way = Way(
        method, dtype, wishes.lora_rank, checkpointing, wishes.processes or machine.devices, machine.kind == "cuda"
    )
    room = machine.free_bytes * USED_SHARE - bytes_needed(size, way, 0, 0)
    each = bytes_needed(size, way, 1000, 1000) - bytes_needed(size, way, 0, 0)
    return max(0, min(size.context, int(room * 1000 / each)))


def check(machine: Machine, size: Size, wishes: Wishes) -> None:
    """Hold the wishes to what can be had, before anything takes long.

    Raises:
        UsageError: one cannot be met.
    """
    share_of(wishes.batch_size, wishes.processes or machine.devices)
    require_devices(machine, wishes.processes or 1)
    if wishes.method == "qlora" and not machine.bitsandbytes:
        raise UsageError("method qlora needs bitsandbytes, which is not installed", "pip install 'cot-distill[qlora]'")
    if wishes.method == "qlora" and not size.quantizable:
        raise UsageError("method qlora cannot load a GGUF file", "method=lora, or the model's own folder")
    if wishes.liger and not (machine.liger and machine.kind == "cuda"):
        raise UsageError("liger needs a CUDA device and liger-kernel", "pip install liger-kernel, or leave liger out")
    if wishes.dtype == "fp16" and machine.kind == "cpu":
        raise UsageError("dtype fp16 needs a CUDA device", "--set train.dtype=fp32")


def _dtype(machine: Machine, wishes: Wishes) -> tuple[Dtype, str]:
    if wishes.dtype != "auto":
        return wishes.dtype, f"{wishes.dtype}: {ASKED}"
    if machine.bfloat16:
        return "bf16", "bf16: the device multiplies it faster than fp32"
    if machine.kind == "cuda":
        return "fp16", "fp16: the device has no bf16"
    return "fp32", "fp32: the processor has neither AMX nor AVX512-BF16"


def methods(machine: Machine, size: Size, wishes: Wishes) -> Sequence[Method]:
    """Those that may be chosen, the best first."""
    if wishes.method != "auto":
        return (wishes.method,)
    return ("full", "lora", "qlora") if machine.bitsandbytes and size.quantizable else ("full", "lora")


def _micro_batch_sizes(wishes: Wishes, share: int) -> list[int]:
    wished = wishes.micro_batch_size
    if wished is not None:
        return [share if wished > share else gcd(wished, share)]
    return [part for part in range(1, share + 1) if share % part == 0]


def _choose(machine: Machine, size: Size, way: Way, sizes: Mapping[int, Batching], wishes: Wishes) -> _Choice:
    """The cheapest that fits, of the first method of which any does; of the last, what takes least."""
    room = machine.free_bytes * USED_SHARE
    refused: list[str] = []
    for method in methods(machine, size, wishes):
        found = list(_candidates(machine, size, replace(way, method=method), sizes, wishes))
        fitting = [one for one in found if one.needed_bytes <= room]
        if fitting:
            enough = NEARLY_LEAST * min(one.cost for one in fitting)
            best = min((one for one in fitting if one.cost <= enough), key=lambda one: one.needed_bytes)
            return _Choice(best, True, tuple(refused))
        least = min(found, key=lambda one: one.needed_bytes)
        refused.append(f"{method} would take {told_bytes(least.needed_bytes)} at least")
    return _Choice(least, False, tuple(refused[:-1]))


def _candidates(
    machine: Machine, size: Size, way: Way, sizes: Mapping[int, Batching], wishes: Wishes
) -> Iterator[_Candidate]:
    wished = wishes.activation_checkpointing
    for checkpointing in (False, True) if wished is None else (wished,):
        one = replace(way, activation_checkpointing=checkpointing)
        for micro, batching in sizes.items():
            cost = batching.tokens + batching.count * BEGINNING_TOKENS[machine.kind]
            needed = bytes_needed(size, one, batching.largest, batching.largest_trained)
            yield _Candidate(one, micro, needed, cost * (RECOMPUTED if checkpointing else 1))


def _rate_factor(rate: float) -> float:
    return max(1, min(ADAPTER_RATE, round(HIGHEST_RATE / rate, 3)))


def _method_why(choice: _Choice, factor: float, wishes: Wishes) -> str:
    method, takes = choice.best.way.method, f"takes {told_bytes(choice.best.needed_bytes)}"
    if wishes.method == "auto" and method != "full":
        takes = f"{', '.join(choice.refused)}; this {takes}. The learning rate is {factor:g} times as high"
    elif wishes.method != "auto":
        takes = f"{ASKED}; it {takes}"
    else:
        takes = f"every weight is trained, which {takes}"
    return f"{method}: {takes}" + ("" if choice.fits else "; more than is free, so it may fail")


def _micro_batch_why(best: _Candidate, batching: Batching, lengths: Lengths, wishes: Wishes, share: int) -> str:
    micro = best.micro_batch_size
    if wishes.micro_batch_size is not None:
        return f"micro batch {micro}: {ASKED if micro == wishes.micro_batch_size else 'what you asked for, to divide'}"
    padding = 1 - sum(lengths.tokens) / batching.tokens
    return f"micro batch {micro} of {share}: nearly the least time, {padding:.0%} of its tokens are padding"


def _checkpointing_why(choice: _Choice, wishes: Wishes) -> str:
    on = choice.best.way.activation_checkpointing
    reason = "memory is short" if on else "the activations fit"
    return f"activation checkpointing {_state(on)}: {reason if wishes.activation_checkpointing is None else ASKED}"


def _padding_why(padding_free: bool, size: Size, wishes: Wishes) -> str:
    reason = "flash attention keeps the rows apart" if padding_free else "it needs flash attention, bf16 or fp16"
    if not size.keeps_rows_apart:
        reason = "some of its layers do not keep the rows apart"
    return f"padding-free {_state(padding_free)}: {reason if wishes.padding_free is None else ASKED}"


def _liger_why(liger: bool, machine: Machine, wishes: Wishes) -> str:
    if liger:
        reason = "its norms and MLP are faster; the head is TRL's, which needs no logits either"
    else:
        reason = "liger-kernel is not installed" if machine.kind == "cuda" else "it needs a CUDA device"
    return f"liger {_state(liger)}: {reason if wishes.liger is None else ASKED}"


def _state(on: bool) -> str:
    return "on" if on else "off"
