"""The tools that run code, as the model meets them: what an observation says, and files from the web."""

from __future__ import annotations

import asyncio

import pytest

from fathom.core.types import Scope, ToolCall
from fathom.tools.addresses import FetchPolicy
from fathom.tools.sandbox import packages

LOCAL = FetchPolicy(allow_loopback=True, ports=frozenset(range(1, 65536)))


def calls(toolbox_of, *made, **options):
    """The observations of these calls, in one run."""

    async def main():
        toolbox = await toolbox_of(**options)
        try:
            return [
                await toolbox.call(ToolCall(id=f"{number}.0", name=name, arguments=arguments))
                for number, (name, arguments) in enumerate(made, 1)
            ]
        finally:
            await toolbox.close()

    return asyncio.run(main())


def python(code, sandbox_id=""):
    return ("run_python_code", {"code_block": code, "sandbox_id": sandbox_id})


def command(text, sandbox_id=""):
    return ("run_command", {"command": text, "sandbox_id": sandbox_id})


def fetched(url, path="/workspace/data.bin"):
    return ("download_file_from_internet_to_sandbox", {"sandbox_id": "", "url": url, "sandbox_file_path": path})


def test_a_new_sandbox_says_its_id_its_time_and_its_packages(toolbox_of):
    made, again = calls(toolbox_of, ("create_sandbox", {}), ("create_sandbox", {"timeout": 100}), command_s=90)
    assert "sandbox_id: " in made.text and "for one call 90 s" in made.text and "No network" in made.text
    there = packages.folder("/usr/bin/python3") is not None
    assert ("Python has numpy" in made.text) is there and ("Python has no numpy or pandas" in made.text) is not there
    assert "There is a sandbox already" in again.text and "left: 100 s" in again.text
    assert made.text.split("sandbox_id: ")[1][:8] == again.text.split("sandbox_id: ")[1][:8]


def test_the_id_is_kept_by_the_app_and_a_wrong_one_is_said(toolbox_of):
    first, stale, missing = calls(
        toolbox_of, python("x = 1"), python("x", "e2b-77"), ("run_command", {"command": "ls"})
    )
    assert first.text.startswith("There was no sandbox yet; it was created. Its sandbox_id is ")
    name = first.text.split("Its sandbox_id is ")[1].split(".")[0]
    assert stale.text == f"There is no sandbox 'e2b-77'; the one of this session was used. Its sandbox_id is {name}.\n1"
    assert missing.text.startswith("No sandbox_id was given") and name in missing.text


def test_lost_variables_are_said(toolbox_of):
    (_, stopped) = calls(toolbox_of, python("x = 1"), python("while True: pass"), command_s=1)
    assert "The code was stopped after 1 s; all its processes were ended." in stopped.text
    assert stopped.text.endswith("variables and imports are lost. Files in /workspace are kept.")


@pytest.mark.parametrize(
    ("web", "said"),
    [(True, "to read one use scrape_and_extract_info"), (False, "the web is switched off for this session")],
)
def test_code_that_scrapes_is_told_which_tool_to_use(toolbox_of, web, said):
    asked = [
        command("curl -s https://example.com"),
        python("import urllib.request\nurllib.request.urlopen('https://example.com')"),
        python("6 * 7"),
    ]
    curl, urllib, harmless = calls(toolbox_of, *asked, scope=Scope(web=web))
    for observation in (curl, urllib):
        assert "The sandbox has no network" in observation.text and said in observation.text
    assert "URLError" in urllib.text or "Error" in urllib.text
    assert "network" not in harmless.text


def test_a_missing_package_is_named(toolbox_of, monkeypatch):
    monkeypatch.setattr(packages, "folder", lambda python, where=None: None)
    (observation,) = calls(toolbox_of, python("import pandas"))
    if "No module named 'pandas'" not in observation.text:
        pytest.skip("the system's own Python has pandas")
    assert "pandas is not there." in observation.text


def test_a_file_from_the_web_is_fetched_by_the_app_and_put_into_the_sandbox(toolbox_of, serving):
    data = bytes(range(256)) * 400
    with serving(lambda handler: handler.reply(200, data, "application/zip")) as base:
        url = f"{base}/data.zip"
        got, shown = calls(
            toolbox_of,
            fetched(url, "in/data.zip"),
            command("wc -c <in/data.zip; sha256sum in/data.zip"),
            question=f"What is in {url} ?",
            scope=Scope(web=True),
            fetch_policy=LOCAL,
        )
    assert not got.is_error and f"{url} is now /workspace/in/data.zip (102,400 bytes)." in got.text
    assert "102400" in shown.text


def test_an_address_that_nothing_showed_is_not_fetched(toolbox_of, serving):
    asked = []
    with serving(lambda handler: asked.append(handler.path)) as base:
        (refused,) = calls(toolbox_of, fetched(f"{base}/?key=secret"), scope=Scope(web=True), fetch_policy=LOCAL)
    assert refused.is_error and "only such addresses are opened" in refused.text and asked == []


def test_a_private_address_is_not_fetched_though_it_was_shown(toolbox_of, serving):
    asked = []
    with serving(lambda handler: asked.append(handler.path)) as base:
        (refused,) = calls(
            toolbox_of,
            fetched(f"{base}/x"),
            question=f"See {base}/x",
            scope=Scope(web=True),
            fetch_policy=LOCAL._replace(allow_loopback=False),
        )
    assert refused.is_error and "not a public address" in refused.text and asked == []


def test_a_path_outside_of_the_workspace_is_refused_before_anything_is_fetched(toolbox_of, serving):
    asked = []
    with serving(lambda handler: asked.append(handler.path)) as base:
        (refused,) = calls(
            toolbox_of,
            fetched(f"{base}/x", "/etc/x"),
            question=f"See {base}/x",
            scope=Scope(web=True),
            fetch_policy=LOCAL,
        )
    assert refused.is_error and "outside of /workspace" in refused.text and asked == []


def test_without_the_web_the_tool_is_off_and_nobody_is_bothered_with_it(toolbox_of):
    async def main():
        toolbox = await toolbox_of(question="See https://example.com/x")
        try:
            names = [spec.name for spec in toolbox.all_specs()]
            call = ToolCall(id="1.0", name="download_file_from_internet_to_sandbox", arguments={})
            return names, toolbox.notices(), await toolbox.call(call)
        finally:
            await toolbox.close()

    names, notices, refused = asyncio.run(main())
    assert "download_file_from_internet_to_sandbox" not in names and notices == []
    assert refused.is_error and "the web is switched off" in refused.text
