"""GGUF to MLX: every weight arrives, in its place and to the bit; the cache holds whole folders only."""

from __future__ import annotations

import json
import os
import shutil
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tiny_models
from fathom.core.errors import ModelFileError
from fathom.weights import convert, convertible, gguf, gguf_blocks, llama_family, mlx_folder

pytestmark = pytest.mark.mlx


def weights_of(folder: Path) -> dict[str, Any]:
    """Name -> float32 values, the packed ones unpacked here by hand."""
    from safetensors.numpy import load_file

    arrays: dict[str, Any] = {}
    for file in sorted(folder.glob("model*.safetensors")):
        arrays |= load_file(file)
    quantization = json.loads((folder / "config.json").read_bytes()).get("quantization", {})
    values: dict[str, Any] = {}
    for name, array in arrays.items():
        stem, part = name.rsplit(".", 1)
        if part in ("scales", "biases"):
            continue
        if part == "weight" and stem in quantization:
            bits = quantization[stem]["bits"]
            shifts = np.arange(0, 32, bits, dtype=np.uint32)
            quants = (array[..., None] >> shifts & np.uint32(2**bits - 1)).reshape(array.shape[0], -1, 32)
            scales, biases = (arrays[f"{stem}.{kind}"].astype(np.float32) for kind in ("scales", "biases"))
            array = (quants * scales[..., None] + biases[..., None]).reshape(array.shape[0], -1)
        values[name] = array.astype(np.float32)
    return values


@pytest.mark.parametrize("architecture", tiny_models.ARCHITECTURES)
@pytest.mark.parametrize("kind", ["F32", "F16", "Q4_0", "Q4_1", "Q8_0", "Q5_0"])
def test_every_weight_arrives_to_the_bit(tmp_path: Path, architecture: str, kind: str) -> None:
    path = tmp_path / "tiny.gguf"
    wanted = tiny_models.write(path, architecture, kind, tied=kind != "Q8_0")
    convert.convert(path, tmp_path / "mlx")
    found = weights_of(tmp_path / "mlx")
    header = gguf.read_header(path)
    assert set(found) == {llama_family.mlx_name(name) for name in wanted}
    for name, values in wanted.items():
        order = llama_family.rows(header, name, values.shape[0])
        values = values if order is None else values[order]
        if kind == "Q5_0" and values.ndim == 2:  # no packed form: float16
            values = values.astype(np.float16).astype(np.float32)
        np.testing.assert_array_equal(found[llama_family.mlx_name(name)], values, err_msg=name)
    packed = "quantization" in json.loads((tmp_path / "mlx" / "config.json").read_bytes())
    assert packed == (kind in ("Q4_0", "Q4_1", "Q8_0"))


def test_a_block_by_hand() -> None:
    half = struct.pack("<ee", 0.5, -3.0)  # x = 0.5 q - 3
    block = half + bytes([0x10 + 2, 0x0F] + [0] * 14)  # weights 0 and 1: 2, 15; weights 16 and 17: 1, 0
    arrays = gguf_blocks.packed(np.frombuffer(block, dtype=np.uint8), gguf_blocks.Q4_1, rows=1)
    assert arrays["weight"].tolist() == [[0xF2, 0, 1, 0]]
    assert (arrays["scales"].tolist(), arrays["biases"].tolist()) == ([[0.5]], [[-3.0]])
    signed = struct.pack("<e", 2.0) + bytes([0x80, 0xFF, 0x00, 0x7F] + [0] * 28)  # -128, -1, 0, 127
    arrays = gguf_blocks.packed(np.frombuffer(signed, dtype=np.uint8), gguf_blocks.Q8_0, rows=1)
    assert arrays["weight"][0, 0] == 0xFF807F00
    assert (arrays["scales"].tolist(), arrays["biases"].tolist()) == ([[2.0]], [[-256.0]])


def test_rows_of_a_rotary_head_are_sorted_into_halves(tmp_path: Path) -> None:
    path = tmp_path / "tiny.gguf"
    tiny_models.write(path)
    header = gguf.read_header(path)
    order = llama_family.rows(header, "blk.0.attn_k.weight", 8)  # two heads of four rows: pairs (0 1) (2 3)
    assert order is not None and order.tolist() == [0, 2, 1, 3, 4, 6, 5, 7]
    assert llama_family.rows(header, "blk.0.attn_v.weight", 8) is None


@pytest.mark.parametrize("factor", [8.0, 32.0])
def test_llama_3s_slowed_frequencies_become_its_settings(tmp_path: Path, factor: float) -> None:
    path = tmp_path / "tiny.gguf"
    slowed = llama_family._llama3_factors(10_000.0, tiny_models.HEAD, factor).astype(np.float32)
    assert slowed[0] == 1 and slowed[-1] == factor
    tiny_models.write(path, rope=slowed)
    convert.convert(path, tmp_path / "mlx")
    scaling = json.loads((tmp_path / "mlx" / "config.json").read_bytes())["rope_scaling"]
    assert (scaling["rope_type"], scaling["factor"]) == ("llama3", factor)
    tiny_models.write(path, rope=slowed * 2)
    with pytest.raises(ModelFileError, match="rotary"):
        convert.convert(path, tmp_path / "other")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"llama__expert_count": 8}, "mixture of experts"),
        ({"llama__rope__scaling__type": "longrope"}, "longrope"),
        ({"tokenizer__ggml__model": "llama"}, "tokenizer of the kind 'llama'"),
        ({"tokenizer__ggml__pre": "tekken"}, "'tekken'"),
        ({"tokenizer__ggml__merges": ["t h", "q zzz"]}, "not in the vocabulary"),
        ({"llama__attention__head_count": None}, "llama.attention.head_count"),
    ],
)
def test_what_cannot_be_converted_says_so(fathom_home: Path, tmp_path: Path, change: dict[str, Any], says: str) -> None:
    path = tmp_path / "odd.gguf"
    tiny_models.write(path, **change)
    with pytest.raises(ModelFileError) as caught:
        convert.converted(path)
    assert says in caught.value.has
    assert caught.value.needs and caught.value.do
    assert not list(convert.cache_dir().glob("*"))


def test_other_families_and_weights_are_refused(fathom_home: Path, tmp_path: Path) -> None:
    path = tmp_path / "odd.gguf"
    tiny_models.write(path)
    path.write_bytes(path.read_bytes().replace(b"blk.1.ffn_up", b"blk.1.ffn_xx"))
    with pytest.raises(ModelFileError, match="ffn_xx"):
        convert.converted(path)
    header = gguf.GgufHeader(path="", version=3, architecture="gemma3")
    assert "gemma3" in convertible.why_not(header)


def test_a_model_is_converted_once_whatever_it_is_called(fathom_home: Path, tmp_path: Path) -> None:
    path = tmp_path / "tiny model.gguf"
    tiny_models.write(path, kind="Q4_1")
    told: list[float] = []
    folder = convert.converted(path, told.append)
    assert told[-1] == 1.0 and told == sorted(told)
    assert folder.parent == fathom_home / "cache" / "mlx"
    before = folder.stat().st_ino
    assert convert.converted(path) == folder
    moved = tmp_path / "again.gguf"
    shutil.copyfile(path, moved)
    assert convert.converted(moved) == folder
    assert folder.stat().st_ino == before
    (folder / "config.json").write_text("{}")
    assert convert.converted(path) == folder
    assert mlx_folder.read_folder(folder).name == "Tiny"


def test_an_unfinished_folder_is_never_taken_for_a_model(fathom_home: Path, tmp_path: Path) -> None:
    path = tmp_path / "tiny.gguf"
    tiny_models.write(path)
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(path.read_bytes().replace(b"blk.1.ffn_up", b"blk.1.ffn_xx"))
    with pytest.raises(ModelFileError):
        convert.converted(cut)
    left = convert.cache_dir() / ".part-killed"
    (left / "model").mkdir(parents=True)
    os.utime(left, (0, 0))
    old = convert.cache_dir() / "tiny-0123-v0"
    old.mkdir()
    folder = convert.converted(path)
    assert list(convert.cache_dir().iterdir()) == [folder]


def test_a_full_or_closed_disk_is_told(fathom_home: Path, tmp_path: Path) -> None:
    path = tmp_path / "tiny.gguf"
    tiny_models.write(path)
    (fathom_home / "cache").write_text("a file where the folder should be")
    with pytest.raises(ModelFileError) as caught:
        convert.converted(path)
    assert "GB free" in caught.value.has
    assert caught.value.remedy == "retry"


def damaged(folder: Path, what: str) -> None:
    config = json.loads((folder / "config.json").read_bytes())
    match what:
        case "no config":
            (folder / "config.json").unlink()
        case "junk config":
            (folder / "config.json").write_text("[" * 100_000)
        case "a list":
            (folder / "config.json").write_text("[]")
        case "odd kind":
            (folder / "config.json").write_text(json.dumps(config | {"model_type": "..utils"}))
        case "own code":
            (folder / "config.json").write_text(json.dumps(config | {"model_file": "evil.py"}))
        case "auto_map":
            (folder / "config.json").write_text(json.dumps(config | {"auto_map": {"AutoModel": "evil.Model"}}))
        case "no tokenizer":
            (folder / "tokenizer.json").unlink()
        case "no weights":
            (folder / "model-00001.safetensors").unlink()
        case "cut weights":
            file = folder / "model-00001.safetensors"
            file.write_bytes(file.read_bytes()[:-7])
        case "lying weights":
            (folder / "model-00001.safetensors").write_bytes(struct.pack("<Q", 2**60) + b"{}")


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ("no config", "no config.json"),
        ("junk config", "cannot be read"),
        ("a list", "no JSON object"),
        ("odd kind", "name the kind"),
        ("own code", "Python code"),
        ("auto_map", "Python code"),
        ("no tokenizer", "no tokenizer.json"),
        ("no weights", "no model"),
        ("cut weights", "cut off or damaged"),
        ("lying weights", "cut off or damaged"),
    ],
)
def test_a_damaged_or_hostile_folder_is_refused(tmp_path: Path, what: str, says: str) -> None:
    path = tmp_path / "tiny.gguf"
    tiny_models.write(path)
    folder = tmp_path / "mlx"
    convert.convert(path, folder)
    damaged(folder, what)
    with pytest.raises(ModelFileError) as caught:
        mlx_folder.read_folder(folder)
    assert says in caught.value.has
