"""Indexes, foreign keys and defaults of a source's structure, in tables of Oracle."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import duckdb
import pyarrow as pa
import pytest

from replication_assets.core.schema import Column, TableSchema
from replication_assets.core.structure import ColumnStructure, Index
from replication_assets.targets.sql.projection.carried import Projected
from replication_assets_tests.contracts.projection_target import A, apply, at, changes, fill, row
from replication_assets_tests.targets.sql.projection.oracle.translated import (
    TranslatedPlace,
    TranslatedServer,
)
from replication_assets_tests.targets.sql.projection.test_carried import (
    LAYOUT,
    PARENT,
    PARENTS,
    PROJECTED,
    STRUCTURE,
    T,
)

KEYED = TableSchema((LAYOUT.schema.columns[0],), ("id",))


def test_a_foreign_key_is_declared_when_its_parent_is_there_and_holds_nobody() -> None:
    server, options = TranslatedServer(), {"projected": PROJECTED}
    child = TranslatedPlace(server, T, options)
    parent = TranslatedPlace(server, PARENT, options)
    fill(child.target, [row(at(5), id=1, parent_id=77)], at(5), schema=LAYOUT.schema)
    assert any("to_parent" in line and "not there yet" in line for line in child.target.not_carried())
    fill(parent.target, [], at(5), schema=KEYED)
    assert list(child.target.tidy(dt.timedelta(0))) != []
    assert list(child.target.tidy(dt.timedelta(0))) == []
    declared = "SELECT constraint_name, stated FROM all_constraints"
    assert child.run(declared) == [("t.to_parent", "DISABLE NOVALIDATE")]
    parent.target.reset(KEYED)
    assert child.run(declared) == []
    list(child.target.tidy(dt.timedelta(0)))
    assert child.run(declared) == [("t.to_parent", "DISABLE NOVALIDATE")]
    update = changes([row(at(6, 1), id=2, parent_id=88)], schema=LAYOUT.schema)
    apply(child.target, update, at(6, 1), schema=LAYOUT.schema)
    assert child.stored(A).num_rows == 2


def test_two_indexes_over_the_same_columns_are_one_and_large_objects_have_none() -> None:
    twice = (Index("one", ("parent_id",)), Index("other", ("parent_id",)), Index("plain", ("state",)))
    structures = {T: replace(STRUCTURE, indexes=twice), PARENT: PARENTS}
    projected = Projected(PROJECTED.tables, structures.get)
    child = TranslatedPlace(TranslatedServer(), T, {"projected": projected})
    fill(child.target, [], at(5), schema=LAYOUT.schema)
    made = child.run("SELECT index_name, column_name FROM all_ind_columns ORDER BY 1")
    assert made == [("t.by_range", "_id_range"), ("t.one", "parent_id")]
    lines = [line.removeprefix("shop.public.t: ") for line in child.target.not_carried()]
    assert "index t.plain, of texts or binaries of any length" in lines


def test_defaults_say_the_same_or_are_left_out() -> None:
    instant, naive = pa.timestamp("us", tz="UTC"), pa.timestamp("us")
    columns = (
        Column("id", "bigint", pa.int64()),
        Column("word", "text", pa.string()),
        Column("nothing", "text", pa.string()),
        Column("at", "timestamp", naive),
        Column("seen", "timestamptz", instant),
    )
    told = {
        "word": ("text", "'it''s'::text"),
        "nothing": ("text", "''::text"),
        "at": ("timestamp without time zone", "now()"),
        "seen": ("timestamp with time zone", "now()"),
    }
    structure = replace(
        STRUCTURE,
        columns=tuple(ColumnStructure(name, kind, default=text) for name, (kind, text) in told.items()),
    )
    place = TranslatedPlace(TranslatedServer(), T, {"projected": Projected(frozenset(), {T: structure}.get)})
    with pytest.raises(duckdb.CatalogException, match=r"sys_extract_utc|SYS_EXTRACT_UTC"):
        fill(place.target, [], at(5), schema=TableSchema(columns, ("id",)))
    made = next(each for each in place.server.sent if each.startswith('CREATE TABLE "public"."t" '))
    assert "\"word\" CLOB DEFAULT ('it''s'), \"nothing\" CLOB, " in made
    assert '"at" TIMESTAMP(6) DEFAULT SYS_EXTRACT_UTC(SYSTIMESTAMP), ' in made
    assert '"seen" TIMESTAMP(6) WITH TIME ZONE DEFAULT SYSTIMESTAMP, ' in made


def test_edits_are_noticed_by_a_trigger_that_passes_our_own_over() -> None:
    child = TranslatedPlace(TranslatedServer(), T)
    fill(child.target, [], at(5), schema=LAYOUT.schema)
    (made,) = [each for each in child.server.sent if each.startswith("CREATE TRIGGER")]
    assert 'AFTER INSERT OR UPDATE OR DELETE ON "public"."t" FOR EACH ROW' in made
    assert "SYS_CONTEXT('USERENV', 'CLIENT_IDENTIFIER')" in made
    assert made.count("table_name = 't' AND edited = 0") == 2
