"""The change stream over change tables: what is whole, what is lost, a job that stands still, columns
that change while capture runs."""

from __future__ import annotations

from typing import Any

import pytest

from replication_assets.core.trigger_log import ShapeChange
from replication_assets.errors import SlotBusy, SlotLost, SourceNotReady, SourceUnavailable
from replication_assets.ports import ChangeChunk
from replication_assets.sources.sqlserver.lease import lock_name
from replication_assets.sources.sqlserver.source import CdcSource
from replication_assets.sources.sqlserver.statements import catalog, cdc, server
from replication_assets.sources.sqlserver.statements.names import hexadecimal
from replication_assets_tests.sources.sqlserver.captured import (
    BOOKS,
    COLUMNS,
    NUMBER,
    at,
    book_row,
    captured_columns,
    change_rows_of,
    harvested,
    lsn,
    standing,
    window,
    with_books,
    without_books,
)
from replication_assets_tests.sources.sqlserver.recorded import (
    ID,
    Recorded,
    T,
    V,
    recorded_server,
    recorded_table,
)
from replication_assets_tests.sources.sqlserver.test_cdc_decoding import ID as ID_COLUMN
from replication_assets_tests.sources.sqlserver.test_cdc_decoding import V as V_COLUMN
from replication_assets_tests.sources.sqlserver.test_cdc_decoding import changed

INSTANCE = "ra_erp_1"
PAIR = (ID_COLUMN, V_COLUMN)
INSERTED = changed((at(9), 1, 1, 2, 10, (1, 10)), (at(10), 3, 1, 2, 11, (2, 20)))


@pytest.fixture
def recorded() -> Recorded:
    """Captured from block 8 on; two inserts, in blocks 9 and 10, were harvested, and nothing after."""
    found = recorded_server(by_cdc=True)
    recorded_table(found, columns=(ID, V))
    with_books(found, [book_row()])
    standing(found, (INSTANCE, lsn(8)))
    harvested(found, lsn(10, 3))
    window(found, at(8), at(10), lsn(10, 3))
    captured_columns(found, INSTANCE, "id", "v")
    change_rows_of(found, INSTANCE, PAIR, [INSERTED], after=at(8), upto=at(10))
    return found


def drained(recorded: Recorded, *, after: int = at(8), upto: int = at(10)) -> list[ChangeChunk]:
    source = CdcSource("erp", recorded)
    tables = [(T, source.reflect(T))]
    with source.changes(tables, epoch=3, after=after, upto=upto, stop=lambda: False) as stream:
        return list(stream)


def told(chunks: list[ChangeChunk]) -> list[Any]:
    rows = [row for chunk in chunks for each in chunk.batches for row in each.rows.to_pylist()]
    return [(row["_op"], row["id"], row["_commit_position"]) for row in rows]


def test_changes_come_at_their_places_and_only_whole_windows_are_through(recorded: Recorded) -> None:
    chunks = drained(recorded)
    assert told(chunks) == [("I", 1, at(9)), ("I", 2, at(10))]
    assert [chunk.through for chunk in chunks] == [None, at(10)]
    assert chunks[-1].committed_at is not None
    assert recorded.open == 0


def test_the_newest_block_is_not_through_before_the_job_found_nothing_after_it(recorded: Recorded) -> None:
    """Another transaction of block 10 may be harvested with the next scan."""
    harvested(recorded, lsn(10, 3), empty_scans=0)
    window(recorded, at(8), at(9), lsn(9))
    first = changed((at(9), 1, 1, 2, 10, (1, 10)))
    change_rows_of(recorded, INSTANCE, PAIR, [first], after=at(8), upto=at(9))
    chunks = drained(recorded, upto=at(9))
    assert told(chunks) == [("I", 1, at(9))]
    assert chunks[-1].through == at(9)


def test_a_large_history_is_read_in_windows_that_end_with_a_block(recorded: Recorded) -> None:
    window(recorded, at(8), at(10), lsn(9), rest=lsn(10, 3))
    window(recorded, at(9), at(10), lsn(10, 3))
    one = changed((at(9), 1, 1, 2, 10, (1, 10)))
    other = changed((at(10), 3, 1, 2, 11, (2, 20)))
    change_rows_of(recorded, INSTANCE, PAIR, [one], after=at(8), upto=at(9))
    change_rows_of(recorded, INSTANCE, PAIR, [other], after=at(9), upto=at(10))
    chunks = drained(recorded)
    assert [chunk.through for chunk in chunks] == [None, at(9), None, at(10)]
    assert told(chunks) == [("I", 1, at(9)), ("I", 2, at(10))]


def test_a_job_that_stands_still_is_told_and_not_taken_for_silence(recorded: Recorded) -> None:
    harvested(recorded, lsn(8), age=3600)
    with pytest.raises(SourceNotReady, match="has not looked at the log for 3600 s") as raised:
        drained(recorded)
    assert "sp_start_job @job_name = N'cdc.shop_capture'" in str(raised.value)


def test_an_agent_that_never_ran_since_the_server_started_is_told(recorded: Recorded) -> None:
    recorded.answers |= {cdc.LAST_SCAN: [], cdc.AGENT: [("Stopped",)]}
    with pytest.raises(SourceNotReady, match="does not run: no change arrives"):
        drained(recorded)
    recorded.answers[cdc.AGENT] = [("Running",)]
    window(recorded, at(8), at(9), None)
    change_rows_of(recorded, INSTANCE, PAIR, [], after=at(8), upto=at(9))
    assert [chunk.through for chunk in drained(recorded, upto=at(9))] == [at(9)]


def test_a_table_that_was_dropped_is_not_waited_for(recorded: Recorded) -> None:
    source = CdcSource("erp", recorded)
    tables = [(T, source.reflect(T))]
    standing(recorded)
    recorded.answers[catalog.find_relation(T)] = []
    with source.changes(tables, epoch=3, after=at(8), upto=at(10), stop=lambda: False) as stream:
        assert [chunk.through for chunk in stream] == [at(10)]


def test_what_died_while_it_followed_a_table_is_finished(recorded: Recorded) -> None:
    """The second instance was made, and where it begins was not noted."""
    half = book_row(2, instance="ra_erp_2", began=None, began_lsn=None)
    done = book_row(2, instance="ra_erp_2", began=at(10), began_lsn=lsn(10, 1))
    recorded.turns[BOOKS.read_captured()] = [[book_row(), half], [book_row(), done]]
    standing(recorded, (INSTANCE, lsn(8)), ("ra_erp_2", lsn(10, 1)))
    noted = BOOKS.note_began(2, at(10), hexadecimal(lsn(10, 1)))
    recorded.knows(noted)
    captured_columns(recorded, "ra_erp_2", "id", "v")
    one, other = (changed(each) for each in ((at(9), 1, 1, 2, 10, (1, 1)), (at(10), 3, 1, 2, 11, (2, 2))))
    limit = hexadecimal(lsn(10, 1))
    change_rows_of(recorded, INSTANCE, PAIR, [one], after=at(8), upto=at(10), before=limit)
    change_rows_of(recorded, "ra_erp_2", PAIR, [other], after=at(8), upto=at(10))
    assert told(drained(recorded)) == [("I", 1, at(9)), ("I", 2, at(10))]
    assert noted in recorded.sent


def test_cleanup_that_passed_the_capture_says_what_is_lost(recorded: Recorded) -> None:
    standing(recorded, (INSTANCE, lsn(9)))
    with pytest.raises(SlotLost, match=r"dbo\.orders.*after commit position") as raised:
        drained(recorded)
    assert "load every id range again" in raised.value.fix
    # Cleanup up to where we are takes nothing that is wanted.
    standing(recorded, (INSTANCE, lsn(8, 9)))
    assert len(told(drained(recorded))) == 2


def test_cleanup_that_runs_while_a_window_is_read_is_noticed(recorded: Recorded) -> None:
    low, cut = [(INSTANCE, NUMBER, lsn(8), 9)], [(INSTANCE, NUMBER, lsn(10), 9)]
    recorded.turns[cdc.INSTANCES] = [low, low, low, cut]
    with pytest.raises(SlotLost, match="cleaned up"):
        drained(recorded)


def test_an_instance_that_is_gone_is_a_loss(recorded: Recorded) -> None:
    standing(recorded, ("somebody_elses", lsn(1)))
    with pytest.raises(SlotLost, match="capture was switched off"):
        drained(recorded)


def test_capture_that_somebody_switched_off_is_a_loss(recorded: Recorded) -> None:
    recorded.answers[cdc.CHANGE_TABLES] = [(None,)]
    with pytest.raises(SlotLost, match="capture was switched off"):
        drained(recorded)
    assert CdcSource("erp", recorded).status().state == "lost"


@pytest.mark.parametrize(
    ("after", "problem"), [(7, "set up after the last durable"), (at(99), "database was restored")]
)
def test_a_stream_that_begins_where_the_log_never_was_is_lost(
    recorded: Recorded, after: int, problem: str
) -> None:
    with pytest.raises(SlotLost, match=problem):
        drained(recorded, after=after)


def test_without_books_everything_is_lost(recorded: Recorded) -> None:
    without_books(recorded)
    with pytest.raises(SlotLost, match="books of the capture are gone"):
        drained(recorded)


def test_a_table_that_left_the_capture_is_refused(recorded: Recorded) -> None:
    with_books(recorded, [])
    with pytest.raises(SourceNotReady, match="changes of orders"):
        drained(recorded)


def test_one_stream_at_a_time(recorded: Recorded) -> None:
    recorded.answers[server.lock(lock_name("erp"))] = [(-1,)]
    with pytest.raises(SlotBusy):
        drained(recorded)
    assert recorded.open == 0


def test_a_lock_that_was_lost_ends_the_capture(recorded: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("replication_assets.sources.sqlserver.lease.LOOK_SECONDS", 0.0)
    recorded.answers[server.lock_is_ours(lock_name("erp"))] = [("NoLock",)]
    source = CdcSource("erp", recorded)
    tables = [(T, source.reflect(T))]
    with (
        pytest.raises(SourceUnavailable, match="another one may read"),
        source.changes(tables, epoch=3, after=at(8), upto=None, stop=lambda: False) as stream,
    ):
        stream.acknowledge(at(9))


# --- columns -------------------------------------------------------------------------------------


WIDER = (*COLUMNS, ("extra", "nvarchar(50)"))
EXTRA = ("extra", "nvarchar", 100, 0, 0)
ADDED = ShapeChange(False, "column extra was added, null in all rows", ("extra",), ())


def test_another_instance_takes_over_where_it_begins(recorded: Recorded) -> None:
    """The first one is read below that place, the second from there on."""
    rows = [
        book_row(),
        book_row(2, instance="ra_erp_2", began=at(9), began_lsn=lsn(9, 5), columns=WIDER, change=ADDED),
    ]
    with_books(recorded, rows)
    standing(recorded, (INSTANCE, lsn(8)), ("ra_erp_2", lsn(9, 5)))
    one = changed((at(9), 1, 1, 2, 10, (1, 10)))
    other = changed((at(10), 3, 1, 2, 11, (2, 20, "new")))
    change_rows_of(recorded, INSTANCE, PAIR, [one], after=at(8), upto=at(10), before=hexadecimal(lsn(9, 5)))
    source = CdcSource("erp", recorded)
    known = source.reflect(T)
    recorded_table(recorded, columns=(ID, V, EXTRA))
    extra = source.reflect(T).columns[2]
    captured_columns(recorded, "ra_erp_2", "id", "v", "extra")
    change_rows_of(recorded, "ra_erp_2", (*PAIR, extra), [other], after=at(8), upto=at(10))
    with source.changes([(T, known)], epoch=3, after=at(8), upto=at(10), stop=lambda: False) as stream:
        chunks = list(stream)
    found = [row for chunk in chunks for each in chunk.batches for row in each.rows.to_pylist()]
    assert [(row["id"], row.get("extra")) for row in found] == [(1, None), (2, "new")]
    ((table, schema, change),) = [each for chunk in chunks for each in chunk.schema_changes]
    assert (table, schema.names) == (T, ("id", "v", "extra"))
    assert (change.reload, change.added) == (False, ("extra",))
    assert (change.position.commit, change.position.sequence) == (at(9), 5 << 47)


def test_an_instance_is_removed_when_what_follows_it_was_acknowledged(recorded: Recorded) -> None:
    rows = [book_row(), book_row(2, instance="ra_erp_2", began=at(9), began_lsn=lsn(9))]
    with_books(recorded, rows)
    standing(recorded, (INSTANCE, lsn(8)), ("ra_erp_2", lsn(9)))
    gone = [cdc.disable_table("dbo", "orders", INSTANCE), BOOKS.forget(1)]
    recorded.knows(*gone, BOOKS.acknowledge(at(8)), BOOKS.acknowledge(at(9)))
    source = CdcSource("erp", recorded)
    tables = [(T, source.reflect(T))]
    with source.changes(tables, epoch=3, after=at(8), upto=None, stop=lambda: True) as stream:
        stream.acknowledge(at(8))
        assert not set(gone) & set(recorded.sent)
        stream.acknowledge(at(9))
    assert [each for each in recorded.sent if each in gone] == gone


def test_status_tells_where_the_capture_stands(recorded: Recorded) -> None:
    recorded.answers[cdc.CHANGE_TABLE_BYTES] = [(8192,)]
    source = CdcSource("erp", recorded)
    status = source.status()
    assert (status.state, status.head, status.confirmed) == ("reserved", at(10), at(8))
    assert (status.lag_bytes, status.retained_bytes) == (1024, 8192)
    harvested(recorded, lsn(10, 3), age=3600)
    assert source.status().state == "stopped"
    standing(recorded, (INSTANCE, lsn(10)))
    assert source.status().state == "lost"
    without_books(recorded)
    assert source.status().state == "missing"
