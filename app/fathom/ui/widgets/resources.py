"""What a view of rich text gives instead of a picture or a style sheet: something empty.

"Nothing" would not do. Given nothing, Qt opens the local file itself, a style sheet by ``@import`` and a picture by its
``src`` alike, however ``loadResource`` is overridden.
"""

from __future__ import annotations

from PySide6.QtGui import QImage, QTextDocument

_PICTURE = QTextDocument.ResourceType.ImageResource.value


def placeholder(kind: int) -> QImage | str:
    """For ``loadResource``: a transparent dot for a picture, an empty text for everything else."""
    if int(kind) != _PICTURE:
        return ""
    dot = QImage(1, 1, QImage.Format.Format_ARGB32)
    dot.fill(0)
    return dot
