"""Conditions of writes: what is read of them, what is refused, and what a request says."""

from __future__ import annotations

import dataclasses
from typing import Any

import boto3
import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from replication_assets.core.items.conditions import holds_of_nothing, parse
from replication_assets.core.items.guards import Guard, written
from replication_assets.core.items.mapping import ItemMapping
from replication_assets.core.items.rules import spec_problems
from replication_assets.core.items.spec import Attribute, WriteCondition
from replication_assets.errors import CatalogError
from replication_assets_tests.core.items.tables import SCHEMA, only, rows_of
from replication_assets_tests.dynamodb_servers import DynamoDbServer
from replication_assets_tests.targets.dynamodb.tables_for_tests import create_table

VALUES: dict[str, Any] = {
    ":n": {"N": "1"}, ":m": {"N": "2"}, ":s": {"S": "x"}, ":t": {"S": "N"}
}  # fmt: skip
SIMPLE = [
    "attribute_exists(a)",
    "attribute_not_exists(a)",
    "attribute_not_exists(m.k[0])",
    "attribute_type(a, :t)",
    "a = :n",
    "a <> :n",
    "a >= :m",
    "NOT a < :n",
    "a BETWEEN :n AND :m",
    "NOT t BETWEEN :n AND :m",
    "a IN (:n, :s)",
    "size(t) <= :n",
    "size(t) <> :m",
    "begins_with(t, :s)",
    "contains(t, :s)",
    "t = a",
    "m.k[1] <> :m",
    "m.k[0] = :n",
    "#status = :s",
]
NAMES = {"#status": "status"}
STANDING = {
    "pk": {"S": "there"},
    "a": {"N": "1"},
    "t": {"S": "xyz"},
    "m": {"M": {"k": {"L": [{"N": "1"}]}}},
    "status": {"S": "x"},
}


expressions = st.recursive(
    st.sampled_from(SIMPLE),
    lambda inner: st.tuples(inner, st.sampled_from(["AND", "or"]), inner).map(
        lambda parts: " ".join(_grouped(each) if at != 1 else each for at, each in enumerate(parts))
    ),
    max_leaves=5,
)


def _grouped(text: str) -> str:
    """DynamoDB refuses two pairs of parentheses around one thing."""
    return f"NOT ({text})" if " or " in text or " AND " in text else text


@given(text=expressions)
@settings(max_examples=60, deadline=None)
def test_what_is_written_holds_wherever_the_declared_expression_does(
    dynamodb_local: DynamoDbServer, conditioned: str, text: str
) -> None:
    client = dynamodb_local.client()
    test = parse(text)
    out = written(test, NAMES)
    said = {name: VALUES[given] for name, given in out.values.items()}
    for key in ("there", "nothing"):
        wanted = holds(client, conditioned, key, text, VALUES, {k: v for k, v in NAMES.items() if k in text})
        assert holds(client, conditioned, key, out.expression, said, out.names) == wanted
        if key == "nothing":
            assert holds_of_nothing(test) == wanted


@pytest.fixture(scope="module")
def conditioned(dynamodb_local: DynamoDbServer) -> str:
    table = create_table(dynamodb_local)
    dynamodb_local.client().put_item(TableName=table, Item=STANDING)
    return table


def holds(client: boto3.client, table: str, key: str, expression: str, values: Any, names: Any) -> bool:
    """Asked by a transaction that changes nothing, of the item with this key."""
    check: dict[str, Any] = {
        "TableName": table, "Key": {"pk": {"S": key}}, "ConditionExpression": expression
    }  # fmt: skip
    used = {name: value for name, value in values.items() if name in expression}
    check |= {"ExpressionAttributeValues": used} if used else {}
    check |= {"ExpressionAttributeNames": dict(names)} if names else {}
    try:
        client.transact_write_items(TransactItems=[{"ConditionCheck": check}])
    except client.exceptions.TransactionCanceledException as cancelled:
        if cancelled.response["CancellationReasons"][0]["Code"] != "ConditionalCheckFailed":
            raise
        return False
    return True


@pytest.mark.parametrize(
    ("expression", "what"),
    [
        ("", "has no end"),
        ("a =", "has no end"),
        ("a", "has no end"),
        ("a = :n AND", "has no end"),
        ("a = :n = :m", "does not end before '='"),
        ("(a = :n", "lacks ')' before 'its end'"),
        ("a == :n", "has '=' where an attribute is wanted"),
        ("a = 5", "has '5' where an attribute is wanted"),
        ("a = 'x'", 'has "\'"'),
        ("attribute_exists(a, b)", "gives attribute_exists 2 operands"),
        ("attribute_exists(:n)", "asks attribute_exists of what is no attribute"),
        ("exists(a)", "has '('"),
        (":n = :m", "compares :n with :m"),
        ("a[x] = :n", "has 'x' where a place in a list is wanted"),
        ("a IN ()", "has ')' where an attribute is wanted"),
        ("a = :n OR " * 500 + "a = :n", "has more than 4096 bytes"),
    ],
)
def test_what_dynamodb_would_not_take_is_refused_with_what_is_wrong(expression: str, what: str) -> None:
    with pytest.raises(ValueError) as refused:
        parse(expression)
    assert what in str(refused.value)


@pytest.mark.parametrize(
    ("condition", "what"),
    [
        (WriteCondition("version <= :v"), "condition: :v is not declared. Fix: add it to values"),
        (WriteCondition("#v = v"), "condition: #v is not declared. Fix: add it to names"),
        (
            WriteCondition("attribute_exists(a)", names={"#b": "b"}),
            "condition: '#b' is declared and not used",
        ),
        (WriteCondition("a = :v", values=[Attribute("v", "${id}")]), "value 'v' has no colon"),
        (WriteCondition("a = v", names={"v": "x"}), "name 'v' has no #"),
        (WriteCondition("_position = a"), "'_position' is what projections keep their books in"),
        (WriteCondition("#p = a", names={"#p": "_origin"}), "'_origin' is what projections keep"),
        (WriteCondition("a = b", on_load=False), "holds neither on loads nor on changes"),
        (WriteCondition("a <", values=[]), "condition: the expression has no end"),
        (
            WriteCondition("a < :v", values=[Attribute(":v", constant=True)]),
            ":v is a boolean, which DynamoDB does not compare so",
        ),
        (
            WriteCondition("attribute_type(a, :v)", values=[Attribute(":v", "${name}")]),
            ":v is no type of DynamoDB",
        ),
        (WriteCondition("a = :v", values=[Attribute(":v")]), "condition value ':v' has nothing to hold"),
    ],
)
def test_a_condition_that_could_not_be_sent_is_a_problem_of_the_declaration(
    condition: WriteCondition, what: str
) -> None:
    found = list(spec_problems(only("name", condition=condition)))
    assert any(what in each for each in found), found


def test_a_column_that_a_value_names_and_the_table_lacks_is_told_beforehand() -> None:
    items = only("name", condition=WriteCondition("a = :v", values=[Attribute(":v", "${nmae}")]))
    with pytest.raises(CatalogError, match="condition value ':v': 'nmae' is no column of the table"):
        ItemMapping(items, SCHEMA)


def test_values_are_of_the_row_and_of_their_declared_type() -> None:
    condition = WriteCondition(
        "a < :v AND b = :w OR c IN (:x, :w)",
        values=[
            Attribute(":v", "${id}", type="number"),
            Attribute(":w", "${name}-${id}"),
            Attribute(":x", constant=5),
        ],
    )
    mapping = ItemMapping(only("name", condition=condition), SCHEMA)
    found = mapping.condition_values(rows_of({"name": 'q"'}, {"name": "z"}))
    assert found.values.to_pylist() == [
        '":c0":{"N":"0"},":c1":{"S":"q\\"-0"},":c2":{"N":"5"}',
        '":c0":{"N":"1"},":c1":{"S":"z-1"},":c2":{"N":"5"}',
    ]
    assert found.refusals == ()


def test_a_row_without_a_value_to_compare_with_is_refused_as_a_whole() -> None:
    condition = WriteCondition("a = :v", values=[Attribute(":v", "${any_number}", type="number")])
    mapping = ItemMapping(only("name", condition=condition), SCHEMA)
    found = mapping.condition_values(rows_of({"any_number": "1"}, {}, {"any_number": "1e200"}))
    assert found.values.is_valid().to_pylist() == [True, False, False]
    assert sorted((each.key, each.column, each.reason) for each in found.refusals) == [
        ('{"id":"1"}', None, "condition-is-null"),
        ('{"id":"2"}', None, "condition-number-out-of-range"),
    ]


def test_attributes_are_always_named_by_placeholders() -> None:
    guard = Guard(WriteCondition("status = name AND a.b[2] <> :v", values=[Attribute(":v", "${id}")]),
                  only("name"), SCHEMA)  # fmt: skip
    assert guard.beside("#p < :p") == (
        "(#p < :p) AND attribute_not_exists(#cd) AND (#c0 = #c1 AND #c2.#c3[2] <> :c0)"
    )
    assert guard.names == {"#c0": "status", "#c1": "name", "#c2": "a", "#c3": "b", "#cd": "_deleted"}


def test_a_declared_condition_can_be_compared_and_hashed_like_any_declaration() -> None:
    one = WriteCondition("a = :v", values=[Attribute(":v", "${id}")])
    same = dataclasses.replace(one, values=(Attribute(":v", "${id}"),))
    assert one == same
    assert hash(one) == hash(same)
