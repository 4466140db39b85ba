"""How brokers are reached: settings by mechanism, secrets read last, errors without them."""

from __future__ import annotations

import base64
import logging
from urllib.parse import parse_qs, urlsplit

import pytest
from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from replication_assets.demo.child_processes import free_port
from replication_assets.errors import SecretError, SourceError, SourceUnavailable
from replication_assets.secret_references import EnvVar
from replication_assets.sources.kafka import connection
from replication_assets.sources.kafka.connection import KafkaCluster, LastError, administering, consuming
from replication_assets_tests.kafka_servers import HOST, Broker

CANARY = "canary-9f2"


def test_tls_is_asked_for_unless_told_otherwise() -> None:
    assert KafkaCluster("b:9092").settings()["security.protocol"] == "ssl"
    assert KafkaCluster("b:9092", tls=False).settings()["security.protocol"] == "plaintext"
    found = KafkaCluster("b:9092", ca_file="ca.pem", certificate_file="c.pem", key_file="k.pem").settings()
    assert found["ssl.ca.location"] == "ca.pem"
    assert found["ssl.certificate.location"] == "c.pem"
    assert found["ssl.key.location"] == "k.pem"


@pytest.mark.parametrize("mechanism", ["plain", "scram-sha-256", "scram-sha-512"])
def test_a_password_is_read_when_a_client_is_made(mechanism: str, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = KafkaCluster("b:9092", sasl=mechanism, user="u", password=EnvVar("FEED"))  # type: ignore[arg-type]
    with pytest.raises(SecretError, match="FEED"):
        cluster.settings()
    monkeypatch.setenv("FEED", CANARY)
    found = cluster.settings()
    assert found["security.protocol"] == "sasl_ssl"
    assert found["sasl.mechanisms"] == mechanism.upper()
    assert (found["sasl.username"], found["sasl.password"]) == ("u", CANARY)
    assert CANARY not in repr(cluster)


def test_librdkafka_takes_the_settings_of_every_mechanism(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEED", CANARY)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", CANARY)
    for sasl in (None, "plain", "scram-sha-256", "scram-sha-512", "aws-msk-iam"):
        user = ("u", EnvVar("FEED")) if sasl not in (None, "aws-msk-iam") else (None, None)
        cluster = KafkaCluster("127.0.0.1:1", sasl=sasl, user=user[0], password=user[1], region="eu-west-1")
        with consuming(cluster, "feed", LastError()):
            pass


def test_a_token_for_msk_is_a_signed_connect(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", CANARY)
    token, ends = connection._msk_token("eu-west-1", "")
    url = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode()
    parts, query = urlsplit(url), parse_qs(urlsplit(url).query)
    assert parts.netloc == "kafka.eu-west-1.amazonaws.com"
    assert query["Action"] == ["kafka-cluster:Connect"]
    assert query["X-Amz-Credential"][0].split("/")[2:4] == ["eu-west-1", "kafka-cluster"]
    assert query["X-Amz-Expires"] == ["900"]
    assert query["User-Agent"] == ["replication_assets"]
    assert CANARY not in url
    request = AWSRequest("GET", "https://kafka.eu-west-1.amazonaws.com/?Action=kafka-cluster%3AConnect")
    request.context["timestamp"] = query["X-Amz-Date"][0]
    signer = SigV4QueryAuth(Credentials("AKIDEXAMPLE", CANARY), "kafka-cluster", "eu-west-1", expires=900)
    signer.add_auth(request)
    assert len(parse_qs(urlsplit(str(request.url)).query)["X-Amz-Signature"][0]) == 64
    assert ends > 1_700_000_000


def test_brokers_that_are_not_there_are_told_and_may_be_tried_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FEED", CANARY)
    monkeypatch.setattr(connection, "REQUEST_SECONDS", 0.3)
    address = f"{HOST}:{free_port(HOST)}"
    cluster = KafkaCluster(address, tls=False, sasl="scram-sha-256", user="u", password=EnvVar("FEED"))
    with (
        caplog.at_level(logging.DEBUG),
        pytest.raises(SourceUnavailable) as error,
        administering(cluster) as client,
    ):
        client.list_topics(timeout=0.5)
    assert address in str(error.value)
    assert CANARY not in f"{error.value!r} {caplog.text} {capfd.readouterr()}"


def test_settings_that_the_client_refuses_are_told_without_them(broker: Broker) -> None:
    cluster = KafkaCluster(broker.address, ca_file="/nowhere/canary.pem")
    with pytest.raises(SourceError) as error, administering(cluster) as client:
        client.list_topics(timeout=1)
    assert error.value.__cause__ is None
