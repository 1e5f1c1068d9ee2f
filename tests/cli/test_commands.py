"""The headless commands, as processes of their own: words, exit statuses, stdout and stderr."""

from __future__ import annotations

import importlib.util
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
        ("ask", "q", "--model", "/usr", "--backend", "llamacpp"),
        ("ask", "q", "--backend", "nonsense"),
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


@pytest.mark.mlx
@pytest.mark.engine
def test_the_same_question_runs_on_mlx(fathom_home: Path, embedded_model: Path) -> None:
    words = ("ask", QUESTION, "--events", "--max-calls", "1", "--backend", "mlx")
    done = fathom(*words, home=fathom_home, timeout_s=600)
    assert done.returncode in (0, 3), done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    calls = [event for event in events if event["type"] == "CallStarted"]
    assert [call["name"] for call in calls] == ["google_search"]
    assert not [e for e in events if e["type"] == "ObservationReady" and "not valid" in e["observation"]["text"]]
    assert events[-1]["type"] == "RunFinished"
    assert len(list((fathom_home / "cache" / "mlx").iterdir())) == 1


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
    assert set(checks) == {"python", "disk", "database", "model", "engine", "mlx", "sandbox", "display"}
    assert checks["engine"]["state"] == "ok"
    assert "tokens/s" in checks["engine"]["summary"]
    assert checks["database"]["state"] == "ok"
    if importlib.util.find_spec("mlx_lm") is not None:
        assert checks["mlx"]["state"] == "ok", checks["mlx"]
        assert "GFLOPS" in checks["mlx"]["summary"]
    for check in checks.values():
        assert check["state"] == "ok" or check["remedy"]
