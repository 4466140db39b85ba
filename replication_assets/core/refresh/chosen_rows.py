"""The fixpoint that a subset is: words of rows, and of the rows they refer to, in DuckDB.

For each table `s<n>` is its skeleton, and `c<n>` the chosen rows with the way they were first reached
by (-1: to begin with; r: referred to by reference number r; -2 - r: referring by it). `d<n>` are those
that were chosen in this round, `e<n>` those of the round before, whose references are followed now.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from replication_assets.core.refresh.references import Reference
from replication_assets.core.refresh.size_plan import SizePlan, TableSize, Way
from replication_assets.core.schema import TableId
from replication_assets.core.sql import figures

Begin: TypeAlias = float | str

_BEGIN = -1
_PATIENCE = 16
"""Rounds after which chains within one table are followed in steps of doubled length."""


@dataclass(frozen=True, slots=True)
class Skeleton:
    """What is looked at of a table: its `key`, other keys that it is `referred` to by, and the columns
    of its own references; `columns` are all of them."""

    table: TableId
    key: tuple[str, ...]
    referred: tuple[tuple[str, ...], ...]
    referring: tuple[tuple[str, ...], ...]
    columns: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Of the skeleton's own columns: the row's word, words of other keys, words of references."""
        keys = tuple(f"k{number}" for number in range(len(self.referred)))
        return ("row", *keys, *(f"f{number}" for number in range(len(self.referring))))

    def key_column(self, referred: tuple[str, ...]) -> str:
        return "row" if referred == self.key else f"k{self.referred.index(referred)}"

    def reference_column(self, columns: tuple[str, ...]) -> str:
        return f"f{self.referring.index(columns)}"


class Fixpoint:
    """Chosen rows, growing round by round."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        skeletons: Sequence[Skeleton],
        references: Sequence[Reference],
    ) -> None:
        self._connection = connection
        self._skeletons = tuple(skeletons)
        self._number = {str(each.table): number for number, each in enumerate(skeletons)}
        self._references = tuple(references)
        self._fresh = dict.fromkeys(self._number.values(), 0)
        for number, skeleton in enumerate(skeletons):
            columns = ", ".join(f'"{name}" UBIGINT' for name in skeleton.names)
            self._run(f"CREATE TEMP TABLE s{number} ({columns})")
            self._run(f"CREATE TEMP TABLE c{number} (w UBIGINT, via INTEGER)")
            self._run(f"CREATE TEMP TABLE d{number} (w UBIGINT)")
            self._run(f"CREATE TEMP TABLE e{number} (w UBIGINT)")

    def add(self, skeleton: Skeleton, rows: pa.Table) -> None:
        """Add rows to a table's skeleton, in the columns `names`."""
        self._insert(f"s{self._of(skeleton)}", rows)

    def begin_with(self, skeleton: Skeleton, words: npt.NDArray[np.uint64]) -> None:
        """Begin with the rows of these words."""
        number = self._of(skeleton)
        self._run("CREATE OR REPLACE TEMP TABLE arrived (w UBIGINT)")
        self._insert("arrived", pa.table({"w": pa.array(words)}))
        self._choose(number, f's."row" AS w FROM s{number} s SEMI JOIN arrived a ON s."row" = a.w', _BEGIN)

    def begin_with_share(self, skeleton: Skeleton, share: float) -> None:
        """Begin with those whose word is in the lowest part of all words: a keyed draw of each key."""
        number = self._of(skeleton)
        below = "" if share >= 1 else f'WHERE s."row" < {int(share * 2**64)}::UBIGINT'
        self._choose(number, f's."row" AS w FROM s{number} s {below}', _BEGIN)

    def expand(self, limits: Mapping[Reference, int | None]) -> None:
        """Add rows that refer to the lineage, by references that say so, until there is none to add."""
        while any((now := self._turn()).values()):
            for reference, limit in limits.items():
                parent, child = self._ends(reference)
                if now[parent]:
                    way = -2 - self._references.index(reference)
                    self._choose(child, self._referring(reference, limit), way)

    def close(self) -> None:
        """Add every row that a chosen one refers to, until there is none to add."""
        for number in self._fresh:
            self._run(f"INSERT INTO d{number} SELECT w FROM c{number}")
            self._fresh[number] = self._count(f"c{number}")
        rounds = 0
        while any((now := self._turn()).values()):
            rounds += 1
            for way, reference in enumerate(self._references):
                parent, child = self._ends(reference)
                added = self._choose(parent, self._referred(reference), way) if now[child] else 0
                if added and rounds >= _PATIENCE and parent == child and reference.constraint is not None:
                    self._follow(reference, way)

    def words(self, skeleton: Skeleton) -> npt.NDArray[np.uint64]:
        """Words of the chosen rows of a table, ascending."""
        query = f"SELECT w FROM c{self._of(skeleton)} ORDER BY w"
        return np.asarray(self._connection.execute(query).fetchnumpy()["w"], np.uint64)

    def sizes(self) -> SizePlan:
        """Rows of each table, chosen ones, and the ways they were reached by."""
        return SizePlan(tuple(self._size(number, each) for number, each in enumerate(self._skeletons)))

    def _referring(self, reference: Reference, limit: int | None) -> str:
        """Rows that refer to those of the round before: so many for each, those of least word."""
        parent, child, key, column = self._joined(reference)
        keys = f'SELECT p.{key} AS f FROM s{parent} p SEMI JOIN e{parent} e ON p."row" = e.w'
        query = f's."row" AS w FROM s{child} s SEMI JOIN ({keys}) x ON s.{column} = x.f'
        if limit is not None:
            query += f' QUALIFY rank() OVER (PARTITION BY s.{column} ORDER BY s."row") <= {limit}'
        return query

    def _referred(self, reference: Reference) -> str:
        """Rows that those of the round before refer to."""
        parent, child, key, column = self._joined(reference)
        wanted = f'SELECT s.{column} AS f FROM s{child} s SEMI JOIN e{child} e ON s."row" = e.w'
        return f'p."row" AS w FROM s{parent} p SEMI JOIN ({wanted}) x ON p.{key} = x.f'

    def _follow(self, reference: Reference, way: int) -> None:
        """Follow a table's reference to itself to its end: from all chosen rows by one, two, four ...
        steps. A chain of a million rows takes twenty joins instead of a million rounds."""
        table, _, key, column = self._joined(reference)
        step = f's."row" AS w, p."row" AS up FROM s{table} s JOIN s{table} p ON s.{column} = p.{key}'
        self._run(f"CREATE OR REPLACE TEMP TABLE step AS SELECT DISTINCT {step}")
        while self._choose(table, f"up AS w FROM step t SEMI JOIN c{table} c ON t.w = c.w", way):
            doubled = "a.w, b.up FROM step a JOIN step b ON a.up = b.w"
            self._run(f"CREATE OR REPLACE TEMP TABLE doubled AS SELECT DISTINCT {doubled}")
            self._run("CREATE OR REPLACE TEMP TABLE step AS SELECT * FROM doubled")

    def _choose(self, number: int, rows: str, way: int) -> int:
        """Choose the rows of a query that are not chosen yet; how many."""
        self._run(
            f"CREATE OR REPLACE TEMP TABLE fresh AS SELECT DISTINCT q.w FROM (SELECT {rows}) q "
            f"ANTI JOIN c{number} c ON q.w = c.w"
        )
        count = self._count("fresh")
        if count:
            self._run(f"INSERT INTO c{number} SELECT w, {way} FROM fresh")
            self._run(f"INSERT INTO d{number} SELECT w FROM fresh")
            self._fresh[number] += count
        return count

    def _turn(self) -> dict[int, int]:
        """Begin a round: how many rows of each table were chosen in the last one."""
        chosen = dict(self._fresh)
        for number, count in chosen.items():
            self._run(f"DELETE FROM e{number}")
            if count:
                self._run(f"INSERT INTO e{number} SELECT w FROM d{number}")
                self._run(f"DELETE FROM d{number}")
            self._fresh[number] = 0
        return chosen

    def _size(self, number: int, skeleton: Skeleton) -> TableSize:
        counted = self._connection.execute(
            f'SELECT c.via, count(*) FROM s{number} s JOIN c{number} c ON s."row" = c.w '
            "GROUP BY 1 ORDER BY 2 DESC, 1"
        ).fetchall()
        ways = tuple(Way(self._told(via), rows) for via, rows in counted)
        chosen = sum(way.rows for way in ways)
        return TableSize(str(skeleton.table), self._count(f"s{number}"), chosen, ways)

    def _told(self, way: int) -> str:
        if way == _BEGIN:
            return "to begin with"
        if way >= 0:
            return f"through {self._references[way].short}"
        return f"as children by {self._references[-2 - way].short}"

    def _of(self, skeleton: Skeleton) -> int:
        return self._number[str(skeleton.table)]

    def _ends(self, reference: Reference) -> tuple[int, int]:
        return self._number[reference.parent], self._number[reference.child]

    def _joined(self, reference: Reference) -> tuple[int, int, str, str]:
        """Parent, child, and the columns of their skeletons that are equal."""
        parent, child = self._ends(reference)
        key = self._skeletons[parent].key_column(reference.referred)
        return parent, child, f'"{key}"', self._skeletons[child].reference_column(reference.columns)

    def _insert(self, table: str, rows: pa.Table) -> None:
        self._connection.register("arriving", rows)
        self._run(f"INSERT INTO {table} SELECT * FROM arriving")
        self._connection.unregister("arriving")

    def _run(self, statement: str) -> None:
        self._connection.execute(statement)

    def _count(self, table: str) -> int:
        (count,) = figures(self._connection, f"SELECT count(*) FROM {table}")
        return int(count)
