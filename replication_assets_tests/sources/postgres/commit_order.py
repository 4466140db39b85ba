"""The true order of commits, read from a second slot in pgoutput's own words."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import psycopg

SLOT = "_oracle"


@dataclass(frozen=True, slots=True)
class CommittedInsert:
    """First column of an inserted row, and the commit position of its transaction."""

    key: str
    commit: int


def watch(session: psycopg.Connection[Any], slot: str, table: str) -> None:
    """Keep the order of all commits from here on."""
    session.execute(f"CREATE PUBLICATION {slot} FOR TABLE {table}")
    session.execute("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", (slot,))


def committed_inserts(session: psycopg.Connection[Any], slot: str) -> list[CommittedInsert]:
    """Inserts since `watch`, with the commit position that their BEGIN message announces."""
    rows = session.execute(
        "SELECT data FROM pg_logical_slot_peek_binary_changes(%s, NULL, NULL,"
        " 'proto_version', '1', 'publication_names', %s)",
        (slot, slot),
    ).fetchall()
    found, commit = [], 0
    for (data,) in rows:
        if data[:1] == b"B":
            (commit,) = struct.unpack_from(">q", data, 1)
        elif data[:1] == b"I":
            # 'I', relation oid, 'N', number of columns, then 't', length and text of the first.
            (length,) = struct.unpack_from(">i", data, 9)
            found.append(CommittedInsert(data[13 : 13 + length].decode(), commit))
    return found
