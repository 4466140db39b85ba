"""Capture by triggers on a database of tests: what commits is told once, in an order that lasts, and what was
not kept asks for a load. No statement here was ever answered by an Oracle database."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from replication_assets.core.schema import TableSchema
from replication_assets.errors import LoadBlocked, SlotBusy, SlotLost, SourceNotReady
from replication_assets.ports import ChangeChunk
from replication_assets.sources.oracle.statements import catalog, rows, trigger_log
from replication_assets.sources.oracle.statements import triggers as sql
from replication_assets.sources.oracle.triggers import stream as stream_module
from replication_assets.sources.oracle.triggers.source import CHANGE_BYTES, OracleTriggerSource
from replication_assets_tests.contracts.change_source import events
from replication_assets_tests.sources.oracle.logged import (
    NAMES,
    PRIVILEGES,
    USER,
    Database,
    LoggedServer,
    row,
)
from replication_assets_tests.sources.oracle.recorded import KINDS, ORDERS, TABLE, column

EPOCH = 3
EXTRA = column("EXTRA", "VARCHAR2", length=40, characters=10)


@pytest.fixture(autouse=True)
def _no_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_module, "POLL_SECONDS", 0.0)


class Following:
    """Capture of one table, drained step by step."""

    def __init__(self, **reflected: Any) -> None:
        self.database = Database()
        self.server = LoggedServer(self.database)
        self.source = OracleTriggerSource("erp", self.server)
        self.schema: TableSchema = self.source.reflect(TABLE, **reflected)
        self.after = self.setup().start
        self.chunks: list[ChangeChunk] = []

    def setup(self) -> Any:
        found = self.source.setup([(TABLE, self.schema)])
        self.source.confirm_setup()
        return found

    def drain(self, *, acknowledge: bool = True) -> list[ChangeChunk]:
        found = []
        tables = [(TABLE, self.schema)]
        upto = self.source.status().head
        with self.source.changes(
            tables, epoch=EPOCH, after=self.after, upto=upto, stop=lambda: False
        ) as stream:
            for chunk in stream:
                found.append(chunk)
                if not acknowledge:
                    continue
                self.chunks.append(chunk)
                for _, schema, _ in chunk.schema_changes:
                    self.schema = schema
                if chunk.through is not None:
                    self.after = chunk.through
                    stream.acknowledge(chunk.through)
        return found


@pytest.fixture
def following() -> Following:
    return Following()


def told(chunks: list[ChangeChunk], *names: str) -> list[tuple[Any, ...]]:
    return [(each["_op"], *(each[name] for name in names or ("ID",))) for each in events(chunks, TABLE)]


def changes(chunks: list[ChangeChunk]) -> list[Any]:
    return [change for chunk in chunks for _, _, change in chunk.schema_changes]


# --- changes --------------------------------------------------------------------------------


def test_changes_become_events_with_whole_images(following: Following) -> None:
    db = following.database
    db.write({}, row(1, "10", "it's"))
    db.write({}, row(2, "20.25", None))
    db.write(row(1, "10", "it's"), row(1, "11", "it's"))
    db.write(row(2, "20.25", None), row(5, "20.25", None))
    db.write(row(1, "11", "it's"), {})
    found = events(following.drain(), TABLE)
    assert [(each["_op"], each["ID"], float(each["AMOUNT"]), each["NOTE"]) for each in found] == [
        ("I", 1, 10.0, "it's"),
        ("I", 2, 20.25, None),
        ("U", 1, 11.0, "it's"),
        ("D", 2, 20.25, None),
        ("U", 5, 20.25, None),
        ("D", 1, 11.0, "it's"),
    ]
    assert [each["_before"] for each in found] == [None, None, '{"AMOUNT":"10"}', None, None, None]
    assert {each["_commit_position"] for each in found} == {following.after}


def test_what_commits_late_is_told_late_and_never_skipped(following: Following) -> None:
    """Its ids are smaller than those that were delivered and trimmed before it."""
    db = following.database
    early, gone = db.begin(), db.begin()
    db.fire(early, {}, row(1))
    db.fire(gone, {}, row(9))
    db.write({}, row(2))
    assert told(following.drain()) == [("I", 2)]
    db.rollback(gone)
    db.fire(early, row(1), row(1, "2"))
    db.commit(early)
    chunks = following.drain()
    assert told(chunks) == [("I", 1), ("U", 1)]
    assert sum(chunk.through is not None for chunk in chunks if chunk.batches) == 1


def test_what_was_not_acknowledged_comes_again_at_the_same_positions(following: Following) -> None:
    db = following.database
    db.write({}, row(1))
    first = events(following.drain(acknowledge=False), TABLE)
    db.write({}, row(2))
    again = events(following.drain(), TABLE)
    assert again[:1] == first
    assert [each["ID"] for each in again] == [1, 2]
    assert told(following.drain()) == []


def test_what_is_durable_is_trimmed_and_the_place_in_the_log_stays(following: Following) -> None:
    db = following.database
    db.write({}, row(1))
    before = following.source.status()
    assert before.lag_bytes == CHANGE_BYTES
    following.drain()
    now = following.source.status()
    assert (now.lag_bytes, now.confirmed, now.state) == (0, following.after, "reserved")
    assert (db.shown, db.fences) == ({}, [following.after])
    assert now.head > before.head


def test_an_append_only_table_has_a_trigger_for_inserts_alone() -> None:
    following = Following(append_only=True)
    following.database.write({}, row(1))
    following.database.write(row(1), row(1, "2"))
    assert told(following.drain()) == [("I", 1)]


def test_a_value_that_did_not_fit_asks_for_a_load(following: Following) -> None:
    following.database.missed(0)
    (change,) = changes(following.drain())
    assert change.reload
    assert "could not write" in change.reason


def test_one_stream_at_a_time_and_only_of_a_log_that_holds_the_place(following: Following) -> None:
    source, tables = following.source, [(TABLE, following.schema)]

    def opened(after: int) -> Any:
        return source.changes(tables, epoch=EPOCH, after=after, upto=0, stop=lambda: False)

    with opened(following.after) as stream:
        next(iter(stream))
        with pytest.raises(SlotBusy), opened(following.after):
            raise AssertionError("two streams of one log")
        with pytest.raises(SlotBusy, match="stop the capture first"):
            source.teardown()
    with pytest.raises(SlotLost, match="does not hold 7"), opened(7):
        raise AssertionError("a stream from nowhere")


def test_an_idle_stream_tells_so_and_stops(following: Following, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_module, "_TOLD_SECONDS", 0.0)
    seen: list[ChangeChunk] = []
    with following.source.changes(
        [(TABLE, following.schema)],
        epoch=EPOCH,
        after=following.after,
        upto=None,
        stop=lambda: len(seen) >= 3,
    ) as stream:
        seen += stream
    assert not any(chunk.batches for chunk in seen)
    assert len(following.database.fences) == 2


# --- setting up -----------------------------------------------------------------------------


def test_setup_tells_what_it_added_until_that_is_confirmed() -> None:
    database = Database()
    source = OracleTriggerSource("erp", LoggedServer(database))
    wanted = [(TABLE, source.reflect(TABLE))]
    assert source.missing(wanted) == ()
    assert source.status().state == "missing"
    assert source.remains() == ()
    before = source.identify()
    first = source.setup(wanted)
    assert first.added == (TABLE,)
    assert source.setup(wanted).added == (TABLE,)
    source.confirm_setup()
    assert source.setup(wanted) == type(first)(first.start, ())
    assert source.identify() != before
    assert source.identify() == source.identify()
    assert pickle.loads(pickle.dumps(OracleTriggerSource("erp", source.server))).name == "erp"


def test_teardown_leaves_nothing_and_drops_triggers_before_their_log(following: Following) -> None:
    db, server = following.database, following.server
    assert len(following.source.remains()) == 10
    server.ran.clear()
    following.source.teardown()
    dropped = [text for text in server.ran if text.startswith("DROP ")]
    kinds = [text.split()[1] for text in dropped]
    assert kinds == sorted(kinds, key=["TRIGGER", "PROCEDURE", "TABLE", "SEQUENCE"].index)
    following.source.teardown()
    assert following.source.remains() == ()
    assert following.source.status().state == "missing"
    with pytest.raises(SourceNotReady, match="no change log"):
        following.source._take_scn(server.open())  # what each load asks first
    db.write({}, row(1))


def test_no_load_begins_beside_transactions_that_wrote_before_the_trigger_did() -> None:
    database = Database(blocked=True)
    source = OracleTriggerSource("erp", LoggedServer(database))
    wanted = [(TABLE, source.reflect(TABLE))]
    for _ in range(2):
        with pytest.raises(LoadBlocked, match="wrote before the trigger"):
            source.setup(wanted)
    database.blocked = False
    assert source.setup(wanted).added == (TABLE,)
    assert len(database.triggers) == 1


def test_a_trigger_that_does_not_compile_never_stands_on_a_table() -> None:
    database = Database(invalid={NAMES.trial})
    source = OracleTriggerSource("erp", LoggedServer(database))
    with pytest.raises(SourceNotReady, match="does not compile"):
        source.setup([(TABLE, source.reflect(TABLE))])
    assert database.triggers == {}
    assert NAMES.guard not in database.objects
    assert NAMES.trial not in database.objects


def test_a_table_that_is_no_more_declared_loses_its_trigger(following: Following) -> None:
    following.source.setup([])
    assert following.database.triggers == {}
    with pytest.raises(SourceNotReady, match="no triggers keep the changes of ORDERS"):
        following.drain()


REFUSED = SourceNotReady("ORA-00942: a table or view is not there, or not granted")


@pytest.mark.parametrize(
    ("changed", "mended_by"),
    [
        *(
            ({catalog.PRIVILEGES: [each for each in PRIVILEGES if each != gone]}, f"GRANT {gone[0]} TO")
            for gone in PRIVILEGES[2:]
        ),
        ({catalog.PRIVILEGES: PRIVILEGES[2:]}, 'ALTER USER "REPLICATOR" QUOTA UNLIMITED ON "USERS"'),
        ({catalog.CAN_EXECUTE: [(0,)]}, "EXECUTE"),
        ({catalog.DATABASE: REFUSED}, "GRANT SELECT ON SYS.V_$DATABASE"),
        (
            {catalog.DATABASE: [(4711, 1, 5, "ARCHIVELOG", *["NO"] * 4, "READ ONLY", "NO")]},
            "primary database",
        ),
        ({catalog.PARAMETERS: [("undo_retention", "10")]}, "ALTER SYSTEM SET UNDO_RETENTION = 900"),
        ({rows.flashback_probe("SALES", "ORDERS"): REFUSED}, "GRANT SELECT, FLASHBACK"),
        ({catalog.RELATION: []}, "there is no table"),
        ({catalog.RELATION: [("TABLE", 3, "IOT", "N", "NO", None, "NO", "YES")]}, "is a index-organized"),
    ],
)
def test_what_is_missing_is_told_with_its_statement(changed: dict[str, Any], mended_by: str) -> None:
    schema = OracleTriggerSource("erp", LoggedServer(Database())).reflect(TABLE)
    source = OracleTriggerSource("erp", LoggedServer(Database(), answers=changed))
    (problem,) = source.missing([(TABLE, schema)])
    assert mended_by in problem


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        ([column("BODY", "CLOB", length=4000)], "BODY of"),
        ([column("BODY", "LONG")], "cannot be read by one"),
        ([column(f"C{n}", "DATE", length=7) for n in range(488)], "more than 490 columns"),
        ([column(f"{n:03}{'X' * 120}", "DATE", length=7) for n in range(150)], "longer than 32 KB"),
    ],
)
def test_a_table_that_no_trigger_can_log_is_refused(more: list[Any], complaint: str) -> None:
    source = OracleTriggerSource("erp", LoggedServer(Database(columns=[*ORDERS, *more])))
    (problem,) = source.missing([(TABLE, source.reflect(TABLE))])
    assert complaint in problem


def test_a_view_is_loaded_and_has_no_trigger() -> None:
    database = Database()
    source = OracleTriggerSource("erp", LoggedServer(database, answers={catalog.RELATION: [KINDS["VIEW"]]}))
    assert not source.is_captured(TABLE)
    assert source.setup([(TABLE, source.reflect(TABLE))]).added == ()
    assert database.triggers == {}


# --- tables that change ---------------------------------------------------------------------


@pytest.mark.parametrize("by_setup", [True, False])
def test_a_column_that_is_added_is_told_and_followed(following: Following, by_setup: bool) -> None:
    db = following.database
    db.write({}, row(1))
    following.drain()
    db.columns = [*ORDERS, EXTRA]
    if by_setup:
        following.setup()
    else:
        following.drain()
    db.write({}, row(2, EXTRA="new"))
    following.drain()
    (change,) = changes(following.chunks)
    assert (change.reload, change.added) == (False, ("EXTRA",))
    found = events(following.chunks, TABLE)
    assert [(each["ID"], each.get("EXTRA")) for each in found] == [(1, None), (2, "new")]


def test_the_log_of_an_old_shape_stays_while_a_transaction_is_in_it(following: Following) -> None:
    db = following.database
    old = db.begin()
    db.fire(old, {}, row(1))
    db.columns = [*ORDERS, EXTRA]
    following.setup()
    db.write({}, row(2, EXTRA="new"))
    assert [change.added for change in changes(following.drain())] == [("EXTRA",)]
    assert len(db.changes) == 2
    db.commit(old)
    late = changes(following.drain())
    # Its row lacks what the column held: nothing is guessed.
    assert [change.reload for change in late] == [True]
    db.write({}, row(3, EXTRA="more"))
    following.drain()
    assert len(db.changes) == 1
    assert [(each["ID"], each.get("EXTRA")) for each in events(following.chunks, TABLE)] == [
        (2, "new"),
        (1, None),
        (3, "more"),
    ]


def test_rows_that_were_written_after_an_alteration_ask_for_a_load(following: Following) -> None:
    db = following.database
    db.columns = [*ORDERS, EXTRA]
    db.write({}, row(1, EXTRA="unseen"))
    following.drain()
    change = changes(following.chunks)[0]
    assert change.reload
    assert "before its trigger" in change.reason


@pytest.mark.parametrize("what", ["truncated", "dropped", "released"])
def test_changes_that_no_trigger_kept_ask_for_a_load(following: Following, what: str) -> None:
    db = following.database
    db.write({}, row(1))
    following.drain()
    if what == "truncated":
        db.segments = [(70_001, 70_009)]
    elif what == "dropped":
        db.triggers.clear()
        db.objects = {name: kind for name, kind in db.objects.items() if "_T" not in name}
    else:
        next(iter(db.triggers.values())).enabled = False
        with pytest.raises(SourceNotReady, match="was released"):
            following.drain()
        following.setup()
    following.drain()
    (change,) = changes(following.chunks)
    assert change.reload
    assert "changes were not kept" in change.reason
    db.write({}, row(2))
    assert told(following.drain()) == [("I", 2)]


def test_a_partition_that_comes_is_none_that_went(following: Following) -> None:
    db = following.database
    db.segments = [*db.segments, (70_002, 70_002)]
    following.drain()
    assert changes(following.chunks) == []
    db.segments = db.segments[:1]
    following.drain()
    assert [change.reload for change in changes(following.chunks)] == [True]


def test_a_table_that_was_dropped_is_told_once(following: Following) -> None:
    db = following.database
    db.write({}, row(1))
    following.drain()
    db.triggers.clear()
    db.dropped = True
    following.drain()
    following.drain()
    (change,) = changes(following.chunks)
    assert "dropped or renamed" in change.reason


def test_the_owner_of_a_table_may_release_it(following: Following) -> None:
    assert sql.grant_release(NAMES, "SALES") in following.server.ran
    assert f"OWNER = '{USER}'" in sql.release(NAMES, USER)


def test_a_new_shape_is_known_to_fences_and_told_before_anything_is_written_in_it(
    following: Following,
) -> None:
    following.database.columns = [*ORDERS, EXTRA]
    following.server.ran.clear()
    following.setup()
    ran = following.server.ran
    stands = next(
        place
        for place, text in enumerate(ran)
        if text.startswith('CREATE OR REPLACE TRIGGER "RA_erp_T') and "TRIAL" not in text
    )
    for statement in (
        trigger_log.add_shape(NAMES),
        trigger_log.add_mark(NAMES),
        trigger_log.retire_all(NAMES),
    ):
        assert ran.index(statement) < stands
    assert trigger_log.COMMIT in ran[ran.index(trigger_log.add_mark(NAMES)) : stands]
