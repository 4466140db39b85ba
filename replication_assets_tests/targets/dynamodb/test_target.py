"""The DynamoDB target: the contract of all targets, and what is DynamoDB's own."""

from __future__ import annotations

import pytest

from replication_assets_tests.contracts.projection_target import (
    ProjectionTargetContract,
    random_histories_equal_a_dict,
)
from replication_assets_tests.contracts.target_view import TargetViewContract
from replication_assets_tests.dynamodb_servers import DynamoDbServer
from replication_assets_tests.targets.dynamodb.places import EXACT, DynamoDbPlace


class TestContract(ProjectionTargetContract, TargetViewContract):
    @pytest.fixture
    def place(self, dynamodb: DynamoDbServer) -> DynamoDbPlace:
        return DynamoDbPlace(dynamodb, EXACT)

    @pytest.fixture
    def place_of_any_columns(self, dynamodb: DynamoDbServer) -> DynamoDbPlace:
        return DynamoDbPlace(dynamodb)

    def test_a_new_column_is_null_in_old_rows_and_a_dropped_one_in_new_rows(
        self, place_of_any_columns: DynamoDbPlace
    ) -> None:
        super().test_a_new_column_is_null_in_old_rows_and_a_dropped_one_in_new_rows(place_of_any_columns)

    # The target asks for whole rows, and tells rows apart by the key of their item alone.
    test_unchanged_columns_keep_the_stored_value = None
    test_unchanged_columns_keep_their_odd_value_and_no_other = None
    test_unchanged_columns_without_a_stored_row_are_refused_by_name = None
    test_equal_rows_without_key_are_counted_and_deleted_one_by_one = None
    test_odd_values_tell_equal_rows_without_key_apart = None
    test_a_row_without_key_may_come_and_go_in_the_same_changes = None
    test_deleting_a_row_without_key_that_is_not_there_is_refused = None
    test_rows_that_nothing_tells_apart_are_not_repaired = None


def test_any_history_in_any_pieces_equals_a_dict(dynamodb: DynamoDbServer) -> None:
    random_histories_equal_a_dict(lambda: DynamoDbPlace(dynamodb))
