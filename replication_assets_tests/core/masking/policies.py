"""A table with its policy, for tests: structure, schema of the log and rules, column by column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from replication_assets.core.fold import row_schema
from replication_assets.core.masking.batches import RawBatch
from replication_assets.core.masking.compile import compile_table
from replication_assets.core.masking.keys import KeyRing
from replication_assets.core.masking.policy import ColumnPolicy, MaskingPolicy, Namespace, TablePolicy
from replication_assets.core.masking.rules import Rule
from replication_assets.core.masking.table_mask import TableMask
from replication_assets.core.schema import Column, TableId, TableSchema
from replication_assets.core.structure import ColumnStructure, TableStructure, UniqueKey, describe_column
from replication_assets.errors import PolicyError

CUSTOMERS = TableId("shop", "public", "customers")
KEYS = KeyRing(bytes(range(7, 39)), environment="qa", scope="qa")
NAMESPACES = (Namespace("id", low=1, high=2**31 - 1), Namespace("exact", normalise=()))

TYPES: Mapping[str, pa.DataType] = {
    "bigint": pa.int64(),
    "integer": pa.int32(),
    "boolean": pa.bool_(),
    "date": pa.date32(),
    "double precision": pa.float64(),
    "numeric(10,2)": pa.decimal128(10, 2),
    "timestamp with time zone": pa.timestamp("us", tz="UTC"),
}


def column(name: str, kind: str = "text", **more: Any) -> ColumnStructure:
    return ColumnStructure(name, kind, **more)


ID = column("id", "bigint", nullable=False)
EMAIL = column("email")
BORN = column("born", "date")


def structure_of(
    *columns: ColumnStructure, table: TableId = CUSTOMERS, key: Sequence[str] = ("id",), **more: Any
) -> TableStructure:
    primary = UniqueKey(f"{table.name}_pkey", tuple(key)) if key else None
    return TableStructure(table, "postgresql", columns, primary_key=primary, **more)


def schema_of(
    structure: TableStructure, *, without: Sequence[str] = (), key: Sequence[str] | None = None
) -> TableSchema:
    primary = structure.primary_key.columns if structure.primary_key is not None else ()
    columns = tuple(
        Column(each.name, each.type, TYPES.get(each.type, pa.string()), each.nullable)
        for each in structure.columns
        if each.generated is None and each.name not in without
    )
    return TableSchema(columns, key=primary if key is None else tuple(key))


def listed(structure: TableStructure, rules: Mapping[str, tuple[str, Rule] | Rule | str]) -> TablePolicy:
    """Each column as reviewed today: a class, a rule (of class `pii.test`), or both."""
    columns = {}
    for name, said in rules.items():
        data_class, rule = (
            said if isinstance(said, tuple) else (said, None) if isinstance(said, str) else ("pii.test", said)
        )
        reviewed = describe_column(structure.column(name)) if name in structure.names else ""
        columns[name] = (
            ColumnPolicy(data_class, reviewed=reviewed)
            if rule is None
            else ColumnPolicy(data_class, rule, reviewed=reviewed)
        )
    return TablePolicy(str(structure.table), columns=columns)


def policy_of(*tables: TablePolicy, namespaces: Sequence[Namespace] = NAMESPACES) -> MaskingPolicy:
    return MaskingPolicy("masks", tables=tables, namespaces=namespaces)


def compiled(
    structure: TableStructure,
    rules: Mapping[str, tuple[str, Rule] | Rule | str],
    *,
    schema: TableSchema | None = None,
    keys: KeyRing = KEYS,
    namespaces: Sequence[Namespace] = NAMESPACES,
) -> TableMask:
    policy = policy_of(listed(structure, rules), namespaces=namespaces)
    return compile_table(policy, structure, schema or schema_of(structure), allow=["public"], keys=keys)


def refused(policy: MaskingPolicy, structure: TableStructure, schema: TableSchema | None = None) -> list[str]:
    """What is told of a table that is not compiled; each problem has its place and its fix."""
    try:
        compile_table(policy, structure, schema or schema_of(structure), allow=["public"], keys=KEYS)
    except PolicyError as error:
        found = list(error.problems)
        assert all(problem.startswith(str(structure.table)) and "Fix: " in problem for problem in found), (
            found
        )
        return found
    return []


def raw(structure: TableStructure, rows: Sequence[Mapping[str, Any]]) -> RawBatch:
    schema = row_schema(schema_of(structure))
    return RawBatch(pa.RecordBatch.from_pylist([dict(row) for row in rows], schema=schema))
