"""Which stored rows a set of changes touches.

DuckDB sees keys (or, for a table without key, the content to compare) and answers with file
and row numbers. The rows themselves are moved by Arrow and never pass through it, so that no
value can change on the way. Changes are the build side of every join and stored rows stream
past them: memory follows the changes, not the range.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from replication_assets.core.events import OVERFLOW, POSITION
from replication_assets.core.schema import TableSchema
from replication_assets.core.sql import Spill, engine
from replication_assets.errors import NeedsReload, TargetError

Located = tuple[int, int, pa.RecordBatch]
"""Number of the file, number of the first row in it, rows."""
Numbers = npt.NDArray[np.int64]

_FILE, _ROW = "_file", "_row"


@dataclass(frozen=True, slots=True)
class Matches:
    """Stored rows by (file, row), and for each the change that met it.

    `stale` are changes that met a stored row as new as themselves, or newer.
    """

    file: Numbers
    row: Numbers
    change: Numbers
    stale: Numbers

    def rows_of(self, file: int) -> tuple[Numbers, Numbers]:
        """Row numbers in one file, ascending, and the change that met each."""
        own = self.file == file
        order = np.argsort(self.row[own])
        return self.row[own][order], self.change[own][order]


def match_keys(
    changes: pa.Table, stored: Iterator[Located], key: Sequence[str], spill: Spill, where: str
) -> Matches:
    """Stored rows that have the key of an older-standing change; NULL equals NULL.

    `changes` holds key and position columns; a change is known by its row number in it.
    """
    width = len(key)
    with _connection(spill, where) as connection:
        connection.register("given", _aliased(changes, [*key, *POSITION], "change"))
        connection.execute("CREATE TEMP TABLE change AS SELECT * FROM given")
        listed = ", ".join(f"c{i}" for i in range(width))
        twice = connection.execute(
            f"SELECT 1 FROM change GROUP BY {listed} HAVING count(*) > 1 LIMIT 1"
        ).fetchone()
        if twice is not None:
            raise TargetError("changes hold a key twice, so their net effect is not known", where=where)
        columns = pa.schema([changes.schema.field(name) for name in (*key, *POSITION)])
        connection.register("stored", _reader(stored, columns))
        newer = f"row({_columns('c', width, 3)}) > row({_columns('s', width, 3)})"
        met: pa.Table = connection.sql(
            f"SELECT s.{_FILE}, s.{_ROW}, c.change, {newer} AS newer FROM stored s "
            f"JOIN change c ON {_equal(range(width))}"
        ).to_arrow_table()
    newer_rows = met.filter(met["newer"])
    stale = np.unique(_numbers(met.filter(pc.invert(met["newer"]))["change"]))
    file, row, change = _numbered(newer_rows)
    return Matches(file, row, change, stale)


def match_content(
    deletes: pa.Table, stored: Iterator[Located], schema: TableSchema, spill: Spill, where: str
) -> Matches:
    """For each delete one stored row of equal content, from the first file that has one.

    Raises NeedsReload if there are fewer such rows than deletes: the range is not what the
    changes were made from.
    """
    content = [*schema.names, OVERFLOW]
    fields = pa.schema([deletes.schema.field(name) for name in content])
    with _connection(spill, where) as connection:
        connection.register("given", _aliased(deletes, content, "change"))
        exact = ", ".join(f"{_exact('g', i, field.type)} AS c{i}" for i, field in enumerate(fields))
        listed = ", ".join(f"c{i}" for i in range(len(content)))
        connection.execute(
            f"CREATE TEMP TABLE change AS SELECT {listed}, count(*) AS copies, min(change) AS change "
            f"FROM (SELECT {exact}, change FROM given g) GROUP BY {listed}"
        )
        connection.register("stored", _reader(stored, fields))
        same = " AND ".join(
            f"{_exact('s', i, field.type)} IS NOT DISTINCT FROM c.c{i}" for i, field in enumerate(fields)
        )
        met: pa.Table = connection.sql(
            f"SELECT {_FILE}, {_ROW}, change FROM ("
            f"SELECT s.{_FILE}, s.{_ROW}, c.change, c.copies, "
            f"row_number() OVER (PARTITION BY c.change ORDER BY s.{_FILE}, s.{_ROW}) AS copy "
            f"FROM stored s JOIN change c ON {same}) WHERE copy <= copies"
        ).to_arrow_table()
    if met.num_rows != deletes.num_rows:
        raise NeedsReload(
            f"{deletes.num_rows - met.num_rows} of {deletes.num_rows} deleted rows are not in the target",
            where=where,
            fix="replace the range",
        )
    file, row, change = _numbered(met)
    return Matches(file, row, change, np.empty(0, np.int64))


class _connection:  # noqa: N801 - a context manager, used like a function
    """A DuckDB that probes with `stored`, whose failures name the range."""

    def __init__(self, spill: Spill, where: str) -> None:
        self._engine = engine(spill)
        self._where = where

    def __enter__(self) -> duckdb.DuckDBPyConnection:
        connection = self._engine.__enter__()
        # Stored rows come without a count; the optimizer would take them for few and build on them.
        connection.execute("SET disabled_optimizers = 'join_order,build_side_probe_side'")
        return connection

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._engine.__exit__(kind, exc, trace)
        if isinstance(exc, duckdb.Error):
            raise TargetError(
                f"looking up the changed rows failed: {type(exc).__name__}",
                where=self._where,
                fix="give the target more memory or a folder to spill to; check that its files can be read",
            ) from exc


def _aliased(table: pa.Table, columns: Sequence[str], number: str) -> pa.Table:
    """Columns as `c0`, `c1`, ...: DuckDB takes `A` and `a` for one name. And their row number."""
    arrays = [table.column(name) for name in columns]
    numbers = pa.array(np.arange(table.num_rows, dtype=np.int64))
    return pa.table([*arrays, numbers], names=[*(f"c{i}" for i in range(len(columns))), number])


def _reader(stored: Iterator[Located], columns: pa.Schema) -> pa.RecordBatchReader:
    named = [pa.field(f"c{i}", field.type) for i, field in enumerate(columns)]
    schema = pa.schema([*named, pa.field(_FILE, pa.int64()), pa.field(_ROW, pa.int64())])

    def batches() -> Iterator[pa.RecordBatch]:
        for file, first, batch in stored:
            count = batch.num_rows
            arrays = [
                batch.column(field.name) if field.name in batch.schema.names else pa.nulls(count, field.type)
                for field in columns
            ]
            numbers = pa.array(np.arange(first, first + count, dtype=np.int64))
            yield pa.RecordBatch.from_arrays(
                [*arrays, pa.repeat(pa.scalar(file), count), numbers], schema=schema
            )

    return pa.RecordBatchReader.from_batches(schema, batches())


def _exact(alias: str, index: int, kind: pa.DataType) -> str:
    """Content to compare. Floats by their shortest text: NaN equals NaN, and -0.0 is not 0.0."""
    column = f"{alias}.c{index}"
    return f"CAST({column} AS VARCHAR)" if pa.types.is_floating(kind) else column


def _equal(columns: Iterable[int]) -> str:
    return " AND ".join(f"s.c{i} IS NOT DISTINCT FROM c.c{i}" for i in columns)


def _columns(alias: str, first: int, count: int) -> str:
    return ", ".join(f"{alias}.c{i}" for i in range(first, first + count))


def _numbered(met: pa.Table) -> tuple[Numbers, Numbers, Numbers]:
    return _numbers(met[_FILE]), _numbers(met[_ROW]), _numbers(met["change"])


def _numbers(column: pa.ChunkedArray) -> Numbers:
    numbers: Numbers = column.to_numpy().astype(np.int64)
    return numbers
