"""Values of every type, ordinary and odd, come back from the event store as they were loaded into it."""

from __future__ import annotations

from contextlib import closing
from itertools import zip_longest
from pathlib import Path

from replication_assets import Table
from replication_assets.core.events import OVERFLOW
from replication_assets.flows.check import check
from replication_assets_tests.sources.mysql.binlog.system import mysql_system
from replication_assets_tests.sources.mysql.conftest import Database
from replication_assets_tests.sources.mysql.reading import loaded
from replication_assets_tests.sources.mysql.test_types import CASES


def test_every_value_of_every_type_is_in_the_store_as_it_was_loaded(
    database: Database, tmp_path: Path
) -> None:
    columns = ", ".join(f"c{place} {declared}" for place, (declared, _, _) in enumerate(CASES))
    examples = zip_longest(*([sql for sql, _ in values] for _, _, values in CASES), fillvalue="NULL")
    with closing(database.session()) as session, session.cursor() as cursor:
        cursor.execute("SET sql_mode = 'ALLOW_INVALID_DATES,NO_BACKSLASH_ESCAPES', time_zone = '+00:00'")
        cursor.execute(f"CREATE TABLE t (id INT PRIMARY KEY, {columns}) ROW_FORMAT = DYNAMIC")
        cursor.execute("INSERT INTO t (id) VALUES (0)")
        for number, row in enumerate(examples, 1):
            cursor.execute(f"INSERT INTO t VALUES ({number}, {', '.join(row)})")
    system = mysql_system(database, tmp_path, [Table(f"app.{database.name}.t")])
    system.prepare()
    system.load_all()
    expected = loaded(database.source(), database.table("t")).sort_by("id")
    snapshot = system.store.log(system.id("t")).snapshot()
    (key,) = snapshot.range_keys()
    stored = snapshot.events(key).to_table(columns=[*expected.column_names[:-1], OVERFLOW]).sort_by("id")
    assert stored.num_rows == expected.num_rows
    for name in expected.column_names:
        column = stored.column(name).cast(expected.column(name).type)
        assert column.combine_chunks().equals(expected.column(name).combine_chunks()), name


def test_a_check_names_what_a_source_lacks_and_is_content_with_one_that_is_set_up(
    database: Database, tmp_path: Path
) -> None:
    database.run(
        "CREATE TABLE par (id INT PRIMARY KEY)",
        "CREATE TABLE t (id INT PRIMARY KEY, n INT, g INT AS (n + 1),"
        " CONSTRAINT fk FOREIGN KEY (n) REFERENCES par (id) ON DELETE CASCADE)",
    )
    system = mysql_system(database, tmp_path, [Table(f"app.{database.name}.t")])
    found = {finding.what for examined in check(system.replication) for finding in examined.findings}
    assert any("ON DELETE CASCADE of foreign key fk" in what for what in found)
    assert "column g is generated, and so not replicated" in found
    database.run("ALTER TABLE t DROP FOREIGN KEY fk", "ALTER TABLE t DROP COLUMN g")
    system.prepare()
    assert sum(examined.problems for examined in check(system.replication)) == 0
