"""Find and load a student: a name on the Hugging Face hub, a folder, a GGUF file, or `embedded`."""

import contextlib
import gc
import io
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pipeline.errors import StageError, UsageError
from pipeline.weights import embedded_weights, hash_of

if TYPE_CHECKING:
    import torch

HUB_NAME = re.compile(r"\w+([.-]\w+)*(/\w+([.-]\w+)*)?", re.ASCII)


@dataclass(frozen=True)
class Weights:
    """Where a student lies, in the words of `from_pretrained`."""

    name: str
    """A folder, or a name on the hub."""
    gguf_file: str | None = None
    """File in that folder; None for weights in the usual form."""
    revision: str | None = None
    """Commit on the hub; None for what lies on this machine, and for a name that cannot be looked up now."""

    @property
    def options(self) -> dict[str, str]:
        """What `from_pretrained` must be told besides the name."""
        both = {"gguf_file": self.gguf_file, "revision": self.revision}
        return {key: value for key, value in both.items() if value is not None}


def find(model: str, base: Path) -> Weights:
    """The weights that a model's name means.

    Args:
        model: hub name, folder, GGUF file, or `embedded`.
        base: folder that a relative path starts from.

    Raises:
        UsageError: it is none of them.
    """
    path = embedded_weights() if model == "embedded" else base / model
    if path.is_file() and path.suffix == ".gguf":
        return Weights(str(path.parent), gguf_file=path.name)
    if path.is_dir():
        return Weights(str(path))
    if path.suffix == ".gguf" or not HUB_NAME.fullmatch(model):
        raise UsageError(f"no model {model!r}", "give a hub name, a folder, a .gguf file, or `embedded`")
    return Weights(model, revision=_revision(model))


def fingerprint(model: str, base: Path) -> str:
    """What tells these weights from others: the hash of local ones, else the commit on the hub, else the name."""
    weights = find(model, base)
    if weights.gguf_file:
        return hash_of(Path(weights.name) / weights.gguf_file)
    if Path(weights.name).is_dir():
        return hash_of(Path(weights.name))
    return weights.revision or weights.name


def load_tokenizer(weights: Weights) -> Any:
    """The tokenizer, padding on the left as generation needs it; without a pad token, EOS stands in for it.

    Raises:
        StageError: it cannot be loaded, or has no end-of-sequence token, so that a student could not learn to stop.
    """
    from transformers import AutoTokenizer

    tokenizer = _from_pretrained(AutoTokenizer, weights)
    if tokenizer.eos_token_id is None:
        raise StageError(f"the tokenizer of {weights.name} has no end-of-sequence token", "set eos_token in its config")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.padding_side = "left"
    return tokenizer


def load_model(
    weights: Weights,
    dtype: "torch.dtype",
    where: Literal["cuda", "cpu"] | None = None,
    quantization: Any | None = None,
) -> Any:
    """The model in evaluation mode, dequantised where it lay in a GGUF file.

    Args:
        weights: where it lies.
        dtype: of its weights.
        where: it is put; None is the device.
        quantization: a config of transformers for its linear layers; None leaves them whole.

    Raises:
        StageError: it cannot be loaded.
    """
    from transformers import AutoModelForCausalLM

    model = _from_pretrained(AutoModelForCausalLM, weights, dtype=dtype, quantization_config=quantization)
    if weights.gguf_file:
        # The tensors are whole again, but transformers would still refuse to save them, or to train them all.
        model.hf_quantizer = None
        model.is_quantized = False
        del model.config.quantization_config
    return model.to(where or device()).eval()


def context_of(weights: Weights) -> int:
    """The longest text that the model takes, in tokens; its weights are not loaded.

    Raises:
        StageError: it cannot be loaded.
    """
    from transformers import AutoConfig

    return longest_text(_from_pretrained(AutoConfig, weights).get_text_config(), weights)


def longest_text(config: Any, weights: Weights) -> int:
    """The longest text by the configuration of the model's text part, in tokens.

    Raises:
        StageError: it does not say.
    """
    found: int | None = getattr(config, "max_position_embeddings", None)
    if found is None:
        raise StageError(
            f"the configuration of {weights.name} does not say how long a text it takes",
            "put max_position_embeddings into the config.json of a copy of it",
        )
    return found


def skeleton(weights: Weights) -> Any:
    """The model without its weights: shapes alone, no memory.

    Raises:
        StageError: its configuration cannot be loaded.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    config = _from_pretrained(AutoConfig, weights)
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(config)


def device() -> Literal["cuda", "cpu"]:
    """Where students run."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def fast_dtype() -> "torch.dtype":
    """bfloat16 where the device multiplies it faster than float32, else float32."""
    import torch

    return torch.bfloat16 if computes_in_bfloat16() else torch.float32


def computes_in_bfloat16() -> bool:
    """Whether the device multiplies bfloat16 faster than float32."""
    import torch

    if device() == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    able = torch.cpu.get_capabilities()
    return bool(able.get("amx_bf16") or able.get("avx512_bf16"))


def free() -> None:
    """Give back the memory of models that nothing holds any more."""
    import torch

    gc.collect()
    if device() == "cuda":
        torch.cuda.empty_cache()


def _revision(name: str) -> str | None:
    """The commit that the hub's name stands for: the one in the local cache, else the hub's newest."""
    from httpx2 import HTTPError  # what huggingface_hub sends with
    from huggingface_hub import HfApi, try_to_load_from_cache

    cached = try_to_load_from_cache(name, "config.json")
    if isinstance(cached, str):
        return Path(cached).parent.name
    try:
        return HfApi().model_info(name, timeout=10).sha
    except (HTTPError, OSError):
        return None


def _from_pretrained(kind: Any, weights: Weights, **options: Any) -> Any:
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()  # the terminal shows our own progress
    # Reading GGUF draws a bar of its own on stderr.
    silence = contextlib.redirect_stderr(io.StringIO()) if weights.gguf_file else contextlib.nullcontext()
    try:
        with silence:
            return kind.from_pretrained(weights.name, **weights.options, **options)
    except (OSError, ValueError) as error:
        hint = "check the name of the model, the network, and HF_TOKEN for a gated model"
        if weights.gguf_file:
            hint = "check that the file is whole, and of a kind of model that transformers knows"
        elif Path(weights.name).is_dir():
            hint = "the folder must hold what save_pretrained writes, of the model and of its tokenizer"
        told = " ".join(str(error).split())[:200]
        raise StageError(f"cannot load {weights.gguf_file or weights.name}: {told}", hint) from error
