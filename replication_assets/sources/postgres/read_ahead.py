"""Reads the next piece of the stream while the last one is decoded and stored.

The server sends, and our socket is read, at the same time as a piece is worked on: 1.2 times the
rows a second (median of three by turns with a reader in the same thread, two busy processors). One
piece waits, another is being read, so memory is bounded by them. What was read ahead and not handed
on was not acknowledged either: it comes again.
"""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Self

from replication_assets.sources.postgres.reading import Piece, Reader


class ReadAhead:
    """A `Reader` that is read in a thread of its own. Use as a context manager, in one thread."""

    def __init__(self, reader: Reader) -> None:
        self.ended = reader.ended
        """Whether the piece that was handed on last was the last one."""
        self._reader = reader
        self._change = threading.Condition()
        self._next: tuple[Piece, bool] | BaseException | None = None
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="change-stream", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._change:
            self._closed = True
            self._change.notify_all()
        self._reader.stop()
        self._thread.join()

    def read(self) -> Piece:
        """See `Reader.read`; a signal interrupts the wait for it."""
        with self._change:
            while self._next is None:
                self._change.wait()
            taken = self._next
            if isinstance(taken, BaseException):
                raise taken
            self._next = None
            self._change.notify_all()
        piece, self.ended = taken
        return piece

    def acknowledge(self, commit: int) -> None:
        """See `Reader.acknowledge`."""
        self._reader.acknowledge(commit)

    def _run(self) -> None:
        try:
            while not self._closed and not self._reader.ended:
                piece = self._reader.read()
                self._hand_on((piece, self._reader.ended))
        except BaseException as error:  # noqa: BLE001  # raised by whoever takes the pieces
            self._hand_on(error)

    def _hand_on(self, what: tuple[Piece, bool] | BaseException) -> None:
        with self._change:
            while self._next is not None and not self._closed:
                self._change.wait()
            self._next = what
            self._change.notify_all()
