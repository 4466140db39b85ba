"""What has to be staged before it is loaded, and what its certificates promise of the copy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from replication_assets.core.masking.seal import Certificate, Role
from replication_assets.core.refresh.plan import CopiedTable, RefreshPlan
from replication_assets.errors import GuardError, RefreshError
from replication_assets.flows.refresh.refreshing import Refreshing

GENERATED = "generated"
"""The one range of rows that are made for a test team."""


def due_ranges(refreshing: Refreshing, plan: RefreshPlan) -> Iterator[tuple[str, Role, str]]:
    """All that is masked, by table, role and range."""
    for table in plan.tables:
        yield from ((str(table.table), role, key) for role in roles(plan) for key in table.ranges)
        if plan.how == "full" and seeded(refreshing, table):
            yield (str(table.table), "generated", GENERATED)


def roles(plan: RefreshPlan) -> tuple[Role, ...]:
    """What the rows of a source's range are staged as."""
    return ("rows",) if plan.how == "full" else ("upserts", "deletes")


def seeded(refreshing: Refreshing, table: CopiedTable) -> bool:
    return any(each.table == str(table.table) for each in refreshing.refresh.seed_rows)


def require_staged(refreshing: Refreshing, plan: RefreshPlan) -> tuple[Certificate, ...]:
    """Certificates of everything that is due, in the order of the plan's tables.

    Raises:
        RefreshError: something is not staged whole.
        GuardError: something is staged that is not due, or a chunk is torn.
    """
    due = list(due_ranges(refreshing, plan))
    staged = refreshing.staging.completed()
    lacking = [f"{table} {key} ({role})" for table, role, key in due if (table, role, key) not in staged]
    if lacking:
        raise RefreshError(
            f"not masked yet: {', '.join(lacking[:5])}{' ...' if len(lacking) > 5 else ''}",
            where=refreshing.where,
            fix="run the mask step first",
        )
    order = {str(table.table): number for number, table in enumerate(plan.tables)}
    certificates = refreshing.staging.certificates()
    for each in certificates:
        _require_due(each, plan, {*due})
    return tuple(sorted(certificates, key=lambda each: order[each.claims.table]))


def _require_due(certificate: Certificate, plan: RefreshPlan, due: set[tuple[str, Role, str]]) -> None:
    claims = certificate.claims
    place = (claims.table, claims.role, claims.chunk.rpartition(".")[0])
    if claims.refresh != plan.id or place not in due:
        raise GuardError(
            "a batch is staged that is not due in this refresh",
            where=f"{claims.table} {claims.chunk} ({claims.role})",
            fix="nothing of it was loaded; find out who put it there, and start the refresh anew",
        )


def require_masked(refreshing: Refreshing, plan: RefreshPlan) -> tuple[Certificate, ...]:
    """`require_staged`, for the steps after the mask: as many rows of each table as the mask noted in
    the audit when it was done. The notes of what is complete are files that no key protects.

    Raises:
        RefreshError, GuardError: as `require_staged`; the mask is not done; rows are missing.
    """
    certificates = require_staged(refreshing, plan)
    lines = refreshing.audit.back_to(plan.id, "plan")
    bodies = [line.body for line in lines if line.refresh_id == plan.id and line.what == "mask"]
    if not bodies:
        raise RefreshError("not masked to the end yet", where=refreshing.where, fix="run the mask step first")
    staged = dict.fromkeys((str(table.table) for table in plan.tables), 0)
    for each in certificates:
        staged[each.claims.table] += each.rows
    if staged != bodies[-1].get("rows"):
        raise GuardError(
            "other numbers of rows are staged than were masked",
            where=refreshing.where,
            fix="nothing of it was loaded; find out who changed the staging area, and start the refresh anew",
        )
    return certificates


def certified(certificates: Sequence[Certificate], table: str, *wanted: Role) -> tuple[int, int]:
    """Rows and checksum that certificates of a table promise, these roles together."""
    chosen = [each for each in certificates if each.claims.table == table and each.claims.role in wanted]
    return sum(each.rows for each in chosen), sum(each.checksum for each in chosen) % 2**64
