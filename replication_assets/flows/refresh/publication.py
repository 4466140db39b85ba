"""The record of a publication: in the target with the copy itself, and in the audit."""

from __future__ import annotations

from replication_assets.flows.refresh.refreshing import Refreshing
from replication_assets.ports.environment import PublishedCopy


def note_publication(refreshing: Refreshing, copy: PublishedCopy, *, late: bool = False) -> None:
    """The audit's line of a published copy."""
    tables = {
        str(table.table): {
            "as_of": str(table.as_of),
            "rows": table.rows,
            "checksum": f"{table.checksum:016x}",
        }
        for table in copy.tables
    }
    body = {
        "policy": copy.policy,
        "key_id": copy.key_id,
        "published_at": copy.published_at.isoformat(),
        "tables": tables,
        "late": late,
    }
    refreshing.audit.append(copy.refresh, copy.id, "publish", refreshing.who, body, copy.published_at)


def note_late_publication(refreshing: Refreshing) -> None:
    """A process may die between the publication and its line: whoever comes next writes it, and the
    plan that was published is no longer under way."""
    published = refreshing.target.published()
    if published is None:
        return
    newest = refreshing.audit.back_to(published.id, "publish")
    if not any((line.refresh_id, line.what) == (published.id, "publish") for line in newest):
        note_publication(refreshing, published, late=True)
