"""The exception tree.

    FathomError
    ├── UserError            shown plainly: what was needed, what there is, what to do (with a button)
    │   ├── ModelFileError   a GGUF that is missing, truncated, altered or of an unknown kind
    │   ├── LibraryError     a folder or file that cannot be indexed
    │   ├── ExportError      a file that cannot be written
    │   ├── DownloadError    a model that cannot be fetched, or is not what it should be
    │   ├── DatabaseError    the database is locked, full, corrupt or of a newer version
    │   └── EngineMissing    the inference library is not installed (yet)
    ├── EngineError          the engine could not do what was asked; the process lives
    │   ├── EngineDied       the engine's process is gone: ends the run, with the tail of its stderr
    │   └── EndpointError    a server of the person's own refused, broke off or cannot be reached
    └── ToolError            the model can mend it: becomes an observation
        └── ScannedError     a document of pictures of pages: it can be read by OCR only

Anything else is a bug and reaches the log and the bug dialog.
"""

from __future__ import annotations


class FathomError(Exception):
    """Base of every error that Fathom raises on purpose."""


class UserError(FathomError):
    """An error that a person can act on.

    ``needs`` is what was needed, ``has`` what there is, ``do`` the way out; each one plain sentence, possibly empty.
    ``remedy`` names an action that the window offers as a button (see ``REMEDIES``), or is empty.
    """

    def __init__(self, message: str, *, needs: str = "", has: str = "", do: str = "", remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.needs = needs
        self.has = has
        self.do = do
        self.remedy = remedy

    def __str__(self) -> str:
        parts = [self.message]
        parts += [
            f"{label}: {text}" for label, text in (("Needs", self.needs), ("Has", self.has), ("Do", self.do)) if text
        ]
        return "\n".join(parts)


REMEDIES = frozenset({"", "restart_engine", "choose_model", "fetch_model", "add_folder", "retry", "save_elsewhere"})
"""Actions that a window can offer beside an error."""


class ModelFileError(UserError):
    """A model file is missing, truncated, altered or of an unknown kind."""


class LibraryError(UserError):
    """A folder or file cannot be indexed."""


class ExportError(UserError):
    """A file cannot be written."""


class DownloadError(UserError):
    """A model cannot be fetched, or what arrived is not what it should be."""


class DatabaseError(UserError):
    """The database is locked, full, corrupt or written by a newer version."""


class EngineMissing(UserError):
    """The inference library is not installed, or not built yet."""


class EngineError(FathomError):
    """The engine could not do what was asked; its process lives."""


class EngineDied(EngineError):
    """The engine's process is gone. ``stderr_tail`` holds the last lines that it wrote."""

    def __init__(self, message: str, stderr_tail: str = "") -> None:
        super().__init__(message)
        self.stderr_tail = stderr_tail


class EndpointError(EngineError):
    """A server refused, broke off or cannot be reached. ``status`` is its HTTP status, 0 when there was none."""

    def __init__(self, message: str, *, needs: str = "", has: str = "", do: str = "", status: int = 0) -> None:
        super().__init__(message)
        self.message, self.needs, self.has, self.do, self.status = message, needs, has, do, status

    def __str__(self) -> str:
        parts = (("", self.message), ("Needs: ", self.needs), ("Has: ", self.has), ("Do: ", self.do))
        return "\n".join(f"{label}{text}" for label, text in parts if text)


class ToolError(FathomError):
    """A tool could not do what the model asked; the text becomes the observation that the model reads."""


class ScannedError(ToolError):
    """A document holds pictures of pages and no text: it can be read by OCR only."""
