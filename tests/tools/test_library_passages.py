"""What the tools save of a library's document: its page, author, date and DOI go with each passage."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from fathom.core.types import Scope, Task, ToolCall
from fathom.store.database import open_database
from fathom.store.library import FileState, LibraryStore, NewDocument, NewFile
from fathom.tools import open_toolbox
from fathom.workers.parser import ParserClient

FIRST = "The review begins here. " * 40
TEXT = f"{FIRST}\n\nRecovery of lithium of 92 % was reported with citric acid."
PAPER = NewDocument(
    id="r.pdf", title="A review", text=TEXT, author="Choi", date="2024-01-05", doi="10.1/x", pages=(0, len(FIRST) + 2)
)


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("google_search", {"q": "lithium citric acid"}),
        ("scrape_and_extract_info", {"url": "library://papers/r.pdf", "info_to_extract": "lithium with citric acid"}),
    ],
)
def test_passages_know_their_page_and_source(tmp_path: Path, tool: str, arguments: dict[str, str]) -> None:
    async def main() -> None:
        store = LibraryStore(open_database(tmp_path / "library.db"))
        store.add_collection("papers", "Papers", "documents", "/papers")
        state = FileState(size=1, mtime_ns=1)
        store.put_files("papers", [NewFile(path="/papers/r.pdf", documents=(PAPER,), state=state)])
        toolbox = await open_toolbox(
            Task(question="See library://papers/r.pdf", scope=Scope()),
            library=store,
            parser=ParserClient(),
            downloads_dir=tmp_path / "downloads",
            session_dir=tmp_path / "work",
            observation_chars=900,
        )
        observation = await toolbox.call(ToolCall(id="1.0", name=tool, arguments=dict(arguments)))
        await toolbox.close()
        store.database.close()
        assert not observation.is_error, observation.text
        passage = next(one for one in observation.passages if "citric" in one.text)
        assert passage.text == TEXT[passage.start : passage.end]
        assert (passage.author, passage.date, passage.doi) == ("Choi", "2024-01-05", "10.1/x")
        assert passage.page == (2 if passage.start >= len(FIRST) + 2 else 1)

    asyncio.run(main())
