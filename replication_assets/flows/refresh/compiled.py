"""The guard of one table: its compiled mask, and what turns raw rows into sealed ones.

The one place where rows are masked and certified. A batch is sealed after it was held against the
mask: no row kept its own value where the rule promises so, and every value is one that the rule makes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa

from replication_assets.core.masking.batches import MaskedBatch, RawBatch
from replication_assets.core.masking.compile import compile_table
from replication_assets.core.masking.keys import KeyRing
from replication_assets.core.masking.policy_problems import policy_problems
from replication_assets.core.masking.prf import Prf
from replication_assets.core.masking.seal import Claims, Role, SealedBatch, seal
from replication_assets.core.masking.table_mask import TableMask
from replication_assets.core.refresh.plan import CopiedTable, RefreshPlan
from replication_assets.core.refresh.row_checksums import checksum
from replication_assets.core.schema import TableSchema
from replication_assets.core.sql import NO_SPILL, Spill
from replication_assets.core.structure import TableStructure
from replication_assets.errors import GuardError, PolicyError
from replication_assets.flows.read import fold_range
from replication_assets.flows.refresh.refreshing import Refreshing
from replication_assets.flows.refresh.tables import StoredTable, planned_tables

_FIX = "nothing of the batch was staged; change the rule, or find out what is wrong with it"


@dataclass(frozen=True)
class TableGuard:
    """One table of a plan with its mask. For one thread."""

    plan: RefreshPlan
    planned: CopiedTable
    stored: StoredTable
    mask: TableMask
    keys: KeyRing
    also: frozenset[str] = frozenset()
    """Columns that are read beside those of the mask: a subset is told by them."""
    spill: Spill = NO_SPILL

    @property
    def name(self) -> str:
        return str(self.planned.table)

    def read(self, id_range: str, *, columns: Collection[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Raw rows of a range as of the plan's position: the key, and the columns that the mask needs,
        or those that are named."""
        snapshot = self.stored.snapshot
        found = snapshot.id_ranges.by_key(id_range)
        return fold_range(
            snapshot,
            self.planned.table,
            found,
            as_of=self.planned.as_of,
            spill=self.spill,
            schema=self.read_schema(columns),
        )

    def read_schema(self, columns: Collection[str] | None = None) -> TableSchema:
        schema = self.stored.snapshot.schema
        wanted = {*(self.mask.columns if columns is None else columns), *schema.key, *self.also}
        return replace(schema, columns=tuple(each for each in schema.columns if each.name in wanted))

    def seal_raw(self, raw: RawBatch, role: Role, chunk: str) -> SealedBatch:
        """Mask rows, prove them, and certify them.

        Raises:
            GuardError: they cannot be masked, or a proof failed.
        """
        masked = self.mask.mask_keys(raw) if role == "deletes" else self.mask.mask(raw)
        if role != "deletes":
            self._require_unequal(raw, masked)
            self._require_fitting(masked)
        return self.seal_masked(masked, role, chunk)

    def seal_masked(self, masked: MaskedBatch, role: Role, chunk: str) -> SealedBatch:
        claims = Claims(
            environment=self.plan.environment,
            refresh=self.plan.id,
            table=self.name,
            chunk=chunk,
            role=role,
            policy=self.plan.policy,
            structure=self.planned.structure,
            key_id=self.plan.key_id,
        )
        _, total = self.checksum(masked.reveal())
        counts = self.mask.counts if role != "generated" else {"generated": len(masked)}
        return seal(masked, claims, self.keys, checksum=total, counts=counts)

    def checksum(self, batch: pa.RecordBatch) -> tuple[int, int]:
        """Rows and keyed checksum."""
        return checksum(batch, row_prf(self.keys), json_columns=json_columns(self.stored.structure))

    def _require_unequal(self, raw: RawBatch, masked: MaskedBatch) -> None:
        same = {name: count for name, count in self.mask.unequal(raw, masked).items() if count}
        if same:
            listed = ", ".join(f"{name} ({count} rows)" for name, count in sorted(same.items()))
            raise GuardError(
                f"values came out of their mask as they were: {listed}", where=self.name, fix=_FIX
            )

    def _require_fitting(self, masked: MaskedBatch) -> None:
        problems = self.mask.fits(masked.reveal())
        if problems:
            raise GuardError("; ".join(problems), where=self.name, fix=_FIX)


def guards(refreshing: Refreshing, plan: RefreshPlan, spill: Spill = NO_SPILL) -> tuple[TableGuard, ...]:
    """The guards of all tables of a plan, in its order, with the environment's keys. Raw rows that they
    read spill as `spill` says.

    Raises:
        GuardError: the keys or the policy are not those that the plan was made with.
        PolicyError: the policy does not fit a table.
    """
    keys = refreshing.keys()
    require_own(refreshing, plan, keys)
    return tuple(
        TableGuard(plan, planned, stored, compiled(refreshing, stored, keys), keys, spill=spill)
        for planned, stored in planned_tables(refreshing, plan)
    )


def require_own(refreshing: Refreshing, plan: RefreshPlan, keys: KeyRing) -> None:
    """Raises GuardError if key or policy changed since the plan was made."""
    for what, planned, now in (
        ("mask key", plan.key_id, keys.key_id),
        ("policy", plan.policy, refreshing.policy.fingerprint),
    ):
        if planned != now:
            raise GuardError(
                f"the plan was made with {what} {planned}, and now it is {now}",
                where=refreshing.where,
                fix="start the refresh again: it is planned anew",
            )


def compiled(refreshing: Refreshing, stored: StoredTable, keys: KeyRing) -> TableMask:
    """Raises PolicyError if the policy does not fit the table."""
    return compile_table(
        refreshing.policy, stored.structure, stored.schema, allow=refreshing.environment.allow, keys=keys
    )


def require_policy(refreshing: Refreshing, tables: Sequence[StoredTable], keys: KeyRing) -> None:
    """Raises PolicyError with every problem of every table."""
    subset = refreshing.refresh.subset
    problems = policy_problems(
        refreshing.policy,
        [(table.structure, table.schema) for table in tables],
        refreshing.environment.allow,
        keys,
        virtual_keys=subset.virtual_keys if subset is not None else {},
        changes=refreshing.refresh.migration != "full-load",
    )
    if problems:
        raise PolicyError(problems, where=f"policy {refreshing.policy.name} for {refreshing.where}")


def row_prf(keys: KeyRing) -> Prf:
    """What checksums of rows are drawn from."""
    return Prf(keys.proof_key("rows"))


def json_columns(structure: TableStructure) -> frozenset[str]:
    """Columns that are compared as documents: a database may keep them in a form of its own."""
    return frozenset(column.name for column in structure.columns if column.type.lower() in ("json", "jsonb"))
