"""Owns the reading of HTTP/1.1 responses from a connection that stays open.

A response ends where its Content-Length or its last chunk says, never where the bytes happen
to stop: a keep-alive connection gives no other sign, and a response cut short must not pass
for a whole one. Refused: a response whose length is told neither way, compressed bodies (none
was asked for), and a body that is not what its `x-amz-crc32` says.
"""

from __future__ import annotations

import re
import zlib
from typing import NamedTuple

_STATUS = re.compile(rb"HTTP/1\.([01]) (\d{3})")
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)[ \t]*\r\n", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:[^\r]*\bchunked[ \t]*\r\n", re.IGNORECASE)
_CHUNK_SIZE = re.compile(rb"[0-9a-fA-F]+")
_ENCODED = re.compile(rb"\r\ncontent-encoding:[ \t]*(?!identity)\w", re.IGNORECASE)
_CHECKSUM = re.compile(rb"\r\nx-amz-crc32:[ \t]*(\d+)[ \t]*\r\n", re.IGNORECASE)
_CONNECTION = re.compile(rb"\r\nconnection:[ \t]*([^\r]*)\r\n", re.IGNORECASE)


class BrokenResponse(Exception):
    """The bytes are no whole response of this protocol. The connection is of no more use."""


class Response(NamedTuple):
    status: int
    body: bytes
    keeps_open: bool
    """False: the server closes the connection after this response."""


class ResponseReader:
    """Takes bytes as they come; gives the response once it is whole. For one response at a time."""

    __slots__ = ("_body_at", "_buffer", "_length")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._body_at = 0
        self._length = -1

    @property
    def started(self) -> bool:
        return bool(self._buffer)

    def feed(self, data: bytes) -> Response | None:
        self._buffer += data
        if not self._body_at and not self._read_head():
            return None
        if self._length >= 0:
            end = self._body_at + self._length
            if len(self._buffer) < end:
                return None
            body = bytes(self._buffer[self._body_at : end])
        else:
            chunks = _chunks(self._buffer, self._body_at)
            if chunks is None:
                return None
            body, end = chunks
        return self._finish(body, end)

    def _read_head(self) -> bool:
        """Find the end of the headers. Interim responses (1xx) are passed over."""
        while True:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return False
            status = _STATUS.match(self._buffer)
            if status is None:
                raise BrokenResponse("the answer is not HTTP")
            if not status.group(2).startswith(b"1"):
                break
            del self._buffer[: end + 4]
        length = _LENGTH.search(self._buffer, 0, end + 2)
        chunked = _CHUNKED.search(self._buffer, 0, end + 2)
        if chunked is None and length is None:
            raise BrokenResponse("the answer does not say how long it is")
        if _ENCODED.search(self._buffer, 0, end + 2):
            raise BrokenResponse("the answer is compressed, which was not asked for")
        self._length = int(length.group(1)) if length is not None and chunked is None else -1
        self._body_at = end + 4
        return True

    def _finish(self, body: bytes, end: int) -> Response:
        head = bytes(self._buffer[: self._body_at])
        if len(self._buffer) > end:
            raise BrokenResponse("the answer is longer than it says")
        self._buffer.clear()
        self._body_at = 0
        checksum = _CHECKSUM.search(head)
        if checksum is not None and int(checksum.group(1)) != zlib.crc32(body):
            raise BrokenResponse("the answer is not what its checksum says")
        status = _STATUS.match(head)
        assert status is not None
        said = _CONNECTION.search(head)
        option = said.group(1).lower() if said else b""
        keeps_open = b"close" not in option and (status.group(1) == b"1" or b"keep-alive" in option)
        return Response(int(status.group(2)), body, keeps_open)


def _chunks(buffer: bytearray, at: int) -> tuple[bytes, int] | None:
    """The body told in chunks from `at`, and where it ends; None while it is not whole."""
    body = bytearray()
    while True:
        line = buffer.find(b"\r\n", at)
        if line < 0:
            return None
        told = _CHUNK_SIZE.match(buffer, at, line)
        if told is None:
            raise BrokenResponse("the answer holds a chunk without a size")
        size = int(told.group(), 16)
        at = line + 2
        if size == 0:
            return _after_trailer(buffer, at, bytes(body))
        if len(buffer) < at + size + 2:
            return None
        body += buffer[at : at + size]
        at += size + 2


def _after_trailer(buffer: bytearray, at: int, body: bytes) -> tuple[bytes, int] | None:
    while True:
        line = buffer.find(b"\r\n", at)
        if line < 0:
            return None
        if line == at:
            return body, line + 2
        at = line + 2
