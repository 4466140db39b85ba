"""The endpoint that takes no time gives back what was written through it: our writes, boto3's reads."""

from dataclasses import replace

from benchmarks import dynamodb_sample as sample
from benchmarks.latency_endpoint import running_endpoint
from replication_assets_tests.dynamodb_servers import DynamoDbServer, fresh_table_name


def test_items_are_read_as_they_were_filled_and_then_changed(dynamodb_local: DynamoDbServer) -> None:
    into = fresh_table_name()
    with running_endpoint(dynamodb_local.endpoint_url) as url:
        target = sample.target(url, into)
        target.replace(sample.ID_RANGE, sample.SCHEMA, sample.folded(100, 2), 1, sample.filled_up_to(2))
        changed = sample.changes(150, 3)
        checkpoint = target.apply(sample.ID_RANGE, sample.SCHEMA, changed, 1, sample.filled_up_to(3))
        assert checkpoint.rows == 150
        keys = [{"pk": {"S": f"order_event#{row}"}} for row in (1, 150, 151)]
        client = replace(dynamodb_local, endpoint_url=url).client()
        found = client.batch_get_item(RequestItems={into: {"Keys": keys}})
    items = {item["id"]["N"]: item["_position"]["S"] for item in found["Responses"][into]}
    assert items.keys() == {"1", "150"}
    assert all(position.startswith("0000000001-00000000000000000003-") for position in items.values())
