"""What tables are made like is kept beside their events, whenever somebody looks at the source."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable

from replication_assets.catalog import Table
from replication_assets.core.schema import TableId
from replication_assets.core.structure import TableStructure, UniqueKey
from replication_assets.errors import LoadBlocked, SourceNotReady
from replication_assets.sources.postgres import structure
from replication_assets_tests.e2e.system import SOURCE, System, system_of
from replication_assets_tests.postgres_servers import FreshDatabase

T, V = TableId(SOURCE, "public", "t"), TableId(SOURCE, "public", "v")


@pytest.fixture
def system(database: FreshDatabase, tmp_path: Path) -> System:
    made = system_of(database, tmp_path, [Table("app.public.t"), Table("app.public.v")])
    made.execute(
        "CREATE TABLE t (id int PRIMARY KEY, a text DEFAULT 'x')", "CREATE VIEW v AS SELECT * FROM t"
    )
    made.prepare()
    return made


def recorded(system: System, table: TableId = T) -> TableStructure:
    found = system.store.structures(table).last()
    assert found is not None
    return found


def lines(tmp_path: Path) -> int:
    (log,) = tmp_path.rglob("_structures/app/public.t/_delta_log")
    return int(DeltaTable(str(log.parent)).to_pyarrow_table().num_rows)


def test_preparing_records_tables_and_views(system: System) -> None:
    assert recorded(system).primary_key == UniqueKey("t_pkey", ("id",))
    assert recorded(system, V).others == ("being a view",)


def test_what_did_not_change_is_recorded_once(system: System, tmp_path: Path) -> None:
    system.load_all()
    system.capture()
    system.prepare()
    assert lines(tmp_path) == 1


def test_a_load_records_what_no_event_tells(system: System) -> None:
    system.execute("CREATE INDEX i ON t (a)", "ALTER TABLE t ADD CONSTRAINT c CHECK (id > 0)")
    system.load(system.table("t"))
    assert ([each.name for each in recorded(system).indexes], len(recorded(system).checks)) == (["i"], 1)


def test_a_capture_records_when_it_starts(system: System) -> None:
    system.execute("ALTER TABLE t ALTER a SET NOT NULL")
    system.capture()
    assert not recorded(system).column("a").nullable


def test_a_running_capture_records_what_the_stream_tells(system: System) -> None:
    statements = iter(["ALTER TABLE t ADD b varchar(7)", "INSERT INTO t VALUES (1, 'a', 'b')"])
    remaining: list[Any] = [200]

    def stop() -> bool:
        for statement in statements:
            system.execute(statement)
        remaining[0] -= 1
        return "b" in recorded(system).names or remaining[0] == 0

    system.capture_until(stop)
    assert recorded(system).column("b").type == "character varying(7)"


def test_a_capture_goes_on_beside_a_table_that_is_being_altered(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(structure, "LOCK_TIMEOUT", "100ms")
    with system.sql(autocommit=False) as session:
        session.execute("INSERT INTO t VALUES (1, 'a')")
        session.commit()
        session.execute("ALTER TABLE t ADD b int")
        with pytest.raises(LoadBlocked):
            system.source.structure(T)
        assert system.capture().rows == 1
        session.rollback()
        session.execute("ALTER TABLE t ADD c int NOT NULL DEFAULT 1")
        session.commit()
    assert recorded(system).names == ("id", "a")
    system.load(system.table("t"))
    assert recorded(system).names == ("id", "a", "c")


def test_what_was_captured_of_a_table_stays_although_it_was_dropped_since(system: System) -> None:
    statements = iter(["ALTER TABLE t ADD b int", "INSERT INTO t VALUES (1, 'a', 2)", "DROP TABLE t CASCADE"])
    log = system.store.log(T)

    def stop() -> bool:
        for statement in statements:
            system.execute(statement)
        return any(cells.rows for cells in log.snapshot().counts())

    # Its end is the same as ever: the partitions of a table that is gone cannot be looked at.
    with pytest.raises(SourceNotReady, match="no table or view"):
        system.capture_until(stop)
    assert sum(cells.rows for cells in log.snapshot().counts()) == 1
    assert recorded(system).names == ("id", "a")
