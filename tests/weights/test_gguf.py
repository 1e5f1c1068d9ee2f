"""GGUF headers: what is read; a cut, junk or a lie ends in ModelFileError and in nothing else."""

from __future__ import annotations

import shutil
import struct
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fathom.core.errors import ModelFileError
from fathom.weights import gguf


def text(value: str) -> bytes:
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def small_gguf(
    *, version: int = 3, tensors: int = 1, entries: int = 6, weights: int = 64, alignment: int = 32
) -> bytes:
    """A complete GGUF file of one f32 tensor."""
    head = b"GGUF" + struct.pack("<IQQ", version, tensors, entries)
    head += text("general.architecture") + struct.pack("<I", 8) + text("llama")
    head += text("general.name") + struct.pack("<I", 8) + text("Tiny")
    head += text("general.alignment") + struct.pack("<II", 4, alignment)
    head += text("llama.context_length") + struct.pack("<II", 4, 2048)
    head += text("tokenizer.ggml.tokens") + struct.pack("<IIQ", 9, 8, 3) + text("a") + text("") + text("ccc")
    head += text("tokenizer.ggml.scores") + struct.pack("<IIQ", 9, 6, 3) + struct.pack("<3f", 0, 1, 2)
    head += text("weight") + struct.pack("<IQIQ", 1, weights, 0, 0)
    return head + bytes(-len(head) % 32) + bytes(64 * 4)


def refusal(path: Path) -> ModelFileError:
    with pytest.raises(ModelFileError) as caught:
        gguf.read_header(path)
    error = caught.value
    assert error.needs and error.has and error.do
    assert error.remedy == "choose_model"
    return error


def test_a_complete_file_tells_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "tiny.gguf"
    path.write_bytes(small_gguf())
    header = gguf.read_header(path)
    assert (header.version, header.architecture, header.name) == (3, "llama", "Tiny")
    assert (header.context_length, header.tensor_count) == (2048, 1)
    assert header.chat_template == ""
    assert header.file_bytes == path.stat().st_size
    assert "tokenizer.ggml.tokens" not in header.metadata


@pytest.mark.engine
def test_the_embedded_model_tells_its_context_and_template(embedded_model: Path) -> None:
    header = gguf.read_header(embedded_model)
    assert header.architecture == "llama"
    assert header.context_length == 8192
    assert "<|im_start|>" in header.chat_template
    assert header.license == "apache-2.0"


def test_every_cut_of_a_small_file_is_refused(tmp_path: Path) -> None:
    data = small_gguf()
    path = tmp_path / "cut.gguf"
    for end in range(len(data)):
        path.write_bytes(data[:end])
        refusal(path)


@pytest.mark.engine
def test_cuts_of_the_embedded_model_are_refused(embedded_model: Path, tmp_path: Path) -> None:
    path = tmp_path / "cut.gguf"
    shutil.copyfile(embedded_model, path)
    size = path.stat().st_size
    cuts = [size - 1, size - 31, size - 5000, size * 3 // 4, size // 2, size // 4, 20_000_000, 5_000_000, 2_000_000]
    cuts += [1_500_000, 1_000_000, 500_000, 50_000, 5_000, 1000, 100, 24, 10, 4, 3, 0]  # 21 places
    for end in cuts:
        with path.open("r+b") as file:
            file.truncate(end)
        refusal(path)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "an empty file"),
        (b"GGML" + bytes(100), "another kind"),
        (b"\x7fELF" + bytes(100), "another kind"),
        (b"<!DOCTYPE html><html>not found</html>", "another kind"),
        (small_gguf(version=1), "version 1"),
        (small_gguf(version=9), "version 9"),
        (small_gguf(version=0x03000000), "big-endian"),
        (small_gguf(tensors=0), "0 tensors"),
        (small_gguf(tensors=2**63), f"{2**63} tensors"),
        (small_gguf(entries=2**40), f"{2**40} metadata entries"),
        (small_gguf(entries=0), "0 metadata entries"),
        (small_gguf(tensors=2), ""),
        (small_gguf(weights=65), "should end at byte"),
        (small_gguf(weights=2**64 - 1), "should end at byte"),
        (small_gguf(alignment=0), "alignment of 0"),
        (small_gguf(alignment=33), "alignment of 33"),
        (small_gguf().replace(b"general.architecture", b"general.architectura"), "architecture"),
    ],
)
def test_junk_and_lies_are_told_apart(tmp_path: Path, data: bytes, says: str) -> None:
    path = tmp_path / "junk.gguf"
    path.write_bytes(data)
    assert says in refusal(path).has


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    assert "no such file" in refusal(tmp_path / "none.gguf").has
    assert refusal(tmp_path).has


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, len(small_gguf()) - 257), data=st.binary(min_size=1, max_size=9))
def test_no_altered_header_raises_anything_else(tmp_path: Path, place: int, data: bytes) -> None:
    whole = small_gguf()
    path = tmp_path / "altered.gguf"
    path.write_bytes(whole[:place] + data + whole[place + len(data) :])
    try:
        header = gguf.read_header(path)
    except ModelFileError:
        return
    assert header.architecture
