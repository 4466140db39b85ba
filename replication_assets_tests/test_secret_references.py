"""Secrets are read by reference, and shown to nobody who did not ask for the value."""

from __future__ import annotations

import copy
import json
import pickle
import subprocess
import sys
import traceback
from collections.abc import Iterator

import boto3
import pytest
from moto import mock_aws

from replication_assets.errors import SecretError
from replication_assets.secret_references import (
    EnvVar,
    Secret,
    SecretsManager,
    SsmParameter,
    resolve,
    resolve_for,
)

CANARY = "canary-8f3a"
REGION = "eu-west-1"


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    with mock_aws():
        yield


def store_secret(text: str) -> None:
    boto3.client("secretsmanager", region_name=REGION).create_secret(Name="shop/db", SecretString=text)


def test_an_environment_variable_is_read_when_it_is_resolved(monkeypatch: pytest.MonkeyPatch) -> None:
    reference = EnvVar("SHOP_PASSWORD")
    monkeypatch.setenv("SHOP_PASSWORD", CANARY)
    assert resolve(reference).reveal() == CANARY


@pytest.mark.parametrize(("environ", "state"), [({}, "is not set"), ({"SHOP_PASSWORD": ""}, "is empty")])
def test_an_unset_or_empty_variable_is_refused_by_name(environ: dict[str, str], state: str) -> None:
    with pytest.raises(SecretError, match=f"SHOP_PASSWORD: {state}. Fix: set SHOP_PASSWORD"):
        resolve(EnvVar("SHOP_PASSWORD"), environ=environ)


def test_who_needs_a_value_that_is_not_there_is_said() -> None:
    wanted = "^projection serving: environment variable NOT_SET_ANYWHERE: is not set. Fix: set"
    with pytest.raises(SecretError, match=wanted):
        resolve_for(EnvVar("NOT_SET_ANYWHERE"), "projection serving")


def test_a_whole_secret_is_read_from_secrets_manager(aws: None) -> None:
    store_secret(CANARY)
    assert resolve(SecretsManager("shop/db", region=REGION)).reveal() == CANARY


def test_one_field_of_a_secret_is_read_from_secrets_manager(aws: None) -> None:
    store_secret(json.dumps({"username": "u", "password": CANARY, "port": 5432}))
    assert resolve(SecretsManager("shop/db", field="password", region=REGION)).reveal() == CANARY
    assert resolve(SecretsManager("shop/db", field="port", region=REGION)).reveal() == "5432"


def test_a_secure_parameter_is_read_decrypted_from_ssm(aws: None) -> None:
    client = boto3.client("ssm", region_name=REGION)
    client.put_parameter(Name="/shop/password", Value=CANARY, Type="SecureString")
    assert resolve(SsmParameter("/shop/password", region=REGION)).reveal() == CANARY


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (json.dumps({"user": CANARY}), "is not set"),
        (json.dumps({"password": ""}), "is empty"),
        (json.dumps({"password": {"nested": CANARY}}), "is not set"),
        (CANARY, "not a JSON object"),
        (json.dumps([CANARY]), "not a JSON object"),
    ],
)
def test_a_secret_without_the_field_is_refused_without_its_content(
    aws: None, text: str, complaint: str
) -> None:
    store_secret(text)
    with pytest.raises(SecretError, match=complaint) as refused:
        resolve(SecretsManager("shop/db", field="password", region=REGION))
    assert "shop/db" in str(refused.value)
    assert CANARY not in "".join(traceback.format_exception(refused.value))


def test_a_binary_secret_is_refused(aws: None) -> None:
    boto3.client("secretsmanager", region_name=REGION).create_secret(Name="shop/db", SecretBinary=b"x")
    with pytest.raises(SecretError, match="SecretString"):
        resolve(SecretsManager("shop/db", region=REGION))


@pytest.mark.parametrize(
    ("reference", "permission"),
    [
        (SecretsManager("absent", region=REGION), "secretsmanager:GetSecretValue"),
        (SsmParameter("/absent", region=REGION), "ssm:GetParameter"),
    ],
)
def test_what_aws_refuses_names_the_reference_and_the_permission(
    aws: None, reference: SecretsManager | SsmParameter, permission: str
) -> None:
    with pytest.raises(SecretError, match=f"absent: AWS answered .*NotFound.*{permission}"):
        resolve(reference)


def test_a_missing_region_is_told_with_the_reference(aws: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    monkeypatch.delenv("AWS_REGION", raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    with pytest.raises(SecretError, match="NoRegionError"):
        resolve(SsmParameter("/shop/password"))


def test_a_secret_shows_itself_to_reveal_alone() -> None:
    secret = Secret(CANARY)
    for shown in (repr(secret), str(secret), f"{secret}", f"{secret:>20}", f"{[secret]}", "%s" % secret):  # noqa: UP031
        assert CANARY not in shown
    assert secret == Secret(CANARY)
    assert secret != Secret("other")
    assert secret != CANARY


@pytest.mark.parametrize("leave", [pickle.dumps, copy.copy, json.dumps])
def test_a_secret_does_not_leave_its_process(leave: object) -> None:
    with pytest.raises((SecretError, TypeError)) as refused:
        leave(Secret(CANARY))  # type: ignore[operator]
    assert CANARY not in str(refused.value)


def test_references_can_be_made_and_compared_without_boto3() -> None:
    program = (
        "import sys; sys.modules['boto3'] = None\n"
        "from replication_assets.secret_references import *\n"
        "assert SecretsManager('a') == SecretsManager('a') and EnvVar('x') in {EnvVar('x')}\n"
        "assert resolve(EnvVar('HOME')).reveal()\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, env={"HOME": "/", "PATH": ""}, timeout=60)
