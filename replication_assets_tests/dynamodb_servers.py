"""Two implementations of DynamoDB for the tests: moto's server and Amazon's DynamoDB Local.

Each is a process of its own, started once, and dies with the test run. They hold everything in
memory, and the tests of a run share them: a test makes a table with a name of its own.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import boto3

from replication_assets.demo.child_processes import ends_with_parent, free_port

LOCAL_HOME = Path(__file__).parent.parent / ".venv" / "dynamodb-local"
STARTUP_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class DynamoDbServer:
    """Where a server listens, and credentials that it takes: both take any."""

    kind: str
    endpoint_url: str
    region: str = "eu-central-1"
    access_key: str = field(default="AKIATESTS", repr=False)
    secret_key: str = field(default="tests-secret", repr=False)
    pid: int = 0

    def client(self) -> Any:
        """A boto3 client: what the tests look at the stored items with. Shared, as making one is slow."""
        return _client(self.endpoint_url, self.region, self.access_key, self.secret_key)

    @property
    def environment(self) -> dict[str, str]:
        """For programs that find their credentials themselves."""
        return {
            "AWS_ENDPOINT_URL_DYNAMODB": self.endpoint_url,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
        }


@cache
def _client(endpoint_url: str, region: str, access_key: str, secret_key: str) -> Any:
    return boto3.client(
        "dynamodb",
        endpoint_url=endpoint_url,
        region_name=region,
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
    )


def fresh_table_name() -> str:
    return f"test_{uuid.uuid4().hex[:12]}"


def items_of(server: DynamoDbServer, table: str) -> list[dict[str, Any]]:
    """Everything that a table holds, as DynamoDB's own JSON, by a client that is not ours."""
    pages = server.client().get_paginator("scan").paginate(TableName=table, ConsistentRead=True)
    return [item for page in pages for item in page["Items"]]


@contextmanager
def running_moto() -> Iterator[DynamoDbServer]:
    port = free_port("127.0.0.1")
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with _running("moto", command, port, environment={"MOTO_LOG_LEVEL": "ERROR"}) as server:
        yield server


@contextmanager
def running_dynamodb_local(*, lasting: bool = False) -> Iterator[DynamoDbServer]:
    """`lasting`: one that is measured, and so long at work that what is compiled for good pays."""
    jar = LOCAL_HOME / "DynamoDBLocal.jar"
    port = free_port("127.0.0.1")
    command = [
        "java",
        "-Xmx512m",
        # In a server of minutes nobody waits for what compiling for good would save later.
        *(() if lasting else ("-XX:TieredStopAtLevel=1",)),
        *("-XX:+UseSerialGC", "-Xshare:auto"),
        f"-Djava.library.path={LOCAL_HOME / 'DynamoDBLocal_lib'}",
        *("-jar", str(jar), "-inMemory", "-disableTelemetry", "-port", str(port)),
    ]
    with _running("dynamodb_local", command, port) as server:
        yield server


@contextmanager
def _running(
    kind: str, command: Sequence[str], port: int, environment: Mapping[str, str] | None = None
) -> Iterator[DynamoDbServer]:
    assert LOCAL_HOME.exists(), "run .ci/install-dynamodb-local"
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=LOCAL_HOME,  # where DynamoDB Local leaves a file of its own
        env={**os.environ, **(environment or {})},
        preexec_fn=ends_with_parent(signal.SIGKILL),
    )
    server = DynamoDbServer(kind, f"http://127.0.0.1:{port}", pid=process.pid)
    try:
        _wait_until_answering(server, process)
        yield server
    finally:
        process.kill()
        process.wait()


def _wait_until_answering(server: DynamoDbServer, process: subprocess.Popen[bytes]) -> None:
    """Any HTTP answer will do: DynamoDB Local answers an unsigned request with 400."""
    deadline = time.monotonic() + STARTUP_SECONDS
    while True:
        try:
            urllib.request.urlopen(server.endpoint_url, timeout=5).close()
            return
        except urllib.error.HTTPError as answered:
            answered.close()
            return
        except OSError:
            assert process.poll() is None, f"{server.kind} ended with {process.returncode}"
            assert time.monotonic() < deadline, f"{server.kind} does not answer"
            time.sleep(0.05)
