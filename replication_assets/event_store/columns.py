"""What the log's columns may be, and what it remembers of its table beside them.

Refuses, before anything is written, every name and type that Delta would refuse later,
change silently (unsigned integers, other time units, fixed-size binary) or confuse with
another (names that differ in case only). The mapping from native types must have chosen a
storable type; this is the guard that says when it has not.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pyarrow as pa
from deltalake import DeltaTable, Schema

from replication_assets.core.dates import EventDates
from replication_assets.core.events import POSITION, RESERVED_COLUMNS, stored_schema
from replication_assets.core.id_ranges import IdRanges
from replication_assets.core.schema import TableSchema, column_of, field_of
from replication_assets.errors import SchemaConflict, StoreCorrupt, StoreError

ID_RANGES = "replication_assets.id_ranges"
EVENT_DATES = "replication_assets.event_dates"
KEY = "replication_assets.key"
APPEND_ONLY = "replication_assets.append_only"
NOT_REPLICATED = "replication_assets.not_replicated"
BEGINS = "replication_assets.begins"

DELTA_PROPERTIES = {
    "delta.appendOnly": "true",
    # Exactly the columns that `parts` gives bounds for: see there what happens otherwise.
    "delta.dataSkippingStatsColumns": ",".join(POSITION),
    # A log of more than some hundred commits without checkpoint takes a second to open.
    "delta.checkpointInterval": "50",
    # Commit files are looked up by nobody after a few seconds; their listing costs each opening.
    "delta.logRetentionDuration": "interval 2 days",
}


@dataclass(frozen=True, slots=True)
class LogSettings:
    """What is fixed when a log is created, and two facts of the table that may change."""

    id_ranges: IdRanges
    event_dates: EventDates
    key: tuple[str, ...]
    append_only: bool
    not_replicated: tuple[str, ...]

    @classmethod
    def of(cls, schema: TableSchema, id_ranges: IdRanges, event_dates: EventDates) -> LogSettings:
        return cls(id_ranges, event_dates, schema.key, schema.append_only, schema.not_replicated)

    @classmethod
    def read(cls, table: DeltaTable, where: str) -> LogSettings:
        """Raises StoreCorrupt if the table was not made by this store."""
        found = table.metadata().configuration
        try:
            return cls(
                IdRanges.from_json(found[ID_RANGES]),
                EventDates.from_json(found[EVENT_DATES]),
                tuple(json.loads(found[KEY])),
                found[APPEND_ONLY] == "true",
                tuple(json.loads(found[NOT_REPLICATED])),
            )
        except (KeyError, ValueError) as exc:
            fix = "give the store a root of its own"
            raise StoreCorrupt("a Delta table is here that is no event log", where=where, fix=fix) from exc

    def properties(self) -> dict[str, str]:
        return {
            ID_RANGES: self.id_ranges.to_json(),
            EVENT_DATES: self.event_dates.to_json(),
            KEY: json.dumps(list(self.key)),
            **self.changeable(),
        }

    def changeable(self) -> dict[str, str]:
        return {
            APPEND_ONLY: "true" if self.append_only else "false",
            NOT_REPLICATED: json.dumps(list(self.not_replicated)),
        }

    def check_fixed(self, wanted: LogSettings, where: str) -> None:
        """Raises StoreError if `wanted` differs in what is fixed for ever."""
        fix = "declare it as it was, or load the table into a new store"
        pairs: tuple[tuple[str, object, object], ...] = (
            ("id ranges are", self.id_ranges, wanted.id_ranges),
            ("event dates are", self.event_dates, wanted.event_dates),
            ("key is", self.key, wanted.key),
        )
        for what, stored, declared in pairs:
            if stored != declared:
                raise StoreError(f"its {what} fixed as {stored}, not {declared}", where=where, fix=fix)


def arrow_schema(table: DeltaTable) -> pa.Schema:
    """The stored columns with their metadata, in the order in which they were added."""
    return pa.schema(table.schema().to_arrow())


def table_schema(table: DeltaTable, settings: LogSettings) -> TableSchema:
    """The source table's columns: all that the log ever had."""
    columns = tuple(column_of(field) for field in arrow_schema(table) if field.name not in RESERVED_COLUMNS)
    return TableSchema(columns, settings.key, settings.append_only, settings.not_replicated)


def delta_fields(fields: Iterable[pa.Field]) -> Schema:
    return Schema.from_arrow(pa.schema(list(fields)))


def new_log_schema(schema: TableSchema, where: str) -> Schema:
    """Raises SchemaConflict listing every column that cannot be stored."""
    check_columns(schema.arrow_schema(), {}, where)
    return delta_fields(stored_schema(schema))


def missing_fields(table: DeltaTable, schema: TableSchema, where: str) -> list[pa.Field]:
    """Columns that the log lacks. Raises SchemaConflict if one is there with another type."""
    stored = {field.name: field for field in arrow_schema(table)}
    check_columns(schema.arrow_schema(), stored, where)
    return [field_of(column) for column in schema.columns if column.name not in stored]


def changed_metadata(table: DeltaTable, schema: TableSchema) -> dict[str, dict[str, str]]:
    """New native type or ordinal of columns whose stored type is the same."""
    stored = {field.name: dict(field.metadata or {}) for field in arrow_schema(table)}
    wanted = {column.name: dict(field_of(column).metadata) for column in schema.columns}
    return {
        name: {key.decode(): value.decode() for key, value in metadata.items()}
        for name, metadata in wanted.items()
        if name in stored and any(stored[name].get(key) != value for key, value in metadata.items())
    }


def check_columns(wanted: pa.Schema, stored: Mapping[str, pa.Field], where: str) -> None:
    """Raises SchemaConflict with every problem of the table's columns."""
    problems = [problem for field in wanted for problem in _problems(field, stored)]
    spellings: dict[str, set[str]] = {}
    for name in [*wanted.names, *(set(stored) - RESERVED_COLUMNS)]:
        spellings.setdefault(name.lower(), set()).add(name)
    problems += [
        f"columns {sorted(names)} differ in case only" for names in spellings.values() if len(names) > 1
    ]
    if len(set(wanted.names)) < len(wanted.names):
        problems.append("two columns have one name")
    if problems:
        fix = "capture the table through a view that renames or casts them, or load it into a new store"
        raise SchemaConflict("; ".join(problems), where=where, fix=fix)


def _problems(field: pa.Field, stored: Mapping[str, pa.Field]) -> Iterable[str]:
    if not field.name or "\0" in field.name:
        yield f"column name {field.name!r} cannot be stored"
    if field.name.lower() in RESERVED_COLUMNS:
        yield f"column {field.name!r} has a name that the event store uses itself"
    elif not _storable(field.type):
        yield f"column {field.name!r} is {field.type}, which Delta does not hold as it is"
    elif field.name in stored and stored[field.name].type != field.type:
        yield f"column {field.name!r} is {field.type}, and stored as {stored[field.name].type}"


def _storable(kind: pa.DataType) -> bool:
    """Whether Delta gives back the very type. Asked of delta-rs, for it changes some silently."""
    # Nanoseconds and untyped nulls come back from the schema, but no reader takes the table.
    if pa.types.is_null(kind) or (pa.types.is_timestamp(kind) and kind.unit != "us"):
        return False
    try:
        back = pa.schema(delta_fields([pa.field("c", kind)]).to_arrow()).field(0).type
    # delta-rs raises a bare Exception here; every one of them means no.
    except Exception:  # noqa: BLE001
        return False
    inner = all(_storable(kind.field(index).type) for index in range(kind.num_fields))
    return bool(back == kind) and inner
