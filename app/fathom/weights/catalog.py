"""The catalogue of models that can be had: ``models/catalog.toml``, read once and checked.

An entry says where a model comes from, what it weighs, and enough of its attention to tell what a context costs.
Knows no network and no disk.
"""

from __future__ import annotations

import tomllib
from functools import cache
from typing import Annotated, Literal

import msgspec

from fathom.core.settings import models_path

Positive = Annotated[int, msgspec.Meta(gt=0)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=80)]
Repo = Annotated[str, msgspec.Meta(pattern=r"^([\w.-]+/[\w.-]+)?$")]
FileName = Annotated[str, msgspec.Meta(pattern=r"^([\w][\w.-]*\.gguf)?$")]
Sha256 = Annotated[str, msgspec.Meta(pattern=r"^([0-9a-f]{64})?$")]


class Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One model that can be had.

    ``bytes`` is exact where ``sha256`` is given, otherwise about right until the file was fetched. ``parameters`` and
    ``active`` are in billions; ``active`` 0 means all of them compute every token. ``worth_having`` marks models whose
    answers may be relied on enough to be recommended. ``embedded`` is the one that comes with Fathom.
    """

    id: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9.-]*$")]
    name: Name
    family: Name
    note: str
    licence: Name
    format: Literal["gguf", "mlx"]
    quantisation: Name
    bytes: Positive
    parameters: Annotated[float, msgspec.Meta(gt=0)]
    context: Positive
    layers: Positive
    kv_heads: Positive
    head_dim: Positive
    vocabulary: Positive
    repo: Repo = ""
    file: FileName = ""  # "" for an MLX folder: all of its model files
    sha256: Sha256 = ""
    active: float = 0.0
    worth_having: bool = False
    embedded: bool = False

    @property
    def backend(self) -> str:
        """The engine that runs it."""
        return "mlx" if self.format == "mlx" else "llamacpp"

    @property
    def target(self) -> str:
        """Its name in the models folder: the file's, or the repository's for a folder."""
        return self.file or self.repo.rpartition("/")[2]

    @property
    def active_bytes(self) -> float:
        """How much of it is read for one token."""
        return self.bytes * (self.active / self.parameters if self.active else 1.0)


class _Catalog(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    model: tuple[Entry, ...]


def parse(text: str) -> dict[str, Entry]:
    """The entries of a catalogue's text by id. Raises msgspec.ValidationError that names what is wrong."""
    try:
        catalog = msgspec.convert(tomllib.loads(text), _Catalog)
    except tomllib.TOMLDecodeError as error:
        raise msgspec.ValidationError(str(error)) from error
    found: dict[str, Entry] = {}
    for entry in catalog.model:
        if entry.id in found:
            raise msgspec.ValidationError(f"{entry.id}: it is listed twice")
        if (entry.format == "gguf") != bool(entry.file):
            raise msgspec.ValidationError(f"{entry.id}: a GGUF names its file, an MLX folder none")
        if bool(entry.repo) == entry.embedded:
            raise msgspec.ValidationError(f"{entry.id}: it needs a repository, unless it comes with Fathom")
        if entry.active > entry.parameters:
            raise msgspec.ValidationError(f"{entry.id}: more active parameters than it has")
        found[entry.id] = entry
    return found


@cache
def catalog() -> dict[str, Entry]:
    """Every entry by id, in the file's order: from small to large, GGUF before MLX."""
    return parse(models_path("catalog.toml").read_text("utf-8"))
