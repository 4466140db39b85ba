"""Plans, tables and sealed rows for tests of one engine; the guard's own key seals them."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from replication_assets.core.events import OVERFLOW
from replication_assets.core.masking.batches import MaskedBatch
from replication_assets.core.masking.keys import KeyRing
from replication_assets.core.masking.seal import Claims, Role, SealedBatch, seal
from replication_assets.core.positions import Position
from replication_assets.core.refresh.plan import CopiedTable, How, RefreshPlan
from replication_assets.core.schema import TableId
from replication_assets.core.structure import ColumnStructure, TableStructure, UniqueKey
from replication_assets.ports.environment import Marker, PublishedCopy, PublishedTable, TableCopy
from replication_assets.targets.sql.dialect import SqlDialect
from replication_assets.targets.sql.target import SqlEnvironment

KEYS = KeyRing(bytes(range(32)), environment="qa", scope="qa")
AT = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)


def structure(
    name: str, columns: Mapping[str, str], *, schema: str = "shop", **more: object
) -> TableStructure:
    """Columns by name: `bigint not null`, `text`. The first one is the primary key unless told."""
    made = tuple(
        ColumnStructure(each, kind.removesuffix(" not null"), nullable=not kind.endswith(" not null"))
        for each, kind in columns.items()
    )
    settings: dict[str, object] = {
        "primary_key": UniqueKey(f"{name}_pkey", (made[0].name,)),
        "columns": made,
        **more,
    }
    return TableStructure(TableId("crm", schema, name), "postgresql", **settings)  # type: ignore[arg-type]


def copied(table: TableStructure, **types: pa.DataType) -> TableCopy:
    """How a table stands in the target, by the Arrow types of its columns."""
    fields = [pa.field(name, kind) for name, kind in types.items()]
    return TableCopy(table, pa.schema([*fields, pa.field(OVERFLOW, pa.string())]))


def batch(
    copy: TableCopy, *rows: Sequence[object], overflow: Mapping[int, str] | None = None
) -> pa.RecordBatch:
    columns = list(zip(*rows, strict=True)) if rows else [()] * (len(copy.schema) - 1)
    arrays = [pa.array(each, field.type) for each, field in zip(columns, copy.schema, strict=False)]
    odd = pa.array([(overflow or {}).get(at) for at in range(len(rows))], pa.string())
    return pa.RecordBatch.from_arrays([*arrays, odd], schema=copy.schema)


@dataclass
class Refresh:
    """One refresh of tables into an environment, step by step."""

    target: SqlEnvironment
    tables: Sequence[TableCopy]
    how: How = "full"

    def __post_init__(self) -> None:
        position = Position(1, 100, 0)
        self.plan = RefreshPlan(
            uuid.uuid4().hex,
            "nightly",
            "qa",
            "policy",
            KEYS.key_id,
            self.how,
            tuple(
                CopiedTable(each.structure.table, position, ("r",), each.structure.fingerprint)
                for each in self.tables
            ),
        )

    def begin(self) -> Refresh:
        self.target.begin(self.plan, self.tables)
        return self

    def sealed(
        self, copy: TableCopy, rows: pa.RecordBatch, chunk: str = "r.0", role: Role = "rows"
    ) -> SealedBatch:
        claims = Claims(
            "qa",
            self.plan.id,
            str(copy.structure.table),
            chunk,
            role,
            self.plan.policy,
            copy.structure.fingerprint,
            KEYS.key_id,
        )
        return seal(MaskedBatch(rows), claims, KEYS, checksum=0, counts={})

    def load(self, copy: TableCopy, rows: pa.RecordBatch, chunk: str = "r.0", role: Role = "rows") -> int:
        return self.target.load(self.plan, copy, self.sealed(copy, rows, chunk, role))

    def finish(self) -> Refresh:
        self.target.finish(self.plan, self.tables)
        return self

    def publish(self) -> Refresh:
        tables = tuple(
            PublishedTable(each.structure.table, Position(1, 100, 0), each.structure.fingerprint, 0, 0)
            for each in self.tables
        )
        copy = PublishedCopy("nightly", self.plan.id, self.plan.policy, self.plan.key_id, AT, tables)
        self.target.publish(self.plan, copy, self.tables)
        return self

    def rows(self, copy: TableCopy, role: str = "rows") -> pa.Table:
        """Of the shadow, by its first column."""
        return read(self.target, copy, self.plan, role)


def read(
    target: SqlEnvironment, copy: TableCopy, plan: RefreshPlan | None = None, role: str = "rows"
) -> pa.Table:
    """All rows, by the first column."""
    batches = list(target.read(copy, plan, role))
    return pa.Table.from_batches(batches, copy.schema).sort_by(copy.schema.names[0])


def marked(dialect: SqlDialect) -> SqlEnvironment:
    """An environment over an empty database, which is marked."""
    target = SqlEnvironment(dialect, "qa", "nonproduction")
    target.mark(Marker("qa", "nonproduction", KEYS.public_key, KEYS.key_id, AT))
    return target
