"""How much memory a training takes, worked out from the shape of its student before any weight is loaded.

Source  weights, gradients and Adam: Rajbhandari et al. 2020, "ZeRO: Memory Optimizations Toward Training Trillion
        Parameter Models", arXiv:1910.02054, section 3.1; activations: Korthikanti et al. 2022, "Reducing Activation
        Recomputation in Large Transformer Models", arXiv:2205.05198, section 4; 4-bit weights: Dettmers et al. 2023,
        "QLoRA: Efficient Finetuning of Quantized LLMs", arXiv:2305.14314, section 3
Differs activations are counted for the layers that students have today (RMSNorm, gated MLP, grouped queries, attention
        that holds no scores), as autograd saves them for transformers' Llama in float32 and under autocast; logits are
        counted where `loss.py` computes them
"""

from dataclasses import dataclass
from typing import Any, Literal

from pipeline.student.load import Weights, longest_text, skeleton

Method = Literal["full", "lora", "qlora"]
Dtype = Literal["bf16", "fp16", "fp32"]

TRAINED_BYTES = 16
"""A parameter that is trained: itself, its gradient and two moments, float32 each."""
QUANTIZED_BYTES = 0.5 + 0.127 / 8
"""A parameter of 4 bits, with its share of the constants, which are quantised too (QLoRA, section 3)."""
LOGIT_BYTES = 16
"""A logit on the processor: itself and its softmax in float32, and the gradients of both."""
TILE_BYTES = 4096 * 32768 * 4
"""The tile of logits that TRL's fused head holds on a CUDA device."""
MLP_WIDTHS = ("intermediate_size", "n_inner", "ffn_dim", "ffn_hidden_size")
"""What configurations call the width of the MLP: Llama and most, GPT-2, OPT, Falcon; Gemma 3n has one a layer."""
LIBRARIES_BYTES = 500_000_000
"""What the libraries of a training take once they are loaded and at work."""


@dataclass(frozen=True)
class Size:
    """What of a student decides how much memory it takes."""

    parameters: int
    linear_parameters: int
    """Of these, in linear layers but for the head: those that adapters stand beside, and that can have 4 bits."""
    linear_edges: int
    """Inputs and outputs of those layers together: an adapter of rank r has r times as many parameters."""
    layers: int
    hidden: int
    intermediate: int
    """Width of the MLP; of a mixture of experts, of those that see one token."""
    queries: int
    """Width of all heads' queries."""
    keys: int
    """Width of all heads' keys, and of their values."""
    vocabulary: int
    context: int
    """Longest text, in tokens."""
    quantizable: bool = True
    """It can be loaded with 4 bits a weight; a GGUF file cannot."""
    keeps_rows_apart: bool = True
    """Its tokens are connected by attention alone, which is told where a row begins: no convolution, no state."""


@dataclass(frozen=True)
class Way:
    """What of a training decides it."""

    method: Method
    dtype: Dtype
    rank: int
    activation_checkpointing: bool
    processes: int
    on_cuda: bool


def size_of(weights: Weights) -> Size:
    """The size of a student; its weights are not loaded.

    Raises:
        StageError: its configuration cannot be loaded.
    """
    model = skeleton(weights)
    config = model.config.get_text_config()
    head = model.get_output_embeddings()
    linear = [layer for layer in model.modules() if type(layer).__name__ == "Linear" and layer is not head]
    layers = list(config.per_layer_config)  # of most students all alike; of others the widest is counted
    return Size(
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        linear_parameters=sum(layer.weight.numel() for layer in linear),
        linear_edges=sum(layer.in_features + layer.out_features for layer in linear),
        layers=len(layers),
        hidden=config.hidden_size,
        intermediate=max(map(_intermediate, layers)),
        queries=max(layer.num_attention_heads * _head_width(layer) for layer in layers),
        keys=max(_key_heads(layer) * _head_width(layer) for layer in layers),
        vocabulary=config.vocab_size,
        context=longest_text(config, weights),
        quantizable=weights.gguf_file is None,
        keeps_rows_apart=_keeps_rows_apart(model, config),
    )


def bytes_needed(size: Size, way: Way, tokens: int, trained: int) -> int:
    """What a training takes at its highest, on each of its devices.

    Args:
        size: of the student.
        way: how it is trained.
        tokens: in the largest micro batch, padding included.
        trained: of them, those that carry loss.
    """
    standing = _standing_bytes(size, way)
    if way.processes > 1 and way.method != "qlora":  # see `trainer.py`: 4-bit weights are not cut
        standing = standing / way.processes + 2 * _number_bytes(way) * size.linear_parameters / size.layers
    return int(standing + tokens * token_bytes(size, way) + _head_bytes(size, way, trained) + LIBRARIES_BYTES)


def token_bytes(size: Size, way: Way) -> float:
    """What a token of a micro batch takes until its gradient is there."""
    layer = _layer_bytes(size, way)
    if way.activation_checkpointing:
        return size.layers * 4 * size.hidden + 2 * layer  # the layers' inputs, and one layer with its gradients
    return (size.layers + 1) * layer


def _standing_bytes(size: Size, way: Way) -> float:
    """Weights, gradients and the optimizer's state."""
    number = _number_bytes(way)
    if way.method == "full":
        copies = 0 if way.dtype == "fp32" else number  # autocast keeps those that it cast
        return size.parameters * (TRAINED_BYTES + copies)
    adapters = TRAINED_BYTES * way.rank * size.linear_edges
    if way.method == "lora":
        return size.parameters * number + adapters
    rest = size.parameters - size.linear_parameters
    one_layer = size.linear_parameters / size.layers
    return size.linear_parameters * QUANTIZED_BYTES + (rest + one_layer) * number + adapters


def _layer_bytes(size: Size, way: Way) -> float:
    """What autograd saves of a layer for one token.

    Of each norm its input, the normed input and the output; queries, keys, values and what attention makes of them; of
    the MLP both halves, the activation of one and their product. Under autocast the stream between the layers and the
    norms stay in float32, and each linear layer holds a copy of its input of its own.
    """
    number = _number_bytes(way)
    norms = 24 * size.hidden if way.dtype == "fp32" else 26 * size.hidden
    attention = 2 * number * (size.queries + size.keys)
    adapters = 0 if way.method == "full" else 7 * 4 * way.rank
    return norms + attention + 4 * number * size.intermediate + adapters


def _head_bytes(size: Size, way: Way, trained: int) -> float:
    """Logits, and the gradient of the head before it is added to that of the embeddings."""
    gradient = 4 * size.vocabulary * size.hidden if way.method == "full" else 0
    return gradient + (TILE_BYTES if way.on_cuda else LOGIT_BYTES * trained * size.vocabulary)


def _number_bytes(way: Way) -> int:
    return 4 if way.dtype == "fp32" else 2


def _keeps_rows_apart(model: Any, config: Any) -> bool:
    kinds = getattr(config, "layer_types", None) or ()
    attention = all(kind.endswith("attention") and kind != "linear_attention" for kind in kinds)
    return attention and model._supports_flash_attn and model._supports_attention_backend and not model._is_stateful


def _head_width(config: Any) -> int:
    return int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)


def _key_heads(config: Any) -> int:
    return int(getattr(config, "num_key_value_heads", None) or config.num_attention_heads)


def _intermediate(config: Any) -> int:
    width = _mlp_width(config)
    experts: int | None = getattr(config, "num_experts_per_tok", None)
    if experts is None:
        return width
    return experts * int(getattr(config, "moe_intermediate_size", None) or width)


def _mlp_width(config: Any) -> int:
    """By any of its names; GPT-2 and BLOOM leave it to be four times the hidden size."""
    found = (getattr(config, name, None) for name in MLP_WIDTHS)
    width = next(filter(None, found), 4 * config.hidden_size)
    return max(width) if isinstance(width, list) else int(width)
