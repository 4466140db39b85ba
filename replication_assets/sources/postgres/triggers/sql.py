"""What trigger capture makes in the database: one schema, and two triggers for each table.

A change is one row of `log` with the row's old and new image as the server prints a whole row. That
text does not depend on the table's columns, so no statement of an application can fail because the
table was altered before its triggers were; and the values are those of the types' output functions,
as logical replication sends them. The function fixes the settings that shape them.

The change id is drawn in the trigger, after the row was locked and written: of two changes of one
row the later one has the greater id. The sequence caches nothing, for the same reason.

Row triggers fire in the order of their names. Ours begin with `!`: a later one that updates the row
must not have its change written first. They fire for replicated rows too (ENABLE ALWAYS).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from replication_assets.core.trigger_log import ANCHOR, DELETE, INSERT, NOISE_BITS, SHAPED, TRUNCATE, UPDATE
from replication_assets.sources.postgres.connection import CANONICAL_SETTINGS
from replication_assets.sources.postgres.quoting import identifier, literal

MARK = "change log of replication_assets"
"""The schema's comment: one of this name that has another was made by somebody else."""

UNCERTAIN = 0
"""The shape of changes written while triggers did not fit the table: told by a reload instead."""

OF_PARTITIONS = "p"
"""A second argument of triggers of a partitioned table: its changes note which relation they were made in."""

_NOISE = (1 << (NOISE_BITS - 1)) - 1
_OUTPUT = ("DateStyle", "IntervalStyle", "TimeZone", "extra_float_digits", "bytea_output", "lc_monetary")


@dataclass(frozen=True, slots=True)
class LogNames:
    """What belongs to one source in a database; quoted where the name says so."""

    schema: str

    @classmethod
    def of(cls, source: str) -> LogNames:
        """Raises ValueError if the server would cut the name."""
        found = cls(f"ra_{source}")
        if len(found.trigger.encode()) > 60:
            raise ValueError(f"source name {source!r} is too long")
        return found

    @property
    def quoted(self) -> str:
        return identifier(self.schema)

    @property
    def log(self) -> str:
        return f"{self.quoted}.log"

    @property
    def shapes(self) -> str:
        return f"{self.quoted}.shapes"

    @property
    def state(self) -> str:
        return f"{self.quoted}.state"

    @property
    def sequence(self) -> str:
        return f"{self.quoted}.change_number"

    @property
    def trigger(self) -> str:
        return f"!{self.schema}"

    @property
    def truncate_trigger(self) -> str:
        return f"!{self.schema}_t"


def create(names: LogNames) -> tuple[str, ...]:
    """Statements that make the log, empty."""
    columns = 'id bigint PRIMARY KEY, xid xid8 NOT NULL, shape int, op "char" NOT NULL'
    shape = "shape int PRIMARY KEY, relation oid NOT NULL, name text NOT NULL, body text NOT NULL"
    return (
        f"CREATE SCHEMA {names.quoted}",
        f"COMMENT ON SCHEMA {names.quoted} IS {literal(MARK)}",
        f"CREATE SEQUENCE {names.sequence} CACHE 1",
        f"CREATE TABLE {names.log} ({columns}, at timestamptz NOT NULL, old text, new text, note text)",
        f"CREATE TABLE {names.shapes} ({shape}, live bool NOT NULL, confirmed bool NOT NULL)",
        f"CREATE TABLE {names.state} (token text, acknowledged bigint NOT NULL, seen text NOT NULL)",
    )


def function_body(names: LogNames) -> str:
    """Of the trigger function."""
    images = {
        INSERT: ("NULL", "NEW"),
        UPDATE: ("OLD", "NEW"),
        DELETE: ("OLD", "NULL"),
        TRUNCATE: ("NULL", "NULL"),
    }
    branches = " ".join(
        f"{'IF' if op == INSERT else 'ELSIF'} TG_OP = '{word}' THEN {_change(names, op, *images[op])}"
        for op, word in ((INSERT, "INSERT"), (UPDATE, "UPDATE"), (DELETE, "DELETE"), (TRUNCATE, "TRUNCATE"))
    )
    return f"BEGIN {branches} ELSE RAISE 'unknown operation'; END IF; RETURN NULL; END"


def create_function(names: LogNames) -> tuple[str, ...]:
    """Statements that make the trigger function, or take the place of an earlier version's."""
    settings = " ".join(
        f"SET {name} = {literal(value)}" for name, value in CANONICAL_SETTINGS if name in _OUTPUT
    )
    function = f"{names.quoted}.note()"
    options = f"LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog {settings}"
    return (
        f"CREATE OR REPLACE FUNCTION {function} RETURNS trigger {options} AS {literal(function_body(names))}",
        f"REVOKE ALL ON FUNCTION {function} FROM PUBLIC",
    )


def add_row(names: LogNames, op: str, *, shape: str = "NULL", note: str = "NULL") -> str:
    """A row that is no change: `ANCHOR`, or `SHAPED`. Returns its id."""
    return (
        f"INSERT INTO {names.log} (id, xid, shape, op, at, note) VALUES ({_id(names)},"
        f" pg_catalog.pg_current_xact_id(), {shape}, '{op}', pg_catalog.clock_timestamp(), {note})"
        " RETURNING id"
    )


def add_anchor(names: LogNames) -> str:
    return add_row(names, ANCHOR)


def add_fence(names: LogNames) -> str:
    """Parameter: the snapshot of a load."""
    return add_row(names, ANCHOR, note="%s")


def add_shape_change(names: LogNames) -> str:
    """Parameters: the shape from here on, and the body of `core.trigger_log.ShapeChange`."""
    return add_row(names, SHAPED, shape="%s", note="%s")


def create_triggers(
    names: LogNames, table: str, shape: int, *, append_only: bool, leaves: Sequence[str] | None
) -> tuple[str, ...]:
    """Of a table, whose qualified name is quoted already, as are those of its leaf partitions (None: it is
    not partitioned). They take the place of earlier ones without a lock that would hold readers off.

    Partitions get the row trigger of their table from the server, those that come later too. A TRUNCATE of
    one fires its own triggers alone.
    """
    events = "INSERT" if append_only else "INSERT OR UPDATE OR DELETE"
    row, whole = identifier(names.trigger), identifier(names.truncate_trigger)
    arguments = f"'{shape}'" if leaves is None else f"'{shape}', '{OF_PARTITIONS}'"
    call = f"EXECUTE FUNCTION {names.quoted}.note({arguments})"
    of_leaves = [
        statement
        for leaf in leaves or ()
        for statement in (
            f"CREATE OR REPLACE TRIGGER {whole} AFTER TRUNCATE ON {leaf} FOR EACH STATEMENT {call}",
            f"ALTER TABLE {leaf} ENABLE ALWAYS TRIGGER {row}, ENABLE ALWAYS TRIGGER {whole}",
        )
    ]
    return (
        f"CREATE OR REPLACE TRIGGER {row} AFTER {events} ON {table} FOR EACH ROW {call}",
        f"CREATE OR REPLACE TRIGGER {whole} AFTER TRUNCATE ON {table} FOR EACH STATEMENT {call}",
        f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {row}, ENABLE ALWAYS TRIGGER {whole}",
        *of_leaves,
    )


def _change(names: LogNames, op: str, old: str, new: str) -> str:
    images = [value if value == "NULL" else f"{value}::text" for value in (old, new)]
    return (
        f"INSERT INTO {names.log} (id, xid, shape, op, at, old, new, note) VALUES ({_id(names)},"
        f" pg_current_xact_id(), TG_ARGV[0]::int4, '{op}', clock_timestamp(), {images[0]}, {images[1]},"
        " CASE WHEN TG_NARGS > 1 THEN TG_RELID::text END);"
    )


def _id(names: LogNames) -> str:
    number = f"pg_catalog.nextval({literal(names.sequence)}::pg_catalog.regclass)"
    noise = f"(pg_catalog.random() * {_NOISE})::pg_catalog.int8"
    return f"({number} << {NOISE_BITS}) | {noise}"
