"""The text of the programs that run in a sandbox, for ``python3 -I -c``: nothing of the app has to be there.

Their modules keep the names that they have here.
"""

from __future__ import annotations

import functools
from pathlib import Path

_PACKAGE = "fathom.tools.sandbox.inside"
_LOADER = """
import sys, types
def load(package, texts):
    names = package.split(".")
    for name in (".".join(names[:n]) for n in range(1, len(names) + 1)):
        sys.modules[name] = types.ModuleType(name)
        sys.modules[name].__path__ = []
    for name, text in texts.items():
        module = types.ModuleType(f"{package}.{name}")
        sys.modules[module.__name__] = module
        exec(compile(text, f"<{name}>", "exec"), module.__dict__)
    return module
"""


def supervisor() -> str:
    """Process 1."""
    return _program("files", "frames", "lock", "processes", "usage", "supervisor")


def interpreter() -> str:
    """The Python that keeps its variables."""
    return _program("interpreter")


@functools.cache
def _program(*names: str) -> str:
    folder = Path(__file__).parent / "inside"
    texts = {name: (folder / f"{name}.py").read_text(encoding="utf-8") for name in names}
    return f"{_LOADER}load({_PACKAGE!r}, {texts!r}).main()\n"
