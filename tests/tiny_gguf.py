"""A complete GGUF file of some hundred bytes, with an attention to reckon with."""

from __future__ import annotations

import struct


def text(value: str) -> bytes:
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def gguf_bytes(name: str = "Tiny", architecture: str = "llama", kind: str = "model", layers: int = 2) -> bytes:
    """Two layers, two heads, one of them for keys and values, trained on 2,048 tokens."""
    entries = [
        ("general.architecture", architecture),
        ("general.name", name),
        ("general.type", kind),
        ("general.license", "mit"),
        (f"{architecture}.context_length", 2048),
        (f"{architecture}.block_count", layers),
        (f"{architecture}.embedding_length", 64),
        (f"{architecture}.attention.head_count", 2),
        (f"{architecture}.attention.head_count_kv", 1),
    ]
    data = b"GGUF" + struct.pack("<IQQ", 3, 1, len(entries))
    for key, value in entries:
        data += text(key)
        data += struct.pack("<I", 8) + text(value) if isinstance(value, str) else struct.pack("<II", 4, value)
    data += text("weight") + struct.pack("<IQIQ", 1, 64, 0, 0)
    return data + bytes(-len(data) % 32) + bytes(64 * 4)
