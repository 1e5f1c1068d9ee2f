"""Whether a GGUF file can be converted for MLX, told from its header alone.

Apart from the conversion, since the window asks this before any engine is installed: numpy comes with the engines.
"""

from __future__ import annotations

from fathom.weights import gguf_tokenizer
from fathom.weights.gguf import GgufHeader

ARCHITECTURES = {"llama": "llama", "qwen2": "qwen2", "qwen3": "qwen3"}
"""GGUF's architecture -> ``model_type`` of mlx-lm."""


def why_not(header: GgufHeader) -> str:
    """Why the file of this header cannot be converted, "" when (as far as the header tells) it can."""
    if header.architecture not in ARCHITECTURES:
        return f"a model of the architecture {header.architecture!r}"
    if number(header, "expert_count", 0):
        return "a mixture of experts"
    scaling = header.metadata.get(f"{header.architecture}.rope.scaling.type", "none")
    if scaling not in ("none", "linear", "yarn"):
        return f"a model whose positions are scaled as {scaling!r}"
    return gguf_tokenizer.why_not(header.metadata)


def number(header: GgufHeader, name: str, default: float | None = None) -> float:
    """The number ``name`` of the header's architecture. Raises KeyError when there is none, and no default."""
    value = header.metadata.get(f"{header.architecture}.{name}", default)
    if not isinstance(value, (int, float)):
        raise KeyError(f"{header.architecture}.{name}")
    return value
