"""A referentially complete part of some tables.

Only keys are looked at: the skeleton of each table is, for each row, the word of its key and those of the
keys it refers to (`key_words`). Two sets grow until nothing is added, so that self-references
and cycles need no breaking:

1. The lineage: rows to begin with, and rows that refer to those of it by a reference that says so.
2. The chosen rows: the lineage, and every row that a chosen one refers to.

A row that is only referred to brings no referring rows along: one order of a product would bring all
others. What is chosen depends on keys and declarations alone, not on the order of rows, so that a
refresh chooses the same again. No word leaves the result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NoReturn, TypeAlias

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from replication_assets.core.masking.prf import Prf
from replication_assets.core.refresh.chosen_rows import Begin, Fixpoint, Skeleton
from replication_assets.core.refresh.key_words import reference_words, row_words
from replication_assets.core.refresh.references import (
    Reference,
    SubsetRules,
    limits_of,
    references_of,
    row_key,
)
from replication_assets.core.refresh.size_plan import SizePlan
from replication_assets.core.schema import TableId
from replication_assets.core.sql import Spill, engine
from replication_assets.core.structure import TableStructure
from replication_assets.errors import GuardError, RefreshError

ReadKeys: TypeAlias = Callable[[TableId, tuple[str, ...]], Iterator[pa.RecordBatch]]
"""These columns of all rows of a table."""

ReadMatching: TypeAlias = Callable[[TableId, str, tuple[str, ...]], Iterator[pa.RecordBatch]]
"""These columns of the rows of a table that fulfil an SQL condition."""


class Subset:
    """The chosen rows of each table, by the words of their keys. Neither prints nor pickles."""

    __slots__ = ("__words", "_keys", "_prf", "sizes")

    def __init__(
        self,
        words: Mapping[str, npt.NDArray[np.uint64]],
        keys: Mapping[str, tuple[str, ...]],
        prf: Prf,
        sizes: SizePlan,
    ) -> None:
        self.__words = words
        self._keys = keys
        self._prf = prf
        self.sizes = sizes

    def __repr__(self) -> str:
        return f"Subset({self.sizes.chosen} rows of {len(self.sizes.tables)} tables)"

    def __reduce__(self) -> NoReturn:
        raise GuardError(
            "chosen rows do not leave their process", fix="choose them again where they are needed"
        )

    def key(self, table: TableId) -> tuple[str, ...]:
        """The columns that `filter` needs. Raises KeyError for a table that it is not over."""
        return self._keys[str(table)]

    def filter(self, table: TableId, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The chosen rows of a batch. Raises KeyError for a table that it is not over."""
        chosen = self.__words[str(table)]
        if not len(chosen) or not batch.num_rows:
            return batch.slice(0, 0)
        words = row_words(batch, self.key(table), self._prf)
        places = np.minimum(np.searchsorted(chosen, words), len(chosen) - 1)
        return batch.filter(pa.array(chosen[places] == words))


def choose(
    tables: Sequence[TableStructure],
    rules: SubsetRules,
    prf: Prf,
    read: ReadKeys,
    matching: ReadMatching,
    *,
    max_rows: int | None = None,
    spill: Spill = Spill(),
) -> Subset:
    """Choose rows. `prf` should be the same for each refresh of an environment.

    Raises:
        RefreshError: the declaration names what is not there; nothing to begin with; more than
            `max_rows`; not enough memory.
    """
    references = references_of(tables, rules)
    limits = limits_of(references, rules)
    skeletons = [_skeleton(table, references) for table in tables]
    begins = _begins(skeletons, rules)
    with _bounded(spill) as connection:
        fixpoint = Fixpoint(connection, skeletons, references)
        for skeleton in skeletons:
            for batch in read(skeleton.table, skeleton.columns):
                fixpoint.add(skeleton, _hashed(batch, skeleton, prf))
        for skeleton in skeletons:
            _begin(fixpoint, skeleton, begins.get(str(skeleton.table)), prf, matching)
        fixpoint.expand(limits)
        fixpoint.close()
        sizes = fixpoint.sizes()
        sizes.refuse(max_rows)
        words = {str(each.table): fixpoint.words(each) for each in skeletons}
    return Subset(words, {str(each.table): each.key for each in skeletons}, prf, sizes)


def _skeleton(table: TableStructure, references: Sequence[Reference]) -> Skeleton:
    name, key = str(table.table), row_key(table)
    referred = {each.referred: None for each in references if each.parent == name and each.referred != key}
    referring = {each.columns: None for each in references if each.child == name}
    columns = dict.fromkeys(column for part in (key, *referred, *referring) for column in part)
    return Skeleton(table.table, key, tuple(referred), tuple(referring), tuple(columns))


def _hashed(batch: pa.RecordBatch, skeleton: Skeleton, prf: Prf) -> pa.Table:
    arrays = [pa.array(row_words(batch, skeleton.key, prf))]
    arrays += [reference_words(batch, each, prf) for each in (*skeleton.referred, *skeleton.referring)]
    return pa.table(arrays, names=list(skeleton.names))


def _begins(skeletons: Sequence[Skeleton], rules: SubsetRules) -> Mapping[str, float | str]:
    names = {str(each.table) for each in skeletons}
    for table, begin in rules.begin.items():
        where = f"subset, begin {table}"
        if table not in names:
            known = ", ".join(sorted(names))
            raise RefreshError("is not a table of the refresh", where=where, fix=f"one of {known}")
        if not isinstance(begin, str) and not 0 < begin <= 1:
            raise RefreshError(f"{begin} is not a share", where=where, fix="more than 0 and at most 1")
    if not rules.begin:
        raise RefreshError(
            "no table says which rows to begin with", where="subset", fix="give begin={table: 0.01}"
        )
    return rules.begin


def _begin(
    fixpoint: Fixpoint, skeleton: Skeleton, begin: Begin | None, prf: Prf, matching: ReadMatching
) -> None:
    if begin is None:
        return
    if isinstance(begin, str):
        for batch in matching(skeleton.table, begin, skeleton.key):
            fixpoint.begin_with(skeleton, row_words(batch, skeleton.key, prf))
    else:
        fixpoint.begin_with_share(skeleton, begin)


@contextmanager
def _bounded(spill: Spill) -> Iterator[duckdb.DuckDBPyConnection]:
    """An engine that spills keyed words to the folder that it is given, and nowhere else."""
    try:
        with engine(spill) as connection:
            if spill.folder is None:
                connection.execute("SET temp_directory = ''")
            yield connection
    except duckdb.Error as error:
        # The engine tells a full memory in several classes, by what it was about to do.
        if "allocate" not in str(error) and not isinstance(error, duckdb.OutOfMemoryException):
            raise
        raise RefreshError(
            f"choosing rows needs more than {spill.memory_mib} MiB",
            where="subset",
            fix="give more memory, or a folder to spill to; only keyed words of keys are written there",
        ) from None
