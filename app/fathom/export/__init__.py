"""Exporters: a session as a file. Each is one module here and one line in ``EXPORTERS``.

Knows no database and no window.
"""

EXPORTERS: dict[str, str] = {
    "markdown": "fathom.export.markdown:MarkdownExporter",
    "trace": "fathom.export.trace_json:TraceExporter",
}
"""Name -> class that implements core.protocols.Exporter."""
