"""What a model needs with each backend, and what is refused before it is loaded."""

from __future__ import annotations

from pathlib import Path

import pytest

import tiny_models
from fathom.core.errors import ModelFileError
from fathom.core.settings import Settings
from fathom.services import engine_fit
from fathom.services.engine_choice import choose, read_model
from fathom.weights import catalog, convert, gguf, mlx_folder
from fathom.weights.memory import Gpu, Machine

LAPTOP = Machine(ram_bytes=16_000_000_000, free_bytes=12_000_000_000, cores=8)


def machine_with(monkeypatch: pytest.MonkeyPatch, ram: float, free: float) -> None:
    computer = Machine(ram_bytes=int(ram * 1e9), free_bytes=int(free * 1e9))
    monkeypatch.setattr("fathom.services.machine.look", lambda: computer)


def test_llama_cpp_needs_the_file_and_mlx_on_a_processor_every_weight_in_32_bits(embedded_model: Path) -> None:
    header = gguf.read_header(embedded_model)
    # SmolLM2 135M: 49,152 x 576 embeddings (the output is the same), 30 layers of 3,540,096, and a last norm of 576
    assert header.parameters == 49_152 * 576 + 30 * 3_540_096 + 576 == 134_515_008
    packed = engine_fit.demand(header, embedded_model, "llamacpp", LAPTOP)
    assert (packed.weights_bytes, packed.kv_type, packed.splits) == (embedded_model.stat().st_size, "f16", True)
    wide = engine_fit.demand(header, embedded_model, "mlx", LAPTOP)
    assert (wide.weights_bytes, wide.kv_type, wide.splits) == (4 * 134_515_008, "f32", False)
    card = Machine(ram_bytes=1, free_bytes=1, gpus=(Gpu(name="card", total_bytes=1, free_bytes=1),))
    assert engine_fit.demand(header, embedded_model, "mlx", card).weights_bytes == embedded_model.stat().st_size


@pytest.mark.mlx
@pytest.mark.parametrize("kind", ["Q4_0", "Q4_1", "Q8_0", "F16"])
def test_a_converted_folder_tells_the_same_shape_and_as_many_weights(tmp_path: Path, kind: str) -> None:
    file, folder = tmp_path / "tiny.gguf", tmp_path / "mlx"
    tiny_models.write(file, "qwen2", kind)
    convert.convert(file, folder)
    header, found = gguf.read_header(file), mlx_folder.read_folder(folder)
    assert found.parameters == header.parameters > 0
    assert engine_fit.shape_of(found) is not None
    ours, theirs = engine_fit.shape_of(found), engine_fit.shape_of(header)
    assert ours is not None and theirs is not None
    assert (ours.layers, ours.kv_heads, ours.key_dim) == (theirs.layers, theirs.kv_heads, theirs.key_dim)


def test_a_model_that_is_too_large_is_refused_before_it_is_loaded(
    embedded_model: Path, fathom_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine_with(monkeypatch, 2.6, 2.0)
    with pytest.raises(ModelFileError) as caught:
        choose(Settings(model=str(embedded_model)))
    error = caught.value
    # 98 MB + 188,743,680 of context + 100,663,296 of logits + 150 MB
    assert error.message == "There is too little memory for SmolLM2 135M Instruct."
    assert error.needs == "0.5 GB with 8,192 tokens in view."
    assert error.has == "2.6 GB, 2.0 GB of it free"
    assert error.do == "Choose a smaller model."
    assert error.remedy == "choose_model"
    assert choose(Settings()).spec.context_tokens == 8192  # the small one is always tried


def test_mlx_is_refused_where_other_programs_leave_no_room_and_llama_cpp_is_named(
    embedded_model: Path, fathom_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine_with(monkeypatch, 8.0, 1.1)
    with pytest.raises(ModelFileError) as caught:
        choose(Settings(model=str(embedded_model), backend="mlx"))
    assert "32 bits" in caught.value.needs
    assert caught.value.do == (
        "Close other programs, or let llama.cpp compute it: it needs 0.5 GB, or choose a smaller model."
    )
    assert choose(Settings(model=str(embedded_model), backend="llamacpp")).notices == ()


def test_llama_cpp_goes_on_where_programs_leave_no_room_and_says_that_it_is_slow(
    embedded_model: Path, fathom_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine_with(monkeypatch, 8.0, 0.6)
    chosen = choose(Settings(model=str(embedded_model)))
    assert any("close" in notice for notice in chosen.notices)


def test_a_shorter_view_is_said_aloud(embedded_model: Path, fathom_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine_with(monkeypatch, 8.0, 1.1)  # it needs 98 + 189 (context) + 101 (logits) + 150 MB, and 500 to spare
    chosen = choose(Settings(model=str(embedded_model)))
    assert chosen.spec.context_tokens == 8192
    machine_with(monkeypatch, 8.0, 1.0)
    chosen = choose(Settings(model=str(embedded_model)))
    assert 4096 <= chosen.spec.context_tokens < 8192
    assert f"{chosen.spec.context_tokens:,} tokens at once instead of 8,192" in chosen.notices[0]


def test_a_packed_context_is_used_where_it_can_be_and_else_the_reason_is_said(
    embedded_model: Path, fathom_home: Path, tmp_path: Path
) -> None:
    packed = choose(Settings(model=str(embedded_model), kv_type="q8_0"))
    assert (packed.spec.kv_type, packed.notices) == ("q8_0", ())
    odd = tmp_path / "odd.gguf"
    tiny_models.write(odd)
    shape = engine_fit.shape_of(read_model(odd))
    assert shape is not None and not shape.packs
    unpacked = choose(Settings(model=str(odd), kv_type="q8_0", backend="llamacpp"))
    assert unpacked.spec.kv_type == "f16"
    assert "its heads cannot be packed" in unpacked.notices[0]
    wide = choose(Settings(model=str(embedded_model), kv_type="q8_0", shift_memory=True, backend="mlx"))
    assert not wide.spec.shift_memory and len(wide.notices) == 2
    shifted = choose(Settings(model=str(embedded_model), shift_memory=True, backend="llamacpp"))
    assert shifted.spec.shift_memory and shifted.notices[0].startswith("Experimental")


def test_the_catalogues_mlx_models_are_reckoned_unpacked_on_a_processor() -> None:
    entry = next(one for one in catalog.catalog().values() if one.format == "mlx")
    assert engine_fit.of_entry(entry, LAPTOP).weights_bytes == round(4e9 * entry.parameters)
