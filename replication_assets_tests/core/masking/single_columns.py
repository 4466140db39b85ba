"""One column behind one rule, for tests of rules: compiled, masked, held against what it promises."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from replication_assets.core.masking.keys import KeyRing
from replication_assets.core.masking.masker import Builder, MaskedColumn, Masker, Rows, RuleContext
from replication_assets.core.masking.policy import MaskingPolicy, Namespace
from replication_assets.core.masking.rules import Rule
from replication_assets.core.structure import ColumnStructure

KEYS = KeyRing(bytes(range(32)), environment="qa", scope="nonproduction")
OTHER_KEYS = KeyRing(bytes(range(1, 33)), environment="qa", scope="nonproduction")

_TYPES: Mapping[pa.DataType, str] = {
    pa.string(): "text",
    pa.int16(): "smallint",
    pa.int32(): "integer",
    pa.int64(): "bigint",
    pa.float32(): "real",
    pa.float64(): "double precision",
    pa.bool_(): "boolean",
    pa.binary(): "bytea",
    pa.date32(): "date",
    pa.timestamp("us"): "timestamp without time zone",
    pa.timestamp("us", tz="UTC"): "timestamp with time zone",
}


def column_of(
    arrow: pa.DataType, name: str = "it", *, longest: int | None = None, **structure: Any
) -> MaskedColumn:
    spelled = structure.pop("type", None) or _TYPES.get(arrow, "numeric")
    return MaskedColumn(ColumnStructure(name, spelled, **structure), arrow, longest)


def compiled(
    builders: Mapping[type, Builder[Any]],
    rule: Rule,
    column: MaskedColumn,
    *others: MaskedColumn,
    rules: Mapping[str, Rule] | None = None,
    keys: KeyRing = KEYS,
    namespaces: Sequence[Namespace] = (),
) -> Masker:
    columns = {each.name: each for each in (column, *others)}
    policy = MaskingPolicy("p", namespaces=namespaces)
    context = RuleContext(keys, policy, ("id",), columns, {column.name: rule, **(rules or {})})
    masker: Masker = builders[type(rule)](rule, column, context)
    return masker


def rows_of(counted_from: int = 0, **columns: pa.Array) -> Rows:
    """Rows with ids in order."""
    count = len(next(iter(columns.values())))
    ids = pa.array(range(counted_from, counted_from + count), pa.int64())
    batch = pa.RecordBatch.from_arrays([ids, *columns.values()], ["id", *columns])
    return Rows(batch, ("id",))


def masked(masker: Masker, values: pa.Array, **others: pa.Array) -> pa.Array:
    """Masked as one batch, after all that every rule promises was seen to hold."""
    result = masker.mask(rows_of(it=values, **others))
    result.validate(full=True)
    assert result.type == values.type
    assert result.is_null().equals(values.is_null())
    assert masker.mask(rows_of(it=values, **others)).equals(result)
    fitting = masker.fits(result)
    assert fitting.is_null().equals(result.is_null())
    assert pc.all(fitting).as_py() is not False
    assert _in_two_batches(masker, values, others).equals(result)
    return result


def _in_two_batches(masker: Masker, values: pa.Array, others: Mapping[str, pa.Array]) -> pa.Array:
    """Cut into slices of the same buffers, as batches of the event store are."""
    half = len(values) // 2
    first = rows_of(it=values[:half], **{name: each[:half] for name, each in others.items()})
    second = rows_of(half, it=values[half:], **{name: each[half:] for name, each in others.items()})
    return pa.concat_arrays([masker.mask(first), masker.mask(second)])


def equal_for_equal(values: pa.Array, results: pa.Array) -> bool:
    """Whether equal values have equal results."""
    seen: dict[Any, Any] = {}
    pairs = zip(values.to_pylist(), results.to_pylist(), strict=True)
    return all(seen.setdefault(value, result) == result for value, result in pairs)
