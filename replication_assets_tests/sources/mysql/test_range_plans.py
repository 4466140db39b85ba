"""What a load of a range would read is told before it, with the index that mends it: and it does."""

from __future__ import annotations

import re
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest

from replication_assets.core.id_ranges import IdRange
from replication_assets.core.range_plans import RangePlan
from replication_assets.sources.mysql import MySqlConnection
from replication_assets.sources.mysql.explained import (
    compared,
    planned_tables,
    read_references,
)
from replication_assets_tests.sources.mysql.conftest import Database

RANGE = IdRange("r000001", 1, 5_000, 5_100)
FILLED = (
    "CREATE TABLE `e` (id BIGINT, version INT, kind VARCHAR(40), doc TEXT, other INT)",
    "INSERT INTO e SELECT seq, seq, 'made', 'doc', 0 FROM seq_1_to_12000",
    "CREATE TABLE notes (pk INT PRIMARY KEY, number BIGINT, note VARCHAR(9), KEY both_ (note, number))",
    "INSERT INTO notes SELECT seq, seq, 'x' FROM seq_1_to_12000",
    "ANALYZE TABLE e, notes",
)


def plan_of(
    database: Database, name: str, column: str = "id", id_range: IdRange = RANGE, **account: Any
) -> RangePlan:
    source, table = replace(database.source(), **account), database.table(name)
    return source.range_plan(table, source.reflect(table, key=[column]), column, id_range)


def test_a_view_without_an_index_beneath_is_told_the_covering_one_and_it_serves(database: Database) -> None:
    database.run(
        *FILLED,
        "CREATE VIEW inner_ AS SELECT x.id, x.version, x.kind FROM e AS x WHERE x.other = 0",
        "CREATE VIEW v AS SELECT id AS event_id, CONCAT('evt#', version) AS sk, kind FROM inner_",
        "CREATE VIEW long_ AS SELECT id, doc FROM e",
    )
    e = f"`{database.name}`.`e`"
    plain = f"CREATE INDEX `ix_id` ON {e} (`id`)"
    covering = f"CREATE INDEX `ix_id` ON {e} (`id`, `version`, `kind`, `other`)"
    assert plan_of(database, "e").index == plain
    plan = plan_of(database, "v", "event_id")
    assert (plan.scanned, plan.index, plan.reason) == ((e,), covering, "")
    assert plan.told[0].startswith("ALL on x, about ")
    long = plan_of(database, "long_")
    assert long.index == plain
    assert long.reason == f"`doc` of {e} may be longer than an index holds: not included"
    for id_range in (IdRange("r000000", 0, None, 10), IdRange("r000009", 9, 11_900, None)):
        assert plan_of(database, "v", "event_id", id_range).index == covering
    assert plan.index is not None
    database.run(plan.index)
    for name, column in (("e", "id"), ("v", "event_id"), ("long_", "id")):
        assert plan_of(database, name, column).scanned == ()
    assert plan_of(database, "v", "event_id").told[0].startswith("range on x by ix_id")
    most = plan_of(database, "long_", id_range=IdRange("r000001", 1, 2, 11_900))
    assert most.scanned == ()
    assert most.reason.startswith("an index serves the range")


def test_where_no_index_can_help_the_reason_is_told(database: Database) -> None:
    database.run(
        *FILLED,
        "CREATE VIEW added AS SELECT id + 1 AS id FROM e",
        "CREATE VIEW greatest_ AS SELECT MAX(id) AS id, version FROM e GROUP BY version",
        "CREATE VIEW numbered AS SELECT ROW_NUMBER() OVER (ORDER BY kind) AS id FROM e",
        "CREATE VIEW joined AS SELECT e.id, n.note FROM e JOIN notes n ON n.number = e.version",
        "CREATE TABLE small (id INT)",
        "INSERT INTO small SELECT seq FROM seq_1_to_100",
    )
    e, notes = f"`{database.name}`.`e`", f"`{database.name}`.`notes`"
    reasons = {
        "added": f"id is compared as an expression over {e}, which no index of a column serves",
        "greatest_": f"all rows of {e} are read before any can be chosen by id",
        "numbered": f"all rows of {e} are read before any can be chosen by id",
    }
    for name, reason in reasons.items():
        plan = plan_of(database, name)
        assert (plan.scanned, plan.index) == ((e,), None), name
        assert plan.reason.startswith(reason), name
    text = plan_of(database, "e", "kind", IdRange("r000001", 1, "a", "b"))
    assert (text.scanned, text.index) == ((e,), None)
    assert "compared by its bytes" in text.reason
    joined = plan_of(database, "joined")
    assert set(joined.scanned) == {e, notes}
    assert joined.index == f"CREATE INDEX `ix_id` ON {e} (`id`, `version`)"
    assert joined.reason.startswith(f"{notes} is joined whole")
    small = plan_of(database, "small")
    assert small == RangePlan((), None, "", small.told)
    assert re.fullmatch(r"ALL on small, about (99|10\d) rows", *small.told), "an estimate of the engine"


def test_each_arm_of_a_union_is_told_its_index(database: Database) -> None:
    database.run(*FILLED, "CREATE VIEW v AS SELECT id, version FROM e UNION ALL SELECT number, pk FROM notes")
    assert plan_of(database, "v").index == (
        f"CREATE INDEX `ix_id` ON `{database.name}`.`e` (`id`, `version`); "
        f"CREATE INDEX `ix_number` ON `{database.name}`.`notes` (`number`)"
    )


def test_hostile_names_are_quoted_in_the_advice_and_the_advice_works(database: Database) -> None:
    database.run(
        "CREATE TABLE `t`` (x'` (`i >= 5000` BIGINT, `other one` INT)",
        "INSERT INTO `t`` (x'` SELECT seq, seq FROM seq_1_to_12000",
        "CREATE VIEW v AS SELECT `i >= 5000` AS id, `other one` AS n, 'a `b`.`c` it''s' AS c FROM `t`` (x'`",
        "ANALYZE TABLE `t`` (x'`",
    )
    plan = plan_of(database, "v")
    assert "it's" not in repr(plan)
    assert plan.index is not None
    assert plan.index.endswith("(`i >= 5000`, `other one`)")
    database.run(plan.index)
    assert plan_of(database, "v").scanned == ()


def test_an_account_that_may_not_see_plans_is_told_the_grant(database: Database) -> None:
    user = f"r{database.name[-12:]}"
    database.run(
        *FILLED[:2],
        "CREATE VIEW v AS SELECT id FROM e",
        f"CREATE USER '{user}'@'%'",
        f"GRANT SELECT ON `{database.name}`.v TO '{user}'@'%'",
    )
    try:
        server = database.server
        plan = plan_of(database, "v", connection=MySqlConnection(server.host, user, port=server.port))
        assert (plan.scanned, plan.index) == ((), None)
        assert f"GRANT SELECT, SHOW VIEW ON `{database.name}`.* TO '{user}'@'%'" in plan.reason
    finally:
        with closing(database.session()) as session, session.cursor() as cursor:
            cursor.execute(f"DROP USER '{user}'@'%'")


MYSQL_8 = {
    "query_block": {
        "select_id": 1,
        "cost_info": {"query_cost": "1341.10"},
        "nested_loop": [
            {
                "table": {
                    "table_name": "x",
                    "access_type": "ALL",
                    "rows_examined_per_scan": 11908,
                    "rows_produced_per_join": 132,
                    "filtered": "1.11",
                    "used_columns": ["id", "version"],
                    "attached_condition": "((`shop`.`x`.`kind` = 'k') and (`shop`.`x`.`id` >= 5000))",
                }
            },
            {
                "table": {
                    "table_name": "v6",
                    "access_type": "ref",
                    "possible_keys": ["<auto_key0>"],
                    "key": "<auto_key0>",
                    "rows_examined_per_scan": 10,
                    "materialized_from_subquery": {
                        "using_temporary_table": True,
                        "query_block": {
                            "select_id": 2,
                            "grouping_operation": {
                                "using_filesort": False,
                                "table": {
                                    "table_name": "e",
                                    "access_type": "index",
                                    "key": "i",
                                    "rows_examined_per_scan": 20000,
                                    "attached_condition": "((`shop`.`e`.`id` + 1) < 5100)",
                                },
                            },
                        },
                    },
                }
            },
        ],
    }
}
"""As MySQL 8 writes a plan: no such server runs here."""


def test_a_plan_of_mysql_is_read_as_one_of_mariadb_is() -> None:
    first, derived, inner = planned_tables(MYSQL_8, RANGE)
    assert (first.alias, first.rows, first.compared, first.whole) == ("x", 11908, ("shop", "x", "id"), True)
    assert (derived.derived, derived.whole) == (True, False)
    assert (inner.alias, inner.rows, inner.whole, inner.expression) == ("e", 20000, True, True)
    assert list(compared(MYSQL_8, RANGE)) == [("shop", "x", "id"), ()]
    assert list(planned_tables({"query_block": {"message": "no matching row in const table"}})) == []


@pytest.mark.parametrize(
    ("definition", "tables", "columns"),
    [
        (
            "select `d`.`e`.`id` AS `id`,concat('`d`.`no`.`no` from ',`d`.`e`.`v`) AS `sk` from `d`.`e`",
            {"e": {("d", "e")}},
            {("d", "e"): ("id", "v")},
        ),
        (
            "select `x`.`id` from (`d`.`e` `x` join `d`.`n` on(`n`.`b` = `x`.`a` or 'it\\'s' = `x`.`c``'`))",
            {"x": {("d", "e")}, "n": {("d", "n")}},
            {("d", "n"): ("b",), ("d", "e"): ("id", "a", "c`'")},
        ),
    ],
)
def test_the_definition_of_a_view_tells_tables_and_columns(
    definition: str, tables: Any, columns: Any
) -> None:
    found = read_references(definition)
    assert {alias: set(of) for alias, of in found.tables.items()} == tables
    assert dict(found.columns) == columns
