"""Every type of every engine, with its odd values: engine -> store -> engine, and -> every target.

Each engine has one table with a column for each type. Its rows are loaded, others are captured, and all are
projected in two steps, so that each target is filled and brought forward. Nothing may be other than what the
engine prints: a value is stored typed, or its text stands beside it.
"""

from __future__ import annotations

import pytest

from replication_assets_tests.types.back import unequal_in_mariadb, unequal_in_postgres, unequal_in_sqlite
from replication_assets_tests.types.items import expected, found_items
from replication_assets_tests.types.meanings import Meanings
from replication_assets_tests.types.sources import (
    INSERTED,
    UPDATED,
    MariaDbTypes,
    PostgresTypes,
    Source,
    SqliteTypes,
)
from replication_assets_tests.types.system import TARGETS, Copied, copied

__all__ = ["copied"]


def wrong(found: Meanings, expected: Meanings, source: Source, most: int = 12) -> list[str]:
    """Which values are other, by type: what is expected, and what is there."""
    assert set(found) == set(expected)
    return [
        f"{source.columns[name].declared}, row {key}: {meaning} became {found[key][name]}"
        for key, row in expected.items()
        for name, meaning in row.items()
        if found[key][name] != meaning
    ][:most]


def test_the_engine_copied_its_own_values(copied: Copied) -> None:
    """What the other tests stand on: rows that came in three ways have the same values."""
    said = copied.source.meanings()
    for number in copied.source.rows:
        assert said[number] == said[number + INSERTED] == said[number + UPDATED]
    values = [meaning for row in said.values() for meaning in row.values()]
    assert any(odd is not None for _, odd in values)


def test_the_store_holds_each_type_as_documented(copied: Copied) -> None:
    schema = copied.system.live(copied.source.table)
    held = {name: schema.column(name).arrow for name in copied.source.columns}
    assert held == {name: each.stored for name, each in copied.source.columns.items()}


@pytest.mark.parametrize("target", TARGETS)
def test_a_value_is_the_same_in_every_target(copied: Copied, target: str) -> None:
    assert not wrong(copied.found(target), copied.source.meanings(), copied.source)


def test_a_value_that_comes_back_is_equal_by_the_engines_own_comparison(copied: Copied) -> None:
    source, servers = copied.source, copied.servers
    if isinstance(source, PostgresTypes):
        assert unequal_in_postgres(source, servers.in_postgres) == []
    elif isinstance(source, MariaDbTypes):
        assert unequal_in_mariadb(source, servers.mariadb, servers.in_mariadb) == []
    else:
        assert isinstance(source, SqliteTypes)
        assert unequal_in_sqlite(source, servers.in_sqlite) == []


def test_a_value_is_an_attribute_of_dynamodb_or_a_dead_letter_by_name(copied: Copied) -> None:
    source, said, refused = copied.source, copied.source.meanings(), copied.refused()
    found = found_items(*copied.items, source.columns)
    assert set(found) == set(said)
    other = [
        (each.declared, number, found[number][name], wanted)
        for number, row in said.items()
        for name, each in source.columns.items()
        if found[number][name] != (wanted := expected(each, row[name], (number, name) in refused))
    ]
    assert not other[:8]
