"""Rows 24 to 28: files between the sandbox and the person's folders."""

from __future__ import annotations

import asyncio
import os
import stat
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from fathom.core.errors import ToolError
from fathom.core.protocols import Document, Hit
from fathom.core.types import Scope, Task, ToolCall
from fathom.tools import open_toolbox
from fathom.tools.files import new_download
from fathom.tools.sandbox.inside.files import Refused, create_beneath, open_beneath, open_regular
from fathom.tools.sandbox.settings import workspace_parts
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


CASES = [
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
]


@pytest.mark.parametrize("parts", CASES, ids="/".join)
def test_24_only_regular_files_inside_the_workspace_come_out(workspace, parts):
    with pytest.raises((Refused, OSError)):
        os.close(open_regular(str(workspace), list(parts)))
    if ".." in parts:  # and such paths do not get there at all
        with pytest.raises(ToolError):
            workspace_parts("/".join(parts))


def test_24_the_attacks_reach_the_secret_where_nothing_is_checked(workspace):
    for name in ("link", "relative", "linked_folder/secret.txt", "../secret.txt", "hard"):
        assert (workspace / name).read_text() == CANARY


@pytest.mark.parametrize("parts", CASES, ids="/".join)
def test_24_the_same_holds_for_what_hostile_code_made_inside(twelve_cases, parts):
    read_file = twelve_cases.session.read_file
    with pytest.raises(ToolError):
        twelve_cases.wait(read_file("/".join(parts), lambda _: pytest.fail("something came out")))


@pytest.fixture
def twelve_cases(box):
    """A sandbox whose workspace is made as ``workspace`` is."""
    made = box.sh(
        "mkdir folder; echo a,b >good.csv; ln -s /etc/passwd link; ln -s ../etc/passwd relative; "
        "ln -s /etc linked_folder; ln -s loop loop; echo x >first; ln first hard; mkfifo fifo; "
        "ln -s /etc/passwd folder/secret.txt"
    )
    assert made.exit_code == 0
    return box


def test_24_a_regular_file_comes_out_whole(box):
    box.sh("mkdir -p folder; head -c 300000 /dev/zero | tr '\\0' y >folder/inner")
    pieces: list[bytes] = []
    assert box.wait(box.session.read_file("/workspace/folder/inner", pieces.append)) == 300_000
    assert b"".join(pieces) == b"y" * 300_000


def test_24_a_file_of_256_mib_and_more_does_not_come_out(workspace):
    with (workspace / "large").open("wb") as file:
        file.truncate(256 * 2**20 + 1)
    with pytest.raises(Refused, match="larger than 256 MiB"):
        open_regular(str(workspace), ["large"])


def test_25_a_folder_that_becomes_a_link_while_it_is_opened_leads_nowhere(workspace, tmp_path):
    """A renaming thread against two openers: the careless one leaks the canary, the one that is used does not."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "inner.csv").write_text(CANARY)
    stop = threading.Event()

    def swap():
        real, link, place = workspace / "real", workspace / "swapped", workspace / "folder"
        link.symlink_to(tmp_path / "outside")
        while not stop.is_set():
            place.rename(real)
            link.rename(place)
            place.rename(link)
            real.rename(place)

    racer = threading.Thread(target=swap)
    racer.start()
    opened = leaked = careless = 0
    folder = os.open(workspace, os.O_RDONLY | os.O_DIRECTORY)
    started = time.monotonic()
    try:
        while time.monotonic() < started + 3 or not (opened > 10 and careless):
            assert time.monotonic() < started + 60, "the race never came about"
            with suppress(OSError):
                careless += CANARY in (workspace / "folder" / "inner.csv").read_text()
            with suppress(OSError):
                descriptor = open_beneath(folder, ["folder", "inner.csv"])
                opened += 1
                leaked += CANARY.encode() in os.read(descriptor, 99)
                os.close(descriptor)
    finally:
        stop.set()
        racer.join()
        os.close(folder)
    assert leaked == 0


def test_25_the_race_is_lost_by_hostile_code_inside_too(make_box):
    """Without a namespace the supervisor stands outside, so the rules alone decide."""
    box = make_box("landlock")
    made = box.sh("mkdir real; echo fine >real/passwd; ln -s /etc link; ln -s /etc/passwd direct")
    assert made.exit_code == 0
    for path in ("link/passwd", "direct"):
        with pytest.raises(ToolError):
            box.wait(box.session.read_file(path, lambda _: pytest.fail("something came out")))
    pieces: list[bytes] = []
    box.wait(box.session.read_file("real/passwd", pieces.append))
    assert pieces == [b"fine\n"]


@pytest.mark.parametrize(
    "name", ["../x", "/etc/x", "a/b", ".bashrc", "..", "", " ", "x\n", "a\0b", "-rf", "~x", "C:\\x", "x" * 300]
)
def test_26_only_plain_names_are_taken(tmp_path, name):
    with pytest.raises(ToolError, match="no plain file name"), new_download(tmp_path / "downloads", name):
        pass
    assert not list(tmp_path.rglob("*"))


def test_26_nothing_is_overwritten(tmp_path):
    downloads = tmp_path / "downloads"
    downloads.mkdir()
    (downloads / "mine.csv").write_text("old")
    (downloads / "link.csv").symlink_to(tmp_path / "elsewhere")
    for name in ("mine.csv", "link.csv"):
        with pytest.raises(ToolError, match="already a file"), new_download(downloads, name):
            pass
    assert (downloads / "mine.csv").read_text() == "old" and not (tmp_path / "elsewhere").exists()


def test_26_a_new_file_has_mode_0600_and_a_failed_one_is_taken_away(tmp_path):
    with new_download(tmp_path / "downloads", "out.csv") as (descriptor, target):
        os.write(descriptor, b"c,d\n")
    assert target.read_text() == "c,d\n" and stat.S_IMODE(target.stat().st_mode) == 0o600
    with pytest.raises(ToolError, match="broke"), new_download(tmp_path / "downloads", "half.csv"):
        raise ToolError("it broke")
    assert [path.name for path in (tmp_path / "downloads").iterdir()] == ["out.csv"]


def test_26_an_upload_inside_overwrites_nothing_either(workspace):
    for parts in (["good.csv"], ["link"], ["fifo"], ["linked_folder", "x"], ["link", "x"]):
        with pytest.raises(OSError):
            create_beneath(str(workspace), parts)
    os.close(create_beneath(str(workspace), ["new", "folder", "x"]))
    assert stat.S_IMODE((workspace / "new" / "folder" / "x").stat().st_mode) == 0o600


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
        command("cat data/in/table.csv second.csv; touch data/in/mine; find /workspace -type f; cat " + str(secret)),
    )
    assert refused.is_error and "was not attached by the user" in refused.text
    assert not by_path.is_error and not by_name.is_error
    assert "\na,b\n1,2\na,b\n1,2\n" in shown.text
    assert "/workspace/data/in/mine" in shown.text and "/workspace/key" not in shown.text
    assert CANARY not in shown.text


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


def test_27_an_attached_fifo_is_not_waited_for(
    tmp_path,
):
    os.mkfifo(tmp_path / "pipe")
    (refused,) = with_toolbox(tmp_path, [tmp_path / "pipe"], upload("pipe", "x"))
    assert refused.is_error and "not a regular file" in refused.text


SLIP = """
import io, os, tarfile, zipfile
names = ["../../outside", "/tmp/outside", "/home/outside", "folder/../../../outside"]
with zipfile.ZipFile("slip.zip", "w") as z:
    for name in names: z.writestr(name, "slipped")
with tarfile.open("slip.tar", "w") as t:
    for name in names:
        info = tarfile.TarInfo(name); info.size = 7; t.addfile(info, io.BytesIO(b"slipped"))
    link = tarfile.TarInfo("out"); link.type = tarfile.SYMTYPE; link.linkname = "/"; t.addfile(link)
    info = tarfile.TarInfo("out/home/outside"); info.size = 7; t.addfile(info, io.BytesIO(b"slipped"))
os.makedirs("a/b", exist_ok=True); os.chdir("a/b")
"""


@pytest.mark.parametrize("name", ["bubblewrap", "landlock"])
def test_28_archives_that_point_out_of_their_folder_write_nothing_outside_of_the_sandbox(make_box, name):
    """An archive is only ever unpacked inside; by the most careless extractor nothing gets out."""
    outside = [Path("/home/outside"), Path("/outside"), Path("/tmp/outside")]
    assert not any(path.exists() for path in outside)
    box = make_box(name)
    made = box.py(SLIP)
    assert made.exit_code == 0, made.output
    result = box.py(
        "for member in names:\n"
        "    target = os.path.join('.', member) if not member.startswith('/') else member\n"
        "    try:\n"
        "        os.makedirs(os.path.dirname(target), exist_ok=True); open(target, 'w').write('slipped')\n"
        "    except OSError as error: print(type(error).__name__)\n"
        "top = os.environ['HOME']\n"
        "with tarfile.open(top + '/slip.tar') as t:\n"
        "    for member in t:\n"
        "        try: t.extract(member)\n"
        "        except Exception as error: print(type(error).__name__)\n"
        "zipfile.ZipFile(top + '/slip.zip').extractall()\n"
        "print(os.path.exists(top + '/outside'))\n"
    )
    assert result.output.endswith("True\n")  # the attack works as far as the workspace goes
    assert not any(path.exists() for path in outside)


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
    assert "There is no sandbox 'made-up'" in bad.text
    assert 'File "code_block_2", line 2, in f' in bad.text and "exec(" not in bad.text
    assert bad.best == "ZeroDivisionError: division by zero"
    assert "SyntaxError" in wrong.text and "exit code 1" in wrong.text
    assert "printed nothing" in silent.text
