"""What a screen reader is told of the window, as a JSON file: for end-to-end tests, off in ordinary life.

``FATHOM_ACCESSIBLE_TREE`` names the file. It is written when the window's event loop begins and again at each SIGUSR1,
by rename, with a ``serial`` that grows; so a test finds a control by its role and name, never by its pixels.

A node: role, name, rect [x, y, width, height] on the screen, states, children; where there is text that can be moved
through also ``text``, and for a short one ``characters``: the rect of each. Nothing hidden is in it except for rows of
a list that are scrolled away ("invisible" among their states). Reads, never changes.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
from asyncio import AbstractEventLoop
from pathlib import Path
from typing import Any

from PySide6.QtCore import QRect
from PySide6.QtGui import QAccessible, QAccessibleInterface
from PySide6.QtWidgets import QApplication

STATES = ("invisible", "focused", "disabled", "selected", "checked", "modal", "readOnly", "editable")
MAX_CHARACTERS = 3000


def answer_signal(loop: AbstractEventLoop) -> None:
    """Write the tree now and whenever SIGUSR1 comes. Raises KeyError when the variable is not there."""
    path = Path(os.environ["FATHOM_ACCESSIBLE_TREE"])
    QAccessible.setActive(True)  # or the views do not tell their interfaces of rows that came and went
    serials = itertools.count(1)
    loop.add_signal_handler(signal.SIGUSR1, lambda: _write(path, next(serials)))
    _write(path, next(serials))


def tree() -> list[dict[str, Any]]:
    """The nodes of all visible windows, dialogs and menus included."""
    windows = [widget for widget in QApplication.topLevelWidgets() if widget.isVisible()]
    return [node for widget in windows if (node := _node(QAccessible.queryAccessibleInterface(widget))) is not None]


def _write(path: Path, serial: int) -> None:
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps({"serial": serial, "windows": tree()}), "utf-8")
    temporary.replace(path)


def _node(found: QAccessibleInterface | None) -> dict[str, Any] | None:
    if found is None or not found.isValid():
        return None
    state = found.state()
    rect = found.rect()
    scrolled_away = state.invisible and found.role() == QAccessible.Role.ListItem
    if rect.isEmpty() or (state.invisible and not scrolled_away):
        return None
    children = (_node(found.child(position)) for position in range(found.childCount()))
    node = {
        "role": found.role().name,
        "name": found.text(QAccessible.Text.Name),
        "description": found.text(QAccessible.Text.Description),
        "rect": _numbers(rect),
        "states": [name for name in STATES if getattr(state, name)],
        "children": [child for child in children if child is not None],
    }
    if text := found.textInterface():
        count = text.characterCount()
        node["text"] = text.text(0, count)
        if count <= MAX_CHARACTERS:
            node["characters"] = [_numbers(text.characterRect(offset)) for offset in range(count)]
    return node


def _numbers(rect: QRect) -> list[int]:
    return [rect.x(), rect.y(), rect.width(), rect.height()]
