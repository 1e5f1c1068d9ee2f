"""fathom keys: a key comes from stdin, goes to a keyring that encrypts, and is printed nowhere."""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import os
import subprocess
import sys

import keyring.backend
import keyring.errors
import pytest

from fathom.cli import keys as command
from fathom.core.settings import Settings
from fathom.services.keys import Keys
from fathom.services.search_service import SearchService

KEY = "key-of-the-command-tests"


class Vault(keyring.backend.KeyringBackend):
    """In memory; stands for a desktop's keyring."""

    priority = 1
    name = "Vault"

    def __init__(self):
        super().__init__()
        self.kept = {}

    def get_password(self, service, username):
        return self.kept.get((service, username))

    def set_password(self, service, username, password):
        self.kept[service, username] = password

    def delete_password(self, service, username):
        del self.kept[service, username]


def act(vault, *words):
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    service = SearchService(Settings.load(), Keys(vault, (__name__,)))
    return asyncio.run(command.perform(service, parser.parse_args(words)))


def test_a_key_is_read_from_stdin_kept_listed_and_removed(fathom_home, monkeypatch, capsys):
    vault = Vault()
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{KEY}\nsecond line\n"))
    assert act(vault, "set", "serper") == 0
    assert vault.kept == {("fathom", "serper"): KEY}
    assert act(vault, "list", "--json") == 0
    told = capsys.readouterr()
    rows = {row["name"]: row for row in json.loads(told.out.splitlines()[-1])}
    assert rows["serper"]["key"] == "there" and rows["serper"]["on"] and rows["brave"]["key"] == "missing"
    assert KEY not in told.out + told.err
    assert act(vault, "remove", "serper") == 0 and vault.kept == {}
    assert act(vault, "remove", "serper") == 0
    assert "There was no key of serper." in capsys.readouterr().out


def fathom(home, *words, stdin=""):
    environment = {**os.environ, "FATHOM_HOME": str(home), "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring"}
    return subprocess.run(
        [sys.executable, "-m", "fathom", "keys", *words],
        input=stdin,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_without_an_encrypting_keyring_nothing_is_kept_and_the_way_out_is_told(fathom_home):
    done = fathom(fathom_home, "set", "serper", stdin=KEY)
    assert done.returncode == 1 and "the key was not kept: there is no keyring" in done.stderr
    assert "gnome-keyring" in done.stderr and KEY not in done.stdout + done.stderr
    assert not any(KEY.encode() in path.read_bytes() for path in fathom_home.rglob("*") if path.is_file())


def test_a_key_on_the_command_line_is_refused(fathom_home):
    assert fathom(fathom_home, "set", "serper", KEY).returncode == 2


@pytest.mark.parametrize("words", [("test", "altavista"), ("remove", "wikipedia"), ("test", "serper")])
def test_what_cannot_be_done_is_told_with_exit_1(fathom_home, words):
    done = fathom(fathom_home, *words)
    assert done.returncode == 1 and done.stderr.strip() and "Traceback" not in done.stderr


def test_the_list_names_every_service_and_its_host(fathom_home):
    done = fathom(fathom_home, "list")
    assert done.returncode == 0 and "on   wikipedia   no key needed" in done.stdout
    assert "google.serper.dev" in done.stdout and len(done.stdout.splitlines()) == 9


def test_a_server_of_ones_own_has_a_key_of_its_own(fathom_home, monkeypatch, capsys):
    vault = Vault()
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{KEY}\n"))
    assert act(vault, "set", "https://gpu.example.org/v1") == 0
    assert vault.kept == {("fathom", "endpoint gpu.example.org"): KEY}
    assert KEY not in capsys.readouterr().out and not (fathom_home / "settings.json").exists()
    assert act(vault, "remove", "https://gpu.example.org") == 0
    assert vault.kept == {}
