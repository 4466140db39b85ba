"""docs/documents.md says what the program does."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa

from replication_assets.catalog import DeltaProjection
from replication_assets.core.documents import columns as module
from replication_assets.core.documents.columns import DocumentColumns
from replication_assets.core.documents.json_text import MAX_DEPTH
from replication_assets.core.documents.selection import path_problems
from replication_assets.core.documents.spec import Document, document_problems
from replication_assets.core.fold import row_schema
from replication_assets.core.schema import Column, TableSchema
from replication_assets_tests.markdown import ROOT, code, quoted, rows, section

PAGE = ROOT / "docs" / "documents.md"


def test_the_declaration_is_sound() -> None:
    made: dict[str, Any] = {}
    exec(code(PAGE, "Declare"), made)
    assert isinstance(made["lake"], DeltaProjection)
    assert len(made["lake"].documents) == 2
    assert list(document_problems(made["lake"].documents)) == []


def test_the_example_of_xml_becomes_the_example_of_json() -> None:
    body, expected = (part.split("```")[0].strip() for part in _blocks(section(PAGE, "XML")))
    schema = TableSchema((Column("id", "bigint", pa.int64()), Column("body", "xml", pa.string())), ("id",))
    given = [{"id": 1, "body": body, "_epoch": 1, "_commit_position": 1, "_sequence": 1}]
    batch = pa.Table.from_pylist(given, schema=row_schema(schema)).to_batches()[0]
    done, _ = DocumentColumns.of([Document("a.b.c", "body")], schema, "docs").convert(batch)
    assert done.column("body").to_pylist() == [expected]
    assert json.loads(expected)


def _blocks(text: str) -> list[str]:
    return [part.partition("\n")[2] for part in text.split("```")[1::2]]


def test_every_path_of_the_table_is_one() -> None:
    for row in rows(PAGE, "Parts"):
        for path in quoted(row[0]):
            assert list(path_problems([path], "json" if path.startswith("$") else "xml")) == []


def test_every_code_and_limit_is_documented() -> None:
    table = {name: row[1] for row in rows(PAGE, "What is refused") for name in quoted(row[0])}
    codes = {"malformed-xml", "xml-entities", "malformed-json", "duplicate-name", "empty-name", "too-deep"}
    assert set(table) == codes | {"document-too-large"}
    assert set(table) <= set(module._REASONS)
    assert f"more than {MAX_DEPTH} maps and lists" in table["too-deep"]
    assert f"{module.MAX_LETTERS:,} letters" in table["document-too-large"]
