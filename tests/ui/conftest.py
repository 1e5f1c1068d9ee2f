"""The window's tests: no screen is needed, and the desktop's own theme plays no part."""

from __future__ import annotations

import os

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
