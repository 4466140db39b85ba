"""Our signature is botocore's, byte by byte; a credential is nowhere to be seen."""

from __future__ import annotations

import calendar
import pickle
import time
from collections.abc import Iterator

import boto3
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotoCredentials
from hypothesis import given
from hypothesis import strategies as st

from replication_assets.errors import TargetError
from replication_assets.targets.dynamodb.wire.credentials import Credentials, from_session
from replication_assets.targets.dynamodb.wire.signing import Signer

HOST = "dynamodb.eu-central-1.amazonaws.com"
CANARY = "canary-8f3a"


def headers_of(request: bytes) -> dict[str, str]:
    head = request.split(b"\r\n\r\n", 1)[0].decode()
    return dict(line.split(": ", 1) for line in head.split("\r\n")[1:])


def signed_by_botocore(body: bytes, operation: str, credentials: Credentials, region: str) -> AWSRequest:
    request = AWSRequest(
        method="POST",
        url=f"https://{HOST}/",
        data=body,
        headers={
            "Content-Type": "application/x-amz-json-1.0",
            "Host": HOST,
            "X-Amz-Target": f"DynamoDB_20120810.{operation}",
        },
    )
    given = BotoCredentials(credentials.access_key, credentials.secret_key, credentials.token)
    SigV4Auth(given, "dynamodb", region).add_auth(request)
    return request


@given(
    body=st.binary(max_size=400),
    operation=st.sampled_from(["BatchWriteItem", "PutItem", "Scan"]),
    secret=st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=50),
    token=st.none() | st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=90),
    region=st.sampled_from(["eu-central-1", "us-gov-west-1"]),
)
def test_a_request_is_signed_as_botocore_signs_it(
    body: bytes, operation: str, secret: str, token: str | None, region: str
) -> None:
    credentials = Credentials("AKIDEXAMPLE", secret, token)
    expected = signed_by_botocore(body, operation, credentials, region)
    at = calendar.timegm(time.strptime(expected.headers["X-Amz-Date"], "%Y%m%dT%H%M%SZ"))
    signer = Signer(region, HOST, lambda: credentials, now=lambda: at)
    request = signer.request(operation, body)
    headers = headers_of(request)
    assert headers["authorization"] == expected.headers["Authorization"]
    assert headers.get("x-amz-security-token") == expected.headers.get("X-Amz-Security-Token")
    assert headers["x-amz-date"] == expected.headers["X-Amz-Date"]
    assert headers["Content-Length"] == str(len(body))
    assert request.endswith(b"\r\n\r\n" + body)
    # The second request of a second takes what was prepared, and is the same.
    assert signer.request(operation, body) == request


def test_the_key_of_another_day_signs_the_next_day() -> None:
    midnight = calendar.timegm((2026, 11, 22, 0, 0, 0))
    clock = [midnight - 1.0]
    credentials = Credentials("AKIDEXAMPLE", "secret")
    signer = Signer("eu-central-1", HOST, lambda: credentials, now=lambda: clock[0])
    before = headers_of(signer.request("PutItem", b"{}"))
    clock[0] = midnight + 0.5
    after = headers_of(signer.request("PutItem", b"{}"))
    fresh = Signer("eu-central-1", HOST, lambda: credentials, now=lambda: midnight)
    assert "/20261121/" in before["authorization"]
    assert "/20261122/" in after["authorization"]
    assert after == headers_of(fresh.request("PutItem", b"{}"))


def test_credentials_that_were_renewed_are_read_within_a_minute_or_when_the_server_says_so() -> None:
    def renewed() -> Iterator[Credentials]:
        for number in range(9):
            yield Credentials(f"AKID{number}", "secret", f"token{number}")

    source, clock = renewed(), [1_000_000.0]
    signer = Signer("eu-central-1", HOST, lambda: next(source), now=lambda: clock[0])

    def token() -> str:
        return headers_of(signer.request("PutItem", b"{}"))["x-amz-security-token"]

    assert token() == "token0"
    clock[0] += 59
    assert token() == "token0"
    clock[0] += 2
    assert token() == "token1"
    signer.renew()
    assert token() == "token2"


def test_credentials_are_neither_printed_nor_pickled() -> None:
    credentials = Credentials("AKID" + CANARY, CANARY, CANARY)
    assert CANARY not in f"{credentials!r} {credentials} {[credentials]}"
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(credentials)


def test_no_credentials_at_all_is_told_before_anything_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    session = boto3.Session(region_name="eu-central-1")
    monkeypatch.setattr(session, "get_credentials", lambda: None)
    with pytest.raises(TargetError, match="no AWS credentials were found"):
        from_session(session)
