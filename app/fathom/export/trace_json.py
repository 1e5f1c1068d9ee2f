"""A trajectory as JSON: session, task, steps and report to the letter, for programs."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from fathom.core.types import Report, Session, Trajectory


class Trace(msgspec.Struct, frozen=True, kw_only=True):
    """The file's form. ``format`` changes when the form does."""

    session: Session
    trajectory: Trajectory
    report: Report
    format: int = 1


class TraceExporter:
    """Implements core.protocols.Exporter."""

    name: ClassVar[str] = "trace"
    label: ClassVar[str] = "JSON trace"
    suffix: ClassVar[str] = ".json"

    def render(self, session: Session, trajectory: Trajectory, report: Report) -> bytes:
        """The file, UTF-8, indented."""
        trace = Trace(session=session, trajectory=trajectory, report=report)
        return msgspec.json.format(msgspec.json.encode(trace), indent=1) + b"\n"
