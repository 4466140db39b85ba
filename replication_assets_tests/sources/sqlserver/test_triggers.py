"""Trigger capture: what is made and removed, exchanged with the schema, read and trimmed."""

from __future__ import annotations

import pickle
from typing import Any

import pyarrow as pa
import pytest

from replication_assets.core.trigger_log import ShapeChange
from replication_assets.errors import LoadBlocked, SlotLost, SourceNotReady
from replication_assets.flows.check import _finding
from replication_assets.ports import ChangeChunk, IntrusiveSource
from replication_assets.sources.sqlserver.books import shape_body
from replication_assets.sources.sqlserver.source import TriggerSource
from replication_assets.sources.sqlserver.statements import catalog, server
from replication_assets.sources.sqlserver.statements import triggers as statements
from replication_assets.sources.sqlserver.statements.cdc import holds_value
from replication_assets.sources.sqlserver.statements.triggers import EVENTS, ChangeLog
from replication_assets.sources.sqlserver.triggers.stream import ROUND_TRANSACTIONS
from replication_assets.sources.sqlserver.triggers.trimming import TRIMMED
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
    recorded_server,
    recorded_table,
)
from replication_assets_tests.sources.sqlserver.test_trigger_decoding import images

LOG = ChangeLog("erp")
ALL = tuple(EVENTS)
ROW = book_row(instance=None, began=40, began_lsn=None)
EXTRA = ("extra", "int", 4, 10, 0)


def standing(shape: int = 1, *, disabled: str = "", second: str = "") -> list[tuple[str, str, bool, bool]]:
    return [(LOG.trigger(shape, op), EVENTS[op], op == disabled, op != second) for op in ALL]


@pytest.fixture
def recorded() -> Recorded:
    return by_triggers()


def by_triggers() -> Recorded:
    """Captured since 40, acknowledged to 41; everything up to 49 has ended."""
    found = recorded_server()
    recorded_table(found, columns=(ID, V))
    with_books(found, [ROW], began=40, acknowledged=41)
    found.answers |= {
        statements.MIN_ACTIVE: [(50,)],
        statements.DURABILITY: [(0,)],
        statements.NESTED: [(1,)],
        statements.BOOT: [("2026-01-01",)],
        statements.owner(T): [("dbo",)],
        statements.standing_triggers(T): standing(),
        statements.lock_table(T): [(1,)],
        catalog.partition_scheme(T): [(1,)],
        catalog.structure_columns(T): [("id", *[None] * 13), ("v", *[None] * 13)],
        LOG.exist(): [(7, 8)],
        LOG.guards_stand(1): [(1, 2, 3)],
        LOG.waiting(41): [(3,)],
        LOG.space(): [(81920,)],
        LOG.window(41, 49, ROUND_TRANSACTIONS): [(2, 48)],
    }
    found.knows(statements.LOCK_TIMEOUT, BOOKS.begin(49))
    query = LOG.changes(1, TriggerSource("erp", found).reflect(T).columns, ("id",), after=41, upto=49)
    found.answers[query] = [
        images([(45, 43, "I", 1, "N", 0, 1, 10), (48, 47, "U", 2, "O", 1, 1, 10)]),
        images([(48, 47, "U", 2, "N", 0, 1, 11), (48, 48, "D", 1, "O", 0, 2, 20)]),
    ]
    return found


def known(recorded: Recorded) -> tuple[TriggerSource, list[Any]]:
    source = TriggerSource("erp", recorded)
    return source, [(T, source.reflect(T))]


def drained(recorded: Recorded, *, after: int = 41, upto: int = 49) -> list[ChangeChunk]:
    source, tables = known(recorded)
    with source.changes(tables, epoch=3, after=after, upto=upto, stop=lambda: False) as stream:
        return list(stream)


def rows_of(chunks: list[ChangeChunk]) -> list[Any]:
    return [row for chunk in chunks for each in chunk.batches for row in each.rows.to_pylist()]


def making(shape: int, source: TriggerSource, *, append_only: bool = False) -> list[str]:
    """What makes a shape of the table as it is, in its order."""
    schema = source.reflect(T)
    ops = ("I",) if append_only else ALL
    return [
        *LOG.create_shape(T, shape, schema.columns, ("id",), {}),
        *LOG.create_triggers(T, shape, schema.columns, ("id",), ops),
    ]


# --- the stream -----------------------------------------------------------------------------------


def test_every_change_is_told_with_what_was_before(recorded: Recorded) -> None:
    chunks = drained(recorded)
    names = ("_op", "id", "v", "_commit_position", "_sequence", "_before")
    assert [tuple(row[name] for name in names) for row in rows_of(chunks)] == [
        ("I", 1, 10, 45, 43, None),
        ("U", 1, 11, 48, 47, '{"v":"10"}'),
        ("D", 2, 20, 48, 48, None),
    ]
    assert [chunk.through for chunk in chunks][-1] == 49
    assert all(chunk.through is None for chunk in chunks[:-1])
    assert chunks[-1].committed_at is not None
    assert recorded.open == 0


def test_the_mark_is_asked_for_before_the_snapshot_begins(recorded: Recorded) -> None:
    drained(recorded)
    order = [each for each in recorded.sent if each in (statements.MIN_ACTIVE, server.BEGIN, server.COMMIT)]
    assert order[-3:] == [statements.MIN_ACTIVE, server.BEGIN, server.COMMIT]


def test_commits_that_are_not_on_disk_are_flushed_before_they_are_told(recorded: Recorded) -> None:
    recorded.answers[statements.DURABILITY] = [(1,)]
    recorded.knows(statements.FLUSH)
    drained(recorded)
    kept = [each for each in recorded.sent if each in (statements.MIN_ACTIVE, statements.FLUSH, server.BEGIN)]
    assert kept[-3:] == [statements.MIN_ACTIVE, statements.FLUSH, server.BEGIN]


def test_where_much_waits_a_round_ends_with_some_transaction(
    recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("replication_assets.sources.sqlserver.triggers.stream.ROUND_TRANSACTIONS", 1)
    columns = TriggerSource("erp", recorded).reflect(T).columns
    recorded.answers |= {
        LOG.window(41, 49, 1): [(1, 45)],
        LOG.window(45, 49, 1): [(1, 48)],
        LOG.window(48, 49, 1): [(0, None)],
        LOG.changes(1, columns, ("id",), after=41, upto=45): [images([(45, 43, "I", 1, "N", 0, 1, 10)])],
        LOG.changes(1, columns, ("id",), after=45, upto=48): [images([(48, 48, "D", 1, "O", 0, 1, 10)])],
    }
    chunks = drained(recorded)
    assert [chunk.through for chunk in chunks if chunk.through is not None] == [45, 48, 49]


@pytest.mark.parametrize(
    ("after", "problem"), [(7, "made, or trimmed, after"), (40, "made, or trimmed"), (99, "was restored")]
)
def test_a_place_that_the_log_does_not_hold_is_lost(recorded: Recorded, after: int, problem: str) -> None:
    with pytest.raises(SlotLost, match=problem):
        drained(recorded, after=after)


def test_a_log_that_is_gone_is_lost(recorded: Recorded) -> None:
    without_books(recorded)
    with pytest.raises(SlotLost, match="change log is gone"):
        drained(recorded)


def test_a_table_that_left_the_capture_is_refused(recorded: Recorded) -> None:
    with_books(recorded, [], began=40, acknowledged=41)
    with pytest.raises(SourceNotReady, match="no triggers keep the changes of orders"):
        drained(recorded)


def test_a_later_shape_is_told_between_its_changes_and_those_before(recorded: Recorded) -> None:
    source, tables = known(recorded)
    recorded_table(recorded, columns=(ID, V, EXTRA))
    wide = source.reflect(T)
    change = ShapeChange(False, "column extra was added, null in all rows", ("extra",))
    columns = tuple((column.name, column.source_type) for column in wide.columns)
    later = book_row(2, instance=None, began=46, began_lsn=None, columns=columns, change=change)
    with_books(recorded, [ROW, later], began=40, acknowledged=41)
    given = images([(48, 48, "I", 1, "N", 0, 3, 30)])
    recorded.answers |= {
        statements.standing_triggers(T): standing(2),
        LOG.guards_stand(2): [(1, 2, 3)],
        LOG.changes(2, wide.columns, ("id",), after=41, upto=49): [
            pa.RecordBatch.from_arrays(
                [*given.columns, pa.array([7], pa.int32())], [f"c{i}" for i in range(11)]
            )
        ],
    }
    with source.changes(tables, epoch=3, after=41, upto=49, stop=lambda: False) as stream:
        chunks = list(stream)
    kinds = ["change" if chunk.schema_changes else len(chunk.batches) for chunk in chunks]
    assert kinds[-2:] == ["change", 1]
    ((_, schema, told),) = next(chunk.schema_changes for chunk in chunks if chunk.schema_changes)
    assert (schema.names, told.reload, told.position.commit) == (("id", "v", "extra"), False, 46)
    assert rows_of(chunks)[-1]["extra"] == 7
    # Read to where the later one begins, nobody asks the earlier one any more.
    recorded.answers[LOG.window(46, 49, ROUND_TRANSACTIONS)] = [(1, 48)]
    recorded.answers[LOG.changes(2, wide.columns, ("id",), after=46, upto=49)] = [given.slice(0, 0)]
    with source.changes([(T, wide)], epoch=3, after=46, upto=49, stop=lambda: False) as stream:
        assert [chunk.through for chunk in stream] == [49]


def test_what_was_acknowledged_is_deleted_as_far_as_nothing_of_it_is_waited_for(recorded: Recorded) -> None:
    later = book_row(2, instance=None, began=44, began_lsn=None)
    with_books(recorded, [ROW, later], began=40, acknowledged=41)
    recorded.answers |= {
        statements.standing_triggers(T): standing(2),
        LOG.guards_stand(2): [(1, 2, 3)],
        LOG.first_kept(49): [(47,)],
        LOG.trim_images(2, 47, TRIMMED): [(3,)],
    }
    recorded.turns[LOG.trim_runs(47, TRIMMED)] = [[(TRIMMED,)], [(1,)]]
    gone = [LOG.drop_images(1), BOOKS.forget(1)]
    recorded.knows(BOOKS.acknowledge(49), *gone)
    source, tables = known(recorded)
    with source.changes(tables, epoch=3, after=41, upto=41, stop=lambda: False) as stream:
        stream.acknowledge(49)
    assert recorded.ran(*gone) == gone
    assert len(recorded.ran("DELETE TOP")) == 3


# --- setup ----------------------------------------------------------------------------------------


def test_setup_makes_the_log_and_the_triggers_in_one_transaction_with_the_table_locked(
    recorded: Recorded,
) -> None:
    without_books(recorded)
    recorded.answers[LOG.exist()] = [(None, None)]
    source, tables = known(recorded)
    half = book_row(instance=None, began=None, began_lsn=None, confirmed=False, made=False)
    done = book_row(instance=None, began=44, began_lsn=None, confirmed=False)
    recorded.turns |= {
        BOOKS.has_schema(): [[(None,)], [(5,)]],
        BOOKS.exist(): [[(None, None)], [(1, 2)]],
        BOOKS.read_captured(): [[], [], [], [half], [done]],
    }
    recorded.answers |= {BOOKS.read_state(): [("T", 49, 49, False)], LOG.mark(1): [(44,)]}
    made = making(1, source)
    recorded.knows(
        LOG.create_schema(),
        *LOG.create_runs(),
        LOG.create_marks(),
        BOOKS.create_captured(),
        BOOKS.create_state(),
        BOOKS.insert_state(made_database=False),
        BOOKS.insert_captured(T, NUMBER, shape_body(T, tables[0][1]), None, confirmed=False),
        BOOKS.note_began(1, 44, None),
        *made,
    )
    found = source.setup(tables)
    assert (found.added, found.start) == ((T,), 49)
    frame = [server.BEGIN, statements.lock_table(T), *made, LOG.mark(1), server.COMMIT]
    assert [each for each in recorded.sent if each in frame] == frame


def test_a_second_setup_makes_nothing(recorded: Recorded) -> None:
    source, tables = known(recorded)
    found = source.setup(tables)
    assert (found.added, found.start) == ((), 41)
    assert recorded.ran("CREATE", "DROP", "BEGIN") == []


@pytest.mark.parametrize("filled", [False, True])
def test_a_column_that_came_exchanges_the_triggers_and_asks_for_a_load_where_rows_have_it(
    recorded: Recorded, filled: bool
) -> None:
    source, tables = known(recorded)
    recorded_table(recorded, columns=(ID, V, EXTRA))
    wide = source.reflect(T)
    reason = "column extra was added with values" if filled else "column extra was added, null in all rows"
    change = ShapeChange(filled, reason, ("extra",))
    recorded.answers[holds_value("[dbo].[orders]", wide.column("extra"))] = [(1,)] if filled else []
    noted = BOOKS.insert_captured(T, NUMBER, shape_body(T, wide), change.body(), confirmed=True)
    exchange(recorded, source, noted)
    source.setup([(T, wide)])
    sent = recorded.sent
    dropped = LOG.drop_capture(T, 1)
    assert sent.index(statements.lock_table(T)) < sent.index(dropped[0]) < sent.index(LOG.mark(2))
    assert all(each in sent for each in (noted, *dropped))
    assert tables[0][1].names == ("id", "v")


def exchange(recorded: Recorded, source: TriggerSource, noted: str) -> None:
    """What the exchange of the triggers of shape 1 for those of shape 2 sends besides questions."""
    half = book_row(2, instance=None, began=None, began_lsn=None)
    recorded.turns[BOOKS.read_captured()] = [[ROW], [ROW], [ROW], [ROW, half]]
    recorded.answers[LOG.mark(2)] = [(51,)]
    recorded.knows(noted, *LOG.drop_capture(T, 1), *making(2, source), BOOKS.note_began(2, 51, None))


@pytest.mark.parametrize(
    ("statement", "answer"),
    [
        (statements.standing_triggers(T), standing()[1:]),
        (statements.standing_triggers(T), standing(disabled="U")),
        (statements.standing_triggers(T), standing(second="D")),
        (LOG.guards_stand(1), [(1, None, 3)]),
        (LOG.guards_stand(1), [(1, 2, None)]),
        (catalog.find_relation(T), [("U ", 9, 3, False, False, 0)]),
    ],
)
def test_triggers_that_were_gone_are_made_anew_and_a_load_is_asked_for(
    recorded: Recorded, statement: str, answer: list[Any]
) -> None:
    recorded.answers[statement] = answer
    source, tables = known(recorded)
    change = ShapeChange(True, "triggers or what guards the table were gone: changes were not kept")
    number = 9 if statement == catalog.find_relation(T) else NUMBER
    noted = BOOKS.insert_captured(T, number, shape_body(T, tables[0][1]), change.body(), confirmed=True)
    exchange(recorded, source, noted)
    source.setup(tables)
    assert noted in recorded.sent


def test_a_table_that_is_busy_is_looked_at_again_later_and_capture_goes_on(recorded: Recorded) -> None:
    recorded.answers[statements.standing_triggers(T)] = []
    recorded.answers[statements.lock_table(T)] = LoadBlocked("the table is locked", where="recorded", fix="x")
    assert len(rows_of(drained(recorded))) == 3
    assert recorded.open == 0


def test_an_append_only_table_has_a_trigger_for_inserts_only(recorded: Recorded) -> None:
    recorded.answers[statements.standing_triggers(T)] = standing()[:1]
    source = TriggerSource("erp", recorded)
    source.setup([(T, source.reflect(T, append_only=True))])
    assert recorded.ran("CREATE") == []
    made = making(1, source, append_only=True)
    assert [each for each in made if each.startswith("CREATE TRIGGER")] == [
        each for each in made if " AFTER INSERT AS " in each
    ]


def test_teardown_drops_triggers_before_the_log_and_nothing_else(recorded: Recorded) -> None:
    source, _ = known(recorded)
    assert source.remains() == ("triggers ra_erp_1_* on dbo.orders", "schema ra_erp")
    recorded.knows(*LOG.drop_capture(T, 1), LOG.drop_images(1), BOOKS.forget(1), *LOG.drop())
    source.teardown()
    dropped = recorded.ran("DROP")
    assert dropped == [*LOG.drop_capture(T, 1), LOG.drop_images(1), *LOG.drop()]
    assert [each for each in dropped if "TRIGGER" in each] == dropped[:3]
    assert all("ra_erp" in each for each in dropped)
    without_books(recorded)
    assert source.remains() == ()
    # Of a setup that was killed before it had noted anything.
    recorded.answers[BOOKS.has_schema()] = [(5,)]
    assert source.remains() == ("schema ra_erp",)


def test_a_table_that_left_the_catalog_loses_its_triggers(recorded: Recorded) -> None:
    recorded.knows(*LOG.drop_capture(T, 1), LOG.drop_images(1), BOOKS.forget(1))
    recorded.turns[BOOKS.read_captured()] = [[ROW], []]
    source = TriggerSource("erp", recorded)
    assert source.setup([]).added == ()
    assert recorded.ran("DROP") == [*LOG.drop_capture(T, 1), LOG.drop_images(1)]


# --- what is told ---------------------------------------------------------------------------------


def test_what_triggers_need_is_told_with_what_mends_it(recorded: Recorded) -> None:
    recorded_table(recorded, columns=(ID, ("old", "ntext", 16, 0, 0), ("wide", "char", 8000, 0, 0)), key=())
    recorded.answers |= {
        statements.NESTED: [(0,)],
        statements.BOOT: [(None,)],
        statements.owner(T): [("sales",)],
        catalog.partition_scheme(T): [(4,)],
        statements.standing_triggers(T): [("audit", "UPDATE", False, True), ("last", "INSERT", False, False)],
    }
    source, tables = known(recorded)
    told = "\n".join(source.missing(tables))
    for fix in (
        "EXEC sp_configure N'nested triggers', 1",
        "Azure SQL Database",
        "ALTER TABLE [dbo].[orders] ADD PRIMARY KEY",
        "triggers cannot see ['old']",
        "does not fit into the log",
        "ALTER AUTHORIZATION ON OBJECT::[dbo].[orders] TO [dbo]",
        "is partitioned",
        "EXEC sp_settriggerorder @triggername = N'[dbo].[audit]', @order = N'None', @stmttype = N'UPDATE'",
    ):
        assert fix in told
    assert "last" not in told


def test_a_key_that_is_not_the_primary_key_is_refused(recorded: Recorded) -> None:
    source = TriggerSource("erp", recorded)
    (problem,) = source.missing([(T, source.reflect(T, key=("v",)))])
    assert "['v'] is not its primary key ['id']" in problem
    assert source.missing([(T, source.reflect(T))]) == ()


def test_what_applications_must_know_of_is_told(recorded: Recorded) -> None:
    source, tables = known(recorded)
    assert isinstance(source, IntrusiveSource)
    found = [_finding("erp", text) for text in source.consequences(tables)]
    assert all(each.fix for each in found)
    told = "\n".join(each.what for each in found)
    for word in ("OUTPUT", "TRUNCATE TABLE", "[dbo].[orders]", "BULK INSERT", "error 334"):
        assert word in told
    assert source.consequences([]) == ()


def test_triggers_fire_first_and_depend_on_no_setting_of_the_writer(recorded: Recorded) -> None:
    source, tables = known(recorded)
    made = making(1, source)
    triggers = [each for each in made if each.startswith("CREATE TRIGGER")]
    assert len(triggers) == 3
    for each in triggers:
        assert " AS BEGIN SET NOCOUNT ON; SET ROWCOUNT 0; " in each
        assert "NOT FOR REPLICATION" not in each
    assert [each for each in made if "N'First'" in each][1].endswith("@stmttype = N'UPDATE'")
    # An identity column of ours would become the @@IDENTITY of who inserts.
    assert "IDENTITY" not in " ".join((*made, *LOG.create_runs(), LOG.create_marks()))
    assert tables[0][1].key == ("id",)


def test_a_load_stands_right_behind_what_has_ended_before_it_began(recorded: Recorded) -> None:
    source = TriggerSource("erp", recorded)
    session = recorded.connect()
    assert source.hand_off.before(session) == 50


def test_status_tells_how_far_everything_has_ended_and_what_waits(recorded: Recorded) -> None:
    source, _ = known(recorded)
    status = source.status()
    assert (status.state, status.head, status.confirmed, status.active) == ("reserved", 49, 41, False)
    assert (status.lag_bytes, status.retained_bytes) == (3 * 128, 81920)
    recorded.answers[statements.MIN_ACTIVE] = [(12,)]
    assert source.status().state == "lost"
    without_books(recorded)
    assert source.status().state == "missing"


def test_our_triggers_are_not_of_the_table(recorded: Recorded) -> None:
    recorded.answers |= {
        catalog.structure_columns(T): [
            ("id", "int", 4, 10, 0, False, False, None, None, None, False, False, False, False)
        ],
        catalog.indexes(T): [],
        catalog.foreign_keys(T): [],
        catalog.checks(T): [],
        catalog.others(T): [("trigger audit",), ("trigger ra_erp_1_i",)],
    }
    source = TriggerSource("erp", recorded)
    assert source.structure(T).others == ("trigger audit",)
    assert pickle.loads(pickle.dumps(TriggerSource("erp", source.sessions))).name == "erp"
