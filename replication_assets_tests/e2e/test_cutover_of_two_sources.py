"""One projection of two databases is cut over as one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from replication_assets.catalog import Cutover, DeltaProjection, Table, WebhookHook
from replication_assets.core.cutover import Report
from replication_assets.demo.postgres_server import PostgresServer
from replication_assets.errors import CutoverError
from replication_assets.flows.capture import capture
from replication_assets.flows.cutover.retire import retire
from replication_assets.flows.cutover.steps import run
from replication_assets.flows.load import load_range
from replication_assets.flows.prepare import prepare
from replication_assets.replication import Replication
from replication_assets_tests.e2e.cutovers import handover
from replication_assets_tests.e2e.system import System, system_of
from replication_assets_tests.hooks.receiver import listening
from replication_assets_tests.postgres_servers import FreshDatabase, fresh_database

NAME = "both_to_lake"


@pytest.fixture
def databases(postgres_18: PostgresServer) -> Iterator[tuple[FreshDatabase, FreshDatabase]]:
    with fresh_database(postgres_18) as first, fresh_database(postgres_18) as second:
        yield first, second


def both(databases: tuple[FreshDatabase, FreshDatabase], folder: Path, url: str) -> tuple[System, System]:
    """The system, seen from either database, loaded and captured."""
    parts = [system_of(database, folder, [Table("app.public.t")]) for database in databases]
    first, second = (part.catalog.sources[0] for part in parts)
    catalog = replace(
        parts[0].catalog,
        sources=(first, replace(second, name="other")),
        tables=(Table("app.public.t"), Table("other.public.t")),
        projections=(DeltaProjection("lake", tables=("app.*", "other.*"), root=str(folder / "lake")),),
        cutovers=(
            Cutover(NAME, projection="lake", switch=WebhookHook(url), quiet_seconds=0.1, watch_seconds=0.1),
        ),
    ).validate()
    systems = System(catalog, databases[0].dsn), System(catalog, databases[1].dsn)
    replication = Replication(catalog)
    for name, system in zip(("app", "other"), systems, strict=True):
        system.execute("CREATE TABLE t (id int PRIMARY KEY)", "INSERT INTO t SELECT generate_series(1, 50)")
        source, store = replication.source(name), replication.store()
        tables = prepare(source, store, catalog.tables_of(name))
        for table in tables:
            load_range(source, store, table, table.loads(None)[0])
        capture(source, store, tables, upto=source.status().head)
    return systems


def test_writers_of_either_source_hold_it_up_and_both_are_retired(
    databases: tuple[FreshDatabase, FreshDatabase], tmp_path: Path
) -> None:
    with listening() as readers:
        first, second = both(databases, tmp_path, readers.url)
        with second.sql(autocommit=False) as writing:
            writing.execute("DELETE FROM t WHERE id = 1")
            reports: list[Report] = []
            with pytest.raises(CutoverError, match="writes stopped"):
                run(handover(first, NAME), tell_report=reports.append)
            assert [window.source for window in reports[0].windows] == ["app", "other"]
            writing.commit()
        first.execute("DELETE FROM t WHERE id < 5")
        reports.clear()
        assert run(handover(first, NAME), tell_report=reports.append).verdict == "GO"
        assert [count.rows for count in reports[0].tables] == [46, 49]
        (told,) = readers.received
        assert told["positions"].keys() == {"app", "other"}
        removed = retire(handover(first, NAME), confirm=NAME).removed
    assert {line.split(":")[0] for line in removed} == {"app", "other"}
    for name in ("app", "other"):
        assert first.replication.source(name).remains() == ()
