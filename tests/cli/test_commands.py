"""The headless commands, as processes of their own: words, exit statuses, stdout and stderr."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from hub_server import Hub, HubFile

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
    report = json.loads(done.stdout)
    checks = report["checks"]
    assert report["machine"]["ram_bytes"] > 0 and report["backends"]["llamacpp"] is True
    assert any(model["fits"] for model in report["models"])
    assert all("summary" in offer for offer in report["available"])
    expected = {"python", "memory", "disk", "database", "model", "engine", "mlx", "server", "sandbox", "display"}
    assert set(checks) == expected
    assert checks["engine"]["state"] == "ok"
    assert "tokens/s" in checks["engine"]["summary"]
    assert checks["database"]["state"] == "ok"
    if importlib.util.find_spec("mlx_lm") is not None:
        assert checks["mlx"]["state"] == "ok", checks["mlx"]
        assert "GFLOPS" in checks["mlx"]["summary"]
    for check in checks.values():
        assert check["state"] == "ok" or check["remedy"]


def test_models_are_listed_with_what_fits(fathom_home: Path) -> None:
    done = fathom("models", "list", "--json", home=fathom_home)
    assert done.returncode == 0, done.stderr
    listed = json.loads(done.stdout)
    assert listed["machine"]["ram_bytes"] > 0
    small = next(model for model in listed["models"] if model["id"] == "smollm2-135m")
    assert small["chosen"] and not small["deletable"]
    assert all({"fits", "fit_words", "licence", "sha256"} <= offer.keys() for offer in listed["available"])
    plain = fathom("models", "list", home=fathom_home)
    assert "SmolLM2 135M" in plain.stdout and "qwen3-8b" in plain.stdout


def test_models_add_use_and_remove(fathom_home: Path, tmp_path: Path) -> None:
    (tmp_path / "junk.gguf").write_bytes(b"<html>")
    refused = fathom("models", "add", str(tmp_path / "junk.gguf"), home=fathom_home)
    assert refused.returncode == 1 and "Needs:" in refused.stderr and "Do:" in refused.stderr
    unknown = fathom("models", "use", "nothing", home=fathom_home)
    assert unknown.returncode == 1 and "smollm2-135m" in unknown.stderr
    used = fathom("models", "use", "smollm2-135m", home=fathom_home)
    assert (used.returncode, used.stdout) == (0, "SmolLM2 135M\n")
    no_such = fathom("models", "download", "nothing", home=fathom_home)
    assert no_such.returncode == 1 and "qwen3-8b" in no_such.stderr


def test_models_download_takes_it_from_the_hub_that_is_named(
    fathom_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {"MiroThinker-v1.5-30B.Q4_K_M.gguf": HubFile(b"GGUF" + bytes(1000))}
    with Hub(files={"mradermacher/MiroThinker-v1.5-30B-GGUF": files}) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        done = fathom("models", "download", "mirothinker-1.5-30b", "--json", home=fathom_home)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["state"] == "done"
        assert hub.endpoint.removeprefix("http://") in done.stderr  # the host is shown
        failed = fathom("models", "download", "qwen3-8b", home=fathom_home)
        assert failed.returncode == 1 and "404" in failed.stderr and "Do:" in failed.stderr
    kept = fathom_home / "models" / "MiroThinker-v1.5-30B.Q4_K_M.gguf"
    assert kept.read_bytes() == b"GGUF" + bytes(1000)
    removed = fathom("models", "remove", str(kept), home=fathom_home)
    assert removed.returncode == 0 and not kept.exists()


def test_an_interrupted_download_is_paused_and_taken_up_again(
    fathom_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = HubFile(b"GGUF" + bytes(2_000_000), hold=threading.Event(), cut_after=1_500_000)
    with Hub(files={"mradermacher/MiroThinker-v1.5-30B-GGUF": {"MiroThinker-v1.5-30B.Q4_K_M.gguf": file}}) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        words = [sys.executable, "-m", "fathom", "models", "download", "mirothinker-1.5-30b"]
        process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        part = fathom_home / "models" / "MiroThinker-v1.5-30B.Q4_K_M.gguf.part"
        end = time.monotonic() + 120
        while not part.exists() or part.stat().st_size < 1_000_000:  # what is sent is not at once on the disk
            assert time.monotonic() < end
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=120)
        assert process.returncode == 130 and "resumes" in told
        assert not (fathom_home / "models" / "MiroThinker-v1.5-30B.Q4_K_M.gguf").exists()
        assert file.hold is not None
        file.hold.set()
        file.hold = None
        done = fathom("models", "download", "mirothinker-1.5-30b", home=fathom_home)
        assert done.returncode == 0, done.stderr
        assert hub.ranges()[-1].startswith("bytes=")
