"""The order in which changes are read: by what snapshots show, whoever drew an id first."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections import Counter
from contextlib import closing
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replication_assets.errors import SlotLost, SourceUnavailable
from replication_assets.ports import ChangeStream
from replication_assets.sources.mysql.status import capture_lock
from replication_assets.sources.mysql.triggers.fences import Fence
from replication_assets_tests.contracts.change_source import ROWS, Following, events, replayed, told
from replication_assets_tests.sources.mysql.triggers.places import TriggeredPlace


def test_who_drew_the_first_id_may_commit_last(following: Following) -> None:
    place, t = following.place, following.table("t")
    place.create("t", ROWS)
    following.declare("t")
    with place.transaction() as slow, place.transaction() as quick:
        slow.execute("INSERT INTO t VALUES (1, 1, 'slow')")
        quick.execute("INSERT INTO t VALUES (2, 1, 'quick')")
        quick.commit()
        following.drain()
        assert told(following.chunks, t, "s") == [("I", "quick")]
        reached = following.after
        position, rows = following.load("t")
        assert list(rows) == [(2, 1, "quick")]
        slow.commit()
    following.drain()
    assert told(following.chunks, t, "s") == [("I", "quick"), ("I", "slow")]
    late = events(following.chunks, t)[-1]
    assert late["_sequence"] < events(following.chunks, t)[0]["_sequence"], "its id is the smaller one"
    assert late["_commit_position"] > reached
    assert late["_commit_position"] >= position, "the load does not have it"
    assert replayed(events(following.chunks, t), ("id", "v", "s"), position) == rows


def test_changes_of_one_row_keep_their_order_across_fences(following: Following) -> None:
    place, t = following.place, following.table("t")
    place.create("t", ROWS)
    following.declare("t")
    place.execute("INSERT INTO t VALUES (1, 0, 'a'), (2, 0, 'b')")
    with place.transaction() as one, place.transaction() as other:
        other.execute("UPDATE t SET v = 1 WHERE id = 2")
        one.execute("UPDATE t SET v = 1 WHERE id = 1")
        following.drain()
        one.commit()
        # It began before the first and writes the same row after it.
        other.execute("UPDATE t SET v = 2 WHERE id = 1")
        following.load("t")
        other.commit()
    place.execute("UPDATE t SET v = 3 WHERE id = 1")
    following.drain()
    assert [row["v"] for row in events(following.chunks, t) if row["id"] == 1] == [0, 1, 2, 3]


def test_a_statement_of_many_rows_keeps_the_order_of_rows_that_it_waited_for(following: Following) -> None:
    """An id is drawn for each row, when the row is locked: not for the statement, when it begins."""
    place, t = following.place, following.table("t")
    place.create("t", ROWS)
    place.execute("INSERT INTO t VALUES (1, 0, 'a'), (2, 0, 'b'), (3, 0, 'c'), (4, 0, 'd')")
    following.declare("t")
    with place.transaction() as holding, place.transaction() as sweeping:
        holding.execute("UPDATE t SET v = 100 WHERE id = 3")
        sweep = threading.Thread(target=sweeping.execute, args=("UPDATE t SET v = v + 1 ORDER BY id",))
        sweep.start()
        time.sleep(0.3)
        holding.execute("UPDATE t SET v = v + 100 WHERE id = 3")
        holding.commit()
        sweep.join()
        sweeping.commit()
    following.drain()
    assert [row["v"] for row in events(following.chunks, t) if row["id"] == 3] == [100, 200, 201]


def test_writers_that_commit_out_of_order_and_roll_back_lose_nothing_beside_a_capture(
    following: Following,
) -> None:
    place, t = following.place, following.table("t")
    place.create("t", "id integer PRIMARY KEY AUTO_INCREMENT, writer integer, turn integer")
    following.declare("t")
    kept: Counter[tuple[int, int]] = Counter()

    def write(writer: int) -> None:
        chance, mine = Random(writer), []
        with place.transaction() as session:
            for turn in range(25):
                for _ in range(chance.randint(1, 3)):
                    session.execute(f"INSERT INTO t (writer, turn) VALUES ({writer}, {turn})")
                    mine.append((writer, turn))
                    time.sleep(chance.random() / 300)
                if chance.random() < 0.3:
                    session.rollback()
                else:
                    session.commit()
                    kept.update(mine)
                mine.clear()

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(4)]
    with following.running():
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            following.load("t")
        for thread in threads:
            thread.join()
    following.drain()
    found = events(following.chunks, t)
    assert Counter((row["writer"], row["turn"]) for row in found) == kept
    positions = {(row["writer"], row["turn"]): set[int]() for row in found}
    for row in found:
        positions[row["writer"], row["turn"]].add(row["_commit_position"])
    assert all(len(each) == 1 for each in positions.values()), "a transaction was cut in two"
    late = [a for a, b in pairwise(found) if a["_sequence"] > b["_sequence"]]
    assert late, "nobody committed out of order: this tested nothing"


def test_a_prepared_transaction_holds_up_nobody_and_is_not_lost(
    following: Following, place: TriggeredPlace
) -> None:
    """It leaves its session, which commits other changes before it."""
    t = following.table("t")
    place.create("t", ROWS)
    following.declare("t")
    xid = f"'x{place.schema}'"
    with closing(place.database.session()) as session, session.cursor() as cursor:
        for statement in (f"XA START {xid}", "INSERT INTO t VALUES (1, 1, 'prepared')", f"XA END {xid}"):
            cursor.execute(statement)
        cursor.execute(f"XA PREPARE {xid}")
    # Another session that the server gives the same number can not be made, so the log is told of one.
    log = place.source.names
    with closing(place.database.session()) as session, session.cursor() as cursor:
        cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ UNCOMMITTED")
        cursor.execute(f"SELECT conn, id FROM {log.changes(1)}")
        ((conn, number),) = cursor.fetchall()
        cursor.execute(
            f"INSERT INTO {log.changes(1)} (conn, id, op, at, n0, n1, n2)"
            f" VALUES ({conn}, {number + 2}, 'I', NOW(), 2, 1, 'after')"
        )
        following.drain()
        assert told(following.chunks, t, "s") == [("I", "after")]
        following.drain()
        cursor.execute(f"XA COMMIT {xid}")
    following.drain()
    assert told(following.chunks, t, "s") == [("I", "after"), ("I", "prepared")]
    assert [row["_sequence"] for row in events(following.chunks, t)] == [number + 2, number]


def test_a_log_that_somebody_emptied_is_lost(following: Following, place: TriggeredPlace) -> None:
    place.create("t", ROWS)
    following.declare("t")
    place.execute(f'DELETE FROM "{place.source.names.database}".marks')
    with pytest.raises(SlotLost):
        following.drain()


def test_ids_that_went_back_are_noticed(following: Following, place: TriggeredPlace) -> None:
    """As after a restart with a clock that was set back."""
    place.create("t", ROWS)
    following.declare("t")
    place.execute("INSERT INTO t VALUES (1, 1, 'a')")
    place.execute(f'UPDATE "{place.source.names.database}".c1 SET id = id + (1 << 40)')
    with pytest.raises(SlotLost, match="clock"):
        following.drain()


def test_a_change_waits_for_no_commit_of_others_to_be_trimmed(
    following: Following, place: TriggeredPlace
) -> None:
    place.create("t", ROWS)
    following.declare("t")
    with closing(place.database.session()) as session, session.cursor() as cursor:
        cursor.execute("INSERT INTO t VALUES (1, 1, 'done')")
        session.begin()
        cursor.execute("INSERT INTO t VALUES (2, 1, 'open')")
        following.drain()
        changes = place.source.names.changes(1)
        assert place.rows(f"SELECT count(*) FROM {changes}".replace("`", '"')) == [(0,)]
        # The session that is open can write on: no gap of its own was locked.
        cursor.execute("INSERT INTO t VALUES (3, 1, 'open')")
        session.commit()
    following.drain()
    assert told(following.chunks, following.table("t"), "id") == [("I", 1), ("I", 2), ("I", 3)]


NUMBERS = st.integers(1, 5)


@given(
    shown=st.dictionaries(NUMBERS, st.integers(1, 9)),
    late=st.frozensets(st.tuples(NUMBERS, st.integers(1, 9)), max_size=3),
    rows=st.sets(st.tuples(NUMBERS, st.integers(1, 9)), min_size=1),
)
def test_a_fence_shows_a_row_or_hides_it(
    shown: dict[int, int], late: frozenset[tuple[int, int]], rows: set[tuple[int, int]]
) -> None:
    late = frozenset(row for row in late if row[1] <= shown.get(row[0], 0))
    fence = Fence.from_body(7, Fence(7, shown, late).body())
    with closing(sqlite3.connect(":memory:")) as session:
        session.execute("CREATE TABLE c (conn INTEGER, id INTEGER)")
        session.executemany("INSERT INTO c VALUES (?, ?)", rows)
        seen = set(session.execute(f"SELECT conn, id FROM c WHERE {fence.shows()}").fetchall())
        unseen = set(session.execute(f"SELECT conn, id FROM c WHERE {fence.hides()}").fetchall())
    assert seen == {row for row in rows if row[1] <= shown.get(row[0], 0)} - late
    assert unseen == rows - seen


def test_a_lost_connection_ends_the_stream_and_the_next_one_goes_on(
    following: Following, place: TriggeredPlace
) -> None:
    t = following.table("t")
    place.create("t", ROWS)
    following.declare("t")
    place.execute("INSERT INTO t VALUES (1, 1, 'a')")
    with pytest.raises(SourceUnavailable), following.stream() as stream:
        _killed_when_read(following, stream, place)
    place.execute("INSERT INTO t VALUES (2, 1, 'b')")
    following.drain()
    assert Counter(told(following.chunks, t, "id")) == Counter([("I", 1), ("I", 2)])


def _killed_when_read(following: Following, stream: ChangeStream, place: TriggeredPlace) -> None:
    for chunk in stream:
        following._take(chunk, stream)
        with closing(place.database.session()) as session, session.cursor() as cursor:
            cursor.execute(f"SELECT IS_USED_LOCK('{capture_lock(place.source.names.database)}')")
            ((reader,),) = cursor.fetchall()
            cursor.execute(f"KILL {reader}")
