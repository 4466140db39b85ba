"""What trigger capture makes in a database, all in the schema of the connecting account.

A change is one row of the table `C<shape>` that its trigger writes, with the old and the new value of every
column in columns of the same types: nothing is converted, so nothing can be changed. Its id comes from a
sequence that all sessions share, drawn when the trigger runs, while the row is locked: of two changes of one
row the later one has the greater id (`ORDER` keeps that true in a cluster).

Names are given in the letters of the source's name, so they are quoted everywhere.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from replication_assets.core.schema import Column, TableId
from replication_assets.sources.oracle.statements.names import literal, quoted
from replication_assets.sources.oracle.types import NativeType

MISSED = "X"
"""A row of `MARKS`: a change was made that the trigger of a table could not write."""

MOST_COLUMNS = 490
"""Of one table: a row of the log holds each of them twice, and a table has 1,000 columns at the most."""
MOST_TRIGGER_BYTES = 32_000
"""The server takes triggers of up to 32 KB."""
MOST_NAME = 80
"""Letters of a source's name: a name of Oracle has 128 bytes."""

WAIT_SECONDS = 5
PATIENCE = f"ALTER SESSION SET DDL_LOCK_TIMEOUT = {WAIT_SECONDS}"
"""How long a definition waits for transactions; without it, not at all."""

NOW = "SYS_EXTRACT_UTC(SYSTIMESTAMP)"
_REFUSED, _NOT_OWNER = -20771, -20772
_UNFIT = (-12899, -6502, -1722, -1465, -1461, -1438, -1426, -1401, -932)
"""A value that is too large for its column of the log, or that is none of its type."""


@dataclass(frozen=True, slots=True)
class LogNames:
    """What belongs to one source in the schema of its account. Names are not quoted."""

    prefix: str

    @classmethod
    def of(cls, source: str) -> LogNames:
        """Raises ValueError if the server would refuse the names."""
        if len(source) > MOST_NAME:
            raise ValueError(f"source name {source!r} is too long")
        return cls(f"RA_{source}")

    @property
    def state(self) -> str:
        return f"{self.prefix}_STATE"

    @property
    def shapes(self) -> str:
        return f"{self.prefix}_SHAPES"

    @property
    def marks(self) -> str:
        return f"{self.prefix}_MARKS"

    @property
    def fences(self) -> str:
        return f"{self.prefix}_FENCES"

    @property
    def shown(self) -> str:
        return f"{self.prefix}_SHOWN"

    @property
    def shown_index(self) -> str:
        return f"{self.prefix}_SHOWN_F"

    @property
    def numbers(self) -> str:
        return f"{self.prefix}_ID"

    @property
    def guard(self) -> str:
        return f"{self.prefix}_GUARD"

    @property
    def release(self) -> str:
        return f"{self.prefix}_RELEASE"

    @property
    def trial(self) -> str:
        return f"{self.prefix}_TRIAL"

    def changes(self, shape: int) -> str:
        return f"{self.prefix}_C{shape}"

    def trigger(self, place: int) -> str:
        """`place` is the number of the first shape that the trigger wrote."""
        return f"{self.prefix}_T{place}"

    def pattern(self, kind: str) -> str:
        """A regular expression of Oracle's for names of one kind: a letter and a number."""
        return f"^{re.escape(self.prefix)}_{kind}[0-9]+$"

    @property
    def ours(self) -> str:
        """A regular expression of Oracle's for every name."""
        kinds = "STATE|SHAPES|MARKS|FENCES|SHOWN|ID|GUARD|RELEASE|TRIAL|C[0-9]+|T[0-9]+"
        return f"^{re.escape(self.prefix)}_({kinds})$"


# --- objects --------------------------------------------------------------------------------

EXISTS = "SELECT COUNT(*) FROM USER_TABLES WHERE TABLE_NAME = :name"
OBJECTS = """
SELECT OBJECT_NAME, OBJECT_TYPE FROM USER_OBJECTS
WHERE REGEXP_LIKE(OBJECT_NAME, :ours) AND OBJECT_TYPE IN ('TABLE', 'SEQUENCE', 'TRIGGER', 'PROCEDURE')
ORDER BY OBJECT_TYPE, OBJECT_NAME
"""
IS_VALID = "SELECT STATUS FROM USER_OBJECTS WHERE OBJECT_NAME = :name AND OBJECT_TYPE = :kind"
STANDING = """
SELECT t.TRIGGER_NAME, t.TABLE_OWNER, t.TABLE_NAME, t.STATUS,
       (SELECT MAX(d.REFERENCED_NAME) FROM USER_DEPENDENCIES d
        WHERE d.NAME = t.TRIGGER_NAME AND d.TYPE = 'TRIGGER' AND REGEXP_LIKE(d.REFERENCED_NAME, :changes))
FROM USER_TRIGGERS t WHERE REGEXP_LIKE(t.TRIGGER_NAME, :triggers) ORDER BY t.TRIGGER_NAME
"""
"""With the table of the log that each trigger writes."""
DATA_NUMBERS = """
SELECT OBJECT_ID, DATA_OBJECT_ID FROM ALL_OBJECTS
WHERE OWNER = :owner AND OBJECT_NAME = :name
  AND OBJECT_TYPE IN ('TABLE', 'TABLE PARTITION', 'TABLE SUBPARTITION')
ORDER BY OBJECT_ID
"""
"""TRUNCATE, MOVE and EXCHANGE give a segment another number; no trigger tells of them."""
KEPT_BYTES = "SELECT NVL(SUM(BYTES), 0) FROM USER_SEGMENTS WHERE REGEXP_LIKE(SEGMENT_NAME, :ours)"
QUOTA = """
SELECT u.DEFAULT_TABLESPACE, NVL(q.MAX_BYTES, 0) FROM USER_USERS u
LEFT JOIN USER_TS_QUOTAS q ON q.TABLESPACE_NAME = u.DEFAULT_TABLESPACE
"""


def create(names: LogNames) -> tuple[tuple[str, str], ...]:
    """Names and statements that make the log, empty. `STATE` comes last: without a row there is no log."""
    place = "NUMBER(18) NOT NULL PRIMARY KEY"
    shapes = (
        f"SHAPE {place}, PLACE NUMBER(18) NOT NULL, OWNER VARCHAR2(128 CHAR) NOT NULL,"
        " NAME VARCHAR2(128 CHAR) NOT NULL, BODY CLOB NOT NULL, SEGMENTS CLOB NOT NULL,"
        " APPEND_ONLY NUMBER(1) NOT NULL, LIVE NUMBER(1) NOT NULL, SETTLED NUMBER(1) NOT NULL,"
        " CONFIRMED NUMBER(1) NOT NULL"
    )
    marks = f"ID {place}, OP CHAR(1 CHAR) NOT NULL, SHAPE NUMBER(18) NOT NULL, AT TIMESTAMP(6), NOTE CLOB"
    state = "TOKEN VARCHAR2(16 CHAR) NOT NULL PRIMARY KEY, ACKNOWLEDGED NUMBER(18) NOT NULL"
    return (
        (
            names.numbers,
            f"CREATE SEQUENCE {quoted(names.numbers)} START WITH 1 NOCYCLE CACHE 1000 ORDER",
        ),
        (names.fences, f"CREATE TABLE {quoted(names.fences)} (F {place}, AT TIMESTAMP(6) NOT NULL)"),
        (names.shown, f"CREATE TABLE {quoted(names.shown)} (ID {place}, F NUMBER(18) NOT NULL)"),
        (
            names.shown_index,
            f"CREATE INDEX {quoted(names.shown_index)} ON {quoted(names.shown)} (F, ID)",
        ),
        (names.shapes, f"CREATE TABLE {quoted(names.shapes)} ({shapes})"),
        (names.marks, f"CREATE TABLE {quoted(names.marks)} ({marks})"),
        (names.state, f"CREATE TABLE {quoted(names.state)} ({state})"),
    )


INDEX_EXISTS = "SELECT COUNT(*) FROM USER_INDEXES WHERE INDEX_NAME = :name"


def create_changes(names: LogNames, shape: int, columns: Sequence[Column]) -> str:
    """The table that the trigger of a shape writes to, by the places of its columns."""
    images = (f"{side}{place} {log_type(column)}" for place, column in enumerate(columns) for side in "ON")
    return (
        f"CREATE TABLE {quoted(names.changes(shape))} (ID NUMBER(18) NOT NULL PRIMARY KEY,"
        f" OP CHAR(1 CHAR) NOT NULL, AT TIMESTAMP(6) NOT NULL, {', '.join(images)})"
    )


def log_type(column: Column) -> str:
    """The type of a column of the log that takes every value of `column` and shows it as it does."""
    native = NativeType.parse(column.source_type)
    if native.base in ("CHAR", "VARCHAR2") and native.precision is not None:
        # A CHAR of another number of bytes would be padded anew.
        return f"VARCHAR2({native.precision} CHAR)"
    if native.base == "NCHAR" and native.precision is not None:
        return f"NVARCHAR2({native.precision})"
    return native.name


def drop(kind: str, name: str) -> str:
    return f"DROP {kind} {quoted(name)}" + (" CASCADE CONSTRAINTS PURGE" if kind == "TABLE" else "")


# --- triggers -------------------------------------------------------------------------------


def trigger(
    names: LogNames,
    name: str,
    table: TableId,
    shape: int,
    columns: Sequence[str],
    *,
    append_only: bool,
    disabled: bool = False,
) -> str:
    """One statement changes what the trigger writes, and at once: statements of before have the old one."""
    events = "INSERT" if append_only else "INSERT OR UPDATE OR DELETE"
    values = ", ".join(f":OLD.{quoted(column)}, :NEW.{quoted(column)}" for column in columns)
    number = f"{quoted(names.numbers)}.NEXTVAL"
    return (
        f"CREATE OR REPLACE TRIGGER {quoted(name)} AFTER {events} ON {quoted(table.schema, table.name)}"
        f" FOR EACH ROW {'DISABLE ' if disabled else ''}DECLARE operation CHAR(1); BEGIN"
        " IF INSERTING THEN operation := 'I'; ELSIF UPDATING THEN operation := 'U';"
        " ELSE operation := 'D'; END IF;"
        f" INSERT INTO {quoted(names.changes(shape))} VALUES ({number}, operation, {NOW}, {values});"
        f" EXCEPTION WHEN OTHERS THEN IF SQLCODE IN ({', '.join(map(str, _UNFIT))})"
        " OR SQLCODE BETWEEN -1899 AND -1800 THEN"
        f" INSERT INTO {quoted(names.marks)} (ID, OP, SHAPE, AT)"
        f" VALUES ({number}, '{MISSED}', {shape}, {NOW}); ELSE RAISE; END IF; END;"
    )


GONE = r"(drop\s*\(|drop\s+column|set\s+unused|rename\s+column|rename\s+to)"
RETYPED = (
    r"modify.*[^a-z0-9_$#](date|timestamp|interval|clob|nclob|blob|long|xmltype|json|vector|rowid|urowid"
    r"|boolean|binary_float|binary_double)([^a-z0-9_$#]|$)"
)
COMMENTS = r"/\*.*?\*/|--[^" + "\n" + r"]*"


def guard(names: LogNames, name: str, user: str, *, disabled: bool = False) -> str:
    """Refuses alterations that a trigger of ours would not outlive: it would be invalid, and the server
    then fails whoever writes to the table. It names no object of ours, so nothing can make it invalid.

    `ON DATABASE`: a trigger of one schema fires for statements of its owner alone."""
    told = (
        "' is captured by triggers that name its columns. Run first: BEGIN '"
        f" || {literal(quoted(user, names.release))} || '('''"
        " || of_owner || ''', ''' || of_table || '''); END; and set the capture up again afterwards'"
    )
    return (
        f"CREATE OR REPLACE TRIGGER {quoted(name)} BEFORE ALTER OR RENAME ON DATABASE"
        f"{' DISABLE' if disabled else ''} DECLARE of_owner VARCHAR2(128) := ORA_DICT_OBJ_OWNER;"
        " of_table VARCHAR2(128) := ORA_DICT_OBJ_NAME;"
        " held PLS_INTEGER; pieces ORA_NAME_LIST_T; number_of PLS_INTEGER; text VARCHAR2(32767);"
        " whole BOOLEAN := TRUE; BEGIN"
        " IF ORA_DICT_OBJ_TYPE <> 'TABLE' THEN RETURN; END IF;"
        f" SELECT COUNT(*) INTO held FROM ALL_TRIGGERS WHERE OWNER = {literal(user)}"
        " AND TABLE_OWNER = of_owner AND TABLE_NAME = of_table AND STATUS = 'ENABLED'"
        f" AND REGEXP_LIKE(TRIGGER_NAME, {literal(names.pattern('T'))});"
        " IF held = 0 THEN RETURN; END IF;"
        " number_of := ORA_SQL_TXT(pieces);"
        " FOR each IN 1 .. NVL(number_of, 0) LOOP"
        " IF NVL(LENGTHB(text), 0) + NVL(LENGTHB(pieces(each)), 0) > 32767 THEN whole := FALSE; EXIT; END IF;"
        " text := text || pieces(each); END LOOP;"
        f" text := REGEXP_REPLACE(text, {literal(COMMENTS)}, ' ', 1, 0, 'n');"
        " IF ORA_SYSEVENT = 'RENAME' OR text IS NULL OR NOT whole"
        f" OR REGEXP_LIKE(text, {literal(GONE)}, 'i') OR REGEXP_LIKE(text, {literal(RETYPED)}, 'in') THEN"
        f" RAISE_APPLICATION_ERROR({_REFUSED}, of_owner || '.' || of_table || {told}); END IF; END;"
    )


def release(names: LogNames, user: str) -> str:
    """What the owner of a table runs before an alteration that the guard refuses."""
    return (
        f"CREATE OR REPLACE PROCEDURE {quoted(names.release)}"
        " (of_owner IN VARCHAR2, of_table IN VARCHAR2) AUTHID DEFINER AS BEGIN"
        f" IF SYS_CONTEXT('USERENV', 'SESSION_USER') NOT IN (of_owner, {literal(user)}) THEN"
        f" RAISE_APPLICATION_ERROR({_NOT_OWNER}, 'only its owner releases a table'); END IF;"
        f" FOR each IN (SELECT TRIGGER_NAME FROM ALL_TRIGGERS WHERE OWNER = {literal(user)}"
        " AND TABLE_OWNER = of_owner AND TABLE_NAME = of_table"
        f" AND REGEXP_LIKE(TRIGGER_NAME, {literal(names.pattern('T'))})) LOOP"
        f" EXECUTE IMMEDIATE 'ALTER TRIGGER {quoted(user)}.\"' || each.TRIGGER_NAME || '\" DISABLE';"
        " END LOOP; END;"
    )


def grant_release(names: LogNames, owner: str) -> str:
    return f"GRANT EXECUTE ON {quoted(names.release)} TO {quoted(owner)}"


def settle(table: TableId) -> str:
    """Waits until each transaction that changed the table before has ended."""
    return f"LOCK TABLE {quoted(table.schema, table.name)} IN SHARE MODE WAIT {WAIT_SECONDS}"


def lock_changes(names: LogNames, shape: int) -> str:
    """Fails where a transaction that wrote there is open."""
    return f"LOCK TABLE {quoted(names.changes(shape))} IN EXCLUSIVE MODE NOWAIT"
