"""Columns change between the rows of one transaction: each row is told with the columns of its time, or the
table is refused until it is loaded again; nothing turns null or away in silence."""

from __future__ import annotations

from pathlib import Path

import pytest

from replication_assets.catalog import ByWidth, Table
from replication_assets.core.schema import TableId
from replication_assets_tests.e2e.system import SOURCE, System, system_of
from replication_assets_tests.postgres_servers import FreshDatabase

T = TableId(SOURCE, "public", "t")
DRIFT = {
    "added, filled and dropped": ("ALTER TABLE t ADD n int", "UPDATE t SET n = id", "ALTER TABLE t DROP old"),
    "renamed": ("ALTER TABLE t RENAME old TO new", "UPDATE t SET new = 'renamed' WHERE id % 3 = 0"),
    "swapped": (
        "ALTER TABLE t RENAME old TO x",
        "ALTER TABLE t RENAME other TO old",
        "ALTER TABLE t RENAME x TO other",
        "UPDATE t SET old = 'swapped' WHERE id % 3 = 0",
    ),
    "dropped and added again": ("ALTER TABLE t DROP old", "ALTER TABLE t ADD old text"),
}


@pytest.mark.parametrize(
    "drift", [each if each == "swapped" else pytest.param(each, marks=pytest.mark.full) for each in DRIFT]
)
def test_drift_between_the_rows_of_one_transaction_loses_nothing(
    database: FreshDatabase, tmp_path: Path, drift: str
) -> None:
    system = loaded(database, tmp_path)
    with system.sql() as session, session.transaction():
        session.execute("UPDATE t SET v = v + 1 WHERE id < 20")
        for statement in DRIFT[drift]:
            session.execute(statement.encode())
            session.execute("UPDATE t SET v = v + 1 WHERE id % 2 = 0")
        session.execute("DELETE FROM t WHERE id = 7")
    system.finish_loading()


def loaded(database: FreshDatabase, folder: Path) -> System:
    made = system_of(database, folder, [Table(str(T), id_ranges=ByWidth(50))])
    made.execute(
        "CREATE TABLE t (id int PRIMARY KEY, v int, old text, other text)",
        "INSERT INTO t SELECT i, 0, 'o' || i, 'p' || i FROM generate_series(1, 80) i",
    )
    made.prepare()
    made.load_all()
    made.project()
    return made
