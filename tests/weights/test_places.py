"""Models are found where other programs keep them; what is no model, or leads elsewhere, is passed over."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fathom.weights import places
from fathom.weights.places import Place, look, standard_places

DIGEST = "ab" * 32


def write(path: Path, text: str | bytes = "GGUF") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def names(found: list[places.Candidate]) -> set[str]:
    return {one.name or Path(one.path).name for one in found}


def test_the_standard_places_are_those_that_exist(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    (tmp_path / ".lmstudio" / "models").mkdir(parents=True)
    (tmp_path / ".cache" / "huggingface" / "hub").mkdir(parents=True)
    labels = [place.label for place in standard_places(own, tmp_path, {"OLLAMA_MODELS": str(tmp_path / "none")})]
    assert labels == [places.OWN, places.HUGGING_FACE, places.LM_STUDIO]


def test_the_environment_moves_them(tmp_path: Path) -> None:
    (tmp_path / "hf" / "hub").mkdir(parents=True)
    (tmp_path / "olla").mkdir()
    environment = {"HF_HOME": str(tmp_path / "hf"), "OLLAMA_MODELS": str(tmp_path / "olla")}
    found = standard_places(tmp_path / "none", tmp_path / "nobody", environment)
    assert [Path(place.path) for place in found] == [tmp_path / "hf" / "hub", tmp_path / "olla"]


def test_the_hugging_face_cache_gives_ggufs_and_mlx_folders(tmp_path: Path) -> None:
    blob = write(tmp_path / "models--Qwen--Qwen3-4B-GGUF" / "blobs" / DIGEST)
    snapshot = tmp_path / "models--Qwen--Qwen3-4B-GGUF" / "snapshots" / "c0ffee"
    snapshot.mkdir(parents=True)
    (snapshot / "Qwen3-4B-Q4_K_M.gguf").symlink_to(blob)
    (snapshot / "gone.gguf").symlink_to(tmp_path / "nothing")
    mlx = tmp_path / "models--mlx-community--Qwen3-4B-4bit" / "snapshots" / "beef"
    write(mlx / "config.json", json.dumps({"quantization": {"bits": 4}}))
    write(mlx / "model.safetensors", b"12345678")
    plain = tmp_path / "models--org--plain" / "snapshots" / "x"
    write(plain / "config.json", "{}")
    write(plain / "model.safetensors", b"1234")
    found = look(Place(label=places.HUGGING_FACE, path=str(tmp_path)))
    assert names(found) == {"Qwen3-4B-Q4_K_M.gguf", "Qwen3-4B-4bit"}
    assert {one.backend: one.bytes for one in found} == {"llamacpp": 4, "mlx": 8}


def test_lm_studio_gives_the_first_part_of_a_split_file(tmp_path: Path) -> None:
    folder = tmp_path / "unsloth" / "Big-GGUF"
    for number in (1, 2, 3):
        write(folder / f"Big-Q4-0000{number}-of-00003.gguf")
    write(folder / "notes.txt")
    write(folder / "half.gguf.part")
    found = look(Place(label=places.LM_STUDIO, path=str(tmp_path)))
    assert names(found) == {"Big-Q4-00001-of-00003.gguf"}
    parts = places.parts(Path(found[0].path))
    assert [part.name[-20:-5] for part in parts] == ["-00001-of-00003", "-00002-of-00003", "-00003-of-00003"]
    assert all(part.is_file() for part in parts)


def manifest(*layers: tuple[str, str]) -> str:
    return json.dumps({"layers": [{"mediaType": kind, "digest": digest, "size": 4} for kind, digest in layers]})


MODEL = "application/vnd.ollama.image.model"


def test_ollama_names_its_blobs_in_manifests(tmp_path: Path) -> None:
    write(tmp_path / "blobs" / f"sha256-{DIGEST}")
    library = tmp_path / "manifests" / "registry.ollama.ai" / "library"
    write(library / "qwen3" / "8b", manifest((MODEL, f"sha256:{DIGEST}"), ("application/x.template", "sha256:no")))
    found = look(Place(label=places.OLLAMA, path=str(tmp_path)))
    assert [(one.name, Path(one.path).name, one.place) for one in found] == [
        ("qwen3:8b", f"sha256-{DIGEST}", places.OLLAMA)
    ]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "not json",
        manifest((MODEL, "sha256:../../../etc/passwd")),
        manifest((MODEL, "sha256:" + "cd" * 32)),  # no such blob
        manifest(("application/other", f"sha256:{DIGEST}")),
        '{"layers": [{"digest": 5}]}',
    ],
)
def test_a_broken_or_lying_manifest_is_passed_over(tmp_path: Path, text: str) -> None:
    write(tmp_path / "blobs" / f"sha256-{DIGEST}")
    write(tmp_path / "manifests" / "r" / "o" / "m" / "t", text)
    assert look(Place(label=places.OLLAMA, path=str(tmp_path))) == []


def test_a_chosen_path_is_a_file_or_an_mlx_folder(tmp_path: Path) -> None:
    file = write(tmp_path / "mine.gguf")
    assert places.single(file) == places.Candidate(path=str(file), place=places.CHOSEN, bytes=4)
    assert places.single(tmp_path) is None
    assert places.single(tmp_path / "nothing") is None


def test_a_deep_tree_ends_the_search(tmp_path: Path) -> None:
    deep = tmp_path
    for _ in range(20):
        deep = deep / "d"
    write(deep / "deep.gguf")
    write(tmp_path / "top.gguf")
    assert names(look(Place(label=places.CHOSEN, path=str(tmp_path)))) == {"top.gguf"}
