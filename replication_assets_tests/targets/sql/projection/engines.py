"""Each engine in turn, as a fixture: `places(table)` gives a fresh place on it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from replication_assets.core.schema import TableId
from replication_assets_tests.targets.sql.projection.places import (
    MariaDbPlace,
    PostgresPlace,
    SqlitePlace,
    SqlPlace,
)

Places: TypeAlias = Callable[[TableId], SqlPlace]


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def places(request: pytest.FixtureRequest, tmp_path: Path) -> Places:
    if request.param == "sqlite":
        return lambda table: SqlitePlace(tmp_path, table)
    if request.param == "postgresql":
        database = request.getfixturevalue("database")
        return lambda table: PostgresPlace(database, table)
    prefix = request.getfixturevalue("mariadb_prefix")
    return lambda table: MariaDbPlace(prefix, table)


def asking_for_places(*modules: Any, left_out: Collection[str] = ()) -> dict[str, Any]:
    """Tests of modules that ask for `places`: in another module they are given those of that one."""
    return {
        name: test
        for module in modules
        for name, test in vars(module).items()
        if name.startswith("test_")
        and name not in left_out
        and "places" in test.__code__.co_varnames[: test.__code__.co_argcount]
    }
