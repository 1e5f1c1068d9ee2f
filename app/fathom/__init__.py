"""Fathom: research on one's own laptop, with a local model and checkable sources."""

__version__ = "0.1.0"
