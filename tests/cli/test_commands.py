"""The headless commands, as processes of their own: words, exit statuses, stdout and stderr."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

QUESTION = "What government position was held by the woman who portrayed Corliss Archer in the film Kiss and Tell?"


def fathom(*words: str, home: Path, timeout_s: float = 240) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "fathom", *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout_s,
        env=os.environ | {"FATHOM_HOME": str(home)},
    )


def test_without_a_display_the_window_says_what_to_do_instead(fathom_home: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")}
    done = subprocess.run(
        [sys.executable, "-m", "fathom"], capture_output=True, text=True, check=False, env=environment, timeout=60
    )
    assert done.returncode == 2
    assert "fathom ask" in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("ask",),
        ("ask", "  "),
        ("ask", "q", "--max-calls", "0"),
        ("ask", "q", "--model", "/no/such.gguf"),
        ("nonsense",),
    ],
)
def test_wrong_words_exit_with_2(words: tuple[str, ...], fathom_home: Path) -> None:
    assert fathom(*words, home=fathom_home).returncode == 2


def test_ask_refuses_a_library_that_is_not_there(fathom_home: Path, tmp_path: Path) -> None:
    done = fathom("ask", "q", "--library", str(tmp_path / "nothing"), home=fathom_home)
    assert done.returncode == 2
    assert "nothing" in done.stderr


def test_library_add_search_and_list(fathom_home: Path, tmp_path: Path) -> None:
    folder = tmp_path / "papers"
    folder.mkdir()
    (folder / "whales.md").write_text("# Whales\n\nThe blue whale is the largest animal known to have lived.\n")
    added = fathom("library", "add", str(folder), "--json", home=fathom_home)
    assert added.returncode == 0, added.stderr
    assert json.loads(added.stdout)["documents"] == 1
    found = fathom("library", "search", "largest animal", "--json", home=fathom_home)
    rows = json.loads(found.stdout)
    assert rows[0]["title"] == "Whales"
    assert "blue whale" in rows[0]["snippet"]
    listed = json.loads(fathom("library", "list", "--json", home=fathom_home).stdout)
    assert {row["documents"] for row in listed} >= {1}


def test_library_is_widened_by_folders_duplicates_and_preferences(fathom_home: Path, tmp_path: Path) -> None:
    folder = tmp_path / "papers"
    (folder / "old").mkdir(parents=True)
    (folder / "whales.md").write_text("# Whales\n\nThe blue whale is the largest animal.\n")
    (folder / "old" / "copy.md").write_text("# Whales\n\nThe blue whale is the largest animal.\n")
    (folder / "broken.pdf").write_bytes(b"%PDF-1.4 no")
    (tmp_path / "single.txt").write_text("A whale of a time.")
    added = fathom("library", "add", str(folder), str(tmp_path / "single.txt"), "--json", home=fathom_home)
    rows = {row["name"]: row for row in json.loads(added.stdout)}
    assert (rows["papers"]["documents"], rows["files"]["documents"]) == (2, 1)
    assert rows["papers"]["failed"][0]["do"].endswith("save it again.")
    found = json.loads(fathom("library", "search", "whale", "--in", "papers/old", "--json", home=fathom_home).stdout)
    assert [row["path"] for row in found] == [str(folder / "old" / "copy.md")]
    assert found[0]["also"] == [str(folder / "whales.md")]
    assert fathom("library", "prefer", "papers", "blocked", home=fathom_home).returncode == 0
    assert fathom("library", "search", "largest blue", "--in", "papers", home=fathom_home).returncode == 1
    listed = json.loads(fathom("library", "list", "--json", home=fathom_home).stdout)
    papers = next(row for row in listed if row["name"] == "papers")
    assert papers["preference"] == "blocked"
    assert papers["duplicates"][0]["paths"] == [str(folder / "old" / "copy.md"), str(folder / "whales.md")]
    (folder / "seals.txt").write_text("Seals swim.")
    refreshed = json.loads(fathom("library", "refresh", "papers", "--json", home=fathom_home).stdout)
    assert refreshed[0]["documents"] == 3
    removed = fathom("library", "remove", "papers", "--json", home=fathom_home)
    assert json.loads(removed.stdout) == {"name": "papers", "removed": True}
    gone = fathom("library", "remove", "papers", home=fathom_home)
    assert gone.returncode == 1
    assert "fathom library list" in gone.stderr
    assert (folder / "whales.md").exists()


def test_truncated_model_ends_with_4_and_a_plain_error(fathom_home: Path, tmp_path: Path, embedded_model: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(embedded_model.read_bytes()[:5_000_000])
    done = fathom("ask", "q", "--model", str(broken), home=fathom_home)
    assert done.returncode == 4
    assert "broken.gguf" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.engine
def test_ask_searches_reads_and_ends_with_a_report(fathom_home: Path, tmp_path: Path, embedded_model: Path) -> None:
    done = fathom("ask", QUESTION, "--events", "--out", str(tmp_path / "report.md"), home=fathom_home)
    events = [json.loads(line) for line in done.stdout.splitlines()]
    names = [event["name"] for event in events if event["type"] == "CallStarted"]
    assert done.returncode in (0, 3), done.stderr
    assert "google_search" in names
    assert "scrape_and_extract_info" in names
    assert events[-1]["type"] == "RunFinished"
    assert "answer" in events[-1]
    observations = [event["observation"] for event in events if event["type"] == "ObservationReady"]
    assert not [o for o in observations if "not valid" in o["text"]]
    assert (tmp_path / "report.md").read_text().startswith("# ")
    listed = json.loads(fathom("sessions", "Corliss Archer", "--json", home=fathom_home).stdout)
    mine = [session for session in listed if not session.get("sample")]
    exported = fathom("export", mine[0]["id"], "--format", "markdown", home=fathom_home)
    assert exported.stdout == (tmp_path / "report.md").read_text()


@pytest.mark.engine
def test_interrupt_stops_with_130_and_keeps_the_session(fathom_home: Path, embedded_model: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "fathom", "ask", QUESTION, "--events"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"FATHOM_HOME": str(fathom_home)},
    )
    assert process.stdout is not None
    for line in process.stdout:
        if json.loads(line)["type"] == "CallStarted":
            process.send_signal(signal.SIGINT)
            break
    rest, errors = process.communicate(timeout=30)
    assert process.returncode == 130, errors
    assert json.loads(rest.splitlines()[-1])["type"] == "RunStopped"
    listed = json.loads(fathom("sessions", "--json", home=fathom_home).stdout)
    assert [s["state"] for s in listed if not s.get("sample")] == ["stopped"]


@pytest.mark.engine
def test_doctor_tells_the_state_of_every_part(fathom_home: Path, embedded_model: Path) -> None:
    done = fathom("doctor", "--json", home=fathom_home)
    checks = json.loads(done.stdout)["checks"]
    assert set(checks) == {"python", "disk", "database", "model", "engine", "sandbox", "display"}
    assert checks["engine"]["state"] == "ok"
    assert "tokens/s" in checks["engine"]["summary"]
    assert checks["database"]["state"] == "ok"
    for check in checks.values():
        assert check["state"] == "ok" or check["remedy"]
