"""What the llama and Qwen families call their parts in GGUF and in MLX, and their settings.

Knows names, shapes and numbers, no file. The rotary embedding of ``llama`` turns neighbouring rows of q and k in GGUF
and the two halves of a head in MLX: their rows are sorted back (:func:`rows`).
"""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import numpy.typing as npt

from fathom.weights.convertible import ARCHITECTURES, number
from fathom.weights.gguf import GgufHeader

ROPE_FACTORS = "rope_freqs.weight"

_TOP = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
_BLOCK = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_NAME = re.compile(r"(?:blk\.(?P<block>\d+)\.)?(?P<part>\w+)\.(?P<kind>weight|bias)")


def mlx_name(name: str) -> str:
    """The name in MLX of a GGUF tensor: "blk.3.attn_q.weight" -> "model.layers.3.self_attn.q_proj.weight".

    Raises KeyError for a tensor that these families do not have.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        raise KeyError(name)
    if match["block"] is None:
        return f"{_TOP[match['part']]}.{match['kind']}"
    return f"model.layers.{match['block']}.{_BLOCK[match['part']]}.{match['kind']}"


def rows(header: GgufHeader, name: str, count: int) -> npt.NDArray[np.intp] | None:
    """The order in which the ``count`` rows of tensor ``name`` are to be taken; None: as they are."""
    if header.architecture != "llama":
        return None
    match = _NAME.fullmatch(name)
    part = match["part"] if match else ""
    if part not in ("attn_q", "attn_k"):
        return None
    heads = int(number(header, "attention.head_count"))
    if part == "attn_k":
        heads = int(number(header, "attention.head_count_kv", heads))
    return np.arange(count).reshape(heads, -1, 2).swapaxes(1, 2).reshape(-1)


def config(
    header: GgufHeader, names: set[str], vocabulary: int, rope_factors: npt.NDArray[np.float32] | None
) -> dict[str, Any]:
    """The contents of ``config.json``, without quantisation. ``names``: the tensors of the GGUF file.

    Raises KeyError when the header lacks a number, ValueError when the scaling of positions is of an unknown form.
    """
    heads = int(number(header, "attention.head_count"))
    width = int(number(header, "embedding_length"))
    head_width = int(number(header, "attention.key_length", width // heads))
    architecture = header.architecture
    theta = float(number(header, "rope.freq_base", 10_000.0))
    return {
        "model_type": ARCHITECTURES[architecture],
        "architectures": [{"llama": "LlamaForCausalLM"}.get(architecture, f"{architecture.title()}ForCausalLM")],
        "hidden_size": width,
        "num_hidden_layers": int(number(header, "block_count")),
        "intermediate_size": int(number(header, "feed_forward_length")),
        "num_attention_heads": heads,
        "num_key_value_heads": int(number(header, "attention.head_count_kv", heads)),
        "head_dim": head_width,
        "rms_norm_eps": float(number(header, "attention.layer_norm_rms_epsilon")),
        "vocab_size": vocabulary,
        "max_position_embeddings": header.context_length or 2048,
        "rope_theta": theta,
        "rope_scaling": _rope_scaling(header, theta, head_width, rope_factors),
        "rope_traditional": False,
        "attention_bias": "blk.0.attn_q.bias" in names,
        "mlp_bias": "blk.0.ffn_gate.bias" in names,
        "tie_word_embeddings": "output.weight" not in names,
        "torch_dtype": "float16" if architecture == "llama" else "bfloat16",  # Qwen's activations outgrow float16
    }


def _rope_scaling(
    header: GgufHeader, theta: float, head_width: int, factors: npt.NDArray[np.float32] | None
) -> dict[str, Any] | None:
    kind = header.metadata.get(f"{header.architecture}.rope.scaling.type", "none")
    if kind != "none":
        scaling = {"rope_type": kind, "type": kind, "factor": float(number(header, "rope.scaling.factor"))}
        original = number(header, "rope.scaling.original_context_length", 0)
        return scaling | ({"original_max_position_embeddings": int(original)} if original else {})
    if factors is None:
        return None
    factor = float(factors.max())
    scaling = {
        "rope_type": "llama3",
        "type": "llama3",
        "factor": factor,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    }
    if not np.allclose(factors, _llama3_factors(theta, head_width, factor), rtol=1e-3):
        raise ValueError("factors of the rotary embedding that are not those of Llama 3")
    return scaling


def _llama3_factors(theta: float, head_width: int, factor: float) -> npt.NDArray[np.float64]:
    """By how much Llama 3.1 and later slow each frequency, shape (head_width / 2,)."""
    lengths = 2 * math.pi * theta ** (np.arange(0, head_width, 2) / head_width)
    smooth = (8192 / lengths - 1) / 3  # low_freq_factor 1, high_freq_factor 4
    between = 1 / ((1 - smooth) / factor + smooth)
    return np.where(lengths < 2048, 1.0, np.where(lengths > 8192, factor, between))
