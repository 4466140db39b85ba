"""The change stream on a recorded redo log: commits are told whole, in order, at places that last."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from replication_assets.core.schema import TableSchema
from replication_assets.errors import SlotBusy, SlotLost, SourceNotReady, SourceUnavailable
from replication_assets.ports import ChangeChunk
from replication_assets.sources.oracle.logminer import looking_back
from replication_assets.sources.oracle.logminer import stream as stream_module
from replication_assets.sources.oracle.source import OracleSource
from replication_assets.sources.oracle.statements import catalog, log
from replication_assets_tests.contracts.change_source import events
from replication_assets_tests.sources.oracle.recorded import FILES, ORDERS, TABLE, RecordedServer, column
from replication_assets_tests.sources.oracle.redo_log import (
    FIRST,
    OFFSET,
    WRITTEN,
    RedoLog,
    delete,
    insert,
    mining_server,
    update,
)

EPOCH = 3


@pytest.fixture(autouse=True)
def _no_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_module, "IDLE_SECONDS", 0.0)


def schema(server: RecordedServer) -> TableSchema:
    return OracleSource("erp", server).reflect(TABLE)


def drain(
    server: RecordedServer, after: int = FIRST, upto: int | None = None, known: TableSchema | None = None
) -> list[ChangeChunk]:
    source = OracleSource("erp", server)
    tables = [(TABLE, known or schema(server))]
    target = upto if upto is not None else source.status().head
    with source.changes(tables, epoch=EPOCH, after=after, upto=target, stop=lambda: False) as stream:
        chunks = []
        for chunk in stream:
            chunks.append(chunk)
            if chunk.through is not None:
                stream.acknowledge(chunk.through)
        return chunks


def told(chunks: list[ChangeChunk], *names: str) -> list[tuple[Any, ...]]:
    return [(row["_op"], *(row[name] for name in names or ("ID",))) for row in events(chunks, TABLE)]


def head(redo: RedoLog) -> dict[str, Any]:
    row = (4711, 1_000, None, "ARCHIVELOG", "YES", "NO", "NO", "NO", "READ WRITE", "NO")
    return {catalog.DATABASE: lambda binds: [(*row[:2], redo.scn, *row[3:])]}


def serving(redo: RedoLog, **given: Any) -> RecordedServer:
    more = {**head(redo), **given.pop("more", {})}
    return mining_server(redo, more=more, **given)


def test_changes_become_events_with_whole_images() -> None:
    redo = RedoLog()
    redo.begin(1)
    redo.change(1, insert(1, "10", "it's a long note, in more than one row of the log"))
    redo.change(1, insert(2, "20.25", None), row="AAB")
    redo.commit(1)
    redo.begin(2)
    redo.change(2, update(1, "11", was="10", note="it's a long note, in more than one row of the log"))
    redo.change(2, update(2, "20.25", was="20.25", note=None, new_key=5), row="AAB")
    redo.change(2, delete(1, "11", "it's a long note, in more than one row of the log"))
    at = redo.commit(2)
    chunks = drain(serving(redo))
    assert told(chunks, "ID", "AMOUNT") == [
        ("I", 1, 10),
        ("I", 2, pytest.approx(20.25)),
        ("U", 1, 11),
        ("D", 2, pytest.approx(20.25)),
        ("U", 5, pytest.approx(20.25)),
        ("D", 1, 11),
    ]
    found = events(chunks, TABLE)
    assert found[0]["NOTE"] == "it's a long note, in more than one row of the log"
    assert [row["_before"] for row in found] == [None, None, '{"AMOUNT":"10"}', None, None, None]
    assert [(row["_commit_position"], row["_sequence"]) for row in found[2:]] == [
        (at, 1),
        (at, 2),
        (at, 2),
        (at, 3),
    ]
    assert found[0]["_committed_at"] == WRITTEN.replace(tzinfo=dt.UTC) - dt.timedelta(minutes=OFFSET)
    assert [row["_transaction_id"] for row in found[1:3]] == [1, 2]


def test_what_is_rolled_back_is_not_told_wholly_or_to_a_savepoint() -> None:
    redo = RedoLog()
    redo.begin(1)
    redo.change(1, insert(1))
    redo.rollback(1)
    redo.begin(2)
    redo.change(2, insert(2), row="AAB")
    redo.change(2, insert(3), row="AAC")
    redo.change(2, update(2, "7"), row="AAB")
    # ROLLBACK TO SAVEPOINT: each undone change is a row that undoes it, newest first.
    redo.change(2, update(2, "1.5", was="7"), row="AAB", UNDOES=1)
    redo.change(2, 'delete from "SALES"."ORDERS" where ROWID = \'AAC\'', row="AAC", UNDOES=1)
    redo.change(2, insert(4), row="AAC")
    redo.commit(2)
    assert told(drain(serving(redo))) == [("I", 2), ("I", 4)]


def test_a_transaction_is_told_at_its_commit_though_it_spans_stretches(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stream_module, "LEAST_SCNS", 1)
    monkeypatch.setattr(stream_module, "MOST_SCNS", 1)
    monkeypatch.setattr(looking_back, "OVERLAP_SCNS", 0)
    redo = RedoLog()
    redo.begin(1)
    redo.change(1, insert(1))
    redo.begin(2)
    redo.change(2, insert(2), row="AAB")
    first = redo.commit(2)
    for _ in range(40):
        redo.begin(9)
    redo.change(1, update(1, "2"))
    second = redo.commit(1)
    chunks = drain(serving(redo))
    assert [(row["ID"], row["_op"], row["_commit_position"]) for row in events(chunks, TABLE)] == [
        (2, "I", first),
        (1, "I", second),
        (1, "U", second),
    ]
    assert sum(chunk.through is not None for chunk in chunks) > 2
    assert [chunk.through for chunk in chunks if chunk.batches] == sorted(
        chunk.through or 0 for chunk in chunks if chunk.batches
    )


def test_what_was_not_acknowledged_comes_again_at_the_same_positions() -> None:
    redo = RedoLog()
    for xid in (1, 2):
        redo.begin(xid)
        redo.change(xid, insert(xid), row=f"AA{xid}")
    # Two commits of one SCN, on two threads: ordered by thread, whichever came first.
    at = redo.commit(2, THREAD=2)
    redo.commit(1, scn=at)
    first = events(drain(serving(redo)), TABLE)
    assert [(row["ID"], row["_sequence"]) for row in first] == [(1, 1), (2, 2)]
    redo.begin(3)
    redo.change(3, delete(1))
    redo.commit(3)
    again = events(drain(serving(redo)), TABLE)
    assert again[:2] == first
    assert len(again) == 3


def test_a_transaction_that_was_open_where_capture_resumes_is_read_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    redo = RedoLog()
    redo.begin(1)
    redo.change(1, insert(1))
    redo.begin(2)
    redo.change(2, insert(2), row="AAB")
    after = redo.commit(2)
    redo.change(1, insert(3), row="AAC")
    redo.commit(1)
    # Found in what is read again, though the database names none that is still open.
    assert told(drain(serving(redo), after)) == [("I", 1), ("I", 3)]
    monkeypatch.setattr(looking_back, "OVERLAP_SCNS", 0)
    # Looked for on its own.
    assert told(drain(serving(redo), after)) == [("I", 1), ("I", 3)]
    # One that is open is begun with, and what committed before `after` is not told again.
    assert told(drain(serving(redo, oldest=FIRST + 1), after)) == [("I", 1), ("I", 3)]


def test_a_transaction_that_is_open_for_long_does_not_make_each_capture_read_all_of_it() -> None:
    redo = RedoLog(scn=10_000)
    begun = redo.begin(1)
    redo.change(1, insert(1))
    redo.scn = FIRST
    redo.begin(2)
    redo.change(2, insert(2), row="AAB")
    after = redo.commit(2)
    server = serving(redo, oldest=begun)
    assert told(drain(server, after)) == []
    redo.commit(1)
    starts = len(server.ran)
    assert told(drain(server, after)) == [("I", 1)]
    # Its commit showed it to be without a beginning, which was then looked for on its own.
    mined = [binds for statement, binds in server.ran[starts:] if statement == log.START]
    assert begun < int(str(mined[0]["first"])) <= after
    assert min(int(str(binds["first"])) for binds in mined) <= begun


def test_an_open_transaction_that_began_in_a_log_that_is_gone_stops_nothing_until_it_commits() -> None:
    redo = RedoLog()
    files = [(FILES[1][0], 1, 8, FIRST + 2, 2**48, "online")]
    after = redo.scn = FIRST + 5
    redo.begin(2)
    redo.change(2, insert(2), row="AAB")
    redo.commit(2)
    assert told(drain(serving(redo, files=files, oldest=FIRST - 10), after)) == [("I", 2)]
    redo.commit(1)
    with pytest.raises(SlotLost, match="began before SCN"):
        drain(serving(redo, files=files, oldest=FIRST - 10), after)


def test_a_transaction_whose_beginning_is_in_no_log_is_lost_and_said_to_be() -> None:
    redo = RedoLog()
    redo.change(1, insert(1))
    redo.commit(1)
    with pytest.raises(SlotLost, match="began before SCN 1000"):
        drain(serving(redo))


def test_a_file_that_is_gone_takes_its_changes_with_it() -> None:
    redo = RedoLog()
    gone = [("/redo/2.log", 1, 9, FIRST + 100, 2**48, "online")]
    with pytest.raises(SlotLost, match=f"thread 1 from SCN {FIRST}"):
        drain(serving(redo, files=gone), upto=0)
    with pytest.raises(SlotLost, match="not the one that was read"):
        drain(serving(redo), after=redo.scn + 5, upto=0)
    redo.write(0, 34)
    with pytest.raises(SlotLost, match="gap"):
        drain(serving(redo))


def test_a_file_that_is_overwritten_while_it_is_read_counts_as_not_read() -> None:
    redo = RedoLog()
    redo.begin(1)
    redo.change(1, insert(1))
    redo.commit(1)

    def files(binds: Any) -> Any:
        name, thread, sequence, *rest = FILES[1]
        mined = any(statement == log.START for statement, _ in server.ran)
        return [FILES[0], (name, thread, sequence + 2 if mined else sequence, *rest)]

    server = serving(redo, more={log.LOG_FILES: files})
    with pytest.raises(SourceUnavailable, match="overwritten"):
        drain(server)


def test_another_instance_is_read_no_further_than_it_wrote() -> None:
    redo = RedoLog()
    redo.begin(1)
    redo.change(1, insert(1))
    at = redo.commit(1)
    redo.begin(2)
    redo.change(2, insert(2), row="AAB")
    redo.commit(2)
    two = [FILES[1], ("/redo/9.log", 2, 3, 400_000, 2**48, "online")]
    threads = [(1, "OPEN", "erp1", redo.scn, 1), (2, "OPEN", "erp2", at + 1, 1)]
    server = serving(redo, files=two, threads=threads)
    assert told(drain(server, upto=at)) == [("I", 1)]
    assert max(int(str(binds["last"])) for statement, binds in server.ran if statement == log.START) == at


def test_a_pluggable_database_is_mined_in_itself_or_from_the_root() -> None:
    redo = RedoLog()
    redo.begin(1)
    redo.change(1, insert(1))
    redo.commit(1)
    row = (4711, 1_000, None, "ARCHIVELOG", "YES", "NO", "NO", "YES", "READ WRITE", "NO")
    inside = {catalog.DATABASE: lambda binds: [(*row[:2], redo.scn, *row[3:])]}
    server = serving(redo, more=inside)
    assert told(drain(server)) == [("I", 1)]
    assert log.ADD_FIRST_FILE not in {statement for statement, _ in server.ran}
    root = serving(redo, more=inside)
    containers = iter(["ERP", "CDB$ROOT"])
    known = schema(root)
    root.answers[catalog.WHO] = lambda binds: [("C##REPLICATOR", next(containers))]
    text = log.contents(1, [70_001], container=True, xid=False)
    root.answers[text] = redo.mined
    assert told(drain(root, known=known)) == [("I", 1)]
    assert {binds["container"] for statement, binds in root.ran if statement == text} == {"ERP"}
    assert log.ADD_FIRST_FILE in {statement for statement, _ in root.ran}


def test_rows_that_cannot_be_read_ask_for_a_load() -> None:
    redo = RedoLog()
    redo.begin(1)
    redo.change(1, 'insert into "UNKNOWN"."OBJ# 70001"("COL 1") values (HEXTORAW(\'c102\'))')
    redo.rows[-1].update(SEG_OWNER="UNKNOWN", TABLE_NAME="OBJ# 70001")
    for row in redo.rows[1:]:
        row.update(SEG_OWNER="UNKNOWN", TABLE_NAME="OBJ# 70001")
    redo.change(1, 'delete from "SALES"."ORDERS" where "ID" = \'1\'')
    at = redo.commit(1)
    redo.begin(2)
    redo.write(2, 10, "LOB_WRITE", SEG_OWNER="SALES", TABLE_NAME="ORDERS", OBJECT=70_001)
    redo.commit(2)
    chunks = drain(serving(redo))
    changes = [change for chunk in chunks for _, _, change in chunk.schema_changes]
    assert [change.reload for change in changes] == [True, True]
    assert changes[0].position.commit == at
    assert "large object" in changes[1].reason
    assert told(chunks) == []


def test_a_column_that_is_added_is_told_at_its_place() -> None:
    redo = RedoLog()
    redo.begin(1)
    redo.change(1, insert(1))
    redo.commit(1)
    redo.begin(2)
    redo.ddl(2, "ALTER TABLE orders ADD (extra VARCHAR2(10))")
    at = redo.commit(2)
    redo.begin(3)
    redo.change(
        3,
        'insert into "SALES"."ORDERS"("ID","AMOUNT","NOTE","EXTRA") values (\'2\',\'1\',NULL,\'new\')',
        row="AAB",
    )
    redo.commit(3)
    server = serving(redo)
    before = schema(server)
    wider = [*ORDERS, column("EXTRA", "VARCHAR2", characters=10)]
    server.answers[catalog.COLUMNS] = wider
    chunks = drain(server, known=before)
    (change,) = [change for chunk in chunks for _, _, change in chunk.schema_changes]
    assert (change.reload, change.added, change.position.commit) == (False, ("EXTRA",), at)
    assert [(row["ID"], row.get("EXTRA")) for row in events(chunks, TABLE)] == [(1, None), (2, "new")]


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("ALTER TABLE orders TRUNCATE PARTITION p1", "partition"),
        ("DROP TABLE sales.orders PURGE", "dropped"),
        ("/* no column */ CREATE TABLE orders AS SELECT 1 x FROM dual", "rows"),
        ('ALTER TABLE "ORDERS" RENAME TO old_orders', "renamed"),
    ],
)
def test_definitions_that_move_rows_ask_for_a_load(statement: str, reason: str) -> None:
    redo = RedoLog()
    redo.begin(1)
    redo.ddl(1, statement)
    redo.commit(1)
    (change,) = [change for chunk in drain(serving(redo)) for _, _, change in chunk.schema_changes]
    assert change.reload
    assert reason in change.reason


def test_a_truncate_is_told_and_an_index_is_not() -> None:
    redo = RedoLog()
    redo.begin(1)
    redo.ddl(1, "CREATE INDEX orders_amount ON orders (amount)")
    redo.ddl(1, "truncate table sales.orders drop storage")
    at = redo.commit(1)
    chunks = drain(serving(redo))
    assert [(table, place.commit) for chunk in chunks for table, place, _, _ in chunk.truncated] == [
        (TABLE, at)
    ]
    assert not any(chunk.schema_changes for chunk in chunks)


def test_one_stream_at_a_time() -> None:
    with pytest.raises(SlotBusy, match="session 99,4,@1"):
        drain(serving(RedoLog(), more={log.TAKE_LOCK: [(1,)]}))


def test_a_stream_does_not_begin_where_changes_are_not_logged() -> None:
    row = (4711, 1_000, 500_000, "NOARCHIVELOG", "NO", "NO", "NO", "NO", "READ WRITE", "NO")
    with pytest.raises(SourceNotReady, match="ADD SUPPLEMENTAL LOG DATA"):
        drain(serving(RedoLog(), more={catalog.DATABASE: [row]}), upto=FIRST + 1)


def test_an_idle_log_is_passed_and_the_stream_stops_when_told() -> None:
    redo = RedoLog()
    server = serving(redo)
    source = OracleSource("erp", server)
    tables = [(TABLE, schema(server))]
    seen: list[ChangeChunk] = []
    with source.changes(tables, epoch=EPOCH, after=FIRST, upto=None, stop=lambda: len(seen) >= 3) as stream:
        for chunk in stream:
            seen.append(chunk)
            redo.scn += 1
    assert not any(chunk.batches for chunk in seen)
    assert seen[-1].through == redo.scn - 1
