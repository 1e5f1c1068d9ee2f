"""The window's tests: no screen is needed, the desktop's own theme plays no part, and widgets end in Qt's thread."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from PySide6.QtCore import QCoreApplication, QEvent
from PySide6.QtWidgets import QApplication

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")


@pytest.fixture(scope="module", autouse=True)
def collector(qapp: QApplication) -> Iterator[None]:
    """As in the app: left to Python, the widgets of one test might end in a worker's thread of another."""
    from fathom.ui.garbage import Collector

    made = Collector()
    yield
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    made.close()
