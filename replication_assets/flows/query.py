"""Query: SQL over events, current or past rows, and projections, in one private DuckDB.

    events.<table>        every event of the newest chapter of the log, control events too
    now.<table>           its rows, folded from the events: as of a position or time, if one is given
    <projection>.<table>  what a projection holds

A table goes by its own name where no other of the catalog has it, and by its full name always:
`now."shop.public.orders"`. Only what a query names is opened. Events and datasets are read in
place; rows that must be computed are kept in a temporary database on disk while the query runs.
"""

from __future__ import annotations

import datetime as dt
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Protocol, TypeAlias, runtime_checkable

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds

from replication_assets.catalog import Catalog, Projection
from replication_assets.core.events import ALL_RANGES
from replication_assets.core.fold import row_schema
from replication_assets.core.positions import Position
from replication_assets.core.schema import TableId
from replication_assets.core.shape_specs import called
from replication_assets.core.sql import quoted
from replication_assets.errors import QueryError, StoreError
from replication_assets.flows.read import read_table
from replication_assets.flows.watch.health import Adapters
from replication_assets.ports import EventLog, EventStore, ProjectionTarget

EVENTS = "events"
NOW = "now"
MEMORY_MIB = 512
"""What a query may use before it spills to its temporary folder."""

_BATCH_ROWS = 65_536
_NUMERIC = frozenset({"decimal", "double", "float"})


@dataclass(frozen=True, slots=True)
class Computed:
    """Rows that have to be computed, or fetched, once."""

    schema: pa.Schema
    batches: Iterable[pa.RecordBatch]


@runtime_checkable
class ReadInPlace(Protocol):
    """A target whose files an engine can read by itself."""

    def dataset(self) -> ds.Dataset: ...


Open: TypeAlias = "Callable[[], Sequence[ds.Dataset] | Computed]"
"""One relation: datasets with the same columns, or what has to be computed."""

Name: TypeAlias = tuple[str, str]
"""Schema and table, as SQL names them."""


@dataclass(frozen=True)
class Answer:
    """The rows of a query, read as they are asked for. Valid within `answered`."""

    relation: duckdb.DuckDBPyRelation
    """Not for use after the first read."""

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(self.relation.columns)

    @property
    def numeric(self) -> frozenset[str]:
        """Columns of numbers."""
        kinds = zip(self.relation.columns, self.relation.types, strict=True)
        return frozenset(name for name, kind in kinds if "int" in kind.id or kind.id in _NUMERIC)

    def reader(self) -> pa.RecordBatchReader:
        """Typed Arrow batches."""
        with query_errors():
            return self.relation.to_arrow_reader(_BATCH_ROWS)

    def texts(self) -> Iterator[pa.RecordBatch]:
        """Every value as text, exact: bytes as hex, lists and structs as JSON."""
        with query_errors():
            kinds = zip(self.relation.columns, self.relation.types, strict=True)
            chosen = ", ".join(f"{_as_text(name, kind.id)} AS {quoted(name)}" for name, kind in kinds)
            yield from self.relation.project(chosen).to_arrow_reader(_BATCH_ROWS)

    def json_lines(self) -> Iterator[str]:
        """One JSON object a row. Decimals are text, so that no digit is lost; bytes are hex."""
        with query_errors():
            kinds = zip(self.relation.columns, self.relation.types, strict=True)
            chosen = ", ".join(
                f"{_as_text(name, kind.id)} AS {quoted(name)}"
                if kind.id in ("decimal", "blob")
                else quoted(name)
                for name, kind in kinds
            )
            rows = self.relation.project(chosen).set_alias("answer").project("to_json(answer)::VARCHAR")
            for batch in rows.to_arrow_reader(_BATCH_ROWS):
                yield from batch.column(0).to_pylist()


def json_lines_of(rows: pa.Table) -> Iterator[str]:
    """The rows of an Arrow table as JSON, as `Answer.json_lines` writes them."""
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        yield from Answer(connection.from_arrow(rows)).json_lines()


def _as_text(name: str, kind: str) -> str:
    if kind == "blob":
        return f"lower(hex({quoted(name)}))"
    if kind in ("list", "struct", "map", "array", "union"):
        return f"to_json({quoted(name)})::VARCHAR"
    return f"{quoted(name)}::VARCHAR"


def relations(adapters: Adapters, *, as_of: Position | dt.datetime | None = None) -> dict[Name, Open]:
    """Everything that a catalog lets one query, by its names in SQL. Opens nothing."""
    catalog = adapters.catalog
    found: dict[Name, Open] = {}
    for table, names in names_of(catalog).items():
        for name in names:
            found[EVENTS, name] = partial(_events, adapters, table)
            found[NOW, name] = partial(_rows, adapters, table, as_of)
    for projection in catalog.projections:
        names_there = names_of(catalog, projection)
        for declared in catalog.projected(projection):
            opened = partial(_projected, partial(adapters.target, projection, declared.id))
            for name in names_there[declared.id]:
                found[projection.name, name] = opened
    return found


def names_of(catalog: Catalog, projection: Projection | None = None) -> dict[TableId, tuple[str, ...]]:
    """What each table is called in SQL, shortest first: in events and now, or in a projection."""
    shapes = projection.shapes if projection is not None else ()
    there = {table.id: called(shapes, table.id) for table in catalog.tables}
    count = Counter(name.name.lower() for name in there.values())
    return {
        table: (name.name, str(name)) if count[name.name.lower()] == 1 else (str(name),)
        for table, name in there.items()
    }


@contextmanager
def answered(sql: str, known: Mapping[Name, Open]) -> Iterator[Answer]:
    """Run one query; the block reads its rows.

    Raises:
        QueryError: the SQL is wrong, or names a table that is not there.
        NotLoaded, NeedsReload: a table's rows cannot be known.
    """
    with tempfile.TemporaryDirectory(prefix="replication-assets-query-") as folder:
        connection = duckdb.connect(
            str(Path(folder) / "query.duckdb"),
            config={"memory_limit": f"{MEMORY_MIB}MiB", "temp_directory": folder},
        )
        try:
            connection.execute("SET TimeZone = 'UTC'")
            for schema in sorted({schema for schema, _ in known}):
                connection.execute(f"CREATE SCHEMA IF NOT EXISTS {quoted(schema)}")
            opened = mentioned(sql, known)
            for name in opened:
                _define(connection, name, known[name]())
            with query_errors(lambda error: _mending(error, connection, opened, known)):
                relation = connection.sql(sql)
            if relation is None:
                raise QueryError("it gives no rows", where="query", fix="ask one question: SELECT ...")
            yield Answer(relation)
        finally:
            connection.close()


def mentioned(sql: str, known: Mapping[Name, Open]) -> list[Name]:
    """Names that the text of a query holds, whatever they stand for in it."""
    by_name = {(schema.lower(), table.lower()): (schema, table) for schema, table in known}
    found: dict[Name, None] = {}
    for match in re.finditer(r'("(?:[^"]|"")+"|\w+)\s*\.\s*("(?:[^"]|"")+"|\w+)', sql):
        schema, table = (_unquoted(part) for part in match.groups())
        name = by_name.get((schema.lower(), table.lower()))
        if name is not None:
            found[name] = None
    return list(found)


def _unquoted(name: str) -> str:
    return name[1:-1].replace('""', '"') if name.startswith('"') else name


def _define(
    connection: duckdb.DuckDBPyConnection, name: Name, found: Sequence[ds.Dataset] | Computed
) -> None:
    full = f"{quoted(name[0])}.{quoted(name[1])}"
    if isinstance(found, Computed):
        _compute(connection, full, found)
        return
    selected = []
    for number, dataset in enumerate(found):
        held = f"{name[0]}.{name[1]}/{number}"
        connection.register(held, dataset)
        selected.append(f"SELECT * FROM {quoted(held)}")
    connection.execute(f"CREATE VIEW {full} AS {' UNION ALL '.join(selected)}")


def _compute(connection: duckdb.DuckDBPyConnection, full: str, computed: Computed) -> None:
    # Batch by batch from here, not by a reader of the engine: that one would wrap our errors.
    connection.register("batch", computed.schema.empty_table())
    connection.execute(f"CREATE TABLE {full} AS SELECT * FROM batch")
    for batch in computed.batches:
        connection.register("batch", pa.Table.from_batches([batch]))
        connection.execute(f"INSERT INTO {full} SELECT * FROM batch")
    connection.unregister("batch")


def _events(adapters: Adapters, table: TableId) -> Sequence[ds.Dataset]:
    snapshot = _log(adapters.store(), table).snapshot()
    return [snapshot.events(key) for key in (*snapshot.range_keys(), ALL_RANGES)]


def _rows(adapters: Adapters, table: TableId, as_of: Position | dt.datetime | None) -> Computed:
    store = adapters.store()
    schema = row_schema(_log(store, table).snapshot().schema)
    rows = (batch.select(schema.names) for batch in read_table(store, table, as_of=as_of))
    return Computed(schema, rows)


def _log(store: EventStore, table: TableId) -> EventLog:
    log = store.log(table)
    if not log.exists():
        raise StoreError("nothing is stored of it yet", where=str(table), fix="set its source up and load it")
    return log


def _projected(open_target: Callable[[], ProjectionTarget]) -> Sequence[ds.Dataset] | Computed:
    target = open_target()
    if isinstance(target, ReadInPlace):
        return [target.dataset()]
    rest = iter(target.read())
    first = next(rest, None)
    if first is None:
        raise QueryError("the projection holds nothing yet", where="query", fix="project the table first")
    return Computed(first.schema, chain([first], rest))


@contextmanager
def query_errors(mending: Callable[[duckdb.Error], str] = lambda _: "mend the query") -> Iterator[None]:
    """DuckDB's refusals as a `QueryError`. Its first line names tables and columns; the lines
    after it repeat the query."""
    try:
        yield
    except duckdb.Error as error:
        raise QueryError(str(error).splitlines()[0], where="query", fix=mending(error)) from error


def _mending(
    error: duckdb.Error,
    connection: duckdb.DuckDBPyConnection,
    opened: Sequence[Name],
    known: Mapping[Name, Open],
) -> str:
    """What is there instead: columns of the tables that were opened, or schemas."""
    if opened and isinstance(error, duckdb.BinderException):
        return "; ".join(_columns(connection, name) for name in opened)
    schemas = ", ".join(sorted({schema for schema, _ in known}))
    if not schemas:
        return "mend the query"
    return f"tables are in the schemas {schemas}; `replication-assets query` lists them"


def _columns(connection: duckdb.DuckDBPyConnection, name: Name) -> str:
    described = connection.sql(f"SELECT * FROM {quoted(name[0])}.{quoted(name[1])} LIMIT 0").columns
    # What a target that maps rows to items shows (`ProjectionTarget.read`).
    items = ", the item's attributes as JSON: item->>'$.name.S'" if "item_key" in described else ""
    return f"columns of {name[0]}.{name[1]} are {', '.join(described)}{items}"
