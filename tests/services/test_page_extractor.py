"""The second model: asked for long pages only, and believed only as far as the page says the same."""

from __future__ import annotations

import asyncio

import pytest

from fathom.core.errors import ModelFileError, ToolError
from fathom.core.types import Task, ToolCall
from fathom.engines.scripted import ScriptedEngine
from fathom.services.page_extractor import EngineExtractor
from fathom.store.database import open_database
from fathom.store.library import FileState, LibraryStore, NewDocument
from fathom.tools import open_toolbox
from fathom.workers.parser import ParserClient

LONG = "\n\n".join(f"Keeper {n} lit the lamp in the evening of day {n}." for n in range(500)).replace(
    "Keeper 321 lit the lamp", "Keeper 321 married the ambassador near the lamp"
)


class Engines:
    """Starts scripted engines, and counts them."""

    def __init__(self, *replies):
        self.replies = replies
        self.started = []

    async def __call__(self):
        self.started.append(ScriptedEngine(self.replies, context_tokens=3000))
        return self.started[-1]


@pytest.fixture
def read(tmp_path):
    """``read(extractor, wanted, ...)``: observations of the long document, one for each thing wanted."""
    database = open_database(tmp_path / "library.db")
    store = LibraryStore(database)
    store.add_collection("keepers", "Keepers", "documents", "")
    documents = [
        NewDocument(id="long", title="Keepers", text=LONG),
        NewDocument(id="short", title="One", text="A lamp."),
    ]
    store.put("keepers", "k.jsonl", documents, state=FileState(size=1, mtime_ns=1))

    def run(extractor, *wanted, url="library://keepers/long"):
        async def main():
            toolbox = await open_toolbox(
                Task(question=f"See {url}"),
                library=store,
                parser=ParserClient(),
                downloads_dir=tmp_path,
                session_dir=tmp_path / "session",
                observation_chars=1500,
                extractor=extractor,
            )
            arguments = [{"url": url, "info_to_extract": one} for one in wanted]
            try:
                return [
                    await toolbox.call(ToolCall(id="1.0", name="scrape_and_extract_info", arguments=one))
                    for one in arguments
                ]
            finally:
                await toolbox.close()
                if extractor is not None:
                    await extractor.close()

        return asyncio.run(main())

    yield run
    database.close()


def test_what_it_copies_stands_first_with_its_offsets_and_what_it_makes_up_is_left_out(read):
    engines = Engines(
        "<think>Let me see.</think>- keeper 321 married the ambassador near the lamp in the evening of day 321\n"
        "Keeper 7 was a spy from another country."
    )
    (observation,) = read(EngineExtractor(engines), "who married the ambassador")
    said = observation.text
    assert "picked, checked against the page:\nKeeper 321 married the ambassador near the lamp" in said
    assert "1 more that it wrote are not in the page, and were left out." in said and "spy" not in said
    assert len(said) <= 1500
    assert all(LONG[passage.start : passage.end] == passage.text for passage in observation.passages)
    request = engines.started[0].requests[0]
    assert "Request: who married the ambassador" in request.messages[1].content
    assert request.sampling.temperature == 0.0


def test_a_page_that_has_nothing_of_it_is_not_read_by_it(read):
    engines = Engines("Keeper 1 lit the lamp in the evening of day 1.")
    (observation,) = read(EngineExtractor(engines), "box office gross")
    assert "Not found in this page" in observation.text and engines.started == []


def test_a_short_document_is_not_read_by_it(read):
    engines = Engines("A lamp.")
    read(EngineExtractor(engines), "lamp", url="library://keepers/short")
    assert engines.started == []


@pytest.mark.parametrize("reply", ["NOT FOUND", ""])
def test_when_it_finds_nothing_the_passages_stand_as_without_it(read, reply):
    (with_it,) = read(EngineExtractor(Engines(reply)), "who married the ambassador")
    (without,) = read(None, "who married the ambassador")
    assert with_it.text == without.text and with_it.passages == without.passages


def test_one_engine_serves_all_pages_and_its_failure_is_told_and_mended(read):
    engines = Engines("NOT FOUND")
    first, second, third = read(EngineExtractor(engines), *["who married the ambassador"] * 3)
    assert "was of no help: the second model failed: the script has no reply for generation 2" in second.text
    assert "Keeper 321 married" in second.text and not second.is_error
    assert len(engines.started) == 2 and "of no help" not in first.text + third.text


def test_a_model_that_cannot_be_started_is_told(read, tmp_path):
    extractor = EngineExtractor.of_model(tmp_path / "none.gguf")
    (observation,) = read(extractor, "who married the ambassador")
    assert "was of no help: the second model failed:" in observation.text and "Keeper 321 married" in observation.text


def test_a_text_that_does_not_fit_is_cut_and_time_is_limited():
    async def main():
        engines = Engines("NOT FOUND")
        extractor = EngineExtractor(engines)
        assert await extractor.pick("word " * 6000, "x") == ""
        asked = engines.started[0].requests[0].messages
        assert await engines.started[0].count_tokens(asked) <= 2300
        await extractor.close()

        async def never():
            await asyncio.Event().wait()

        with pytest.raises(ToolError, match="longer than"):
            await EngineExtractor(never, time_s=0.05).pick("a b c", "x")

        async def missing():
            raise ModelFileError("There is no such model.")

        with pytest.raises(ToolError, match="There is no such model"):
            await EngineExtractor(missing).pick("a b c", "x")

    asyncio.run(main())


def test_an_idle_engine_is_ended():
    async def main():
        closed = asyncio.Event()

        class Watched(ScriptedEngine):
            async def close(self):
                closed.set()

        async def start():
            return Watched(["NOT FOUND"])

        extractor = EngineExtractor(start, idle_s=0.01)
        await extractor.pick("a b c", "x")
        async with asyncio.timeout(20):
            await closed.wait()
        await extractor.close()

    asyncio.run(main())
