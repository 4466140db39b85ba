"""A table of tests with large objects: what its transactions write to the redo log, and its rows as of each
SCN.

Texts of LOB rows are as LogMiner is known to print them: a block that selects a locator and goes on in the
rows behind it, or, as later versions do, a block for each piece. What a rollback to a savepoint shows of a
large object differs, so it is drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa

from replication_assets.core.controls import SchemaChanged
from replication_assets.core.schema import TableId, TableSchema
from replication_assets.ports import ChangeChunk
from replication_assets.sources.oracle.logminer.rereading import ROWS_AT_ONCE
from replication_assets.sources.oracle.logminer.row_keys import can_be_looked_up, conditions
from replication_assets.sources.oracle.select_list import read_expression
from replication_assets.sources.oracle.sessions import Binds
from replication_assets.sources.oracle.source import OracleSource
from replication_assets.sources.oracle.statements import catalog, rows
from replication_assets_tests.contracts.change_source import events
from replication_assets_tests.sources.oracle.recorded import TABLE, RecordedServer, column, dictionary
from replication_assets_tests.sources.oracle.redo_log import FIRST, RedoLog, mining_server

COLUMNS = [
    column("ID", "NUMBER", precision=9, scale=0, nullable=False),
    column("TITLE", "VARCHAR2", length=400, characters=100),
    column("BODY", "CLOB"),
    column("DATA", "BLOB"),
]
STORED = [("BODY", "YES", "YES"), ("DATA", "YES", "YES")]
_BLOCK = (
    "DECLARE \n loc_c CLOB; \n buf_c VARCHAR2(6174); \n loc_b BLOB; \n buf_b RAW(6174); \n loc_nc NCLOB; \n"
    " buf_nc NVARCHAR2(6174); \n e_len NUMBER; \nBEGIN\n"
)
_NAME = '"SALES"."ORDERS"'
LOCATOR, WRITE, TRIM, ERASE = 9, 10, 11, 29


@dataclass(frozen=True)
class Document:
    """A row. `address` is where it lies."""

    key: int
    title: str | None
    body: str | None
    data: bytes | None
    address: str = ""

    @property
    def values(self) -> tuple[Any, ...]:
        return self.key, self.title, self.body, self.data


Rows = dict[str, Document]
"""By address."""


def literal(text: str | None) -> str:
    return "NULL" if text is None else "'" + text.replace("'", "''") + "'"


def where(row: Document) -> str:
    told = '"TITLE" IS NULL' if row.title is None else f'"TITLE" = {literal(row.title)}'
    return f"\"ID\" = '{row.key}' and {told}"


def insert(row: Document, body: str = "EMPTY_CLOB()", data: str = "EMPTY_BLOB()") -> str:
    return (
        f'insert into {_NAME}("ID","TITLE","BODY","DATA")'
        f" values ('{row.key}',{literal(row.title)},{body},{data})"
    )


def update(was: Document, assigned: str) -> str:
    return f"update {_NAME} set {assigned} where {where(was)}"


def delete(row: Document) -> str:
    return f"delete from {_NAME} where {where(row)}"


def locator(row: Document, name: str = "BODY") -> str:
    variable = "loc_c" if name == "BODY" else "loc_b"
    return f'{_BLOCK} select "{name}" into {variable} from {_NAME} where {where(row)} for update;\n'


def piece(code: int, text: str = "x", at: int = 1) -> str:
    if code == WRITE:
        return f"\n buf_c := {literal(text)}; \n  dbms_lob.write(loc_c, {len(text)}, {at}, buf_c);\n"
    if code == TRIM:
        return f" dbms_lob.trim(loc_c, {at});\n"
    return f" e_len := 3; \n dbms_lob.erase(loc_c, e_len, {at});\n"


@dataclass
class Writing:
    """An open transaction: the rows as it sees them, and the states that it may go back to."""

    xid: int
    rows: Rows
    undo: list[tuple[Rows, Callable[[], None]]] = field(default_factory=list)
    disturbed: bool = False


@dataclass
class Documents:
    """The table and its log. Transactions that are open at once must touch distinct keys."""

    redo: RedoLog = field(default_factory=RedoLog)
    history: list[tuple[int, Rows]] = field(default_factory=lambda: [(0, {})])
    disturbed: dict[int, bool] = field(default_factory=dict)
    """By commit: whether something was taken back."""
    numbers: int = 0

    def as_of(self, scn: int) -> dict[int, Document]:
        found = next(rows for at, rows in reversed(self.history) if at <= scn)
        assert len({row.key for row in found.values()}) == len(found)
        return {row.key: row for row in found.values()}

    # --- transactions ----------------------------------------------------------------------

    def begin(self) -> Writing:
        self.numbers += 1
        self.redo.begin(self.numbers)
        return Writing(self.numbers, {})

    def commit(self, one: Writing, owned: Callable[[int], bool]) -> int:
        at = self.redo.commit(one.xid)
        others = {each: row for each, row in self.history[-1][1].items() if not owned(row.key)}
        self.history.append((at, {**others, **one.rows}))
        self.disturbed[at] = one.disturbed
        return at

    def log(self, one: Writing, code: int, text: str, address: str, **more: Any) -> None:
        names = {"SEG_OWNER": TABLE.schema, "TABLE_NAME": TABLE.name, "OBJECT": 70_001, "ROW_ID": address}
        self.redo.write(one.xid, code, text, **{**names, **more})

    # --- statements ------------------------------------------------------------------------

    def add(self, one: Writing, row: Document, how: str) -> None:
        """`how`: what is large is in the insert, in an update behind it, or in pieces."""
        self.numbers += 1
        row = replace(row, address=row.address or f"R{self.numbers}")
        before = dict(one.rows)
        inline = how == "inline"
        self.log(one, 1, insert(row, literal(row.body)) if inline else insert(row), row.address)
        one.rows[row.address] = row
        one.undo.append((before, lambda: self.log(one, 2, delete(row), row.address, UNDOES=1)))
        if how == "update":
            self.log(one, 3, update(row, f'"BODY" = {literal(row.body)}'), row.address)
            one.undo.append((dict(one.rows), lambda: self.log(one, 3, "", row.address, UNDOES=1)))
        elif not inline:
            self.write(one, row, row.body, row.data, how, "quiet")

    def write(
        self, one: Writing, row: Document, body: str | None, data: bytes | None, how: str, undone: str
    ) -> None:
        """Pieces of large objects of a row that is there. `undone`: what taking them back shows."""
        before = dict(one.rows)
        pieces = [
            (WRITE, piece(WRITE, "it's; a 'piece")),
            (WRITE, piece(WRITE, "y", 15)),
            (TRIM, piece(TRIM)),
        ]
        pieces += [(ERASE, piece(ERASE))]
        for name in ("BODY", "DATA"):
            if how == "blocks":
                # SELECT_LOB_LOCATOR is there without a text.
                self.log(one, LOCATOR, "", "AAAAAAAAAAAAAAAAAA")
                for code, text in pieces:
                    self.log(one, code, f"{locator(row, name)}{text}END;", "AAAAAAAAAAAAAAAAAA")
                continue
            self.log(one, LOCATOR, locator(row, name), row.address)
            for code, text in pieces:
                self.log(one, code, text, "AAAAAAAAAAAAAAAAAA")
        one.rows[row.address] = replace(row, body=body, data=data)

        def take_back() -> None:
            if undone == "update":
                self.log(one, 3, "", row.address, UNDOES=1)
            elif undone == "pieces":
                self.log(one, WRITE, "", row.address, UNDOES=1)

        one.undo.append((before, take_back))

    def change(self, one: Writing, was: Document, now: Document, assigned: str) -> None:
        before = dict(one.rows)
        self.log(one, 3, update(was, assigned), was.address)
        one.rows[was.address] = now
        one.undo.append((before, lambda: self.log(one, 3, "", was.address, UNDOES=1)))

    def remove(self, one: Writing, row: Document) -> None:
        before = dict(one.rows)
        self.log(one, 2, delete(row), row.address)
        del one.rows[row.address]
        one.undo.append((before, lambda: self.log(one, 1, insert(row), row.address, UNDOES=1)))

    @contextmanager
    def one_statement(self, one: Writing) -> Iterator[None]:
        """What is changed in the block is taken back as a whole or not at all."""
        first = len(one.undo)
        yield
        parts = one.undo[first:]
        del one.undo[first:]

        def take_back() -> None:
            for _, undo in reversed(parts):
                undo()

        if parts:
            one.undo.append((parts[0][0], take_back))

    def take_back(self, one: Writing, steps: int) -> None:
        """ROLLBACK TO SAVEPOINT, newest first."""
        for _ in range(min(steps, len(one.undo))):
            one.rows, undo = one.undo.pop()
            undo()
            one.disturbed = True

    # --- the server ------------------------------------------------------------------------

    def server(self, columns: Sequence[Any] = COLUMNS, **more: Any) -> RecordedServer:
        head = (4711, 1_000, None, "ARCHIVELOG", "YES", "NO", "NO", "NO", "READ WRITE", "NO")
        found: dict[str, Any] = {
            **dictionary(columns),
            catalog.LARGE_OBJECTS: STORED,
            catalog.DATABASE: lambda binds: [(*head[:2], self.redo.scn, *head[3:])],
        }
        server = mining_server(self.redo, more={**found, **more})
        schema = OracleSource("erp", server).reflect(TABLE)
        found_by_key = all(can_be_looked_up(schema.column(name)) for name in schema.key)
        for count in range(1, ROWS_AT_ONCE + 1) if found_by_key and schema.key else ():
            server.answers.setdefault(keyed(TABLE, schema, count), self.read)
        return server

    def read(self, binds: Binds) -> list[pa.RecordBatch]:
        """Rows by key, in frames of the driver's types: one for each row."""
        table = self.as_of(int(str(binds["scn"])))
        wanted = {int(str(bound)) for name, bound in binds.items() if name != "scn"}
        return [frame([row]) for key, row in table.items() if key in wanted]


def frame(found: Sequence[Document]) -> pa.RecordBatch:
    keys, titles, bodies, data = zip(*(row.values for row in found), strict=True)
    return pa.RecordBatch.from_pydict(
        {
            "ID": pa.array(keys, pa.int64()),
            "TITLE": pa.array(titles, pa.string()),
            "BODY": pa.array(bodies, pa.large_string()),
            "DATA": pa.array(data, pa.large_binary()),
        }
    )


def keyed(table: TableId, schema: TableSchema, count: int) -> str:
    """The query for as many rows."""
    text, _ = conditions(schema, [("1",) * len(schema.key)] * count)
    expressions = [read_expression(each) for each in schema.columns]
    return rows.select(expressions, table.schema, table.name, text, "scn")


# --- capture -------------------------------------------------------------------------------

NAMES = ("ID", "TITLE", "BODY", "DATA")


def drain(documents: Documents, server: RecordedServer | None = None) -> list[ChangeChunk]:
    server = server or documents.server()
    source = OracleSource("erp", server)
    tables = [(TABLE, source.reflect(TABLE))]
    with source.changes(tables, epoch=3, after=FIRST, upto=documents.redo.scn, stop=lambda: False) as stream:
        return list(stream)


def told(chunks: list[ChangeChunk]) -> list[tuple[Any, ...]]:
    return [(row["_op"], *(row[name] for name in NAMES)) for row in events(chunks, TABLE)]


def reloads(chunks: list[ChangeChunk]) -> list[SchemaChanged]:
    return [change for chunk in chunks for _, _, change in chunk.schema_changes]


def everything(key: int) -> bool:
    return True
