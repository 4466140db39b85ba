"""What stays behind of a structure because it may hold values, and in which order tables are loaded."""

from __future__ import annotations

from replication_assets.core.masking.policy import ColumnPolicy, TablePolicy
from replication_assets.core.masking.rules import Email, Keep
from replication_assets.core.refresh.carried_structure import carried_structure, left_behind
from replication_assets.core.refresh.load_order import load_order
from replication_assets.core.schema import TableId
from replication_assets.core.structure import Check, ColumnStructure, ForeignKey, Index, TableStructure

TABLE = TableId("shop", "public", "t")
STRUCTURE = TableStructure(
    TABLE,
    "postgresql",
    (
        ColumnStructure("id", "integer", default="nextval('public.t_id_seq'::regclass)"),
        ColumnStructure("email", "text", default="'jane@shop.example'::text"),
        ColumnStructure("made", "timestamp", default="now()"),
        ColumnStructure("state", "text", default="'new'::text"),
    ),
    checks=(
        Check("not_jane", "email <> 'jane@shop.example'"),
        Check("has_at", "email = lower(email)"),
        Check("known_state", "state IN ('new', 'old')"),
    ),
    indexes=(
        Index("jane", ("email",), definition="CREATE INDEX jane ON t (id) WHERE email = 'jane@shop.example'"),
        Index("lowered", (), definition="CREATE INDEX lowered ON t (lower(email))"),
    ),
)
POLICY = TablePolicy(
    str(TABLE),
    columns={
        "id": ColumnPolicy("pii.identifier", Email()),
        "email": ColumnPolicy("pii.email", Email()),
        "made": ColumnPolicy("internal", Email()),
        "state": ColumnPolicy("public", Keep()),
    },
)


def test_literals_about_masked_columns_stay_behind() -> None:
    carried = carried_structure(STRUCTURE, POLICY)
    assert "jane@" not in carried.to_json()
    assert {each.name: each.default for each in carried.columns} == {
        "id": "nextval('public.t_id_seq'::regclass)",
        "email": None,
        "made": "now()",
        "state": "'new'::text",
    }
    assert [each.name for each in carried.checks] == ["has_at", "known_state"]
    assert [each.name for each in carried.indexes] == ["lowered"]


def test_what_stays_behind_is_listed_without_its_text() -> None:
    lines = list(left_behind(STRUCTURE, POLICY))
    assert len(lines) == 3
    assert all(name in "".join(lines) for name in ("t.email", "not_jane", "index jane"))
    assert "jane@" not in "".join(lines)


def test_without_a_policy_nothing_of_the_kind_is_carried() -> None:
    assert "'new'" not in carried_structure(STRUCTURE, None).to_json()


def of(name: str, *parents: str) -> TableStructure:
    keys = tuple(
        ForeignKey(f"{name}_{parent}", ("p",), TableId("shop", "public", parent), ("id",))
        for parent in parents
    )
    return TableStructure(TableId("shop", "public", name), "postgresql", (), foreign_keys=keys)


def test_parents_are_loaded_first_and_circles_stand_together() -> None:
    tables = [
        of("lines", "orders"),
        of("orders", "orders", "people"),
        of("people", "teams"),
        of("teams", "people"),
    ]
    assert [each.table.name for each in load_order(tables)] == ["people", "teams", "orders", "lines"]
    assert load_order(tables[::-1]) == load_order(tables)


def test_a_reference_to_a_table_that_is_not_copied_counts_for_nothing() -> None:
    assert [each.table.name for each in load_order([of("a", "elsewhere")])] == ["a"]
