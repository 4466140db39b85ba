"""Structures follow the shapes of their tables: names, and what cannot stand any more."""

from __future__ import annotations

from replication_assets.core.schema import TableId
from replication_assets.core.shape_specs import Shape
from replication_assets.core.shaped_structures import shaped_structures
from replication_assets.core.structure import (
    ColumnStructure,
    ForeignKey,
    Index,
    OwnedSequence,
    TableStructure,
    UniqueKey,
)

ORDERS, USERS = TableId("shop", "public", "orders"), TableId("shop", "public", "users")
STRUCTURE = TableStructure(
    ORDERS,
    "postgresql",
    tuple(ColumnStructure(name, "bigint", default="7") for name in ("id", "user_id", "code", "note")),
    primary_key=UniqueKey("orders_pkey", ("id",)),
    unique_keys=(UniqueKey("orders_code", ("code",)), UniqueKey("orders_note", ("note", "id"))),
    foreign_keys=(ForeignKey("orders_user", ("user_id",), USERS, ("id",)),),
    indexes=(Index("by_user", ("user_id", "code")), Index("by_note", ("note",))),
    sequences=(OwnedSequence("orders_id_seq", "id"),),
)


def shaped(*shapes: Shape) -> TableStructure:
    found = shaped_structures(lambda table: STRUCTURE if table == ORDERS else None, shapes)(ORDERS)
    assert found is not None
    return found


def test_without_a_shape_a_structure_is_what_it_was() -> None:
    assert shaped() == STRUCTURE
    assert shaped_structures(lambda _: None, [])(USERS) is None


def test_columns_go_by_their_new_names_on_both_ends() -> None:
    found = shaped(
        Shape(str(ORDERS), rename={"id": "number", "user_id": "buyer"}),
        Shape(str(USERS), rename={"id": "user"}),
    )
    assert found.names == ("number", "buyer", "code", "note")
    assert found.primary_key == UniqueKey("orders_pkey", ("number",))
    assert found.unique_keys[1].columns == ("note", "number")
    assert (found.foreign_keys[0].columns, found.foreign_keys[0].referred) == (("buyer",), ("user",))
    assert found.indexes[0].columns == ("buyer", "code")
    assert found.sequences[0].column == "number"
    assert found.others == ()


def test_what_is_made_of_columns_that_are_left_out_goes_and_is_told() -> None:
    found = shaped(Shape(str(ORDERS), exclude=["note", "user_id"]))
    assert found.names == ("id", "code")
    assert [each.name for each in found.unique_keys] == ["orders_code"]
    assert (found.foreign_keys, found.indexes) == ((), ())
    assert len(found.others) == 6
    parent_lost = shaped(Shape(str(USERS), exclude=["id"]))
    assert parent_lost.foreign_keys == ()


def test_a_column_of_another_type_has_no_default_and_refers_to_its_own_type_alone() -> None:
    narrow = Shape(str(ORDERS), types={"user_id": "int4", "id": "int4"})
    found = shaped(narrow)
    assert (found.column("user_id").type, found.column("user_id").default) == ("int4", None)
    assert (found.foreign_keys, found.sequences) == ((), ())
    both = shaped(narrow, Shape(str(USERS), types={"id": "int4"}))
    assert [each.name for each in both.foreign_keys] == ["orders_user"]
