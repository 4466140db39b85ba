"""What of a source's structure is carried into a projected table, decided without any engine."""

from __future__ import annotations

import datetime as dt

import pyarrow as pa

from replication_assets.core.schema import Column, TableId, TableSchema
from replication_assets.core.structure import (
    Check,
    ColumnStructure,
    ForeignKey,
    Index,
    OwnedSequence,
    TableStructure,
    UniqueKey,
)
from replication_assets.targets.sql.projection import carried
from replication_assets.targets.sql.projection.carried import Projected
from replication_assets.targets.sql.projection.layout import Layout, Place, Recorded
from replication_assets.targets.sql.source_defaults import Functions
from replication_assets_tests.contracts.projection_target import A, apply, at, changes, fill, row
from replication_assets_tests.postgres_servers import FreshDatabase
from replication_assets_tests.targets.sql.projection.places import PostgresPlace

T, PARENT = TableId("shop", "public", "t"), TableId("shop", "public", "parent")
FUNCTIONS = Functions(now="now()")
LAYOUT = Layout(
    Place("public", "t"),
    TableSchema(
        (
            Column("id", "bigint", pa.int64()),
            Column("parent_id", "bigint", pa.int64()),
            Column("state", "text", pa.string()),
        ),
        ("id",),
    ),
)
STRUCTURE = TableStructure(
    T,
    "postgresql",
    (
        ColumnStructure("id", "bigint", nullable=False, identity="always"),
        ColumnStructure("parent_id", "bigint", nullable=False),
        ColumnStructure("state", "text", default="'new'::text", collation="de_DE"),
        ColumnStructure("left_out", "text"),
    ),
    primary_key=UniqueKey("t_pkey", ("id",)),
    unique_keys=(UniqueKey("t_state", ("state",)),),
    foreign_keys=(
        ForeignKey("to_parent", ("parent_id",), PARENT, ("id",)),
        ForeignKey("to_code", ("state",), PARENT, ("code",)),
        ForeignKey("to_other", ("parent_id",), TableId("shop", "public", "other"), ("id",)),
    ),
    indexes=(
        Index("plain", ("parent_id", "state")),
        Index("partial", (), definition="CREATE INDEX ..."),
        Index("words", ("state",), method="gin"),
        Index("of_left_out", ("left_out",)),
    ),
    checks=(Check("positive", "(id > 0)"),),
    sequences=(OwnedSequence("t_id_seq", "id"),),
    others=("trigger audit",),
)
PARENTS = TableStructure(
    PARENT,
    "postgresql",
    (ColumnStructure("id", "bigint"), ColumnStructure("code", "text")),
    primary_key=UniqueKey("parent_pkey", ("id",)),
)
PROJECTED = Projected(frozenset({T, PARENT}), {T: STRUCTURE, PARENT: PARENTS}.get)


def test_plain_indexes_and_unique_keys_become_indexes_and_the_others_are_listed() -> None:
    made, lines = carried.indexes(STRUCTURE, LAYOUT, limit=63)
    assert [each.columns for each in made] == [("parent_id", "state"), ("state",)]
    assert {line.removeprefix("shop.public.t: ") for line in lines} == {
        "index partial (btree, or of expressions or a part)",
        "index words (gin, or of expressions or a part)",
        "index of_left_out, of columns that are not replicated",
        "key t_state is an index that refuses no duplicates",
    }


def test_foreign_keys_to_primary_keys_of_projected_tables_are_made_and_the_others_listed() -> None:
    made, lines = carried.foreign_keys(STRUCTURE, LAYOUT, PROJECTED)
    assert [key.name for key in made] == ["to_parent"]
    assert len(lines) == 2
    assert "to_code" in lines[0]
    assert "does not refer to the primary key" in lines[0]
    assert "to_other" in lines[1]
    assert "not projected" in lines[1]


def test_what_is_otherwise_about_columns_is_listed() -> None:
    assert [
        line.removeprefix("shop.public.t: ") for line in carried.otherwise(STRUCTURE, LAYOUT, FUNCTIONS)
    ] == [
        "column id is not counted",
        "column parent_id may be null: odd values are null in their column",
        "column state compares by code points, not by de_DE",
        "column left_out is not replicated",
        "check positive",
        "trigger audit",
    ]


def test_defaults_of_another_engine_are_not_taken_for_ones_that_are_understood() -> None:
    assert carried.defaults(STRUCTURE, LAYOUT, FUNCTIONS) == {"state": "('new')"}
    foreign = TableStructure(T, "mysql", STRUCTURE.columns)
    assert carried.defaults(foreign, LAYOUT, FUNCTIONS) == {}
    assert any("state has no default" in line for line in carried.otherwise(foreign, LAYOUT, FUNCTIONS))


def test_the_books_are_read_as_they_were_written() -> None:
    book = Recorded("shop.public.t", {"id": "int64", 'o"dd': "string"}, ("id",), ("id",), "f", ("a line",))
    assert Recorded.from_json(book.to_json()) == book


def test_references_are_declared_where_the_server_need_not_check_them(
    any_postgres_database: FreshDatabase,
) -> None:
    parent = PostgresPlace(any_postgres_database, PARENT, {"projected": PROJECTED})
    child = PostgresPlace(any_postgres_database, T, {"projected": PROJECTED})
    fill(child.target, [row(at(5), id=1, parent_id=77)], at(5), schema=LAYOUT.schema)
    assert any("to_parent" in line and "not there yet" in line for line in child.target.not_carried()) or any(
        "checks every foreign key" in line for line in child.target.not_carried()
    )
    keyed = TableSchema((Column("id", "bigint", pa.int64()), Column("code", "text", pa.string())), ("id",))
    fill(parent.target, [], at(5), schema=keyed)
    list(child.target.tidy(dt.timedelta(0)))
    declared = child.run("SELECT conname FROM pg_constraint WHERE contype = 'f'")
    lines = [line for line in child.target.not_carried() if "to_parent" in line]
    ((version,),) = child.run("SELECT current_setting('server_version_num')::int")
    if version >= 180_000:
        assert (declared, lines) == ([("to_parent",)], [])
    else:
        assert declared == []
        assert lines == [
            "shop.public.t: foreign key to_parent to shop.public.parent: this server checks every foreign key"
        ]
    apply(
        child.target,
        changes([row(at(6, 1), id=2, parent_id=88)], schema=LAYOUT.schema),
        at(6, 1),
        schema=LAYOUT.schema,
    )
    assert child.stored(A).num_rows == 2
