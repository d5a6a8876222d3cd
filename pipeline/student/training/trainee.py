"""The model in training: loaded as its method needs it, and written out as a plain model that anything can load.

Imports torch at its top, so it is itself imported inside the functions that need it.
"""

import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import torch
from transformers import set_seed
from transformers.utils import is_flash_attn_2_available

from pipeline.student.answering.generate import end_tokens
from pipeline.student.load import load_model
from pipeline.student.training.job import Adapter, Job

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}


def is_sharded(job: Job) -> bool:
    """Whether each process holds a part of the weights, of their gradients and of the optimizer's state (FSDP2).

    Weights of 4 bits are not: they are small, and do not survive being cut.
    """
    return job.fit.processes > 1 and not (job.adapter and job.adapter.quantized)


def load_trainee(job: Job) -> Any:
    """The model to train: whole, or with an adapter."""
    where: Literal["cpu"] | None = "cpu" if is_sharded(job) else None  # from there the parts go to the devices
    if job.adapter is None:
        model = load_model(job.weights, torch.float32, where)  # steps of AdamW are too small for bfloat16's digits
    else:
        quantization = _four_bits(job) if job.adapter.quantized else None
        model = load_model(job.weights, DTYPES[job.fit.dtype], where, quantization)
    if job.fit.padding_free and job.fit.dtype != "fp32" and is_flash_attn_2_available():  # not but on a CUDA device
        model.set_attn_implementation("flash_attention_2")
    if job.adapter is None:
        return model
    set_seed(job.schedule.seed)
    return _with_adapter(model, job.adapter)


def save_trainee(trainer: Any, job: Job, tokenizer: Any, folder: Path) -> None:
    """Write the student as it is now to a folder, whole or not at all. Every process must take part."""
    state = trainer.accelerator.get_state_dict(trainer.model) if is_sharded(job) else None
    if trainer.accelerator.is_main_process:
        _write(_plain(trainer.model, state, job), tokenizer, folder)
    trainer.accelerator.wait_for_everyone()


def _plain(model: Any, state: dict[str, torch.Tensor] | None, job: Job) -> Any:
    """The trained model in one piece, without adapters.

    Args:
        model: as it is trained; it stays as it is.
        state: all of its weights, where this process holds a part of them only.
        job: the training.
    """
    if job.adapter is not None:
        return _merged(model, state, job, job.adapter)
    if state is None:
        return model
    whole = load_trainee(job)
    whole.load_state_dict(state, assign=True)
    whole.tie_weights()
    return whole


def _merged(model: Any, state: dict[str, torch.Tensor] | None, job: Job, adapter: Adapter) -> Any:
    """The weights that the adapter stands beside with the adapter added to them, in main memory.

    4-bit weights are made whole first: what the adapter learnt to stand beside is what they stand for, and the sum in
    4 bits again would lose most of it.
    """
    from peft import get_peft_model_state_dict, set_peft_model_state_dict

    with _quietly():
        trained = get_peft_model_state_dict(model, state_dict=state, save_embedding_layers=False)
        plain = load_model(job.weights, DTYPES[job.fit.dtype], "cpu")
        if adapter.quantized:
            _make_whole(model.get_base_model(), plain)
        beside = _with_adapter(plain, adapter)
        set_peft_model_state_dict(beside, {name: tensor.cpu() for name, tensor in trained.items()})
        return beside.merge_and_unload()


def _make_whole(quantized: Any, plain: Any) -> None:
    """Give the plain model the values that the 4-bit weights stand for."""
    from bitsandbytes.functional import dequantize_4bit

    with torch.no_grad():
        for name, layer in quantized.named_modules():
            quantization = getattr(getattr(layer, "weight", None), "quant_state", None)
            if quantization is not None:
                own = plain.get_submodule(name.removesuffix(".base_layer"))
                own.weight.copy_(dequantize_4bit(layer.weight, quantization).view_as(own.weight))


def _with_adapter(model: Any, adapter: Adapter) -> Any:
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(r=adapter.rank, lora_alpha=adapter.alpha, target_modules="all-linear", task_type="CAUSAL_LM")
    with _quietly():
        return get_peft_model(model, config)


def _four_bits(job: Job) -> Any:
    """How weights are quantised: NF4 with double quantisation (QLoRA, section 3)."""
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=DTYPES[job.fit.dtype],
    )


@contextmanager
def _quietly() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft asks transformers by a deprecated name
        yield


def _write(model: Any, tokenizer: Any, folder: Path) -> None:
    """Write a model that ends where its training texts end; what an earlier start left is replaced."""
    part = folder.with_name(f"{folder.name}.part")
    for old in (part, folder):
        shutil.rmtree(old, ignore_errors=True)
    own = model.generation_config.eos_token_id
    using_cache = getattr(model.config, "use_cache", True)  # a model of several parts has it in its text part alone
    ends = sorted(end_tokens(model, tokenizer))
    model.generation_config.eos_token_id = ends if len(ends) > 1 else ends[0]
    model.config.use_cache = True
    model.save_pretrained(part)
    model.generation_config.eos_token_id, model.config.use_cache = own, using_cache
    tokenizer.save_pretrained(part)
    part.rename(folder)
