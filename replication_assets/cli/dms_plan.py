"""`dms plan`: what DMS task files would do to a source, as the source is now."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

import typer

from replication_assets.cli import exits
from replication_assets.cli.dms_files import (
    EscapeOption,
    FilesArgument,
    TargetOption,
    printable,
    show_findings,
    text_of,
)
from replication_assets.cli.options import CatalogOption, JsonOption, chosen_source, open_replication

if TYPE_CHECKING:
    from replication_assets.core.schema import TableId, TableSchema
    from replication_assets.dms.rules import TableKind
    from replication_assets.dms.source_tables import SourceTable
    from replication_assets.ports import ChangeSource
    from replication_assets.replication import Replication


def plan(
    files: FilesArgument,
    source: Annotated[str, typer.Option(help="The source that is asked, as the catalog calls it.")],
    samples: Annotated[int, typer.Option(min=0, max=20, help="Rows of each table that are read.")] = 0,
    escape: EscapeOption = "",
    target: TargetOption = "",
    catalog: CatalogOption = "",
    as_json: JsonOption = False,
) -> None:
    """What DMS task files would do to a source of the catalog: columns, keys, rows, ranges, sample items.

    Looks at tables that the files name exactly, and at those of the catalog. Writes nothing. With
    --samples rows are read as a load reads them. Ends with 3 if something in the files is an error.
    """
    from replication_assets.cli.dms_report import show_report
    from replication_assets.cli.output import show_json
    from replication_assets.dms.findings import errors
    from replication_assets.dms.report import report
    from replication_assets.dms.task import read_task

    replication = open_replication(catalog)
    adapter = replication.source(chosen_source(replication, source))
    texts = {str(path): text_of(path) for path in files}
    tables = _tables(replication, adapter, texts, samples)
    task = read_task(texts, tables, escape=escape, target=target)
    document = report(task)
    document["source"] = [_asked(adapter, table) for table in tables]
    if as_json:
        show_json(printable(document))
    else:
        show_report(document)
        _show_source(document["source"])
        show_findings(task.findings)
    raise typer.Exit(exits.FOUND if errors(task.findings) else exits.OK)


def _tables(
    replication: Replication, adapter: ChangeSource, texts: dict[str, str], samples: int
) -> list[SourceTable]:
    """What a file names as a view is planned as one, also where a table stands in its place.

    Raises:
        SourceError: one is not there, or cannot be read.
    """
    from replication_assets.core.schema import TableId
    from replication_assets.dms.mapping import read_mapping
    from replication_assets.dms.selecting import named_tables
    from replication_assets.dms.task import is_settings

    wanted = {table.id: table.key for table in replication.catalog.tables_of(adapter.name)}
    kinds: dict[TableId, TableKind] = {}
    for file, text in texts.items():
        if not is_settings(text, file):
            for named in named_tables(read_mapping(text, file)):
                where = TableId(adapter.name, named.schema, named.name)
                wanted.setdefault(where, ())
                kinds[where] = named.kind
    return [
        replace(found, kind=kinds.get(table, found.kind))
        for table, key in wanted.items()
        for found in [_table(adapter, table, tuple(key), samples)]
    ]


def _table(adapter: ChangeSource, table: TableId, key: tuple[str, ...], samples: int) -> SourceTable:
    from replication_assets.dms.source_tables import SourceColumn, SourceTable, dms_type

    schema = adapter.reflect(table, key=key)
    columns = tuple(
        SourceColumn(each.name, each.source_type, dms_type(each.source_type), each.nullable, each.arrow)
        for each in schema.columns
    )
    rows = _rows(adapter, table, schema, samples) if samples else []
    kind = "table" if adapter.is_captured(table) else "view"
    return SourceTable(table.schema, table.name, kind, columns, schema.key, rows)  # type: ignore[arg-type]


def _rows(
    adapter: ChangeSource, table: TableId, schema: TableSchema, samples: int
) -> list[dict[str, object]]:
    from replication_assets.core.id_ranges import IdRange
    from replication_assets.declarations import EventDate
    from replication_assets.ports import LoadSlice

    whole = LoadSlice(table, schema, None, IdRange("all", 0, None, None), EventDate().pinned())
    found: list[dict[str, object]] = []
    with adapter.load(whole) as stream:
        for batch in islice(stream, 1):
            found = batch.slice(0, samples).select(schema.names).to_pylist()
    return found


def _asked(adapter: ChangeSource, table: SourceTable) -> dict[str, Any]:
    """Rows as the source estimates them, and bounds of the first key column."""
    from replication_assets.core.schema import TableId

    where = TableId(adapter.name, table.schema, table.name)
    if not table.key:
        return {"table": str(table), "key": [], "rows": None, "low": None, "high": None}
    bounds = adapter.bounds(where, table.key[0])
    return {
        "table": str(table),
        "key": list(table.key),
        "rows": bounds.rows,
        "low": bounds.low,
        "high": bounds.high,
    }


def _show_source(tables: list[dict[str, Any]]) -> None:
    from replication_assets.cli.output import Heading, count, show_table

    rows = [
        (
            each["table"],
            ", ".join(each["key"]),
            count(each["rows"]),
            str(each["low"] or ""),
            str(each["high"] or ""),
        )
        for each in tables
    ]
    headings = [
        Heading("source table"),
        Heading("key"),
        Heading("rows, about"),
        Heading("lowest"),
        Heading("highest"),
    ]
    show_table(headings, rows, names=1)
