"""pgbench as a load generator: its figures are read, its failures are errors."""

import pytest

from replication_assets.demo import pgbench
from replication_assets.errors import SourceError
from replication_assets_tests.demo.sample import rows
from replication_assets_tests.postgres_servers import FreshDatabase


def test_pgbench_fills_its_tables_and_reports_what_it_ran(any_postgres_database: FreshDatabase) -> None:
    binaries, dsn = any_postgres_database.server.binaries, any_postgres_database.dsn
    pgbench.initialise(binaries, dsn, scale=1)
    done = pgbench.run(binaries, dsn, clients=2, transactions=50)
    assert done.transactions == 100
    assert done.tps > 0
    assert rows(any_postgres_database, "SELECT count(*) FROM pgbench_history") == [(100,)]


def test_pgbench_without_its_tables_is_an_error(database: FreshDatabase) -> None:
    with pytest.raises(SourceError, match="pgbench_branches"):
        pgbench.run(database.server.binaries, database.dsn, transactions=1)


def test_a_report_that_pgbench_never_writes_is_refused() -> None:
    with pytest.raises(SourceError, match="no figures"):
        pgbench.parse("tps = 12.5 (without initial connection time)\n")
