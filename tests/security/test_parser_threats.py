"""Row 35: bombs for the parser, in its real process."""

from __future__ import annotations

import asyncio
import io
import os
import time
import zipfile
from pathlib import Path

import pytest

from fathom.core.errors import ToolError
from fathom.workers.parser import ParserClient, cpu_seconds

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


def test_35_a_bomb_ends_after_five_seconds_of_computing_however_busy_the_computer_is():
    bomb = b"<html><body><p " + b" ".join(b"a%d=1" % n for n in range(100_000)) + b">x</p></body></html>"

    async def use(parser):
        with pytest.raises(ToolError, match="longer to compute on than any page does"):
            await parser.parse(bomb, "html")
        return await parser.parse(PAGE, "html")

    assert cpu_seconds("html", len(bomb)) == 5.0
    assert with_parser(use, timeout_s=300.0).title == "Lamp"


def test_time_to_compute_grows_with_the_page_and_is_not_counted_for_files():
    assert cpu_seconds("html", 10 * 2**20) == 23.0 and cpu_seconds("pdf", 10 * 2**20) == 0.0


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


def zipped(parts):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return stream.getvalue()


def test_35_zip_bombs_and_entity_bombs_in_documents_are_refused_and_the_next_page_is_read():
    bomb = zipped({"xl/workbook.xml": b"<x>" + bytes(64 * 2**20)})
    entities = b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;&a;">]><x>&b;</x>'

    async def use(parser):
        said = []
        for data, kind in ((bomb, "xlsx"), (zipped({"word/document.xml": entities}), "docx")):
            with pytest.raises(ToolError) as error:
                await parser.parse(data, kind)
            said.append(str(error.value))
        return said, await parser.parse(PAGE, "html")

    (first, second), after = with_parser(use)
    assert "more than 60 MB: refused" in first and "defines entities of its own" in second
    assert after.title == "Lamp"


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("xlsx", zipped({"xl/workbook.xml": b"<workbook/>", "[Content_Types].xml": b"<x/>"})),
        ("docx", zipped({"word/document.xml": b"<w:p>" * 3000})),
        ("hwpx", zipped({"Contents/section0.xml": b"<p><run>" * 3000})),
        ("pptx", zipped({"ppt/presentation.xml": b"x"})),
        ("pdf", b"%PDF-1.7\n" + b"1 0 obj << /Kids [1 0 R] >> endobj\n" * 2000),
        ("json", b'{"a":' * 100_000),
        ("csv", b'"' + b"a,\n" * 300_000),
        ("feed", b"<rss>" + b"<item>" * 20_000),
        ("html", b"<table><tr><td>" * 5000 + b"<pre>" * 5000),
    ],
)
def test_35_malformed_files_of_every_kind_end_in_a_text_or_an_error(kind, data):
    async def use(parser):
        try:
            return (await parser.parse(data, kind)).text or "nothing"
        except ToolError as error:
            return str(error)

    assert with_parser(use)


def test_35_a_kind_that_there_is_not_is_told():
    with pytest.raises(ToolError, match="it cannot be read"):
        with_parser(lambda parser: parser.parse(b"MZ", "exe"))


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
