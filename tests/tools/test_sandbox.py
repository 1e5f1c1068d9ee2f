"""The sandbox of a run: what lasts from call to call, what is lost and said, its id, its time, its files."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import msgspec
import pytest
from sandbox_box import held

from fathom.core.errors import ToolError
from fathom.tools.sandbox import packages
from fathom.tools.sandbox.holder import SandboxHolder
from fathom.tools.sandbox.inside.interpreter import execute
from fathom.tools.sandbox.landlock import launch as landlock_launch
from fathom.tools.sandbox.probe import PREFIX, SandboxState, trial_workspace
from fathom.tools.sandbox.session import SandboxSession, once
from fathom.tools.sandbox.settings import Limits, workspace_parts


@pytest.fixture
def box(tmp_path):
    """A sandbox that is there."""
    with held(tmp_path / "session") as made:
        made.wait(made.holder.create())
        yield made


def test_variables_imports_and_files_last_from_call_to_call(box):
    assert box.py("import math\nx = 41\nopen('note', 'w').write('kept')").output == "4\n"
    assert box.sh("cat note; pwd").output == "kept/workspace\n"
    assert box.py("math.floor(x + 1.5)").output == "42\n"


def test_a_definition_is_traced_to_the_block_that_it_stood_in(box):
    box.py("def f():\n    return 1 / 0")
    failed = box.py("x = 1\nf()")
    assert failed.exit_code == 1
    assert 'File "code_block_2", line 2' in failed.output and "    return 1 / 0" in failed.output
    assert 'File "code_block", line 2, in f' in failed.output


def test_an_error_keeps_the_variables(box):
    box.py("x = 1")
    assert box.py("1 / 0").exit_code == 1
    assert box.py("x").output == "1\n"


def test_leaving_by_exit_keeps_the_variables_and_gives_the_code(box):
    box.py("x = 1\nimport sys")
    assert box.py("sys.exit(3)").exit_code == 3
    assert box.py("sys.exit('no')").output == "no\n"
    assert box.py("x").output == "1\n"


def test_after_a_time_out_the_result_says_that_the_variables_are_lost(tmp_path):
    with held(tmp_path / "session", command_s=1) as box:
        box.wait(box.holder.create())
        box.sh("echo kept >file")
        box.py("x = 1")
        stopped = box.py("print('begun')\nwhile True: pass")
        assert stopped.timed_out and stopped.output == "begun\n"
        (note,) = stopped.notes
        assert "variables and imports are lost" in note and "Files in /workspace are kept" in note
        assert "NameError" in box.py("x").output
        assert box.sh("cat file").output == "kept\n"


def test_a_time_out_of_a_command_leaves_the_variables(tmp_path):
    with held(tmp_path / "session", command_s=1) as box:
        box.wait(box.holder.create())
        box.py("x = 1")
        stopped = box.sh("sleep 30")
        assert stopped.timed_out and stopped.notes == ()
        assert box.py("x").output == "1\n"


def test_an_interpreter_that_dies_says_so_and_is_replaced(box):
    box.py("x = 1")
    died = box.py("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    assert died.exit_code == -signal.SIGSEGV and "variables and imports are lost" in died.notes[0]
    assert "NameError" in box.py("x").output


def test_a_child_that_the_code_forked_ends_with_the_code(box):
    result = box.py("import os\npid = os.fork()\nif pid: os.wait()\nprint('child' if pid == 0 else 'parent')")
    assert result.output == "child\nparent\n"
    assert box.py("1 + 1").output == "2\n"


def test_code_that_closes_or_floods_its_pipes_harms_itself_only(box):
    box.py("import os\nos.closerange(3, 50)")
    assert box.py("6 * 7").output == "42\n"
    box.py("import os\nos.write(4, b'nonsense that nobody asked for')")
    assert box.sh("echo fine").output == "fine\n"


def test_standard_input_is_empty(box):
    assert "EOFError" in box.py("input()").output


def test_exit_code_and_input_are_passed_through(box):
    result = box.wait(box.holder.run(["/bin/sh", "-c", "cat; exit 3"], stdin="hello"))
    assert (result.output, result.exit_code) == ("hello", 3)


def test_a_command_that_does_not_read_a_large_input_still_ends(box):
    result = box.wait(box.holder.run(["/bin/true"], stdin="x" * 900_000))
    assert result.exit_code == 0


def test_a_large_input_arrives_whole(box):
    assert box.wait(box.holder.run(["/usr/bin/wc", "-c"], stdin="x" * 900_000)).output == "900000\n"


def test_a_program_that_is_not_there_is_told(box):
    result = box.wait(box.holder.run(["/no/such/program"]))
    assert result.exit_code == 127 and "/no/such/program could not be started" in result.output


def test_what_runs_longer_than_a_second_gives_way_to_others(box):
    assert box.sh("nice; while [ $(nice) = 0 ]; do sleep 0.2; done; nice").output.split()[-1] == "10"


def test_processor_time_is_limited_over_all_threads(tmp_path):
    async def main():
        limits = Limits()
        launch = landlock_launch(trial_workspace, limits)
        launch.settings["cpu_s"] = 1
        session = await SandboxSession.start(launch)
        try:
            return await session.python("while True: pass"), await session.run(["/bin/sh", "-c", "while :; do :; done"])
        finally:
            await session.close()

    python, command = asyncio.run(main())
    assert "[stopped: it used up its processor time]" in python.output and not python.timed_out
    assert command.exit_code in (-signal.SIGXCPU, -signal.SIGKILL) and not command.timed_out


# --- the id, the time, the end --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("given", "said"), [("", "No sandbox_id was given"), ("abc", "There is no sandbox 'abc'")])
def test_a_missing_or_invented_id_gets_the_one_that_there_is_and_says_so(box, given, said):
    _, remark = box.wait(box.holder.find(given))
    assert said in remark and box.holder.id in remark
    assert box.wait(box.holder.find(box.holder.id))[1] == ""


def test_the_id_stays_when_the_sandbox_has_to_be_replaced(box):
    name = box.holder.id
    session, _ = box.wait(box.holder.find(name))
    box.sh("echo x >file")
    os.kill(session.pid, signal.SIGKILL)
    lost = box.sh("echo never")
    assert lost.exit_code is None or lost.output == ""
    again = box.sh("ls | wc -l")
    assert again.output == "0\n" and box.holder.id == name
    assert box.wait(box.holder.find(name))[1] == ""


def test_a_sandbox_that_breaks_down_in_a_call_says_that_its_files_are_lost(box):
    async def broken():
        session, _ = await box.holder.find("")
        task = asyncio.create_task(box.holder.run(["/bin/sh", "-c", "echo begun; sleep 300"]))
        await asyncio.sleep(0.2)
        os.kill(session.pid, signal.SIGKILL)
        return await task

    result = box.wait(broken())
    assert result.exit_code is None and "broke down" in result.notes[0]
    assert box.sh("echo alive").output == "alive\n"


def test_used_up_running_time_is_told_and_can_be_renewed(box):
    box.wait(box.holder.create(1))
    first = box.sh("sleep 30")
    assert first.timed_out
    with pytest.raises(ToolError, match="running time"):
        box.sh("true")
    box.wait(box.holder.create(60))
    assert box.sh("true").exit_code == 0


@pytest.mark.parametrize(("asked", "granted"), [(60, 60), (600, 600), (100_000, 600), (0, 1)])
def test_one_command_runs_600_seconds_at_most(tmp_path, asked, granted):
    holder = SandboxHolder(SandboxState(available=False), tmp_path, command_s=asked)
    assert holder.command_s == granted


def test_leftovers_of_a_killed_app_are_removed_when_the_session_is_opened_again(tmp_path):
    folder = trial_workspace().parent
    (folder / "workspace" / "deep").mkdir()
    assert folder.name.startswith(PREFIX)
    (tmp_path / "sandbox").symlink_to(folder)
    asyncio.run(SandboxHolder.open(tmp_path))
    assert not folder.exists() and not (tmp_path / "sandbox").is_symlink()


def test_a_mark_that_points_elsewhere_removes_nothing_else(tmp_path):
    (tmp_path / "precious").mkdir()
    (tmp_path / "sandbox").symlink_to(tmp_path / "precious")
    asyncio.run(SandboxHolder.open(tmp_path))
    assert (tmp_path / "precious").is_dir()


# --- files ----------------------------------------------------------------------------------------------------------


def test_a_file_goes_in_and_comes_out_unchanged(box):
    data = bytes(range(256)) * 2000

    async def there_and_back():
        session, _ = await box.holder.find("")
        size = await session.write_file("/workspace/in/data.bin", once(data))
        pieces: list[bytes] = []
        await session.read_file("in/data.bin", pieces.append)
        return size, b"".join(pieces)

    assert box.wait(there_and_back()) == (len(data), data)
    assert box.sh("stat -c %a in/data.bin").output == "600\n"


def test_a_file_that_is_there_is_not_written_over(box):
    box.sh("echo old >name")

    async def write():
        session, _ = await box.holder.find("")
        await session.write_file("name", once(b"new"))

    with pytest.raises(ToolError, match="already a file name in the sandbox"):
        box.wait(write())
    assert box.sh("cat name").output == "old\n"


def test_what_does_not_fit_is_told_and_leaves_no_half_file(tmp_path):
    async def main():
        session = await SandboxSession.start(landlock_launch(trial_workspace, Limits(file_bytes=100_000)))
        try:
            with pytest.raises(ToolError, match="could not be written"):
                await session.write_file("big", once(bytes(300_000)))
            return await session.run(["/bin/sh", "-c", "ls | wc -l"])
        finally:
            await session.close()

    assert asyncio.run(main()).output == "0\n"


def test_an_error_on_this_side_while_a_file_comes_out_passes_through(box):
    box.sh("head -c 500000 /dev/zero >data")

    def full(_chunk):
        raise OSError(28, "No space left on device")

    async def read():
        session, _ = await box.holder.find("")
        await session.read_file("data", full)

    with pytest.raises(OSError, match="No space"):
        box.wait(read())
    assert box.sh("stat -c %s data").output == "500000\n"  # the sandbox is the same one


def test_an_error_on_this_side_while_a_file_goes_in_passes_through_and_leaves_no_half_file(box):
    async def broken():
        yield b"x" * 200_000
        raise OSError(5, "Input/output error")

    async def write():
        session, _ = await box.holder.find("")
        await session.write_file("folder/half", broken())

    with pytest.raises(OSError, match="Input/output"):
        box.wait(write())
    assert box.sh("ls folder | wc -l").output == "0\n"


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "../x", "/workspace/../etc/passwd", "/workspace", "", "a/../../b", "a\0b"]
)
def test_paths_outside_of_the_workspace_are_refused(path):
    with pytest.raises(ToolError):
        workspace_parts(path)


# --- packages -------------------------------------------------------------------------------------------------------


def _inner_version() -> str:
    done = os.popen("/usr/bin/python3 -I -c 'import sys; print(\"%d.%d\" % sys.version_info[:2])'")
    with done:
        return done.read().strip()


def test_packages_are_taken_when_they_were_made_for_the_python_inside(tmp_path):
    assert packages.folder("/usr/bin/python3", tmp_path) is None
    for version, found in ((_inner_version(), tmp_path), ("2.7", None)):
        manifest = packages.Manifest(version, ("numpy==2.4.6", "pandas==3.1.1"))
        (tmp_path / packages.MANIFEST).write_bytes(msgspec.json.encode(manifest))
        assert packages.folder("/usr/bin/python3", tmp_path) == found
    assert packages.names(tmp_path) == ("numpy 2.4.6", "pandas 3.1.1")
    (tmp_path / packages.MANIFEST).write_text("{broken")
    assert packages.folder("/usr/bin/python3", tmp_path) is None and packages.names(tmp_path) == ()


@pytest.mark.skipif(
    packages.folder("/usr/bin/python3") is None,
    reason="numpy and pandas were not installed for the sandbox (make setup)",
)
def test_numpy_and_pandas_compute_inside(box):
    result = box.py("import numpy as np, pandas as pd\nprint(pd.Series(np.arange(5)).sum(), np.linalg.det(np.eye(3)))")
    assert result.output == "10 1.0\n"
    assert [name.split()[0] for name in box.holder.packages] == ["numpy", "pandas"]
    assert box.sh("ls /opt/python | grep -c fathom-packages; touch /opt/python/x").output.startswith("1\n")
    assert not Path(packages.place(), "x").exists()


def test_a_block_shows_its_last_value_and_no_more(capsys):
    names: dict[str, object] = {}
    assert execute("x = 5\nx * 2", "block", names) == 0
    assert execute("y = x", "block", names) == 0
    assert execute("None", "block", names) == 0
    assert capsys.readouterr().out == "10\n"
    assert execute("for", "block", names) == 1
    assert "SyntaxError" in capsys.readouterr().err
