"""Sessions on disk: each event that is not a delta is durable when ``record`` returns, and replays as it happened.

The event log is the truth; a trajectory is read from it. When a step finishes, the rows of its calls and observations
give up their payload, since the step holds the same values. Knows nothing of engines, tools or windows.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any, TypeAlias

import msgspec

from fathom.core.errors import DatabaseError, UserError
from fathom.core.events import (
    DELTAS,
    AgentEvent,
    HostContacted,
    Notice,
    RunFailed,
    RunFinished,
    RunInterrupted,
    RunStarted,
    RunStopped,
    StepFinished,
)
from fathom.core.types import (
    EngineSpec,
    Session,
    SessionState,
    Step,
    Task,
    Trajectory,
)
from fathom.store import terms
from fathom.store.database import Database
from fathom.store.event_rows import (
    EVENT,
    checksum_of,
    decode,
    encode,
    end_state,
    event_text,
    from_step,
    interruption,
    place,
    session_text,
    state_after,
)
from fathom.store.ownership import Owner
from fathom.store.session_schema import MIGRATIONS

_ENDS = ("RunFinished", "RunFailed", "RunStopped")
_DAMAGED = "A part of this session is damaged on the disk and is left out."
_OPEN_STATES = ("waiting", "running", "paused")
_SESSION_COLUMNS = (
    "s.id, s.title, s.created, s.task, s.state, s.engine, s.model_name, s.seconds, s.sample, "
    "s.parent_id, s.parent_step, s.unbacked, "
    "(SELECT count(*) FROM sources WHERE session = s.number), "
    "(SELECT count(DISTINCT step) FROM events WHERE session = s.number AND type = 'StepFinished')"
)


_Sessions: TypeAlias = list[Session]  # SessionStore.list hides the name within the class
_Events: TypeAlias = list[AgentEvent]
_Ids: TypeAlias = list[str]
_Contacts: TypeAlias = list[tuple[str, HostContacted]]


class UnknownSession(UserError, LookupError):
    """There is no session with this id."""

    def __init__(self, session_id: str) -> None:
        super().__init__(f"There is no session {session_id}.", do="`fathom sessions` lists them.")


class Recording(msgspec.Struct, frozen=True, kw_only=True):
    """A session with its events, as one JSON file."""

    session: Session
    events: tuple[AgentEvent, ...]
    format: int = 1


class SessionStore:
    """Sessions and their events. To be used from one thread at a time."""

    def __init__(self, database: Database) -> None:
        self.database = database
        database.migrate("sessions", MIGRATIONS)
        self._owner = Owner(database.path.with_name(f"{database.path.stem}-owners"))

    def close(self) -> None:
        """Close the database too; sessions still marked as running count as interrupted from now on."""
        self._owner.close()
        self.database.close()

    # --- sessions -------------------------------------------------------------------------------------------------

    def create(self, session: Session) -> Session:
        """Store a new session. Raises ValueError when its id is taken."""
        session = msgspec.json.decode(encode(session), type=Session)
        with self.database.transaction() as connection:
            if connection.execute("SELECT 1 FROM sessions WHERE id = ?", (session.id,)).fetchone():
                raise ValueError(f"there is a session {session.id} already")
            number = connection.execute(
                "INSERT INTO sessions (id, created, state, owner, seconds, model_name, sample, parent_id, parent_step, "
                "title, engine, task) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    session.id,
                    session.created,
                    session.state,
                    self._owner_in(session.state),
                    session.seconds,
                    session.model_name,
                    session.sample,
                    session.parent_id,
                    session.parent_step,
                    session.title,
                    msgspec.json.encode(session.engine),
                    msgspec.json.encode(session.task),
                ),
            ).lastrowid
            assert number is not None
            _index(connection, -number, session_text(session))
        return session

    def get(self, session_id: str) -> Session:
        """Raises UnknownSession."""
        rows = self.database.rows(f"SELECT {_SESSION_COLUMNS} FROM sessions s WHERE s.id = ?", (session_id,))
        if not rows:
            raise UnknownSession(session_id)
        return _session(rows[0])

    def list(self, query: str = "") -> _Sessions:
        """Newest first. With a query: those whose title, question, thoughts, observations or answer hold every word."""
        numbers: set[int] | None = None
        for expression in terms.filter_terms(query):
            found = self.database.rows(
                "SELECT DISTINCT CASE WHEN f.rowid < 0 THEN -f.rowid ELSE e.session END "
                "FROM sessions_fts f LEFT JOIN events e ON e.id = f.rowid WHERE sessions_fts MATCH ?",
                (expression,),
            )
            numbers = {number for (number,) in found} & (numbers if numbers is not None else {n for (n,) in found})
        rows = self.database.rows(
            f"SELECT {_SESSION_COLUMNS}, s.number FROM sessions s ORDER BY s.sample, s.created DESC, s.number DESC"
        )
        return [_session(row[:-1]) for row in rows if numbers is None or row[-1] in numbers]

    def contacts(self, limit: int = 200) -> _Contacts:
        """The last ``limit`` hosts that sessions contacted, newest first, each with its session's title."""
        rows = self.database.rows(
            "SELECT s.title, e.checksum, e.payload FROM events e JOIN sessions s ON s.number = e.session "
            "WHERE e.type = 'HostContacted' ORDER BY e.id DESC LIMIT ?",
            (limit,),
        )
        found = ((title, decode(payload, checksum)) for title, checksum, payload in rows)
        return [(title, event) for title, event in found if isinstance(event, HostContacted)]

    def set_state(self, session_id: str, state: SessionState, seconds: float = 0.0) -> Session:
        """``seconds`` more were spent running. Raises UnknownSession."""
        with self.database.transaction() as connection:
            self._set_state(connection, self._number(session_id), state, seconds)
        return self.get(session_id)

    def set_model(self, session_id: str, model_name: str) -> None:
        """The name of the model that runs it, for people. Raises UnknownSession."""
        with self.database.transaction() as connection:
            key = (model_name, self._number(session_id))
            connection.execute("UPDATE sessions SET model_name = ? WHERE number = ?", key)

    def set_engine(self, session_id: str, engine: EngineSpec) -> None:
        """What answers it, when that is not what it was made with. Raises UnknownSession."""
        with self.database.transaction() as connection:
            key = (msgspec.json.encode(engine), self._number(session_id))
            connection.execute("UPDATE sessions SET engine = ? WHERE number = ?", key)

    def mark_interrupted(self) -> _Ids:
        """At the start of the app: sessions that a dead process left running or paused; returns their ids.

        One whose run had ended, but not yet its state, gets the state of that end. Sessions that another living
        process runs are left alone.
        """
        interrupted = []
        self._owner.sweep()
        with self.database.transaction() as connection:
            rows = connection.execute(
                "SELECT number, id, owner FROM sessions WHERE state IN ('running', 'paused')"
            ).fetchall()
            for number, session_id, owner in rows:
                if self._owner.is_other_alive(owner):
                    continue
                end = self._end(number)
                state = end_state(end) if end is not None else "interrupted"
                self._set_state(connection, number, state)
                if state == "interrupted":
                    interrupted.append(session_id)
        return interrupted

    def adopt_waiting(self) -> _Ids:
        """At the start of the window: sessions that wait in the queue of a process that has ended, oldest first.

        They belong to this process from now on. Those of another living process are left alone.
        """
        with self.database.transaction() as connection:
            rows = connection.execute(
                "SELECT number, id, owner FROM sessions WHERE state = 'waiting' AND NOT sample ORDER BY number"
            ).fetchall()
            left = [row for row in rows if not self._owner.is_other_alive(row[2])]
            for number, _, _ in left:
                self._set_state(connection, number, "waiting")
        return [session_id for _, session_id, _ in left]

    def delete(self, session_id: str) -> None:
        """Remove a session and all that was recorded of it. An unknown id is no error."""
        with self.database.transaction() as connection:
            row = connection.execute("SELECT number FROM sessions WHERE id = ?", (session_id,)).fetchone()
            if row is not None:
                session = self.get(session_id)
                self._remove_events(connection, row[0], 0)
                _unindex(connection, -row[0], session_text(session))
                connection.execute("DELETE FROM sessions WHERE number = ?", row)

    # --- events ---------------------------------------------------------------------------------------------------

    def record(self, session_id: str, event: AgentEvent) -> None:
        """Store an event; it is durable when this returns. Deltas are let pass.

        RunStarted, RunPaused, RunResumed and the three ends set the session's state too, in the same transaction.
        Raises UnknownSession, DatabaseError (nothing is stored then).
        """
        if isinstance(event, DELTAS):
            return
        with self.database.transaction() as connection:
            number = self._number(session_id)
            self._append(connection, number, event)
            state = state_after(event)
            if state is not None:
                self._set_state(connection, number, state)
            if isinstance(event, RunStarted) and event.model:
                connection.execute("UPDATE sessions SET model_name = ? WHERE number = ?", (event.model, number))
            if isinstance(event, RunStarted | RunFinished):
                unbacked = isinstance(event, RunFinished) and event.report.unbacked
                connection.execute("UPDATE sessions SET unbacked = ? WHERE number = ?", (unbacked, number))

    def discard_open_step(self, session_id: str) -> None:
        """Before a run goes on: forget the step that was cut off, with what it had begun. Finished steps stay."""
        with self.database.transaction() as connection:
            number = self._number(session_id)
            started = connection.execute(
                "SELECT max(id) FROM events WHERE session = ? AND type = 'StepStarted'", (number,)
            ).fetchone()[0]
            finished = connection.execute(
                "SELECT max(id) FROM events WHERE session = ? AND type = 'StepFinished'", (number,)
            ).fetchone()[0]
            if started is not None and started > (finished or 0):
                self._remove_events(
                    connection, number, started, keep=(*_ENDS, "RunPaused", "RunResumed", "HostContacted")
                )

    def events(self, session_id: str) -> _Events:
        """What a live run published, without the deltas, in order.

        Where the app ended in the middle of a run, it ends with RunInterrupted. What is damaged on disk is left out
        and a Notice stands in its place.
        """
        session = self.get(session_id)
        rows = self.database.rows(
            "SELECT step, type, part, checksum, payload FROM events WHERE session = ? ORDER BY id",
            (self._number(session_id),),
        )
        decoded = [decode(payload, checksum) for _, _, _, checksum, payload in rows]
        events: _Events = []
        steps: dict[int, Step] = {}
        for (step, kind, part, _, payload), event in zip(reversed(rows), reversed(decoded), strict=True):
            if isinstance(event, StepFinished):
                steps[event.step.index] = event.step
            if event is None and payload is None and step in steps:
                event = from_step(steps[step], kind, part)
            events.append(event or Notice(text=_DAMAGED, level="warning", step=step))
        events.reverse()
        ended = bool(events) and isinstance(events[-1], RunFinished | RunFailed | RunStopped)
        if events and not ended and session.state not in _OPEN_STATES:
            events.append(interruption(events))
        return events

    def trajectory(self, session_id: str) -> Trajectory:
        """The finished steps, and the end of the run when it has one. Raises UnknownSession."""
        session = self.get(session_id)
        number = self._number(session_id)
        steps: dict[int, Step] = {}
        for payload, checksum in self.database.rows(
            "SELECT payload, checksum FROM events WHERE session = ? AND type = 'StepFinished' ORDER BY id", (number,)
        ):
            event = decode(payload, checksum)
            if isinstance(event, StepFinished):
                steps[event.step.index] = event.step
        answer, report, reason = "", None, None
        end = self._end(number)
        if isinstance(end, RunFinished):
            answer, report, reason = end.answer, end.report, end.finish_reason
        elif end is not None:
            reason = "stopped" if isinstance(end, RunStopped) else "failed"
        return Trajectory(
            task=session.task,
            steps=tuple(steps[index] for index in sorted(steps)),
            answer=answer,
            report=report,
            finish_reason=reason,
        )

    # --- recordings -----------------------------------------------------------------------------------------------

    def export_recording(self, session_id: str) -> bytes:
        """The session and its events as JSON, to be read again by ``import_recording``."""
        recording = Recording(session=self.get(session_id), events=tuple(self.events(session_id)))
        return msgspec.json.format(msgspec.json.encode(recording), indent=1)

    def import_recording(self, source: Path | bytes) -> Session:
        """Store a recording as a sample session; one that is there with the same id is left as it is.

        Raises UserError when it cannot be read or is not a recording.
        """
        try:
            data = source if isinstance(source, bytes) else source.read_bytes()
            recording = msgspec.json.decode(data, type=Recording)
        except (msgspec.MsgspecError, UnicodeDecodeError, OSError) as error:
            raise UserError(
                "This is not a recording of a session.", needs="a file that `fathom export` wrote", has=str(error)
            ) from error
        if self.database.rows("SELECT 1 FROM sessions WHERE id = ?", (recording.session.id,)):
            return self.get(recording.session.id)
        with self.database.transaction() as connection:
            self.create(msgspec.structs.replace(recording.session, sample=True))
            number = self._number(recording.session.id)
            for event in recording.events:
                if not isinstance(event, (*DELTAS, RunInterrupted)):
                    self._append(connection, number, event)
        return self.get(recording.session.id)

    # --- rows -----------------------------------------------------------------------------------------------------

    def _number(self, session_id: str) -> int:
        rows = self.database.rows("SELECT number FROM sessions WHERE id = ?", (session_id,))
        if not rows:
            raise UnknownSession(session_id)
        number: int = rows[0][0]
        return number

    def _set_state(self, connection: sqlite3.Connection, number: int, state: str, seconds: float = 0.0) -> None:
        connection.execute(
            "UPDATE sessions SET state = ?, owner = ?, seconds = seconds + ? WHERE number = ?",
            (state, self._owner_in(state), seconds, number),
        )

    def _owner_in(self, state: str) -> str:
        """Who a session in this state belongs to: this process as long as it is to run or runs."""
        try:
            return self._owner.name if state in _OPEN_STATES else ""
        except OSError as error:
            raise DatabaseError(
                "Fathom cannot mark the session as running.",
                needs=f"write access and room in {self.database.path.parent}",
                has=error.strerror or str(error),
                do="Check the folder's permissions and the disk, then try again.",
                remedy="retry",
            ) from error

    def _append(self, connection: sqlite3.Connection, number: int, event: AgentEvent) -> None:
        payload = encode(event)
        event = EVENT.decode(payload)  # as it will be read again: the index has to be told the same text later
        step, part = place(event)
        row = connection.execute(
            "INSERT INTO events (session, step, type, part, checksum, payload) VALUES (?, ?, ?, ?, ?, ?)",
            (number, step, type(event).__name__, part, checksum_of(payload), payload),
        ).lastrowid
        assert row is not None
        if isinstance(event, StepFinished):
            self._drop_copies(connection, number, event.step)
            connection.executemany(
                "INSERT OR IGNORE INTO sources VALUES (?, ?)",
                [(number, passage.uri) for observation in event.step.observations for passage in observation.passages],
            )
        if text := event_text(event):
            _index(connection, row, text)

    def _drop_copies(self, connection: sqlite3.Connection, number: int, step: Step) -> None:
        """The rows of this step's calls and observations whose content the finished step holds give up their own."""
        rows = connection.execute(
            "SELECT id, type, part, checksum, payload FROM events WHERE session = ? AND step = ? "
            "AND type IN ('CallStarted', 'ObservationReady') AND payload IS NOT NULL",
            (number, step.index),
        ).fetchall()
        for row, kind, part, checksum, payload in rows:
            event = decode(payload, checksum)
            if event is not None and event == from_step(step, kind, part):
                connection.execute("UPDATE events SET payload = NULL WHERE id = ?", (row,))

    def _remove_events(
        self, connection: sqlite3.Connection, number: int, first: int, keep: tuple[str, ...] = ()
    ) -> None:
        rows = connection.execute(
            "SELECT id, type, checksum, payload FROM events WHERE session = ? AND id >= ?", (number, first)
        ).fetchall()
        damaged = False
        for row, kind, checksum, payload in rows:
            if kind in keep:
                continue
            event = decode(payload, checksum)
            if event is not None and (text := event_text(event)):
                _unindex(connection, row, text)
            damaged = damaged or (event is None and payload is not None)
            connection.execute("DELETE FROM events WHERE id = ?", (row,))
        if damaged:
            self._rebuild_index(connection)

    def _rebuild_index(self, connection: sqlite3.Connection) -> None:
        """A contentless index has to be told what it had been given; what is damaged cannot be told any more."""
        connection.execute("INSERT INTO sessions_fts (sessions_fts) VALUES ('delete-all')")
        for row in connection.execute(f"SELECT {_SESSION_COLUMNS}, s.number FROM sessions s").fetchall():
            _index(connection, -row[-1], session_text(_session(row[:-1])))
        for row, checksum, payload in connection.execute("SELECT id, checksum, payload FROM events"):
            event = decode(payload, checksum)
            if event is not None and (text := event_text(event)):
                _index(connection, row, text)

    def _end(self, number: int) -> RunFinished | RunFailed | RunStopped | None:
        """The end of the run, when nothing came after it."""
        rows = self.database.rows(
            "SELECT checksum, payload FROM events WHERE session = ? ORDER BY id DESC LIMIT 1", (number,)
        )
        event = decode(rows[0][1], rows[0][0]) if rows else None
        return event if isinstance(event, RunFinished | RunFailed | RunStopped) else None


def _index(connection: sqlite3.Connection, row: int, text: str) -> None:
    connection.execute("INSERT INTO sessions_fts (rowid, text) VALUES (?, ?)", (row, terms.index_form(text)))


def _unindex(connection: sqlite3.Connection, row: int, text: str) -> None:
    connection.execute(
        "INSERT INTO sessions_fts (sessions_fts, rowid, text) VALUES ('delete', ?, ?)", (row, terms.index_form(text))
    )


def _session(row: tuple[Any, ...]) -> Session:
    (session_id, title, created, task, state, engine, model, seconds, sample) = row[:9]
    (parent, parent_step, unbacked, sources, steps) = row[9:]
    return Session(
        id=session_id,
        title=title,
        created=created,
        task=msgspec.json.decode(task, type=Task),
        state=state,
        engine=msgspec.json.decode(engine, type=EngineSpec),
        model_name=model,
        seconds=seconds,
        sample=bool(sample),
        parent_id=parent,
        parent_step=parent_step,
        unbacked=bool(unbacked),
        sources=sources,
        steps=steps,
    )
