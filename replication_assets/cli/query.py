"""`query`: SQL over the event store, current and past rows, and projections."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from replication_assets.cli.options import CatalogOption, open_replication
from replication_assets.errors import CatalogError

if TYPE_CHECKING:
    import datetime as dt

    from replication_assets.catalog import Catalog
    from replication_assets.core.positions import Position
    from replication_assets.flows.query import Answer


class Format(StrEnum):
    """`json` is one object a line; `arrow` an IPC stream."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    ARROW = "arrow"


def query(
    sql: Annotated[
        str | None, typer.Argument(help="One question in DuckDB's SQL; without it, what can be asked.")
    ] = None,
    as_of: Annotated[
        str | None,
        typer.Option(
            metavar="TIME|POSITION",
            help="now.<table> as of then: 2026-06-01T12:00Z, or a position that status shows.",
        ),
    ] = None,
    output: Annotated[
        Format, typer.Option("--format", help="json is one object a line, arrow an IPC stream.")
    ] = Format.TABLE,
    limit: Annotated[
        int, typer.Option(min=1, help="Rows of a table shown; the other formats give all.")
    ] = 1000,
    catalog: CatalogOption = "",
) -> None:
    """Ask the event store (events.orders), its rows (now.orders) or a projection (lake.orders) in SQL.

    events.* and files of a lakehouse are read in place. now.* is folded from the events of the
    table for this query. Where two tables share a name: now."shop.public.orders".
    """
    from replication_assets.flows.query import answered, relations

    replication = open_replication(catalog)
    if sql is None:
        _names(replication.catalog)
        return
    if output is Format.ARROW and sys.stdout.isatty():
        raise CatalogError(["Arrow is binary. Fix: send it to a file or a pipe"], where="command line")
    with answered(sql, relations(replication, as_of=_moment(as_of))) as answer:
        _WRITERS[output](answer, limit)


def _moment(text: str | None) -> Position | dt.datetime | None:
    """Raises CatalogError for what is neither a position nor a time with a zone."""
    import datetime as dt

    from replication_assets.core.positions import Position

    if text is None:
        return None
    try:
        return Position.parse(text)
    except ValueError:
        pass
    try:
        time = dt.datetime.fromisoformat(text)
    except ValueError:
        time = None
    if time is None or time.tzinfo is None:
        problem = (
            f"{text!r} is no time with a zone, and no position. Fix: a time as 2026-06-01T12:00Z, or a "
            f"position as status shows it: {Position(1, 29_096_151)}"
        )
        raise CatalogError([problem], where="--as-of")
    return time


def _names(catalog: Catalog) -> None:
    from replication_assets.cli.output import Heading, show_table
    from replication_assets.flows.query import names_of

    rows = []
    for table, names in names_of(catalog).items():
        rows += [[_quoted(schema, names[0]), str(table)] for schema in ("events", "now")]
        for projection in catalog.projections:
            if catalog.table(table) in catalog.projected(projection):
                name = names_of(catalog, projection)[table][0]
                rows.append([_quoted(projection.name, name), str(table)])
    show_table([Heading("name"), Heading("table")], rows)


def _quoted(schema: str, name: str) -> str:
    plain = name.isidentifier() and name.islower()
    return f"{schema}.{name}" if plain else f'{schema}."{name}"'


def _table(answer: Answer, limit: int) -> None:
    from replication_assets.cli.output import Heading, say, show_table

    rows: list[list[str]] = []
    for batch in answer.texts():
        columns = [column.to_pylist() for column in batch.columns]
        rows += [["" if cell is None else str(cell) for cell in row] for row in zip(*columns, strict=True)]
        if len(rows) > limit:
            break
    figures = answer.numeric
    show_table(
        [Heading(name, name in figures) for name in answer.columns],
        rows[:limit],
    )
    if len(rows) > limit:
        say(f"Only the first {limit:,} rows are shown. Fix: --limit N, or --format csv for all")


def _csv(answer: Answer, _: int) -> None:
    import pyarrow.csv as pa_csv

    writer = None
    for batch in answer.texts():
        writer = writer or pa_csv.CSVWriter(sys.stdout.buffer, batch.schema)
        writer.write_batch(batch)
    if writer is None:
        sys.stdout.write(",".join(f'"{name}"' for name in answer.columns) + "\n")
    else:
        writer.close()


def _json(answer: Answer, _: int) -> None:
    for line in answer.json_lines():
        sys.stdout.write(line + "\n")


def _arrow(answer: Answer, _: int) -> None:
    import pyarrow as pa

    reader = answer.reader()
    with pa.ipc.new_stream(sys.stdout.buffer, reader.schema) as stream:
        for batch in reader:
            stream.write_batch(batch)


_WRITERS = {Format.TABLE: _table, Format.CSV: _csv, Format.JSON: _json, Format.ARROW: _arrow}
