"""A Kinesis for the tests: moto's server, a process of its own, and a relay before it that fails on demand.

moto keeps records in memory in the order in which requests come, one shard's numbers rising by one. It takes
every request whole: it throttles nothing, loses nothing, needs no rights and knows no limit of a shard. What
AWS does otherwise comes from the relay.
"""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import boto3
import orjson

from replication_assets.demo.child_processes import ends_with_parent, free_port

HOST = "127.0.0.1"
REGION = "eu-central-1"
START_SECONDS = 60.0
CANARY = "canary-9k"
"""In every message of an error; AWS quotes there what it was sent."""
THROTTLED = "ProvisionedThroughputExceededException"


@dataclass(frozen=True, slots=True)
class KinesisServer:
    """Where it listens. It takes any credentials."""

    port: int

    @property
    def endpoint_url(self) -> str:
        return f"http://{HOST}:{self.port}"

    def client(self) -> Any:
        return _client(self.endpoint_url)

    def stream(self, shards: int = 1) -> str:
        """A new stream, under a name of its own."""
        name = f"s{uuid.uuid4().hex[:10]}"
        self.client().create_stream(StreamName=name, ShardCount=shards)
        self.wait_until_ready(name)
        return name

    def wait_until_ready(self, name: str) -> None:
        self.client().get_waiter("stream_exists").wait(
            StreamName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 30}
        )


@cache
def _client(endpoint_url: str) -> Any:
    return boto3.client(
        "kinesis",
        endpoint_url=endpoint_url,
        region_name=REGION,
        aws_access_key_id="AKIATESTS",
        aws_secret_access_key="tests-secret",
    )


@dataclass(frozen=True)
class Found:
    """One record as any consumer sees it. `number` is that of the member that this project adds."""

    shard: str
    key: str
    data: bytes

    @property
    def value(self) -> Any:
        return orjson.loads(self.data)

    @property
    def number(self) -> int:
        return int(self.value["replication"]["number"])


def records(server: KinesisServer, name: str) -> list[Found]:
    """All of a stream, each shard's in their order, by a client that is not ours."""
    client = server.client()
    found: list[Found] = []
    for shard in client.list_shards(StreamName=name)["Shards"]:
        start = {"StreamName": name, "ShardId": shard["ShardId"], "ShardIteratorType": "TRIM_HORIZON"}
        iterator = client.get_shard_iterator(**start)["ShardIterator"]
        while iterator is not None:
            reply = client.get_records(ShardIterator=iterator)
            if not reply["Records"]:
                break
            found += [Found(shard["ShardId"], r["PartitionKey"], r["Data"]) for r in reply["Records"]]
            iterator = reply.get("NextShardIterator")
    return found


@contextmanager
def running_kinesis() -> Iterator[KinesisServer]:
    port = free_port(HOST)
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", HOST, "-p", str(port)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "MOTO_LOG_LEVEL": "ERROR"},
        preexec_fn=ends_with_parent(signal.SIGKILL),
    )
    server = KinesisServer(port)
    try:
        _wait_until_answering(server, process)
        yield server
    finally:
        process.kill()
        process.wait()


def _wait_until_answering(server: KinesisServer, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            urllib.request.urlopen(f"{server.endpoint_url}/moto-api/", timeout=5).close()
            return
        except urllib.error.HTTPError as answered:
            answered.close()
            return
        except OSError:
            assert process.poll() is None, f"moto ended with {process.returncode}"
            assert time.monotonic() < deadline, "moto does not answer"
            time.sleep(0.05)


@dataclass(frozen=True)
class Answer:
    """What becomes of one PutRecords: which records are refused and with which code, or the whole of it is,
    with `status`; or it is taken, and the reply is lost. Of records `behind` the numbers are told as if they
    stood before all others."""

    refused: dict[int, str] = field(default_factory=dict)
    behind: frozenset[int] = frozenset()
    status: int = 200
    code: str = ""
    lost: bool = False


Decide = Callable[[int, list[dict[str, Any]]], Answer]
"""From the number of the request and its records, decoded."""


@dataclass
class Relay:
    """An endpoint before the server; `decide` and `denied`, the actions that are not allowed, may be set at
    any time. `requests` are the numbers of records that each PutRecords had, `asked` the actions in order."""

    server: KinesisServer
    port: int
    decide: Decide = lambda number, records: Answer()
    denied: frozenset[str] = frozenset()
    requests: list[int] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    @property
    def endpoint_url(self) -> str:
        return f"http://{HOST}:{self.port}"


@contextmanager
def running_relay(server: KinesisServer) -> Iterator[Relay]:
    relay = Relay(server, 0)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            action = self.headers.get("X-Amz-Target", "").rpartition(".")[2]
            relay.asked.append(action)
            reply: Reply | None
            if action in relay.denied:
                reply = _refusal(400, "AccessDeniedException")
            elif action == "PutRecords":
                reply = _put(relay, self.path, dict(self.headers), body)
            else:
                reply = _forward(server, self.path, dict(self.headers), body)
            if reply is None:
                self.close_connection = True
                self.connection.close()
                return
            status, headers, content = reply
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *arguments: Any) -> None:
            pass

    http = ThreadingHTTPServer((HOST, 0), Handler)
    http.daemon_threads = True
    relay.port = http.server_address[1]
    thread = Thread(target=http.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield relay
    finally:
        http.shutdown()
        http.server_close()
        thread.join()


Reply = tuple[int, dict[str, str], bytes]


def _put(relay: Relay, path: str, headers: dict[str, str], body: bytes) -> Reply | None:
    asked = json.loads(body)
    entries = asked["Records"]
    relay.requests.append(len(entries))
    decoded = [{**each, "Data": base64.b64decode(each["Data"])} for each in entries]
    answer = relay.decide(len(relay.requests), decoded)
    if answer.status != 200:
        return _refusal(answer.status, answer.code)
    kept = [each for at, each in enumerate(entries) if at not in answer.refused]
    told: list[dict[str, Any]] = []
    if kept:
        inner = json.dumps({**asked, "Records": kept}).encode()
        status, _, content = _forward(relay.server, path, headers, inner)
        if status != 200:
            return status, {"Content-Type": "application/x-amz-json-1.1"}, content
        told = json.loads(content)["Records"]
    if answer.lost:
        return None
    taken = iter(told)
    every = [
        {"ErrorCode": answer.refused[at], "ErrorMessage": "refused by the test"}
        if at in answer.refused
        else _told(next(taken), at in answer.behind)
        for at in range(len(entries))
    ]
    whole = json.dumps({"FailedRecordCount": len(answer.refused), "Records": every}).encode()
    return 200, {"Content-Type": "application/x-amz-json-1.1"}, whole


def _told(entry: dict[str, Any], behind: bool) -> dict[str, Any]:
    return {**entry, "SequenceNumber": "0"} if behind else entry


def _refusal(status: int, code: str) -> Reply:
    error = json.dumps({"__type": code, "message": f"{CANARY}: refused by the test"}).encode()
    return status, {"Content-Type": "application/x-amz-json-1.1"}, error


def _forward(server: KinesisServer, path: str, headers: dict[str, str], body: bytes) -> Reply:
    connection = HTTPConnection(HOST, server.port, timeout=30)
    try:
        kept = {n: v for n, v in headers.items() if n.lower() not in ("content-length", "connection", "host")}
        connection.request("POST", path, body, {**kept, "Content-Length": str(len(body))})
        reply = connection.getresponse()
        content = reply.read()
        wanted = ("content-type", "x-amzn-requestid")
        return reply.status, {n: v for n, v in reply.getheaders() if n.lower() in wanted}, content
    finally:
        connection.close()
