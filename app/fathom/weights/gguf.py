"""GGUF files: what the header says, checked before anything native opens the file.

The format is described in ggml's docs/gguf.md; versions 2 and 3 are read. Everything in the header is foreign: counts
and lengths are checked against the file's own length before they are believed. Loads no weights and no llama_cpp.
"""

from __future__ import annotations

import errno
import math
import mmap
import struct
from pathlib import Path

import msgspec

from fathom.core.errors import ModelFileError

Scalar = str | int | float | bool
Array = list[str] | list[int] | list[float] | list[bool]

_FIXED: dict[int, struct.Struct] = {
    0: struct.Struct("<B"),
    1: struct.Struct("<b"),
    2: struct.Struct("<H"),
    3: struct.Struct("<h"),
    4: struct.Struct("<I"),
    5: struct.Struct("<i"),
    6: struct.Struct("<f"),
    7: struct.Struct("<?"),
    10: struct.Struct("<Q"),
    11: struct.Struct("<q"),
    12: struct.Struct("<d"),
}
_STRING, _ARRAY = 8, 9
_U32, _U64 = struct.Struct("<I"), struct.Struct("<Q")

# ggml type -> (weights in a block, bytes of a block); types that are not listed are left to the library to judge.
_BLOCKS: dict[int, tuple[int, int]] = {
    0: (1, 4),  # f32
    1: (1, 2),  # f16
    2: (32, 18),  # q4_0
    3: (32, 20),  # q4_1
    6: (32, 22),  # q5_0
    7: (32, 24),  # q5_1
    8: (32, 34),  # q8_0
    9: (32, 36),  # q8_1
    10: (256, 84),  # q2_K
    11: (256, 110),  # q3_K
    12: (256, 144),  # q4_K
    13: (256, 176),  # q5_K
    14: (256, 210),  # q6_K
    15: (256, 292),  # q8_K
    20: (32, 18),  # iq4_nl
    23: (256, 136),  # iq4_xs
    24: (1, 1),  # i8
    25: (1, 2),  # i16
    26: (1, 4),  # i32
    27: (1, 8),  # i64
    28: (1, 8),  # f64
    30: (1, 2),  # bf16
}

_MAX_ENTRIES = 100_000
_MAX_DIMENSIONS = 4


_NAMES = {"Smollm2 135M 8k Lc100K Mix1 Ep2": "SmolLM2 135M Instruct"}
"""Names of training runs that stand in well-known files, and what people call these models."""


class GgufHeader(msgspec.Struct, frozen=True, kw_only=True):
    """What a GGUF file says of itself. ``metadata`` holds the scalars; arrays are left out."""

    path: str
    version: int
    architecture: str
    name: str = ""
    context_length: int = 0  # tokens that it was trained on, 0 when it does not say
    chat_template: str = ""
    license: str = ""
    tensor_count: int = 0
    file_bytes: int = 0
    parameters: int = 0  # numbers in all tensors of this file
    metadata: dict[str, Scalar] = {}


class GgufTensor(msgspec.Struct, frozen=True, kw_only=True):
    """One tensor: ``shape`` as ggml has it (the innermost dimension first), ``kind`` ggml's number of its type.

    ``start`` is its first byte in the file, ``size`` its length in bytes.
    """

    name: str
    shape: tuple[int, ...]
    kind: int
    start: int
    size: int


class GgufModel(msgspec.Struct, frozen=True, kw_only=True):
    """All that stands before the weights: the header, the arrays of the metadata, and where each tensor lies."""

    header: GgufHeader
    arrays: dict[str, Array]
    tensors: tuple[GgufTensor, ...]


class _Broken(Exception):
    """The file contradicts itself; the text says how."""


class _Reader:
    """A cursor over the mapped file that never reads past its end."""

    def __init__(self, data: mmap.mmap, *, keep_arrays: bool = False) -> None:
        self.data = data
        self.keep_arrays = keep_arrays
        self.size = len(data)
        self.at = 0

    def fixed(self, form: struct.Struct) -> int | float | bool:
        end = self.at + form.size
        if end > self.size:
            raise _Broken("the file ends inside its header")
        (value,) = form.unpack_from(self.data, self.at)
        self.at = end
        found: int | float | bool = value
        return found

    def number(self, form: struct.Struct) -> int:
        return int(self.fixed(form))

    def skip(self, size: int) -> None:
        if size > self.size - self.at:
            raise _Broken("the file ends inside its header")
        self.at += size

    def string(self) -> str:
        length = self.number(_U64)
        start = self.at
        self.skip(length)
        return self.data[start : self.at].decode("utf-8", errors="replace")

    def value(self, kind: int) -> Scalar | Array | None:
        """A scalar or an array; None for an array that is not kept."""
        if kind == _STRING:
            return self.string()
        if kind == _ARRAY:
            start = self.at
            self.array()  # checks that it lies inside of the file
            return self._array_at(start) if self.keep_arrays else None
        if kind not in _FIXED:
            raise _Broken(f"it holds metadata of the unknown type {kind}")
        return self.fixed(_FIXED[kind])

    def array(self) -> None:
        kind, count = self.number(_U32), self.number(_U64)
        if kind in _FIXED:
            self.skip(count * _FIXED[kind].size)
        elif kind == _STRING:
            if count > (self.size - self.at) // _U64.size:
                raise _Broken("the file ends inside its header")
            data, at, size, unpack = self.data, self.at, self.size, _U64.unpack_from  # 300,000 strings: no calls
            try:
                for _ in range(count):
                    at += 8 + unpack(data, at)[0]
                    if at > size:
                        raise _Broken("the file ends inside its header")
            except struct.error:
                raise _Broken("the file ends inside its header") from None
            self.at = at
        else:
            raise _Broken(f"it holds an array of the unknown type {kind}")

    def _array_at(self, start: int) -> Array:
        """The elements of the array that was found sound at ``start``."""
        end, self.at = self.at, start
        kind, count = self.number(_U32), self.number(_U64)
        if kind == _STRING:
            return [self.string() for _ in range(count)]
        form = _FIXED[kind].format
        values: Array = list(struct.unpack_from(f"<{count}{form[-1]}", self.data, self.at))
        self.at = end
        return values


def read_header(path: Path) -> GgufHeader:
    """Read and check a GGUF file: magic, version, counts, metadata, and that every tensor lies inside of it.

    Takes some 0.1 s. Raises ModelFileError that says what was needed, what there is and what to do.
    """
    return _read(path, keep_arrays=False).header


def read_model(path: Path) -> GgufModel:
    """As :func:`read_header`, with the arrays (the vocabulary) and the tensors' places."""
    return _read(path, keep_arrays=True)


def _read(path: Path, *, keep_arrays: bool) -> GgufModel:
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            if not path.is_file():
                raise _error(path, "it is not a file")
            if size == 0:
                raise _error(path, "an empty file")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return _parse(path, data, keep_arrays=keep_arrays)
    except FileNotFoundError:
        raise _error(path, "no such file", do="Choose the file again: it was moved or deleted.") from None
    except OSError as error:
        if error.errno == errno.ENOMEM:
            raise ModelFileError(
                f"There is too little memory for {path.name}.",
                needs=f"room to look at its {size:,} bytes",
                has="the system refused it",
                do="Close other programs, or choose a smaller model.",
                remedy="choose_model",
            ) from None
        raise _error(path, f"it cannot be read: {error.strerror or error}") from None
    except _Broken as error:
        raise _error(
            path, f"{size} bytes; {error}", do="Fetch the file again: the copy is cut off or damaged."
        ) from None


def _error(path: Path, has: str, do: str = "Choose another GGUF file.") -> ModelFileError:
    return ModelFileError(
        f"{path.name or path} is not a model that can be loaded.",
        needs="a complete model file in GGUF format, version 2 or 3",
        has=has,
        do=do,
        remedy="choose_model",
    )


def _parse(path: Path, data: mmap.mmap, *, keep_arrays: bool) -> GgufModel:
    reader = _Reader(data, keep_arrays=keep_arrays)
    if data[:4] != b"GGUF":
        raise _error(path, f"a file of another kind (it begins with {bytes(data[:4])!r})")
    reader.at = 4
    version = reader.number(_U32)
    if version not in (2, 3):
        raise _error(path, f"GGUF version {version}" if version < 1000 else "a GGUF file in big-endian byte order")
    tensor_count, entry_count = reader.number(_U64), reader.number(_U64)
    for count, what in ((tensor_count, "tensors"), (entry_count, "metadata entries")):
        if not 0 < count <= _MAX_ENTRIES:
            raise _Broken(f"it claims {count} {what}")
    metadata: dict[str, Scalar] = {}
    arrays: dict[str, Array] = {}
    for _ in range(entry_count):
        key = reader.string()
        value = reader.value(reader.number(_U32))
        if isinstance(value, list):
            arrays[key] = value
        elif value is not None:
            metadata[key] = value
    tensors = _tensors(reader, tensor_count, metadata)
    architecture = str(metadata.get("general.architecture", ""))
    if not architecture:
        raise _Broken("it does not name its architecture")
    context = metadata.get(f"{architecture}.context_length", 0)
    header = GgufHeader(
        path=str(path),
        version=version,
        architecture=architecture,
        name=_NAMES.get(str(metadata.get("general.name", "")), str(metadata.get("general.name", ""))),
        context_length=context if isinstance(context, int) else 0,
        chat_template=str(metadata.get("tokenizer.chat_template", "")),
        license=str(metadata.get("general.license", "")),
        tensor_count=tensor_count,
        file_bytes=reader.size,
        parameters=sum(math.prod(tensor.shape) for tensor in tensors),
        metadata=metadata,
    )
    return GgufModel(header=header, arrays=arrays, tensors=tensors)


def _tensors(reader: _Reader, count: int, metadata: dict[str, Scalar]) -> tuple[GgufTensor, ...]:
    found: list[GgufTensor] = []
    for _ in range(count):
        name = reader.string()
        dimensions = reader.number(_U32)
        if dimensions > _MAX_DIMENSIONS:
            raise _Broken(f"tensor {name[:60]!r} claims {dimensions} dimensions")
        shape = tuple(reader.number(_U64) for _ in range(dimensions))
        kind, offset = reader.number(_U32), reader.number(_U64)
        block_weights, block_bytes = _BLOCKS.get(kind, (256, 1))
        size = math.prod(shape) // block_weights * block_bytes
        found.append(GgufTensor(name=name, shape=shape, kind=kind, start=offset, size=size))
    alignment = metadata.get("general.alignment", 32)
    if not isinstance(alignment, int) or alignment <= 0 or alignment & (alignment - 1):
        raise _Broken(f"it claims an alignment of {alignment}")
    start = -(-reader.at // alignment) * alignment
    for tensor in found:
        end = start + tensor.start + tensor.size
        if end > reader.size:
            raise _Broken(f"tensor {tensor.name[:60]!r} should end at byte {end}")
    return tuple(msgspec.structs.replace(tensor, start=start + tensor.start) for tensor in found)
