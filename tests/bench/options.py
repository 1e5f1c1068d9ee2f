"""What a person chose for a measurement."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


class NoData(Exception):
    """A measurement needs a folder of question sets that was not given; says which files must be in it."""


@dataclass(frozen=True)
class Options:
    """``model`` is a GGUF, the embedded one unless said; ``data`` a folder of question sets and corpora."""

    model: Path
    data: Path | None = None
