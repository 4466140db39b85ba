"""docs/types.md says what the cases say, of every engine."""

from __future__ import annotations

from replication_assets_tests.types.document import DOCUMENT, ENGINES, renewed


def test_the_tables_are_current() -> None:
    document = DOCUMENT.read_text()
    assert renewed(document) == document, "python -m replication_assets_tests.types.document"
    assert [engine for engine in ENGINES if f"<!-- types of {engine} -->" not in document] == []
