"""The DynamoDB target: rows of source tables as items, written in any order and as often as wanted."""

from replication_assets.targets.dynamodb.settings import DynamoDbSettings
from replication_assets.targets.dynamodb.target import DynamoDbTarget

__all__ = ["DynamoDbSettings", "DynamoDbTarget"]
