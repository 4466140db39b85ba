"""Indexes, foreign keys and defaults of a source's structure, in tables of SQL Server."""

from __future__ import annotations

import datetime as dt

from replication_assets.core.schema import TableSchema
from replication_assets.targets.sql.projection.sqlserver.tables import _unicode
from replication_assets_tests.contracts.projection_target import A, apply, at, changes, fill, row
from replication_assets_tests.targets.sql.projection.sqlserver.translated import (
    TranslatedPlace,
    TranslatedServer,
)
from replication_assets_tests.targets.sql.projection.test_carried import LAYOUT, PARENT, PROJECTED, T

PARENTS = TableSchema((LAYOUT.schema.columns[0],), ("id",))


def test_a_foreign_key_is_declared_when_its_parent_is_there_and_holds_nobody() -> None:
    server = TranslatedServer()
    options = {"projected": PROJECTED}
    child = TranslatedPlace(server, T, options)
    parent = TranslatedPlace(server, PARENT, options)
    fill(child.target, [row(at(5), id=1, parent_id=77)], at(5), schema=LAYOUT.schema)
    assert any("to_parent" in line and "not there yet" in line for line in child.target.not_carried())
    fill(parent.target, [], at(5), schema=PARENTS)
    assert list(child.target.tidy(dt.timedelta(0))) != []
    assert list(child.target.tidy(dt.timedelta(0))) == []
    assert child.run("SELECT name, disabled FROM sys.foreign_keys") == [("to_parent", True)]
    assert not any("to_parent" in line for line in child.target.not_carried())
    parent.target.reset(PARENTS)
    assert child.run("SELECT name FROM sys.foreign_keys") == []
    list(child.target.tidy(dt.timedelta(0)))
    assert child.run("SELECT name FROM sys.foreign_keys") == [("to_parent",)]
    update = changes([row(at(6, 1), id=2, parent_id=88)], schema=LAYOUT.schema)
    apply(child.target, update, at(6, 1), schema=LAYOUT.schema)
    assert child.stored(A).num_rows == 2


def test_what_the_server_cannot_have_is_told() -> None:
    child = TranslatedPlace(TranslatedServer(), T, {"projected": PROJECTED})
    fill(child.target, [], at(5), schema=LAYOUT.schema)
    lines = [line.removeprefix("shop.public.t: ") for line in child.target.not_carried()]
    assert "index t.plain, of texts or binaries of any length" in lines
    assert "index t.t_state, of texts or binaries of any length" in lines
    assert child.run("SELECT name FROM sys.indexes") == [("_by_range",)]


def test_defaults_are_unicode_constants() -> None:
    child = TranslatedPlace(TranslatedServer(), T, {"projected": PROJECTED})
    fill(child.target, [], at(5), schema=LAYOUT.schema)
    made = next(each for each in child.server.sent if each.startswith("CREATE TABLE [public].[t] "))
    assert "NULL DEFAULT (N'new')" in made
    assert [_unicode(each) for each in ("('it''s')", "(1)")] == ["(N'it''s')", "(1)"]


def test_edits_are_noticed_by_one_trigger_that_passes_our_own_over() -> None:
    child = TranslatedPlace(TranslatedServer(), T)
    fill(child.target, [], at(5), schema=LAYOUT.schema)
    (made,) = [each for each in child.server.sent if each.startswith("CREATE TRIGGER")]
    assert "ON [public].[t] AFTER INSERT, UPDATE, DELETE" in made
    assert "SESSION_CONTEXT(N'replication_assets.writer')" in made
    assert "table_name = N't' AND r.edited = 0" in made
