"""Items that hold the same are one text, however they were written."""

from __future__ import annotations

from replication_assets.core.items.canonical import canonical, item_size, value_size


def test_spellings_of_numbers_and_orders_of_sets_and_names_do_not_show() -> None:
    one = {
        "b": {"M": {"y": {"N": "1.50"}, "x": {"NS": ["2.0", "10"]}}},
        "a": {"L": [{"N": "1E2"}, {"SS": ["b", "a"]}, {"BS": ["Yg==", "YQ=="]}]},
    }
    other = {
        "a": {"L": [{"N": "100"}, {"SS": ["a", "b"]}, {"BS": ["YQ==", "Yg=="]}]},
        "b": {"M": {"x": {"NS": ["10", "2"]}, "y": {"N": "1.5"}}},
    }
    assert canonical(one) == canonical(other)


def test_the_order_of_a_list_and_the_type_of_a_value_do() -> None:
    texts = [
        canonical({"a": value})
        for value in (
            {"L": [{"S": "1"}, {"S": "2"}]},
            {"L": [{"S": "2"}, {"S": "1"}]},
            {"SS": ["1", "2"]},
            {"NS": ["1", "2"]},
            {"S": "1"},
            {"N": "1"},
            {"B": "MQ=="},
            {"NULL": True},
            {"BOOL": True},
        )
    ]
    assert len(set(texts)) == len(texts)


def test_sizes_follow_the_rules_of_dynamodb() -> None:
    assert value_size({"S": "é€"}) == 5
    assert value_size({"B": "AP8="}) == 2
    assert value_size({"NULL": True}) == value_size({"BOOL": False}) == 1
    assert value_size({"M": {}}) == value_size({"L": []}) == 3
    assert value_size({"M": {"xy": {"S": "abc"}}}) == 3 + 2 + 3 + 1
    assert value_size({"L": [{"S": "a"}, {"S": "b"}]}) == 3 + 2 + 2
    assert value_size({"SS": ["a", "bc"]}) == 3
    assert item_size({"pk": {"S": "a"}, "é": {"NULL": True}}) == 3 + 3
