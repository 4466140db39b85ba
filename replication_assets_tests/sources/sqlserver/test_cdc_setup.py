"""Change data capture is switched on, followed and removed: only what is ours, whoever died between."""

from __future__ import annotations

import pytest

from replication_assets.core.trigger_log import ShapeChange
from replication_assets.errors import SourceError, SourceNotReady
from replication_assets.sources.sqlserver.books import shape_body
from replication_assets.sources.sqlserver.preflight import LEAST_RETENTION_MINUTES
from replication_assets.sources.sqlserver.source import CdcSource
from replication_assets.sources.sqlserver.statements import cdc, server
from replication_assets.sources.sqlserver.statements.names import hexadecimal
from replication_assets_tests.sources.sqlserver.captured import (
    BOOKS,
    NUMBER,
    at,
    book_row,
    harvested,
    lsn,
    standing,
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

INSTANCE = "ra_erp_1"


@pytest.fixture
def recorded() -> Recorded:
    """Change data capture is on, its job runs, nothing of ours is there."""
    found = recorded_server(by_cdc=True)
    recorded_table(found, columns=(ID, V))
    without_books(found)
    standing(found)
    harvested(found, lsn(10))
    found.answers |= {cdc.retention_minutes(): [(4320,)], cdc.AGENT: [("Running",)]}
    found.knows(BOOKS.create_schema(), BOOKS.create_captured(), BOOKS.create_state())
    return found


def made_from_nothing(recorded: Recorded, *, made_database: bool = False) -> None:
    """What the books say, one look after the other, while they are made."""
    half = book_row(instance=None, began=None, began_lsn=None, confirmed=False, made=False)
    done = book_row(began=at(11), began_lsn=lsn(11), confirmed=False)
    recorded.turns |= {
        BOOKS.exist(): [[(None, None)], [(None, None)], [(1, 2)]],
        BOOKS.read_captured(): [[], [], [], [half], [done]],
        cdc.INSTANCES: [[], [], [(INSTANCE, NUMBER, lsn(11), 9)]],
    }
    recorded.answers[BOOKS.read_state()] = [("T", at(11) - 1, at(11) - 1, made_database)]
    body = shape_body(T, CdcSource("erp", recorded).reflect(T))
    recorded.knows(
        BOOKS.insert_state(made_database=made_database),
        BOOKS.insert_captured(T, NUMBER, body, None, confirmed=False),
        BOOKS.name_instance(1, INSTANCE),
        cdc.enable_table(T, INSTANCE),
        BOOKS.note_began(1, at(11), hexadecimal(lsn(11))),
        BOOKS.begin(at(11) - 1),
    )


def test_a_table_gets_an_instance_of_ours_that_is_in_the_books_before_it_exists(recorded: Recorded) -> None:
    source = CdcSource("erp", recorded)
    tables = [(T, source.reflect(T))]
    made_from_nothing(recorded)
    found = source.setup(tables)
    assert (found.added, found.start) == ((T,), at(11) - 1)
    order = [BOOKS.name_instance(1, INSTANCE), cdc.enable_table(T, INSTANCE)]
    assert [each for each in recorded.sent if each in order] == order
    assert cdc.ENABLE_DATABASE not in recorded.sent
    assert "@role_name = NULL" in order[1]
    assert "@allow_partition_switch = 0" in order[1]


def test_capture_of_the_database_is_switched_on_and_noted_as_ours(recorded: Recorded) -> None:
    recorded.answers[server.SETTINGS] = [(16, 3, "shop", False, 1, False, 160, 0)]
    recorded.answers[server.PERMISSIONS] = [(1, 1, 1, "dbo")]
    recorded.knows(cdc.ENABLE_DATABASE)
    source = CdcSource("erp", recorded)
    tables = [(T, source.reflect(T))]
    made_from_nothing(recorded, made_database=True)
    # Before it is on there is no schema cdc to look into.
    recorded.turns[cdc.INSTANCES] = [[], [(INSTANCE, NUMBER, lsn(11), 9)]]
    recorded.turns[BOOKS.read_captured()] = [
        [],
        [],
        [],
        [book_row(instance=None, began=None, began_lsn=None, confirmed=False, made=False)],
        [book_row(began=at(11), began_lsn=lsn(11), confirmed=False)],
    ]
    recorded.turns[cdc.INSTANCES] = [[], [], [(INSTANCE, NUMBER, lsn(11), 9)]]
    source.setup(tables)
    assert recorded.sent.index(BOOKS.insert_state(made_database=True)) < recorded.sent.index(
        cdc.ENABLE_DATABASE
    )


def test_a_second_setup_makes_nothing_and_tells_what_is_not_confirmed(recorded: Recorded) -> None:
    with_books(recorded, [book_row(confirmed=False)])
    standing(recorded, (INSTANCE, lsn(8)))
    recorded.knows(BOOKS.begin(at(10) - 1))
    source = CdcSource("erp", recorded)
    tables = [(T, source.reflect(T))]
    assert source.setup(tables).added == (T,)
    source.confirm_setup()
    with_books(recorded, [book_row()])
    assert source.setup(tables).added == ()
    assert recorded.ran("EXEC sys.sp_cdc_enable") == []


def test_what_a_dead_setup_left_is_finished(recorded: Recorded) -> None:
    """It had made the instance, and did not get to note where it begins."""
    half = book_row(began=None, began_lsn=None, confirmed=False)
    with_books(recorded, [])
    recorded.turns[BOOKS.read_captured()] = [[half], [half], [book_row(confirmed=False)]]
    standing(recorded, (INSTANCE, lsn(8)))
    recorded.knows(BOOKS.note_began(1, at(8), hexadecimal(lsn(8))), BOOKS.begin(at(10) - 1))
    source = CdcSource("erp", recorded)
    assert source.setup([(T, source.reflect(T))]).added == (T,)
    assert BOOKS.note_began(1, at(8), hexadecimal(lsn(8))) in recorded.sent
    assert recorded.ran("EXEC sys.sp_cdc_enable") == []


def test_a_column_that_came_gets_a_second_instance_and_the_first_stays(recorded: Recorded) -> None:
    extra = ("extra", "nvarchar", 100, 0, 0)
    recorded_table(recorded, columns=(ID, V, extra))
    source = CdcSource("erp", recorded)
    schema = source.reflect(T)
    with_books(recorded, [book_row()])
    new = book_row(2, instance=None, began=None, began_lsn=None, made=False)
    done = book_row(2, instance="ra_erp_2", began=at(12), began_lsn=lsn(12))
    recorded.turns[BOOKS.read_captured()] = [*[[book_row()]] * 5, [book_row(), new], [book_row(), done]]
    recorded.turns[cdc.INSTANCES] = [
        *[[(INSTANCE, NUMBER, lsn(8), 9)]] * 4,
        [(INSTANCE, NUMBER, lsn(8), 9), ("ra_erp_2", NUMBER, lsn(12), 10)],
    ]
    recorded.answers[cdc.holds_value("[dbo].[orders]", schema.column("extra"))] = []
    change = ShapeChange(False, "column extra was added, null in all rows", ("extra",)).body()
    recorded.knows(
        BOOKS.insert_captured(T, NUMBER, shape_body(T, schema), change, confirmed=True),
        BOOKS.name_instance(2, "ra_erp_2"),
        cdc.enable_table(T, "ra_erp_2"),
        BOOKS.note_began(2, at(12), hexadecimal(lsn(12))),
        BOOKS.begin(at(12) - 1),
    )
    assert source.setup([(T, schema)]).added == ()
    assert recorded.ran("EXEC sys.sp_cdc_disable") == []


def test_a_column_with_values_asks_for_a_load(recorded: Recorded) -> None:
    extra = ("extra", "int", 4, 10, 0)
    source = CdcSource("erp", recorded)
    known = source.reflect(T)
    recorded_table(recorded, columns=(ID, V, extra))
    now = source.reflect(T)
    recorded.answers[cdc.holds_value("[dbo].[orders]", now.column("extra"))] = [(1,)]
    found = source.difference(T, known, now)
    assert found is not None
    assert (found.reload, found.added) == (True, ("extra",))
    assert source.difference(T, now, now) is None


def test_anothers_instance_in_the_way_of_following_is_named(recorded: Recorded) -> None:
    recorded_table(recorded, columns=(ID, V, ("extra", "int", 4, 10, 0)))
    source = CdcSource("erp", recorded)
    schema = source.reflect(T)
    with_books(recorded, [book_row()])
    recorded.answers[cdc.holds_value("[dbo].[orders]", schema.column("extra"))] = []
    standing(recorded, (INSTANCE, lsn(8)), ("dbo_orders", lsn(1)))
    with pytest.raises(SourceNotReady, match="instance dbo_orders takes the place"):
        source.setup([(T, schema)])


def test_teardown_removes_what_is_ours_alone(recorded: Recorded) -> None:
    with_books(recorded, [book_row()], made_database=True)
    standing(recorded, (INSTANCE, lsn(8)), ("dbo_orders", lsn(1)))
    recorded.knows(cdc.disable_table("dbo", "orders", INSTANCE), BOOKS.forget(1))
    source = CdcSource("erp", recorded)
    assert source.remains() == (
        "capture instance ra_erp_1 of dbo.orders",
        "change data capture of the database, which this capture switched on",
        "schema ra_erp",
    )
    source.teardown()
    assert recorded.ran("EXEC sys.sp_cdc_disable_table") == [cdc.disable_table("dbo", "orders", INSTANCE)]
    # Somebody else's instance is still there.
    assert cdc.DISABLE_DATABASE not in recorded.sent
    assert recorded.sent[-3:] == list(BOOKS.drop())
    without_books(recorded)
    source.teardown()
    assert source.remains() == ()


def test_capture_of_the_database_goes_off_with_the_last_instance_if_it_was_us(recorded: Recorded) -> None:
    with_books(recorded, [book_row()], made_database=True)
    recorded.turns[cdc.INSTANCES] = [[(INSTANCE, NUMBER, lsn(8), 9)], []]
    recorded.knows(cdc.disable_table("dbo", "orders", INSTANCE), BOOKS.forget(1), cdc.DISABLE_DATABASE)
    CdcSource("erp", recorded).teardown()
    assert cdc.DISABLE_DATABASE in recorded.sent


def test_everything_that_is_missing_is_told_at_once_with_what_mends_it(recorded: Recorded) -> None:
    recorded_table(recorded, columns=(ID, ("doc", "nvarchar", -1, 0, 0)), key=())
    recorded.answers |= {
        server.SETTINGS: [(12, 4, "shop", True, 0, True, 120, 0)],
        server.PERMISSIONS: [(0, 0, 0, "reader")],
        cdc.retention_minutes(): [(LEAST_RETENTION_MINUTES - 1,)],
        cdc.AGENT: [("Stopped",)],
    }
    standing(recorded, ("one", lsn(1)), ("two", lsn(1)))
    source = CdcSource("erp", recorded)
    told = "\n".join(source.missing([(T, source.reflect(T))]))
    for fix in (
        "Use SQL Server 2017",
        "ALTER DATABASE [shop] SET READ_WRITE",
        "ALTER DATABASE [shop] SET ALLOW_SNAPSHOT_ISOLATION ON",
        "ALTER ROLE [db_owner] ADD MEMBER [reader]",
        "GRANT VIEW DATABASE STATE TO [reader]",
        "Use capture='change_tracking'",
        "@retention = 4320",
        "sp_start_job",
        "Give it that primary key",
        "'max text repl size', -1",
        "has two capture instances already",
    ):
        assert fix in told, fix


def test_a_sysadmin_is_needed_once(recorded: Recorded) -> None:
    recorded.answers[server.SETTINGS] = [(16, 3, "shop", False, 1, False, 160, 0)]
    source = CdcSource("erp", recorded)
    (problem,) = source.missing([(T, source.reflect(T))])
    assert "only a sysadmin may switch it on. Run: USE [shop]; EXEC sys.sp_cdc_enable_db" in problem


def test_what_the_account_may_not_see_is_told_or_noticed_otherwise(recorded: Recorded) -> None:
    recorded.answers |= {
        cdc.retention_minutes(): SourceError("denied"),
        cdc.AGENT: SourceError("denied"),
    }
    source = CdcSource("erp", recorded)
    (problem,) = source.missing([(T, source.reflect(T))])
    assert "GRANT SELECT ON [dbo].[cdc_jobs]" in problem
