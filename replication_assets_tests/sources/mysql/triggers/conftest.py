"""A database of a test on a server that keeps no binlog: nobody could read one by mistake."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from replication_assets.sources.mysql.triggers.source import MySqlTriggerSource
from replication_assets_tests.contracts.change_source import Following
from replication_assets_tests.sources.mysql.conftest import Database
from replication_assets_tests.sources.mysql.triggers.places import TriggeredPlace


@pytest.fixture
def place(database: Database) -> TriggeredPlace:
    # The log is a database of the server, and several tests run on one.
    source = MySqlTriggerSource(f"shop_{uuid.uuid4().hex[:8]}", database.connection, load_wait=5)
    return TriggeredPlace(database, captured=source)


@pytest.fixture
def following(place: TriggeredPlace) -> Iterator[Following]:
    yield Following(place)
    place.source.teardown(force=True)
    assert place.source.remains() == ()
