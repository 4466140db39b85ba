"""A policy that does not fit its tables stops a refresh before a row is read, with every reason."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from replication_assets.core.masking import compile as compiling
from replication_assets.core.masking.policy import ColumnPolicy, Namespace
from replication_assets.core.masking.policy_problems import policy_problems
from replication_assets.core.masking.rules import (
    Choice,
    ColumnDefault,
    Constant,
    DateShift,
    Email,
    FreeText,
    IntegerId,
    JsonPaths,
    Keep,
    Null,
    PersonName,
    Rule,
    Token,
)
from replication_assets.core.schema import Column, TableId
from replication_assets.core.structure import Check, ForeignKey, Index, TableStructure, UniqueKey
from replication_assets.declarations.masking import RULES
from replication_assets_tests.core.masking.policies import (
    BORN,
    EMAIL,
    ID,
    KEYS,
    NAMESPACES,
    TYPES,
    column,
    compiled,
    listed,
    policy_of,
    refused,
    schema_of,
    structure_of,
)

PLAIN = structure_of(ID, EMAIL)


def told(structure: TableStructure, rules: dict[str, Any], **more: Any) -> list[str]:
    return refused(policy_of(listed(structure, rules), **more), structure)


def only(found: list[str]) -> str:
    assert len(found) == 1, found
    return found[0]


def test_every_rule_that_can_be_declared_is_compiled_by_something() -> None:
    assert set(compiling.BUILDERS) == set(RULES)


def test_a_rule_of_an_unknown_class_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    less = {rule: build for rule, build in compiling.BUILDERS.items() if rule is not Email}
    monkeypatch.setattr(compiling, "BUILDERS", less)
    assert "Email is no rule" in only(told(PLAIN, {"id": "public", "email": Email()}))


# --- what must be said -----------------------------------------------------------------


def test_a_table_that_is_not_listed_is_refused_with_a_rule_for_each_column() -> None:
    table, *columns = refused(policy_of(), PLAIN)
    assert "the policy masks does not list the table" in table
    where, said = "shop.public.customers", "the policy does not list it. Fix: if that is what it holds, "
    rule = "IntegerId(namespace='id')"
    assert columns == [
        f"{where}.id: {said}'id': ColumnPolicy('pii.identifier', {rule}, reviewed='bigint not null')",
        f"{where}.email: {said}'email': ColumnPolicy('pii.email', Email(), reviewed='text')",
    ]


def test_a_column_that_is_not_listed_is_refused_with_a_suggested_rule() -> None:
    assert "'email': ColumnPolicy('pii.email', Email()" in only(told(PLAIN, {"id": "public"}))


def test_a_listed_column_that_the_table_has_not_is_refused() -> None:
    problem = only(told(PLAIN, {"id": "public", "email": Email(), "emial": Email()}))
    assert problem.endswith("Fix: did you mean 'email'?")


@pytest.mark.parametrize(
    ("was", "now"),
    [
        (column("email"), column("email", "character varying(20)")),
        (column("email", nullable=False), column("email")),
        (column("email"), column("email", default="'x'")),
        (column("email"), column("email", collation="de_DE")),
        (column("email", "status", labels=("a", "b")), column("email", "status", labels=("a", "b", "c"))),
    ],
)
def test_a_column_that_is_not_what_was_reviewed_is_refused(was: Any, now: Any) -> None:
    reviewed = listed(structure_of(ID, was), {"id": "public", "email": Constant("a")})
    problem = only(refused(policy_of(reviewed), structure_of(ID, now)))
    assert problem.startswith("shop.public.customers.email: was reviewed as ")


def test_a_column_that_nobody_reviewed_is_refused() -> None:
    table = listed(PLAIN, {"id": "public", "email": Email()})
    columns = {**table.columns, "email": ColumnPolicy("pii.email", Email())}
    problem = only(refused(policy_of(replace(table, columns=columns)), PLAIN))
    assert "was never reviewed, and is 'text' now" in problem
    assert problem.endswith("reviewed='text'")


def test_a_column_that_the_log_lacks_is_refused() -> None:
    policy = policy_of(listed(PLAIN, {"id": "public", "email": Email()}))
    assert "the event log lacks it" in only(refused(policy, PLAIN, schema_of(PLAIN, without=["email"])))
    unpublished = replace(schema_of(PLAIN, without=["email"]), not_replicated=("email",))
    assert "the change stream of the source lacks it" in only(refused(policy, PLAIN, unpublished))
    defaulted = policy_of(listed(PLAIN, {"id": "public", "email": ColumnDefault()}))
    assert refused(defaulted, PLAIN, unpublished) == []


def test_a_column_that_the_log_alone_has_is_refused_until_it_is_listed_as_not_copied() -> None:
    schema = schema_of(PLAIN)
    wider = replace(
        schema, columns=(*schema.columns, Column("phone", "text", TYPES.get("text", schema.columns[1].arrow)))
    )
    table = listed(PLAIN, {"id": "public", "email": Email()})
    assert "the recorded structure of the source has not" in only(refused(policy_of(table), PLAIN, wider))
    gone = replace(table, columns={**table.columns, "phone": ColumnPolicy("pii.phone", Null())})
    assert refused(policy_of(gone), PLAIN, wider) == []
    mask = compiling.compile_table(policy_of(gone), PLAIN, wider, allow=["public"], keys=KEYS)
    assert "phone" not in mask.columns
    assert "phone" not in mask.schema.names


def test_all_problems_of_a_table_are_told_at_once() -> None:
    structure = structure_of(ID, EMAIL, BORN, column("note"))
    found = told(structure, {"id": Null(), "email": "pii.email", "born": Email()})
    assert [problem.partition(": ")[0].rpartition(".")[2] for problem in found] == [
        "id",
        "email",
        "born",
        "note",
    ]


# --- classes ---------------------------------------------------------------------------


def test_a_class_that_is_not_allowed_is_not_kept() -> None:
    problem = only(told(PLAIN, {"id": "public", "email": "pii.email"}))
    assert "it would be kept, and its class 'pii.email' is not one that the environment allows" in problem
    assert "Email()" in problem
    scalar = JsonPaths({"$": Keep()})
    assert "it would be kept" in only(told(PLAIN, {"id": "public", "email": ("pii.ssn", scalar)}))
    assert told(PLAIN, {"id": "public", "email": ("public", scalar)}) == []


@pytest.mark.parametrize("rule", [Keep(), Token("t"), Email()])
def test_a_secret_is_replaced_whole(rule: Rule) -> None:
    assert "secret.token is replaced whole" in only(
        told(PLAIN, {"id": "public", "email": ("secret.token", rule)})
    )


@pytest.mark.parametrize("rule", [Null(), Constant("x")])
def test_a_secret_may_be_null_or_constant(rule: Rule) -> None:
    assert told(PLAIN, {"id": "public", "email": ("secret.token", rule)}) == []


# --- types, nullability, lengths, labels -----------------------------------------------


def test_a_rule_that_does_not_fit_the_type_is_refused() -> None:
    structure = structure_of(ID, EMAIL, BORN)
    found = told(structure, {"id": "public", "email": DateShift(), "born": Email()})
    assert [problem.partition(": ")[0] for problem in found] == [
        "shop.public.customers.email",
        "shop.public.customers.born",
    ]


def test_null_and_a_default_that_is_none_are_refused_where_a_value_must_be() -> None:
    note = column("note", nullable=False)
    assert "it is NOT NULL, and its rule is Null" in only(
        told(structure_of(ID, note), {"id": "public", "note": Null()})
    )
    assert "has no default" in only(told(structure_of(ID, note), {"id": "public", "note": ColumnDefault()}))
    filled = column("note", nullable=False, default="''")
    assert told(structure_of(ID, filled), {"id": "public", "note": ColumnDefault()}) == []


def test_an_output_that_is_longer_than_the_column_takes_is_refused() -> None:
    narrow = structure_of(ID, column("email", "character varying(10)"))
    assert "10" in only(told(narrow, {"id": "public", "email": Email()}))


def test_an_enumeration_takes_its_labels_only() -> None:
    structure = structure_of(ID, column("status", "status", labels=("new", "paid")))
    assert "makes no value of the enumeration status" in only(
        told(structure, {"id": "public", "status": Token("t")})
    )
    assert "'lost' is no label" in only(told(structure, {"id": "public", "status": Choice(["new", "lost"])}))
    assert "'lost' is no label" in only(told(structure, {"id": "public", "status": Constant("lost")}))
    for rule in (Choice(["new", "paid"]), Constant("new"), Null()):
        assert told(structure, {"id": "public", "status": rule}) == []


def test_a_generated_column_is_neither_listed_nor_staged() -> None:
    structure = structure_of(ID, EMAIL, column("domain", generated="split_part(email, '@', 2)"))
    mask = compiled(structure, {"id": "public", "email": Email()})
    assert mask.schema.names == ["id", "email", "_overflow"]
    assert "computed from other columns" in only(
        told(structure, {"id": "public", "email": Email(), "domain": "public"})
    )


def test_a_check_that_speaks_of_a_masked_column_is_a_warning() -> None:
    stays_behind = Check("at", "email LIKE '%@%'")
    checks = (Check("small", "email = lower(email)"), stays_behind, Check("positive", "id > 0"))
    (warning,) = compiled(structure_of(ID, EMAIL, checks=checks), {"id": "public", "email": Email()}).warnings
    assert "CHECK small is about masked columns (email)" in warning


# --- keys ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "structure",
    [
        structure_of(ID, EMAIL, unique_keys=(UniqueKey("u", ("email",)),)),
        structure_of(ID, EMAIL, indexes=(Index("u", ("email",), unique=True),)),
        structure_of(column("email", nullable=False), ID, key=("email",)),
    ],
)
@pytest.mark.parametrize("rule", [PersonName(), Constant("x"), FreeText()])
def test_a_rule_that_may_give_two_rows_one_value_is_refused_at_a_unique_column(
    structure: TableStructure, rule: Rule
) -> None:
    problem = only(told(structure, {"id": "public", "email": rule}))
    assert f"{type(rule).__name__} can give two values the same mask" in problem


def test_nulls_never_meet_in_a_unique_key() -> None:
    structure = structure_of(ID, EMAIL, unique_keys=(UniqueKey("u", ("email",)),))
    assert told(structure, {"id": "public", "email": Null()}) == []


def test_a_unique_key_within_a_key_keeps_its_rows_apart() -> None:
    structure = structure_of(ID, EMAIL, unique_keys=(UniqueKey("u", ("id", "email")),))
    assert told(structure, {"id": "public", "email": PersonName()}) == []


def test_what_may_collide_beside_a_part_that_is_kept_apart_is_a_warning_and_what_must_is_a_problem() -> None:
    structure = structure_of(
        ID, column("sensor", "bigint"), BORN, EMAIL, unique_keys=(UniqueKey("u", ("sensor", "born")),)
    )
    rules: dict[str, Any] = {"id": "public", "sensor": IntegerId("id"), "email": Null()}
    namespaces = [Namespace("id", low=1, high=10**6)]
    mask = compiled(structure, {**rules, "born": DateShift(entity="sensor")}, namespaces=namespaces)
    assert mask.warnings == () or "the masks of born may give two rows the same values" in mask.warnings[0]
    assert "can give two values the same mask" in only(
        told(structure, {**rules, "born": Constant("2020-01-01")}, namespaces=namespaces)
    )


def test_folding_case_under_an_index_that_tells_it_apart_is_refused() -> None:
    unique: dict[str, Any] = {"unique_keys": (UniqueKey("u", ("email",)),)}
    structure = structure_of(ID, EMAIL, **unique)
    problem = only(told(structure, {"id": "public", "email": Email()}))
    assert problem.endswith("Fix: Namespace('email', normalise=('nfc', 'trim'))")
    apart = [Namespace("email", normalise=("nfc", "trim"))]
    assert told(structure, {"id": "public", "email": Email()}, namespaces=apart) == []
    for ignoring in (column("email", "citext"), column("email", collation="utf8mb4_0900_ai_ci")):
        assert told(structure_of(ID, ignoring, **unique), {"id": "public", "email": Email()}) == []


def test_an_expression_index_over_a_masked_column_is_a_warning() -> None:
    definition = "CREATE UNIQUE INDEX u ON customers (lower(email))"
    structure = structure_of(ID, EMAIL, indexes=(Index("u", (), unique=True, definition=definition),))
    (warning,) = compiled(structure, {"id": "public", "email": Email()}).warnings
    assert "the unique index u" in warning


def test_what_is_drawn_by_row_needs_a_key_of_the_rows() -> None:
    structure = structure_of(ID, EMAIL, key=())
    table = listed(structure, {"id": "public", "email": PersonName()})
    assert "draws by row, and the table has no key" in only(refused(policy_of(table), structure))
    assert refused(policy_of(replace(table, row_key=("id",))), structure) == []
    wrong = refused(policy_of(replace(table, row_key=("no",))), structure)
    assert "row_key names 'no', and the table has no such column" in wrong[0]


def test_k_anonymity_is_of_columns_that_there_are() -> None:
    table = listed(PLAIN, {"id": "public", "email": Email()})
    problem = only(refused(policy_of(replace(table, k_min=5, quasi_identifiers=("city",))), PLAIN))
    assert "quasi_identifiers names 'city'" in problem
    assert "k_min is of no columns" in only(refused(policy_of(replace(table, k_min=5)), PLAIN))


# --- references ------------------------------------------------------------------------

ORDERS = TableId("shop", "public", "orders")
CHILD = structure_of(
    ID,
    column("customer_id", "bigint"),
    table=ORDERS,
    foreign_keys=(ForeignKey("fk", ("customer_id",), PLAIN.table, ("id",)),),
)


def of_pair(parent: Any, child: Any, structure: TableStructure = CHILD, **more: Any) -> tuple[str, ...]:
    policy = policy_of(
        listed(PLAIN, {"id": parent, "email": Email()}),
        listed(structure, {"id": "public", "customer_id": child}),
    )
    tables = [(each, schema_of(each)) for each in (PLAIN, structure)]
    return policy_problems(policy, tables, ["public"], KEYS, **more)


@pytest.mark.parametrize(
    ("parent", "child"),
    [
        (IntegerId("id"), IntegerId("id")),
        ("public", "public"),
        ("public", Null()),
        (IntegerId("id"), Null()),
    ],
)
def test_a_reference_whose_sides_are_masked_alike_is_accepted(parent: Any, child: Any) -> None:
    assert of_pair(parent, child) == ()


@pytest.mark.parametrize(
    ("parent", "child"),
    [(IntegerId("id"), "public"), ("public", IntegerId("id")), (IntegerId("id"), IntegerId("other"))],
)
def test_a_reference_whose_sides_differ_is_refused(parent: Any, child: Any) -> None:
    namespaces = (*NAMESPACES, Namespace("other", low=1, high=2**31 - 1))
    policy = policy_of(
        listed(PLAIN, {"id": parent, "email": Email()}),
        listed(CHILD, {"id": "public", "customer_id": child}),
        namespaces=namespaces,
    )
    (problem,) = policy_problems(
        policy, [(each, schema_of(each)) for each in (PLAIN, CHILD)], ["public"], KEYS
    )
    assert problem.startswith("shop.public.orders.customer_id: it refers to shop.public.customers.id")
    assert "Fix: one rule by value with one namespace for both" in problem


def test_a_reference_that_a_subset_declares_is_held_to_the_same() -> None:
    bare = replace(CHILD, foreign_keys=())
    virtual = {"shop.public.orders.customer_id": "shop.public.customers.id"}
    assert of_pair(IntegerId("id"), "public", bare) == ()
    assert len(of_pair(IntegerId("id"), "public", bare, virtual_keys=virtual)) == 1


def test_a_parent_that_is_not_copied_asks_for_nothing() -> None:
    policy = policy_of(listed(CHILD, {"id": "public", "customer_id": IntegerId("id")}))
    assert policy_problems(policy, [(CHILD, schema_of(CHILD))], ["public"], KEYS) == ()


def test_a_refresh_that_goes_on_with_changes_needs_keys_that_deletes_can_be_found_by() -> None:
    day, made = column("day", "date", nullable=False), column("made", "bigint")
    structure = structure_of(ID, day, made, key=("id", "day"))
    rules: dict[str, Any] = {"id": "public", "day": DateShift(entity="made"), "made": "public"}
    policy = policy_of(listed(structure, rules))
    tables = [(structure, schema_of(structure))]
    assert policy_problems(policy, tables, ["public"], KEYS) == ()
    (problem,) = policy_problems(policy, tables, ["public"], KEYS, changes=True)
    assert "needs more than the key of a deleted row" in problem


def test_problems_of_all_tables_are_told_together() -> None:
    tables = [(each, schema_of(each)) for each in (PLAIN, CHILD)]
    found = policy_problems(policy_of(), tables, ["public"], KEYS)
    assert {problem.partition(": ")[0] for problem in found} == {
        "shop.public.customers",
        "shop.public.customers.id",
        "shop.public.customers.email",
        "shop.public.orders",
        "shop.public.orders.id",
        "shop.public.orders.customer_id",
    }


def test_rules_at_paths_are_held_to_their_kinds() -> None:
    structure = structure_of(ID, column("doc", "jsonb"))
    found = told(
        structure,
        {
            "id": "public",
            "doc": JsonPaths({"$.a": ColumnDefault(), "$.b": DateShift(entity="id"), "$.c": Email()}),
        },
    )
    assert {path for path in ("$.a", "$.b", "$.c") if any(path in problem for problem in found)} == {
        "$.a",
        "$.b",
    }
