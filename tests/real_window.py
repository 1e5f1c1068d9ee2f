"""Drives the real app from outside: on a screen of its own, with mouse and keyboard, seeing what a screen reader sees.

A test finds a control by its role and name in the accessible tree that the app writes on demand (see
``fathom.ui.accessible_tree``), and moves the real mouse to where the tree says that it is. What happened is read from
the database through the public store.
"""

from __future__ import annotations

import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from fathom.core.events import (
    AgentEvent,
    CallStarted,
    ObservationReady,
    RunFinished,
    RunStarted,
    StepFinished,
    StepStarted,
)
from fathom.core.settings import EndpointSettings, Settings
from fathom.core.types import Citation, Observation, Passage, Report, Session, Step, Task, ToolCall
from fathom.store.database import open_database
from fathom.store.sessions import SessionStore

T = TypeVar("T")
Name = str | re.Pattern[str]
Rect = tuple[int, int, int, int]

WIDTH, HEIGHT = 1280, 800
HANGUL = (
    "콜리스아처"  # keys of their own: xdotool would rebind a key for each, and the app reads such a change too late
)
KEYBOARD = """
xkb_keymap {{
    xkb_keycodes {{ include "evdev+aliases(qwerty)" }};
    xkb_types {{ include "complete" }};
    xkb_compat {{ include "complete" }};
    xkb_symbols {{ include "pc+us+inet(evdev)" {keys} }};
}};
"""
PROGRAMS = {"Xvfb": "xvfb", "openbox": "openbox", "xdotool": "xdotool", "import": "imagemagick"}
PATIENCE_S = 240.0  # for whatever waits for the model: a busy machine takes 10 s a step
LOOK_EVERY_S = 0.05
COMPLAINT = re.compile(r"Traceback|Error\b| (WARNING|ERROR) |Qt: ")


def eventually(seen: Callable[[], T | None], what: str, timeout_s: float = PATIENCE_S, every_s: float = 0.02) -> T:
    """What ``seen()`` returns as soon as that is true. Raises AssertionError after ``timeout_s``."""
    end = time.monotonic() + timeout_s
    while True:
        found = seen()
        if found:
            return found
        assert time.monotonic() < end, f"in {timeout_s:.0f} s it did not happen: {what}"
        time.sleep(every_s)


@dataclass(frozen=True)
class Node:
    """A control as a screen reader is told of it."""

    role: str
    name: str
    rect: Rect
    states: frozenset[str]
    text: str = ""
    characters: tuple[Rect, ...] = field(default=(), repr=False)
    children: tuple[Node, ...] = field(default=(), repr=False)

    @classmethod
    def of(cls, data: dict[str, Any]) -> Node:
        return cls(
            role=data["role"],
            name=data["name"],
            rect=tuple(data["rect"]),
            states=frozenset(data["states"]),
            text=data.get("text", ""),
            characters=tuple(tuple(rect) for rect in data.get("characters", ())),
            children=tuple(cls.of(child) for child in data["children"]),
        )

    def walk(self) -> Iterator[Node]:
        """This node and all below it, in reading order."""
        yield self
        for child in self.children:
            yield from child.walk()

    def is_(self, role: str, name: Name) -> bool:
        if role and self.role != role:
            return False
        return self.name == name if isinstance(name, str) else bool(name.search(self.name))

    def place_of(self, words: str) -> tuple[int, int]:
        """The middle of the first place where ``words`` stand in its text."""
        at = self.text.index(words)
        first, last = self.characters[at], self.characters[at + len(words) - 1]
        return middle((first[0], first[1], last[0] + last[2] - first[0], first[3]))

    @property
    def middle(self) -> tuple[int, int]:
        return middle(self.rect)


def middle(rect: Rect) -> tuple[int, int]:
    """The point in the middle of a rectangle."""
    return rect[0] + rect[2] // 2, rect[1] + rect[3] // 2


class Desktop:
    """Xvfb and openbox, 1280 x 800. Ends both when it is closed."""

    def __init__(self, folder: Path) -> None:
        missing = [package for program, package in PROGRAMS.items() if shutil.which(program) is None]
        assert not missing, f"these tests need {', '.join(missing)}: sudo apt-get install {' '.join(missing)}"
        self._ends = ExitStack()
        self.environment = {
            name: value
            for name, value in os.environ.items()
            if name not in ("DISPLAY", "WAYLAND_DISPLAY", "FATHOM_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME")
            and not name.startswith(("QT_", "LC_"))
        }
        self.environment |= {"LANG": "C.UTF-8", "HOME": str(folder)}
        self._log = self._ends.enter_context((folder / "desktop.txt").open("w"))
        number, ready = os.pipe()
        screen = ["-screen", "0", f"{WIDTH}x{HEIGHT}x24", "-nolisten", "tcp", "-noreset"]
        self._start(["Xvfb", "-displayfd", str(ready), *screen], pass_fds=(ready,))
        os.close(ready)
        with os.fdopen(number) as answer:
            self.environment["DISPLAY"] = f":{answer.readline().strip()}"
        self._start(["openbox"])
        self._add_keys(folder / "keyboard.xkb")

    def _add_keys(self, path: Path) -> None:
        keys = " ".join(f"key <FK{13 + n}> {{ [ U{ord(letter):04X} ] }};" for n, letter in enumerate(HANGUL))
        path.write_text(KEYBOARD.format(keys=keys))
        command = ["xkbcomp", "-w0", str(path), self.environment["DISPLAY"]]
        subprocess.run(command, env=self.environment, stdout=self._log, stderr=self._log, timeout=60, check=True)

    def _start(self, command: list[str], **options: Any) -> None:
        process = subprocess.Popen(
            command, env=self.environment, stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log, **options
        )
        self._ends.callback(process.wait, 30)
        self._ends.callback(process.terminate)

    def close(self) -> None:
        self._ends.close()

    def xdotool(self, *words: object) -> str:
        """Run one command of xdotool and return what it says."""
        done = subprocess.run(
            ["xdotool", *map(str, words)], env=self.environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, f"xdotool {words}: {done.stderr}"
        return done.stdout.strip()

    def click(self, at: tuple[int, int]) -> None:
        """Move the mouse there and press its left button once."""
        x, y = at
        assert 0 <= x < WIDTH and 0 <= y < HEIGHT, f"{at} is not on the screen"
        self.xdotool("mousemove", x, y, "click", 1)

    def keys(self, *names: str) -> None:
        """Press keys, one after the other: "ctrl+f", "Tab"."""
        self.xdotool("key", "--clearmodifiers", "--delay", 30, *names)

    def type(self, text: str) -> None:
        """Type a text: Latin letters, and those of ``HANGUL``."""
        self.xdotool("type", "--clearmodifiers", "--delay", 5, "--", text)

    def picture(self, path: Path) -> None:
        """Save what the screen shows."""
        subprocess.run(["import", "-window", "root", str(path)], env=self.environment, timeout=60, check=False)


class Home:
    """An empty data folder, and what the store says of it later.

    ``max_calls`` bounds a run: how many steps the small model takes by itself is chance, and may be very many.
    ``server`` is the address of a server with OpenAI's protocol that can be chosen.
    """

    def __init__(self, path: Path, max_calls: int = 3, server: str = "") -> None:
        self.path = path
        self._store: SessionStore | None = None
        if not path.exists():
            path.mkdir(mode=0o700)
            endpoint = EndpointSettings(base_url=server)
            Settings(max_calls=max_calls, endpoint=endpoint).save(path / "settings.json")

    @property
    def store(self) -> SessionStore:
        if self._store is None:
            self._store = SessionStore(open_database(self.path / "fathom.db"))
        return self._store

    def close(self) -> None:
        if self._store is not None:
            self._store.close()
            self._store = None

    def asked(self, question: str) -> Session:
        """Wait for the session of a question that was asked just now."""

        def seen() -> Session | None:
            session = self.newest()
            return session if session is not None and session.task.question == question else None

        return eventually(seen, f"{question!r} is asked")

    def newest(self) -> Session | None:
        """The session asked last; None before the first one."""
        # The window opens the library after its sessions: opened by both while it is made, the file can stay locked.
        if not (self.path / "library.db").exists():
            return None
        return next((session for session in self.store.list() if not session.sample), None)

    def events(self, session: Session) -> list[AgentEvent]:
        return self.store.events(session.id)

    def wait_event(self, session: Session, kind: type[AgentEvent], step: int = 0) -> list[AgentEvent]:
        """Wait until an event of this kind (and step) is stored; returns all events then."""

        def seen() -> list[AgentEvent] | None:
            events = self.events(session)
            return (
                events
                if any(isinstance(each, kind) and (not step or step_of(each) == step) for each in events)
                else None
            )

        return eventually(seen, f"{kind.__name__} {step or ''} is stored")

    def add_finished(self, number: int, question: str) -> Session:
        """Put a session into the store that was asked some days ago: one step, a report with one citation."""
        session = Session(
            id=f"kept{number}",
            title=question,
            created=f"2026-01-{number:02}T12:00:00+00:00",
            task=Task(question=question),
        )
        text = f"Words before it. The answer to “{question}” is eleven. Words after it."
        quote = text[17:-17]
        passage = Passage(uri=f"library://sample/{number}", title=f"Page {number}", text=text, end=len(text))
        call = ToolCall(id="1.0", name="google_search", arguments={"q": question})
        found = Observation(
            call_id=call.id, tool=call.name, text=text, title=passage.title, best=quote, passages=(passage,)
        )
        thought = f"I look for this: {question}"
        report = Report(
            question=question,
            answer="Eleven",
            answer_backed=True,
            body="**Eleven** [1]\n",
            citations=(Citation(number=1, step=1, passage=passage, quote=quote),),
        )
        self.store.create(session)
        for event in (
            RunStarted(task=session.task),
            StepStarted(step=1),
            CallStarted(step=1, call_id=call.id, name=call.name, arguments=dict(call.arguments), thought=thought),
            ObservationReady(step=1, observation=found),
            StepFinished(step=Step(index=1, thought=thought, calls=(call,), observations=(found,))),
            RunFinished(answer="Eleven", finish_reason="answered", report=report),
        ):
            self.store.record(session.id, event)
        return session


def step_of(event: AgentEvent) -> int:
    """The step that an event belongs to, 0 when it belongs to none."""
    return event.step.index if isinstance(event, StepFinished) else int(getattr(event, "step", 0))


class Window:
    """``python -m fathom`` in a process of its own, on a desktop, or ``offscreen`` when no mouse is needed."""

    def __init__(self, desktop: Desktop, home: Home, folder: Path) -> None:
        self.desktop, self.home, self.folder = desktop, home, folder
        folder.mkdir()
        self._tree = folder / "tree.json"
        self._serial = 0
        self._stderr = (folder / "stderr.txt").open("w")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "fathom"],
            env=desktop.environment
            | {
                "FATHOM_HOME": str(home.path),
                "FATHOM_ACCESSIBLE_TREE": str(self._tree),
                "HOME": str(folder),
                "PYTHONFAULTHANDLER": "1",
            },
            stdin=subprocess.DEVNULL,
            stdout=self._stderr,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        eventually(lambda: self._tree.exists() or self._alive(), "the window opens and its event loop runs")
        self._serial = 1  # that one was not asked for
        self.x_window = eventually(self._x_window, "the window is on the screen")
        desktop.xdotool("windowactivate", "--sync", self.x_window)

    def _alive(self) -> None:
        code = self.process.poll()
        assert code is None, f"the app ended with {code}:\n{self.said()}"

    def _x_window(self) -> str:
        self._alive()
        with suppress(AssertionError):  # it says 1 while there is none
            found = self.desktop.xdotool("search", "--onlyvisible", "--pid", self.process.pid, "--name", "^Fathom$")
            return found.split()[0] if found else ""
        return ""

    # --- what it shows --------------------------------------------------------------------------------------------

    def tree(self) -> list[Node]:
        """What the window shows now, dialogs and menus included."""
        self._alive()
        self.process.send_signal(signal.SIGUSR1)
        data = eventually(self._fresh, "the window tells what it shows", every_s=0.005)
        self._serial = data["serial"]
        return [Node.of(window) for window in data["windows"]]

    def _fresh(self) -> dict[str, Any] | None:
        self._alive()
        data: dict[str, Any] = json.loads(self._tree.read_text("utf-8"))
        return data if data["serial"] > self._serial else None

    def all(self, role: str, name: Name = re.compile("")) -> list[Node]:
        """Every control of this role and name, in reading order."""
        return [node for window in self.tree() for node in window.walk() if node.is_(role, name)]

    def find(self, role: str, name: Name = re.compile("")) -> Node | None:
        """The first one, None when it is not shown."""
        return next(iter(self.all(role, name)), None)

    def wait(self, role: str, name: Name = re.compile(""), *, states: str = "", without: str = "") -> Node:
        """Wait until it is shown, with and without some states."""
        wanted, unwanted = set(states.split()), set(without.split())

        def seen() -> Node | None:
            found = self.all(role, name)
            return next((node for node in found if wanted <= node.states and not unwanted & node.states), None)

        return eventually(seen, f"{role} {name!r} {states} is shown", every_s=LOOK_EVERY_S)

    def wait_gone(self, role: str, name: Name) -> None:
        """Wait until it is not shown any more."""
        eventually(lambda: self.find(role, name) is None, f"{role} {name!r} goes away", every_s=LOOK_EVERY_S)

    def resting(self, role: str, name: Name) -> Node:
        """As ``wait`` for an enabled control, once it lies where it lay a moment before."""
        last: list[Node] = []

        def seen() -> Node | None:
            node = self.wait(role, name, without="disabled")
            same = bool(last) and last[-1].rect == node.rect
            last.append(node)
            return node if same else None

        return eventually(seen, f"{role} {name!r} comes to rest", every_s=LOOK_EVERY_S)

    def focused(self) -> list[Node]:
        """The controls with the keyboard."""
        return [node for window in self.tree() for node in window.walk() if "focused" in node.states]

    # --- mouse and keyboard ---------------------------------------------------------------------------------------

    def click(self, role: str, name: Name) -> None:
        """Press a control with the mouse."""
        self.desktop.click(self.resting(role, name).middle)

    def click_words(self, role: str, name: Name, words: str) -> None:
        """Press where ``words`` stand in a text, which is scrolled there first."""

        def seen() -> tuple[int, int] | None:
            node = self.resting(role, name)
            at = node.place_of(words)
            top, height = node.rect[1], node.rect[3]
            if top + 8 <= at[1] < top + height - 8:
                return at
            self.desktop.xdotool("mousemove", *node.middle, "click", 5 if at[1] > top else 4)
            return None

        self.desktop.click(eventually(seen, f"{words!r} comes into sight", every_s=LOOK_EVERY_S))

    def type_into(self, name: str, text: str) -> None:
        """Type into the field that has the keyboard, and see it arrive."""
        self.desktop.type(text)
        eventually(lambda: self.wait("EditableText", name).text == text, f"{text!r} arrives in {name}")

    # --- its end --------------------------------------------------------------------------------------------------

    def descendants(self) -> list[int]:
        """The process ids of its children and theirs."""
        return descendants(self.process.pid)

    def child(self, role: str) -> int:
        """The process id of its worker."""

        def seen() -> int | None:
            return next((pid for pid in self.descendants() if command(pid)[-2:] == ["worker", role]), None)

        return eventually(seen, f"there is a worker {role}")

    def said(self) -> str:
        """What it wrote to stderr and to its log."""
        log = self.home.path / "log.txt"
        return (self.folder / "stderr.txt").read_text() + (log.read_text() if log.exists() else "")

    def close(self, expected: str = "") -> None:
        """alt+F4, then see it end as it should: code 0, no child left, nothing to complain of but what is expected."""
        children = self.descendants()
        self.desktop.xdotool("windowactivate", "--sync", self.x_window)
        self.desktop.keys("alt+F4")
        eventually(lambda: self.process.poll() is not None, "the window closes")
        assert self.process.returncode == 0, self.said()
        assert all_gone(children, 10.0), "a child outlived the window"
        complaints = [line for line in self.said().splitlines() if COMPLAINT.search(line)]
        assert all(expected and expected in line for line in complaints), self.said()

    def kill(self) -> bool:
        """kill -9; whether all its children were gone within two seconds."""
        children = [os.pidfd_open(pid) for pid in self.descendants()]
        self.process.kill()
        self.process.wait(30)
        try:
            end = time.monotonic() + 2.0
            return all(select.select([child], [], [], max(0.0, end - time.monotonic()))[0] for child in children)
        finally:
            for child in children:
                os.close(child)

    def end(self, failed: bool) -> None:
        """After a test; keeps what can tell why it failed in its folder."""
        if self.process.poll() is None:
            if failed:
                self.desktop.picture(self.folder / "failed.png")
            self.process.kill()
            self.process.wait(30)
        self._stderr.close()
        self.home.close()
        if failed:
            sys.stderr.write(f"what the window showed and said: {self.folder}\n{self.said()[-4000:]}\n")


def descendants(pid: int) -> list[int]:
    """All children of a process and theirs, as Linux tells."""
    found: list[int] = []
    with suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            for child in map(int, (thread / "children").read_text().split()):
                found += [child, *descendants(child)]
    return found


def command(pid: int) -> list[str]:
    """A process's command line, [] when it is gone."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text().rstrip("\0").split("\0")
    return []


def all_gone(pids: list[int], timeout_s: float) -> bool:
    """Whether these processes end in time."""
    end = time.monotonic() + timeout_s
    while any(command(pid) for pid in pids):
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True
