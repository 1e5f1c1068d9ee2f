"""What fits: the memory of a model's weights and of its context, against the memory of a machine.

Pure arithmetic over the real architecture; asks no machine and opens no file. Bytes are bytes, GB are 10^9 bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal

from fathom.core.types import Struct
from fathom.weights.catalog import Entry
from fathom.weights.gguf import GgufHeader
from fathom.weights.mlx_folder import MlxFolder

KvType = Literal["f16", "q8_0", "f32"]
KV_BLOCK = 32  # values of a q8_0 block, which has one 16-bit scale: a head must consist of whole ones
KV_BYTES: dict[KvType, float] = {"f16": 2.0, "q8_0": (KV_BLOCK + 2) / KV_BLOCK, "f32": 4.0}

CONTEXT_STEP = 256  # llama.cpp rounds a context up to it
BATCH_TOKENS = 512  # logits of one batch are the largest part of the scratch memory
SCRATCH_BYTES = 150_000_000  # the process itself, activations, the tokenizer
SYSTEM_BYTES = 2_000_000_000  # what the desktop and this window keep for themselves
SPARE_BYTES = 500_000_000  # left over at least, so that a fit does not sit on the edge
COMFORT_SHARE = 0.15  # of the memory that a recommended model leaves to everything else
SHORTEST_CONTEXT = 4096  # below it research has no room for what it reads


class Architecture(Struct, frozen=True):
    """What decides the memory of a context. ``vocabulary`` 0: not known."""

    layers: int
    kv_heads: int
    key_dim: int
    value_dim: int
    vocabulary: int = 0

    @property
    def packs(self) -> bool:
        """Whether its keys and values can be kept in q8_0."""
        return not (self.key_dim % KV_BLOCK or self.value_dim % KV_BLOCK)


class Gpu(Struct, frozen=True):
    """A graphics card, or the part of a shared memory that graphics may use."""

    name: str
    total_bytes: int
    free_bytes: int


class Machine(Struct, frozen=True):
    """The memory of a computer. ``unified``: graphics and processor share one memory."""

    ram_bytes: int
    free_bytes: int  # what programs can still get without swapping
    cores: int = 1
    gpus: tuple[Gpu, ...] = ()
    unified: bool = False


class Fit(Struct, frozen=True):
    """Whether a model fits.

    ``fits``: now, with ``leaves_bytes`` to spare. ``shorter``: with ``context_tokens`` instead of those asked for.
    ``close_programs``: only when other programs give memory back. ``too_large``: never. ``unknown``: its architecture
    is not known. ``on``: where it was reckoned; "both" is a part on the graphics cards and the rest in memory.
    """

    state: Literal["fits", "shorter", "close_programs", "too_large", "unknown"]
    needs_bytes: int = 0
    leaves_bytes: int = 0
    context_tokens: int = 0
    on: Literal["memory", "gpu", "both"] = "memory"

    @property
    def usable(self) -> bool:
        """Whether it may be offered as a preset."""
        return self.state in ("fits", "shorter")


def of_header(header: GgufHeader) -> Architecture | None:
    """The architecture that a GGUF file tells of; None when it says too little, or different things a layer."""

    def number(name: str) -> int:
        value = header.metadata.get(f"{header.architecture}.{name}")
        return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 1 << 20 else 0

    layers, heads = number("block_count"), number("attention.head_count")
    kv_heads = number("attention.head_count_kv") or heads
    width = number("embedding_length")
    key = number("attention.key_length") or (width // heads if heads else 0)
    value = number("attention.value_length") or key
    if not (layers and kv_heads and key and value):
        return None
    return Architecture(layers=layers, kv_heads=kv_heads, key_dim=key, value_dim=value, vocabulary=number("vocab_size"))


def of_folder(folder: MlxFolder) -> Architecture | None:
    """The architecture that an MLX folder tells of; None when it says too little."""
    if not (folder.layers and folder.kv_heads and folder.head_dim):
        return None
    return _of_equal_heads(folder)


def of_entry(entry: Entry) -> Architecture:
    """The architecture that the catalogue tells of."""
    return _of_equal_heads(entry)


def _of_equal_heads(told: Entry | MlxFolder) -> Architecture:
    """Keys and values of one width, as both of these tell it."""
    return Architecture(
        layers=told.layers,
        kv_heads=told.kv_heads,
        key_dim=told.head_dim,
        value_dim=told.head_dim,
        vocabulary=told.vocabulary,
    )


def padded(context_tokens: int) -> int:
    """The context that llama.cpp really makes."""
    return -(-context_tokens // CONTEXT_STEP) * CONTEXT_STEP


def kv_bytes(shape: Architecture, context_tokens: int, kv_type: KvType = "f16") -> int:
    """Memory of the keys and values of a whole context."""
    values = shape.layers * shape.kv_heads * (shape.key_dim + shape.value_dim) * padded(context_tokens)
    return round(values * KV_BYTES[kv_type])


def needed_bytes(weights_bytes: int, shape: Architecture, context_tokens: int, kv_type: KvType = "f16") -> int:
    """Weights, context, the logits of one batch in 32 bits, and the process."""
    logits = BATCH_TOKENS * (shape.vocabulary or 152_000) * 4
    return weights_bytes + kv_bytes(shape, context_tokens, kv_type) + logits + SCRATCH_BYTES


def longest_context(
    weights_bytes: int, shape: Architecture, room_bytes: int, limit_tokens: int, kv_type: KvType = "f16"
) -> int:
    """The longest context of at most ``limit_tokens`` that fits into ``room_bytes``; 0 when the weights do not."""
    room = room_bytes - needed_bytes(weights_bytes, shape, 0, kv_type)
    step = kv_bytes(shape, CONTEXT_STEP, kv_type)
    tokens = max(0, room // step) * CONTEXT_STEP
    return min(tokens, limit_tokens)


def fit(
    weights_bytes: int,
    shape: Architecture | None,
    context_tokens: int,
    machine: Machine,
    *,
    kv_type: KvType = "f16",
    held_bytes: int = 0,
    splits: bool = True,
) -> Fit:
    """Whether a model with ``context_tokens`` fits on ``machine``; ``held_bytes`` the present model would give back.

    A graphics card that takes all of it comes first, then the computer's memory, then, when the library ``splits`` a
    model, both together. Without a ``shape`` only the weights are looked at.
    """
    most = machine.ram_bytes - SYSTEM_BYTES - SPARE_BYTES
    room = min(machine.free_bytes + held_bytes, machine.ram_bytes - SYSTEM_BYTES) - SPARE_BYTES
    cards = 0
    if splits and not machine.unified:
        reserve = SPARE_BYTES + (needed_bytes(0, shape, 0, kv_type) if shape is not None else SCRATCH_BYTES)
        cards = sum(max(0, gpu.free_bytes - reserve) for gpu in machine.gpus)
    if shape is None:
        largest = max((gpu.free_bytes for gpu in machine.gpus), default=0)
        state: Literal["unknown", "too_large"] = (
            "unknown" if weights_bytes <= max(most + cards, largest) else "too_large"
        )
        return Fit(state=state, needs_bytes=weights_bytes, context_tokens=context_tokens)
    needs = needed_bytes(weights_bytes, shape, context_tokens, kv_type)
    for gpu in machine.gpus:
        if needs + SPARE_BYTES <= gpu.free_bytes:
            return Fit(
                state="fits",
                needs_bytes=needs,
                leaves_bytes=gpu.free_bytes - needs,
                context_tokens=context_tokens,
                on="gpu",
            )
    on: Literal["memory", "both"] = "memory" if needs <= room or not cards else "both"
    room += cards
    shorter = context_tokens if needs <= room else longest_context(weights_bytes, shape, room, context_tokens, kv_type)
    if shorter >= min(SHORTEST_CONTEXT, context_tokens):
        less = needed_bytes(weights_bytes, shape, shorter, kv_type)
        leaves = room + SPARE_BYTES - less - (cards if on == "memory" else 0)
        return Fit(
            state="fits" if shorter == context_tokens else "shorter",
            needs_bytes=less,
            leaves_bytes=leaves,
            context_tokens=shorter,
            on=on,
        )
    too_large = needs > most + cards
    return Fit(state="too_large" if too_large else "close_programs", needs_bytes=needs, context_tokens=context_tokens)


def gpu_layers(
    weights_bytes: int, shape: Architecture | None, context_tokens: int, machine: Machine, *, kv_type: KvType = "f16"
) -> int:
    """How many layers of a model llama.cpp should put on the graphics cards: -1 for all of them, 0 for none.

    The output counts as one layer more, as llama.cpp counts. Each card keeps its scratch memory and a reserve. With a
    shared memory, and where nothing is known of the model, all: a part would gain nothing, or cannot be reckoned.
    """
    if shape is None or machine.unified or not machine.gpus:
        return -1
    scratch = needed_bytes(0, shape, 0, kv_type) + SPARE_BYTES
    layer = weights_bytes / (shape.layers + 1) + kv_bytes(shape, context_tokens, kv_type) / shape.layers
    count = sum(max(0, int((gpu.free_bytes - scratch) // layer)) for gpu in machine.gpus)
    return -1 if count > shape.layers else count


def gigabytes(number: float) -> str:
    """ "0.1 GB", "4.7 GB", "18.6 GB", "120 GB": as a person says it."""
    value = number / 1e9
    return f"{value:.0f} GB" if value >= 99.5 else f"{value:.1f} GB" if value >= 0.095 else f"{number / 1e6:.0f} MB"


def whole_gigabytes(number: float) -> str:
    """ "3 GB", below 1 GB "0.4 GB": for what is left, where a decimal would only pretend."""
    return f"{number / 1e9:.0f} GB" if number >= 0.95e9 else f"{max(0.0, number) / 1e9:.1f} GB"


def words(found: Fit) -> str:
    """One plain sentence."""
    context = f"{found.context_tokens:,} tokens in view"
    where = {"memory": "", "gpu": " on the graphics card", "both": " partly on the graphics card"}[found.on]
    match found.state:
        case "fits":
            return f"Fits{where}, leaves {whole_gigabytes(found.leaves_bytes)} ({context})"
        case "shorter":
            return f"Fits with a shorter view, leaves {whole_gigabytes(found.leaves_bytes)} ({context})"
        case "close_programs":
            return f"Needs {gigabytes(found.needs_bytes)}: close other programs first"
        case "too_large":
            return f"Too large: needs {gigabytes(found.needs_bytes)} of memory"
        case "unknown":
            return "Not known whether it fits: the file does not tell its shape"


def recommended(entries: Iterable[tuple[Entry, Fit]], machine: Machine) -> Entry | None:
    """The one to recommend: fits now with room to spare, worth having, and not slow for what it is.

    Of those worth having, a mixture of experts before a dense model (it is quicker), a dense one below 9 billion
    parameters before larger ones, then the one trained for research, then the later, then the smaller file. Without
    any of those, the largest that fits. Never one for MLX where only the processor computes: llama.cpp is several
    times as fast there.
    """
    spare = max(2 * SPARE_BYTES, int(machine.ram_bytes * COMFORT_SHARE))
    usable = [
        entry
        for entry, found in entries
        if found.state == "fits"
        and (found.on == "gpu" or found.leaves_bytes >= spare)
        and not entry.embedded
        and (entry.format != "mlx" or machine.unified or machine.gpus)
    ]
    worth = [entry for entry in usable if entry.worth_having]
    if worth:
        return max(worth, key=_worth)
    return max(usable, key=lambda e: e.bytes, default=None)


def _worth(entry: Entry) -> tuple[bool, bool, bool, float, int]:
    research = entry.family == "MiroThinker"
    return bool(entry.active), entry.parameters < 9, research, _version(entry), -entry.bytes


def _version(entry: Entry) -> float:
    """Of its family, by its name: 1.5 of "MiroThinker 1.5 30B", 3 of "Qwen3 8B"."""
    found = re.search(r"\d+(\.\d+)?", entry.name)
    return float(found[0]) if found else 0.0
