"""`dms import` of mappings to Kinesis: one stream, keys and messages as the rules and the endpoint say."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from replication_assets.catalog import Attribute, Catalog, DmsEnvelope, KinesisProjection, Messages, Shape
from replication_assets.cli.app import make_app
from replication_assets_tests.dms.rules_text import include, transform
from replication_assets_tests.dms.test_import import files_of, imported
from replication_assets_tests.dms.test_import_topics import ACTOR, DMS, mapped

KINESIS = ("--target", "kinesis")
ARN = "arn:aws:kinesis:eu-central-1:123456789012:stream/changes"


def catalog_of(
    folder: Path, *rules: dict[str, Any], options: tuple[str, ...] = KINESIS, **more: Any
) -> Catalog:
    return imported(folder, *files_of(folder, include("actor"), *rules, **more), *options)


def feed(folder: Path, *rules: dict[str, Any], **more: Any) -> KinesisProjection:
    catalog = catalog_of(folder, *rules, **more)
    assert catalog.projections == ()
    (projection,) = catalog.topics
    assert isinstance(projection, KinesisProjection)
    return projection


def endpoint(folder: Path, **settings: Any) -> tuple[str, ...]:
    (folder / "e.json").write_text(json.dumps({"KinesisSettings": settings}))
    return (str(folder / "e.json"),)


def told(folder: Path, *rules: dict[str, Any], command: str = "import", options: tuple[str, ...] = ()) -> str:
    files = files_of(folder, include("actor"), *rules)
    result = CliRunner().invoke(make_app(plain=True), ["dms", command, *files, *options])
    assert result.exit_code in (2, 3)
    return result.output


def test_what_is_not_said_is_as_the_endpoint_of_dms_has_it(tmp_path: Path) -> None:
    """Without a rule all of a table has one key, its name: also what is loaded."""
    assert feed(tmp_path) == KinesisProjection(
        "streams", tables=[ACTOR], stream="name-of-the-stream", envelope="dms", format="json", dms=DMS,
        messages=[Messages(ACTOR, partition_key="schema-table")], region="eu-west-1",
    )  # fmt: skip


def test_settings_of_the_endpoint_are_those_of_the_projection_and_its_engine_is_the_target(
    tmp_path: Path,
) -> None:
    given = endpoint(
        tmp_path, StreamArn=ARN, MessageFormat="JSON_UNFORMATTED", IncludeTransactionDetails=True,
        IncludePartitionValue=True, PartitionIncludeSchemaTable=True, IncludeTableAlterOperations=True,
        IncludeControlDetails=True, IncludeNullAndEmpty=True, NoHexPrefix=True, UseLargeIntegerValue=True,
    )  # fmt: skip
    rule = mapped({"partition-key-type": "primary-key"})
    assert feed(tmp_path, rule, options=given) == KinesisProjection(
        "streams", tables=[ACTOR], stream="changes", envelope="dms", region="eu-central-1",
        dms=DmsEnvelope(partition_value=True, table_in_key=True, hex_prefix=False),
    )  # fmt: skip


def test_the_rule_says_keys_attributes_and_columns_as_for_topics(tmp_path: Path) -> None:
    parameters = {
        "partition-key-type": "attribute-name", "partition-key-name": "Name",
        "exclude-columns": ["FIRST_NAME", "note"],
        "attribute-mappings": [
            {"target-attribute-name": "Name", "attribute-type": "scalar", "attribute-sub-type": "string",
             "value": "${FIRST_NAME} (${id})"}],
    }  # fmt: skip
    files = (mapped(parameters, "map-record-to-document"), transform("rename", "table", value="player"))
    projection = feed(tmp_path, *files)
    assert projection.messages == (
        Messages(
            ACTOR,
            key="${first_name} (${id})",
            exclude=["first_name", "note"],
            columns="document",
            attributes=[Attribute("Name", "${first_name} (${id})", type="string")],
            table_name="player",
        ),
    )
    removed = transform("remove-column", **{"column-name": "note"})
    assert feed(tmp_path, removed).shapes == (Shape(ACTOR, exclude=["note"]),)


def test_before_images_are_those_of_the_task_settings(tmp_path: Path) -> None:
    images = {"EnableBeforeImage": True, "FieldName": "was", "ColumnFilter": "pk-only"}
    projection = feed(tmp_path, settings={"BeforeImageSettings": images})
    assert projection.before_images
    assert (projection.dms.before_field, projection.dms.before_columns) == ("was", "key")


def test_explain_shows_the_message_that_the_stream_gets(tmp_path: Path) -> None:
    given = endpoint(tmp_path, StreamArn=ARN, PartitionIncludeSchemaTable=True)
    rule = mapped({"partition-key-type": "primary-key"})
    files = files_of(tmp_path, include("actor"), rule)
    columns = {"id": "bigint", "first_name": "text"}
    row = {"id": 1, "first_name": "Ann"}
    table = {"schema": "test", "name": "actor", "key": ["id"], "columns": columns, "rows": [row]}
    (tmp_path / "t.json").write_text(json.dumps({"tables": [table]}))
    result = CliRunner().invoke(make_app(plain=True), ["dms", "explain", *files, *given, "--json"])
    assert result.exit_code == 0, result.output
    (sample,) = _samples(json.loads(result.stdout))
    assert (sample["topic"], sample["key"]) == ("changes", "test.actor.1")
    assert sample["value"]["data"] == row


def _samples(document: Any) -> list[dict[str, Any]]:
    if isinstance(document, dict):
        if "sample_messages" in document:
            return list(document["sample_messages"])
        return [each for value in document.values() for each in _samples(value)]
    return [each for value in document for each in _samples(value)] if isinstance(document, list) else []


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"StreamArn": "changes"}, "no ARN of a stream"),
        ({"StreamArn": ARN, "MessageFormat": "csv"}, "MessageFormat is none of"),
        ({"StreamArn": ARN, "IncludeNulls": True}, "IncludeNulls"),
        ({"StreamArn": ARN, "ServiceAccessRoleArn": "arn:aws:iam::1:role/r"}, "a role of DMS"),
    ],
)
def test_settings_that_say_nothing_here_are_named(
    tmp_path: Path, settings: dict[str, Any], named: str
) -> None:
    assert named in told(tmp_path, command="lint", options=endpoint(tmp_path, **settings))


def test_settings_of_another_endpoint_than_the_target_are_refused(tmp_path: Path) -> None:
    given = (*endpoint(tmp_path, StreamArn=ARN), "--target", "kafka")
    assert "settings of a kinesis endpoint, and the target is 'kafka'" in told(tmp_path, options=given)


@pytest.mark.parametrize(
    ("rule", "named"),
    [
        (mapped({"partition-key-type": "transaction-id"}), "a loaded row has none"),
        (mapped(**{"kafka-target-topic": "t"}), "a task has one stream"),
        (mapped({"partition-key-type": "attribute-name", "partition-key-name": "d", "attribute-mappings": [
            {"attribute-name": "d", "value": {"a": "${id}"}}]}), "is a document, which is no key"),
    ],
)  # fmt: skip
def test_what_no_stream_can_be_is_refused_by_name(tmp_path: Path, rule: dict[str, Any], named: str) -> None:
    answer = told(tmp_path, rule, options=KINESIS)
    assert named in answer
    assert "Fix: " in answer
