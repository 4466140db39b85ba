"""`dms import` of mappings to Kafka: topics, keys and messages as the rules and the endpoint say."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from replication_assets.catalog import (
    Attribute,
    Compare,
    Computed,
    DeltaProjection,
    DmsEnvelope,
    EnvVar,
    KafkaProjection,
    Messages,
    Shape,
    Where,
)
from replication_assets.cli.app import make_app
from replication_assets_tests.dms.rules_text import include, transform
from replication_assets_tests.dms.test_import import files_of, imported

DMS = DmsEnvelope(
    nulls=False, transaction_details=False, alter_operations=False, control_details=False, table_in_key=False
)
ACTOR = "source.test.actor"


def mapped(
    parameters: dict[str, Any] | None = None, action: str = "map-record-to-record", /, **more: Any
) -> Any:
    locator = {"schema-name": "test", "table-name": "actor"}
    head = {"rule-type": "object-mapping", "rule-action": action, "object-locator": locator, **more}
    return head if parameters is None else {**head, "mapping-parameters": parameters}


def feed(folder: Path, *rules: dict[str, Any], options: tuple[str, ...] = (), **more: Any) -> KafkaProjection:
    catalog = imported(folder, *files_of(folder, include("actor"), *rules, **more), *options)
    assert catalog.projections == ()
    (projection,) = catalog.topics
    assert isinstance(projection, KafkaProjection)
    return projection


def messages(folder: Path, *rules: dict[str, Any]) -> Messages:
    (found,) = feed(folder, *rules).messages
    return found


def endpoint(folder: Path, **settings: Any) -> tuple[str, ...]:
    (folder / "e.json").write_text(json.dumps({"KafkaSettings": settings}))
    return (str(folder / "e.json"),)


def refusal(folder: Path, *rules: dict[str, Any], options: tuple[str, ...] = ()) -> str:
    files = files_of(folder, include("actor"), *rules)
    result = CliRunner().invoke(make_app(plain=True), ["dms", "import", *files, *options])
    assert (result.exit_code, result.stdout) == (2, "")
    return result.stderr


def test_what_is_not_said_is_as_the_endpoint_of_dms_has_it(tmp_path: Path) -> None:
    projection = feed(tmp_path, options=("--target", "kafka"))
    assert projection == KafkaProjection(
        "topics", tables=[ACTOR], bootstrap_servers="broker.example.com:9092", envelope="dms",
        topic="kafka-default-topic", format="json", dms=DMS,
    )  # fmt: skip


def test_a_rule_names_its_topic_and_the_brokers_are_an_option(tmp_path: Path) -> None:
    rule = mapped({"partition-key-type": "schema-table"}, **{"kafka-target-topic": "actors"})
    projection = feed(tmp_path, rule, options=("--brokers", "b-1:9092,b-2:9092"))
    assert projection.bootstrap_servers == "b-1:9092,b-2:9092"
    assert projection.messages == (Messages(ACTOR, topic="actors", partition_key="schema-table"),)


def test_settings_of_the_endpoint_are_those_of_the_projection(tmp_path: Path) -> None:
    given = endpoint(
        tmp_path, Broker="k-1:9094", Topic="all", MessageFormat="json-unformatted", MessageMaxBytes=500000,
        IncludeTransactionDetails=True, IncludePartitionValue=True, PartitionIncludeSchemaTable=True,
        IncludeTableAlterOperations=True, IncludeControlDetails=True, IncludeNullAndEmpty=True,
        NoHexPrefix=True, SecurityProtocol="sasl-ssl", SaslUsername="writer",
    )  # fmt: skip
    assert feed(tmp_path, options=given) == KafkaProjection(
        "topics", tables=[ACTOR], bootstrap_servers="k-1:9094", envelope="dms", topic="all",
        message_max_bytes=500000, dms=DmsEnvelope(partition_value=True, table_in_key=True, hex_prefix=False),
        sasl="scram-sha-512", user="writer", password=EnvVar("TOPICS_PASSWORD"),
    )  # fmt: skip
    plain = feed(tmp_path, options=endpoint(tmp_path, Broker="k-1:9092", SecurityProtocol="plaintext"))
    assert (plain.tls, plain.format, plain.topic) == (False, "json", "kafka-default-topic")


def test_settings_that_are_not_known_and_passwords_are_named_and_no_value_is_shown(tmp_path: Path) -> None:
    given = endpoint(tmp_path, Broker="k-1:9092", IncludeNulls=True, SaslPassword="canary-7f")
    files = files_of(tmp_path, include("actor"))
    result = CliRunner().invoke(make_app(plain=True), ["dms", "lint", *files, *given])
    assert result.exit_code == 3
    assert "IncludeNulls" in result.stdout
    assert "SaslPassword is not read" in result.stdout
    assert "canary-7f" not in result.output


def test_attributes_constants_and_columns_in_another_case_are_declared(tmp_path: Path) -> None:
    parameters = {
        "partition-key-type": "attribute-name", "partition-key-name": "Name",
        "exclude-columns": ["FIRST_NAME", "note"],
        "attribute-mappings": [
            {"target-attribute-name": "Name", "attribute-type": "scalar", "attribute-sub-type": "string",
             "value": "${FIRST_NAME} (${id})"},
            {"target-attribute-name": "paid", "attribute-type": "scalar", "attribute-sub-type": "number",
             "value": "${paid}"},
            {"target-attribute-name": "Notes", "attribute-type": "document", "attribute-sub-type": "json",
             "value": {"all": ["${note}", 1, 2.5, True]}}],
    }  # fmt: skip
    assert messages(tmp_path, mapped(parameters, "map-record-to-document")) == Messages(
        ACTOR,
        key="${first_name} (${id})",
        exclude=["first_name", "note"],
        columns="document",
        attributes=[
            Attribute("Name", "${first_name} (${id})", type="string"),
            Attribute("paid", "${paid}", type="number"),
            Attribute("Notes", fields=[Attribute("all", elements=[
                Attribute("", "${note}", type="string"), Attribute("", constant=1),
                Attribute("", constant="2.5", type="number"), Attribute("", constant=True)])]),
        ],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("parameters", "key"),
    [
        ({"partition-key": {"value": "one ${place"}}, "one $${place"),
        ({"partition-key-type": "attribute-name", "partition-key-name": "note"}, "${note}"),
        ({"partition-key-type": "primary-key"}, None),
    ],
)
def test_keys_are_constants_columns_or_the_primary_key(
    tmp_path: Path, parameters: dict[str, Any], key: str | None
) -> None:
    rule = mapped(parameters, **{"kafka-target-topic": "t"})
    assert messages(tmp_path, rule) == Messages(ACTOR, topic="t", key=key)


def test_transformations_and_filters_are_the_shape_of_the_messages(tmp_path: Path) -> None:
    positive = {"filter-type": "source", "column-name": "id",
                "filter-conditions": [{"filter-operator": "gte", "value": "1"}]}  # fmt: skip
    files = files_of(
        tmp_path,
        include("actor", filters=[positive]),
        transform("rename", "table", value="player"),
        transform("rename", value="given", **{"column-name": "first_name"}),
        transform("remove-column", **{"column-name": "note"}),
        transform("add-column", value="both", expression="$id||$first_name",
                  **{"data-type": {"type": "string", "length": 60}}),
        mapped({"attribute-mappings": [{"attribute-name": "n", "value": "${first_name}: ${note}"}]},
               **{"kafka-target-topic": "t"}),
    )  # fmt: skip
    (projection,) = imported(tmp_path, *files).topics
    assert projection.messages == (
        Messages(
            ACTOR,
            topic="t",
            attributes=[Attribute("n", "${given}: ${note}", type="string")],
            exclude=["note"],
            table_name="player",
        ),
    )
    assert projection.shapes == (
        Shape(
            ACTOR,
            where=[Where("id", [Compare("gte", ["1"])])],
            rename={"first_name": "given"},
            computed=[Computed("both", "$id||$first_name", "string(60)")],
        ),
    )


def test_a_removed_column_is_in_no_message_with_a_rule_and_without(tmp_path: Path) -> None:
    removed = transform("remove-column", **{"column-name": "note"})
    assert messages(tmp_path, removed, mapped(**{"kafka-target-topic": "t"})).exclude == ("note",)
    bare = feed(tmp_path, removed, options=("--target", "kafka"))
    assert (bare.messages, bare.shapes) == ((), (Shape(ACTOR, exclude=["note"]),))


@pytest.mark.parametrize(("given", "told"), [("pk-only", "key"), ("all", "all"), ("non-lob", "all")])
def test_before_images_are_those_of_the_task_settings(tmp_path: Path, given: str, told: str) -> None:
    images = {"EnableBeforeImage": True, "FieldName": "was", "ColumnFilter": given}
    options = ("--target", "kafka")
    projection = feed(tmp_path, options=options, settings={"BeforeImageSettings": images})
    assert projection.before_images
    assert (projection.dms.before_field, projection.dms.before_columns) == ("was", told)


@pytest.mark.parametrize(
    ("parameters", "options", "named"),
    [
        ({"partition-key-type": "transaction-id"}, (), "a loaded row has none"),
        ({"partition-key-type": "primary-key", "exclude-columns": ["Nobody"]}, (), "no column"),
        ({"partition-key-type": "attribute-name", "partition-key-name": "d", "attribute-mappings": [
            {"attribute-name": "d", "value": {"a": "${id}"}}]}, (), "is a document, which is no key"),
        ({"partition-key-type": "primary-key", "attribute-mappings": [
            {"attribute-name": "d", "value": {"a": None}}]}, (), "constant null"),
    ],
)  # fmt: skip
def test_what_no_topic_can_be_is_refused_by_name(
    tmp_path: Path, parameters: dict[str, Any], options: tuple[str, ...], named: str
) -> None:
    rule = mapped(parameters, **({} if options else {"kafka-target-topic": "t"}))
    told = refusal(tmp_path, rule, options=options)
    assert named in told
    assert "Fix: " in told


def test_tables_with_a_rule_go_to_topics_and_others_to_the_lake(tmp_path: Path) -> None:
    film = {"schema": "test", "name": "film", "key": ["id"], "columns": {"id": "int"}}
    files = files_of(tmp_path, include("%"), mapped({"partition-key-type": "primary-key"}))
    known = json.loads((tmp_path / "t.json").read_text())
    (tmp_path / "t.json").write_text(json.dumps({"tables": [*known["tables"], film]}))
    catalog = imported(tmp_path, *files)
    (lake,) = catalog.projections
    assert isinstance(lake, DeltaProjection)
    assert (lake.tables, catalog.topics[0].tables) == (("source.test.film",), (ACTOR,))
