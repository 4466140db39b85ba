"""Sessions that fall silent: whether the server still works on an answer, or the way to it is gone.

A connection can stand and carry nothing. TCP finds a machine that vanished (see the settings of
`connection.py`); it does not find a proxy that takes bytes and passes none on, or a server whose
disk hangs: their kernels answer for them. Nor is silence itself a fault: a scan or a large
transaction may rightly take hours until its first row. So whoever has waited long asks, over a new
connection, what the server's process does. If that waits for us while we wait for it, twice in a
row, what it sent is lost; the process is then ended, so that it keeps no slot and no transaction.
"""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections.abc import Callable, Generator
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from contextlib import ExitStack, suppress
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import adbc_driver_manager
import psycopg

from replication_assets.errors import SourceUnavailable

if TYPE_CHECKING:
    from replication_assets.sources.postgres.connection import PostgresConnection

SILENCE_SECONDS = 30.0
"""Without a byte, until the server is asked what it does; twice that until we give up."""
PROBE_SECONDS = 10.0
"""How long the question may take; connecting for it has the connection's own timeout."""
_CANCEL_SECONDS = 5.0

# Of the class `Client`, as of 15 to 18, one wait is not for us: for other standbys to confirm.
_PROCESS = """
SELECT a.backend_start,
       a.state IS DISTINCT FROM 'active'
       OR (a.wait_event_type = 'Client' AND a.wait_event NOT ILIKE 'WaitForStandbyConfirmation')
       OR a.wait_event = 'WalSenderMain',
       (SELECT p.bytes_processed FROM pg_catalog.pg_stat_progress_copy p WHERE p.pid = a.pid)
FROM pg_catalog.pg_stat_activity a WHERE a.pid = %s
"""
_Process = tuple[dt.datetime, bool, int | None]


class Silence:
    """How long nothing has come from the server's process `pid`, and what it does meanwhile.

    Who cannot see bytes, but only whole answers, is `heard` with those: bytes that the server has
    sent and a slow network still holds look lost when they take twice `SILENCE_SECONDS`.
    """

    def __init__(self, connection: PostgresConnection, pid: int | None = None) -> None:
        self._connection = connection
        self.pid = pid
        self._since = time.monotonic()
        self._asked = self._since
        self._suspect: tuple[_Process | None] | None = None

    def heard(self) -> None:
        """Bytes came."""
        self._since = self._asked = time.monotonic()
        self._suspect = None

    def check(self) -> None:
        """Call while waiting: asks the server when it is time to.

        Raises:
            SourceUnavailable: the session is dead although its connection stands.
        """
        if time.monotonic() - self._asked < SILENCE_SECONDS:
            return
        found = _ask(self._connection, self.pid)
        suspected, self._suspect = self._suspect, found
        self._asked = time.monotonic()
        if found is None or suspected is None or found != suspected:
            return
        self._end_process(found[0])
        raise SourceUnavailable(
            f"the connection stands, and nothing came over it for {time.monotonic() - self._since:.0f} s",
            where=self._connection.where,
            fix="look for what stands between (a proxy, balancer or firewall), and run again: it resumes",
        )

    def _end_process(self, process: _Process | None) -> None:
        if process is None:
            return
        with suppress(psycopg.Error), _probe(self._connection) as session:
            session.execute(
                "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity"
                " WHERE pid = %s AND backend_start = %s",
                (self.pid, process[0]),
            )


def _ask(connection: PostgresConnection, pid: int | None) -> tuple[_Process | None] | None:
    """None if all is well; else what is known of the process, equal as long as nothing moves:
    nothing at all if the server cannot be reached, or has no such process."""
    try:
        with _probe(connection) as session:
            row = session.execute(_PROCESS, (pid,)).fetchone()
    except psycopg.Error as error:
        # A server that says no answers, and has a reason that passes (too many connections).
        return None if error.sqlstate else (None,)
    if row is None:
        return (None,)
    return (row,) if row[1] else None


class _NoAnswer(psycopg.OperationalError):
    """Not even to a question."""


class _Probe(psycopg.Connection[Any]):
    """Its answers are waited for no longer than `PROBE_SECONDS`, and never asked after."""

    def wait(self, gen: Generator[Any, Any, Any], *arguments: Any, **options: Any) -> Any:
        until = time.monotonic() + PROBE_SECONDS

        def no_answer() -> None:
            if time.monotonic() > until:
                raise _NoAnswer("no answer")

        return _wait(super().wait, self, gen, no_answer, lambda: None, *arguments, **options)


def _probe(connection: PostgresConnection) -> _Probe:
    conninfo = connection.conninfo(statement_timeout=f"{PROBE_SECONDS:.0f}s")
    return _Probe.connect(conninfo, autocommit=True, prepare_threshold=None)


class WatchedSession(psycopg.Connection[Any]):
    """A session whose silence is watched. `watch` begins it."""

    _silence: Silence | None = None

    def watch(self, connection: PostgresConnection) -> None:
        self._silence = Silence(connection, self.info.backend_pid)

    def wait(self, gen: Generator[Any, Any, Any], *arguments: Any, **options: Any) -> Any:
        if (silence := self._silence) is None:
            return super().wait(gen, *arguments, **options)
        silence.heard()
        return _wait(super().wait, self, gen, silence.check, silence.heard, *arguments, **options)


def _wait(
    wait: Callable[..., Any],
    session: psycopg.Connection[Any],
    gen: Generator[Any, Any, Any],
    nothing: Callable[[], None],
    heard: Callable[[], None],
    *arguments: Any,
    **options: Any,
) -> Any:
    """psycopg looks up every 0.1 s (`interval`), and hands on that there was nothing."""

    def told() -> Generator[Any, Any, Any]:
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                (heard if ready else nothing)()
                wanted = gen.send(ready)
        except StopIteration as result:
            return result.value

    try:
        return wait(told(), *arguments, **options)
    except (SourceUnavailable, _NoAnswer):
        # Whatever it still sends would be taken for the next answer.
        session.pgconn.finish()
        raise


class WatchedCalls:
    """Calls of a driver that waits in C, in a thread that can be left where it hangs.

    One thread for all: the C library gives each its own arena of memory, and batches that a dozen
    threads allocated kept 70 MiB of a load's process.
    """

    def __init__(self, silence: Silence) -> None:
        self.silence = silence
        self._waiting: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._hanging: Future[Any] | None = None

    def run(self, call: Callable[[], Any], cancel: Callable[[], None]) -> Any:
        """The call's result or error. An interrupt cancels it first."""
        self.silence.heard()
        self._hanging = answer = self._ask(call)
        try:
            while not wait_for([answer], 1.0).done:
                self.silence.check()
        except BaseException as error:
            if not isinstance(error, SourceUnavailable):
                _start(lambda: _quietly(cancel))
                wait_for([answer], _CANCEL_SECONDS)
            raise
        self._hanging = None
        return answer.result()

    def close(self, resources: ExitStack) -> None:
        """Close what the calls used: now, or when the one that hangs has come back."""
        if self._hanging is None or self._hanging.done():
            self._waiting.put(None)
            resources.close()
            return
        self._waiting.put(lambda: _quietly(resources.close))
        self._waiting.put(None)

    def _ask(self, call: Callable[[], Any]) -> Future[Any]:
        answer: Future[Any] = Future()

        def work() -> None:
            try:
                answer.set_result(call())
            except BaseException as error:  # noqa: BLE001  # raised by the caller's thread
                answer.set_exception(error)

        if self._thread is None:
            self._thread = _start(self._work)
        self._waiting.put(work)
        return answer

    def _work(self) -> None:
        while (work := self._waiting.get()) is not None:
            work()
            # Or it would hold the call, and the batch that it returned, until the next one.
            del work


def _quietly(call: Callable[[], Any]) -> None:
    # The session is given up, and why was told.
    with suppress(adbc_driver_manager.Error, OSError):
        call()


def _start(work: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread
