"""What capture needs of a table with large objects is found before it begins, with what mends it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from replication_assets.errors import SourceNotReady
from replication_assets.sources.oracle.source import OracleSource
from replication_assets.sources.oracle.statements import catalog
from replication_assets_tests.sources.oracle.documents import (
    COLUMNS,
    STORED,
    Documents,
    drain,
    keyed,
)
from replication_assets_tests.sources.oracle.recorded import KEY, TABLE, column
from replication_assets_tests.sources.oracle.redo_log import FIRST


def missing(columns: list[Any] = COLUMNS, key: tuple[str, ...] = (), **changed: Any) -> tuple[str, ...]:
    server = Documents().server(columns, **changed)
    source = OracleSource("erp", server)
    return source.missing([(TABLE, source.reflect(TABLE, key=key))])


def test_a_table_with_large_objects_and_a_key_needs_nothing_more() -> None:
    assert missing() == ()


@pytest.mark.parametrize(
    ("told", "given"),
    [
        ("ADD PRIMARY KEY", {catalog.CONSTRAINTS: []}),
        (
            'ALTER TABLE "SALES"."ORDERS" MODIFY LOB ("BODY") (NOCACHE LOGGING)',
            {catalog.LARGE_OBJECTS: [("BODY", "NO", "YES"), *STORED]},
        ),
        (
            'MOVE LOB ("DATA") STORE AS SECUREFILE (ENABLE STORAGE IN ROW)',
            {catalog.LARGE_OBJECTS: [*STORED, ('"DATA"', "NONE", "NO")]},
        ),
    ],
)
def test_what_large_objects_lack_is_told_with_what_mends_it(told: str, given: dict[str, Any]) -> None:
    (problem,) = missing(**given)
    assert told in problem
    documents = Documents()
    with pytest.raises(SourceNotReady):
        drain(documents, documents.server(**given))


def test_forced_logging_writes_large_objects_to_the_log_as_well() -> None:
    head = (4711, 1_000, 500_000, "ARCHIVELOG", "YES", "NO", "NO", "NO", "READ WRITE", "YES")
    given: dict[str, Any] = {catalog.DATABASE: [head], catalog.LARGE_OBJECTS: [("BODY", "NO", "YES")]}
    assert missing(**given) == ()


def test_a_key_must_be_unique_and_of_types_that_rows_are_found_by() -> None:
    (problem,) = missing(key=("TITLE",))
    assert "no enabled PRIMARY KEY or UNIQUE constraint" in problem
    unique: list[Any] = [
        *KEY,
        ("U_TITLE", "U", "TITLE", None, None, None, None, "NOT DEFERRABLE", "IMMEDIATE"),
    ]
    assert missing(key=("TITLE",), **{catalog.CONSTRAINTS: unique}) == ()
    (problem,) = missing(
        key=("TITLE",), **{catalog.CONSTRAINTS: unique, catalog.CHARACTER_SET: [("WE8ISO8859P1",)]}
    )
    assert "without loss" in problem
    zoned = [column("ID", "TIMESTAMP(6) WITH TIME ZONE", nullable=False), *COLUMNS[1:]]
    (problem,) = missing(zoned)
    assert "cannot be found by ID" in problem


def test_a_column_that_makes_a_table_one_with_large_objects_is_looked_at() -> None:
    documents = Documents()
    server = documents.server()
    before = replace(OracleSource("erp", server).reflect(TABLE), key=())
    narrow = replace(before, columns=before.columns[:2])
    one = documents.begin()
    documents.redo.ddl(one.xid, "ALTER TABLE orders ADD (body CLOB, data BLOB)")
    documents.redo.commit(one.xid)
    source = OracleSource("erp", server)
    with (
        source.changes(
            [(TABLE, narrow)], epoch=3, after=FIRST, upto=documents.redo.scn, stop=lambda: False
        ) as stream,
        pytest.raises(SourceNotReady, match="takes a key"),
    ):
        list(stream)


def test_the_query_for_rows_binds_every_key() -> None:
    source = OracleSource("erp", Documents().server())
    text = keyed(TABLE, source.reflect(TABLE), 2)
    assert text == (
        'SELECT "ID", "TITLE", "BODY", "DATA" FROM "SALES"."ORDERS" AS OF SCN :scn'
        ' WHERE "ID" IN (TO_NUMBER(:k0_0), TO_NUMBER(:k1_0))'
    )
