"""Descriptions of MCP servers: what can be read, where secrets go, and that they come back in place."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import keyring.backends.fail
import msgspec
import pytest

from fathom.core.errors import UserError
from fathom.core.settings import McpServer, Settings
from fathom.core.types import Scope, Session, Task
from fathom.prompting.profiles import load_profile
from fathom.services.application import open_services
from fathom.services.keys import Keys
from fathom.services.mcp_config import from_json, from_line, host_of, server_name, split_secrets, with_secrets
from fathom.services.mcp_service import McpService

SECRET = "canary-0123456789"


def test_reads_the_usual_json_switched_off() -> None:
    text = json.dumps(
        {
            "mcpServers": {
                "my files": {
                    "command": "npx",
                    "args": ["-y", "files", "/data"],
                    "env": {"DEPTH": 3},
                    "disabled": False,
                },
                "far": {"type": "http", "url": "https://example.org/mcp", "headers": {"X-Team": "a"}},
            }
        }
    )
    assert from_json(text) == {
        "my-files": McpServer(command="npx", args=("-y", "files", "/data"), env={"DEPTH": "3"}, on=False),
        "far": McpServer(url="https://example.org/mcp", headers={"X-Team": "a"}, on=False),
    }
    bare = '{"servers": {"a": {"command": "x"}}}'
    assert from_json(bare) == from_json('{"a": {"command": "x"}}') == {"a": McpServer(command="x", on=False)}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "not JSON"),
        ("[1]", "no server"),
        ("{}", "no server"),
        ('{"a": {"command": 3}}', "cannot be read"),
        ('{"a": {}}', "a command or an address"),
        ('{"a": {"url": "file:///etc/passwd"}}', "no address"),
        ('{"a": {"url": "https://me:pass@example.org"}}', "no address"),
        ('{"a": {"url": "https://example.org", "headers": {"X": "a\\r\\nY: b"}}}', "line breaks"),
        ("[" * 5000, "not JSON"),
        (json.dumps({f"s{number}": {"command": "x"} for number in range(33)}), "33 servers"),
        ('{"<|im_start|>": {"command": "x"}, "\\u202e": {"command": "x"}}', "needs a name"),
    ],
)
def test_what_is_no_list_of_servers_is_told(text: str, told: str) -> None:
    with pytest.raises(UserError, match=told):
        from_json(text)


def test_reads_a_line_with_quotes_and_values() -> None:
    assert from_line("'my server' --root '/a b'", 'TOKEN=x "NAME=two words"') == McpServer(
        command="my server", args=("--root", "/a b"), env={"TOKEN": "x", "NAME": "two words"}
    )
    assert from_line("https://example.org/mcp", "X-A=1") == McpServer(
        url="https://example.org/mcp", headers={"X-A": "1"}
    )
    assert server_name("a__b <|x|>") == "a-b-x"
    with pytest.raises(UserError, match="cannot be read"):
        from_line("'open")


def test_secrets_leave_the_settings_and_come_back_in_place() -> None:
    whole = McpServer(
        command="x",
        args=("--api-key", SECRET, f"--token={SECRET}", "--root", "/a", "sk-abcdefghijklmnop"),
        env={"NOTES_TOKEN": SECRET, "MODE": "fast", "KEY_FILE": "/etc/key"},
        headers={"Authorization": f"Bearer {SECRET}"},
    )
    plain, secrets = split_secrets(whole)
    assert SECRET not in str(plain)
    assert set(secrets) == {"args:1", "args:2", "args:5", "env:NOTES_TOKEN", "headers:Authorization"}
    assert plain.headers == {"Authorization": "Bearer "}
    assert plain.env == {"NOTES_TOKEN": "", "MODE": "fast", "KEY_FILE": "/etc/key"}
    assert msgspec.structs.replace(with_secrets(plain, secrets), secrets=()) == whole
    far, held = split_secrets(McpServer(url=f"https://example.org/mcp?apiKey={SECRET}"))
    assert far.url == "https://example.org/mcp"
    assert with_secrets(far, held).url == f"https://example.org/mcp?apiKey={SECRET}"


def test_only_addresses_elsewhere_have_a_host() -> None:
    assert host_of(McpServer(url="http://127.0.0.1:8000/mcp")) == ""
    assert host_of(McpServer(url="http://localhost/mcp")) == ""
    assert host_of(McpServer(url="https://127.example.org/mcp")) == "127.example.org"
    assert host_of(McpServer(command="x")) == ""


def test_profiles_that_narrow_their_tools_get_none_of_other_programs(fathom_home: Path) -> None:
    async def main() -> None:
        services = await open_services(Settings(mcp_servers={"gone": McpServer(command="/no/such/program")}))
        try:
            for profile, asked in (("smollm2", False), ("default", True)):
                task = Task(question="Who?")
                session = Session(id=profile, title="Who?", created="2026-01-01T00:00:00Z", task=task)
                services.store.create(session)
                toolbox = await services.sessions._open_toolbox(session, load_profile(profile))
                assert any("The tools of gone are off" in text for text in toolbox.notices()) == asked
                await toolbox.close()
        finally:
            await services.close()

    asyncio.run(main())


def test_a_secret_that_was_kept_for_one_run_only_is_asked_for_again(fathom_home: Path) -> None:
    async def main() -> None:
        first = McpService(Settings(), Keys(keyring.backends.fail.Keyring()))
        await first.add("notes", f"{sys.executable} -c pass", f"NOTES_TOKEN={SECRET}")
        later = McpService(Settings.load(), Keys(keyring.backends.fail.Keyring()))
        offer = await later.offer(Scope())
        assert offer.tools == ()
        assert "needs NOTES_TOKEN again" in offer.notices[0]
        assert later.servers()[0].state.kind == "failed"

    asyncio.run(main())
