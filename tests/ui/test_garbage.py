"""Cyclic garbage ends in Qt's thread, whichever thread allocates."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable, Iterator

import pytest
from PySide6.QtCore import QObject
from PySide6.QtWidgets import QApplication
from workbench import run_qt, until

from fathom.ui.garbage import Collector

ended_in: list[int] = []


class InACycle(QObject):
    """Kept by a closure of its own, as a slot keeps its widget."""

    def __init__(self) -> None:
        super().__init__()
        self.slot: Callable[[], object] = lambda: self

    def __del__(self) -> None:
        ended_in.append(threading.get_ident())


def allocate() -> list[list[int]]:
    """Enough in this thread that Python would collect here, and as long as it is kept a collection is due."""
    return [[number] for number in range(50 * gc.get_threshold()[0])]


@pytest.fixture
def collector(qapp: QApplication, collector: None) -> Iterator[Collector]:
    gc.collect()
    ended_in.clear()
    made = Collector(qapp)
    yield made
    made.close()
    made.deleteLater()


def test_what_is_in_a_cycle_ends_in_qts_thread(qapp: QApplication, collector: Collector) -> None:
    async def main() -> None:
        for _ in range(20):
            InACycle()
            kept = await asyncio.to_thread(allocate)
        await until(lambda: len(ended_in) == 20)
        assert kept
        assert set(ended_in) == {threading.get_ident()}

    run_qt(qapp, main())


def test_what_was_there_is_not_looked_through_again_until_the_end(collector: Collector) -> None:
    before = InACycle()
    collector.settle()
    del before
    kept = allocate()
    collector.collect_due()
    assert kept
    gc.collect()
    assert ended_in == []
    collector.close()
    assert ended_in == [threading.get_ident()]
    assert gc.isenabled()


def test_nothing_is_collected_when_nothing_is_due(collector: Collector) -> None:
    gc.collect()
    assert collector.collect_due() == 0
