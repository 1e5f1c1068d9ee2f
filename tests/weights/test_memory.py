"""What fits, against numbers computed by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fathom.weights import memory
from fathom.weights.catalog import catalog
from fathom.weights.gguf import GgufHeader
from fathom.weights.memory import Architecture, Fit, Gpu, Machine

QWEN3_8B = Architecture(layers=36, kv_heads=8, key_dim=128, value_dim=128, vocabulary=151_936)
WEIGHTS_8B = 5_027_783_488
LAPTOP = Machine(ram_bytes=16_000_000_000, free_bytes=12_000_000_000, cores=8)


def test_a_context_costs_what_its_heads_hold() -> None:
    # 36 layers x 8 heads x (128 + 128) values x 2 bytes = 147,456 bytes a token
    assert memory.kv_bytes(QWEN3_8B, 8192) == 147_456 * 8192 == 1_207_959_552
    # q8_0: 34 bytes for 32 values, so 17/32 of f16
    assert memory.kv_bytes(QWEN3_8B, 8192, "q8_0") == 1_207_959_552 * 17 // 32 == 641_728_512
    # SmolLM2: 30 x 3 x 128 x 2 = 23,040 bytes a token
    small = Architecture(layers=30, kv_heads=3, key_dim=64, value_dim=64)
    assert memory.kv_bytes(small, 8192) == 23_040 * 8192 == 188_743_680


def test_a_context_is_rounded_as_the_engine_rounds_it() -> None:
    assert memory.padded(1) == 256
    assert memory.padded(8192) == 8192
    assert memory.kv_bytes(QWEN3_8B, 8000) == memory.kv_bytes(QWEN3_8B, 8192)  # 8,000 -> 32 x 256


def test_the_whole_need_is_weights_context_logits_and_the_process() -> None:
    # logits of a batch: 512 x 151,936 x 4 = 311,164,928
    expected = 5_027_783_488 + 1_207_959_552 + 311_164_928 + 150_000_000
    assert memory.needed_bytes(WEIGHTS_8B, QWEN3_8B, 8192) == expected == 6_696_907_968


def test_it_fits_and_leaves_the_rest() -> None:
    found = memory.fit(WEIGHTS_8B, QWEN3_8B, 8192, LAPTOP)
    assert found == Fit(
        state="fits", needs_bytes=6_696_907_968, leaves_bytes=12_000_000_000 - 6_696_907_968, context_tokens=8192
    )
    assert memory.words(found) == "Fits, leaves 5 GB (8,192 tokens in view)"


def test_what_the_present_model_holds_comes_back() -> None:
    busy = Machine(ram_bytes=16_000_000_000, free_bytes=6_000_000_000)
    assert memory.fit(WEIGHTS_8B, QWEN3_8B, 8192, busy).state == "close_programs"
    assert memory.fit(WEIGHTS_8B, QWEN3_8B, 8192, busy, held_bytes=2_000_000_000).state == "fits"


def test_a_shorter_view_is_found_and_fills_the_room() -> None:
    # room 6.9 GB - 0.5 = 6.4; without context 5,488,948,416; (6.4e9 - that) / (147,456 x 256) = 24.1 -> 24 steps
    tight = Machine(ram_bytes=16_000_000_000, free_bytes=6_900_000_000)
    found = memory.fit(WEIGHTS_8B, QWEN3_8B, 8192, tight)
    assert (found.state, found.context_tokens) == ("shorter", 24 * 256)
    assert found.leaves_bytes == 6_900_000_000 - 5_488_948_416 - 24 * 256 * 147_456
    assert found.usable


def test_below_4096_tokens_it_is_not_offered() -> None:
    tight = Machine(ram_bytes=16_000_000_000, free_bytes=6_500_000_000)  # room for 13 steps: 3,328 tokens
    found = memory.fit(WEIGHTS_8B, QWEN3_8B, 8192, tight)
    assert found.state == "close_programs"
    assert not found.usable
    assert "close other programs" in memory.words(found)


def test_what_never_fits_is_too_large() -> None:
    small = Machine(ram_bytes=8_000_000_000, free_bytes=7_000_000_000)  # 8 - 2 for the system - 0.5 < 6.7
    found = memory.fit(WEIGHTS_8B, QWEN3_8B, 32768, small)
    assert found.state == "too_large" and not found.usable
    # 5,027,783,488 + 147,456 x 32,768 + 311,164,928 + 150,000,000 = 10.3e9
    assert memory.words(found) == "Too large: needs 10.3 GB of memory"


def test_a_graphics_card_that_takes_it_all_comes_first() -> None:
    card = Gpu(name="Card", total_bytes=12_000_000_000, free_bytes=11_000_000_000)
    with_card = Machine(ram_bytes=8_000_000_000, free_bytes=4_000_000_000, gpus=(card,))
    found = memory.fit(WEIGHTS_8B, QWEN3_8B, 8192, with_card)
    assert (found.state, found.on, found.leaves_bytes) == ("fits", "gpu", 11_000_000_000 - 6_696_907_968)
    assert "on the graphics card" in memory.words(found)


def test_an_unknown_shape_is_said_to_be_unknown() -> None:
    found = memory.fit(1_000_000_000, None, 8192, LAPTOP)
    assert found.state == "unknown" and not found.usable


def header(**values: int) -> GgufHeader:
    return GgufHeader(
        path="m.gguf", version=3, architecture="qwen3", metadata={f"qwen3.{k}": v for k, v in values.items()}
    )


def test_the_header_tells_the_architecture() -> None:
    shape = memory.of_header(
        header(
            **{
                "block_count": 36,
                "attention.head_count": 32,
                "attention.head_count_kv": 8,
                "attention.key_length": 128,
                "attention.value_length": 128,
                "embedding_length": 4096,
            }
        )
    )
    assert shape == Architecture(layers=36, kv_heads=8, key_dim=128, value_dim=128)
    # without key_length: the width through the heads; without head_count_kv: as many as there are heads
    old = memory.of_header(header(**{"block_count": 22, "attention.head_count": 32, "embedding_length": 2048}))
    assert old == Architecture(layers=22, kv_heads=32, key_dim=64, value_dim=64)


@pytest.mark.parametrize("name", ["block_count", "attention.head_count", "embedding_length"])
def test_a_header_that_says_too_little_or_lies_gives_none(name: str) -> None:
    whole = {"block_count": 22, "attention.head_count": 32, "embedding_length": 2048}
    assert memory.of_header(header(**{k: v for k, v in whole.items() if k != name})) is None
    for lie in (0, -5, 1 << 40, True):
        assert memory.of_header(header(**(whole | {name: lie}))) is None


@given(st.integers(0, 61_000_000_000), st.sampled_from([2048, 8192, 32768]))
def test_a_usable_fit_never_needs_more_than_there_is(free: int, context: int) -> None:
    here = Machine(ram_bytes=64_000_000_000, free_bytes=free)
    for entry in catalog().values():
        found = memory.fit(entry.bytes, memory.of_entry(entry), context, here)
        if found.usable:
            assert found.needs_bytes + memory.SPARE_BYTES <= free
            assert found.leaves_bytes == free - found.needs_bytes
            assert found.context_tokens <= context


@pytest.mark.parametrize(
    ("ram_gb", "expected"),
    [
        (4, None),
        (7, "granite-4.0-micro"),
        (8, "qwen3-4b-2507"),
        (16, "mirothinker-1.0-8b"),
        (64, "mirothinker-1.7-mini"),
    ],
)
def test_one_model_is_recommended_for_a_machine(ram_gb: int, expected: str | None) -> None:
    here = Machine(ram_bytes=ram_gb * 10**9, free_bytes=int((ram_gb - 1.5) * 1e9))
    entries = [entry for entry in catalog().values() if entry.format == "gguf"]
    fits = [(entry, memory.fit(entry.bytes, memory.of_entry(entry), 8192, here)) for entry in entries]
    best = memory.recommended(fits, here)
    assert (best.id if best else None) == expected


@pytest.mark.parametrize(("unified", "offered"), [(False, False), (True, True)])
def test_mlx_is_recommended_only_where_a_graphics_card_computes(unified: bool, offered: bool) -> None:
    here = Machine(ram_bytes=24 * 10**9, free_bytes=22 * 10**9, unified=unified)
    entries = [entry for entry in catalog().values() if entry.format == "mlx"]
    fits = [(entry, memory.fit(entry.bytes, memory.of_entry(entry), 8192, here)) for entry in entries]
    assert (memory.recommended(fits, here) is not None) is offered


def test_sizes_are_said_as_people_say_them() -> None:
    assert [memory.gigabytes(n) for n in (98_362_432, 5_027_783_488, 120e9, 20e6)] == [
        "0.1 GB",
        "5.0 GB",
        "120 GB",
        "20 MB",
    ]
    assert [memory.whole_gigabytes(n) for n in (5.3e9, 0.44e9, 0.99e9)] == ["5 GB", "0.4 GB", "1 GB"]


def test_layers_go_to_the_graphics_card_as_far_as_they_fit() -> None:
    def layers(*free: float, unified: bool = False) -> int:
        cards = tuple(Gpu(name="card", total_bytes=24_000_000_000, free_bytes=int(size * 1e9)) for size in free)
        machine = Machine(ram_bytes=32_000_000_000, free_bytes=16_000_000_000, gpus=cards, unified=unified)
        return memory.gpu_layers(WEIGHTS_8B, QWEN3_8B, 8192, machine)

    # a layer: 5,027,783,488 / 37 + 1,207,959,552 / 36 = 169,440,835; beside them 311,164,928 + 150e6 + 500e6
    assert layers(24) == -1
    assert layers(4.0) == 17  # (4e9 - 961,164,928) / 169,440,835 = 17.9
    assert layers(2.0, 2.0) == 12  # 6 on each
    assert layers(0.5) == 0
    assert layers() == -1  # nothing to choose
    assert layers(4.0, unified=True) == -1
    assert memory.gpu_layers(WEIGHTS_8B, None, 8192, LAPTOP) == -1


@given(free=st.integers(0, 12_000_000_000))
def test_what_is_put_on_the_card_never_exceeds_it(free: int) -> None:
    machine = Machine(
        ram_bytes=32_000_000_000,
        free_bytes=16_000_000_000,
        gpus=(Gpu(name="card", total_bytes=12_000_000_000, free_bytes=free),),
    )
    layers = memory.gpu_layers(WEIGHTS_8B, QWEN3_8B, 8192, machine)
    assert -1 <= layers <= 36
    if layers == -1:
        assert memory.needed_bytes(WEIGHTS_8B, QWEN3_8B, 8192) <= free
    elif layers:
        assert layers * WEIGHTS_8B / 37 + layers * memory.kv_bytes(QWEN3_8B, 8192) / 36 <= free


def test_a_model_that_the_card_and_the_memory_hold_together_fits() -> None:
    # 16.1 GB of weights in all 6,696,907,968 - 5,027,783,488 + 16e9 = 17,669,124,480
    card = Gpu(name="Card", total_bytes=12_000_000_000, free_bytes=11_000_000_000)
    both = Machine(ram_bytes=16_000_000_000, free_bytes=10_000_000_000, gpus=(card,))
    found = memory.fit(16_000_000_000, QWEN3_8B, 8192, both)
    assert (found.state, found.on) == ("fits", "both")
    # the card gives 11 - 0.5 - (logits 311,164,928 + process 150,000,000); the memory 10
    assert found.leaves_bytes == 10_000_000_000 + 11_000_000_000 - 500_000_000 - 461_164_928 - 17_669_124_480
    assert "partly on the graphics card" in memory.words(found)
    assert memory.fit(16_000_000_000, QWEN3_8B, 8192, both, splits=False).state == "too_large"


def test_a_context_in_32_bits_takes_twice_the_memory() -> None:
    assert memory.kv_bytes(QWEN3_8B, 8192, "f32") == 2 * 1_207_959_552


def test_only_heads_of_whole_blocks_can_be_packed() -> None:
    assert QWEN3_8B.packs
    assert not Architecture(layers=1, kv_heads=1, key_dim=80, value_dim=80).packs


def test_weights_alone_that_are_larger_than_the_memory_are_too_large() -> None:
    assert memory.fit(20_000_000_000, None, 8192, LAPTOP).state == "too_large"
