"""A folder with a model for MLX: what its JSON files say, checked before anything loads the weights.

A folder is foreign, as a GGUF file is: one that wants to run Python code of its own is refused. Loads no MLX.
"""

from __future__ import annotations

import json
import math
import re
import struct
from pathlib import Path
from typing import Any

import msgspec

from fathom.core.errors import ModelFileError

_MAX_JSON_BYTES = 64 << 20


class MlxFolder(msgspec.Struct, frozen=True, kw_only=True):
    """What a folder says of itself; the first fields as in ``gguf.GgufHeader``."""

    path: str
    architecture: str
    name: str
    context_length: int = 0
    chat_template: str = ""
    bos: str = ""
    eos: str = ""
    add_bos: bool = False
    end_tokens: tuple[int, ...] = ()
    dtype: str = ""  # float16, bfloat16, float32; "" when it does not say
    weight_bytes: int = 0
    parameters: int = 0  # numbers in all tensors, the packed ones unpacked
    layers: int = 0  # 0 for this and the next ones: it does not say
    kv_heads: int = 0
    head_dim: int = 0
    vocabulary: int = 0


def read_folder(path: Path) -> MlxFolder:
    """Read and check the folder at ``path``: settings, tokenizer, and that every weights file is as long as it says.

    Raises ModelFileError that says what was needed, what there is and what to do.
    """
    if not path.is_dir():
        raise _error(path, "no such folder")
    config = _json(path, "config.json")
    tokenizer = _json(path, "tokenizer_config.json", optional=True)
    generation = _json(path, "generation_config.json", optional=True)
    architecture = config.get("model_type")
    if not isinstance(architecture, str) or not re.fullmatch(r"\w[\w-]*", architecture):  # mlx-lm imports it by name
        raise _error(path, "a config.json that does not name the kind of the model")
    if config.get("model_file") or config.get("auto_map"):
        raise _error(path, "a model that brings Python code of its own, which is never run")
    if not (path / "tokenizer.json").is_file():
        raise _error(path, "no tokenizer.json")
    weights = sorted(path.glob("model*.safetensors"))
    if not weights:
        raise _error(path, "no model*.safetensors")
    tensors: dict[str, Any] = {}
    for file in weights:
        tensors |= _check_weights(path, file)
    template = path / "chat_template.jinja"
    text = template.read_text("utf-8", errors="replace") if template.is_file() else tokenizer.get("chat_template")
    context = config.get("max_position_embeddings")
    return MlxFolder(
        path=str(path),
        architecture=architecture,
        name=str(config.get("fathom_name") or path.name),
        context_length=context if isinstance(context, int) else 0,
        chat_template=text if isinstance(text, str) else "",
        bos=_token(tokenizer.get("bos_token")),
        eos=_token(tokenizer.get("eos_token")),
        add_bos=bool(tokenizer.get("add_bos_token", False)),
        end_tokens=tuple({*_ids(config.get("eos_token_id")), *_ids(generation.get("eos_token_id"))}),
        dtype=str(config.get("torch_dtype") or config.get("dtype") or ""),
        weight_bytes=sum(file.stat().st_size for file in weights),
        parameters=_parameters(tensors, config),
        layers=_number(config, "num_hidden_layers"),
        kv_heads=_number(config, "num_key_value_heads") or _number(config, "num_attention_heads"),
        head_dim=_head_dim(config),
        vocabulary=_number(config, "vocab_size"),
    )


def _json(folder: Path, name: str, *, optional: bool = False) -> dict[str, Any]:
    path = folder / name
    try:
        if path.stat().st_size > _MAX_JSON_BYTES:
            raise _error(folder, f"a {name} of {path.stat().st_size} bytes")
        document = json.loads(path.read_bytes())
    except FileNotFoundError:
        if optional:
            return {}
        raise _error(folder, f"no {name}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise _error(folder, f"a {name} that cannot be read ({str(error)[:100]})") from None
    if not isinstance(document, dict):
        raise _error(folder, f"a {name} that is no JSON object")
    return document


def _number(config: dict[str, Any], name: str) -> int:
    value = config.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 1 << 20 else 0


def _head_dim(config: dict[str, Any]) -> int:
    heads = _number(config, "num_attention_heads")
    return _number(config, "head_dim") or (_number(config, "hidden_size") // heads if heads else 0)


def _parameters(tensors: dict[str, Any], config: dict[str, Any]) -> int:
    """A packed weight has scales beside it, one for each group of its numbers."""
    found = config.get("quantization")
    quantisation = found if isinstance(found, dict) else {}

    def numbers(name: str) -> int:
        shape = tensors.get(name, {}).get("shape")
        known = isinstance(shape, list) and all(isinstance(size, int) and size >= 0 for size in shape)
        return math.prod(shape) if known else 0

    total = 0
    for name in tensors:
        part, _dot, kind = name.rpartition(".")
        scales = f"{part}.scales"
        if scales not in tensors or kind not in ("weight", "scales", "biases"):
            total += numbers(name)
        elif kind == "weight":
            own = quantisation.get(part)
            group = _number(own if isinstance(own, dict) else quantisation, "group_size")
            total += numbers(scales) * (group or 64)
    return total


def _check_weights(folder: Path, file: Path) -> dict[str, Any]:
    """What its header says of each tensor.

    The format: 8 bytes of length, a JSON header with each tensor's place, then the tensors.
    """
    size = file.stat().st_size
    try:
        with file.open("rb") as data:
            (length,) = struct.unpack("<Q", data.read(8))
            if length > min(size - 8, _MAX_JSON_BYTES):
                raise ValueError("its header is longer than the file")
            header = json.loads(data.read(length))
        end = max((entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"), default=0)
        if 8 + length + int(end) != size:
            raise ValueError(f"it should have {8 + length + int(end)} bytes")
        return {name: entry for name, entry in header.items() if name != "__metadata__"}
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError, struct.error) as error:
        raise _error(folder, f"{file.name} with {size} bytes; it is cut off or damaged ({error})") from None


def _token(value: object) -> str:
    found = value.get("content") if isinstance(value, dict) else value
    return found if isinstance(found, str) else ""


def _ids(value: object) -> list[int]:
    return [token for token in (value if isinstance(value, list) else [value]) if isinstance(token, int)]


def _error(path: Path, has: str) -> ModelFileError:
    return ModelFileError(
        f"{path.name or path} is not a model folder that MLX can load.",
        needs="a folder with config.json, tokenizer.json and model*.safetensors",
        has=has,
        do="Fetch it again, or choose another model.",
        remedy="choose_model",
    )
