"""The mask of one table: raw rows in, rows that may leave in, and nothing that is neither.

Whatever comes out has exactly the staged columns, types and number of rows, each column made by its
own rule. Maskers see only the columns that they declare to read. Whatever a masker raises becomes an
error that names table and column: a library's own words may quote values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from replication_assets.core.events import OVERFLOW, UNCHANGED
from replication_assets.core.masking.batches import MaskedBatch, RawBatch
from replication_assets.core.masking.masker import MaskedColumn, Masker, Rows
from replication_assets.core.masking.odd_values import OddValues, allowed_entries, odd_values
from replication_assets.core.masking.rules import Keep, Null, Rule
from replication_assets.errors import GuardError

_STOPPED = "nothing of the batch was let through; change the policy, or the rows at the source"

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class ColumnMask:
    """A staged column with its rule. `never_own`: the rule promises that no output is its own input."""

    column: MaskedColumn
    rule: Rule
    masker: Masker
    never_own: bool = False

    @property
    def name(self) -> str:
        return self.column.name

    @property
    def kept(self) -> bool:
        return isinstance(self.rule, Keep)

    @property
    def label(self) -> str:
        return f"{self.name}:{type(self.rule).__name__}"


class TableMask:
    """A table's rules, compiled. `counts` are figures of the batch that was masked last, so an
    instance is for one thread. `row_key` is what `by="row"` draws from, `key` what deletes name;
    `warnings` are what its reviewers should know, and what stops nothing."""

    def __init__(
        self,
        table: str,
        schema: pa.Schema,
        masks: Sequence[ColumnMask],
        *,
        row_key: Sequence[str],
        key: Sequence[str],
        stored: Mapping[str, pa.DataType],
        warnings: Sequence[str] = (),
    ) -> None:
        self.table = table
        self.schema = schema
        self.warnings = tuple(warnings)
        self._masks = tuple(masks)
        self._row_key, self._key = tuple(row_key), tuple(key)
        self._stored = stored
        self._kept = frozenset(mask.name for mask in masks if mask.kept)
        self._counts: Mapping[str, int] = {}
        if [mask.name for mask in masks] != schema.names[:-1] or schema.names[-1] != OVERFLOW:
            raise GuardError("its rules are not those of its columns", where=table, fix="compile it anew")

    def __repr__(self) -> str:
        return f"TableMask({self.table}, {len(self._masks)} columns)"

    @property
    def columns(self) -> tuple[str, ...]:
        """Source columns that it needs, in the order of the log; the others are never read."""
        needed = {name for mask in self._masks for name in _reads(mask, self._row_key)}
        return tuple(name for name in self._stored if name in needed)

    @property
    def counts(self) -> Mapping[str, int]:
        """Of the last batch: rows by column and rule (`email:Email`), and values of masked columns
        that had no place in their type and are null now (`born:odd values nulled`)."""
        return dict(self._counts)

    @property
    def promises(self) -> tuple[str, ...]:
        """Columns whose rule never gives an input back: what `unequal` looks at."""
        return tuple(mask.name for mask in self._masks if mask.never_own)

    def mask(self, raw: RawBatch) -> MaskedBatch:
        """Every row, masked.

        Raises:
            GuardError: the rows are not those of the table, or hold what a rule cannot mask.
        """
        batch = self._checked(raw, self.columns)
        rows = Rows(batch.select(self.columns), self._row_key)
        arrays = [self._guarded(mask, partial(mask.masker.mask, rows)) for mask in self._masks]
        return self._finished(batch, arrays, self._masks)

    def key_problems(self) -> tuple[str, ...]:
        """Why deleted rows, of which the key alone is known, could not be found in the copy; each with
        its fix. Of concern to refreshes that go on with changes."""
        staged = {mask.name: mask for mask in self._masks}
        problems = []
        for name in self._key:
            mask = staged.get(name)
            if mask is None or not _reads(mask, self._row_key) <= {*self._key}:
                rule = "ColumnDefault" if mask is None else type(mask.rule).__name__
                problems.append(
                    f"{self.table}.{name}: it is part of the key, and its rule {rule} needs more than the "
                    "key of a deleted row. Fix: a rule by the value of the key itself, or full copies"
                )
        return tuple(problems)

    def mask_keys(self, raw: RawBatch) -> MaskedBatch:
        """The keys of deleted rows, masked as in `mask`; every other column is null. A table without a
        key is masked whole: its deletes are known by all of their values.

        Raises:
            GuardError: a rule of the key needs more than the key.
        """
        if not self._key:
            return self.mask(raw)
        batch = self._checked(raw, self._key)
        rows = Rows(batch.select(self._key), self._row_key)
        problems = self.key_problems()
        if problems:
            raise GuardError("; ".join(problems), where=self.table, fix=_STOPPED)
        of_key = [mask for mask in self._masks if mask.name in self._key]
        by_name = {mask.name: self._guarded(mask, partial(mask.masker.mask, rows)) for mask in of_key}
        arrays = [by_name.get(mask.name, pa.nulls(len(batch), mask.column.arrow)) for mask in self._masks]
        return self._finished(batch, arrays, of_key)

    def fits(self, batch: pa.RecordBatch) -> tuple[str, ...]:
        """What could not have come out of this mask, by column with how many values; never a value."""
        if batch.schema.names != self.schema.names or batch.schema.types != self.schema.types:
            return (f"{self.table}: its columns are not the staged ones",)
        problems = []
        for mask in self._masks:
            values = batch.column(mask.name)
            fitting = self._guarded(mask, partial(mask.masker.fits, values))
            wrong = _wrong(values, fitting)
            if wrong:
                rule = type(mask.rule).__name__
                problems.append(f"{self.table}.{mask.name}: {wrong} values that {rule} cannot have made")
        strangers = allowed_entries(batch.column(OVERFLOW), self._kept)[1]
        if strangers:
            problems.append(f"{self.table}: {strangers} odd values of columns that are masked")
        return tuple(problems)

    def unequal(self, raw: RawBatch, masked: MaskedBatch) -> Mapping[str, int]:
        """For each of `promises` how many rows have their own input. All must be 0; rows are aligned."""
        before, after = raw.reveal(), masked.reveal()
        if len(before) != len(after):
            raise GuardError("masked rows are not aligned with raw ones", where=self.table, fix=_STOPPED)
        found = {}
        for name in self.promises:
            same = pc.equal(before.column(name), after.column(name))
            found[name] = int(pc.sum(same).as_py() or 0)
        return found

    def _checked(self, raw: RawBatch, needed: Sequence[str]) -> pa.RecordBatch:
        if type(raw) is not RawBatch:
            raise GuardError(f"a {type(raw).__name__} is not masked", where=self.table, fix="a RawBatch")
        batch = raw.reveal()
        for name in needed:
            if name not in batch.schema.names or batch.schema.field(name).type != self._stored[name]:
                raise GuardError(
                    "the rows lack it, or have it with another type than when the mask was compiled",
                    where=f"{self.table}.{name}",
                    fix="the table changed: start the refresh anew",
                )
        if OVERFLOW not in batch.schema.names:
            raise GuardError(f"the rows lack {OVERFLOW}", where=self.table, fix="read them by the fold")
        if UNCHANGED in batch.schema.names and batch.column(UNCHANGED).null_count != len(batch):
            raise GuardError(
                "rows came without values that did not change", where=self.table, fix="ask for whole rows"
            )
        return batch

    def _finished(
        self, batch: pa.RecordBatch, arrays: Sequence[pa.Array], masked: Sequence[ColumnMask]
    ) -> MaskedBatch:
        """The output, held against everything that is known of it. `masked` are the columns that have
        values in it."""
        kept = {mask.name for mask in masked if mask.kept}
        odd = odd_values(batch.column(OVERFLOW), kept, [*self._stored], where=self.table)
        columns = [*arrays, odd.kept]
        for field, array in zip(self.schema, columns, strict=True):
            if not isinstance(array, pa.Array) or array.type != field.type or len(array) != len(batch):
                raise GuardError(
                    "its rule gave another type or number of values than the column has",
                    where=f"{self.table}.{field.name}",
                    fix="nothing was let through; this is a defect of the rule",
                )
        by_name = dict(zip(self.schema.names, columns, strict=True))
        for mask in masked:
            self._require_values(mask, by_name[mask.name], odd)
        counts = {mask.label: len(batch) for mask in masked}
        counts |= {f"{name}:odd values nulled": count for name, count in odd.dropped.items()}
        self._counts = counts
        return MaskedBatch(pa.RecordBatch.from_arrays(columns, schema=self.schema))

    def _require_values(self, mask: ColumnMask, array: pa.Array, odd: OddValues) -> None:
        if mask.column.structure.nullable or not array.null_count:
            return
        if mask.kept and array.null_count <= odd.held.get(mask.name, 0):
            return
        why = "its odd values (infinity, NaN) have no mask" if odd.dropped.get(mask.name) else "NULL came out"
        raise GuardError(
            f"{array.null_count} rows would be NULL in a NOT NULL column: {why}",
            where=f"{self.table}.{mask.name}",
            fix="a rule that gives every row a value, as Constant or a rule by='row'",
        )

    def _guarded(self, mask: ColumnMask, work: Callable[[], Result]) -> Result:
        """What the masker does, or an error without anything that it said of values."""
        where = f"{self.table}.{mask.name}"
        try:
            return work()
        except GuardError as error:
            told = GuardError(error.what, where=where, fix=error.fix or _STOPPED)
        except Exception as error:  # noqa: BLE001  # told below, outside of the handler: no context
            what = f"its rule {type(mask.rule).__name__} failed with {type(error).__name__}"
            told = GuardError(what, where=where, fix=_STOPPED)
        raise told


def _reads(mask: ColumnMask, row_key: Sequence[str]) -> set[str]:
    if isinstance(mask.rule, Null):
        return set()
    own = {mask.name} if mask.kept or mask.never_own else set()
    return {*mask.masker.reads, *own, *(row_key if mask.masker.draws_by_row else ())}


def _wrong(values: pa.Array, fitting: pa.Array) -> int:
    """Values that are there and do not fit; an answer that is missing counts as no."""
    if not pa.types.is_boolean(fitting.type) or len(fitting) != len(values):
        return len(values)
    good = pc.and_(pc.fill_null(fitting, False), values.is_valid())
    return int(len(values) - values.null_count - (pc.sum(good).as_py() or 0))
