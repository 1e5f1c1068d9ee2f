"""Where models lie on a disk: Fathom's own folder, the Hugging Face cache, LM Studio, Ollama, folders that were chosen.

Only looks: opens no weights, follows no name that a manifest makes up, reads at most ``MAX_FILES`` entries a place.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from fathom.core.types import Struct

MAX_FILES = 20_000  # looked at in one place
MAX_DEPTH = 8
MAX_MANIFEST_BYTES = 1 << 20

_DIGEST = re.compile(r"sha256[:-]([0-9a-f]{64})")
_SPLIT = re.compile(r"-(\d{5})-of-(\d{5})\.gguf$")
_OLLAMA_MODEL = "application/vnd.ollama.image.model"
_PLAIN_WEIGHTS = (".safetensors",)

OWN, HUGGING_FACE, LM_STUDIO, OLLAMA, CHOSEN = "Fathom’s folder", "Hugging Face cache", "LM Studio", "Ollama", "Added"


class Place(Struct, frozen=True):
    """A place that was looked at."""

    label: str
    path: str


class Candidate(Struct, frozen=True):
    """A file or folder that looks like a model. ``name`` is what its place calls it, "" when only its file name says.

    ``backend`` is "mlx" for a folder of safetensors with an MLX configuration. ``bytes`` counts all of its files.
    """

    path: str
    place: str
    bytes: int
    name: str = ""
    backend: str = "llamacpp"


def standard_places(own: Path, home: Path, environment: Mapping[str, str]) -> list[Place]:
    """The places of this computer that exist, Fathom's own first."""
    hub = environment.get("HF_HUB_CACHE") or os.path.join(  # noqa: PTH118
        environment.get("HF_HOME") or str(home / ".cache" / "huggingface"), "hub"
    )
    ollama = environment.get("OLLAMA_MODELS")
    wanted = [(OWN, own), (HUGGING_FACE, Path(hub))]
    wanted += [(LM_STUDIO, home / ".lmstudio" / "models"), (LM_STUDIO, home / ".cache" / "lm-studio" / "models")]
    wanted += (
        [(OLLAMA, Path(ollama))]
        if ollama
        else [(OLLAMA, home / ".ollama" / "models"), (OLLAMA, Path("/usr/share/ollama/.ollama/models"))]
    )
    return [Place(label=label, path=str(path)) for label, path in wanted if _is_dir(path)]


def look(place: Place) -> list[Candidate]:
    """The models of one place; what cannot be read is passed over."""
    if place.label == OLLAMA:
        return list(_ollama(Path(place.path)))
    return list(_folder(place))


def single(path: Path) -> Candidate | None:
    """A file or folder that a person chose, None when it is neither a GGUF file nor an MLX folder."""
    if path.is_dir():
        return _mlx_folder(path, CHOSEN)
    try:
        return Candidate(path=str(path), place=CHOSEN, bytes=path.stat().st_size)
    except OSError:
        return None


def is_later_part(name: str) -> bool:
    """Whether a file name is the second or a later part of a split GGUF: only the first one is opened."""
    found = _SPLIT.search(name)
    return found is not None and int(found[1]) != 1


def parts(path: Path) -> list[Path]:
    """All files of a model: of a split GGUF each part that it should have, else the file itself."""
    found = _SPLIT.search(path.name)
    if found is None:
        return [path]
    stem = path.name[: found.start()]
    return [path.with_name(f"{stem}-{number:05}-of-{found[2]}.gguf") for number in range(1, int(found[2]) + 1)]


# --- folders ------------------------------------------------------------------------------------------------------


def _folder(place: Place) -> Iterator[Candidate]:
    root = Path(place.path)
    seen = 0
    for folder, folders, files in os.walk(root):
        here = Path(folder)
        if len(here.relative_to(root).parts) >= MAX_DEPTH:
            folders.clear()
        folders[:] = sorted(name for name in folders if not name.endswith(".part") and name not in ("blobs", ".locks"))
        seen += len(files)
        if seen > MAX_FILES:
            return
        name = _hub_name(here) if place.label == HUGGING_FACE else ""
        if "config.json" in files and any(one.endswith(_PLAIN_WEIGHTS) for one in files):
            found = _mlx_folder(here, place.label, name)
            if found is not None:
                yield found
            folders.clear()
            continue
        for file in sorted(files):
            if file.lower().endswith(".gguf") and not is_later_part(file) and not file.startswith("."):
                size = _size(here / file)
                if size:
                    yield Candidate(path=str(here / file), place=place.label, bytes=size, name="")


def _hub_name(folder: Path) -> str:
    """ "models--owner--name" -> "owner/name" of the cache's folder that ``folder`` lies in."""
    for part in folder.parts:
        if part.startswith("models--"):
            return part.removeprefix("models--").replace("--", "/")
    return ""


def _mlx_folder(folder: Path, place: str, name: str = "") -> Candidate | None:
    """A folder with weights as MLX writes them: its configuration tells how they are quantised, or its name says so."""
    try:
        raw = (folder / "config.json").read_bytes()[:MAX_MANIFEST_BYTES]
        config = msgspec.json.decode(raw, type=dict[str, object])
        sizes = [_size(one) for one in folder.iterdir() if one.name.endswith(_PLAIN_WEIGHTS)]
    except (OSError, msgspec.MsgspecError, ValueError):
        return None
    called = name or folder.name
    if not sizes or ("quantization" not in config and "mlx" not in called.casefold()):
        return None
    return Candidate(path=str(folder), place=place, bytes=sum(sizes), name=called.rpartition("/")[2], backend="mlx")


# --- Ollama -------------------------------------------------------------------------------------------------------


class _Layer(msgspec.Struct):
    mediaType: str = ""  # noqa: N815
    digest: str = ""


class _Manifest(msgspec.Struct):
    layers: tuple[_Layer, ...] = ()


def _ollama(root: Path) -> Iterator[Candidate]:
    """Ollama names its models in manifests/REGISTRY/OWNER/MODEL/TAG and keeps the weights as blobs/sha256-..."""
    manifests = root / "manifests"
    for number, path in enumerate(sorted(manifests.glob("*/*/*/*"))):
        if number > MAX_FILES:
            return
        try:
            if not path.is_file() or path.stat().st_size > MAX_MANIFEST_BYTES:
                continue
            manifest = msgspec.json.decode(path.read_bytes(), type=_Manifest)
        except (OSError, msgspec.MsgspecError):
            continue
        for layer in manifest.layers:
            digest = _DIGEST.fullmatch(layer.digest)
            if layer.mediaType != _OLLAMA_MODEL or digest is None:  # a digest is hex: it leads nowhere else
                continue
            blob = root / "blobs" / f"sha256-{digest[1]}"
            if size := _size(blob):
                yield Candidate(path=str(blob), place=OLLAMA, bytes=size, name=f"{path.parent.name}:{path.name}")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size if path.is_file() else 0
    except OSError:
        return 0


def _is_dir(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False
