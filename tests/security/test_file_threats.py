"""Rows 24 to 27: files between the sandbox and the person's folders."""

from __future__ import annotations

import asyncio
import os
import stat
from pathlib import Path

import pytest

from fathom.core.errors import ToolError
from fathom.core.protocols import Document, Hit
from fathom.core.types import Scope, Task, ToolCall
from fathom.tools import open_toolbox
from fathom.tools.files import copy_out
from fathom.workers.parser import ParserClient

CANARY = "canary-52d0c8"


class EmptyLibrary:
    """No documents: these tests are about files."""

    def search(self, query: str, scope: Scope, limit: int = 10, offset: int = 0) -> list[Hit]:
        return []

    def document(self, uri: str) -> Document | None:
        return None


@pytest.fixture
def workspace(tmp_path):
    """A workspace as hostile code may leave it, and a secret outside."""
    secret = tmp_path / "secret.txt"
    secret.write_text(CANARY)
    work = tmp_path / "workspace"
    (work / "folder").mkdir(parents=True)
    (work / "good.csv").write_text("a,b\n")
    (work / "folder" / "inner.csv").write_text("c,d\n")
    (work / "link").symlink_to(secret)
    (work / "relative").symlink_to("../secret.txt")
    (work / "linked_folder").symlink_to(tmp_path)
    (work / "loop").symlink_to("loop")
    os.link(secret, work / "hard")
    os.mkfifo(work / "fifo")
    return work


@pytest.mark.parametrize(
    "parts",
    [
        ("link",),
        ("relative",),
        ("loop",),
        ("linked_folder", "secret.txt"),
        ("linked_folder",),
        ("..", "secret.txt"),
        ("folder", "..", "..", "secret.txt"),
        ("hard",),
        ("fifo",),
        ("folder",),
        ("missing",),
        ("good.csv", "x"),
    ],
    ids="/".join,
)
def test_24_only_regular_files_inside_the_workspace_come_out(workspace, tmp_path, parts):
    with pytest.raises(ToolError):
        if ".." in parts:  # such paths are refused before anything is opened
            from fathom.tools.sandbox.bubblewrap import workspace_parts

            workspace_parts("/".join(parts))
        else:
            copy_out(workspace, parts, tmp_path / "downloads", "out.txt")
    assert not list(tmp_path.glob("downloads/*"))


def test_24_a_regular_file_comes_out_with_mode_0600(workspace, tmp_path):
    saved = copy_out(workspace, ("folder", "inner.csv"), tmp_path / "downloads", "out.csv")
    assert saved.read_text() == "c,d\n" and stat.S_IMODE(saved.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "name", ["../x", "/etc/x", "a/b", ".bashrc", "..", "", " ", "x\n", "a\0b", "-rf", "~x", "C:\\x", "x" * 300]
)
def test_26_only_plain_names_are_taken(workspace, tmp_path, name):
    with pytest.raises(ToolError, match="no plain file name"):
        copy_out(workspace, ("good.csv",), tmp_path / "downloads", name)


def test_26_nothing_is_overwritten(workspace, tmp_path):
    downloads = tmp_path / "downloads"
    downloads.mkdir()
    (downloads / "mine.csv").write_text("old")
    (downloads / "link.csv").symlink_to(tmp_path / "elsewhere")
    for name in ("mine.csv", "link.csv"):
        with pytest.raises(ToolError, match="already a file"):
            copy_out(workspace, ("good.csv",), downloads, name)
    assert (downloads / "mine.csv").read_text() == "old" and not (tmp_path / "elsewhere").exists()


def with_toolbox(tmp_path: Path, attachments, *calls):
    async def main():
        toolbox = await open_toolbox(
            Task(question="Compute it.", attachments=tuple(map(str, attachments))),
            library=EmptyLibrary(),
            parser=ParserClient(),
            downloads_dir=tmp_path / "downloads",
            session_dir=tmp_path / "session",
        )
        try:
            return [
                await toolbox.call(ToolCall(id=f"1.{n}", name=name, arguments=arguments))
                for n, (name, arguments) in enumerate(calls)
            ]
        finally:
            await toolbox.close()

    return asyncio.run(main())


def upload(source, target):
    return (
        "upload_file_from_local_to_sandbox",
        {"sandbox_id": "", "local_file_path": str(source), "sandbox_file_path": target},
    )


def download(source, name):
    return (
        "download_file_from_sandbox_to_local",
        {"sandbox_id": "", "sandbox_file_path": source, "local_filename": name},
    )


def command(text):
    return ("run_command", {"command": text, "sandbox_id": ""})


def test_27_only_attached_files_can_be_uploaded(tmp_path):
    secret = tmp_path / "id_rsa"
    secret.write_text(CANARY)
    table = tmp_path / "table.csv"
    table.write_text("a,b\n1,2\n")
    refused, by_path, by_name, shown = with_toolbox(
        tmp_path,
        [table],
        upload(secret, "/workspace/key"),
        upload(table, "/workspace/data/in/table.csv"),
        upload("table.csv", "second.csv"),
        command("cat data/in/table.csv second.csv; touch data/in/mine; find /workspace -type f"),
    )
    assert refused.is_error and "was not attached by the user" in refused.text
    assert not by_path.is_error and not by_name.is_error
    assert shown.text.startswith("a,b\n1,2\na,b\n1,2\n")
    assert "/workspace/data/in/mine" in shown.text and "key" not in shown.text


def test_27_an_upload_through_a_link_in_the_workspace_is_refused(tmp_path):
    table = tmp_path / "table.csv"
    table.write_text("x")
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o777)
    observations = with_toolbox(
        tmp_path,
        [table],
        command(f"ln -s {outside} folder; ln -s {outside}/new name; mkfifo fifo"),
        upload(table, "folder/table.csv"),
        upload(table, "name"),
        upload(table, "fifo"),
        upload(table, "/etc/table.csv"),
    )
    assert [seen.is_error for seen in observations] == [False, True, True, True, True]
    assert list(outside.iterdir()) == []


def test_a_file_made_inside_is_saved_for_the_person(tmp_path):
    made, saved, again = with_toolbox(
        tmp_path, [], command("echo 42 >answer.txt"), download("/workspace/answer.txt", "answer.txt"),
        download("answer.txt", "answer.txt"),
    )  # fmt: skip
    assert not made.is_error
    assert saved.title == "Saved answer.txt" and (tmp_path / "downloads" / "answer.txt").read_text() == "42\n"
    assert again.is_error and "already a file" in again.text


def test_python_shows_printed_text_the_last_value_and_a_short_traceback(tmp_path):
    def python(code):
        return ("run_python_code", {"code_block": code, "sandbox_id": "made-up"})

    good, bad, wrong, silent = with_toolbox(
        tmp_path, [], python("print(6 * 7)\n'end'"), python("def f():\n    return 1 / 0\nf()"), python("for"),
        python("x = 1"),
    )  # fmt: skip
    assert "42\n'end'" in good.text and "There was no sandbox yet" in good.text
    assert "There is no sandbox made-up" in bad.text
    assert 'File "code_block", line 2, in f' in bad.text and "exec(" not in bad.text
    assert bad.best == "ZeroDivisionError: division by zero"
    assert "SyntaxError" in wrong.text and "exit code 1" in wrong.text
    assert "printed nothing" in silent.text
