"""What is missing is found before anything runs, each with the statement that mends it."""

from __future__ import annotations

import pytest

from replication_assets.errors import SourceNotReady
from replication_assets.sources.oracle import preflight
from replication_assets.sources.oracle.connection import server_error
from replication_assets.sources.oracle.source import OracleSource
from replication_assets.sources.oracle.statements import catalog, log, rows
from replication_assets_tests.sources.oracle.recorded import (
    DATABASE_ROW,
    KINDS,
    ORDERS,
    TABLE,
    Answer,
    RecordedServer,
    column,
    dictionary,
    ready,
)

REFUSED = SourceNotReady("ORA-00942: a table or view is not there, or not granted")


def missing(changed: dict[str, Answer] | None = None) -> tuple[str, ...]:
    source = OracleSource("erp", RecordedServer(ready(changed)))
    schema = OracleSource("erp", RecordedServer(dictionary())).reflect(TABLE)
    return source.missing([(TABLE, schema)])


def database(place: int, value: object) -> dict[str, Answer]:
    row = list(DATABASE_ROW)
    row[place] = value
    return {catalog.DATABASE: [row]}


def test_nothing_is_missing_where_everything_is_there() -> None:
    assert missing() == ()
    source = OracleSource("erp", RecordedServer(ready()))
    assert (source.setup([(TABLE, source.reflect(TABLE))])).start == 500_000
    assert source.setup([]).added == ()


@pytest.mark.parametrize(
    ("changed", "mended_by"),
    [
        (database(3, "NOARCHIVELOG"), "ALTER DATABASE ARCHIVELOG"),
        (database(4, "NO"), "ALTER DATABASE ADD SUPPLEMENTAL LOG DATA"),
        (database(8, "READ ONLY WITH APPLY"), "Connect to the primary database"),
        ({catalog.SUPPLEMENTAL_GROUPS: []}, 'ALTER TABLE "SALES"."ORDERS" ADD SUPPLEMENTAL LOG DATA (ALL)'),
        ({catalog.SUPPLEMENTAL_GROUPS: [("PRIMARY KEY LOGGING",)]}, "(ALL) COLUMNS"),
        ({catalog.PRIVILEGES: [("SELECT ANY TRANSACTION",)]}, 'GRANT LOGMINING TO "REPLICATOR"'),
        ({catalog.PRIVILEGES: [("LOGMINING",)]}, "GRANT SELECT ANY TRANSACTION TO"),
        ({catalog.PARAMETERS: [("undo_retention", "10")]}, "ALTER SYSTEM SET UNDO_RETENTION = 900"),
        ({catalog.PARAMETERS: REFUSED}, "GRANT SELECT ON SYS.V_$PARAMETER"),
        ({log.ARCHIVED_HOURS: [(3.5, 9000.0)]}, "ARCHIVELOG DELETION POLICY"),
        ({preflight.VIEW_PROBES[0]: REFUSED}, 'GRANT SELECT ON SYS.V_$LOG TO "REPLICATOR"'),
        ({preflight.VIEW_PROBES[-1]: REFUSED}, "GRANT SELECT ON SYS.GV_$TRANSACTION"),
        ({catalog.DATABASE: REFUSED}, "GRANT SELECT ON SYS.V_$DATABASE"),
        (
            {rows.flashback_probe("SALES", "ORDERS"): REFUSED},
            'GRANT READ, FLASHBACK ON "SALES"."ORDERS" TO "REPLICATOR"',
        ),
        ({catalog.RELATION: []}, "there is no table"),
        ({catalog.RELATION: [("TABLE", 3, "IOT", "N", "NO", None, "NO", "YES")]}, "index-organized"),
        ({catalog.RELATION: [("TABLE", 3, None, "Y", "NO", None, "NO", "YES")]}, "temporary"),
        ({catalog.RELATION: [(*KINDS["TABLE"][:7], "NO")]}, 'ALTER TABLE "SALES"."ORDERS" LOGGING'),
    ],
)
def test_each_thing_that_is_missing_is_told_with_what_mends_it(
    changed: dict[str, Answer], mended_by: str
) -> None:
    (problem,) = missing(changed)
    assert mended_by in problem


def test_packages_that_may_not_be_executed_are_told() -> None:
    told = missing({catalog.CAN_EXECUTE: [(0,)]})
    assert [part.partition("GRANT EXECUTE ON ")[2] for part in told] == [
        '"SYS"."DBMS_LOGMNR" TO "REPLICATOR"',
        '"SYS"."DBMS_LOCK" TO "REPLICATOR"',
    ]


def test_supplemental_logging_and_forced_logging_of_the_whole_database_serve_every_table() -> None:
    assert missing(database(6, "YES") | {catalog.SUPPLEMENTAL_GROUPS: []}) == ()
    unlogged: dict[str, Answer] = {catalog.RELATION: [(*KINDS["TABLE"][:7], "NO")]}
    assert missing(database(9, "YES") | unlogged) == ()


def test_logs_that_are_younger_than_the_database_are_enough() -> None:
    assert missing({log.ARCHIVED_HOURS: [(3.5, 4.0)]}) == ()
    assert missing({log.ARCHIVED_HOURS: [(None, None)]}) == ()


def test_a_container_whose_log_cannot_be_mined_in_it_asks_for_the_root() -> None:
    told = missing(database(7, "YES") | {"SELECT COUNT(*) FROM V$LOG": [(0,)]})
    assert len(told) == 1
    assert "log_service" in told[0]
    assert missing(database(7, "YES") | {"SELECT COUNT(*) FROM V$LOG": [(3,)]}) == ()


def test_a_view_of_logminer_that_waits_for_its_start_may_be_read() -> None:
    """ORA-01306 is no lack of a grant, ORA-00942 is."""
    probe = next(each for each in preflight.VIEW_PROBES if "LOGMNR" in each)
    assert missing({probe: server_error(1306, "erp")}) == ()
    (problem,) = missing({probe: server_error(942, "erp")})
    assert 'GRANT SELECT ON SYS.V_$LOGMNR_CONTENTS TO "REPLICATOR"' in problem


@pytest.mark.parametrize("data_type", ["LONG", "LONG RAW", "JSON", "VECTOR", "UROWID"])
def test_values_that_redo_does_not_carry_are_refused_before_capture_begins(data_type: str) -> None:
    source = OracleSource("erp", RecordedServer(ready(dictionary([*ORDERS, column("BODY", data_type)]))))
    schema = source.reflect(TABLE)
    (problem,) = source.missing([(TABLE, schema)])
    assert "BODY" in problem
    with pytest.raises(SourceNotReady, match="BODY"):
        source.setup([(TABLE, schema)])
