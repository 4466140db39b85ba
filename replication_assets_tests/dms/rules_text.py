"""Mappings written as short as tests want them."""

from __future__ import annotations

import json
from typing import Any

from replication_assets.dms.applying import apply_mapping
from replication_assets.dms.mapping import TableMapping, read_mapping
from replication_assets.dms.outcome import Outcome, TableOutcome
from replication_assets.dms.source_tables import SourceTable, read_tables

ACTOR = {
    "schema": "test",
    "name": "actor",
    "key": ["id"],
    "columns": {"id": "int", "first_name": "varchar(50)", "note": "text", "paid": "numeric(10,2)"},
}


def include(
    table: str = "%", schema: str = "test", /, action: str = "include", **more: Any
) -> dict[str, Any]:
    locator = {"schema-name": schema, "table-name": table} | more.pop("locator", {})
    return {"rule-type": "selection", "rule-action": action, "object-locator": locator, **more}


def transform(action: str, target: str = "column", /, **more: Any) -> dict[str, Any]:
    locator = {"schema-name": "%", **({} if target == "schema" else {"table-name": "%"})}
    locator |= {
        key: more.pop(key)
        for key in ("schema-name", "table-name", "column-name", "data-type-name")
        if key in more
    }
    if "data-type-name" in locator:
        locator["data-type"] = locator.pop("data-type-name")
    head = {"rule-type": "transformation", "rule-action": action, "rule-target": target}
    return {**head, "object-locator": locator, **more}


def mapping_of(*rules: dict[str, Any]) -> TableMapping:
    """Rules are numbered from 1 unless they have an id."""
    numbered = [{"rule-id": str(at), "rule-name": f"r{at}", **rule} for at, rule in enumerate(rules, 1)]
    return read_mapping(json.dumps({"rules": numbered}), "m.json")


def tables_of(*tables: dict[str, Any]) -> tuple[SourceTable, ...]:
    found, findings = read_tables(json.dumps({"tables": list(tables)}), "t.json")
    assert list(findings) == []
    return found


def outcome_of(*rules: dict[str, Any], tables: tuple[dict[str, Any], ...] = (ACTOR,)) -> Outcome:
    mapping = mapping_of(*rules)
    assert [each for each in mapping.findings if each.severity == "error"] == []
    return apply_mapping(mapping, tables_of(*tables))


def actor(*rules: dict[str, Any]) -> TableOutcome:
    """What becomes of `test.actor`, which is included."""
    (table,) = outcome_of(include(), *rules).tables
    return table


def names(table: TableOutcome) -> list[tuple[str | None, str]]:
    return [(column.source, column.target) for column in table.columns]
