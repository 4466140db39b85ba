"""Rows of a trigger's change log: shapes, fences, changes, and deleting what is durable elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from replication_assets.core.schema import Column
from replication_assets.sources.oracle.select_list import read_expression
from replication_assets.sources.oracle.statements.names import quoted
from replication_assets.sources.oracle.statements.triggers import NOW, LogNames

COMMIT = "COMMIT WRITE IMMEDIATE WAIT"
"""Acknowledged when it is on disk, and all redo of this instance from before it with it."""
ROLLBACK = "ROLLBACK"

# --- shapes ---------------------------------------------------------------------------------


def next_number(names: LogNames) -> str:
    return f"SELECT {quoted(names.numbers)}.NEXTVAL FROM DUAL"


def read_shapes(names: LogNames) -> str:
    return (
        "SELECT SHAPE, PLACE, OWNER, NAME, BODY, SEGMENTS, APPEND_ONLY, LIVE, SETTLED, CONFIRMED"
        f" FROM {quoted(names.shapes)} ORDER BY SHAPE"
    )


def add_shape(names: LogNames) -> str:
    return (
        f"INSERT INTO {quoted(names.shapes)} (SHAPE, PLACE, OWNER, NAME, BODY, SEGMENTS, APPEND_ONLY, LIVE,"
        " SETTLED, CONFIRMED) VALUES (:shape, :place, :owner, :name, :body, :segments, :append_only, 1,"
        " :settled, :confirmed)"
    )


def retire(names: LogNames) -> str:
    return f"UPDATE {quoted(names.shapes)} SET LIVE = 0 WHERE SHAPE = :shape"


def retire_all(names: LogNames) -> str:
    """Shapes of one table, before it has a new one: two setups may have made one each."""
    return f"UPDATE {quoted(names.shapes)} SET LIVE = 0 WHERE OWNER = :owner AND NAME = :name"


def settled(names: LogNames) -> str:
    return f"UPDATE {quoted(names.shapes)} SET SETTLED = 1 WHERE SHAPE = :shape"


def keep_segments(names: LogNames) -> str:
    return f"UPDATE {quoted(names.shapes)} SET SEGMENTS = :segments WHERE SHAPE = :shape"


def confirm(names: LogNames) -> str:
    return f"UPDATE {quoted(names.shapes)} SET CONFIRMED = 1"


def forget_shape(names: LogNames) -> str:
    return f"DELETE FROM {quoted(names.shapes)} WHERE SHAPE = :shape"


def add_mark(names: LogNames) -> str:
    return (
        f"INSERT INTO {quoted(names.marks)} (ID, OP, SHAPE, AT, NOTE)"
        f" VALUES ({quoted(names.numbers)}.NEXTVAL, :op, :shape, {NOW}, :note)"
    )


# --- fences ---------------------------------------------------------------------------------


def read_state(names: LogNames) -> str:
    return f"SELECT TOKEN, ACKNOWLEDGED FROM {quoted(names.state)}"


def lock_state(names: LogNames) -> str:
    return f"SELECT TOKEN FROM {quoted(names.state)} FOR UPDATE WAIT 30"


def add_state(names: LogNames) -> str:
    return f"INSERT INTO {quoted(names.state)} (TOKEN, ACKNOWLEDGED) VALUES (:token, :scn)"


def show(names: LogNames, table: str) -> str:
    """What committed up to `:scn` and no fence showed before: `AS OF SCN` decides, exactly as for a load."""
    return (
        f"INSERT INTO {quoted(names.shown)} (ID, F) SELECT c.ID, :scn FROM {quoted(table)} AS OF SCN :scn c"
        f" WHERE NOT EXISTS (SELECT 1 FROM {quoted(names.shown)} k WHERE k.ID = c.ID)"
    )


def add_fence(names: LogNames) -> str:
    return f"INSERT INTO {quoted(names.fences)} (F, AT) VALUES (:scn, {NOW})"


def has_fence(names: LogNames) -> str:
    return f"SELECT COUNT(*) FROM {quoted(names.fences)} WHERE F = :fence"


def fences_after(names: LogNames) -> str:
    return f"SELECT F FROM {quoted(names.fences)} WHERE F > :fence ORDER BY F"


def is_unshown(names: LogNames, table: str, known: str = "") -> str:
    """1 if a change is in no fence; with `known`, in none up to that bind."""
    upto = f" AND k.F <= :{known}" if known else ""
    return (
        f"SELECT COUNT(*) FROM {quoted(table)} c WHERE NOT EXISTS"
        f" (SELECT 1 FROM {quoted(names.shown)} k WHERE k.ID = c.ID{upto}) AND ROWNUM = 1"
    )


def is_empty(table: str) -> str:
    return f"SELECT COUNT(*) FROM {quoted(table)} WHERE ROWNUM = 1"


def count(table: str) -> str:
    return f"SELECT COUNT(*) FROM {quoted(table)}"


def marks_of(names: LogNames) -> str:
    """What tells of shapes at one fence."""
    return (
        f"SELECT m.SHAPE, m.OP, m.ID, m.NOTE FROM {quoted(names.marks)} m"
        f" JOIN {quoted(names.shown)} k ON k.ID = m.ID WHERE k.F = :fence ORDER BY m.ID"
    )


def shape_marks(names: LogNames) -> str:
    """Which shapes begin at marks that are in the log, and the fences that show these."""
    return (
        f"SELECT m.SHAPE, k.F FROM {quoted(names.marks)} m"
        f" LEFT JOIN {quoted(names.shown)} k ON k.ID = m.ID WHERE m.OP = 'S'"
    )


def has_marks(names: LogNames) -> str:
    return f"SELECT COUNT(*) FROM {quoted(names.marks)} WHERE SHAPE = :shape AND ROWNUM = 1"


def read_changes(names: LogNames, shape: int, columns: Sequence[Column]) -> str:
    """Changes of a shape at one fence, in their order: id, operation, time, old values, new values."""
    images = [
        read_expression(replace(column, name=f"{side}{place}"))
        for side in "ON"
        for place, column in enumerate(columns)
    ]
    at = "TO_CHAR(c.AT, 'SYYYY-MM-DD HH24:MI:SS.FF6')"
    return (
        f"SELECT CAST(c.ID AS NUMBER(18)), c.OP, {at}, {', '.join(images)}"
        f" FROM {quoted(names.changes(shape))} c JOIN {quoted(names.shown)} k ON k.ID = c.ID"
        " WHERE k.F = :fence ORDER BY c.ID"
    )


# --- trimming -------------------------------------------------------------------------------


def acknowledge(names: LogNames) -> str:
    return f"UPDATE {quoted(names.state)} SET ACKNOWLEDGED = :fence WHERE ACKNOWLEDGED < :fence"


def _some(deleted: str) -> str:
    """Some rows in a transaction of their own; `:gone` says how many."""
    return f"BEGIN {deleted} AND ROWNUM <= 5000; :gone := SQL%ROWCOUNT; COMMIT; END;"


def trim(names: LogNames, table: str) -> str:
    """Of a table of the log, what fences up to `:fence` show."""
    return _some(
        f"DELETE FROM {quoted(table)} WHERE ID IN"
        f" (SELECT k.ID FROM {quoted(names.shown)} k WHERE k.F <= :fence)"
    )


def trim_shown(names: LogNames) -> str:
    return _some(f"DELETE FROM {quoted(names.shown)} WHERE F <= :fence")


def trim_fences(names: LogNames) -> str:
    """The fence itself stays: by it the log is known again."""
    return _some(f"DELETE FROM {quoted(names.fences)} WHERE F < :fence")
