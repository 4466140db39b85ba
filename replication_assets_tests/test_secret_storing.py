"""Values are stored where references point at, never over another one, and read back."""

from __future__ import annotations

import json
import traceback
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from replication_assets.errors import SecretError
from replication_assets.secret_references import Secret, SecretsManager, SsmParameter, aws_client, resolve
from replication_assets.secret_storing import Storing, store

CANARY = "canary-5c1d"
REGION = "eu-west-1"
WHOLE = SecretsManager("shop/db", region=REGION)
MEMBER = SecretsManager("shop/db", field="password", region=REGION)
PARAMETER = SsmParameter("/shop/password", region=REGION)
ROTATE = Storing(rotate=True)


@pytest.fixture(autouse=True)
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    with mock_aws():
        yield


def secrets() -> Any:
    return boto3.client("secretsmanager", region_name=REGION)


def parameters() -> Any:
    return boto3.client("ssm", region_name=REGION)


def members() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(secrets().get_secret_value(SecretId="shop/db")["SecretString"])
    return found


@pytest.mark.parametrize("reference", [WHOLE, MEMBER, PARAMETER], ids=str)
def test_a_value_is_stored_read_back_and_never_replaced_unless_asked(
    reference: SecretsManager | SsmParameter,
) -> None:
    assert store(reference, Secret("first")) == "created"
    with pytest.raises(SecretError, match=r"already.*--rotate"):
        store(reference, Secret("second"))
    assert resolve(reference).reveal() == "first"
    assert store(reference, Secret("second"), ROTATE) == "rotated"
    assert resolve(reference).reveal() == "second"


@pytest.mark.parametrize("reference", [WHOLE, MEMBER, PARAMETER], ids=str)
def test_a_rotation_of_nothing_is_refused(reference: SecretsManager | SsmParameter) -> None:
    with pytest.raises(SecretError, match="no value to replace"):
        store(reference, Secret(CANARY), ROTATE)
    assert not secrets().list_secrets()["SecretList"]
    assert not parameters().describe_parameters()["Parameters"]


def test_a_parameter_is_stored_encrypted_and_a_rotation_keeps_its_key() -> None:
    store(PARAMETER, Secret(CANARY), Storing(kms_key="alias/shop"))
    store(PARAMETER, Secret("second"), ROTATE)
    (stands,) = parameters().describe_parameters()["Parameters"]
    assert (stands["Type"], stands["KeyId"]) == ("SecureString", "alias/shop")


def test_a_parameter_in_clear_text_is_not_passed_off_as_a_secret_one() -> None:
    parameters().put_parameter(Name="/shop/password", Value=CANARY, Type="String")
    with pytest.raises(SecretError, match="clear text"):
        store(PARAMETER, Secret("second"), ROTATE)


def test_a_key_of_ones_own_encrypts_a_secret_at_its_creation_and_at_a_rotation() -> None:
    store(WHOLE, Secret("first"), Storing(kms_key="alias/one"))
    assert secrets().describe_secret(SecretId="shop/db")["KmsKeyId"] == "alias/one"
    store(WHOLE, Secret("second"), Storing(rotate=True, kms_key="alias/two"))
    assert secrets().describe_secret(SecretId="shop/db")["KmsKeyId"] == "alias/two"
    assert resolve(WHOLE).reveal() == "second"


def test_a_member_is_added_beside_others_and_replaces_none() -> None:
    secrets().create_secret(Name="shop/db", SecretString='{"username": "replicator", "port": 5432}')
    assert store(MEMBER, Secret(CANARY), Storing(beside={"host": "db"})) == "added"
    assert members() == {"username": "replicator", "port": 5432, "password": CANARY, "host": "db"}
    with pytest.raises(SecretError, match="it has port already"):
        store(SecretsManager("shop/db", "token", REGION), Secret("x"), Storing(beside={"port": "1"}))
    assert "token" not in members()


def test_a_secret_that_was_made_without_a_value_takes_its_first_one() -> None:
    secrets().create_secret(Name="shop/db")
    assert store(MEMBER, Secret(CANARY), Storing(beside={"username": "dms"})) == "created"
    assert members() == {"username": "dms", "password": CANARY}


def test_a_secret_that_is_named_by_its_arn_is_rotated_and_not_created() -> None:
    arn = secrets().create_secret(Name="shop/db", SecretString="first")["ARN"]
    with pytest.raises(SecretError, match="already"):
        store(SecretsManager(arn, region=REGION), Secret("second"))
    assert store(SecretsManager(arn, region=REGION), Secret("second"), ROTATE) == "rotated"
    assert resolve(WHOLE).reveal() == "second"


@pytest.mark.parametrize("stands", [CANARY, json.dumps([CANARY])])
def test_a_text_that_is_no_json_object_gets_no_member_and_is_not_shown(stands: str) -> None:
    secrets().create_secret(Name="shop/db", SecretString=stands)
    with pytest.raises(SecretError, match="not a JSON object") as refused:
        store(MEMBER, Secret("x"), ROTATE)
    assert CANARY not in "".join(traceback.format_exception(refused.value))


@pytest.mark.parametrize(
    ("reference", "value", "storing", "complaint"),
    [
        (WHOLE, "", Storing(), "empty"),
        (WHOLE, "x" * 65_537, Storing(), "65,537 bytes are too many"),
        (PARAMETER, "é" * 2_049, Storing(), "4,098 bytes are too many"),
        (PARAMETER, CANARY, Storing(beside={"user": "u"}), "no members"),
        (WHOLE, CANARY, Storing(beside={"user": "u"}), "--field"),
        (SsmParameter("arn:aws:ssm:eu-west-1:1:parameter/x", REGION), CANARY, Storing(), "by its name"),
    ],
)
def test_what_cannot_be_stored_is_refused_before_anything_stands_there(
    reference: SecretsManager | SsmParameter, value: str, storing: Storing, complaint: str
) -> None:
    with pytest.raises(SecretError, match=complaint):
        store(reference, Secret(value), storing)
    assert not secrets().list_secrets()["SecretList"]
    assert not parameters().describe_parameters()["Parameters"]


def test_what_aws_refuses_is_told_by_its_code_and_never_by_its_words() -> None:
    """Its refusal of a name or a value quotes it."""
    with pytest.raises(SecretError, match=r"AWS answered .* to PutParameter") as refused:
        store(SsmParameter(f"aws{CANARY}", REGION), Secret(CANARY))
    shown = "".join(traceback.format_exception(refused.value))
    assert shown.count(CANARY) == shown.count(f"aws{CANARY}"), "but for the name that we gave ourselves"


def test_a_value_that_is_not_the_one_stored_is_told_after_some_looks() -> None:
    """As where two people rotate at once."""
    waited: list[float] = []

    def meddling(service: str, **how: Any) -> Any:
        client = aws_client(service, **how)
        if resolving:
            client.put_secret_value(SecretId="shop/db", SecretString="somebody else's")
        resolving.append(True)
        return client

    resolving: list[bool] = []
    with pytest.raises(SecretError, match="another value is read back"):
        store(WHOLE, Secret(CANARY), client_factory=meddling, sleep=waited.append)
    assert len(waited) == 3
