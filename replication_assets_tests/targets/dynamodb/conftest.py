"""A wire to each implementation of DynamoDB in turn, and an empty table there."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from replication_assets.targets.dynamodb.wire.wire import Wire
from replication_assets_tests.dynamodb_servers import DynamoDbServer
from replication_assets_tests.targets.dynamodb.tables_for_tests import create_table, open_wire


@pytest.fixture
def wire(dynamodb: DynamoDbServer) -> Iterator[Wire]:
    with open_wire(dynamodb) as opened:
        yield opened


@pytest.fixture
def table(dynamodb: DynamoDbServer) -> str:
    """An empty table with the partition key `pk`, a text."""
    return create_table(dynamodb)
