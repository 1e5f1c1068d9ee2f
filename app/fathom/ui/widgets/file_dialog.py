"""The dialog for files and folders: Qt's own with Fathom's icons, the same on every desktop. Shown with ``open()``."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFileDialog, QToolButton, QWidget

from fathom.ui import icons

_ICONS = {
    "backButton": "left",
    "forwardButton": "right",
    "toParentButton": "up",
    "newFolderButton": "plus",
    "listModeButton": "library",
    "detailModeButton": "evaluate",
}


def file_dialog(parent: QWidget, title: str, folder: Path, kinds: str = "") -> QFileDialog:
    """A dialog that starts in ``folder`` and deletes itself; ``kinds`` are filters, ``;;`` between them."""
    dialog = QFileDialog(parent, title, str(folder), kinds)
    # The desktop's own dialog would run a loop of its own, and the tasks of the window would stand still meanwhile.
    dialog.setOption(QFileDialog.Option.DontUseNativeDialog)
    dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    for name, icon in _ICONS.items():
        button = dialog.findChild(QToolButton, name)
        if button is not None:
            button.setIcon(icons.icon(icon))
            button.setAccessibleName(button.toolTip())
    dialog.resize(720, 480)
    return dialog
