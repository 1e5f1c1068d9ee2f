"""Cyclic garbage is collected in Qt's thread alone.

Python collects in whichever thread happens to allocate, and what is in a cycle ends there. A widget or a timer that
ends in a worker's thread takes the whole window with it (a segmentation fault, some time later), and closures that are
connected to signals make such cycles all the time. So automatic collection is switched off while there is a window; a
timer in Qt's thread collects by the thresholds that Python would have used.
"""

from __future__ import annotations

import gc

from PySide6.QtCore import QObject, QTimer

INTERVAL_MS = 500


class Collector(QObject):
    """Collects in the thread that makes it, as long as that thread's event loop runs, until ``close``."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        gc.disable()
        self._timer = QTimer(self)
        self._timer.setInterval(INTERVAL_MS)
        self._timer.timeout.connect(self.collect_due)
        self._timer.start()

    def collect_due(self) -> int:
        """Collect the oldest generation that is due; the number of unreachable objects that were found."""
        counts, thresholds = gc.get_count(), gc.get_threshold()
        for generation in (2, 1, 0):
            if counts[generation] > thresholds[generation] > 0:
                return gc.collect(generation)
        return 0

    def settle(self) -> None:
        """What is there now stays, so that no later collection looks through it: with the window open a full one takes
        some 60 ms, which would be seen, and after this next to nothing."""
        gc.freeze()

    def close(self) -> None:
        """Collect once more, here, and leave it to Python again."""
        self._timer.stop()
        gc.unfreeze()
        gc.collect()
        gc.enable()
