"""Make the README's pictures: the real window, offscreen, over the sample session that comes with Fathom.

Usage: screenshots.py [--out resources/pictures] [--samples resources/samples]
Nothing is drawn for the occasion: the sessions are recordings of real runs, the engine is the one that is installed.
The data folder is a temporary one, so that no session of yours gets into a picture.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PySide6.QtGui import QImage
    from PySide6.QtWidgets import QApplication, QWidget

    from fathom.core.types import Report, Session
    from fathom.ui.app import App

ROOT = Path(__file__).parent.parent
SIZE = (1440, 900)
MOST_BYTES = 200_000
GROUNDS, APART = 48, 8  # so many colours stay exactly as they are; the others differ by so much (of 255) or more
ENGINE_WITHIN_S = 120.0
DRAWN_WITHIN_S = 20.0
KOREAN = "영화 〈키스 앤 텔〉에서 코리스 아처를 연기한 사람은 나중에 어떤 공직을 맡았으며, 그 근거는 어느 글에 있는가?"


class NoPictures(Exception):
    """Why there are none, in plain words."""


def main() -> int:
    """Parse the command line and make the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "resources" / "pictures")
    parser.add_argument("--samples", type=Path, default=ROOT / "resources" / "samples")
    arguments = parser.parse_args()
    # Before Qt is imported: the same pixels on every computer, whatever its desktop says.
    os.environ |= {"QT_QPA_PLATFORM": "offscreen", "QT_SCALE_FACTOR": "1", "LC_ALL": "C.UTF-8", "QT_LOGGING_RULES": ""}
    with tempfile.TemporaryDirectory() as home:
        os.environ["FATHOM_HOME"] = home
        try:
            sample = import_samples(arguments.samples, Path(home))
            arguments.out.mkdir(parents=True, exist_ok=True)
            run(lambda app: make_pictures(app, sample, arguments.out))
        except NoPictures as error:
            print(f"no pictures: {error}", file=sys.stderr)
            return 1
    return 0


def import_samples(folder: Path, home: Path) -> str:
    """Put the recordings of ``folder`` into the store of ``home``; returns the id of the first one with a report."""
    from fathom.core.errors import FathomError
    from fathom.store.database import open_database
    from fathom.store.sessions import SessionStore

    paths = sorted(folder.glob("*.json"))
    if not paths:
        raise NoPictures(f"{folder} holds no recording (*.json). Make one with packaging/record_sample.py.")
    store = SessionStore(open_database(home / "fathom.db"))
    try:
        sessions = [store.import_recording(path) for path in paths]
        with_report = [session.id for session in sessions if store.trajectory(session.id).report is not None]
    except FathomError as error:
        raise NoPictures(f"a recording in {folder} cannot be read: {error}") from error
    finally:
        store.close()
    if not with_report:
        raise NoPictures(f"no recording in {folder} ended with a report.")
    return with_report[0]


def run(make: Callable[[QApplication], object]) -> None:
    """Start Qt and run ``make`` on a loop that is Qt's."""
    import qasync
    from PySide6.QtGui import QFontDatabase
    from PySide6.QtWidgets import QApplication

    from fathom.ui import theme

    app = QApplication(["fathom"])
    app.setQuitOnLastWindowClosed(False)
    app.setCursorFlashTime(0)  # the caret is there in every picture
    theme.apply(app, "light")
    if not QFontDatabase.families(QFontDatabase.WritingSystem.Korean):
        raise NoPictures("no font has Korean letters. Install one, for example the package fonts-noto-cjk.")
    with asyncio.Runner(loop_factory=lambda: qasync.QEventLoop(app, already_running=False)) as runner:
        runner.run(make(app))  # type: ignore[arg-type]


async def make_pictures(app: QApplication, sample: str, out: Path) -> None:
    """Open the app's own window and go through what the README shows."""
    from fathom.core.settings import Settings
    from fathom.ui import theme
    from fathom.ui.app import App
    from fathom.ui.main_window import MainWindow

    window = MainWindow()
    window.resize(*SIZE)
    life = App(app, window, Settings(theme="light"))
    window.show()
    life.research.composer.begin()
    await life.open()
    try:
        await engine_ready(life)
        await picture(window, out / "first-run.png")
        session = show_sample(life, sample)
        await drawn(life)
        show_passage(life, session)
        await picture(window, out / "research.png")
        await show_report(life)
        await picture(window, out / "report.png")
        theme.apply(app, "dark")
        life.research.new_question(KOREAN)
        edit = life.research.composer.input.edit
        edit.moveCursor(edit.textCursor().MoveOperation.End)
        await picture(window, out / "dark.png")
    finally:
        window.hide()
        await life.close()
        window.deleteLater()


async def engine_ready(life: App) -> None:
    """Wait until the model is loaded: the pictures show a Fathom that works."""
    services = life.services
    if services is None:
        raise NoPictures("the data folder could not be opened.")
    await until(lambda: services.engine.status.state in ("ready", "failed", "no_model", "missing"), ENGINE_WITHIN_S)
    status = services.engine.status
    if status.state != "ready":
        raise NoPictures(f"the engine is not ready ({status.message or status.state}). Run make setup first.")


def show_sample(life: App, sample: str) -> Session:
    """Open the recording."""
    life.research.show_session(sample)
    assert life.services is not None
    return life.services.sessions.session(sample)


async def drawn(life: App) -> None:
    """Wait for the report, which is drawn in a thread of its own."""
    page = life.research.page
    assert page is not None
    await until(lambda: page.detail.report.ready, DRAWN_WITHIN_S)


def show_passage(life: App, session: Session) -> None:
    """The steps in the middle, and on the right what the first citation rests on, or else what was read last."""
    assert life.services is not None
    page = life.research.page
    assert page is not None
    trajectory = life.services.sessions.trajectory(session.id)
    read = [
        (step.index, position)
        for step in trajectory.steps
        for position, observation in enumerate(step.observations)
        if observation.passages
    ]
    cited = first_cited(trajectory.report)
    places = [place for place in read if place[0] == cited] or read[-1:]
    if not places:
        raise NoPictures(f"in the recording {session.title!r} no passage was read.")
    page.timeline.show_step(places[0][0])
    page.detail.show_observation(*places[0])


def first_cited(report: Report | None) -> int:
    """The step that the first citation rests on, 0 without one."""
    return report.citations[0].step if report is not None and report.citations else 0


async def show_report(life: App) -> None:
    """The report, and the saved passage that its first citation opens."""
    page = life.research.page
    assert page is not None
    page.timeline.jump_to_latest()
    page.detail.show_report()
    page.detail.show_citation(1)


async def picture(window: QWidget, path: Path) -> None:
    """Save the window as a PNG."""
    await settled()
    save(window.grab().toImage(), path)


def save(image: QImage, path: Path) -> None:
    """Write it; raises NoPictures when it came out too large."""
    if (image.width(), image.height()) != SIZE:
        raise NoPictures(f"the window came out as {image.width()} x {image.height()} pixels.")
    if not with_palette(image).save(str(path), "PNG", 0):  # 0: packed as tightly as can be
        raise NoPictures(f"{path} cannot be written.")
    size = path.stat().st_size
    print(f"{path}  {size:,} bytes", file=sys.stderr)
    if size > MOST_BYTES:
        raise NoPictures(f"{path} has {size:,} bytes, more than {MOST_BYTES:,}.")


def with_palette(image: QImage) -> QImage:
    """The picture in at most 256 of its own colours: half the bytes, and no difference that an eye sees."""
    from PySide6.QtCore import Qt
    from PySide6.QtGui import QImage

    pixels = image.convertToFormat(QImage.Format.Format_RGB32)
    counted = Counter(memoryview(pixels.constBits()).cast("I"))
    palette = chosen_colors([color for color, _ in counted.most_common()])
    return pixels.convertToFormat(QImage.Format.Format_Indexed8, palette, Qt.ImageConversionFlag.AvoidDither)


def chosen_colors(colors: list[int]) -> list[int]:
    """At most 256 of ``colors`` (0xAARRGGBB, most frequent first): the grounds, and of the shades those apart."""
    chosen: list[tuple[int, int, int]] = []
    for color in colors:
        red, green, blue = color >> 16 & 255, color >> 8 & 255, color & 255
        near = any((red - r) ** 2 + (green - g) ** 2 + (blue - b) ** 2 < APART**2 for r, g, b in chosen)
        if len(chosen) < GROUNDS or not near:
            chosen.append((red, green, blue))
        if len(chosen) == 256:
            break
    return [0xFF000000 | red << 16 | green << 8 | blue for red, green, blue in chosen]


async def settled(frames: int = 20) -> None:
    """Let the layouts and timers of some frames run out."""
    for _ in range(frames):
        await asyncio.sleep(0.02)


async def until(seen: Callable[[], bool], within_s: float) -> None:
    """Wait, with the window alive, until ``seen()`` is true or the time is up."""
    end = time.monotonic() + within_s
    while not seen() and time.monotonic() < end:
        await settled(1)


if __name__ == "__main__":
    sys.exit(main())
