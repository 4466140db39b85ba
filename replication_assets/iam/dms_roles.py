"""Roles that AWS DMS assumes to write to the DynamoDB tables of a catalog, and to read secrets.

What DMS needs of a table is AWS's list (user guide, DynamoDB as a target): it also makes tables of
its own for what it could not apply. The target's role is trusted to endpoints of this account alone,
as the guide has it against confused deputies (DMS 3.4.7 and later). Secrets are read in the name of
the region, for which the guide knows no such condition.
"""

from __future__ import annotations

from collections.abc import Sequence

from replication_assets.catalog import Catalog
from replication_assets.declarations import DynamoDbProjection
from replication_assets.declarations.references import declared_references
from replication_assets.iam.place import Place
from replication_assets.iam.policy import VERSION, Document, Statement, documents
from replication_assets.iam.references import READ_SECRET, secret_arns
from replication_assets.secret_references import SecretsManager

TARGET = (
    "dynamodb:CreateTable",
    "dynamodb:DeleteItem",
    "dynamodb:DeleteTable",
    "dynamodb:DescribeTable",
    "dynamodb:PutItem",
    "dynamodb:UpdateItem",
)
OWN_TABLES = ("awsdms_apply_exceptions", "awsdms_full_load_exceptions")


def dms_policies(catalog: Catalog, place: Place) -> dict[str, Document]:
    """`dms-target` where there are DynamoDB tables, `dms-secrets` where there are secrets, each with the
    trust policy of its role."""
    tables = [
        items.into
        for projection in catalog.projections
        if isinstance(projection, DynamoDbProjection)
        for items in projection.items
    ]
    secrets = [
        arn
        for each in declared_references(catalog)
        if isinstance(each.reference, SecretsManager)
        for arn in secret_arns(place, each.reference)
    ]
    found = {}
    if tables:
        found["dms-target"] = _only(target_statements(place, tables))
        found["dms-target-trust"] = target_trust(place)
    if secrets:
        found["dms-secrets"] = _only([Statement("read secrets", READ_SECRET, tuple(secrets))])
        found["dms-secrets-trust"] = secrets_trust(place)
    return found


def target_statements(place: Place, tables: Sequence[str]) -> list[Statement]:
    arns = tuple(place.arn("dynamodb", f"table/{name}") for name in (*dict.fromkeys(tables), *OWN_TABLES))
    return [
        Statement("tables that DMS writes", TARGET, arns),
        # AWS lists tables of the account or none.
        Statement("list tables", ("dynamodb:ListTables",), ("*",)),
    ]


def target_trust(place: Place) -> Document:
    bound = {
        "StringEquals": {"aws:SourceAccount": place.account},
        "ArnLike": {"aws:SourceArn": place.arn("dms", "endpoint:*")},
    }
    return _trust("dms.amazonaws.com", {"Condition": bound})


def secrets_trust(place: Place) -> Document:
    (*_, host) = place.endpoints("dms")
    return _trust(host, {})


def _trust(service: str, condition: Document) -> Document:
    assumed = {
        "Sid": "Dms",
        "Effect": "Allow",
        "Principal": {"Service": service},
        "Action": "sts:AssumeRole",
    }
    return {"Version": VERSION, "Statement": [{**assumed, **condition}]}


def _only(statements: Sequence[Statement]) -> Document:
    (found,) = documents(statements)
    return found
