"""No type of an engine is without a case: the cases are held against the engine's own list of its types."""

from __future__ import annotations

from contextlib import closing

import psycopg
import pytest

from replication_assets.demo.postgres_server import PostgresServer
from replication_assets.sources.mysql.types import NativeType
from replication_assets_tests.mysql_servers import MariaDbServer, fresh_prefix
from replication_assets_tests.postgres_servers import fresh_database
from replication_assets_tests.types import mariadb_cases, postgres_cases, sqlite_cases

OWN_TYPES = """
SELECT typname FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
WHERE nspname = 'pg_catalog' AND typtype <> 'p' AND typrelid = 0 AND typelem = 0 ORDER BY typname
"""
"""But pseudo-types, which no column has, rows of the catalog's own tables, and arrays: each type has one."""

WITH_ELEMENTS = frozenset({"box", "line", "lseg", "name", "point", "int2vector", "oidvector"})
"""Types that can be subscripted and are no arrays."""


@pytest.mark.parametrize("xml", [True, False])
def test_every_type_of_postgresql_has_a_case(postgres_server: PostgresServer, xml: bool) -> None:
    with fresh_database(postgres_server) as fresh, psycopg.connect(fresh.dsn) as session:
        own = {name for (name,) in session.execute(OWN_TYPES)} | WITH_ELEMENTS
    told = {name for each in postgres_cases.cases_of(xml=xml) for name in each.types}
    assert own - told == set()


def test_every_type_of_mariadb_has_a_case(mariadb: MariaDbServer) -> None:
    """By the topics of `HELP 'Data Types'`, and the plugins that are types."""
    told = {each.declared.partition("(")[0].partition(" ")[0].upper() for each in mariadb_cases.CASES}
    with closing(mariadb.connect()) as session, session.cursor() as cursor:
        cursor.execute(
            "SELECT t.name FROM mysql.help_topic t JOIN mysql.help_category c USING (help_category_id)"
            " WHERE c.name = 'Data Types' UNION SELECT plugin_name FROM information_schema.plugins"
            " WHERE plugin_type = 'DATA TYPE'"
        )
        topics = {str(name).upper().removesuffix(" DATA TYPE") for (name,) in cursor.fetchall()}
    words = {word for topic in topics - mariadb_cases.NO_TYPE for word in topic.split(", ")}
    assert words - told - set(mariadb_cases.ALIASES) - mariadb_cases.NO_COLUMN == set()
    assert len(words) > 70


def test_other_words_for_types_of_mariadb_are_those_that_have_a_case(mariadb: MariaDbServer) -> None:
    told = {each.declared.partition("(")[0].partition(" ")[0].lower() for each in mariadb_cases.CASES}
    with fresh_prefix(mariadb) as prefix, closing(mariadb.connect()) as session, session.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {prefix.prefix}a")
        # Some words are types in this mode alone; MIDDLEINT and the like in any.
        cursor.execute("SET sql_mode = 'ORACLE'")
        for number, declared in enumerate(mariadb_cases.ALIASES.values()):
            cursor.execute(f"CREATE TABLE {prefix.prefix}a.t{number} (c {declared})")
        cursor.execute(
            "SELECT column_type FROM information_schema.columns WHERE table_schema = %s",
            (f"{prefix.prefix}a",),
        )
        made = {NativeType.parse(str(found)).base for (found,) in cursor.fetchall()}
    assert len(made) > 10
    assert made - told == set()


def test_values_of_every_storage_class_stand_in_every_column_of_sqlite() -> None:
    for each in sqlite_cases.CASES:
        assert set(sqlite_cases.ANY_CLASS) <= set(each.values), each.declared
    assert {each.declared for each in sqlite_cases.STRICT} == {
        "INT",
        "INTEGER",
        "REAL",
        "TEXT",
        "BLOB",
        "ANY",
    }
