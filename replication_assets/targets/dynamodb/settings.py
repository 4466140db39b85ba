"""What a DynamoDB target needs to know beside the declaration of its items."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field

from replication_assets.core.items.spec import Items
from replication_assets.core.sql import Spill
from replication_assets.targets.dynamodb.lease import SECONDS
from replication_assets.targets.dynamodb.wire.wire import WireSettings

FORM = 1
"""Raised when the same declaration comes to make other items, so that ranges are filled anew."""


@dataclass(frozen=True, slots=True)
class DynamoDbSettings:
    """Of one projection. `warm_units`: write units that a table is warmed for while a range is
    filled; with `on_demand_loads` a provisioned table is on demand meanwhile."""

    projection: str
    wire: WireSettings = field(default_factory=WireSettings)
    control_table: str = "replication_assets"
    tombstone_hours: float = 24
    on_demand_loads: bool = False
    warm_units: int | None = None
    lease_seconds: float = SECONDS
    s3_endpoint_url: str | None = None
    spill: Spill = field(default_factory=Spill)


def fingerprint(items: Items) -> str:
    """Of a declaration: differs whenever it may make other items."""
    declared = dataclasses.asdict(items)
    if items.condition is None:
        # A declaration without one makes the items that it made before there were any.
        del declared["condition"]
    told = json.dumps([FORM, declared], sort_keys=True, default=repr)
    return hashlib.sha256(told.encode()).hexdigest()[:32]
