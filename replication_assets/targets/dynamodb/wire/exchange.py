"""Owns requests in flight: many at a time over a pool of connections, from one thread.

An `Exchange` takes calls from an iterator, sends them, and yields each with its final answer,
in the order in which answers come. Throttled and failed calls are sent again, later and fewer
at a time, until they are answered; one that is not for `max_age` seconds ends the exchange with
TargetUnavailable. Every operation sent here is idempotent, so a call whose connection broke is
sent again whether or not the server had it; `Call.uncertain` says so.

Bounded: a call is taken from the iterator only when fewer are in flight or waiting than the
pace allows. Refused: more than one request at a time on a connection.
"""

from __future__ import annotations

import heapq
import selectors
import ssl
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from replication_assets.errors import TargetError, TargetUnavailable
from replication_assets.targets.dynamodb.wire.connections import Connection, ConnectionPool
from replication_assets.targets.dynamodb.wire.counts import Tally
from replication_assets.targets.dynamodb.wire.http_response import BrokenResponse, Response
from replication_assets.targets.dynamodb.wire.replies import Reply, Verdict, understand
from replication_assets.targets.dynamodb.wire.signing import Signer
from replication_assets.targets.dynamodb.wire.throttle import Pace

Subject = TypeVar("Subject")


@dataclass(slots=True, eq=False)
class Call(Generic[Subject]):
    """One request: what to send, and what the sender needs to know when it is answered."""

    operation: str
    body: bytes
    subject: Subject
    attempts: int = 0
    """How often it failed without any progress."""
    uncertain: bool = False
    """An attempt before the last one ended without an answer: the server may have done it."""
    failing_since: float = 0.0
    sent_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds: for a connection to open, for the endpoint to be reached at all, for an answer, and
    for a call from its first failure on."""

    connect: float = 5.0
    reach: float = 15.0
    answer: float = 30.0
    max_age: float = 300.0


class Exchange(Generic[Subject]):
    """One run of calls. Iterate it to its end; closing it early drops what is in flight."""

    def __init__(
        self,
        pool: ConnectionPool,
        signer: Signer,
        calls: Iterable[Call[Subject]],
        *,
        pace: Pace,
        patience: Patience,
        tally: Tally,
        where: str,
        before_request: Callable[[], None] | None = None,
    ) -> None:
        """`before_request` is called before every request, retries included; what it raises
        ends the exchange. It is for a lease that may have ended."""
        self._pool = pool
        self._signer = signer
        self._calls = iter(calls)
        self._drained = False
        self._pace = pace
        self._patience = patience
        self._tally = tally
        self._where = where
        self._before_request = before_request
        self._selector = selectors.DefaultSelector()
        self._idle: list[Connection] = []
        # In the order of sending, so that the first one times out first.
        self._busy: dict[Connection, Call[Subject]] = {}
        self._waiting: list[tuple[float, int, Call[Subject]]] = []
        self._ticket = 0

    def follow_up(self, call: Call[Subject]) -> None:
        """Send a call that an answer gave rise to, before any new one is taken."""
        self._push(call, 0.0)

    def left_undone(self, call: Call[Subject]) -> None:
        """Send what an answer left undone for its rate: later, and slower. It keeps `attempts`
        and `failing_since` where nothing at all was done, and `sent_at` in any case."""
        self._pace.throttled(call.sent_at, time.monotonic())
        self._again(call, "unprocessed items")

    def __iter__(self) -> Iterator[tuple[Call[Subject], Reply]]:
        try:
            while True:
                self._send()
                if not self._busy and not self._waiting:
                    return
                ready = self._selector.select(self._seconds_to_wait())
                # The one who iterates may take its time between two answers: silence counts only
                # up to the moment at which was looked.
                looked_at = time.monotonic()
                for key, _ in ready:
                    answered = self._advance(key.fileobj)  # type: ignore[arg-type]
                    if answered is not None:
                        yield answered
                self._drop_silent(looked_at - self._patience.answer)
        finally:
            self._leave()

    def _send(self) -> None:
        now = time.monotonic()
        window = self._pace.window
        while len(self._busy) < window:
            if self._waiting and self._waiting[0][0] <= now:
                call = heapq.heappop(self._waiting)[2]
            elif self._drained or len(self._busy) + len(self._waiting) >= window:
                return
            else:
                fresh = next(self._calls, None)
                if fresh is None:
                    self._drained = True
                    return
                call = fresh
                now = time.monotonic()
            self._transmit(call, now)

    def _transmit(self, call: Call[Subject], now: float) -> None:
        if self._before_request is not None:
            self._before_request()
        call.sent_at = now
        try:
            connection = self._idle.pop() if self._idle else self._registered(self._pool.take())
        except ssl.SSLCertVerificationError as untrusted:
            raise TargetError(
                f"the server's certificate is not trusted: {untrusted.verify_message}",
                where=str(self._pool.endpoint),
                fix="check the endpoint; name the file of a private authority in AWS_CA_BUNDLE",
            ) from None
        except OSError as broken:
            self._again(call, type(broken).__name__)
            return
        self._busy[connection] = call
        self._tally.requests += 1
        self._tally.bytes_sent += len(call.body)
        try:
            if not connection.start(self._signer.request(call.operation, call.body)):
                self._selector.modify(connection, selectors.EVENT_READ | selectors.EVENT_WRITE)
        except OSError as broken:
            self._broken(connection, broken)

    def _registered(self, connection: Connection) -> Connection:
        self._selector.register(connection, selectors.EVENT_READ)
        return connection

    def _advance(self, connection: Connection) -> tuple[Call[Subject], Reply] | None:
        call = self._busy.get(connection)
        if call is None:
            self._discard(connection)  # the server closed it while it was idle
            return None
        try:
            response = connection.receive()
            if response is None:
                if not connection.answering and connection.send_on():
                    self._selector.modify(connection, selectors.EVENT_READ)
                return None
        except (OSError, BrokenResponse) as broken:
            self._broken(connection, broken)
            return None
        return self._answered(connection, call, response)

    def _answered(
        self, connection: Connection, call: Call[Subject], response: Response
    ) -> tuple[Call[Subject], Reply] | None:
        del self._busy[connection]
        # An answer to half a request (too large, not allowed) leaves the rest of it on the way.
        if response.keeps_open and connection.sent:
            self._idle.append(connection)
        else:
            self._discard(connection)
        reply = understand(response.status, response.body, operation=call.operation, where=self._where)
        if reply.verdict is Verdict.THROTTLED:
            self._tally.throttled += 1
            self._pace.throttled(call.sent_at, time.monotonic())
        elif reply.verdict is Verdict.EXPIRED:
            self._signer.renew()
        elif reply.verdict is not Verdict.FAILED:
            self._pace.answered()
            return call, reply
        if reply.verdict is Verdict.FAILED:
            self._unanswered(call)
        self._again(call, reply.code)
        return None

    def _broken(self, connection: Connection, broken: Exception) -> None:
        """The connection failed under its call. One that was kept open may have been closed by
        the server just then: that is no sign of trouble, and costs no wait."""
        call = self._busy.pop(connection)
        closed_meanwhile = connection.requests > 1 and not connection.answering and call.attempts == 0
        self._discard(connection)
        self._unanswered(call)
        name = "the answer broke off" if isinstance(broken, BrokenResponse) else type(broken).__name__
        self._again(call, name, at_once=closed_meanwhile and not isinstance(broken, TimeoutError))

    def _unanswered(self, call: Call[Subject]) -> None:
        call.uncertain = True
        self._tally.unanswered += 1

    def _again(self, call: Call[Subject], why: str, *, at_once: bool = False) -> None:
        now = time.monotonic()
        if call.attempts == 0:
            call.failing_since = now
        age = now - call.failing_since
        # A name that is misspelt is told sooner than an outage.
        longest = self._patience.max_age if self._pool.reached else self._patience.reach
        if age > min(longest, self._patience.max_age):
            raise TargetUnavailable(
                f"{call.operation} was not answered for {age:.0f} s, the last time for {why}",
                where=self._where,
                fix="run it again; if it was throttled, raise the table's capacity or lower the concurrency",
            )
        self._tally.retried += 1
        wait = 0.0 if at_once else self._pace.wait(call.attempts)
        call.attempts += 1
        self._push(call, wait)

    def _push(self, call: Call[Subject], wait: float) -> None:
        self._ticket += 1
        heapq.heappush(self._waiting, (time.monotonic() + wait, self._ticket, call))

    def _seconds_to_wait(self) -> float:
        now = time.monotonic()
        until = now + self._patience.answer
        if self._waiting and len(self._busy) < self._pace.window:
            until = self._waiting[0][0]
        if self._busy:
            oldest = next(iter(self._busy.values()))
            until = min(until, oldest.sent_at + self._patience.answer)
        return max(0.0, until - now)

    def _drop_silent(self, sent_before: float) -> None:
        """Give up on answers that are overdue."""
        while self._busy:
            connection, call = next(iter(self._busy.items()))
            if call.sent_at > sent_before:
                return
            self._broken(connection, TimeoutError())

    def _discard(self, connection: Connection) -> None:
        self._selector.unregister(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        connection.close()

    def _leave(self) -> None:
        for connection in tuple(self._busy):
            self._discard(connection)
        self._busy.clear()
        for connection in self._idle:
            self._selector.unregister(connection)
            self._pool.give_back(connection)
        self._idle.clear()
        self._selector.close()
