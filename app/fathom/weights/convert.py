"""GGUF to an MLX folder: config.json, safetensors and tokenizer, kept in the data folder's cache.

The same file thus serves llama.cpp and MLX. A folder appears only when it is whole: it is written under another name
and then renamed, with a manifest of the source's SHA-256 and every file's size. Loads neither MLX nor llama.cpp.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from fathom.core.errors import ModelFileError
from fathom.core.settings import data_dir
from fathom.weights import convertible, gguf, gguf_blocks, gguf_tokenizer, llama_family
from fathom.weights.embedded import sha256

VERSION = 1  # of the conversion: a folder of another version is made anew
SHARD_BYTES = 1 << 30
MANIFEST = "manifest.json"
_STALE_S = 24 * 3600.0  # an unfinished folder that is older has been given up


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """Where a folder came from and what must be in it. ``files``: name -> bytes."""

    version: int
    sha256: str
    source: str
    source_bytes: int
    source_mtime_ns: int
    files: dict[str, int]


def cache_dir() -> Path:
    """Where converted models are kept; removing it frees their room and loses nothing."""
    return data_dir() / "cache" / "mlx"


def converted(path: Path, on_progress: Callable[[float], None] | None = None) -> Path:
    """The MLX folder of the GGUF at ``path``, converted now unless the cache has it. ``on_progress`` gets 0 to 1.

    A source of the same path, size and time is not hashed again. Raises ModelFileError when it cannot be converted or
    there is no room.
    """
    progress = on_progress or (lambda _done: None)
    header = gguf.read_header(path)
    if why := convertible.why_not(header):
        raise _error(path, why)
    state = path.stat()
    known = list(_kept())
    for folder, manifest in known:
        same = (manifest.source, manifest.source_bytes, manifest.source_mtime_ns)
        if same == (str(path.resolve()), state.st_size, state.st_mtime_ns):
            return folder
    digest = sha256(path)
    for folder, manifest in known:
        if manifest.sha256 == digest:
            return folder
    root = cache_dir()
    target = root / f"{re.sub(r'[^A-Za-z0-9._-]+', '-', path.stem)[:60]}-{digest[:12]}-v{VERSION}"
    try:
        root.mkdir(parents=True, exist_ok=True)
        _sweep(root)
        with tempfile.TemporaryDirectory(dir=root, prefix=".part-") as part:
            folder = Path(part) / "model"
            convert(path, folder, progress)
            manifest = Manifest(
                version=VERSION,
                sha256=digest,
                source=str(path.resolve()),
                source_bytes=state.st_size,
                source_mtime_ns=state.st_mtime_ns,
                files={file.name: file.stat().st_size for file in folder.iterdir()},
            )
            (folder / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest)))
            if target.exists() and not _whole(target):
                shutil.rmtree(target)
            with contextlib.suppress(FileExistsError, OSError) if target.exists() else contextlib.nullcontext():
                folder.rename(target)  # else another process was faster: its folder is as good
    except OSError as error:
        raise _no_room(error, path, root) from error
    return target


def convert(path: Path, folder: Path, on_progress: Callable[[float], None] | None = None) -> None:
    """Write the model of the GGUF at ``path`` into the new ``folder``; what there is when it fails is the caller's.

    Raises ModelFileError when the file cannot be converted, OSError when it cannot be written.
    """
    progress = on_progress or (lambda _done: None)
    model = gguf.read_model(path)
    if why := convertible.why_not(model.header):
        raise _error(path, why)
    folder.mkdir(parents=True)
    try:
        tokenizer = gguf_tokenizer.tokenizer_json(model)
        config = _config(path, model)
        config["quantization"] = _write_weights(path, model, folder, progress)
        if not config["quantization"]:
            del config["quantization"]
    except (KeyError, ValueError, OverflowError, NotImplementedError) as error:
        raise _error(path, str(error.args[0]) if error.args else type(error).__name__) from error
    documents = {
        "config.json": config,
        "tokenizer.json": tokenizer,
        "tokenizer_config.json": gguf_tokenizer.tokenizer_config(model),
    }
    for name, document in documents.items():
        (folder / name).write_bytes(msgspec.json.encode(document))


def _config(path: Path, model: gguf.GgufModel) -> dict[str, Any]:
    tensors = {tensor.name: tensor for tensor in model.tensors}
    factors = tensors.get(llama_family.ROPE_FACTORS)
    rope = None
    if factors is not None:
        data = np.memmap(path, dtype=np.uint8, mode="r", offset=factors.start, shape=(factors.size,))
        rope = gguf_blocks.floats(data, factors.kind, factors.shape)
    vocabulary = tensors["token_embd.weight"].shape[-1]
    config = llama_family.config(model.header, set(tensors), vocabulary, rope)
    metadata = model.header.metadata
    ends = [metadata.get(f"tokenizer.ggml.{name}_token_id") for name in ("eos", "eot", "eom")]
    config["bos_token_id"] = metadata.get("tokenizer.ggml.bos_token_id")
    config["eos_token_id"] = [end for end in dict.fromkeys(ends) if isinstance(end, int)]
    config["fathom_name"] = model.header.name or path.stem
    return config


def _write_weights(
    path: Path, model: gguf.GgufModel, folder: Path, progress: Callable[[float], None]
) -> dict[str, Any]:
    """Write the safetensors, at most some ``SHARD_BYTES`` in memory; returns config.json's quantisation."""
    from safetensors.numpy import save_file

    total = sum(tensor.size for tensor in model.tensors) or 1
    quantisation: dict[str, Any] = {}
    shard: gguf_blocks.Arrays = {}
    index: dict[str, str] = {}
    held = done = 0

    def write() -> None:
        name = f"model-{len(set(index.values())) + 1:05}.safetensors"
        save_file(shard, folder / name, metadata={"format": "mlx"})
        index.update(dict.fromkeys(shard, name))
        shard.clear()

    for tensor in model.tensors:
        if tensor.name != llama_family.ROPE_FACTORS:
            name = llama_family.mlx_name(tensor.name)
            arrays, bits = _tensor(path, model.header, tensor)
            if bits:
                quantisation[name.removesuffix(".weight")] = {"group_size": gguf_blocks.GROUP, "bits": bits}
            for part, array in arrays.items():
                shard[name if part == "weight" else f"{name.removesuffix('.weight')}.{part}"] = array
                held += array.nbytes
            if held >= SHARD_BYTES:
                write()
                held = 0
        done += tensor.size
        progress(done / total)
    if shard:
        write()
    document = {"metadata": {}, "weight_map": index}
    (folder / "model.safetensors.index.json").write_bytes(msgspec.json.encode(document))
    if not quantisation:
        return {}
    return {"group_size": gguf_blocks.GROUP, "bits": 4, "mode": "affine"} | quantisation


def _tensor(path: Path, header: gguf.GgufHeader, tensor: gguf.GgufTensor) -> tuple[gguf_blocks.Arrays, int]:
    """MLX's arrays of one tensor and their bits, 0 for plain floats."""
    data = np.memmap(path, dtype=np.uint8, mode="r", offset=tensor.start, shape=(tensor.size,))
    shape = tensor.shape[::-1]
    order = llama_family.rows(header, tensor.name, shape[0])
    arrays, bits = None, gguf_blocks.BITS.get(tensor.kind, 0)
    if bits and len(shape) == 2:
        with contextlib.suppress(OverflowError):
            arrays = gguf_blocks.packed(data, tensor.kind, shape[0])
    if arrays is None:
        bits = 0
        try:
            arrays = {"weight": gguf_blocks.floats(data, tensor.kind, shape)}
        except (NotImplementedError, ValueError, KeyError):
            raise ValueError(f"weights of ggml's type {tensor.kind}, which cannot be read") from None
    if order is not None:
        arrays = {part: array[order] for part, array in arrays.items()}
    return {part: np.ascontiguousarray(array) for part, array in arrays.items()}, bits


# --- the cache ----------------------------------------------------------------------------------------------------


def _kept() -> Iterator[tuple[Path, Manifest]]:
    """The whole folders of this version."""
    root = cache_dir()
    for folder in sorted(root.iterdir()) if root.is_dir() else []:
        manifest = _whole(folder)
        if manifest is not None:
            yield folder, manifest


def _whole(folder: Path) -> Manifest | None:
    try:
        manifest = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
        sizes = {name: (folder / name).stat().st_size for name in manifest.files}
    except (OSError, msgspec.MsgspecError, ValueError):
        return None
    return manifest if manifest.version == VERSION and sizes == manifest.files else None


def _sweep(root: Path) -> None:
    """Remove what killed conversions left, and folders of other versions."""
    for folder in root.iterdir():
        with contextlib.suppress(OSError):
            old = folder.name.startswith(".part-") and time.time() - folder.stat().st_mtime > _STALE_S
            if old or (not folder.name.startswith(".") and not folder.name.endswith(f"-v{VERSION}")):
                shutil.rmtree(folder, ignore_errors=True)


def _error(path: Path, has: str) -> ModelFileError:
    return ModelFileError(
        f"{path.name} cannot be converted for MLX.",
        needs="a GGUF of the families llama, qwen2 or qwen3 with a byte-level BPE tokenizer",
        has=has,
        do="Use llama.cpp for this model, or choose an MLX folder of it.",
        remedy="choose_model",
    )


def _no_room(error: OSError, path: Path, root: Path) -> ModelFileError:
    free_gb = shutil.disk_usage(root if root.exists() else root.anchor or os.curdir).free / 1e9
    return ModelFileError(
        f"{path.name} cannot be converted for MLX: the copy cannot be saved.",
        needs=f"room in {root}",
        has=f"{error.strerror or error}; {free_gb:.1f} GB free",
        do="Make room and try again, or move the data folder with FATHOM_HOME.",
        remedy="retry",
    )
