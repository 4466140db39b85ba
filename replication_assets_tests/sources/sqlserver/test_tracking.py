"""Change Tracking: net changes at exact versions, what is lost, and only what is ours removed."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pyarrow as pa
import pytest

from replication_assets.errors import DecodeError, SlotLost, SourceNotReady
from replication_assets.ports import ChangeChunk
from replication_assets.sources.sqlserver.books import shape_body
from replication_assets.sources.sqlserver.source import TrackingSource
from replication_assets.sources.sqlserver.statements import catalog, server, tracking
from replication_assets.sources.sqlserver.tracking.stream import net_events
from replication_assets_tests.sources.sqlserver.captured import (
    BOOKS,
    NUMBER,
    book_row,
    with_books,
    without_books,
)
from replication_assets_tests.sources.sqlserver.recorded import (
    ID,
    Recorded,
    T,
    V,
    batch,
    recorded_server,
    recorded_table,
)

AT = dt.datetime(2026, 3, 4, 5, 6, 7)
ROW = book_row(instance=None, began=40, began_lsn=None)


def net(*changes: tuple[int, str, int, int | None]) -> pa.RecordBatch:
    """As the driver gives the answer to `statements.tracking.changes` of columns `id` and `v`."""
    versions, letters, ids, values = zip(*changes, strict=True)
    return batch(
        pa.array(versions, pa.int64()),
        pa.array(letters, pa.large_string()),
        pa.array([AT] * len(changes), pa.timestamp("us")),
        pa.array([int(letter != "D") for letter in letters], pa.int32()),
        pa.array(ids, pa.int32()),
        pa.array(values, pa.int32()),
    )


@pytest.fixture
def recorded() -> Recorded:
    """Tracked since version 40; acknowledged to 41; three rows changed since, the newest version is 44."""
    found = recorded_server(tracked=1)
    recorded_table(found, columns=(ID, V))
    with_books(found, [ROW], began=40, acknowledged=41)
    found.answers |= {
        tracking.VERSION: [(44,)],
        tracking.TRACKED_TABLES: [(NUMBER, 40, 40)],
        tracking.RETENTION: [(3, "DAYS", True)],
        tracking.is_tracked(T): [(40,)],
    }
    schema = TrackingSource("erp", found).reflect(T)
    query = tracking.changes(T, schema.columns, ("id",), after=41, upto=44)
    found.answers[query] = [net((42, "I", 1, 10), (43, "U", 2, 21)), net((44, "D", 3, None))]
    return found


def drained(recorded: Recorded, *, after: int = 41, upto: int = 44) -> list[ChangeChunk]:
    source = TrackingSource("erp", recorded)
    tables = [(T, source.reflect(T))]
    with source.changes(tables, epoch=3, after=after, upto=upto, stop=lambda: False) as stream:
        return list(stream)


def rows_of(chunks: list[ChangeChunk]) -> list[Any]:
    return [row for chunk in chunks for each in chunk.batches for row in each.rows.to_pylist()]


def test_every_row_is_told_once_at_its_last_version(recorded: Recorded) -> None:
    chunks = drained(recorded)
    names = ("_op", "id", "v", "_commit_position", "_sequence", "_before")
    assert [tuple(row[name] for name in names) for row in rows_of(chunks)] == [
        ("I", 1, 10, 42, 1, None),
        ("U", 2, 21, 43, 1, None),
        ("D", 3, None, 44, 1, None),
    ]
    assert [chunk.through for chunk in chunks] == [None, None, 44]
    assert chunks[-1].committed_at == AT.replace(tzinfo=dt.UTC)
    assert recorded.open == 0


def test_version_and_rows_are_of_one_snapshot(recorded: Recorded) -> None:
    drained(recorded)
    order = [each for each in recorded.sent if each in (server.SNAPSHOT, server.BEGIN, server.COMMIT)]
    assert order == [server.SNAPSHOT, server.BEGIN, server.COMMIT]


@pytest.mark.parametrize(
    ("tracked", "problem"),
    [
        ([(NUMBER, 40, 43)], r"cleaned up.*\(of dbo\.orders\).*after version 41 is lost"),
        ([(NUMBER, 43, 43)], "tracking began anew"),
        ([], "tracking began anew"),
    ],
)
def test_what_cleanup_or_a_truncate_took_is_told(
    recorded: Recorded, tracked: list[tuple[int, int, int]], problem: str
) -> None:
    recorded.answers[tracking.TRACKED_TABLES] = tracked
    with pytest.raises(SlotLost, match=problem):
        drained(recorded)


def test_a_table_that_is_tracked_since_later_is_not_lost(recorded: Recorded) -> None:
    with_books(recorded, [book_row(instance=None, began=43, began_lsn=None)], began=40, acknowledged=41)
    recorded.answers[tracking.TRACKED_TABLES] = [(NUMBER, 43, 43)]
    assert len(rows_of(drained(recorded))) == 3


@pytest.mark.parametrize(("after", "problem"), [(7, "set up after"), (99, "database was restored")])
def test_a_stream_that_begins_where_tracking_never_was_is_lost(
    recorded: Recorded, after: int, problem: str
) -> None:
    with pytest.raises(SlotLost, match=problem):
        drained(recorded, after=after)


def test_a_table_that_left_the_capture_is_refused(recorded: Recorded) -> None:
    with_books(recorded, [], began=40, acknowledged=41)
    with pytest.raises(SourceNotReady, match="changes of orders"):
        drained(recorded)


def test_a_row_that_is_not_in_its_snapshot_is_never_made_up() -> None:
    schema = TrackingSource("erp", _with_table()).reflect(T)
    found = net((42, "I", 1, 10))
    absent = found.set_column(3, "present", pa.array([0], pa.int32()))
    with pytest.raises(DecodeError, match="not in the snapshot"):
        net_events(absent, schema, 3, 0)
    with pytest.raises(DecodeError, match="unknown operation"):
        net_events(net((42, "X", 1, 10)), schema, 3, 0)


def test_a_commit_time_that_was_cleaned_up_is_the_time_of_the_look() -> None:
    schema = TrackingSource("erp", _with_table()).reflect(T)
    found = net((42, "I", 1, 10)).set_column(2, "at", pa.nulls(1, pa.timestamp("us")))
    (row,) = net_events(found, schema, 3, 1_000_000).to_pylist()
    assert row["_committed_at"] == dt.datetime(1970, 1, 1, 0, 0, 1, tzinfo=dt.UTC)


def _with_table() -> Recorded:
    recorded = recorded_server(tracked=1)
    recorded_table(recorded, columns=(ID, V))
    return recorded


def test_a_column_that_came_is_told_before_the_rows_that_have_it(recorded: Recorded) -> None:
    source = TrackingSource("erp", recorded)
    known = source.reflect(T)
    recorded_table(recorded, columns=(ID, V, ("extra", "int", 4, 10, 0)))
    schema = source.reflect(T)
    recorded.answers["SELECT TOP (1) 1 AS [one] FROM [dbo].[orders] WHERE [extra] IS NOT NULL"] = [(1,)]
    query = tracking.changes(T, schema.columns, ("id",), after=41, upto=44)
    wide = pa.RecordBatch.from_arrays(
        [*net((44, "I", 1, 10)).columns, pa.array([7], pa.int32())], [f"c{i}" for i in range(7)]
    )
    recorded.answers[query] = [wide]
    with source.changes([(T, known)], epoch=3, after=41, upto=44, stop=lambda: False) as stream:
        chunks = list(stream)
    ((_, _, change),) = chunks[0].schema_changes
    assert (change.reload, change.added, change.position.commit) == (True, ("extra",), 42)
    assert [row["extra"] for row in rows_of(chunks)] == [7]


# --- setup ----------------------------------------------------------------------------------------


def test_tracking_is_switched_on_for_database_and_table_and_noted_as_ours(recorded: Recorded) -> None:
    without_books(recorded)
    recorded.answers[server.SETTINGS] = [(16, 3, "shop", False, 1, False, 160, 0)]
    source = TrackingSource("erp", recorded)
    tables = [(T, source.reflect(T))]
    half = book_row(instance=None, began=None, began_lsn=None, confirmed=False, made=False)
    done = book_row(instance=None, began=44, began_lsn=None, confirmed=False)
    recorded.turns |= {
        BOOKS.exist(): [[(None, None)], [(1, 2)]],
        BOOKS.read_captured(): [[], [], [half], [done]],
        tracking.is_tracked(T): [[], [(44,)]],
    }
    recorded.answers[BOOKS.read_state()] = [("T", 44, 44, True)]
    made = [tracking.ENABLE_DATABASE, BOOKS.note_made(1), tracking.enable_table(T)]
    recorded.knows(
        *made,
        BOOKS.create_schema(),
        BOOKS.create_captured(),
        BOOKS.create_state(),
        BOOKS.insert_state(made_database=True),
        BOOKS.insert_captured(T, NUMBER, shape_body(T, tables[0][1]), None, confirmed=False),
        BOOKS.note_began(1, 44, None),
        BOOKS.begin(44),
    )
    found = source.setup(tables)
    assert (found.added, found.start) == ((T,), 44)
    assert [each for each in recorded.sent if each in made] == made


def test_a_second_setup_makes_nothing(recorded: Recorded) -> None:
    recorded.knows(BOOKS.begin(44))
    source = TrackingSource("erp", recorded)
    found = source.setup([(T, source.reflect(T))])
    assert (found.added, found.start) == ((), 41)
    assert recorded.ran("ALTER") == []


def test_a_truncated_table_is_told_as_added_again(recorded: Recorded) -> None:
    recorded.answers[tracking.is_tracked(T)] = [(43,)]
    source = TrackingSource("erp", recorded)
    tables = [(T, source.reflect(T))]
    fresh = book_row(2, instance=None, began=43, began_lsn=None, confirmed=False)
    recorded.turns[BOOKS.read_captured()] = [[ROW], [ROW], [fresh]]
    recorded.knows(
        BOOKS.forget(1),
        BOOKS.insert_captured(T, NUMBER, shape_body(T, tables[0][1]), None, confirmed=False),
        BOOKS.note_made(2),
        BOOKS.note_began(2, 43, None),
        BOOKS.begin(44),
    )
    assert source.setup(tables).added == (T,)


def test_teardown_leaves_the_tracking_of_others_alone(recorded: Recorded) -> None:
    with_books(recorded, [book_row(instance=None, began=40, made=False)], made_database=True)
    recorded.knows(BOOKS.forget(1))
    source = TrackingSource("erp", recorded)
    assert source.remains() == (
        "Change Tracking of the database, which this capture switched on",
        "schema ra_erp",
    )
    source.teardown()
    assert recorded.ran("ALTER") == []
    with_books(recorded, [ROW], made_database=True)
    recorded.turns[tracking.TRACKED_TABLES] = [[]]
    gone = [tracking.disable_table("dbo", "orders"), tracking.DISABLE_DATABASE]
    recorded.knows(*gone)
    source.teardown()
    assert recorded.ran("ALTER") == gone


def test_what_change_tracking_needs_is_told_with_what_mends_it(recorded: Recorded) -> None:
    recorded.answers |= {
        catalog.primary_key(T): [],
        tracking.RETENTION: [(90, "MINUTES", True)],
        server.SETTINGS: [(16, 3, "shop", False, 0, False, 160, 1)],
    }
    source = TrackingSource("erp", recorded)
    told = "\n".join(source.missing([(T, source.reflect(T))]))
    for fix in (
        "ALLOW_SNAPSHOT_ISOLATION ON",
        "changes are kept for 90 minutes",
        tracking.SET_RETENTION,
        "ALTER TABLE [dbo].[orders] ADD PRIMARY KEY",
    ):
        assert fix in told
    recorded_table(recorded, columns=(ID, V))
    (problem,) = (
        each for each in source.missing([(T, source.reflect(T, key=("v",)))]) if "declared key" in each
    )
    assert "['v'] is not its primary key ['id']" in problem


def test_status_and_identity_tell_which_database_and_where(recorded: Recorded) -> None:
    recorded.answers[tracking.SPACE] = [(None,)]
    source = TrackingSource("erp", recorded)
    status = source.status()
    assert (status.state, status.head, status.confirmed, status.active) == ("reserved", 44, 41, False)
    assert status.lag_bytes == 3 * 128
    first = source.identify()
    recorded.answers[server.IDENTITY] = [("A1B2C3D4-0000-0000-0000-000000000001", "another fork")]
    assert source.identify() != first
    recorded.answers[tracking.TRACKED_TABLES] = [(NUMBER, 40, 43)]
    assert source.status().state == "lost"
