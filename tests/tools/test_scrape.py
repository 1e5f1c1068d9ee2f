"""scrape_and_extract_info over the library and over real local pages."""

from __future__ import annotations

import asyncio

from fathom.core.types import Scope, ToolCall
from fathom.tools.addresses import FetchPolicy

PARAGRAPH = b"<p>The keeper of the old tower lit the lamp and wrote the weather down in a heavy book.</p>"
PAGE = (
    b"<html><head><title>Towers</title></head><body><nav>Home Contact</nav><div><h1>Towers</h1>"
    + PARAGRAPH * 12
    + b"<p>In 1974 she was appointed ambassador to Ghana, which surprised everybody in the town.</p></div>"
    + b"</body></html>"
)


def read(url, wanted):
    return ToolCall(id="1.0", name="scrape_and_extract_info", arguments={"url": url, "info_to_extract": wanted})


def run(toolbox_of, url, wanted, **options):
    async def main():
        toolbox = await toolbox_of(question=f"See {url}", **options)
        try:
            return await toolbox.call(read(url, wanted))
        finally:
            await toolbox.context.parser.close()
            await toolbox.close()

    return asyncio.run(main())


def test_a_short_document_is_read_whole_with_title_address_and_best_sentence(toolbox_of):
    observation = run(toolbox_of, "library://films/temple", "ambassador")
    assert observation.text.startswith("Page: Shirley Temple\nURL: library://films/temple\n")
    assert observation.title == "Shirley Temple" and "ambassador to Ghana" in observation.best
    assert observation.passages[0].text.endswith("Chief of Protocol of the United States.")


def test_passages_of_a_long_document_have_its_offsets(toolbox_of, library):
    observation = run(toolbox_of, "library://films/long", "who married the ambassador of Ghana", observation_chars=1200)
    document = library.document("library://films/long")
    assert len(observation.text) <= 1200 and "Keeper 715 married" in observation.text
    assert observation.best == "Keeper 715 married the ambassador of Ghana near the lamp in the evening."
    for passage in observation.passages:
        assert document.text[passage.start : passage.end] == passage.text


def test_what_is_not_in_the_page_is_said_to_be_not_found(toolbox_of):
    observation = run(toolbox_of, "library://films/long", "box office gross", observation_chars=1200)
    assert 'Not found in this page: "box office gross". It begins:' in observation.text
    assert not observation.is_error


def test_a_title_instead_of_the_link_opens_the_page(toolbox_of):
    async def main():
        toolbox = await toolbox_of()
        await toolbox.call(ToolCall(id="1.0", name="google_search", arguments={"q": "Shirley Temple"}))
        observation = await toolbox.call(read("shirley temple", "ambassador"))
        await toolbox.close()
        return observation

    assert asyncio.run(main()).title == "Shirley Temple"


def test_an_address_that_is_not_in_the_library_is_told(toolbox_of):
    observation = run(toolbox_of, "library://films/none", "anything")
    assert observation.is_error and "is not in the library" in observation.text


def test_a_web_page_is_refused_while_the_web_is_off(toolbox_of):
    observation = run(toolbox_of, "http://example.com/", "anything")
    assert observation.is_error and "the web is switched off" in observation.text


def test_a_web_page_is_read_through_the_parser(toolbox_of, serving):
    with serving(lambda request: request.reply(200, PAGE)) as base:
        port = int(base.rsplit(":", 1)[1])
        policy = FetchPolicy(allow_loopback=True, ports=frozenset({port}))
        observation = run(
            toolbox_of, f"{base}/towers", "ambassador to Ghana", scope=Scope(web=True), fetch_policy=policy
        )
    assert observation.title == "Towers"
    assert observation.best == "In 1974 she was appointed ambassador to Ghana, which surprised everybody in the town."
    assert "Home Contact" not in observation.text
    assert observation.passages[-1].uri == f"{base}/towers"


def test_only_the_first_409600_characters_of_a_page_are_looked_through_and_it_says_so(toolbox_of, serving):
    line = "The keeper lit the lamp in the evening. " * 40 + "\n\n"
    text = line * (409_600 // len(line) + 1) + "\n\nIn 1974 she was appointed ambassador to Ghana."
    with serving(lambda request: request.reply(200, text.encode(), "text/plain")) as base:
        policy = FetchPolicy(allow_loopback=True, ports=frozenset({int(base.rsplit(":", 1)[1])}))
        observation = run(toolbox_of, f"{base}/a", "ambassador Ghana", scope=Scope(web=True), fetch_policy=policy)
    assert "Only the first 409,600 characters of it were looked through." in observation.text
    assert 'Not found in this page: "ambassador Ghana".' in observation.text
