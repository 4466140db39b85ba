"""The tables of docs/types.md, made of the cases and of what the targets make of each.

    python -m replication_assets_tests.types.document

writes them anew. That the cases are true is proven on the servers; that the document says what they say, by
test_document.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import pyarrow as pa
from deltalake import Schema

from replication_assets.core.items.nodes import own_type
from replication_assets.core.schema import Column, TableSchema
from replication_assets.targets.sql.mysql.types import Collations
from replication_assets.targets.sql.projection.layout import Layout, Place
from replication_assets.targets.sql.projection.mysql_tables import MySqlTables
from replication_assets.targets.sql.projection.postgres_tables import column_type
from replication_assets.targets.sql.projection.sqlite_tables import declared
from replication_assets_tests.markdown import ROOT
from replication_assets_tests.types import mariadb_cases, postgres_cases, sqlite_cases
from replication_assets_tests.types.cases import Case

DOCUMENT = ROOT / "docs" / "types.md"
HEADER = ("type", "stored as", "Delta", "DynamoDB", "PostgreSQL", "MySQL, MariaDB", "SQLite")
ATTRIBUTES = {
    "string": "S",
    "number": "N",
    "boolean": "BOOL",
    "binary": "B",
    "json": "M, L or scalar",
    "xml": "M",
}
ENGINES: Mapping[str, tuple[Case, ...]] = {
    "postgresql": (*postgres_cases.CASES, postgres_cases.XML, *postgres_cases.SHAPES),
    "mariadb": mariadb_cases.CASES,
    "sqlite": sqlite_cases.CASES,
}
_SECTION = re.compile(r"(<!-- types of (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def becomes(each: Case) -> tuple[str, ...]:
    """What a column is in the store, and in each target."""
    column = Column("c", each.declared.lower(), each.stored)
    layout = Layout(Place("s", "t"), TableSchema((column,)))
    field = layout.rows.field("c")
    tables = MySqlTables(None, Collations.of(mariadb=True), lambda _: Place("s", "t"))  # type: ignore[arg-type]
    (delta,) = Schema.from_arrow(pa.schema([field])).fields
    return (
        str(each.stored),
        str(delta.type.type if hasattr(delta.type, "type") else delta.type),
        ATTRIBUTES[own_type(column)],
        column_type(field, layout),
        tables.column_type(field, layout).split(" ")[0],
        declared(field),
    )


def table(cases: Iterable[Case]) -> str:
    """A line for all types that become the same."""
    lines: dict[tuple[str, ...], list[str]] = {}
    for each in cases:
        names = lines.setdefault(becomes(each), [])
        name = f"`{each.declared}`" if each.declared else "none"
        names += [name] if name not in names else []
    rows = [
        [", ".join(names), *(_cell(number, text) for number, text in enumerate(each))]
        for each, names in lines.items()
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in [HEADER, ["---"] * len(HEADER), *rows]) + "\n"


def _cell(number: int, text: str) -> str:
    return text if number == 2 else f"`{text}`"


def renewed(document: str) -> str:
    return _SECTION.sub(lambda found: found[1] + table(ENGINES[found[2]]) + found[3], document)


if __name__ == "__main__":
    DOCUMENT.write_text(renewed(DOCUMENT.read_text()))
