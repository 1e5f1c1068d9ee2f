"""What holds for every tool of the registry."""

from __future__ import annotations

import asyncio
import json

import msgspec
import pytest

from fathom.core import registry
from fathom.core.types import Scope, ToolCall
from fathom.tools import TOOLS
from fathom.tools.context import ToolContext
from fathom.tools.sandbox import SandboxState
from fathom.tools.sandbox.holder import SandboxHolder
from fathom.tools.schema import description, flat_schema
from fathom.tools.search import PROVIDERS
from fathom.tools.toolbox import SessionToolbox
from fathom.workers.parser import ParserClient


class Inner(msgspec.Struct):
    title: str


class Outer(msgspec.Struct):
    inner: Inner


@pytest.mark.parametrize("name", TOOLS)
def test_tool_is_listed_under_its_own_name(name):
    assert registry.load(TOOLS, name).name == name


@pytest.mark.parametrize("name", TOOLS)
def test_description_is_one_short_paragraph(name):
    text = description(registry.load(TOOLS, name).Arguments)
    assert 20 < len(text) < 300 and "\n" not in text


@pytest.mark.parametrize("name", TOOLS)
@pytest.mark.parametrize("compact", [True, False])
def test_schema_is_flat_closed_and_bounds_every_string(name, compact):
    schema = flat_schema(registry.load(TOOLS, name).Arguments, compact=compact)
    assert "$ref" not in json.dumps(schema) and "$defs" not in schema
    assert schema["additionalProperties"] is False
    for value in schema["properties"].values():
        assert value["type"] != "string" or value["maxLength"] <= 8000


def test_compact_schema_leaves_optional_arguments_out():
    arguments = registry.load(TOOLS, "google_search").Arguments
    optional = ["num", "gl", "hl", "location", "tbs", "page", "autocorrect"]
    assert list(flat_schema(arguments)["properties"]) == ["q", *optional]
    assert list(flat_schema(arguments, compact=True)["properties"]) == ["q"]


def test_nested_structs_are_written_out_and_a_property_named_title_stays():
    inner = flat_schema(Outer)["properties"]["inner"]
    assert inner["properties"] == {"title": {"type": "string"}} and inner["required"] == ["title"]


def test_the_arguments_are_those_of_the_paper():
    required = {name: set(flat_schema(registry.load(TOOLS, name).Arguments)["properties"]) for name in TOOLS}
    assert required == {
        "google_search": {"q", "gl", "hl", "location", "num", "tbs", "page", "autocorrect"},
        "scrape_and_extract_info": {"url", "info_to_extract"},
        "create_sandbox": {"timeout"},
        "run_command": {"command", "sandbox_id"},
        "run_python_code": {"code_block", "sandbox_id"},
        "upload_file_from_local_to_sandbox": {"sandbox_id", "local_file_path", "sandbox_file_path"},
        "download_file_from_internet_to_sandbox": {"sandbox_id", "url", "sandbox_file_path"},
        "download_file_from_sandbox_to_local": {"sandbox_id", "sandbox_file_path", "local_filename"},
    }


def test_search_is_off_and_says_why_when_there_is_nowhere_to_look(toolbox_of):
    async def main():
        toolbox = await toolbox_of(scope=Scope(sample=False, documents=False))
        names = [spec.name for spec in toolbox.specs()]
        notices = toolbox.notices()
        await toolbox.close()
        return names, notices

    names, notices = asyncio.run(main())
    assert "google_search" not in names
    assert any("google_search is off: there is nothing to search in" in notice for notice in notices)


@pytest.mark.parametrize("name", PROVIDERS)
def test_provider_is_listed_under_its_own_name_and_takes_a_base_url(name):
    provider = registry.load(PROVIDERS, name)(base_url="http://127.0.0.1:1")
    assert provider.name == name and provider.label


def test_without_a_sandbox_nothing_is_run_and_the_reason_and_remedy_are_told(library, tmp_path):
    state = SandboxState(available=False, reason="bubblewrap is not installed", remedy="Install it.")
    context = ToolContext(
        scope=Scope(),
        library=library,
        parser=ParserClient(),
        sandbox=SandboxHolder(state, tmp_path / "session"),
        downloads_dir=tmp_path,
    )
    toolbox = SessionToolbox(context)
    assert [spec.name for spec in toolbox.all_specs()] == ["google_search", "scrape_and_extract_info"]
    (notice,) = toolbox.notices()
    assert notice.startswith("create_sandbox, run_command, run_python_code, ")
    assert notice.endswith(" are off: bubblewrap is not installed. Install it.")
    touched = tmp_path / "touched"
    call = ToolCall(id="1.0", name="run_command", arguments={"command": f"touch {touched}", "sandbox_id": ""})
    observation = asyncio.run(toolbox.call(call))
    assert observation.is_error and "is off: bubblewrap is not installed" in observation.text
    assert not touched.exists()
