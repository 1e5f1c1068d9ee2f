"""The catalogue: every entry is whole, and what is wrong with one is named."""

from __future__ import annotations

import msgspec
import pytest

from fathom.weights import embedded
from fathom.weights.catalog import catalog, parse

ENTRY = """
[[model]]
id = "tiny"
name = "Tiny"
family = "Tiny"
note = ""
licence = "MIT"
format = "gguf"
quantisation = "Q4_0"
repo = "someone/Tiny-GGUF"
file = "tiny.gguf"
bytes = 1000
parameters = 0.1
context = 2048
layers = 2
kv_heads = 1
head_dim = 64
vocabulary = 100
"""


def test_the_shipped_catalogue_is_whole() -> None:
    entries = catalog()
    assert {"qwen3-1.7b", "qwen3-8b", "qwen3-30b-a3b", "mirothinker-1.0-8b", "mirothinker-1.5-30b"} <= entries.keys()
    assert any(entry.format == "mlx" for entry in entries.values())
    targets = [entry.target for entry in entries.values()]
    assert len(set(targets)) == len(targets)
    for entry in entries.values():
        assert entry.note.endswith(".")
        assert entry.licence in ("Apache-2.0", "MIT")
        # 4 to 9 bits a parameter: a size that belongs to another file would fall out of it
        assert 4.0 < entry.bytes * 8 / (entry.parameters * 1e9) < 9.5, entry.id


def test_the_embedded_entry_is_the_embedded_model() -> None:
    (entry,) = [entry for entry in catalog().values() if entry.embedded]
    assert (entry.file, entry.sha256, entry.bytes) == (embedded.FILE, embedded.SHA256, embedded.SIZE)


def test_a_whole_entry_is_read() -> None:
    entry = parse(ENTRY)["tiny"]
    assert (entry.target, entry.backend, entry.active_bytes) == ("tiny.gguf", "llamacpp", 1000)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('file = "tiny.gguf"', "", "names its file"),
        ('file = "tiny.gguf"', 'file = "../tiny.gguf"', "matching regex"),
        ('file = "tiny.gguf"', 'file = "tiny.bin"', "matching regex"),
        ('repo = "someone/Tiny-GGUF"', "", "needs a repository"),
        ('repo = "someone/Tiny-GGUF"', 'repo = "https://elsewhere/x"', "matching regex"),
        ("bytes = 1000", "bytes = 0", ">= 1"),
        ("bytes = 1000", 'bytes = 1000\nsha256 = "abc"', "matching regex"),
        ("bytes = 1000", "bytes = 1000\nactive = 0.2", "more active"),
        ("bytes = 1000", "bytes = 1000\nspeed = 40", "unknown field"),
        ("layers = 2", "", "layers"),
        ('format = "gguf"', 'format = "pickle"', "Invalid enum"),
        ("[[model]]", "[[model", "Expected"),
    ],
)
def test_what_is_wrong_is_named(old: str, new: str, says: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=says):
        parse(ENTRY.replace(old, new))


def test_an_id_stands_for_one_model() -> None:
    with pytest.raises(msgspec.ValidationError, match="twice"):
        parse(ENTRY + ENTRY)
