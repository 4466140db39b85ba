"""PostgreSQL to a topic in messages that are declared: other names, keys and attributes, filtered rows.

What is expected is what a plain consumer reads from a real broker.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from replication_assets.catalog import Attribute, Compare, Computed, DmsEnvelope, Messages, Shape, Where
from replication_assets.errors import CatalogError, TargetError
from replication_assets_tests.e2e.test_topics import ORDERS, Found, TopicWriter, messages, writer
from replication_assets_tests.kafka_servers import Broker
from replication_assets_tests.postgres_servers import FreshDatabase

BARE = DmsEnvelope(nulls=False, transaction_details=False, table_in_key=False)
CREATED = (
    "CREATE TABLE orders (id bigint PRIMARY KEY, first text, last text, dept text, paid numeric(9,2))",
    "INSERT INTO orders VALUES (1, 'Ida', 'Moss', 'tech', 9.50), (2, 'Kim', 'Roe', 'hr', NULL)",
)


def filled(made: TopicWriter) -> TopicWriter:
    made.execute(*CREATED)
    made.prepare()
    made.load_all()
    made.publish()
    return made


def told(broker: Broker, made: TopicWriter) -> list[tuple[bytes, str, Any]]:
    found = sorted(messages(broker, made.topic), key=_number)
    return [(each.key, each.value["metadata"]["operation"], each.value["data"]) for each in found]


def _number(found: Found) -> int:
    return int(found.headers["replication-number"])


def test_a_key_made_of_other_columns_is_that_of_the_row_also_where_it_is_deleted(
    broker: Broker, tmp_path: Path, database: FreshDatabase
) -> None:
    """The source tells of a delete the primary key alone."""
    declared = Messages(
        str(ORDERS),
        topic=f"{tmp_path.name}.people",
        key="${last}, ${first}",
        exclude=["first", "last", "dept"],
        attributes=[Attribute("name", "${first} ${last}")],
        columns="document",
    )
    made = filled(writer(database, broker, tmp_path, messages=[declared], dms=BARE))
    made.execute(
        "UPDATE orders SET last = 'Sand' WHERE id = 1",
        "DELETE FROM orders WHERE id = 1",
        "INSERT INTO orders VALUES (1, 'New', 'One', 'tech', 1)",
        "DELETE FROM orders WHERE id = 1",
        "DELETE FROM orders WHERE id = 2",
    )
    made.capture()
    made.publish()
    assert made.topic == f"{tmp_path.name}.people"
    assert told(broker, made) == [
        (b"Moss, Ida", "load", {"_doc": {"id": 1, "paid": 9.50}, "name": "Ida Moss"}),
        (b"Roe, Kim", "load", {"_doc": {"id": 2}, "name": "Kim Roe"}),
        (b"Sand, Ida", "update", {"_doc": {"id": 1, "paid": 9.50}, "name": "Ida Sand"}),
        (b"Sand, Ida", "delete", {"_doc": {"id": 1}, "name": "Ida Sand"}),
        (b"One, New", "insert", {"_doc": {"id": 1, "paid": 1}, "name": "New One"}),
        (b"One, New", "delete", {"_doc": {"id": 1}, "name": "New One"}),
        (b"Roe, Kim", "delete", {"_doc": {"id": 2}, "name": "Kim Roe"}),
    ]


def test_rows_follow_the_filters_of_a_shape_and_columns_its_names(
    broker: Broker, tmp_path: Path, database: FreshDatabase
) -> None:
    shape = Shape(
        str(ORDERS),
        where=[Where("dept", [Compare("eq", ["tech"])])],
        exclude=["first", "paid"],
        rename={"last": "surname"},
        computed=[Computed("initial", "substr($first, 1, 1)", "string(1)")],
    )
    made = filled(writer(database, broker, tmp_path, shapes=[shape], dms=BARE, partitions=1))
    made.execute(
        "UPDATE orders SET dept = 'tech' WHERE id = 2",
        "UPDATE orders SET dept = 'hr' WHERE id = 1",
        "INSERT INTO orders VALUES (3, 'Out', 'Side', 'hr', 1)",
        "DELETE FROM orders WHERE id = 2",
    )
    made.capture()
    made.publish()
    assert told(broker, made) == [
        (b"1", "load", {"id": 1, "surname": "Moss", "dept": "tech", "initial": "I"}),
        (b"2", "update", {"id": 2, "surname": "Roe", "dept": "tech", "initial": "K"}),
        (b"1", "delete", {"id": 1}),
        (b"2", "delete", {"id": 2}),
    ]


def test_a_filtered_topic_never_tells_a_row_outside_of_the_filter(
    broker: Broker, tmp_path: Path, database: FreshDatabase
) -> None:
    """The source tells old rows whole."""
    shape = Shape(str(ORDERS), where=[Where("dept", [Compare("eq", ["tech"])])], types={"last": "string(4)"})
    made = writer(database, broker, tmp_path, shapes=[shape], dms=BARE, partitions=1, before_images=True)
    made.execute(*CREATED, "ALTER TABLE orders REPLICA IDENTITY FULL")
    made.prepare()
    made.load_all()
    made.publish()
    made.execute(
        "INSERT INTO orders VALUES (3, 'Out', 'Secretly', 'hr', 1)",
        "UPDATE orders SET last = 'Secrets' WHERE id = 3",
        "DELETE FROM orders WHERE id = 3",
        "UPDATE orders SET dept = 'tech', paid = 5 WHERE id = 2",
        "UPDATE orders SET paid = 6 WHERE id = 2",
        "DELETE FROM orders WHERE id = 2",
    )
    made.capture()
    made.publish()
    found = sorted(messages(broker, made.topic), key=_number)[1:]
    assert [
        (each.value["metadata"]["operation"], each.value["data"], each.value.get("before-image"))
        for each in found
    ] == [
        ("delete", {"id": 3}, None),
        ("delete", {"id": 3}, None),
        ("update", {"id": 2, "first": "Kim", "last": "Roe", "dept": "tech", "paid": 5}, None),
        ("update", {"id": 2, "first": "Kim", "last": "Roe", "dept": "tech", "paid": 6}, {"id": 2, "paid": 5}),
        ("delete", {"id": 2, "first": "Kim", "dept": "tech", "paid": 6}, None),
    ]


def test_rows_that_left_the_filter_unseen_are_deleted_once_their_range_is_loaded_again(
    broker: Broker, tmp_path: Path, database: FreshDatabase
) -> None:
    shape = Shape(str(ORDERS), where=[Where("dept", [Compare("eq", ["tech"])])], exclude=["first", "paid"])
    made = filled(writer(database, broker, tmp_path, shapes=[shape], dms=BARE, partitions=1))
    made.execute("UPDATE orders SET dept = 'hr', last = 'Secret' WHERE id = 1")
    made.recover()
    made.load_all()
    made.publish()
    assert told(broker, made) == [
        (b"1", "load", {"id": 1, "last": "Moss", "dept": "tech"}),
        (b"1", "delete", {"id": 1}),
        (b"2", "delete", {"id": 2}),
    ]


TECH = Shape(str(ORDERS), where=[Where("dept", [Compare("eq", ["tech"])])])


def test_a_number_is_never_given_twice_though_a_changed_declaration_makes_fewer_messages(
    broker: Broker, tmp_path: Path, database: FreshDatabase
) -> None:
    made = filled(writer(database, broker, tmp_path, partitions=1))
    made.execute("INSERT INTO orders VALUES (3, 'New', 'One', 'tech', 1)")
    made.capture()
    made.changed(shapes=[TECH]).publish()
    assert [_number(each) for each in messages(broker, made.topic)] == [1, 2, 3]


def test_a_changed_declaration_stops_a_topic_whose_last_step_lacks_messages_by_it(
    broker: Broker, tmp_path: Path, database: FreshDatabase
) -> None:
    made = filled(writer(database, broker, tmp_path, partitions=1, shapes=[TECH]))
    changed = made.changed(shapes=[])
    with pytest.raises(TargetError, match="--rebuild"):
        changed.publish()
    assert len(messages(broker, made.topic)) == 1
    assert made.publish().messages == 0
    assert changed.publish(rebuild=True).messages == 2
    assert changed.publish().messages == 0


def test_a_key_that_is_loaded_away_has_the_key_of_its_message(
    broker: Broker, tmp_path: Path, database: FreshDatabase
) -> None:
    declared = Messages(str(ORDERS), key="${last}", columns="none", attributes=[Attribute("id", "${id}")])
    made = filled(writer(database, broker, tmp_path, messages=[declared], dms=BARE))
    made.execute("ALTER TABLE orders DISABLE TRIGGER ALL", "DELETE FROM orders WHERE id = 2")
    made.recover()
    made.load_all()
    made.publish()
    assert told(broker, made)[-2:] == [(b"Moss", "load", {"id": 1}), (b"Roe", "delete", {"id": 2})]


def test_a_column_that_is_not_there_stops_the_topic_before_anything_is_told(
    broker: Broker, tmp_path: Path, database: FreshDatabase
) -> None:
    made = writer(database, broker, tmp_path, messages=[Messages(str(ORDERS), exclude=["First"])])
    with pytest.raises(CatalogError, match="did you mean first"):
        filled(made)
    assert messages(broker, made.topic) == []
