"""Names, companies and addresses out of the package's lists, and never the input's own.

A person by row has the same first and last name in every column of the row that has the same
namespace: `full` is `first` and `last`. Two persons in a row are two namespaces. The columns of an
address group are parts of one address: they draw one row of the list, and move on together where any
of them would be its input's own. By value each column draws from its own values, and the parts of a
row are of different addresses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from replication_assets.core.masking.families.draws import Draw, draw_for
from replication_assets.core.masking.families.own_values import (
    Codes,
    Flags,
    OwnTexts,
    first_bytes,
    stepped,
)
from replication_assets.core.masking.families.reading import OfValueAndDraw
from replication_assets.core.masking.families.text_columns import require_text
from replication_assets.core.masking.masker import Builder, MaskedColumn, Rows, RuleContext, Uniqueness
from replication_assets.core.masking.pools import (
    AddressPart,
    Indices,
    Pool,
    addresses,
    drawn,
    pool,
    require_enough,
)
from replication_assets.core.masking.rules import Address, Company, PersonName
from replication_assets.errors import PolicyError


@dataclass(frozen=True)
class _List:
    """A list that a column's words point into, `lane` telling which of the two."""

    pool: Pool
    lane: int
    codes: Codes = field(repr=False)

    @classmethod
    def of(cls, entries: Pool, lane: int) -> _List:
        return cls(entries, lane, first_bytes(entries))


@dataclass(frozen=True)
class ListMasker(OfValueAndDraw):
    """One entry, or two with a space between them."""

    column: MaskedColumn
    draw: Draw
    lists: tuple[_List, ...]
    by_words: bool
    uniqueness: ClassVar[Uniqueness] = "lossy"

    def mask(self, rows: Rows) -> pa.Array:
        values = rows.column(self.column.name)
        words, own = self.draw.words(rows), OwnTexts(values, words=self.by_words)
        parts = []
        for each in self.lists:
            indices = drawn(words[:, each.lane], len(each.pool))
            indices = own.step(each.pool, each.codes, indices, self.column.name)
            parts.append(_taken(each.pool.entries, indices, values))
        return parts[0] if len(parts) == 1 else pc.binary_join_element_wise(*parts, " ")

    def fits(self, values: pa.Array) -> pa.Array:
        if len(self.lists) == 1:
            return self.lists[0].pool.holds(values)
        parts = pc.split_pattern(values, " ", max_splits=1)
        two = _flags(pc.equal(pc.list_value_length(parts), 2))
        found = two.copy()
        for at, each in enumerate(self.lists):
            chosen = pc.list_element(parts.filter(pa.array(two)), at)
            found[two] &= _flags(each.pool.holds(chosen))
        return _where_valid(found, values)


@dataclass(frozen=True)
class AddressMasker:
    """A column of an address list. `group` are the columns that move on together, this one included,
    with their parts of the list."""

    column: MaskedColumn
    draw: Draw
    part: AddressPart
    group: Mapping[str, _List]
    uniqueness: ClassVar[Uniqueness] = "lossy"

    @property
    def reads(self) -> tuple[str, ...]:
        return tuple(self.group)

    @property
    def draws_by_row(self) -> bool:
        return self.draw.draws_by_row

    def mask(self, rows: Rows) -> pa.Array:
        entries = self.group[self.column.name].pool.entries
        indices = drawn(self.draw.words(rows)[:, 0], len(entries))
        owns = [(OwnTexts(rows.column(name)), each) for name, each in self.group.items()]
        suspects = np.unique(np.concatenate([own.suspects(each.codes, indices) for own, each in owns]))
        clashes = [own.clash_with(each.pool) for own, each in owns]

        def clash(numbers: Indices, at: Indices) -> Flags:
            found: Flags = np.logical_or.reduce([each(numbers, at) for each in clashes])
            return found

        indices = stepped(indices, len(entries), suspects, clash, self.column.name)
        return _taken(entries, indices, rows.column(self.column.name))

    def fits(self, values: pa.Array) -> pa.Array:
        return self.group[self.column.name].pool.holds(values)


def person_name(rule: PersonName, column: MaskedColumn, context: RuleContext) -> ListMasker:
    require_text("PersonName", column)
    longest = column.longest
    if rule.part == "full" and longest is not None:
        longest = (longest - 1) // 2
    first = _List.of(pool("first_names").fitting(longest), 0)
    last = _List.of(pool("last_names").fitting(longest), 1)
    lists = {"full": (first, last), "first": (first,), "last": (last,)}.get(rule.part)
    if lists is None:
        raise PolicyError([f"PersonName has no part {rule.part!r}. Fix: full, first or last"])
    draw = draw_for("person name", rule.namespace, column, context, by=rule.by, lane="person")
    return ListMasker(column, draw, lists, by_words=True)


def company(rule: Company, column: MaskedColumn, context: RuleContext) -> ListMasker:
    require_text("Company", column)
    entries = _List.of(pool("companies").fitting(column.longest), 0)
    draw = draw_for("company", rule.namespace, column, context, by=rule.by)
    return ListMasker(column, draw, (entries,), by_words=False)


def address(rule: Address, column: MaskedColumn, context: RuleContext) -> AddressMasker:
    """By row the list is cut to what fits all columns of the group: they point at the same row. A
    value inside of a document is a group of its own."""
    members = {column.name: rule}
    if rule.by == "row" and context.rules.get(column.name) == rule:
        members = _group(rule, context) | members
    for name in members:
        require_text("Address", context.columns.get(name, column))
    parts = {name: _part(each, context.columns.get(name, column)) for name, each in members.items()}
    longests = {name: context.columns.get(name, column).longest for name in members}
    fitting = _fitting(parts, longests)
    group = {name: _List.of(Pool.of(fitting.column(part)), 0) for name, part in parts.items()}
    draw = draw_for("address", rule.group, column, context, by=rule.by, lane="address")
    return AddressMasker(column, draw, parts[column.name], group)


def _group(rule: Address, context: RuleContext) -> dict[str, Address]:
    return {
        name: each
        for name, each in context.rules.items()
        if isinstance(each, Address) and (each.group, each.by) == (rule.group, "row")
    }


def _part(rule: Address, column: MaskedColumn) -> AddressPart:
    """A country in two characters is its ISO 3166-1 code."""
    if rule.part == "country" and column.longest == 2:
        return "code"
    if rule.part not in ("street", "city", "region", "postcode", "country", "line"):
        parts = "street, city, region, postcode, country or line"
        raise PolicyError([f"Address has no part {rule.part!r}. Fix: {parts}"])
    return rule.part


def _fitting(parts: Mapping[str, AddressPart], longests: Mapping[str, int | None]) -> pa.RecordBatch:
    table = addresses()
    for name, part in parts.items():
        longest = longests[name]
        if longest is not None:
            table = table.filter(pc.less_equal(pc.utf8_length(table.column(part)), longest))
            require_enough(len(table), longest)
    return table.combine_chunks().to_batches()[0]


def _taken(entries: pa.Array, indices: Indices, values: pa.Array) -> pa.Array:
    nulls = None if not values.null_count else values.is_null().to_numpy(zero_copy_only=False)
    return entries.take(pa.array(indices, mask=nulls))


def _flags(values: pa.Array) -> Flags:
    flags: Flags = pc.fill_null(values, False).to_numpy(zero_copy_only=False)
    return flags


def _where_valid(found: Sequence[bool] | Flags, values: pa.Array) -> pa.Array:
    return pc.if_else(values.is_valid(), pa.array(found), pa.scalar(None, pa.bool_()))


BUILDERS: Mapping[type, Builder[Any]] = {
    PersonName: person_name,
    Company: company,
    Address: address,
}
