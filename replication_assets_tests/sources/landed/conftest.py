"""A landing place of its own for every test."""

from __future__ import annotations

from pathlib import Path

import pytest

from replication_assets_tests.event_store.conftest import bucket, object_store
from replication_assets_tests.sources.landed.landing import Landing

__all__ = ["bucket", "object_store"]


@pytest.fixture
def landing(tmp_path: Path) -> Landing:
    return Landing(tmp_path)
