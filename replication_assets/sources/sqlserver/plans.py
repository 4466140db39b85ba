"""How the server would read an id range: its own plan, asked for and not executed.

The plan comes as XML from the server that is trusted least of all here: a document type, the only way to
entities, is refused before the parser expands anything. Numbers and names are taken from it, predicates
(which hold constants of views) are not.

Format: namespace `http://schemas.microsoft.com/sqlserver/2004/07/showplan` (showplanxml.xsd).
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import dataclass
from xml.parsers import expat

from replication_assets.core.id_ranges import IdRange
from replication_assets.core.range_plans import SMALL_ROWS, RangePlan
from replication_assets.core.schema import TableId, TableSchema
from replication_assets.errors import DecodeError, SourceNotReady
from replication_assets.sources.sqlserver.reflection import existing_relation
from replication_assets.sources.sqlserver.sessions import Session
from replication_assets.sources.sqlserver.statements import extent
from replication_assets.sources.sqlserver.statements.predicates import range_conditions
from replication_assets.sources.sqlserver.statements.values import select_rows
from replication_assets.sources.sqlserver.types import is_whole_number

_SPACE = "{http://schemas.microsoft.com/sqlserver/2004/07/showplan}"
_SCANS = frozenset({"Table Scan", "Clustered Index Scan", "Index Scan", "Columnstore Index Scan"})
_COUNT = re.compile(r"\d+(\.\d+)?([eE][+-]?\d+)?")
_READS = _SCANS | {"Index Seek", "Clustered Index Seek", "RID Lookup", "Key Lookup"}


@dataclass(frozen=True, slots=True)
class _Read:
    """One operator that reads a table: `columns` of it that the query needs, `sought` those that an
    interval is looked for in, by a seek or by a filter over a scan."""

    operation: str
    table: str
    columns: tuple[str, ...]
    compared: tuple[str, ...]
    rows: str
    held: float | None
    """Rows of the table by the server's estimate (`TableCardinality`); None where the plan does not tell."""

    @property
    def is_large_scan(self) -> bool:
        return self.operation in _SCANS and (self.held is None or self.held >= SMALL_ROWS)

    @property
    def told(self) -> str:
        return f"{self.operation} of {self.table}, {self.rows} rows by estimate"


def range_plan(
    session: Session, table: TableId, schema: TableSchema, column: str, id_range: IdRange
) -> RangePlan:
    """The plan of a load of the range. Raises SourceNotReady: the account may not see plans."""
    ranged = schema.column(column)
    conditions = range_conditions(ranged, id_range)
    if not conditions:
        return RangePlan((), None, "the range is the whole table", ())
    found = existing_relation(session, table)
    session.run(extent.SHOWPLAN_ON)
    rows = session.rows(select_rows(table, schema.columns, " AND ".join(conditions)))
    session.run(extent.SHOWPLAN_OFF)
    if not rows or not isinstance(rows[0][0], str):
        raise SourceNotReady(
            "the server told no plan", where=str(table), fix="GRANT SHOWPLAN TO the account of the source"
        )
    reads = list(_reads(rows[0][0], str(table)))
    scans = [read for read in reads if read.is_large_scan]
    told = tuple(read.told for read in reads)
    if not scans:
        small = any(read.operation in _SCANS for read in reads)
        reason = "what would be read whole is small" if small else "an index serves the range"
        return RangePlan((), None, reason, told)
    scanned = tuple(dict.fromkeys(read.table for read in scans))
    if not is_whole_number(ranged):
        reason = f"ranges of {ranged.source_type} are compared by bytes, which no index is ordered by"
        return RangePlan(scanned, None, reason, told)
    return _advised(scans, scanned, told, column, is_view=not found.can_be_captured)


def _advised(
    scans: list[_Read], scanned: tuple[str, ...], told: tuple[str, ...], column: str, *, is_view: bool
) -> RangePlan:
    for scan in scans:
        # A view may call the column otherwise than the table under it: the filter knows.
        base = scan.compared[0] if scan.compared else column
        if base in scan.columns or not is_view:
            included = tuple(name for name in scan.columns if name != base)
            index = extent.create_index(scan.table, base, included)
            reason = f"every range reads {scan.table} whole"
            return RangePlan(scanned, index, reason, told)
    return RangePlan(scanned, None, "the column is computed by the view: no index is ordered by it", told)


def _reads(text: str, where: str) -> Iterator[_Read]:
    for node in _parsed(text, where).iter(f"{_SPACE}RelOp"):
        operation = node.get("PhysicalOp", "")
        owned = next((each for each in node.iter(f"{_SPACE}Object") if _owner(node, each)), None)
        if operation not in _READS or owned is None:
            continue
        name = ".".join(part for part in (owned.get("Schema"), owned.get("Table")) if part)
        columns = [
            _bare(each.get("Column", ""))
            for listed in node.findall(f"{_SPACE}OutputList")
            for each in listed.iter(f"{_SPACE}ColumnReference")
        ]
        compared = [
            _bare(each.get("Column", ""))
            for predicate in node.iter(f"{_SPACE}Predicate")
            for each in predicate.iter(f"{_SPACE}ColumnReference")
            if each.get("Table") == owned.get("Table")
        ]
        rows = node.get("EstimateRows", "?")
        yield _Read(operation, name, _once(columns), _once(compared), rows, _cardinality(node))


def _cardinality(node: ElementTree.Element) -> float | None:
    told = node.get("TableCardinality", "")
    return float(told) if _COUNT.fullmatch(told) else None


def _owner(node: ElementTree.Element, found: ElementTree.Element) -> bool:
    """Whether the object stands in this operator and in none below it."""
    below = (each for inner in node.iter(f"{_SPACE}RelOp") if inner is not node for each in inner.iter())
    return found.get("Table") is not None and all(each is not found for each in below)


def _bare(name: str) -> str:
    return name[1:-1].replace("]]", "]") if name.startswith("[") and name.endswith("]") else name


def _once(names: list[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for name in names if name))


def _parsed(text: str, where: str) -> ElementTree.Element:
    """Raises DecodeError: no XML, or XML with a document type."""
    builder = ElementTree.TreeBuilder()
    # Names come as `namespace}name`: what ElementTree writes with a brace before it.
    parser = expat.ParserCreate(namespace_separator="}")
    parser.StartElementHandler = lambda tag, given: builder.start(f"{{{tag}" if "}" in tag else tag, given)
    parser.EndElementHandler = lambda tag: builder.end(f"{{{tag}" if "}" in tag else tag)
    parser.StartDoctypeDeclHandler = _refuse_doctype
    try:
        parser.Parse(text, True)
        return builder.close()
    except (expat.ExpatError, _DocumentType):
        raise DecodeError("the server's plan is no plain XML", where=where) from None


class _DocumentType(Exception):  # never leaves this module
    """A document type was met."""


def _refuse_doctype(*_: object) -> None:
    raise _DocumentType
