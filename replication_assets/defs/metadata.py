"""Receipts as asset metadata: the same keys on every materialization, so that they plot."""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from replication_assets.core.differences import Kind
from replication_assets.core.id_ranges import IdRange
from replication_assets.core.range_plans import RangePlan
from replication_assets.core.schema import TableSchema
from replication_assets.flows.capture import FlushReceipt
from replication_assets.flows.load import LoadReceipt
from replication_assets.flows.project import ProjectReceipt
from replication_assets.flows.validation.findings import Shown, Validation
from replication_assets.ports import SourceStatus

Metadata = Mapping[str, Any]


def column_schema(schema: TableSchema) -> dg.TableSchema:
    """The stored columns with the source's own types; keys are marked."""
    columns = [
        dg.TableColumn(
            name=column.name,
            type=column.source_type,
            constraints=dg.TableColumnConstraints(nullable=column.nullable and column.name not in schema.key),
            tags={"key": ""} if column.name in schema.key else None,
        )
        for column in schema.columns
    ]
    return dg.TableSchema(columns=columns)


def bounds(id_range: IdRange) -> Metadata:
    low = "lowest key and NULL" if id_range.lo is None else str(id_range.lo)
    return {"id_range": f"[{low}, {'unbounded' if id_range.hi is None else id_range.hi})"}


def loaded(receipt: LoadReceipt, rows: int) -> Metadata:
    """Of one cell that a load produced; `rows` are the cell's, the rates the whole load's."""
    return {
        "rows": rows,
        "position": receipt.position.commit,
        "load_id": receipt.load_id,
        "rows_per_second": round(receipt.rows / receipt.seconds) if receipt.seconds else 0,
        "bytes": receipt.bytes,
        "seconds": round(receipt.seconds, 3),
        **bounds(receipt.id_range),
    }


def planned(plan: RangePlan | None) -> Metadata:
    """How the ranges of a load were read: the engine's own words, and what would serve them better."""
    if plan is None or not plan.told:
        return {}
    facts = {"read_by": "; ".join(plan.told), "scanned": ", ".join(plan.scanned) or "nothing"}
    if plan.scanned:
        facts["advice"] = f"{plan}. Fix: {plan.fix}"
    return facts


def captured(receipt: FlushReceipt, rows: int, rows_per_second: float, lag_seconds: float) -> Metadata:
    """Of one cell that a capture wrote to."""
    return {
        "rows": rows,
        "position": receipt.position.commit,
        "lag_seconds": round(lag_seconds, 3),
        "rows_per_second": round(rows_per_second, 1),
    }


def projected(receipt: ProjectReceipt, schema: TableSchema) -> Metadata:
    return {
        "dagster/column_schema": column_schema(schema),
        "dagster/row_count": receipt.rows,
        "position": receipt.position.commit,
        "changed": receipt.changed,
        "how": receipt.how,
        "seconds": round(receipt.seconds, 3),
        "rows_per_second": round(receipt.changed / receipt.seconds) if receipt.seconds else 0,
        **receipt.figures,
        **bounds(receipt.id_range),
    }


def source(status: SourceStatus, lag_seconds: float | None, max_key: int | str | None, rows: int) -> Metadata:
    """Of a source table; None where the source gives no figure is left out, since it cannot plot."""
    figures = {
        "position": status.head,
        "captured_position": status.confirmed,
        "lag_bytes": status.lag_bytes,
        "lag_seconds": round(lag_seconds, 3) if lag_seconds is not None else None,
        "retained_bytes": status.retained_bytes,
        "headroom_bytes": status.headroom_bytes,
        "max_key": max_key,
        "estimated_rows": rows,
        "slot_state": status.state,
    }
    return {name: value for name, value in figures.items() if value is not None}


def validated(found: Validation) -> Metadata:
    """Figures of a validation, its first findings, and where all of them are listed."""
    kinds: tuple[Kind, ...] = ("missing", "extra", "differing", "in-flight", "dead-lettered")
    states = ("equal", "mended", "accounted", "late", "differs", "unknown")
    counted = {state: sum(each.state == state for each in found.ranges) for state in states}
    figures: dict[str, Any] = {
        "rows": found.rows,
        "ranges": len(found.ranges),
        **{kind.replace("-", "_"): found.count(kind) for kind in kinds},
        **{f"ranges_{state}": count for state, count in counted.items()},
        "seconds": round(found.seconds, 3),
        "rows_per_second": round(found.rows / found.seconds) if found.seconds else 0,
    }
    if found.position is not None:
        figures["position"] = found.position.commit
    if found.shown:
        figures["findings"] = dg.MetadataValue.table([_finding(each) for each in found.shown])
        more = found.total - len(found.shown)
        figures["more_findings"] = more
    if found.listed is not None:
        figures["all_findings"] = dg.MetadataValue.path(found.listed)
    reasons = [(each.id_range, each.state, each.reason) for each in found.ranges if each.reason]
    if reasons:
        figures["reasons"] = dg.MetadataValue.table(
            [dg.TableRecord({"id_range": key, "state": state, "reason": why}) for key, state, why in reasons]
        )
    if found.notes:
        figures["notes"] = "; ".join(found.notes)
    return figures


def _finding(shown: Shown) -> dg.TableRecord:
    return dg.TableRecord(
        {
            "kind": shown.kind,
            "id_range": shown.id_range,
            "key": shown.key if shown.key is not None else "(no key)",
            "columns": ", ".join(shown.columns),
        }
    )
