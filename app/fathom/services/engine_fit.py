"""What a model needs of this computer's memory with one of the backends, and what is said when there is too little.

llama.cpp keeps the weights as they are in the file. MLX does so on a graphics card; on a processor it unpacks them, and
keeps the context, in 32 bits. Starts no process.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from fathom.core.errors import ModelFileError
from fathom.core.types import Struct
from fathom.services.engine_build import EngineBuild
from fathom.services.mlx_install import MlxInstall
from fathom.weights import memory, places
from fathom.weights.catalog import Entry
from fathom.weights.gguf import GgufHeader
from fathom.weights.memory import Architecture, Fit, KvType, Machine, gigabytes
from fathom.weights.mlx_folder import MlxFolder

PackedKv = Literal["f16", "q8_0"]


class Demand(Struct, frozen=True):
    """What fills the memory. ``shape`` None: not known. ``splits``: a part may go to a graphics card."""

    weights_bytes: int
    shape: Architecture | None
    kv_type: KvType = "f16"
    splits: bool = True

    def fit(self, context_tokens: int, computer: Machine, held_bytes: int = 0) -> Fit:
        """As :func:`memory.fit`."""
        return memory.fit(
            self.weights_bytes,
            self.shape,
            context_tokens,
            computer,
            kv_type=self.kv_type,
            held_bytes=held_bytes,
            splits=self.splits,
        )


def shape_of(model: GgufHeader | MlxFolder) -> Architecture | None:
    """The architecture that a model on disk tells of; None when it says too little."""
    return memory.of_header(model) if isinstance(model, GgufHeader) else memory.of_folder(model)


def kv_type_for(wanted: PackedKv, backend: str, shape: Architecture | None) -> PackedKv:
    """The type that keys and values can really be kept in: q8_0 is llama.cpp's, for heads of whole blocks."""
    return "q8_0" if wanted == "q8_0" and backend == "llamacpp" and (shape is None or shape.packs) else "f16"


def demand(
    model: GgufHeader | MlxFolder,
    path: Path,
    backend: str,
    computer: Machine,
    *,
    kv_type: PackedKv = "f16",
    shape: Architecture | None = None,
) -> Demand:
    """What the model at ``path`` fills with ``backend``; ``shape`` is used when the file does not tell its own."""
    shape = shape_of(model) or shape
    if isinstance(model, MlxFolder):
        weights = model.weight_bytes
    else:
        weights = sum(part.stat().st_size for part in places.parts(path) if part.is_file())
    if backend != "mlx":
        return Demand(weights_bytes=weights, shape=shape, kv_type=kv_type_for(kv_type, backend, shape))
    if computer.gpus:
        return Demand(weights_bytes=weights, shape=shape, splits=False)
    return Demand(weights_bytes=4 * model.parameters or weights, shape=shape, kv_type="f32", splits=False)


def of_entry(entry: Entry, computer: Machine, kv_type: PackedKv = "f16") -> Demand:
    """What a model of the catalogue would fill."""
    shape = memory.of_entry(entry)
    if entry.format != "mlx":
        return Demand(weights_bytes=entry.bytes, shape=shape, kv_type=kv_type_for(kv_type, "llamacpp", shape))
    if computer.gpus:
        return Demand(weights_bytes=entry.bytes, shape=shape, splits=False)
    return Demand(weights_bytes=round(4e9 * entry.parameters), shape=shape, kv_type="f32", splits=False)


def seen_by(backend: str, computer: Machine) -> Machine:
    """The computer as the installed library can use it: without the graphics cards that it was not built for."""
    usable = MlxInstall().graphics() if backend == "mlx" else EngineBuild().graphics()
    return computer if usable else msgspec.structs.replace(computer, gpus=())


def refused(found: Fit, need: Demand) -> bool:
    """Whether a model cannot be loaded here, which is known before anything is loaded.

    llama.cpp maps its file, so that a model that only other programs leave no room for is slow, not dead, and Apple's
    chips swap. Weights unpacked for a processor are memory of the process: the system would end it.
    """
    return found.state == "too_large" or (found.state == "close_programs" and need.kv_type == "f32")


def too_little(name: str, found: Fit, need: Demand, computer: Machine, other: Fit | None) -> ModelFileError:
    """The error for a refused model; ``other`` is the fit with llama.cpp, when that is another way."""
    wide = " MLX keeps everything in 32 bits on a processor." if need.kv_type == "f32" else ""
    cards = "".join(f", {gigabytes(gpu.free_bytes)} free on {gpu.name}" for gpu in computer.gpus)
    ways = ["choose a smaller model"]
    if other is not None and other.usable:
        ways.insert(0, f"let llama.cpp compute it: it needs {gigabytes(other.needs_bytes)}")
    if found.state == "close_programs":
        ways.insert(0, "close other programs")
    do = ", or ".join(ways)
    return ModelFileError(
        f"There is too little memory for {name}.",
        needs=f"{gigabytes(found.needs_bytes)} with {found.context_tokens:,} tokens in view.{wide}",
        has=f"{gigabytes(computer.ram_bytes)}, {gigabytes(computer.free_bytes)} of it free{cards}",
        do=f"{do[0].upper()}{do[1:]}.",
        remedy="choose_model",
    )
