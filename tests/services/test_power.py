"""Battery: nothing happens unless it was asked for; then threads and a pause that says why."""

from __future__ import annotations

import asyncio

import pytest

from fathom.core.settings import Settings
from fathom.services import machine, power
from fathom.services.machine import Battery
from fathom.services.power import PowerWatch

LOW, HALF = Battery(percent=12, plugged_in=False), Battery(percent=50, plugged_in=False)
PLUGGED = Battery(percent=12, plugged_in=True)


@pytest.mark.parametrize(
    ("quiet", "found", "expected"),
    [
        ("never", LOW, 0),
        ("on_battery", HALF, 4),
        ("on_battery", PLUGGED, 0),
        ("on_battery", None, 0),
        ("always", None, 4),
        ("always", PLUGGED, 4),
    ],
)
def test_the_quiet_mode_takes_half_the_cores(quiet: str, found: Battery | None, expected: int) -> None:
    assert power.threads(Settings(quiet=quiet), found, cores=8) == expected  # type: ignore[arg-type]


def test_one_core_is_never_halved_away() -> None:
    assert power.threads(Settings(quiet="always"), None, cores=1) == 1


class _Engine:
    """The engine's service as far as the watch knows it."""

    def __init__(self) -> None:
        self.threads = 0
        self.told: list[int] = []

    def use_threads(self, threads: int) -> None:
        self.threads = threads
        self.told.append(threads)


def test_the_threads_follow_the_plug_and_are_told_once_a_change() -> None:
    async def main() -> None:
        engine, found = _Engine(), [PLUGGED]
        watch = PowerWatch(Settings(quiet="on_battery"), engine, _Sessions(), lambda: found[0])  # type: ignore[arg-type]
        await watch.check()
        assert engine.told == []
        found[0] = HALF
        await watch.check()
        await watch.check()
        assert len(engine.told) == 1 and engine.threads >= 1
        found[0] = PLUGGED
        await watch.check()
        assert len(engine.told) == 2 and engine.threads == 0

    asyncio.run(main())


class _Sessions:
    busy = False

    def __init__(self) -> None:
        self.reasons: list[str] = []

    def pause_with(self, reason: str) -> None:
        self.reasons.append(reason)


def test_a_low_battery_pauses_once_and_only_when_asked_for() -> None:
    async def main(asked: bool) -> list[str]:
        sessions, found = _Sessions(), [HALF]
        settings = Settings(pause_on_low_battery=asked)
        watch = PowerWatch(settings, _Engine(), sessions, lambda: found[0])  # type: ignore[arg-type]
        await watch.check()
        found[0] = LOW
        for _ in range(3):
            await watch.check()
        found[0] = PLUGGED
        await watch.check()
        found[0] = LOW
        await watch.check()
        return sessions.reasons

    assert asyncio.run(main(False)) == []
    reasons = asyncio.run(main(True))
    assert len(reasons) == 2  # once each time that it fell
    assert "12 %" in reasons[0] and "saved" in reasons[0]


def test_a_computer_without_a_battery_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine.psutil, "sensors_battery", lambda: None, raising=False)
    assert machine.battery() is None
    monkeypatch.delattr(machine.psutil, "sensors_battery")
    assert machine.battery() is None


def test_cards_are_read_from_what_the_driver_prints() -> None:
    text = "NVIDIA GeForce RTX 4070, 12282, 11034\nOdd, Name, 8192, 100\nNVIDIA GB10, [N/A], [N/A]\nnonsense\n"
    cards = machine.nvidia_gpus(lambda _command: text)
    assert [(card.name, card.total_bytes, card.free_bytes) for card in cards] == [
        ("NVIDIA GeForce RTX 4070", 12282 << 20, 11034 << 20),
        ("Odd, Name", 8192 << 20, 100 << 20),
    ]
    assert machine.nvidia_gpus(lambda _command: "") == ()


def test_apples_shared_memory_has_a_limit() -> None:
    def said(command: object) -> str:
        return {"iogpu.wired_limit_mb": "20000\n", "machdep.cpu.brand_string": "Apple M3\n"}[list(command)[-1]]  # type: ignore[call-overload]

    (card,) = machine.apple_gpu(32 << 30, 25 << 30, said)
    assert (card.name, card.total_bytes, card.free_bytes) == ("Apple M3", 20000 << 20, 20000 << 20)
    (card,) = machine.apple_gpu(10_000, 9_000, lambda _command: "0")
    assert (card.total_bytes, card.free_bytes) == (7_000, 7_000)


def test_a_program_that_is_not_there_answers_nothing() -> None:
    assert machine.ask(["fathom-no-such-program"]) == ""
    assert machine.look().ram_bytes > 0
