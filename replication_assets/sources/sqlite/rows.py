"""Rows as the driver hands them out, to Arrow: whole columns of Python values at a time.

Memory is bounded by `BATCH_BYTES` and one row, whatever the width of rows. The driver cannot pass on
text that is not UTF-8; the query is then asked again, within the same transaction and so for the
same rows, by a session that hands such text out as it is.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Generator, Iterator, Sequence
from itertools import islice
from typing import Any

from replication_assets.sources.sqlite.connection import NOT_UTF8
from replication_assets.sources.sqlite.types import NotUtf8

BATCH_BYTES = 4 << 20
"""Where a batch ends; a single row may exceed it."""

_FETCHED = 256
_VALUE_BYTES = 16
"""Nominal size of a value, to which text and blobs add their length."""


def batches_of_rows(
    session: sqlite3.Connection, query: str, parameters: Sequence[int] = (), most_bytes: int = BATCH_BYTES
) -> Generator[list[tuple[Any, ...]]]:
    """Rows of a query, some megabytes each time."""
    rows: list[tuple[Any, ...]] = []
    size = 0
    for some in _fetched(session, query, parameters):
        rows += some
        size += sum(map(_size, some))
        if size >= most_bytes:
            yield rows
            rows, size = [], 0
    if rows:
        yield rows


def _size(row: tuple[Any, ...]) -> int:
    return _VALUE_BYTES * len(row) + sum(len(v) for v in row if type(v) is str or type(v) is bytes)


def _fetched(
    session: sqlite3.Connection, query: str, parameters: Sequence[int]
) -> Iterator[list[tuple[Any, ...]]]:
    done = 0
    try:
        cursor = session.execute(query, parameters)
        while rows := cursor.fetchmany(_FETCHED):
            yield rows
            done += len(rows)
    except sqlite3.OperationalError as error:
        if not str(error).startswith(NOT_UTF8):
            raise
        yield from _fetched_whatever_the_text(session, query, parameters, done)


def _fetched_whatever_the_text(
    session: sqlite3.Connection, query: str, parameters: Sequence[int], done: int
) -> Iterator[list[tuple[Any, ...]]]:
    session.text_factory = _text_or_bytes
    try:
        cursor = iter(session.execute(query, parameters))
        next(islice(cursor, done, done), None)
        while rows := list(islice(cursor, _FETCHED)):
            yield rows
    finally:
        session.text_factory = str


def _text_or_bytes(text: bytes) -> str | NotUtf8:
    try:
        return text.decode()
    except UnicodeDecodeError:
        return NotUtf8(text)
