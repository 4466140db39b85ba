"""Every request of a catalog's life is allowed by its policies, and no action is in them for nothing."""

from __future__ import annotations

from collections.abc import Sequence

from replication_assets.iam.catalog_policies import OPERATOR, PROCESS, catalog_policies
from replication_assets.iam.place import place_of
from replication_assets.iam.policy import Document
from replication_assets_tests.iam.conftest import REGION, Life, Request
from replication_assets_tests.iam.evaluation import allows
from replication_assets_tests.iam.recording_server import ACCOUNT

PLACE = place_of(ACCOUNT, REGION)
UNSEEN = {
    # After an upload in parts that failed.
    "s3:AbortMultipartUpload",
}


def policies(life: Life, principal: str) -> list[Document]:
    found = catalog_policies(life.catalog, PLACE)
    return [document for name, document in found.items() if name.startswith(principal)]


def refused(documents: Sequence[Document], requests: Sequence[Request]) -> list[Request]:
    return [each for each in requests if not allows(documents, each.action, each.resource, each.context)]


def actions(documents: Sequence[Document]) -> set[str]:
    return {action for each in documents for statement in each["Statement"] for action in statement["Action"]}


def test_the_process_asks_for_nothing_that_its_policy_does_not_allow(life: Life) -> None:
    assert refused(policies(life, PROCESS), life.by_process) == []


def test_no_action_is_allowed_to_the_process_that_it_never_takes(life: Life) -> None:
    taken = {each.action for each in life.by_process}
    assert actions(policies(life, PROCESS)) - taken == UNSEEN


def test_no_statement_allows_an_action_on_a_resource_that_it_is_not_taken_on(life: Life) -> None:
    """Control table, tables of items, prefixes: each has its own list."""
    for document in policies(life, PROCESS):
        for statement in document["Statement"]:
            for action in set(statement["Action"]) - UNSEEN:
                alone = {**statement, "Action": [action]}
                assert any(
                    allows([{"Statement": [alone]}], each.action, each.resource, each.context)
                    for each in life.by_process
                ), (action, statement["Sid"])


def test_without_any_one_action_something_is_refused(life: Life) -> None:
    documents = policies(life, PROCESS)
    for action in actions(documents) - UNSEEN:
        poorer = [
            {
                "Statement": [
                    {**statement, "Action": [each for each in statement["Action"] if each != action]}
                    for statement in document["Statement"]
                ]
            }
            for document in documents
        ]
        assert {each.action for each in refused(poorer, life.by_process)} == {action}


def test_who_stores_secrets_needs_what_the_operators_policy_allows_and_no_more(life: Life) -> None:
    documents = policies(life, OPERATOR)
    assert refused(documents, life.by_operator) == []
    assert actions(documents) == {each.action for each in life.by_operator}


def test_the_process_stores_no_secret_and_the_operator_touches_no_data(life: Life) -> None:
    assert refused(policies(life, OPERATOR), life.by_process) != []
    assert {each.action for each in refused(policies(life, PROCESS), life.by_operator)} >= {
        "secretsmanager:CreateSecret",
        "ssm:PutParameter",
    }


def test_a_neighbours_data_is_out_of_reach(life: Life) -> None:
    documents = policies(life, PROCESS)
    bucket = "arn:aws:s3:::events"
    for action, resource, context in (
        ("s3:GetObject", f"{bucket}/other/file", {}),
        ("s3:GetObject", f"{bucket}/store2/file", {}),
        ("s3:ListBucket", bucket, {}),
        ("s3:ListBucket", bucket, {"s3:prefix": ""}),
        ("s3:ListBucket", bucket, {"s3:prefix": "store2/"}),
        ("s3:GetObject", "arn:aws:s3:::large/items/app/main.orders/x", {}),
        ("dynamodb:Scan", f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/orders2", {}),
        ("dynamodb:UpdateTable", f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/replication_assets", {}),
        ("kinesis:PutRecords", f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/changes2", {}),
        ("kinesis:DeleteStream", f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/changes", {}),
        ("dynamodb:DeleteTable", f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/orders", {}),
        (
            "secretsmanager:GetSecretValue",
            f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:chat2-AbCdEf",
            {},
        ),
        ("cloudwatch:PutMetricData", "*", {"cloudwatch:namespace": "Other"}),
    ):
        assert not allows(documents, action, resource, context), (action, resource, context)
