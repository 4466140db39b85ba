"""What `dms explain` says, as a document: the same for people and for programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from itertools import pairwise
from typing import Any

from replication_assets.core.items.spec import Attribute, Items
from replication_assets.dms.applying import validated_columns
from replication_assets.dms.compiling import shape_of
from replication_assets.dms.coverage import Coverage, divided, segments_sql
from replication_assets.dms.endpoint import StreamEndpoint
from replication_assets.dms.filters import as_sql
from replication_assets.dms.findings import Finding, Findings
from replication_assets.dms.items import in_shape, mapped_items
from replication_assets.dms.json_source import plain
from replication_assets.dms.message_samples import sample_messages
from replication_assets.dms.messages import Messages, mapped_messages
from replication_assets.dms.outcome import ColumnOutcome, TableOutcome
from replication_assets.dms.rules import Filter, LobSettings, ObjectMapping, ParallelLoad
from replication_assets.dms.samples import passing, sample_items, sample_rows, target_rows
from replication_assets.dms.task import Task
from replication_assets.errors import ReplicationError


def report(task: Task) -> dict[str, Any]:
    """Tables with columns, rows, segments and items; settings; findings."""
    return {
        "files": [mapping.file for mapping, _ in task.files] + [each.file for each in task.settings],
        "target": task.target,
        "tables": [_table(name, tables, task) for name, tables in task.grouped.items()],
        "left_out": [
            {"table": str(each.table), "why": each.why, "rule": each.rule}
            for _, outcome in task.files
            for each in outcome.left_out
        ],
        "overridden": [
            {"rule": each.rule, "action": each.action, "about": each.about, "by": each.by}
            for tables in task.grouped.values()
            for each in tables[0].overridden
        ],
        "unused_rules": [rule for _, outcome in task.files for rule in outcome.unused],
        "settings": [
            {
                "section": each.section,
                "setting": each.name,
                "value": each.value,
                "default": each.default,
                "verdict": each.verdict,
                "here": each.here,
            }
            for settings in task.settings
            for each in settings.given
        ],
        "endpoint": None if task.endpoint is None else asdict(task.endpoint),
        "findings": [as_document(each) for each in task.findings],
    }


def as_document(finding: Finding) -> dict[str, Any]:
    place = finding.place
    return {
        "severity": finding.severity,
        "code": finding.code,
        "file": place.file,
        "line": place.line,
        "column": place.column,
        "rule": finding.rule,
        "what": finding.what,
        "fix": finding.fix,
    }


def _table(name: str, tables: Sequence[TableOutcome], task: Task) -> dict[str, Any]:
    first = tables[0]
    coverage, filters = divided([each.filters for each in tables])
    items = mapped_items(first, "source", Findings())
    messages = mapped_messages(first, task.target, Findings())
    document: dict[str, Any] = {
        "source": name,
        "kind": first.source.kind,
        "target": first.target,
        "target_schema": first.target_schema,
        "target_table": first.target_table,
        "selected_by": first.selected_by,
        "load_order": first.load_order,
        "naming_rules": list(first.naming_rules),
        "columns_known": first.columns_known,
        "columns": [_column(each) for each in first.columns],
        "removed": [{"column": each.source, "rule": each.rule, "why": each.why} for each in first.removed],
        "key": list(first.key),
        "target_key": list(target_key(first)),
        "key_name": first.defined_key.name if first.defined_key is not None else None,
        "key_origin": first.defined_key.origin if first.defined_key is not None else None,
        "filter": as_sql(filters, first.source),
        "filters": [_filter(each) for each in filters],
        "id_ranges": _ranges(coverage),
        "parallel_load": _parallel_load(first.parallel_load),
        "segments": _segments(first.parallel_load),
        "lobs": _lobs(first.lobs),
        "object_mapping": _object_mapping(first),
        "items": None if items is None else _items(items),
        "condition": _condition(first.object_mapping),
        "messages": None if messages is None else _messages(messages),
        "validation": [
            {"column": each.locator.column.text if each.locator.column else "%",
             "columns": list(validated_columns(each, first.source)),
             "source_function": each.source_function, "target_function": each.target_function}
            for each in first.validations
        ],
        "tags": dict(first.tags),
        "tablespaces": [{"target": target, "name": name} for target, name in first.tablespaces],
    }  # fmt: skip
    return document | _samples(first, items, messages, task.endpoint)


def target_key(table: TableOutcome) -> tuple[str, ...]:
    """The key under the names that its columns have in the target."""
    found = (table.column(name) for name in table.key)
    return tuple(
        name if column is None else column.target for name, column in zip(table.key, found, strict=True)
    )


def _filter(each: Filter) -> dict[str, Any]:
    conditions = [{"operator": c.operator, "values": list(c.values)} for c in each.conditions]
    return {"column": each.column, "conditions": conditions}


def _condition(rule: ObjectMapping | None) -> dict[str, Any] | None:
    if rule is None or rule.condition is None:
        return None
    condition = rule.condition
    return {
        "expression": condition.expression,
        "attribute_values": {name: plain(value) for name, value in condition.attribute_values},
        "attribute_names": dict(condition.attribute_names),
        "during_full_load": condition.during_full_load,
        "during_cdc": condition.during_cdc,
    }


def _messages(messages: Messages) -> dict[str, Any]:
    return {
        "topic": messages.topic,
        "key": {
            "loads": messages.key.of_loads,
            "changes": messages.key.of_changes,
            "value": messages.key.value,
        },
        "columns": messages.columns,
        "excluded": list(messages.excluded),
        "attributes": [{"name": a.name, "type": a.type, "value": a.value} for a in messages.attributes],
    }


def _lobs(lobs: LobSettings | None) -> dict[str, Any] | None:
    return None if lobs is None else {"mode": lobs.mode, "bulk_max_size": lobs.bulk_max_size}


def _column(column: ColumnOutcome) -> dict[str, Any]:
    return {
        "source": column.source,
        "target": column.target,
        "type": str(column.type) if column.type is not None else column.native or None,
        "source_type": column.native or None,
        "rules": list(column.rules),
        "expression": column.expression.text if column.expression is not None else None,
        "masks": [{"action": each.action, "character": each.character or None} for each in column.masks],
        "before_image": column.before,
    }


def _ranges(coverage: Coverage | None) -> list[dict[str, Any]]:
    """Id ranges that tile the whole key space; `high` is exclusive."""
    if coverage is None:
        return []
    edges = [None, *coverage.bounds, None]
    return [{"column": coverage.column, "low": low, "high": high} for low, high in pairwise(edges)]


def _parallel_load(load: ParallelLoad | None) -> dict[str, Any] | None:
    if load is None:
        return None
    return {
        "type": load.type,
        "columns": list(load.columns),
        "boundaries": [list(each) for each in load.boundaries],
        "partitions": list(load.partitions),
        "subpartitions": list(load.subpartitions),
        "number_of_partitions": load.number_of_partitions,
    }


def _segments(load: ParallelLoad | None) -> list[str]:
    if load is None or load.type == "none":
        return []
    if load.type == "ranges":
        return list(segments_sql(load.columns, load.boundaries))
    if load.type == "partitions-list":
        return [f"partition {name}" for name in load.partitions] + [
            f"subpartition {name}" for name in load.subpartitions
        ]
    return [load.type]


def _object_mapping(table: TableOutcome) -> dict[str, Any] | None:
    rule = table.object_mapping
    if rule is None or rule.implied:
        return None
    return {
        "rule": rule.id,
        "action": rule.action,
        "target_table": rule.target_table,
        "topic": rule.topic,
        "partition_key_name": rule.partition_key_name,
        "sort_key_name": rule.sort_key_name,
        "partition_key_type": rule.partition_key_type,
        "partition_key": rule.partition_key_constant,
        "exclude_columns": list(rule.exclude_columns),
    }


def _items(items: Items) -> dict[str, Any]:
    return {
        "table": items.into,
        "keys": [{"name": key.name, "type": key.type, "template": key.template} for key in items.keys],
        "columns": items.columns,
        "excluded": list(items.exclude),
        "attributes": [_attribute(each) for each in items.attributes],
    }


def _attribute(attribute: Attribute) -> dict[str, Any]:
    if attribute.fields is not None:
        return {
            "name": attribute.name,
            "type": "map",
            "fields": [_attribute(each) for each in attribute.fields],
        }
    if attribute.elements is not None:
        return {
            "name": attribute.name,
            "type": "list",
            "elements": [_attribute(e) for e in attribute.elements],
        }
    if attribute.template is None:
        return {"name": attribute.name, "type": attribute.type, "constant": attribute.constant}
    return {"name": attribute.name, "type": attribute.type, "template": attribute.template}


def _samples(
    table: TableOutcome, items: Items | None, messages: Messages | None, endpoint: StreamEndpoint | None
) -> dict[str, Any]:
    """Sample rows as the target has them, as far as there are samples."""
    if not table.source.rows or not table.columns_known:
        return {}
    try:
        rows = passing(table, sample_rows(table.source))
        found: dict[str, Any] = {
            "sample_rows_passing": rows.num_rows,
            "sample_rows": target_rows(table, rows),
        }
        if items is not None:
            shape = shape_of(table, "source")
            shown, refused = sample_items(in_shape(items, table), table, rows, shape)
            found |= {"sample_items": shown, "sample_items_refused": refused}
        if messages is not None:
            found["sample_messages"] = sample_messages(
                messages, table, rows, shape_of(table, "source"), endpoint
            )
    except (ValueError, ReplicationError) as error:
        return {"samples_refused": str(error)}
    return found
