"""A captured row equals the loaded one, byte for byte, whatever its types and whoever wrote it."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import pyarrow as pa

from replication_assets.core.events import OVERFLOW
from replication_assets_tests.contracts.change_source import ROWS, Following, events, told
from replication_assets_tests.sources.mysql.binlog.test_both_ways import MODES, _bits
from replication_assets_tests.sources.mysql.reading import loaded
from replication_assets_tests.sources.mysql.test_types import CASES
from replication_assets_tests.sources.mysql.triggers.places import TriggeredPlace


def captured(following: Following) -> pa.Table:
    """The table's inserts since the last look, by id."""
    following.chunks.clear()
    following.drain()
    batches = [batch.rows for chunk in following.chunks for batch in chunk.batches]
    found = pa.Table.from_batches(batches)
    names = following.tables[following.table("t")].names
    return found.select([*names, OVERFLOW]).sort_by("id").combine_chunks()


def assert_both_ways(following: Following) -> None:
    found = captured(following)
    source: Any = following.place.source
    expected = loaded(source, following.table("t")).sort_by("id").combine_chunks()
    assert found.num_rows == expected.num_rows > 0
    for name in expected.schema.names:
        one, other = _bits(found.column(name)), _bits(expected.column(name))
        assert one.type == other.type, name
        assert one.equals(other), name


def test_every_type_is_captured_as_it_is_loaded(following: Following, place: TriggeredPlace) -> None:
    columns = ", ".join(f"c{number} {declared}" for number, (declared, _, _) in enumerate(CASES))
    most = max(len(examples) for _, _, examples in CASES)
    with closing(place.database.session()) as session, session.cursor() as cursor:
        cursor.execute(MODES)
        cursor.execute(f"CREATE TABLE t (id INT PRIMARY KEY, {columns})")
        following.declare("t")
        for row in range(most):
            values = [str(examples[row % len(examples)][0]) for _, _, examples in CASES]
            cursor.execute(f"INSERT INTO t VALUES ({row}, {', '.join(values)})")
        cursor.execute("INSERT INTO t (id) VALUES (100)")
    assert_both_ways(following)


def test_an_update_tells_the_old_values_that_capture_from_the_binlog_tells(
    following: Following, place: TriggeredPlace
) -> None:
    place.create(
        "t",
        "id INT PRIMARY KEY, d DOUBLE, n DECIMAL(9,3), b VARBINARY(9), g BIT(1), y DATE, s TEXT,"
        " u BIGINT UNSIGNED",
    )
    following.declare("t")
    place.execute(
        "INSERT INTO t VALUES (1, 1e20, -0.5, x'00ff', b'1', '0000-00-00', NULL, 18446744073709551615)"
    )
    place.execute(
        "UPDATE t SET d = 0.1, n = 2, b = NULL, g = b'0', y = '2024-01-01', s = 'x', u = 0",
        "UPDATE t SET s = 'X'",
    )
    following.drain()
    before = [row["_before"] for row in events(following.chunks, following.table("t"))]
    assert before == [
        None,
        '{"d":"1e+20","n":"-0.500","b":"0x00FF","g":"1","y":"0000-00-00","s":null,"u":"18446744073709551615"}',
        '{"s":"x"}',
    ]


def test_settings_of_a_session_do_not_show_in_what_it_wrote(
    following: Following, place: TriggeredPlace
) -> None:
    place.create("t", "id INT PRIMARY KEY, c CHAR(5), l VARCHAR(9) CHARACTER SET latin1, w TIMESTAMP NULL,"
                 " d DATE, e ENUM('ä','b'), s SET('x','ö'), v VARCHAR(300), z INT(6) ZEROFILL")  # fmt: skip
    following.declare("t")
    with closing(place.database.session(init_command="SET NAMES latin1")) as session:
        cursor = session.cursor()
        cursor.execute(
            "SET sql_mode = 'PAD_CHAR_TO_FULL_LENGTH,NO_ZERO_DATE,ANSI,TRADITIONAL', time_zone = '-11:00',"
            " lc_time_names = 'ja_JP', timestamp = 86400, collation_connection = 'latin1_german2_ci'"
        )
        cursor.execute(
            "INSERT INTO t VALUES (1, 'a ', x'E9', '2026-02-03 04:05:06', '2026-02-03', _latin1 x'E4',"
            " _latin1 x'F6', 'v  ', 42)"
        )
    assert_both_ways(following)


def test_long_values_are_captured_whole(following: Following, place: TriggeredPlace) -> None:
    place.create("t", "id INT PRIMARY KEY, a VARCHAR(12000), b VARBINARY(9000), t LONGTEXT, x MEDIUMBLOB")
    following.declare("t")
    place.execute(
        "INSERT INTO t VALUES (1, REPEAT('é ', 6000), REPEAT(x'00fb', 4500), REPEAT('y', 5000000), x'')",
        "INSERT INTO t VALUES (2, '', '', '', REPEAT(x'fe', 70000))",
    )
    assert_both_ways(following)


def test_every_statement_that_writes_rows_is_told(following: Following) -> None:
    place, t = following.place, following.table("t")
    place.create("t", ROWS)
    following.declare("t")
    place.execute(
        "INSERT INTO t VALUES (1, 1, 'a'), (2, 2, 'b')",
        "INSERT INTO t VALUES (1, 5, 'x') ON DUPLICATE KEY UPDATE v = 6",
        "REPLACE INTO t VALUES (2, 7, 'r')",
        "INSERT IGNORE INTO t VALUES (1, 9, 'ignored'), (3, 3, 'c')",
        "INSERT INTO t SELECT id + 10, v, s FROM t WHERE id = 3",
        "DELETE t FROM t JOIN (SELECT 13 AS id) AS gone USING (id)",
    )
    following.drain()
    assert told(following.chunks, t, "id", "v") == [
        ("I", 1, 1),
        ("I", 2, 2),
        ("U", 1, 6),
        ("D", 2, 2),
        ("I", 2, 7),
        ("I", 3, 3),
        ("I", 13, 3),
        ("D", 13, 3),
    ]
