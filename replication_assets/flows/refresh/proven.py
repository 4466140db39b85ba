"""What the audit says of the last verification of a plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from replication_assets.core.refresh.plan import RefreshPlan
from replication_assets.core.refresh.proofs import Verification
from replication_assets.flows.refresh.refreshing import Refreshing

VERIFY = "verify"


@dataclass(frozen=True, slots=True)
class ProvenTable:
    """Rows and checksum of a table as they were found, hooks and all: what is published of it."""

    rows: int
    checksum: int


def note_verification(
    refreshing: Refreshing, plan: RefreshPlan, found: Verification, tables: Mapping[str, ProvenTable]
) -> None:
    body = {
        "passed": found.passed,
        "proofs": found.to_json(),
        "tables": {
            name: {"rows": each.rows, "checksum": f"{each.checksum:016x}"} for name, each in tables.items()
        },
    }
    refreshing.note(plan.id, VERIFY, body)


def proven_tables(refreshing: Refreshing, plan: RefreshPlan) -> Mapping[str, ProvenTable] | None:
    """By table; None if the last verification of the plan did not pass, or there was none.

    Raises:
        StoreCorrupt: the audit was changed.
    """
    lines = refreshing.audit.back_to(plan.id, "plan")
    bodies = [line.body for line in lines if line.refresh_id == plan.id and line.what == VERIFY]
    body: Mapping[str, Any] = bodies[-1] if bodies else {}
    found = body.get("tables", {})
    if body.get("passed") is not True or set(found) != {str(table.table) for table in plan.tables}:
        return None
    return {name: ProvenTable(int(each["rows"]), int(each["checksum"], 16)) for name, each in found.items()}


def note_verified_again(refreshing: Refreshing, published_id: str, found: Verification) -> None:
    """The line of a verification of the published copy; it changes nothing about what may be published."""
    body = {"passed": found.passed, "proofs": found.to_json()}
    refreshing.note(published_id, "verify published", body)
