"""Reads descriptions of MCP servers: the usual JSON, a command line, an address; and takes the secrets out of them.

What looks like a secret (by its name, or by the beginning that services give their tokens) goes to the keyring, and
only a note of its place stays in the settings. Pure functions.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec

from fathom.core.errors import UserError
from fathom.core.redaction import SHORTEST
from fathom.core.settings import McpServer

MAX_JSON_CHARS = 200_000
MAX_SERVERS = 32
_SECRET_NAME = re.compile(r"key|token|secret|passw|pwd|auth|credential|cookie|bearer", re.IGNORECASE)
_SECRET_VALUE = re.compile(r"(sk-|gh[opsu]_|github_pat_|glpat-|xox[abps]-|AKIA|eyJ)[\w.-]{8,}")
_NAME = re.compile(r"[^A-Za-z0-9-]+")
_EXAMPLE = '{"mcpServers": {"notes": {"command": "notes-server", "args": ["--read-only"]}}}'


def server_name(given: str) -> str:
    """A name that can stand in a tool's name. Raises UserError when nothing of it can."""
    name = _NAME.sub("-", given).strip("-")[:24]
    if not name:
        raise UserError("The server needs a name.", needs="letters or digits", has=given[:40] or "nothing")
    return name


def from_line(line: str, values: str = "") -> McpServer:
    """A server from what a person wrote: a command with its arguments, or an address.

    ``values`` are NAME=VALUE pairs with spaces between them: variables of a command, headers of an address.
    """
    line = line.strip()
    pairs = {}
    for word in _words(values):
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise UserError("These values cannot be read.", needs='NAME=VALUE, or NAME="A VALUE"', has=word[:40])
        pairs[name] = value
    if line.startswith(("http://", "https://")):
        return checked(McpServer(url=line, headers=pairs))
    words = _words(line)
    return checked(McpServer(command=words[0] if words else "", args=tuple(words[1:]), env=pairs))


def _words(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError as error:
        raise UserError(
            "This cannot be read.", has=str(error), do="Close every quotation mark that you open."
        ) from None


def from_json(text: str) -> dict[str, McpServer]:
    """The servers of the usual JSON, with or without ``mcpServers`` around them; all of them off.

    Raises UserError when it is not that.
    """
    if len(text) > MAX_JSON_CHARS:
        raise UserError("This is too long for a list of servers.", needs=f"{MAX_JSON_CHARS:,} characters at most")
    try:
        whole = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError("This is not JSON.", needs=_EXAMPLE, has=str(error)[:120] or "nothing") from None
    listed = whole
    for key in ("mcpServers", "servers"):
        if isinstance(whole, dict) and isinstance(whole.get(key), dict):
            listed = whole[key]
            break
    if not isinstance(listed, dict) or not all(isinstance(one, dict) for one in listed.values()) or not listed:
        raise UserError("There is no server in this JSON.", needs=_EXAMPLE)
    if len(listed) > MAX_SERVERS:
        raise UserError(f"There are {len(listed)} servers in this.", needs=f"{MAX_SERVERS} at most")
    return {server_name(name): _from_entry(name, entry) for name, entry in listed.items()}


def _from_entry(name: str, entry: Mapping[str, Any]) -> McpServer:
    known = {key: entry[key] for key in ("command", "args", "env", "url", "headers") if entry.get(key) is not None}
    if isinstance(known.get("env"), dict):  # numbers and switches are written bare there
        known["env"] = {
            key: value if isinstance(value, str) else json.dumps(value) for key, value in known["env"].items()
        }
    try:
        return msgspec.structs.replace(checked(msgspec.convert(known, McpServer)), on=False)
    except msgspec.ValidationError as error:
        raise UserError(f"The server {name[:40]} cannot be read.", needs=_EXAMPLE, has=str(error)) from None


def checked(server: McpServer) -> McpServer:
    """The server when it can be tried. Raises UserError."""
    if bool(server.command) == bool(server.url):
        raise UserError(
            "A server is a command or an address.", needs="one of them", do="Write a command, or an address."
        )
    parts = [server.command, *server.args, server.url, *server.env, *server.env.values()]
    parts += [*server.headers, *server.headers.values()]
    if any("\0" in part or "\n" in part or "\r" in part for part in parts):
        raise UserError("A server’s description cannot hold line breaks.", do="Write each value in one line.")
    if server.url:
        try:
            address = urlsplit(server.url)
            usable = address.scheme in ("http", "https") and bool(address.hostname) and address.username is None
        except ValueError:
            usable = False
        if not usable:
            raise UserError(
                "This is no address of a server.",
                needs="an address like https://example.org/mcp, without a user name in it",
                has=server.url[:80],
            )
    return server


def host_of(server: McpServer) -> str:
    """The host of a server at an address that is not on this computer, else ""."""
    host = (urlsplit(server.url).hostname or "") if server.url else ""
    return "" if host in ("localhost", "::1") or re.fullmatch(r"127(\.\d+){3}", host) else host


def split_secrets(server: McpServer) -> tuple[McpServer, dict[str, str]]:
    """The server without its secrets, and the secrets by place ("env:NAME", "headers:NAME", "args:2", "url:")."""
    secrets: dict[str, str] = {}

    def kept(place: str, name: str, value: str) -> str:
        before, secret = _secret_in(name, value)
        if secret:
            secrets[place] = secret
        return before

    env = {name: kept(f"env:{name}", name, value) for name, value in server.env.items()}
    headers = {name: kept(f"headers:{name}", name, value) for name, value in server.headers.items()}
    args, before = [], ""
    for number, value in enumerate(server.args):
        flag, equals, rest = value.partition("=")
        if equals and flag.startswith("-"):
            args.append(f"{flag}={kept(f'args:{number}', flag, rest)}")
        else:
            named = before if before.startswith("-") and not value.startswith("-") else ""
            args.append(kept(f"args:{number}", named, value))
        before = value
    url = server.url
    query = parse_qsl(urlsplit(url).query) if url else []
    if any(_secret_in(name, value)[1] for name, value in query):
        secrets["url:"] = url
        url = url.split("?", 1)[0]
    plain = msgspec.structs.replace(server, env=env, headers=headers, args=tuple(args), url=url, secrets=tuple(secrets))
    return plain, secrets


def with_secrets(server: McpServer, secrets: Mapping[str, str]) -> McpServer:
    """The other way round; a secret that is missing leaves its place empty."""
    env, headers, args, url = dict(server.env), dict(server.headers), list(server.args), server.url
    for place in server.secrets:
        kind, _, name = place.partition(":")
        secret = secrets.get(place, "")
        if kind == "env":
            env[name] = env.get(name, "") + secret
        elif kind == "headers":
            headers[name] = headers.get(name, "") + secret
        elif kind == "args" and name.isdecimal() and int(name) < len(args):
            args[int(name)] += secret
        elif kind == "url":
            url = secret or url
    return msgspec.structs.replace(server, env=env, headers=headers, args=tuple(args), url=url)


def _secret_in(name: str, value: str) -> tuple[str, str]:
    """What comes before the secret, and the secret: the last word of a value that is named or looks like one."""
    before, space, last = value.rpartition(" ")
    telling = bool(name) and bool(_SECRET_NAME.search(name))
    if len(last) >= SHORTEST and (_SECRET_VALUE.match(last) or (telling and "/" not in last[:1])):
        return before + space, last
    return value, ""
