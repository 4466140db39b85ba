"""Dead letters of a real target from the command line: counted, shown, retried, given up."""

from __future__ import annotations

import json

import pytest

from replication_assets_tests.cli.conftest import Project
from replication_assets_tests.dynamodb_servers import DynamoDbServer, fresh_table_name

PROJECTION = """
        DynamoDbProjection(
            "served",
            items=[
                Items(
                    "shop.public.documents",
                    {table!r},
                    partition_key=ItemKey("pk", "document#${{id}}"),
                    types={{"body": "json"}},
                )
            ],
            endpoint_url={url!r},
            region={region!r},
            access_key_id=EnvVar("TEST_KEY"),
            secret_access_key=EnvVar("TEST_SECRET"),
            control_table={control!r},
        ),
"""
NAMES = "from replication_assets import DynamoDbProjection, ItemKey, Items\n"


@pytest.fixture
def served(project: Project, moto_dynamodb: DynamoDbServer, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Documents in DynamoDB, one of them malformed."""
    table = fresh_table_name()
    projection = PROJECTION.format(
        table=table, url=moto_dynamodb.endpoint_url, region=moto_dynamodb.region, control=f"{table}_control"
    )
    project.edit_catalog("from pathlib", NAMES + "from pathlib")
    project.edit_catalog("projections=[", "projections=[" + projection)
    project.edit_catalog("tables=[", 'tables=[Table("shop.public.documents"),')
    project.more["TEST_KEY"], project.more["TEST_SECRET"] = moto_dynamodb.access_key, moto_dynamodb.secret_key
    project.sql(
        "CREATE TABLE documents (id int PRIMARY KEY, body text)",
        """INSERT INTO documents VALUES (1, '{"a": 1}'), (2, '{"a": '), (3, 'not at all')""",
    )
    project.run("check")
    project.run("setup", "shop")
    project.run("load", "documents")
    projected = project.run("project", "served", code=3).err
    assert "replaced, 3 rows" in projected
    assert "2 dead letters are open. See: replication-assets dead-letters list served" in projected
    return project


def test_letters_are_counted_shown_retried_and_given_up(served: Project) -> None:
    listed = served.run("dead-letters", "list", code=3)
    assert [line.split() for line in listed.lines[1:]] == [
        ["served", "shop.public.documents", "2", "malformed-json", "body"]
    ]
    document = json.loads(served.run("dead-letters", "list", "--json", code=3).text)
    assert (document["open"], document["dead_letters"][0]["suspended"]) == (2, None)
    shown = served.run("dead-letters", "show", "served", "documents")
    assert '{"id":"2"}' in shown.text
    assert "not at all" not in shown.text, "values are shown to whoever asks for them"
    events = served.run("dead-letters", "show", "served", "documents", "--events").lines
    assert sorted(json.loads(line)["body"] for line in events) == ["not at all", '{"a": ']
    assert "2 refused again" in served.run("dead-letters", "retry", "served", code=3).err
    served.sql("""UPDATE documents SET body = '{"a": 2}' WHERE id = 2""")
    served.run("capture", "shop")
    served.run("project", "served", code=3)
    assert served.run("dead-letters", "list", code=3).lines[1].split()[2] == "1"
    assert "Fix: --yes" in served.run("dead-letters", "discard", "served", code=2).err
    assert "1 dead letter is discarded" in served.run("dead-letters", "discard", "served", "--yes").err
    assert "No dead letter is open." in served.run("dead-letters", "list").err
    assert "was not suspended" in served.run("dead-letters", "resume", "served").err
    found = served.run("query", "SELECT count(*) AS n FROM served.documents", "--format", "json")
    assert json.loads(found.text) == {"n": 3}


def test_a_projection_that_takes_every_row_says_so(project: Project) -> None:
    refused = project.run("dead-letters", "list", "lake", code=2)
    assert "projection lake takes every row" in refused.err
