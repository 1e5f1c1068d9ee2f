"""``fathom keys``: keys of search services and of one's own servers, in the system's keyring.

A key is read from stdin, never from argv.
"""

from __future__ import annotations

import argparse
import asyncio
import getpass
import json
import sys

from fathom.cli import EXIT_ANSWERED, EXIT_ERROR
from fathom.core.settings import EndpointSettings, Settings
from fathom.services.endpoint_service import EndpointService
from fathom.services.search_service import SearchService


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's words."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for action, text in (
        ("set", "keep a key; it is asked for, or read from the first line of stdin"),
        ("test", "search for one word with the service"),
        ("remove", "forget a key"),
    ):
        sub = actions.add_parser(action, help=text)
        sub.add_argument("provider", metavar="PROVIDER|URL", help="a search service, or the address of a server")
    listing = actions.add_parser("list", help="the services, and which of them have a key")
    listing.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Do one action."""
    return asyncio.run(perform(SearchService(Settings.load()), arguments))


async def perform(service: SearchService, arguments: argparse.Namespace) -> int:
    """Do one action with ``service``; returns the exit status."""
    return await _ACTIONS[arguments.action](service, arguments)


async def _set(service: SearchService, arguments: argparse.Namespace) -> int:
    name = arguments.provider
    state = await asyncio.to_thread(service.keys.state)
    if state.lasting:
        key = getpass.getpass(f"Key of {name}: ") if sys.stdin.isatty() else sys.stdin.readline()
        state = await (_server(service, name).set_key(key) if "://" in name else service.set_key(name, key))
    if not state.lasting:
        print(
            f"fathom keys: the key was not kept: {state.reason}. Fathom writes no key to a file. "
            "Unlock or install the desktop's keyring (gnome-keyring, KWallet), or give the key in the window: "
            "there it is kept until Fathom is closed.",
            file=sys.stderr,
        )
        return EXIT_ERROR
    print(f"The key of {name} is in {state.name}.{'' if '://' in name else ' The service is switched on.'}")
    return EXIT_ANSWERED


async def _test(service: SearchService, arguments: argparse.Namespace) -> int:
    name = arguments.provider
    result = await (_server(service, name).test() if "://" in name else service.test(name))
    print(result.message, file=sys.stdout if result.ok else sys.stderr)
    return EXIT_ANSWERED if result.ok else EXIT_ERROR


async def _remove(service: SearchService, arguments: argparse.Namespace) -> int:
    name = arguments.provider
    had = await (_server(service, name).remove_key() if "://" in name else service.remove_key(name))
    print(f"The key of {arguments.provider} is removed." if had else f"There was no key of {arguments.provider}.")
    return EXIT_ANSWERED


def _server(service: SearchService, address: str) -> EndpointService:
    """A server of one's own; the person has just named it, so it may be asked for its models."""
    settings = Settings(endpoint=EndpointSettings(base_url=address, allow_remote=True))
    return EndpointService(settings, service.keys)


async def _list(service: SearchService, arguments: argparse.Namespace) -> int:
    rows = []
    for provider in service.providers():
        key = "none" if not provider.takes_key else "there" if await service.has_key(provider.name) else "missing"
        needs = "needed" if provider.needs_key else "optional" if provider.takes_key else "not needed"
        rows.append({"name": provider.name, "on": provider.on, "key": key, "key_is": needs, "host": provider.host})
    if arguments.json:
        print(json.dumps(rows))
        return EXIT_ANSWERED
    for row in rows:
        told = "no key needed" if row["key"] == "none" else f"key {row['key']} ({row['key_is']})"
        print(f"{'on ' if row['on'] else 'off'}  {row['name']:<11} {told:<24} {row['host']}".rstrip())
    return EXIT_ANSWERED


_ACTIONS = {"set": _set, "test": _test, "remove": _remove, "list": _list}
