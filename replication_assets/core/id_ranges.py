"""Id ranges: half-open intervals of a table's range column that tile its whole key space.

Range 0 takes everything below the first bound, and NULL; the last range that can ever
exist is open above. So every key, seen or unseen, is in exactly one range, and a range
once pinned never moves: bounds are part of the log's identity, growth only adds ranges at
the end.

Keys compare as `core/range_keys.py` says. Integers wider than int64 (decimals) are placed
as if clipped to it, which is exact because every bound is inside int64. The order of text
is that of its UTF-8 bytes, which is also Python's; the database's own collation is never
used, since it differs between servers and their upgrades.

A range is named by its index (`r000012`), not by its bounds: names stay short in Dagster
(16 characters are shown) and as folders.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import cast
from uuid import UUID

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from replication_assets.core.range_keys import (
    INT64_MAX,
    INT64_MIN,
    KINDS,
    Key,
    Kind,
    as_int64,
    as_text,
    kind_of,
)
from replication_assets.core.range_specs import (
    GROWTH_LIMIT,
    MAX_RANGES,
    ByBounds,
    ByCount,
    ByWidth,
    RangeSpec,
    canonical_bounds,
    spec_problems,
)
from replication_assets.errors import CatalogError, StoreError

__all__ = [
    "ByBounds",
    "ByCount",
    "ByWidth",
    "IdRange",
    "IdRanges",
    "Key",
    "Kind",
    "RangeSpec",
    "kind_of",
    "plan_id_ranges",
]


@dataclass(frozen=True, slots=True)
class IdRange:
    """Keys in `[lo, hi)`; None is unbounded. The range with index 0 holds NULL keys too."""

    key: str
    index: int
    lo: Key | None
    hi: Key | None

    @property
    def includes_null(self) -> bool:
        return self.index == 0

    def open_above(self) -> IdRange:
        """The same range without upper bound: what a load of the last known range reads."""
        return replace(self, hi=None)


@dataclass(frozen=True, slots=True)
class IdRanges:
    """Pinned ranges of one table: inner `bounds`, then growth by `width` up to `limit` ranges.

    `column` is None only for a single whole range. `width` is None where nothing grows; then
    `limit` is the number of ranges.

    Raises:
        ValueError: the parts contradict each other. Declarations are checked, with advice,
            by `plan_id_ranges`; this guards what is read back.
    """

    kind: Kind
    column: str | None
    bounds: tuple[Key, ...]
    width: int | None
    limit: int

    def __post_init__(self) -> None:
        _check(self)

    @classmethod
    def whole(cls) -> IdRanges:
        """One range that holds every row, of a table with or without key."""
        return cls("integer", None, (), None, 1)

    @property
    def size(self) -> int:
        """How many ranges there can ever be; growth ends where int64 ends."""
        fixed = 1 + len(self.bounds)
        if self.width is None:
            return fixed
        room = (INT64_MAX - cast(int, self.bounds[-1])) // self.width
        return min(self.limit, fixed + room)

    def at(self, index: int) -> IdRange:
        """Raises IndexError outside `0 <= index < size`."""
        if not 0 <= index < self.size:
            raise IndexError(f"id range {index} of {self.size}")
        lo = self._bound(index - 1) if index else None
        hi = self._bound(index) if index + 1 < self.size else None
        return IdRange(_name(index), index, lo, hi)

    def by_key(self, key: str) -> IdRange:
        """The range called `key`. Raises StoreError if these ranges have none of that name."""
        digits = key[1:]
        index = int(digits) if digits.isascii() and digits.isdigit() else -1
        if not 0 <= index < self.size or key != _name(index):
            raise StoreError(
                f"there is no id range {key!r}",
                where=f"id ranges of {self.column or 'the whole table'}",
                fix=f"use {_name(0)} to {_name(self.size - 1)}",
            )
        return self.at(index)

    def index_of(self, key: Key | None) -> int:
        """Index of the range that holds one key. For columns of keys use `indexes`."""
        if key is None or not self.bounds:
            return 0
        at_or_below = bisect_right(self.bounds, key)
        if self.width is None or at_or_below < len(self.bounds):
            return at_or_below
        grown = (cast(int, key) - cast(int, self.bounds[-1])) // self.width
        return min(at_or_below + grown, self.size - 1)

    def known(self, high: Key | None) -> tuple[IdRange, ...]:
        """Ranges from the first to the one that holds `high`, the greatest key seen.

        Without growth always all of them. A greater `high` only adds ranges at the end.
        """
        last = self.size - 1 if self.width is None else self.index_of(high)
        return tuple(self.at(index) for index in range(last + 1))

    def assign(self, keys: pa.Array | pa.ChunkedArray) -> pa.Array:
        """Name of the range of each key, as strings; NULL is in range 0.

        Raises:
            StoreError: the keys are not of this kind.
        """
        indexes = self.indexes(keys)
        counts = np.bincount(indexes)
        used = np.flatnonzero(counts)
        counts[used] = np.arange(len(used))
        names = pa.array([_name(index) for index in used.tolist()], pa.string())
        return names.take(pa.array(counts[indexes]))

    def assign_rows(self, rows: pa.Table | pa.RecordBatch) -> pa.Array:
        """`assign` of the range column of `rows`, or range 0 throughout for a single range."""
        if self.column is None:
            return pa.repeat(pa.scalar(_name(0), pa.string()), rows.num_rows)
        return self.assign(rows.column(self.column))

    def indexes(self, keys: pa.Array | pa.ChunkedArray) -> npt.NDArray[np.int64]:
        """Index of the range of each key. Same errors as `assign`."""
        array = keys.combine_chunks() if isinstance(keys, pa.ChunkedArray) else keys
        if not self.bounds:
            return np.zeros(len(array), np.int64)
        if self.kind == "integer":
            return self._integer_indexes(as_int64(array, self.column))
        return self._text_indexes(as_text(array, self.column))

    def _integer_indexes(self, keys: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        bounds = np.array(self.bounds, np.int64)
        found = np.searchsorted(bounds, keys, side="right").astype(np.int64)
        if self.width is None:
            return found
        # Two int64 can be 2**64 apart: the difference is taken in uint64, where it is exact.
        beyond = found == len(bounds)
        distance = keys[beyond].view(np.uint64) - bounds[-1:].view(np.uint64)
        grown = np.minimum(distance // np.uint64(self.width), np.uint64(self.size - 1 - len(bounds)))
        found[beyond] += grown.astype(np.int64)
        return found

    def _text_indexes(self, keys: pa.Array) -> npt.NDArray[np.int64]:
        # A binary search of all keys in step: log2(bounds) vectorised comparisons, and no
        # Python object per key. Arrow compares strings byte by byte.
        bounds = pa.array(self.bounds, keys.type)
        low = np.zeros(len(keys), np.int64)
        high = np.full(len(keys), len(self.bounds), np.int64)
        for _ in range(len(self.bounds).bit_length()):
            middle = (low + high) // 2
            probe = bounds.take(pa.array(np.minimum(middle, len(self.bounds) - 1)))
            right = pc.less_equal(probe, keys).to_numpy(zero_copy_only=False) & (low < high)
            low = np.where(right, middle + 1, low)
            high = np.where(right, high, middle)
        return low

    def to_json(self) -> str:
        """Stable text: equal ranges have equal text."""
        parts = {
            "kind": self.kind,
            "column": self.column,
            "bounds": list(self.bounds),
            "width": self.width,
            "limit": self.limit,
        }
        return json.dumps(parts)

    @classmethod
    def from_json(cls, text: str) -> IdRanges:
        """The inverse of `to_json`. Raises ValueError for anything else."""
        raw = json.loads(text)
        if not isinstance(raw, dict) or raw.keys() != {"kind", "column", "bounds", "width", "limit"}:
            raise ValueError("not the JSON of id ranges")
        return cls(raw["kind"], raw["column"], tuple(raw["bounds"]), raw["width"], raw["limit"])

    def _bound(self, position: int) -> Key:
        if position < len(self.bounds):
            return self.bounds[position]
        grown = position - len(self.bounds) + 1
        return cast(int, self.bounds[-1]) + grown * cast(int, self.width)


def _name(index: int) -> str:
    return f"r{index:06d}"


def _check(ranges: IdRanges) -> None:
    integer = ranges.kind == "integer"
    bounds = ranges.bounds
    if ranges.kind not in KINDS:
        raise ValueError(f"kind {ranges.kind!r} is none of {', '.join(KINDS)}")
    if not 1 + len(bounds) <= ranges.limit <= MAX_RANGES:
        raise ValueError(f"{1 + len(bounds)} ranges do not fit a limit of {ranges.limit}")
    if any(type(bound) is not (int if integer else str) for bound in bounds):
        raise ValueError(f"bounds are not all {ranges.kind} keys")
    if any(not below < above for below, above in pairwise(bounds)):  # type: ignore[operator]
        raise ValueError("bounds do not ascend")
    if bounds and not integer and bounds[0] == "":
        raise ValueError("the empty text is no bound: nothing is below it")
    if bounds and integer and not (cast(int, bounds[0]) > INT64_MIN and cast(int, bounds[-1]) <= INT64_MAX):
        raise ValueError("a bound is outside int64")
    if bounds and ranges.column is None:
        raise ValueError("ranges need a column")
    grows = integer and bool(bounds) and ranges.width is not None and 0 < ranges.width <= INT64_MAX
    if ranges.width is not None and not grows:
        raise ValueError("only integer ranges with a bound grow, by a width inside int64")
    if ranges.width is None and ranges.limit != 1 + len(bounds):
        raise ValueError("ranges that do not grow are as many as their limit")


# --- from declared to pinned -----------------------------------------------------------

EMPTY_TABLE_WIDTH = 1_000_000
"""Width of integer ranges where the table holds too few keys to be cut by count."""


def plan_id_ranges(
    spec: RangeSpec,
    kind: Kind,
    column: str,
    low: Key | None,
    high: Key | None,
    quantiles: tuple[Key, ...] = (),
    *,
    where: str = "id ranges",
) -> IdRanges:
    """Pin a declared cut with what the source holds: least and greatest key, and quantiles.

    `ByCount(n)` of integers gives exactly n ranges over `low..high`, and growth at their
    width; a table with fewer keys than ranges is cut by `EMPTY_TABLE_WIDTH` instead.

    Raises:
        CatalogError: everything that makes the cut impossible for such keys.
    """
    problems = spec_problems(spec, kind)
    if problems:
        raise CatalogError(problems, where=where)
    if isinstance(spec, ByWidth):
        return IdRanges(kind, column, (spec.origin + spec.width,), spec.width, spec.limit)
    if isinstance(spec, ByBounds):
        return IdRanges(kind, column, canonical_bounds(spec.bounds, kind), None, 1 + len(spec.bounds))
    if spec.count == 1:
        return IdRanges(kind, column, (), None, 1)
    if kind == "integer":
        return _by_count(spec.count, column, cast("int | None", low), cast("int | None", high))
    bounds = _uuid_slices(spec.count) if kind == "uuid" else _cuts(quantiles, low)
    if not bounds:
        problem = f"the table has too few keys to cut text into {spec.count} ranges"
        raise CatalogError([f"{problem}. Fix: id_ranges=ByBounds((...)) or ByCount(1)"], where=where)
    return IdRanges(kind, column, bounds, None, 1 + len(bounds))


def _by_count(count: int, column: str, low: int | None, high: int | None) -> IdRanges:
    if low is None or high is None or high - low + 1 < count:
        first = (low or 0) + EMPTY_TABLE_WIDTH
        return IdRanges("integer", column, (min(first, INT64_MAX),), EMPTY_TABLE_WIDTH, GROWTH_LIMIT)
    span = high - low + 1
    bounds = tuple(low + span * part // count for part in range(1, count))
    return IdRanges("integer", column, bounds, min(-(-span // count), INT64_MAX), GROWTH_LIMIT)


def _uuid_slices(count: int) -> tuple[str, ...]:
    return tuple(str(UUID(int=(part << 128) // count)) for part in range(1, count))


def _cuts(quantiles: tuple[Key, ...], low: Key | None) -> tuple[Key, ...]:
    """Distinct quantiles above the least key: skewed data repeats them."""
    texts = {cast(str, quantile) for quantile in quantiles} - {"", low}
    return tuple(sorted(texts))
