"""The queue of downloads: real processes, a real hub on this computer."""

from __future__ import annotations

import asyncio
import random
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from fathom.core.errors import DownloadError
from fathom.services import downloads as module
from fathom.services.downloads import Download, Downloads
from fathom.weights.catalog import Entry, catalog
from hub_server import Hub, HubFile

T = TypeVar("T")
DATA = random.Random(2).randbytes(2_000_000)
REPO = "someone/Tiny-GGUF"


def entry(name: str, **more: str) -> Entry:
    return Entry(
        id=name,
        name=name.title(),
        family="Tiny",
        note="",
        licence="MIT",
        format="gguf",
        quantisation="Q4_0",
        repo=REPO,
        file=f"{name}.gguf",
        bytes=len(DATA),
        parameters=0.1,
        context=2048,
        layers=2,
        kv_heads=1,
        head_dim=64,
        vocabulary=100,
        **more,  # type: ignore[arg-type]
    )


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    files = {f"{name}.gguf": HubFile(DATA) for name in ("one", "two", "three")}
    with Hub(files={REPO: files}) as running:
        monkeypatch.setenv("HF_ENDPOINT", running.endpoint)
        yield running


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(asyncio.wait_for(work, 240))


async def until(seen: Callable[[], bool]) -> None:
    while not seen():  # noqa: ASYNC110 - what is waited for is a figure, and has no event
        await asyncio.sleep(0.01)


def test_downloads_run_one_after_the_other_and_end_with_their_names(hub: Hub, tmp_path: Path) -> None:
    async def main() -> list[str]:
        queue = Downloads(tmp_path)
        states: list[str] = []
        queue.subscribe(lambda item: states.append(f"{item.model} {item.state}"))
        first, second = queue.add(entry("one")), queue.add(entry("two"))
        assert first.host == queue.host == hub.endpoint.removeprefix("http://")
        done = [await queue.wait(item.id) for item in (first, second)]
        assert [item.state for item in done] == ["done", "done"]
        await queue.close()
        return states

    states = run(main())
    assert states.index("one done") < states.index("two running")
    assert "one checking" in states
    assert {path.name: path.read_bytes() == DATA for path in tmp_path.iterdir()} == {"one.gguf": True, "two.gguf": True}


def test_a_pause_keeps_what_is_here_and_resume_fetches_the_rest(hub: Hub, tmp_path: Path) -> None:
    file = hub.files[REPO]["one.gguf"]
    file.hold, file.cut_after = threading.Event(), 1_500_000

    async def main() -> Download:
        queue = Downloads(tmp_path)
        item = queue.add(entry("one"))
        await until(lambda: queue.get(item.id).done_bytes > 1_000_000)
        queue.pause(item.id)
        assert (await queue.wait(item.id)).state == "paused"
        assert file.hold is not None
        file.hold.set()
        file.hold = None
        queue.resume(item.id)
        done = await queue.wait(item.id)
        await queue.close()
        return done

    assert run(main()).state == "done"
    assert (tmp_path / "one.gguf").read_bytes() == DATA
    ranges = hub.ranges()
    assert ranges[0] == "" and int(ranges[-1].removeprefix("bytes=").rstrip("-")) > 500_000


def test_cancel_removes_what_was_fetched_and_the_next_one_starts(hub: Hub, tmp_path: Path) -> None:
    file = hub.files[REPO]["one.gguf"]
    file.hold, file.cut_after = threading.Event(), 1_500_000

    async def main() -> None:
        queue = Downloads(tmp_path)
        first, second = queue.add(entry("one")), queue.add(entry("two"))
        await until(lambda: queue.get(first.id).done_bytes > 1_000_000)
        queue.cancel(first.id)
        assert (await queue.wait(second.id)).state == "done"
        assert [item.id for item in queue.items()] == [second.id]
        await queue.close()

    run(main())
    assert {path.name for path in tmp_path.iterdir()} == {"two.gguf"}


def test_a_connection_on_which_nothing_comes_is_ended(hub: Hub, tmp_path: Path) -> None:
    file = hub.files[REPO]["one.gguf"]
    file.hold, file.cut_after = threading.Event(), 1_500_000

    async def main() -> Download:
        queue = Downloads(tmp_path, stall_s=3.0)
        item = await queue.wait(queue.add(entry("one")).id)
        await queue.close()
        return item

    item = run(main())
    assert item.state == "failed"
    assert "Nothing has come" in item.message and item.needs and item.has and item.do
    assert (tmp_path / "one.gguf.part").stat().st_size > 0


def test_after_a_restart_nothing_is_fetched_until_it_is_asked_for(hub: Hub, tmp_path: Path) -> None:
    file = hub.files[REPO]["one.gguf"]
    file.hold, file.cut_after = threading.Event(), 1_500_000

    async def before() -> None:
        queue = Downloads(tmp_path)
        item = queue.add(entry("one"))
        await until(lambda: queue.get(item.id).done_bytes > 1_000_000)
        await queue.close()

    run(before())
    assert file.hold is not None
    file.hold.set()
    file.hold = None
    asked = len(hub.requests)

    async def after() -> Download:
        queue = Downloads(tmp_path)
        (item,) = queue.items()
        assert (item.state, item.note) == ("paused", module.STOPPED)
        assert len(hub.requests) == asked
        assert queue.add(entry("one")).id == item.id  # asking for it again takes it up
        done = await queue.wait(item.id)
        await queue.close()
        return done

    assert run(after()).state == "done"
    assert not (tmp_path / "downloads.json").exists()


def test_a_failure_says_needs_has_do_and_can_be_tried_again(hub: Hub, tmp_path: Path) -> None:
    file = hub.files[REPO]["one.gguf"]
    file.etag = "f" * 64

    async def main() -> Download:
        queue = Downloads(tmp_path)
        failed = await queue.wait(queue.add(entry("one")).id)
        assert failed.state == "failed"
        assert failed.message and failed.needs and failed.has and failed.do
        file.etag = ""
        queue.resume(failed.id)
        done = await queue.wait(failed.id)
        assert done.message == ""
        await queue.close()
        return done

    assert run(main()).state == "done"


def test_a_process_that_dies_is_said(tmp_path: Path) -> None:
    async def main() -> Download:
        queue = Downloads(tmp_path, command=(sys.executable, "-c", "import sys; sys.exit(3)"))
        item = await queue.wait(queue.add(entry("one")).id)
        await queue.close()
        return item

    assert "process ended" in run(main()).has


def test_the_embedded_model_has_no_source(tmp_path: Path) -> None:
    small = next(one for one in catalog().values() if one.embedded)
    with pytest.raises(DownloadError, match="comes with Fathom"):
        Downloads(tmp_path).add(small)


def test_the_process_sees_proxies_and_no_keys() -> None:
    given = {"HTTPS_PROXY": "http://proxy:1", "HF_TOKEN": "canary", "OPENAI_API_KEY": "canary", "PATH": "/bin"}
    seen = module.environment(given)
    assert seen["HTTPS_PROXY"] == "http://proxy:1" and seen["PATH"] == "/bin"
    assert "canary" not in seen.values()


def test_a_broken_list_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "downloads.json").write_text("{nonsense")
    assert Downloads(tmp_path).items() == []
