"""A captured row equals the loaded one, byte for byte, whatever its types."""

from __future__ import annotations

from contextlib import closing

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from replication_assets.core.events import OVERFLOW
from replication_assets.sources.mysql.binlog import row_images
from replication_assets_tests.sources.mysql.binlog.captured import Watched, global_setting, watch
from replication_assets_tests.sources.mysql.conftest import Database
from replication_assets_tests.sources.mysql.reading import loaded
from replication_assets_tests.sources.mysql.test_types import CASES

MODES = "SET sql_mode = 'ALLOW_INVALID_DATES,NO_BACKSLASH_ESCAPES', time_zone = '+00:00'"


def assert_both_ways(database: Database, watched: Watched) -> pa.Table:
    """The table was filled with inserts alone."""
    (table, schema), *_ = watched.tables
    found = watched.read().table.select([*schema.names, OVERFLOW]).sort_by("id").combine_chunks()
    expected = loaded(watched.source, table).sort_by("id").combine_chunks()
    for name in expected.schema.names:
        one, other = _bits(found.column(name)), _bits(expected.column(name))
        assert one.type == other.type, name
        assert one.to_pylist() == other.to_pylist(), name
        assert one.equals(other), name
    return found


def _bits(column: pa.ChunkedArray) -> pa.Array:
    """Floats by their bits: -0.0 is another value than 0.0."""
    values = column.combine_chunks()
    kinds = {pa.float32(): pa.int32(), pa.float64(): pa.int64()}
    return values.view(kinds[values.type]) if values.type in kinds else values


@pytest.mark.parametrize("few", [0, 1000], ids=["side by side", "one by one"])
@pytest.mark.parametrize("compressed", ["OFF", "ON"])
def test_every_type_is_captured_as_it_is_loaded(
    database: Database, compressed: str, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row_images, "_FEW", few)
    columns = ", ".join(f"c{number} {declared}" for number, (declared, _, _) in enumerate(CASES))
    most = max(len(examples) for _, _, examples in CASES)
    with (
        global_setting(database, "log_bin_compress", f"'{compressed}'"),
        closing(database.session()) as session,
        session.cursor() as cursor,
    ):
        cursor.execute(MODES)
        cursor.execute(f"CREATE TABLE t (id INT PRIMARY KEY, {columns})")
        watched = watch(database)
        for row in range(most):
            values = [str(examples[row % len(examples)][0]) for _, _, examples in CASES]
            cursor.execute(f"INSERT INTO t VALUES ({row}, {', '.join(values)})")
        cursor.execute("INSERT INTO t (id) VALUES (100)")
        cursor.execute(
            "INSERT INTO t SELECT id + 1000, " + ", ".join(f"c{n}" for n in range(len(CASES))) + " FROM t"
        )
    assert assert_both_ways(database, watched).num_rows == 2 * (most + 1)


@pytest.fixture
def wide(database: Database) -> Watched:
    database.run(
        "CREATE TABLE t (id INT PRIMARY KEY, d DOUBLE, f FLOAT, s LONGTEXT,"
        " l VARCHAR(90) CHARACTER SET latin2, b VARBINARY(300), x BINARY(9), n DECIMAL(65,20),"
        " m DECIMAL(19,9), i BIGINT UNSIGNED, k MEDIUMINT,"
        " t DATETIME(6), u TIME(3), y DATE, g BIT(17), e ENUM('a','é'), h SET('p','q','r'), j INET6, w UUID,"
        " z VARCHAR(300) COMPRESSED, q INT AS (k + 1) VIRTUAL, v INT INVISIBLE, r INT AS (k + 2) STORED,"
        " o GEOMETRY, c CHAR(70) CHARACTER SET utf8mb4)"
    )
    return watch(database)


def optional(values: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    return st.none() | values


TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=60)
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "d": optional(st.floats(allow_nan=False, allow_infinity=False)),
            "f": optional(st.floats(allow_nan=False, allow_infinity=False, width=32)),
            "s": optional(TEXTS),
            "l": optional(st.text("abcxyzŁąĘ é~", max_size=90)),
            "b": optional(st.binary(max_size=300)),
            "x": optional(st.binary(max_size=9)),
            "n": optional(st.decimals(-(10**44), 10**44, places=20)),
            "m": optional(st.decimals(-(10**9), 10**9, places=9)),
            "i": optional(st.integers(0, 2**64 - 1)),
            "k": optional(st.integers(-(2**23), 2**23 - 1)),
            "t": optional(st.datetimes()),
            "u": optional(
                st.sampled_from(["-838:59:59", "00:00:00.001", "-00:00:00.9", "12:00", "838:59:58.5"])
            ),
            "y": optional(st.dates().map(str) | st.sampled_from(["0000-00-00", "2024-02-31", "0000-07-01"])),
            "g": optional(st.integers(0, 2**17 - 1)),
            "e": optional(st.sampled_from(["a", "é"])),
            "h": optional(st.sets(st.sampled_from("pqr")).map(lambda chosen: ",".join(sorted(chosen)))),
            "j": optional(st.ip_addresses(v=6).map(str)),
            "w": optional(st.uuids().map(str)),
            "z": optional(st.text("ab", max_size=300)),
            "v": optional(st.integers(0, 9)),
            "c": optional(TEXTS.map(str.strip)),
        }
    ),
    min_size=1,
    max_size=12,
)


# The table is emptied before each example.
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(rows=ROWS, few=st.sampled_from([0, 1000]))
def test_any_row_is_captured_as_it_is_loaded(
    wide: Watched, database: Database, rows: list[dict[str, object]], few: int
) -> None:
    names = list(rows[0])
    placeholders = ", ".join(["%s"] * (len(names) + 1))
    with closing(database.session()) as session, session.cursor() as cursor:
        cursor.execute("SET sql_mode = 'ALLOW_INVALID_DATES', time_zone = '+00:00'")
        cursor.execute("DELETE FROM t")
        wide.read()
        cursor.executemany(
            f"INSERT INTO t (id, {', '.join(names)}) VALUES ({placeholders})",
            [(number, *row.values()) for number, row in enumerate(rows)],
        )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(row_images, "_FEW", few)
        assert_both_ways(database, wide)
