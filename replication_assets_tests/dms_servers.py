"""DMS for the tests: moto's server, with a stand-in before it for what moto's does not do.

moto keeps tasks, and starts and stops them. It tells no statistics of tables, events and reasons, finishes
nothing by itself, and starts a task that runs once more: the stand-in tells what the test put there,
and refuses as DMS does. All other requests pass.
"""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import boto3

from replication_assets_tests.dynamodb_servers import DynamoDbServer


@dataclass
class DmsServer:
    """`told` is laid over what moto says of a task, `statistics` are rows by the task's ARN,
    `events` by its name, `asked` are
    the operations that came in, `refused` answers an operation with an error code."""

    moto: DynamoDbServer
    endpoint_url: str = ""
    told: dict[str, dict[str, Any]] = field(default_factory=dict)
    statistics: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    events: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def task(self, migration: str = "full-load-and-cdc") -> str:
        """A new task's ARN. It was never started."""
        client = self.client()
        made = client.create_replication_task(
            ReplicationTaskIdentifier=f"task-{uuid.uuid4().hex[:10]}",
            SourceEndpointArn="arn:aws:dms:eu-central-1:123456789012:endpoint:source",
            TargetEndpointArn="arn:aws:dms:eu-central-1:123456789012:endpoint:target",
            ReplicationInstanceArn="arn:aws:dms:eu-central-1:123456789012:rep:instance",
            MigrationType=migration,
            TableMappings="{}",
        )
        arn = str(made["ReplicationTask"]["ReplicationTaskArn"])
        self.told[arn] = {"Status": "ready"}
        return arn

    def client(self) -> Any:
        return boto3.client(
            "dms",
            endpoint_url=self.moto.endpoint_url,
            region_name=self.moto.region,
            aws_access_key_id=self.moto.access_key,
            aws_secret_access_key=self.moto.secret_key,
        )

    def end(self, arn: str, reason: str, **told: Any) -> None:
        """The task ends by itself."""
        self.client().stop_replication_task(ReplicationTaskArn=arn)
        self.told[arn] = {"StopReason": f"Stop Reason {reason}", **told}

    def starts(self) -> list[str]:
        """How the task was asked to start, each time."""
        asked = [body for operation, body in self.asked if operation == "StartReplicationTask"]
        return [body["StartReplicationTaskType"] for body in asked]

    def answer(
        self, operation: str, body: dict[str, Any], raw: bytes, headers: dict[str, str]
    ) -> tuple[int, Any]:
        self.asked.append((operation, body))
        if operation in self.refused:
            return 400, {"__type": self.refused[operation], "message": "no"}
        arn = body.get("ReplicationTaskArn", "")
        if operation == "DescribeTableStatistics":
            return 200, {"ReplicationTaskArn": arn, "TableStatistics": self.statistics.get(arn, [])}
        if operation == "DescribeEvents":
            assert body["SourceType"] == "replication-task"
            return 200, {"Events": self.events.get(body["SourceIdentifier"], [])}
        if operation == "ReloadTables":
            return 200, {"ReplicationTaskArn": arn}
        if operation == "StartReplicationTask":
            if self.told.get(arn, {}).get("Status") is None and self._status(arn) == "running":
                return 400, {"__type": "InvalidResourceStateFault", "message": "it runs"}
            self.told.pop(arn, None)
        status, found = self._pass_on(raw, headers)
        for task in found.get("ReplicationTasks", []):
            told = dict(self.told.get(task["ReplicationTaskArn"], {}))
            task["ReplicationTaskStats"] |= told.pop("ReplicationTaskStats", {})
            task |= told
        return status, found

    def _status(self, arn: str) -> str:
        chosen = [{"Name": "replication-task-arn", "Values": [arn]}]
        found = self.client().describe_replication_tasks(Filters=chosen)["ReplicationTasks"]
        return str(found[0]["Status"]) if found else ""

    def _pass_on(self, raw: bytes, headers: dict[str, str]) -> tuple[int, Any]:
        request = urllib.request.Request(self.moto.endpoint_url, raw, headers, method="POST")
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())


@contextmanager
def running_dms(moto: DynamoDbServer) -> Iterator[DmsServer]:
    server = DmsServer(moto)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers["Content-Length"]))
            operation = self.headers["X-Amz-Target"].rpartition(".")[2]
            kept = ("X-Amz-Target", "Content-Type", "Authorization", "X-Amz-Date")
            headers = {name: self.headers[name] for name in kept if self.headers[name]}
            with server.lock:
                status, found = server.answer(operation, json.loads(raw), raw, headers)
            body = json.dumps(found).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/x-amz-json-1.1")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            return

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.endpoint_url = f"http://127.0.0.1:{listening.server_address[1]}"
    thread = threading.Thread(target=listening.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        listening.shutdown()
        listening.server_close()
        thread.join()
