"""Row 35: bombs for the parser, in its real process."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import pytest

from fathom.core.errors import ToolError
from fathom.workers.parser import ParserClient

PAGE = b"<html><title>Lamp</title><body><p>" + b"The keeper lit the lamp. " * 20 + b"</p></body></html>"


def proc(pid, name):
    return Path(f"/proc/{pid}/{name}").read_bytes()


def with_parser(use, **options):
    async def main():
        parser = ParserClient(**options)
        try:
            return await use(parser)
        finally:
            await parser.close()

    return asyncio.run(main())


def test_35_attribute_bomb_is_given_up_within_its_time_and_the_next_page_is_read():
    bomb = b"<html><body><p " + b" ".join(b"a%d=1" % n for n in range(100_000)) + b">x</p></body></html>"

    async def use(parser):
        first = await parser.parse(PAGE, "html")
        pid = parser.pid
        started = time.monotonic()
        with pytest.raises(ToolError, match="longer than 2 s"):
            await parser.parse(bomb, "html")
        took = time.monotonic() - started
        return first, pid, took, await parser.parse(PAGE, "html")

    first, pid, took, after = with_parser(use, timeout_s=2.0)
    assert took < 5 and first == after and after.title == "Lamp"
    assert not Path(f"/proc/{pid}").exists()


def test_35_entity_bomb_is_harmless():
    bomb = b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">' + b"".join(
        b'<!ENTITY %c "%s">' % (n + 1, b"&%c;" % n * 10) for n in range(ord("a"), ord("k"))
    )
    page = bomb + b"]><html><body><p>" + b"The keeper lit the lamp. " * 20 + b"&k;</p></body></html>"
    document = with_parser(lambda parser: parser.parse(page, "html"))
    assert "The keeper lit the lamp." in document.text and len(document.text) < 5000


def test_35_deep_nesting_ends_in_a_page_or_an_error():
    page = b"<div>" * 20_000 + b"The keeper lit the lamp. " * 20

    async def use(parser):
        try:
            return (await parser.parse(page, "html")).text
        except ToolError as error:
            return str(error)

    assert with_parser(use, timeout_s=4.0)


def test_35_memory_is_limited():
    async def use(parser):
        await parser.parse(b"x", "text")
        limits = proc(parser.pid, "limits").decode()
        return next(line for line in limits.splitlines() if line.startswith("Max address space"))

    assert with_parser(use).split()[3] == str(1536 * 2**20)


def test_01_the_parser_has_no_keys_in_its_environment(monkeypatch):
    monkeypatch.setenv("FATHOM_SECRET_KEY", "canary-11aa")
    monkeypatch.setenv("HOME", "/home/canary-11aa")

    async def use(parser):
        await parser.parse(b"x", "text")
        return proc(parser.pid, "environ")

    environment = with_parser(use)
    assert b"PYTHONUTF8" in environment and b"canary" not in environment


def test_a_child_that_is_killed_is_told_and_replaced():
    async def use(parser):
        await parser.parse(b"x", "text")
        reading = asyncio.create_task(parser.parse(b"<p>" + b"word " * 2_000_000, "html"))
        pid = parser.pid
        await asyncio.sleep(0)
        os.kill(pid, 9)
        try:
            await reading
            outcome = "read"
        except ToolError as error:
            outcome = str(error)
        return outcome, pid, await parser.parse(b"still here", "text"), parser.pid

    outcome, pid, document, new_pid = with_parser(use)
    assert "broken or hostile" in outcome
    assert document.text == "still here" and new_pid != pid


def test_the_child_is_kept_warm_and_closing_ends_it():
    async def use(parser):
        await parser.parse(b"a", "text")
        first = parser.pid
        await parser.parse(b"b", "text")
        return first, parser.pid

    first, second = with_parser(use)
    assert first == second and not Path(f"/proc/{first}").exists()


def test_cancelling_ends_the_child():
    async def use(parser):
        await parser.parse(b"a", "text")
        pid = parser.pid
        reading = asyncio.create_task(parser.parse(b"<p>" + b"word " * 2_000_000, "html"))
        await asyncio.sleep(0)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        return pid

    assert not Path(f"/proc/{with_parser(use)}").exists()


def test_errors_of_the_file_come_back_as_they_are():
    with pytest.raises(ToolError, match="broken"):
        with_parser(lambda parser: parser.parse(b"%PDF-1.4 nothing", "pdf"))
