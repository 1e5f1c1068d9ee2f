"""The download's process: takes one model from a hub, resumes what is there, and names it when its hash fits.

A process of its own so that a stalled connection can be ended and research goes on meanwhile. It sends no token: what
is fetched is public. huggingface_hub's own ``hf_hub_download`` throws away what it has when it is ended, so the file is
taken with the library's ``http_get`` into ``NAME.part``, beside a note of which content that is.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, cast

import msgspec

from fathom.core.errors import DownloadError
from fathom.workers.host import Channel

CHUNK_BYTES = 1 << 18  # the library's own 10 MB would show no progress for minutes on a slow line, and lose as much
HASH_CHUNK = 1 << 22
SPARE_BYTES = 200_000_000  # room that must stay on the disk
FOLDER_SUFFIXES = (".safetensors", ".json", ".jinja", ".txt", ".model")  # of an MLX folder; never .bin, .pt or .py
REPORT_BYTES = 1 << 20


class Fetch(msgspec.Struct, frozen=True, kw_only=True):
    """What to take: ``file`` of ``repo`` (all model files of it when ``file`` is ""), into ``folder``/``target``.

    ``sha256`` "" trusts the hub's own checksum. ``endpoint`` is the hub's address.
    """

    repo: str
    folder: str
    target: str
    endpoint: str
    file: str = ""
    sha256: str = ""
    revision: str = "main"


class Message(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Base of what the process tells."""


class Progress(Message, frozen=True):
    """``done`` of ``total`` bytes are on the disk."""

    done: int
    total: int


class Checking(Message, frozen=True):
    """All bytes are here; the hash is computed."""


class Finished(Message, frozen=True):
    """The model has its final name."""

    path: str


class Failed(Message, frozen=True):
    """It cannot go on; what was fetched stays unless its hash is wrong."""

    message: str
    needs: str = ""
    has: str = ""
    do: str = ""


Reply = Progress | Checking | Finished | Failed
decode_reply = msgspec.json.Decoder(Reply).decode


class _Remote(msgspec.Struct, frozen=True, kw_only=True):
    """One file on the hub. ``etag`` is its SHA-256, or for small files git's SHA-1 of the blob."""

    name: str
    url: str
    size: int
    etag: str


def serve(channel: Channel, argv: list[str]) -> int:
    """Do the one download that the first line describes. Ends with Finished or Failed."""
    request = msgspec.json.decode(next(channel.lines()), type=Fetch)

    def tell(message: Message) -> None:
        channel.send(msgspec.json.encode(message))

    try:
        path = fetch(request, tell)
    except DownloadError as error:
        tell(Failed(message=error.message, needs=error.needs, has=error.has, do=error.do))
        return 1
    tell(Finished(path=str(path)))
    return 0


def fetch(request: Fetch, tell: Callable[[Message], None]) -> Path:
    """Take the model; returns its final path. Raises DownloadError: what was needed, what there is, what to do."""
    hub = _Hub(request)
    try:
        files = hub.files()
        folder = Path(request.folder)
        folder.mkdir(parents=True, exist_ok=True)
        if request.file:
            remote = files[0]
            part = folder / f"{request.target}.part"
            _room(folder, remote.size - _held(part, remote))
            hub.take(remote, part, lambda done: tell(Progress(done=done, total=remote.size)))
            tell(Checking())
            _check(part, remote, request.sha256)
            return _name(part, folder / request.target)
        return _folder(request, hub, files, folder, tell)
    except DownloadError:
        raise
    except OSError as error:
        raise _disk_error(error, Path(request.folder)) or hub.error(error) from error
    except Exception as error:
        raise hub.error(error) from error


def _folder(request: Fetch, hub: _Hub, files: list[_Remote], folder: Path, tell: Callable[[Message], None]) -> Path:
    """Every file into ``TARGET.part/``, which gets its name when all of them are sound."""
    staging = folder / f"{request.target}.part"
    staging.mkdir(exist_ok=True)
    total = sum(one.size for one in files)
    sound = {one.name for one in files if _has(staging / one.name, one.size)}
    missing = sum(one.size - _held(staging / f"{one.name}.part", one) for one in files if one.name not in sound)
    _room(folder, missing)
    before = 0
    for one in files:
        path = staging / one.name
        if one.name not in sound:
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_name(f"{path.name}.part")
            hub.take(one, part, partial(_tell_of, tell, before, total))
            _check(part, one, "")
            _name(part, path)
        before += one.size
    tell(Checking())
    for one in files:
        if one.name in sound:  # from an earlier try: it may have changed since
            _check(staging / one.name, one, "")
    target = folder / request.target
    if target.exists():
        raise DownloadError(
            f"{request.target} is there already.",
            has=f"a folder of that name in {folder}",
            do="Remove it first, then try again.",
        )
    staging.rename(target)
    _sync_folder(folder)
    return target


def _tell_of(tell: Callable[[Message], None], before: int, total: int, done: int) -> None:
    tell(Progress(done=before + done, total=total))


# --- the hub ------------------------------------------------------------------------------------------------------


class _Hub:
    """What is asked of huggingface_hub, and its errors in plain words."""

    def __init__(self, request: Fetch) -> None:
        os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
        os.environ.setdefault("HF_HUB_DISABLE_XET", "1")
        import huggingface_hub
        from huggingface_hub import constants, file_download
        from huggingface_hub import utils as hub_utils

        utils: Any = hub_utils

        constants.DOWNLOAD_CHUNK_SIZE = CHUNK_BYTES
        self._hub, self._download = huggingface_hub, file_download
        self._request = request
        self._host = host_of(request.endpoint)
        self._headers = utils.build_hf_headers(token=False, library_name="fathom")

    def files(self) -> list[_Remote]:
        request = self._request
        if request.file:
            return [self._remote(request.file)]
        api = self._hub.HfApi(endpoint=request.endpoint, token=False)
        listed = api.model_info(request.repo, revision=request.revision, files_metadata=True).siblings or []
        names = [one.rfilename for one in listed if one.rfilename.endswith(FOLDER_SUFFIXES)]
        if not any(name.endswith(".safetensors") for name in names) or "config.json" not in names:
            raise DownloadError(
                f"{request.repo} holds no MLX model.",
                needs="config.json and safetensors files",
                has=", ".join(sorted(names)[:6]) or "none of those",
                do="Choose another model.",
            )
        for name in names:
            pure = PurePosixPath(name)
            if pure.is_absolute() or ".." in pure.parts or "\\" in name or ":" in name:
                raise DownloadError(f"{request.repo} names a file outside of its folder.", has=name)
        return [self._remote(name) for name in sorted(names)]

    def _remote(self, name: str) -> _Remote:
        request = self._request
        url = self._hub.hf_hub_url(request.repo, name, revision=request.revision, endpoint=request.endpoint)
        meta = self._download.get_hf_file_metadata(url, token=False, endpoint=request.endpoint, library_name="fathom")
        if not meta.size or not meta.etag:
            raise DownloadError(
                f"{self._host} does not tell the size and checksum of {name}.",
                needs="both, to check what arrives",
                do="Try again later, or add the model's file yourself.",
            )
        expected = request.sha256
        if expected and meta.etag != expected:
            raise DownloadError(
                f"{name} on {self._host} is not the file that the catalogue knows.",
                needs=f"a file with the SHA-256 {expected[:16]}…",
                has=f"one with the checksum {meta.etag[:16]}…",
                do="It was replaced at its source. Choose another model, or add the file yourself.",
            )
        return _Remote(name=name, url=url, size=meta.size, etag=meta.etag)

    def take(self, remote: _Remote, part: Path, on_bytes: Callable[[int], None]) -> None:
        """Fetch what is missing of ``part``; a part of other content is begun anew."""
        held = _held(part, remote)
        with part.open("r+b" if held else "wb") as file:
            _note(part).write_bytes(msgspec.json.encode({"etag": remote.etag, "size": remote.size}))
            if held:
                file.seek(held)
                file.truncate()
            on_bytes(held)
            self._download.http_get(
                remote.url,
                file,
                resume_size=held,
                headers=self._headers | {"Accept-Encoding": "identity"},
                expected_size=remote.size,
                displayed_filename=remote.name[-40:],
                tqdm_class=cast(Any, _bar(file, on_bytes)),
            )
            file.flush()
            os.fsync(file.fileno())

    def error(self, error: Exception) -> DownloadError:
        """The library's error in plain words."""
        request = self._request
        name = request.file or request.repo
        status = getattr(getattr(error, "response", None), "status_code", 0)
        kind = type(error).__name__
        if status == 404:
            has, do = (
                f"{self._host} says that it has no such file (404)",
                "Choose another model: it was moved or removed.",
            )
        elif status in (401, 403):
            has, do = (
                f"{self._host} wants a login for it ({status})",
                "Fetch it in a browser and add the file yourself.",
            )
        elif status == 429:
            has, do = f"{self._host} takes no more requests for now (429)", "Wait some minutes, then resume."
        elif status >= 500:
            has, do = f"{self._host} has a fault of its own ({status})", "Wait some minutes, then resume."
        elif "ConnectError" in kind or "ConnectTimeout" in kind:
            has, do = f"{self._host} cannot be reached", "Check the connection, then resume: what is here is kept."
        else:
            has = f"the connection to {self._host} broke off ({kind})"
            do = "Resume: what is here is kept."
        print(f"{kind}: {error}", file=sys.stderr)  # noqa: T201
        return DownloadError(f"{name} could not be fetched.", needs=f"the file from {self._host}", has=has, do=do)


def _bar(file: BinaryIO, on_bytes: Callable[[int], None]) -> type:
    """A stand-in for the library's progress bar that tells how long the file is instead of drawing."""

    class Bar:
        def __init__(self, *_args: object, **_options: object) -> None:
            self._told = file.tell()

        def update(self, _count: int = 0) -> None:
            at = file.tell()
            if abs(at - self._told) >= REPORT_BYTES:
                self._told = at
                on_bytes(at)

        def __enter__(self) -> Bar:
            return self

        def __exit__(self, *_error: object) -> None:
            self.close()

        def close(self) -> None:
            on_bytes(file.tell())

    return Bar


def host_of(endpoint: str) -> str:
    """The host that an address names, for people."""
    return endpoint.partition("://")[2].partition("/")[0] or endpoint


# --- files --------------------------------------------------------------------------------------------------------


def _note(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _held(part: Path, remote: _Remote) -> int:
    """Bytes of ``part`` that belong to this content; 0 when there are none or they are of another one."""
    try:
        note = msgspec.json.decode(_note(part).read_bytes())
        size = part.stat().st_size
    except (OSError, msgspec.MsgspecError):
        return 0
    return size if note == {"etag": remote.etag, "size": remote.size} and size <= remote.size else 0


def _has(path: Path, size: int) -> bool:
    try:
        return path.stat().st_size == size
    except OSError:
        return False


def _room(folder: Path, missing: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < missing + SPARE_BYTES:
        raise DownloadError(
            "There is not enough room on the disk.",
            needs=f"{(missing + SPARE_BYTES) / 1e9:.1f} GB in {folder}",
            has=f"{free / 1e9:.1f} GB free",
            do="Make room, or move the data folder with FATHOM_HOME; then resume.",
        )


def _check(path: Path, remote: _Remote, expected: str) -> None:
    """Compare the hash. A file that is not what it should be is removed: resuming it could not mend it."""
    digest = hashlib.sha256() if len(remote.etag) == 64 else hashlib.sha1(usedforsecurity=False)
    if len(remote.etag) != 64:  # git's name of a blob
        digest.update(f"blob {remote.size}\0".encode())
    with path.open("rb") as file:
        while chunk := file.read(HASH_CHUNK):
            digest.update(chunk)
    found = digest.hexdigest()
    wanted = expected or remote.etag
    if found != wanted:
        path.unlink(missing_ok=True)
        _note(path).unlink(missing_ok=True)
        raise DownloadError(
            f"{remote.name} arrived damaged.",
            needs=f"a file with the checksum {wanted[:16]}…",
            has=f"one with {found[:16]}…; it was removed",
            do="Download it again.",
        )


def _name(part: Path, target: Path) -> Path:
    part.replace(target)
    _note(part).unlink(missing_ok=True)
    _sync_folder(target.parent)
    return target


def _sync_folder(folder: Path) -> None:
    if os.name == "posix":
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)


def _disk_error(error: OSError, folder: Path) -> DownloadError | None:
    """The disk's errors; None when it was the network's."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DownloadError(
            "The disk is full.",
            needs="room for the rest of the file",
            has=f"no more room in {folder}; what is here is kept",
            do="Make room, then resume.",
        )
    if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM, errno.ENOTDIR, errno.EEXIST):
        return DownloadError(
            "The models folder cannot be written.",
            needs=f"write access to {folder}",
            has=error.strerror or str(error),
            do="Make the folder writable, or move it with FATHOM_HOME.",
        )
    return None
