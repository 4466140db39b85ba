"""The contract of all targets, over statements of Oracle that DuckDB runs."""

from __future__ import annotations

import pytest

from replication_assets.core.schema import TableId
from replication_assets_tests.contracts.projection_target import (
    ProjectionTargetContract,
    random_histories_equal_a_dict,
)
from replication_assets_tests.contracts.target_view import TargetViewContract
from replication_assets_tests.targets.sql.projection.oracle.translated import (
    TranslatedPlace,
    TranslatedServer,
)


class TestTranslated(ProjectionTargetContract, TargetViewContract):
    @pytest.fixture
    def place(self) -> TranslatedPlace:
        return TranslatedPlace()


def test_any_history_in_any_pieces_equals_a_dict() -> None:
    server, count = TranslatedServer(), iter(range(10**6))
    random_histories_equal_a_dict(lambda: TranslatedPlace(server, TableId("shop", "s", f"t{next(count)}")))
