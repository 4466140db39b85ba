"""Tables and wires of the tests of this room: short waits, and no secrets."""

from __future__ import annotations

from replication_assets.targets.dynamodb.wire.credentials import Credentials
from replication_assets.targets.dynamodb.wire.exchange import Patience
from replication_assets.targets.dynamodb.wire.wire import Wire, WireSettings
from replication_assets_tests.dynamodb_servers import DynamoDbServer, fresh_table_name


def open_wire(
    server: DynamoDbServer,
    *,
    endpoint_url: str | None = None,
    connections: int = 16,
    patience: Patience | None = None,
) -> Wire:
    return Wire.open(
        WireSettings(
            region=server.region,
            endpoint_url=endpoint_url or server.endpoint_url,
            credentials=Credentials(server.access_key, server.secret_key),
            connections=connections,
            patience=patience or Patience(max_age=60),
            backoff_base=0.002,
            backoff_longest=0.1,
        )
    )


def numbered(count: int, text: str = "x") -> list[str]:
    """Items `k00000`, `k00001` ... as JSON, each with its number."""
    return [
        f'{{"pk":{{"S":"k{each:05}"}},"n":{{"N":"{each}"}},"t":{{"S":"{text}"}}}}' for each in range(count)
    ]


def create_table(server: DynamoDbServer, *, sort_key: bool = False) -> str:
    """A table with the partition key `pk` and, where asked for, the sort key `sk`: both text."""
    table = fresh_table_name()
    keys = {"pk": "HASH", "sk": "RANGE"} if sort_key else {"pk": "HASH"}
    server.client().create_table(
        TableName=table,
        KeySchema=[{"AttributeName": name, "KeyType": kind} for name, kind in keys.items()],
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in keys],
        BillingMode="PAY_PER_REQUEST",
    )
    return table
