"""kill -9 in the middle of writing: nothing that was acknowledged is lost, and nothing is half there."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

from session_samples import run_events

from fathom.core.events import RunInterrupted
from fathom.store.database import open_database
from fathom.store.sessions import SessionStore

WRITER = """
import sys
from pathlib import Path
from session_samples import run_events, session
from fathom.store.database import open_database
from fathom.store.sessions import SessionStore

store = SessionStore(open_database(Path(sys.argv[1])))
store.create(session(sys.argv[2]))
print("created", flush=True)
for event in run_events(steps=50, chars=13_000):
    store.record(sys.argv[2], event)
    print("stored", flush=True)
"""


def test_twenty_kills_lose_nothing_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "fathom.db"
    expected = list(run_events(steps=50, chars=13_000))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    chance = random.Random(20261124)
    for attempt in range(20):
        session_id = f"s{attempt}"
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), session_id], stdout=subprocess.PIPE, text=True, env=environment
        ) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == "created\n"
            acknowledged = 0
            for _ in range(chance.randrange(0, 40)):
                assert child.stdout.readline() == "stored\n"
                acknowledged += 1
            child.send_signal(signal.SIGKILL)
            acknowledged += child.stdout.read().count("stored\n")

        database = open_database(path)
        assert database.loss == ""
        store = SessionStore(database)
        interrupted = store.mark_interrupted()
        events = store.events(session_id)
        if events and isinstance(events[-1], RunInterrupted):
            assert interrupted == [session_id]
            events.pop()
        assert len(events) >= acknowledged
        assert events == expected[: len(events)]
        store.close()
