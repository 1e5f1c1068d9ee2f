"""Rows 5 and 6: a key is in the keyring and in the request to its own service, and in no other place."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import keyring.backends.chainer
import keyring.backends.fail
import keyring.backends.null
import pytest
from encrypted_keyring import ENCRYPTED, Plaintext, Vault
from session_bench import SessionBench, call

from fathom.core.errors import UserError
from fathom.core.redaction import RedactingFormatter, redact, redacted, remember
from fathom.core.settings import SearchSettings, Settings
from fathom.core.types import Observation, Passage, Scope
from fathom.services.keys import Keys
from fathom.services.search_service import SearchService
from fathom.tools.search.duckduckgo import DuckDuckGo

CANARY = "canary/key+7f3a9c1d27b64e"


# --- row 6: where keys are kept -----------------------------------------------------------------------------------


def refused():
    return [keyring.backends.fail.Keyring(), keyring.backends.null.Keyring(), Plaintext()]


@pytest.mark.parametrize("backend", refused(), ids=lambda backend: type(backend).__module__)
def test_06_a_backend_that_does_not_encrypt_is_refused_and_the_key_lasts_for_this_run_only(backend):
    keys = Keys(backend)
    state = keys.set("serper", CANARY)
    assert not state.lasting and state.reason
    assert keys.get("serper") == CANARY
    assert getattr(backend, "kept", {}) == {}
    assert Keys(backend).get("serper") == ""


def test_06_a_plaintext_backend_is_named():
    assert "plaintext, is not known to encrypt" in Keys(Plaintext()).state().reason


def test_06_of_several_backends_the_encrypted_one_is_used():
    class Several:
        backends = (Plaintext(), Vault())

    plain, vault = Several.backends
    keys = Keys(Several(), ENCRYPTED)
    assert keys.set("serper", CANARY).lasting
    assert vault.kept == {("fathom", "serper"): CANARY} and plain.kept == {}


def test_06_an_encrypted_backend_keeps_the_key_under_fathoms_name():
    vault = Vault()
    state = Keys(vault, ENCRYPTED).set("serper", f"  {CANARY}\n")
    assert state.lasting and state.name == "Vault of the tests"
    assert vault.kept == {("fathom", "serper"): CANARY}
    assert Keys(vault, ENCRYPTED).get("serper") == CANARY


def test_a_removed_key_is_gone_from_the_keyring_too():
    vault = Vault()
    keys = Keys(vault, ENCRYPTED)
    keys.set("serper", CANARY)
    assert keys.remove("serper") is True and vault.kept == {}
    assert keys.get("serper") == "" and keys.remove("serper") is False


def test_a_locked_keyring_means_no_key_and_is_told_when_one_is_set():
    vault = Vault()
    vault.locked = True
    keys = Keys(vault, ENCRYPTED)
    assert keys.get("serper") == ""
    state = keys.set("serper", CANARY)
    assert not state.lasting and "it is locked" in state.reason
    with pytest.raises(UserError, match="could not be taken out of the keyring"):
        keys.remove("serper")


@pytest.mark.parametrize("text", ["", "   ", "short", "with space 123", "line\nbreak12", "schlüssel12", "k" * 600])
def test_what_cannot_be_a_key_is_refused_without_being_repeated(text):
    with pytest.raises(UserError) as told:
        Keys(Vault(), ENCRYPTED).set("serper", text)
    assert not text.strip() or text.strip() not in str(told.value)


def test_the_systems_own_backend_is_looked_at():
    script = "from fathom.services.keys import Keys; print(Keys().state().lasting)"
    environment = {**os.environ, "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring"}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


# --- row 5: where a key must not be -------------------------------------------------------------------------------


def test_05_redaction_keeps_lengths_and_takes_out_the_quoted_form_too():
    remember(CANARY)
    quoted = "canary%2Fkey%2B7f3a9c1d27b64e"
    assert redact(f"a {CANARY} b") == f"a {'•' * len(CANARY)} b"
    assert quoted not in redact(f"https://x/?api_key={quoted}&q=1")
    assert redact("nothing of it") == "nothing of it"


def test_05_an_observation_loses_the_key_and_keeps_its_offsets():
    remember(CANARY)
    text = f"before {CANARY} after"
    passage = Passage(uri="https://x/", title="t", text=text, start=3, end=3 + len(text))
    clean = redacted(Observation(call_id="1.0", tool="x", text=text, passages=(passage,)))
    assert CANARY not in repr(clean) and clean.passages[0].end - clean.passages[0].start == len(text)
    untouched = Observation(call_id="1.0", tool="x", text="nothing")
    assert redacted(untouched) is untouched


def artefacts(home: Path) -> dict[str, bytes]:
    """Every file below the data folder, and every value of its databases."""
    found = {str(path): path.read_bytes() for path in home.rglob("*") if path.is_file()}
    for path in home.glob("*.db"):
        with sqlite3.connect(path) as connection:
            found[f"{path} dump"] = "\n".join(connection.iterdump()).encode("utf-8", "surrogatepass")
        connection.close()
    return found


def test_05_the_key_is_in_no_artefact_of_a_session_whatever_the_services_echo(fathom_home, serving):
    """Serper refuses and repeats its key; OpenAlex has it in its address; a page and the person repeat it as well."""
    sent = []

    def answer(request):
        sent.append((request.path, dict(request.headers)))
        if request.path.startswith("/works"):
            work = {"id": f"https://x.example/?api_key={CANARY}", "display_name": f"Echo {CANARY}"}
            request.reply(200, json.dumps({"results": [work]}).encode())
        elif request.path.startswith("/w/api.php"):
            request.reply(500, f"no such key: {CANARY}".encode(), Retry_After="0")
        else:
            request.reply(200, f"<title>{CANARY}</title><p>The keeper of the lamp has {CANARY} here.</p>".encode())

    async def main(port):
        log = logging.FileHandler(fathom_home / "log.txt", encoding="utf-8")
        log.setFormatter(RedactingFormatter("%(levelname)s %(message)s"))
        root = logging.getLogger()
        level = root.level
        root.addHandler(log)
        root.setLevel(logging.DEBUG)
        try:
            base = f"http://127.0.0.1:{port}"
            settings = Settings(
                search=SearchSettings(
                    order=("wikipedia", "openalex"),
                    on=("wikipedia", "openalex"),
                    addresses={"openalex": base, "wikipedia": base},
                )
            )
            search = SearchService(settings, Keys(Vault(), ENCRYPTED))
            await search.set_key("openalex", CANARY)
            scrape = call("scrape_and_extract_info", url=f"{base}/page", info_to_extract="keeper of the lamp")
            replies = [call("google_search", q="keepers"), scrape, "Enough.", f"It is {CANARY}. \\boxed{{{CANARY}}}"]
            bench = SessionBench(fathom_home, replies, port=port, settings=settings, search=search)
            session = await bench.ask(
                f"What does {base}/page say of {CANARY}?", Scope(sample=False, documents=True, web=True)
            )
            test = await search.test("wikipedia")
            for name in ("markdown", "trace"):
                bench.runner.export(session.id, fathom_home / f"report-{name}", name)
            (fathom_home / "recording.json").write_bytes(bench.store.export_recording(session.id))
            logging.getLogger("x").error("it failed", exc_info=RuntimeError(CANARY))
            settings.save()
            prompts = [message.content for request in bench.engine.requests for message in request.messages]
            events = list(bench.events)
            await bench.close()
        finally:
            root.removeHandler(log)
            root.setLevel(level)
            log.close()
        return prompts, events, test, search

    with serving(answer) as port:
        prompts, events, test, search = asyncio.run(main(port))
    assert any("api_key=" in path for path, _ in sent)  # it did go to its own service
    assert prompts and not [text for text in prompts if CANARY in text]
    assert CANARY not in repr([event for event in events if type(event).__name__ != "AnswerDelta"])
    assert CANARY not in repr(test) and CANARY not in repr(search.providers())
    found = artefacts(fathom_home)
    assert any(path.endswith("fathom.db dump") for path in found) and any("log.txt" in path for path in found)
    assert b"HTTP Request" in found[str(fathom_home / "log.txt")]
    leaks = [path for path, data in found.items() if CANARY.encode() in data or b"canary%2Fkey" in data]
    assert leaks == []


def children() -> dict[str, bytes]:
    """Environment and command line of this process's children."""
    here = os.getpid()
    listed = [path.read_text().split() for path in Path(f"/proc/{here}/task").glob("*/children")]
    return {
        child: b"".join(Path(f"/proc/{child}/{name}").read_bytes() for name in ("environ", "cmdline"))
        for child in {child for one in listed for child in one}
    }


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_05_the_process_that_asks_duckduckgo_has_no_key(monkeypatch, serving):
    monkeypatch.setenv("SERPER_API_KEY", CANARY)
    monkeypatch.setenv("HTTP_PROXY_PASSWORD", CANARY)
    asked, released = threading.Event(), threading.Event()

    def answer(request):
        asked.set()
        released.wait(30)

    async def main(port):
        provider = DuckDuckGo(base_url=f"http://127.0.0.1:{port}")
        search = asyncio.create_task(provider.search("lamp", 3))
        try:
            assert await asyncio.to_thread(asked.wait, 30)
            seen = await asyncio.to_thread(children)
        finally:
            search.cancel()
            released.set()
            await asyncio.gather(search, return_exceptions=True)
        return seen

    with serving(answer) as port:
        seen = asyncio.run(main(port))
    workers = {child: data for child, data in seen.items() if b"duckduckgo" in data}
    assert workers and not [child for child, data in workers.items() if CANARY.encode() in data]
    assert not [child for child in workers if Path(f"/proc/{child}").exists()]
