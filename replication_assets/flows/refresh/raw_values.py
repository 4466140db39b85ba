"""Fingerprints of the raw values that a copy replaces, from the event store: what must not occur in it.

They are made with a key of their own that is forgotten with them. Columns that no raw value is looked for
of are not read.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence

import pyarrow as pa

from replication_assets.core.masking.rules import Rule
from replication_assets.core.refresh.fingerprints import RawFingerprints, is_looked_for
from replication_assets.core.refresh.plan import RefreshPlan
from replication_assets.flows.read import ranges_of
from replication_assets.flows.refresh.changes import net_changes
from replication_assets.flows.refresh.compiled import TableGuard
from replication_assets.flows.refresh.step import guarded_rows


def raw_fingerprints(plan: RefreshPlan, tables: Sequence[TableGuard]) -> RawFingerprints:
    """Of all rows of the tables, not only of those of a subset; for changes, of the rows that came."""
    found = RawFingerprints(secrets.token_bytes(16))
    for guard in tables:
        rules = _looked_for(guard)
        if not rules:
            continue
        for batch in guarded_rows("verify", guard.name, _raw(plan, guard, frozenset(rules))):
            for name, rule in rules.items():
                found.add_column(rule, batch.column(name))
    return found


def _looked_for(guard: TableGuard) -> Mapping[str, Rule]:
    policy, schema = guard.stored.policy, guard.stored.snapshot.schema
    rules = {name: column.mask for name, column in policy.columns.items()} if policy is not None else {}
    return {
        name: rule
        for name, rule in rules.items()
        if name in schema.names and is_looked_for(rule) and _may_be_told(schema.column(name).arrow)
    }


def _may_be_told(kind: pa.DataType) -> bool:
    """Numbers of less than 64 bits have too few digits, and other types are not texts."""
    checks = (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary)
    return any(check(kind) for check in checks) or pa.types.is_int64(kind) or pa.types.is_uint64(kind)


def _raw(plan: RefreshPlan, guard: TableGuard, columns: frozenset[str]) -> Iterator[pa.RecordBatch]:
    for id_range in ranges_of(guard.stored.snapshot):
        if plan.how == "changes":
            yield from net_changes(guard, id_range.key, columns).upserts.to_batches()
        else:
            yield from guard.read(id_range.key, columns=columns)
