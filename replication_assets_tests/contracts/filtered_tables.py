"""What every change source promises of a table that is declared with a row filter.

A source may read more rows than pass, never fewer, and reads no more where it says that it compares alike.
From end to end only rows that pass are loaded, projected and validated, whichever way they came or left.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from replication_assets.catalog import Table
from replication_assets.core.dates import EventDates
from replication_assets.core.id_ranges import IdRange
from replication_assets.core.range_specs import ByWidth
from replication_assets.core.row_filters import Compare, Where
from replication_assets.core.schema import TableId
from replication_assets.core.table_filters import RowFilter
from replication_assets.errors import NeedsReload, SourceNotReady
from replication_assets.event_store import DeltaEventStore
from replication_assets.flows.capture import capture
from replication_assets.flows.load import load_range
from replication_assets.flows.prepare import ReplicatedTable, open_table, prepare
from replication_assets.flows.project import project_range
from replication_assets.flows.read import ranges_of, read_table
from replication_assets.flows.validation.projection import validate_projection
from replication_assets.flows.validation.source import validate_source
from replication_assets.ports import LoadSlice
from replication_assets.targets.delta import DeltaTarget

if TYPE_CHECKING:
    from replication_assets_tests.contracts.change_source import SourcePlace

DATES = EventDates(None, "day", date(2026, 1, 1))
WHOLE = IdRange("r000000", 0, None, None)
COLUMNS = "id integer PRIMARY KEY, v integer, s varchar(60), n numeric(12, 3), d date"
TEXTS = ["a", "A", "b", "", "a ", "é", "e", "ß", "z'; DROP TABLE t; --", 'q"\\`%_', "\u20ac", "\U0001f600"]

FILTERS: list[Sequence[Where]] = [
    [Where("v", [Compare("lte", ["1.5"]), Compare("gte", ["3"])])],
    [Where("v", [Compare("notbetween", ["2", "99999999999999999999"]), Compare("null")])],
    [Where("v", [Compare("noteq", ["2"])]), Where("v", [Compare("notnull")])],
    [Where("n", [Compare("between", ["0", "0.1255"]), Compare("eq", ["-1"])])],
    [Where("d", [Compare("lte", ["1999-12-31"]), Compare("notbetween", ["1990-01-01", "2024-02-28"])])],
    [Where("s", [Compare("eq", [text]) for text in TEXTS[::2]])],
    [Where("s", [Compare("eq", [text]) for text in TEXTS[1::2]]), Where("v", [Compare("eq", ["1"])])],
    [Where("s", [Compare("gte", [TEXTS[-1]]), Compare("between", ["A", "a"])])],
    [Where("s", [Compare("noteq", ["a"])]), Where("d", [Compare("null")])],
]


class FilteredTables:
    """For `ChangeSourceContract`."""

    PUSHED = frozenset({"v"})
    """Columns of which a source must read no row that does not pass."""

    def test_a_source_reads_no_row_too_few_of_a_filter(self, place: SourcePlace) -> None:
        table = TableId(place.source.name, place.schema, "t")
        place.create("t", COLUMNS)
        _fill(place)
        schema = place.source.reflect(table)
        place.source.setup([(table, schema)])
        place.source.confirm_setup()
        everything = _read(place, LoadSlice(table, schema, None, WHOLE, DATES))
        assert everything.num_rows == 40
        for where in FILTERS:
            wanted = LoadSlice(table, schema, "id", IdRange("r000001", 1, 5, 35), DATES, None, tuple(where))
            read, row_filter = _read(place, wanted), RowFilter(where, "t")
            expected = [row for row in _rows(everything, row_filter) if 5 <= row["id"] < 35]
            assert 0 < len(expected) < 30, where
            assert _rows(read, row_filter) == expected, where
            if {each.column for each in where} <= self.PUSHED:
                assert read.num_rows == len(expected), where
        place.source.teardown(force=True)

    def test_rows_that_leave_a_filter_leave_the_copy_and_rows_that_come_arrive(
        self, place: SourcePlace, tmp_path: Path
    ) -> None:
        place.create("t", "id integer PRIMARY KEY, v integer, s varchar(60)")
        place.execute(
            "INSERT INTO t VALUES (1, 10, 'in'), (2, 99, 'out'), (3, NULL, 'null')",
            "INSERT INTO t VALUES (4, 20, 'in'), (105, 5, 'in')",
        )
        copy = _Copy(place, tmp_path, [Where("v", [Compare("between", ["1", "50"])])])
        copy.load()
        assert copy.stored() == [1, 4, 105]
        assert copy.rows() == {1: (10, "in"), 4: (20, "in"), 105: (5, "in")}
        place.execute(
            "UPDATE t SET v = 98 WHERE id = 1",
            "UPDATE t SET v = 11 WHERE id = 2",
            "UPDATE t SET v = 12 WHERE id = 3",
            "UPDATE t SET v = NULL WHERE id = 4",
            "INSERT INTO t VALUES (5, 1000, 'never'), (6, 50, 'new'), (7, NULL, 'never')",
        )
        assert copy.rows() == {2: (11, "out"), 3: (12, "null"), 6: (50, "new"), 105: (5, "in")}
        place.execute(
            "UPDATE t SET v = 13 WHERE id = 1",
            "UPDATE t SET s = 'still out' WHERE id = 5",
            "UPDATE t SET id = 107 WHERE id = 6",
            "UPDATE t SET id = 8, v = 3 WHERE id = 7",
            "DELETE FROM t WHERE id = 5",
            "DELETE FROM t WHERE id = 2",
        )
        expected = {1: (13, "in"), 3: (12, "null"), 8: (3, "never"), 105: (5, "in"), 107: (50, "new")}
        assert copy.rows() == expected
        copy.validate()
        assert copy.rows(rebuild=True) == expected
        copy.filter_by([Where("v", [Compare("between", ["1", "12"])])])
        with pytest.raises(SourceNotReady, match="row filter"):
            copy.open()
        copy.prepare()
        with pytest.raises(NeedsReload, match="another filter"):
            copy.rows()
        copy.load()
        assert copy.rows() == {3: (12, "null"), 8: (3, "never"), 105: (5, "in")}
        place.source.teardown(force=True)


def _fill(place: SourcePlace) -> None:
    numbers = ["1", "2", "3", "NULL", "-7"]
    decimals = ["0.125", "NULL", "0.126", "-1", "99999999.999"]
    days = ["'2024-02-29'", "'1999-12-31'", "NULL", "'2024-02-28'"]
    texts = [*(_quoted(text) for text in TEXTS), "NULL"]
    rows = (
        f"({i}, {numbers[i % 5]}, {texts[i % 12]}, {decimals[(i // 5) % 5]}, {days[i % 4]})"
        for i in range(40)
    )
    place.execute(*(f"INSERT INTO t VALUES {row}" for row in rows))


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _read(place: SourcePlace, wanted: LoadSlice) -> pa.Table:
    with place.source.load(wanted) as stream:
        return pa.Table.from_batches(list(stream))


def _rows(read: pa.Table, row_filter: RowFilter) -> list[dict[str, Any]]:
    return sorted(read.filter(row_filter.passes(read)).to_pylist(), key=lambda row: int(row["id"]))


class _Copy:
    """A filtered table in a store and a lakehouse."""

    def __init__(self, place: SourcePlace, folder: Path, where: Sequence[Where]) -> None:
        self.place, self.store = place, DeltaEventStore(str(folder / "store"))
        self.id = TableId(place.source.name, place.schema, "t")
        self.target = DeltaTarget(str(folder / "lake"), self.id)
        self.filter_by(where)
        self.prepare()

    def filter_by(self, where: Sequence[Where]) -> None:
        self.declared = Table(
            source=self.id.source, schema=self.id.schema, name="t", id_ranges=ByWidth(100), where=where
        )

    def prepare(self) -> None:
        prepare(self.place.source, self.store, [self.declared])

    def open(self) -> ReplicatedTable:
        return open_table(self.place.source, self.store, self.declared)

    def load(self) -> None:
        table = self.open()
        for id_range in table.loads(self.place.source.bounds(self.id, "id").high):
            load_range(self.place.source, self.store, table, id_range)

    def capture(self) -> None:
        source = self.place.source
        capture(source, self.store, [self.open()], upto=source.status().head)

    def stored(self) -> list[int]:
        """Keys of all rows that loads stored."""
        snapshot = self.store.log(self.id).snapshot()
        tables = [snapshot.events(key).to_table(columns=["id"]) for key in snapshot.range_keys()]
        return sorted(key for table in tables for key in table["id"].to_pylist() if key is not None)

    def rows(self, *, rebuild: bool = False) -> dict[int, tuple[Any, ...]]:
        """Of the copy, once all that is committed is projected; the fold of the store is the same."""
        self.capture()
        snapshot = self.store.log(self.id).snapshot()
        for id_range in ranges_of(snapshot):
            project_range(snapshot, self.id, self.target, id_range, rebuild=rebuild)
        copied = [row for batch in self.target.read() for row in batch.to_pylist()]
        folded = [row for batch in read_table(self.store, self.id) for row in batch.to_pylist()]
        found = {row["id"]: (row["v"], row["s"]) for row in copied}
        assert len(found) == len(copied)
        assert {row["id"]: (row["v"], row["s"]) for row in folded} == found
        return found

    def validate(self) -> None:
        checked = validate_source(
            self.place.source, self.store, self.open(), catch_up=lambda _: self.capture()
        )
        assert {each.state for each in checked.ranges} == {"equal"}, checked
        followed = validate_projection(self.store, self.target, self.id, projection="lake")
        assert {each.state for each in followed.ranges} == {"equal"}, followed
