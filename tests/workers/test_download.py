"""The download's work against a real hub on this computer: resume, hash, refusals, a full disk, an MLX folder."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from fathom.core.errors import DownloadError
from fathom.workers import download
from fathom.workers.download import Checking, Fetch, Message, Progress, fetch
from hub_server import Hub, HubFile

REPO, FILE = "someone/Tiny-GGUF", "Tiny-Q4.gguf"
DATA = random.Random(1).randbytes(3_000_000)


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub(files={REPO: {FILE: HubFile(DATA)}}) as running:
        yield running


def request(hub: Hub, folder: Path, **more: str) -> Fetch:
    return Fetch(**({"repo": REPO, "file": FILE, "target": FILE} | more), folder=str(folder), endpoint=hub.endpoint)


def refusal(wanted: Fetch) -> DownloadError:
    with pytest.raises(DownloadError) as caught:
        fetch(wanted, lambda _message: None)
    assert caught.value.has
    return caught.value


def left(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} if folder.is_dir() else set()


def test_a_file_gets_its_name_after_its_hash_was_checked(hub: Hub, tmp_path: Path) -> None:
    told: list[Message] = []

    def tell(message: Message) -> None:
        told.append(message)
        if isinstance(message, Checking):
            assert not (tmp_path / FILE).exists()
            assert (tmp_path / f"{FILE}.part").stat().st_size == len(DATA)

    path = fetch(request(hub, tmp_path, sha256=hashlib.sha256(DATA).hexdigest()), tell)
    assert path == tmp_path / FILE
    assert path.read_bytes() == DATA
    assert left(tmp_path) == {FILE}
    progress = [message for message in told if isinstance(message, Progress)]
    assert (progress[0].done, progress[-1].done) == (0, len(DATA))
    assert {message.total for message in progress} == {len(DATA)}
    assert isinstance(told[-1], Checking)


def test_a_cut_connection_is_taken_up_by_range(hub: Hub, tmp_path: Path) -> None:
    hub.files[REPO][FILE].cuts, hub.files[REPO][FILE].cut_after = 1, 1_000_000
    fetch(request(hub, tmp_path), lambda _message: None)
    assert (tmp_path / FILE).read_bytes() == DATA
    ranges = hub.ranges()
    assert ranges[0] == "" and ranges[1].startswith("bytes=")
    assert 0 < int(ranges[1].removeprefix("bytes=").rstrip("-")) <= 1_000_000


def test_what_an_earlier_try_left_is_not_fetched_again(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / f"{FILE}.part").write_bytes(DATA[:2_000_000])
    note = {"etag": hashlib.sha256(DATA).hexdigest(), "size": len(DATA)}
    (tmp_path / f"{FILE}.part.json").write_bytes(msgspec.json.encode(note))
    fetch(request(hub, tmp_path), lambda _message: None)
    assert (tmp_path / FILE).read_bytes() == DATA
    assert hub.ranges() == ["bytes=2000000-"]


def test_a_part_of_other_content_is_begun_anew(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / f"{FILE}.part").write_bytes(bytes(2_000_000))
    (tmp_path / f"{FILE}.part.json").write_bytes(msgspec.json.encode({"etag": "0" * 64, "size": len(DATA)}))
    fetch(request(hub, tmp_path), lambda _message: None)
    assert (tmp_path / FILE).read_bytes() == DATA
    assert hub.ranges() == [""]


def test_a_server_without_ranges_sends_it_whole(hub: Hub, tmp_path: Path) -> None:
    hub.files[REPO][FILE].ranges = False
    (tmp_path / f"{FILE}.part").write_bytes(DATA[:1_000_000])
    note = {"etag": hashlib.sha256(DATA).hexdigest(), "size": len(DATA)}
    (tmp_path / f"{FILE}.part.json").write_bytes(msgspec.json.encode(note))
    fetch(request(hub, tmp_path), lambda _message: None)
    assert (tmp_path / FILE).read_bytes() == DATA


def test_a_wrong_hash_leaves_nothing_behind(hub: Hub, tmp_path: Path) -> None:
    hub.files[REPO][FILE].etag = "f" * 64
    error = refusal(request(hub, tmp_path))
    assert "damaged" in error.message and "again" in error.do
    assert left(tmp_path) == set()


def test_a_file_that_the_catalogue_does_not_know_is_not_fetched(hub: Hub, tmp_path: Path) -> None:
    error = refusal(request(hub, tmp_path, sha256="a" * 64))
    assert "not the file that the catalogue knows" in error.message
    assert hub.ranges() == []
    assert left(tmp_path) == set()


@pytest.mark.parametrize("more", [{"file": "none.gguf"}, {"repo": "nobody/nothing"}])
def test_what_is_not_there_is_said(hub: Hub, tmp_path: Path, more: dict[str, str]) -> None:
    assert "404" in refusal(request(hub, tmp_path, **more)).has


def test_too_many_requests_are_waited_out(hub: Hub, tmp_path: Path) -> None:
    file = hub.files[REPO][FILE]
    file.refuse, file.refusals = 429, 1
    fetch(request(hub, tmp_path), lambda _message: None)
    assert (tmp_path / FILE).read_bytes() == DATA


def test_a_refusal_for_good_says_what_to_do(hub: Hub, tmp_path: Path) -> None:
    file = hub.files[REPO][FILE]
    file.refuse, file.refusals, file.on = 403, 99, "HEAD"
    assert "login" in refusal(request(hub, tmp_path)).has


def test_a_host_that_is_not_there_is_said(tmp_path: Path) -> None:
    wanted = Fetch(repo=REPO, file=FILE, target=FILE, folder=str(tmp_path), endpoint="http://127.0.0.1:9")
    assert "cannot be reached" in refusal(wanted).has


def test_too_little_room_is_said_before_anything_is_fetched(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "SPARE_BYTES", 1 << 62)
    error = refusal(request(hub, tmp_path))
    assert "room" in error.message and "GB free" in error.has
    assert hub.ranges() == []


def test_a_disk_that_fills_up_keeps_what_is_there(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / f"{FILE}.part").symlink_to("/dev/full")  # every write to it fails as on a full disk
    assert "disk is full" in refusal(request(hub, tmp_path)).message


def test_a_folder_gets_its_name_when_every_file_is_sound(tmp_path: Path) -> None:
    repo = "mlx-community/Tiny-4bit"
    files = {
        "config.json": HubFile(b'{"quantization": {"bits": 4}}', lfs=False),
        "model.safetensors": HubFile(DATA),
        "tokenizer.json": HubFile(b"{}" * 500, lfs=False),
        "evil.py": HubFile(b"import os"),
        "old.bin": HubFile(b"pickle"),
    }
    with Hub(files={repo: files}) as hub:
        wanted = Fetch(repo=repo, target="Tiny-4bit", folder=str(tmp_path), endpoint=hub.endpoint)
        files["model.safetensors"].etag = "e" * 64
        assert "damaged" in refusal(wanted).message
        assert not (tmp_path / "Tiny-4bit").exists()
        files["model.safetensors"].etag = ""
        path = fetch(wanted, lambda _message: None)
        assert left(path) == {"config.json", "model.safetensors", "tokenizer.json"}
        assert (path / "model.safetensors").read_bytes() == DATA
        assert left(tmp_path) == {"Tiny-4bit"}
        fetched = [line.split(" ")[1].rpartition("/")[2] for line in hub.requests if line.startswith("GET /mlx")]
        assert fetched.count("config.json") == 1  # the second try did not fetch it again


def test_a_folder_that_names_a_file_outside_of_it_is_refused(tmp_path: Path) -> None:
    repo = "mlx-community/Bad"
    files = {name: HubFile(b"{}") for name in ("config.json", "model.safetensors", "../../outside.json")}
    with Hub(files={repo: files}) as hub:
        error = refusal(Fetch(repo=repo, target="Bad", folder=str(tmp_path / "in"), endpoint=hub.endpoint))
    assert "outside" in error.message
    assert not (tmp_path / "outside.json").exists()


def test_no_token_is_ever_sent(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "canary-token")
    seen: list[str] = []
    import http.server

    original = http.server.BaseHTTPRequestHandler.parse_request

    def spy(self: http.server.BaseHTTPRequestHandler) -> bool:
        answer = original(self)
        seen.append(str(self.headers))
        return answer

    monkeypatch.setattr(http.server.BaseHTTPRequestHandler, "parse_request", spy)
    fetch(request(hub, tmp_path), lambda _message: None)
    assert seen and not any("canary" in headers for headers in seen)
