"""GGUF files of a few thousand random weights, whole enough for llama.cpp and for the conversion."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

ARCHITECTURES = ("llama", "qwen2", "qwen3")
HIDDEN, FEED, HEADS, KV_HEADS, HEAD, LAYERS = 64, 96, 4, 2, 16, 2
ENDS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
MERGES = ("t h", "th e", "Ġ the", "i n", "Ġ a")


def letters() -> list[str]:
    """What byte-level BPE writes for the bytes 0 to 255."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in shown]
    return [chr(byte) if byte in shown else chr(256 + hidden.index(byte)) for byte in range(256)]


def tokens() -> list[str]:
    """Three control tokens, a marker, 256 bytes, the merged words."""
    return [*ENDS, "<tool_call>", *letters(), *(merge.replace(" ", "") for merge in MERGES)]


def shapes(architecture: str, *, tied: bool = True) -> dict[str, tuple[int, ...]]:
    """Name -> shape, outermost dimension first, of all tensors."""
    vocabulary = len(tokens())
    found: dict[str, tuple[int, ...]] = {"token_embd.weight": (vocabulary, HIDDEN), "output_norm.weight": (HIDDEN,)}
    if not tied:
        found["output.weight"] = (vocabulary, HIDDEN)
    wide, narrow = HEADS * HEAD, KV_HEADS * HEAD
    for layer in range(LAYERS):
        block = {
            "attn_norm.weight": (HIDDEN,),
            "attn_q.weight": (wide, HIDDEN),
            "attn_k.weight": (narrow, HIDDEN),
            "attn_v.weight": (narrow, HIDDEN),
            "attn_output.weight": (HIDDEN, wide),
            "ffn_norm.weight": (HIDDEN,),
            "ffn_gate.weight": (FEED, HIDDEN),
            "ffn_up.weight": (FEED, HIDDEN),
            "ffn_down.weight": (HIDDEN, FEED),
        }
        if architecture == "qwen2":
            block |= {"attn_q.bias": (wide,), "attn_k.bias": (narrow,), "attn_v.bias": (narrow,)}
        if architecture == "qwen3":
            block |= {"attn_q_norm.weight": (HEAD,), "attn_k_norm.weight": (HEAD,)}
        found |= {f"blk.{layer}.{name}": shape for name, shape in block.items()}
    return found


def write(
    path: Path, architecture: str = "llama", kind: str = "F32", *, tied: bool = True, rope: Any = None, **metadata: Any
) -> dict[str, Any]:
    """Write a model whose matrices are of ``kind``; returns name -> the float32 values that the file holds.

    ``metadata`` replaces entries of the header (dots written as two underscores; None leaves one out).
    """
    from gguf import GGMLQuantizationType, GGUFWriter
    from gguf.quants import dequantize, quantize

    random = np.random.default_rng(7)
    quantization = GGMLQuantizationType[kind]
    writer = GGUFWriter(path, architecture)
    words = tokens()
    entries: dict[str, Any] = {
        "general.name": "Tiny",
        f"{architecture}.context_length": 256,
        f"{architecture}.embedding_length": HIDDEN,
        f"{architecture}.block_count": LAYERS,
        f"{architecture}.feed_forward_length": FEED,
        f"{architecture}.attention.head_count": HEADS,
        f"{architecture}.attention.head_count_kv": KV_HEADS,
        f"{architecture}.attention.key_length": HEAD,
        f"{architecture}.attention.value_length": HEAD,
        f"{architecture}.attention.layer_norm_rms_epsilon": 1e-5,
        f"{architecture}.rope.freq_base": 10_000.0,
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "smollm" if architecture == "llama" else "qwen2",
        "tokenizer.ggml.tokens": words,
        "tokenizer.ggml.token_type": [3, 3, 3, 4, *[1] * (len(words) - 4)],
        "tokenizer.ggml.merges": list(MERGES),
        "tokenizer.ggml.bos_token_id": 0,
        "tokenizer.ggml.eos_token_id": 2,
    }
    for key, value in (entries | {key.replace("__", "."): value for key, value in metadata.items()}).items():
        if isinstance(value, list):
            writer.add_array(key, value)
        elif isinstance(value, str):
            writer.add_string(key, value)
        elif isinstance(value, float):
            writer.add_float32(key, value)
        elif value is not None:
            writer.add_uint32(key, value)
    values: dict[str, Any] = {}
    for name, shape in shapes(architecture, tied=tied).items():
        plain = random.normal(0, 0.3, shape).astype(np.float32)
        if len(shape) == 1:
            plain = (1 + plain).astype(np.float32)
            writer.add_tensor(name, plain)
        elif kind == "F32":
            writer.add_tensor(name, plain)
        else:
            data = quantize(plain, quantization)
            plain = dequantize(data, quantization).reshape(shape)
            writer.add_tensor(name, data, raw_dtype=quantization)
        values[name] = plain
    if rope is not None:
        writer.add_tensor("rope_freqs.weight", rope)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return values
