"""Files in and out of the sandbox: only what the person attached goes in, only regular files come out.

The workspace was filled by hostile code, so every path in it is walked by descriptors, one folder at a time, following
no link. Names and arguments are those that research models were trained on.
"""

from __future__ import annotations

import asyncio
import os
import re
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar

import msgspec

from fathom.core.errors import ToolError
from fathom.core.protocols import ToolResult
from fathom.tools.run_code import SandboxTool
from fathom.tools.sandbox.bubblewrap import WORKSPACE, outer_uid, workspace_parts

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_MAX_FILE = 256 * 2**20
_LOCAL_NAME = re.compile(r"[^\x00-\x1f\x7f/\\:*?\"<>|]{1,200}")


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
        parts = workspace_parts(arguments.sandbox_file_path)
        size = await asyncio.to_thread(_copy_in, source, sandbox.workspace, parts)
        target = WORKSPACE.joinpath(*parts)
        text = f"{source.name} is now {target} ({size:,} bytes)."
        return ToolResult(text="\n".join(filter(None, (remark, text))), title=f"Uploaded {source.name}", best=text)


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
        return self.context.sandbox.current is not None

    async def run(self, arguments: msgspec.Struct) -> ToolResult:
        assert isinstance(arguments, DownloadArguments)
        sandbox, remark = await self.context.sandbox.find(arguments.sandbox_id)
        parts = workspace_parts(arguments.sandbox_file_path)
        target = await asyncio.to_thread(
            copy_out, sandbox.workspace, parts, self.context.downloads_dir, arguments.local_filename
        )
        text = f"Saved as {target}."
        return ToolResult(text="\n".join(filter(None, (remark, text))), title=f"Saved {target.name}", best=text)


def copy_out(workspace: Path, parts: Sequence[str], downloads_dir: Path, name: str) -> Path:
    """Copy a regular file of the workspace into the downloads folder as a new file of mode 0600.

    Raises ToolError when it is a link, a folder, a FIFO or a device, has other hard links, is larger than 256 MiB, or
    when the name is no plain file name or is taken.
    """
    if not _LOCAL_NAME.fullmatch(name) or name.startswith((".", "-", "~")) or name != name.strip():
        raise ToolError(f"{name!r} is no plain file name; give one without folder, like result.csv")
    shown = "/".join(parts)
    descriptor = _open_inside(workspace, parts)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise ToolError(f"{shown} is not a regular file")
        if found.st_nlink != 1:
            raise ToolError(f"{shown} has other names (hard links); copy it to a new file first")
        if found.st_size > _MAX_FILE:
            raise ToolError(f"{shown} is larger than {_MAX_FILE // 2**20} MiB")
        downloads_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder = os.open(downloads_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            _copy_new(descriptor, folder, name, found.st_size)
        finally:
            os.close(folder)
    except FileExistsError:
        raise ToolError(f"there is already a file {name} in the downloads folder; choose another name") from None
    except OSError as error:
        raise ToolError(f"{shown} could not be saved: {error.strerror}") from None
    finally:
        os.close(descriptor)
    return downloads_dir / name


def _copy_new(source: int, folder: int, name: str, size: int) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    target = os.open(name, flags, 0o600, dir_fd=folder)
    try:
        _copy_bytes(source, target, size)
    except BaseException:
        os.unlink(name, dir_fd=folder)
        raise
    finally:
        os.close(target)


def _copy_bytes(source: int, target: int, limit: int) -> int:
    copied = 0
    while copied < limit and (chunk := os.read(source, min(2**20, limit - copied))):
        copied += len(chunk)
        while chunk:
            chunk = chunk[os.write(target, chunk) :]
    return copied


def _open_inside(workspace: Path, parts: Sequence[str]) -> int:
    """A descriptor of a workspace file, opened without following any link and without waiting at a FIFO."""
    folder = os.open(workspace, _FOLDER)
    try:
        for part in parts[:-1]:
            inner = os.open(part, _FOLDER, dir_fd=folder)
            os.close(folder)
            folder = inner
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        return os.open(parts[-1], flags, dir_fd=folder)
    except OSError as error:
        raise ToolError(f"{'/'.join(parts)} cannot be opened in the sandbox: {error.strerror}") from None
    finally:
        os.close(folder)


def _copy_in(source: Path, workspace: Path, parts: Sequence[str]) -> int:
    """Copy an attached file to a new file of the workspace, making its folders; gives the size in bytes."""
    uid = outer_uid()
    folder = -1
    try:
        data = os.open(source, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            found = os.fstat(data)
            if not stat.S_ISREG(found.st_mode):
                raise ToolError(f"{source.name} is not a regular file")
            if found.st_size > _MAX_FILE:
                raise ToolError(f"{source.name} is larger than {_MAX_FILE // 2**20} MiB")
            folder = os.open(workspace, _FOLDER)
            for part in parts[:-1]:
                inner = _folder_inside(folder, part, uid)
                os.close(folder)
                folder = inner
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            target = os.open(parts[-1], flags, 0o600, dir_fd=folder)
            try:
                if uid is not None:
                    os.fchown(target, uid, uid)
                return _copy_bytes(data, target, found.st_size)
            finally:
                os.close(target)
        finally:
            os.close(data)
            if folder >= 0:
                os.close(folder)
    except FileExistsError:
        raise ToolError(f"there is already a file {'/'.join(parts)} in the sandbox; choose another name") from None
    except OSError as error:
        raise ToolError(f"{source.name} could not be copied into the sandbox: {error.strerror}") from None


def _folder_inside(folder: int, name: str, uid: int | None) -> int:
    try:
        return os.open(name, _FOLDER, dir_fd=folder)
    except FileNotFoundError:
        os.mkdir(name, 0o700, dir_fd=folder)
        inner = os.open(name, _FOLDER, dir_fd=folder)
        if uid is not None:
            os.fchown(inner, uid, uid)
        return inner
