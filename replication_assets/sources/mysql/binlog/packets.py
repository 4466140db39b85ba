"""Events off the wire of a replication session, read in large buffers.

Each event is a packet: three bytes of length, a sequence number, a status byte, the event. One of
16 MiB and more comes in several packets. What is handed out are views of the buffer, valid until
the next one is asked for: a driver's own packet objects cost three times as much as all of this.
"""

from __future__ import annotations

import socket
import ssl
import struct
import time
from collections.abc import Iterator
from typing import Final

from replication_assets.errors import SlotLost, SourceError, SourceUnavailable

SILENCE_SECONDS = 30.0
"""The server was asked to tell where it is twice a second."""
_PART: Final = 0xFFFFFF
"""Length of a packet that another one continues."""
_BUFFER: Final = 1 << 20
_HEADER: Final = struct.Struct("<I")
_OK, _EOF, _ERROR = 0, 0xFE, 0xFF
_LOST: Final = 1236
"""ER_MASTER_FATAL_ERROR_READING_BINLOG."""
_SAME_ID: Final = 4052
"""MariaDB's ER_SLAVE_SAME_ID. MySQL tells it in the text of the other."""


class Packets:
    """Events from a socket that a dump was asked of. `first` is what was read of them already."""

    def __init__(self, sock: socket.socket, first: bytes, where: str) -> None:
        self._socket, self._where = sock, where
        self._buffer = bytearray(max(_BUFFER, 2 * len(first)))
        self._buffer[: len(first)] = first
        self._start, self._end = 0, len(first)
        self._parts: bytearray | None = None
        self._heard = self._listened = time.monotonic()

    def take(self) -> Iterator[memoryview]:
        """Events of which all is here, without waiting for the network.

        Raises:
            SlotLost: the server has no log at the place that was asked for.
            SourceUnavailable: the server ended the dump.
        """
        view, header = memoryview(self._buffer), _HEADER.unpack_from
        try:
            while (at := self._start + 4) <= self._end:
                # Three bytes of length; the fourth is the packet's number.
                size = header(view, at - 4)[0] & _PART
                if at + size > self._end:
                    return
                self._start = at + size
                if size == _PART or self._parts is not None:
                    yield from self._joined(view[at : at + size])
                    continue
                if view[at] != _OK:
                    raise self._ended(bytes(view[at : at + size]))
                yield view[at + 1 : at + size]
        finally:
            view.release()

    def wait(self, seconds: float) -> bool:
        """Wait for bytes and read them; False if none came. A signal interrupts it.

        Raises:
            SourceUnavailable: the connection was lost, or carries nothing any more.
        """
        self._make_room()
        if time.monotonic() - self._listened > SILENCE_SECONDS / 2:
            # While a chunk was worked on, nobody listened.
            self._heard = time.monotonic()
        self._socket.settimeout(max(seconds, 0.0001))
        try:
            with memoryview(self._buffer) as view, view[self._end :] as free:
                count = self._socket.recv_into(free)
        except (TimeoutError, ssl.SSLWantReadError, BlockingIOError):
            self._listened = time.monotonic()
            if self._listened - self._heard > SILENCE_SECONDS:
                raise self._lost("the server said nothing for too long, not even where it is") from None
            return False
        except OSError as error:
            raise self._lost(type(error).__name__) from None
        if count == 0:
            raise self._lost("the server closed the connection")
        self._end += count
        self._heard = self._listened = time.monotonic()
        return True

    def _make_room(self) -> None:
        """Room for the packet that is coming: behind what is there, at the front, or in a larger buffer."""
        here = self._end - self._start
        if here == 0:
            self._start = self._end = 0
        first = self._buffer[self._start : self._start + 3] if here >= 4 else b""
        wanted = int.from_bytes(first, "little") + 4
        if self._end < len(self._buffer) and self._start + wanted <= len(self._buffer):
            return
        left = self._buffer[self._start : self._end]
        if wanted > len(self._buffer) or len(self._buffer) > _BUFFER >= 2 * wanted:
            self._buffer = bytearray(max(_BUFFER, 2 * wanted))
        self._buffer[: len(left)] = left
        self._start, self._end = 0, len(left)

    def _joined(self, part: memoryview) -> Iterator[memoryview]:
        if self._parts is None:
            if part[0] != _OK:
                raise self._ended(bytes(part[:512]))
            self._parts = bytearray()
        self._parts += part
        if len(part) < _PART:
            whole, self._parts = self._parts, None
            yield memoryview(whole)[1:]

    def _ended(self, packet: bytes) -> SourceError:
        if packet[0] == _EOF:
            return self._lost("the server ended the stream")
        if packet[0] != _ERROR:
            return self._lost(f"a packet begins with {packet[0]}")
        number = int.from_bytes(packet[1:3], "little")
        # Of names and positions alone: the dump has no rows to quote.
        text = packet[9:].decode("utf-8", "replace") if packet[3:4] == b"#" else packet[3:].decode()
        if number == _SAME_ID or (number == _LOST and "same server_uuid/server_id" in text):
            return SourceUnavailable(
                "another replica registered with the number of this capture, and the server ended ours",
                where=self._where,
                fix="run the capture again; give the other replica a server_id of its own",
            )
        if number == _LOST:
            return SlotLost(
                f"the binary log cannot be read on: {text}",
                where=self._where,
                fix="recover the source, and load every id range again",
            )
        return self._lost(f"error {number}")

    def _lost(self, what: str) -> SourceUnavailable:
        return SourceUnavailable(
            what, where=self._where, fix="run the capture again: it resumes where it was"
        )
