"""Files in and out of the sandbox: only what the person attached goes in, only regular files come out.

The sandbox itself opens and writes the files of its workspace, by rules that let no link lead out
(``sandbox.inside.files``); on this side there are only bytes. Names and arguments are those that research models were
trained on.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, ClassVar

import msgspec

from fathom.core.errors import ToolError
from fathom.core.protocols import ToolResult
from fathom.tools.fetch import fetch
from fathom.tools.run_code import SandboxTool
from fathom.tools.sandbox.inside.files import MAX_FILE
from fathom.tools.sandbox.session import chunks_of, once
from fathom.tools.sandbox.settings import WORKSPACE, workspace_parts

_LOCAL_NAME = re.compile(r"[^\x00-\x1f\x7f/\\:*?\"<>|]{1,200}")
_FETCHED_BYTES, _FETCHED_S = 50 * 2**20, 120.0


class UploadArguments(msgspec.Struct, frozen=True):
    """Copy a file that the user attached into the sandbox."""

    sandbox_id: Annotated[str, msgspec.Meta(max_length=64)]
    local_file_path: Annotated[str, msgspec.Meta(min_length=1, max_length=1000, description="the attached file")]
    sandbox_file_path: Annotated[str, msgspec.Meta(min_length=1, max_length=300, description="/workspace/...")]


class UploadFile(SandboxTool):
    """See ``UploadArguments``."""

    name: ClassVar[str] = "upload_file_from_local_to_sandbox"
    Arguments = UploadArguments

    def offered(self) -> bool:
        return bool(self.context.attachments) and super().offered()

    def narrow(self, schema: dict[str, Any]) -> dict[str, Any]:
        """Only the attached files can be named."""
        schema = super().narrow(schema)
        files = {"type": "string", "enum": [str(path) for path in self.context.attachments]}
        return schema | {"properties": schema["properties"] | {"local_file_path": files}}

    async def run(self, arguments: msgspec.Struct) -> ToolResult:
        assert isinstance(arguments, UploadArguments)
        attached = {str(path): path for path in self.context.attachments}
        by_name = {path.name: path for path in self.context.attachments}
        source = attached.get(arguments.local_file_path) or by_name.get(arguments.local_file_path)
        if source is None:
            known = ", ".join(attached) or "none"
            raise ToolError(
                f"{arguments.local_file_path} was not attached by the user, and only such files can be "
                f"uploaded. Attached: {known}."
            )
        sandbox, remark = await self.context.sandbox.find(arguments.sandbox_id)
        descriptor = await asyncio.to_thread(_opened, source)
        try:
            size = await sandbox.write_file(arguments.sandbox_file_path, chunks_of(descriptor))
        finally:
            os.close(descriptor)
        text = f"{source.name} is now {_shown(arguments.sandbox_file_path)} ({size:,} bytes)."
        return ToolResult(text="\n".join(filter(None, (remark, text))), title=f"Uploaded {source.name}", best=text)


class FetchArguments(msgspec.Struct, frozen=True):
    """Download a file from the web into the sandbox, to work on it with code."""

    sandbox_id: Annotated[str, msgspec.Meta(max_length=64)]
    url: Annotated[str, msgspec.Meta(min_length=1, max_length=600, description="a link that was shown")]
    sandbox_file_path: Annotated[str, msgspec.Meta(min_length=1, max_length=300, description="/workspace/...")]


class DownloadFromInternet(SandboxTool):
    """See ``FetchArguments``. The app fetches, by the rules for pages; the sandbox has no network."""

    name: ClassVar[str] = "download_file_from_internet_to_sandbox"
    Arguments = FetchArguments

    def unavailable(self) -> str:
        return super().unavailable() or ("" if self.context.scope.web else "the web is switched off for this session.")

    def off_by_choice(self) -> bool:
        return not super().unavailable() and not self.context.scope.web

    def offered(self) -> bool:
        return bool(self._addresses()) and super().offered()

    def narrow(self, schema: dict[str, Any]) -> dict[str, Any]:
        """Only addresses that were shown can be chosen, the most recent ones first."""
        schema = super().narrow(schema)
        return schema | {"properties": schema["properties"] | {"url": {"type": "string", "enum": self._addresses()}}}

    async def run(self, arguments: msgspec.Struct) -> ToolResult:
        assert isinstance(arguments, FetchArguments)
        address = self.context.seen.find(arguments.url)
        if address is None or address.startswith("library:"):
            known = ", ".join(self._addresses()) or "none; search first"
            raise ToolError(
                f"{arguments.url} was in no search result, page or question, and only such addresses are opened. "
                f"Known: {known}."
            )
        workspace_parts(arguments.sandbox_file_path)  # before anything is fetched for nothing
        sandbox, remark = await self.context.sandbox.find(arguments.sandbox_id)
        await self.context.gate.page(address, was_shown=True, why="to work on the file in the sandbox")
        policy = self.context.fetch_policy
        policy = policy._replace(
            max_bytes=max(policy.max_bytes, _FETCHED_BYTES), total_s=max(policy.total_s, _FETCHED_S)
        )
        page = await fetch(address, policy, any_kind=True)
        size = await sandbox.write_file(arguments.sandbox_file_path, once(page.data))
        text = f"{page.url} is now {_shown(arguments.sandbox_file_path)} ({size:,} bytes)."
        return ToolResult(text="\n".join(filter(None, (remark, text))), title=f"Fetched {size:,} bytes", best=text)

    def _addresses(self) -> list[str]:
        return [address for address in self.context.seen.recent(48) if not address.startswith("library:")][:12]


class DownloadArguments(msgspec.Struct, frozen=True):
    """Save a file from the sandbox for the user."""

    sandbox_id: Annotated[str, msgspec.Meta(max_length=64)]
    sandbox_file_path: Annotated[str, msgspec.Meta(min_length=1, max_length=300, description="/workspace/...")]
    local_filename: Annotated[str, msgspec.Meta(min_length=1, max_length=120, description="a file name, no folder")]


class DownloadFile(SandboxTool):
    """See ``DownloadArguments``."""

    name: ClassVar[str] = "download_file_from_sandbox_to_local"
    Arguments = DownloadArguments

    def offered(self) -> bool:
        return self.context.sandbox.exists

    async def run(self, arguments: msgspec.Struct) -> ToolResult:
        assert isinstance(arguments, DownloadArguments)
        sandbox, remark = await self.context.sandbox.find(arguments.sandbox_id)
        with new_download(self.context.downloads_dir, arguments.local_filename) as (descriptor, target):
            await sandbox.read_file(arguments.sandbox_file_path, lambda chunk: _write_all(descriptor, chunk))
        text = f"Saved as {target}."
        return ToolResult(text="\n".join(filter(None, (remark, text))), title=f"Saved {target.name}", best=text)


@contextmanager
def new_download(downloads_dir: Path, name: str) -> Iterator[tuple[int, Path]]:
    """A new file of mode 0600 in the downloads folder, open for writing; taken away again when the block raises.

    Raises ToolError when the name is no plain file name or is taken, or when the file cannot be written.
    """
    if not _LOCAL_NAME.fullmatch(name) or name.startswith((".", "-", "~")) or name != name.strip():
        raise ToolError(f"{name!r} is no plain file name; give one without folder, like result.csv")
    folder = descriptor = -1
    try:
        downloads_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder = os.open(downloads_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(name, flags, 0o600, dir_fd=folder)
        try:
            yield descriptor, downloads_dir / name
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(name, dir_fd=folder)
            raise
    except FileExistsError:
        raise ToolError(f"there is already a file {name} in the downloads folder; choose another name") from None
    except OSError as error:
        raise ToolError(f"{name} could not be saved: {error.strerror}") from None
    finally:
        for opened in (descriptor, folder):
            if opened >= 0:
                os.close(opened)


def _opened(source: Path) -> int:
    """A descriptor of an attached file. Raises ToolError when it is not a regular file or too large."""
    try:
        descriptor = os.open(source, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise ToolError(f"{source.name} could not be read: {error.strerror}") from None
    found = os.fstat(descriptor)
    if stat.S_ISREG(found.st_mode) and found.st_size <= MAX_FILE:
        return descriptor
    os.close(descriptor)
    if not stat.S_ISREG(found.st_mode):
        raise ToolError(f"{source.name} is not a regular file")
    raise ToolError(f"{source.name} is larger than {MAX_FILE // 2**20} MiB")


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _shown(path: str) -> str:
    return str(WORKSPACE.joinpath(*workspace_parts(path)))
