"""Files of a DMS task with a Kafka target, imported and run: PostgreSQL to a topic on a real broker.

Messages are as DMS documents them, and are read back through our own source."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from replication_assets.catalog import (
    Catalog,
    DeltaProjection,
    EventStoreConfig,
    KafkaProjection,
    KafkaSourceConfig,
    Table,
)
from replication_assets.cli.app import make_app
from replication_assets_tests.e2e.system import SOURCE, System, system_of
from replication_assets_tests.e2e.test_topics import ORDERS, TopicWriter, messages, through
from replication_assets_tests.kafka_servers import Broker
from replication_assets_tests.postgres_servers import FreshDatabase

LOCATOR = {"schema-name": "public", "table-name": "orders"}
RULES: list[dict[str, Any]] = [
    {"rule-type": "selection", "rule-id": "1", "rule-name": "1", "rule-action": "include",
     "object-locator": LOCATOR},
    {"rule-type": "transformation", "rule-id": "2", "rule-name": "2", "rule-target": "column",
     "rule-action": "rename", "value": "remark", "object-locator": {**LOCATOR, "column-name": "note"}},
    {"rule-type": "object-mapping", "rule-id": "3", "rule-name": "3", "rule-action": "map-record-to-record",
     "object-locator": LOCATOR,
     "mapping-parameters": {
         "partition-key-type": "primary-key", "exclude-columns": ["SECRET"],
         "attribute-mappings": [{"target-attribute-name": "label", "attribute-type": "scalar",
                                 "attribute-sub-type": "string", "value": "order ${id}: ${note}"}]}},
]  # fmt: skip
DETAILS = (
    "IncludeTransactionDetails",
    "IncludeNullAndEmpty",
    "IncludePartitionValue",
    "PartitionIncludeSchemaTable",
    "IncludeTableAlterOperations",
    "IncludeControlDetails",
)
COLUMNS = {"id": "bigint", "note": "text", "n": "numeric(30,10)", "secret": "text"}


def imported(folder: Path, broker: Broker, **endpoint: Any) -> Catalog:
    """The catalog that `dms import` prints."""
    rules = [
        {**rule, "kafka-target-topic": folder.name} if rule["rule-type"] == "object-mapping" else rule
        for rule in RULES
    ]
    images = {"EnableBeforeImage": True, "FieldName": "before-image", "ColumnFilter": "all"}
    settings = {"SecurityProtocol": "plaintext", "MessageFormat": "json-unformatted", **endpoint}
    known = {"schema": "public", "name": "orders", "key": ["id"], "columns": COLUMNS}
    files = {
        "mappings.json": {"rules": rules},
        "settings.json": {"BeforeImageSettings": images},
        "endpoint.json": {"KafkaSettings": settings},
        "tables.json": {"tables": [known]},
    }
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content))
    paths = [str(folder / name) for name in files]
    arguments = [*paths[:3], "--tables", paths[3], "--source", SOURCE, "--brokers", broker.address]
    result = CliRunner().invoke(make_app(plain=True), ["dms", "import", *arguments])
    assert result.exit_code == 0, result.output
    names: dict[str, Any] = {}
    exec(result.stdout, names)
    catalog: Catalog = names["catalog"]
    return catalog


def system(database: FreshDatabase, folder: Path, broker: Broker, **endpoint: Any) -> TopicWriter:
    """The imported tables and topics, over the test's own database and store."""
    found = imported(folder, broker, **endpoint)
    made = system_of(database, folder / "writer", list(found.tables))
    topics = [replace(each, partitions=1) for each in found.topics if isinstance(each, KafkaProjection)]
    return TopicWriter(replace(made.catalog, topics=topics).validate(), made.dsn)


def run(made: TopicWriter) -> None:
    made.execute(
        "CREATE TABLE orders (id bigint PRIMARY KEY, note text, n numeric(30,10), secret text)",
        "ALTER TABLE orders REPLICA IDENTITY FULL",
        "INSERT INTO orders VALUES (1, 'a', 12345678901234567890.5, 'canary')",
    )
    made.prepare()
    made.load_all()
    made.publish()
    made.execute(
        "INSERT INTO orders VALUES (2, NULL, 1, 'canary')",
        "UPDATE orders SET note = 'b', secret = 'canary 2' WHERE id = 1",
        "DELETE FROM orders WHERE id = 2",
    )
    made.capture()
    made.publish()


def test_messages_are_as_dms_documents_them(broker: Broker, tmp_path: Path, database: FreshDatabase) -> None:
    made = system(database, tmp_path, broker)
    run(made)
    found = messages(broker, tmp_path.name)
    times = [each.value["metadata"].pop("timestamp") for each in found]
    transactions = [each.value["metadata"].pop("transaction-id", None) for each in found]
    assert all(len(each) == len("2026-06-01T12:00:00.000000Z") for each in times)
    assert [each is None for each in transactions] == [True, False, False, False]

    def metadata(operation: str) -> dict[str, str]:
        return {
            "record-type": "data", "operation": operation, "partition-key-type": "primary-key",
            "schema-name": "public", "table-name": "orders",
        }  # fmt: skip

    first = {"id": 1, "remark": "a", "n": 12345678901234567890.5, "label": "order 1: a"}
    assert [(each.key, each.value) for each in found] == [
        (b"1", {"data": first, "metadata": metadata("load")}),
        (b"2", {"data": {"id": 2, "n": 1.0}, "metadata": metadata("insert")}),
        (b"1", {"data": {**first, "remark": "b", "label": "order 1: b"},
                "before-image": {"id": 1, "remark": "a"}, "metadata": metadata("update")}),
        (b"2", {"data": {"id": 2, "n": 1.0}, "metadata": metadata("delete")}),
    ]  # fmt: skip
    assert "canary" not in str(found)


@pytest.mark.parametrize("included", [True, False])
def test_they_are_read_back_as_rows(
    broker: Broker, tmp_path: Path, database: FreshDatabase, included: bool
) -> None:
    details = dict.fromkeys(DETAILS, included)
    made = system(database, tmp_path, broker, **details)
    run(made)
    read = reader(broker, tmp_path)
    through(read)
    rows = [row for batch in read.target(ORDERS).read() for row in batch.to_pylist()]
    assert [(row["id"], row["remark"], str(row["n"]), row["label"]) for row in rows] == [
        (1, "b", "12345678901234567890.5000000000", "order 1: b")
    ]


def reader(broker: Broker, folder: Path) -> System:
    columns = ["id bigint", "remark text", "n numeric(30,10)", "label text"]
    source = KafkaSourceConfig(
        SOURCE,
        bootstrap_servers=broker.address,
        topics=[folder.name],
        tls=False,
        envelope="dms",
        columns={"public.orders": columns},
    )
    catalog = Catalog(
        event_store=EventStoreConfig(root=str(folder / "reader_store")),
        sources=[source],
        tables=[Table(str(ORDERS), key=["id"])],
        projections=[DeltaProjection("lake", tables=[f"{SOURCE}.*"], root=str(folder / "reader_lake"))],
    )
    return System(catalog.validate(), "")
