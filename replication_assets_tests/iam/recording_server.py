"""AWS as moto plays it, in a process of its own, writing down what each request needs.

`python -m ... FILE` prints its port, and appends a line of JSON for each request: the action and
the resource as a policy names them. Of an object that is not there S3 tells (404, not 403) who may
list the bucket with the object's name as the prefix: that counts as needed too.
"""

from __future__ import annotations

import base64
import io
import json
import re
import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

ACCOUNT = "123456789012"
TESTER = "the-test-itself"
"""The access key of requests that are not written down."""

_SCOPE = re.compile(r"Credential=[^/]+/\d+/([^/]+)/([^/]+)/aws4_request")
_OBJECT = {"GET": "s3:GetObject", "HEAD": "s3:GetObject", "PUT": "s3:PutObject", "DELETE": "s3:DeleteObject"}


class Recorder:
    def __init__(self, file: Path) -> None:
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._file = file
        self._lock = threading.Lock()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        scope = _SCOPE.search(environ.get("HTTP_AUTHORIZATION", ""))
        if scope is None or f"={TESTER}/" in scope.group():
            return self._moto(environ, start_response)
        region, service = scope.groups()
        needed = _of_s3(environ) if service == "s3" else _of_others(environ, service, region)
        self._record(needed)
        if service == "s3" and needed["action"] == "s3:GetObject":
            return self._moto(environ, self._told_of_missing(needed["resource"], start_response))
        return self._moto(environ, start_response)

    def _record(self, needed: dict[str, Any]) -> None:
        with self._lock, self._file.open("a") as file:
            file.write(json.dumps(needed) + "\n")

    def _told_of_missing(self, resource: str, start_response: Callable[..., Any]) -> Callable[..., Any]:
        def start(status: str, *more: Any) -> Any:
            if status.startswith("404"):
                bucket, _, key = resource.partition("/")
                self._record({"action": "s3:ListBucket", "resource": bucket, "prefix": key})
            return start_response(status, *more)

        return start


def _of_s3(environ: dict[str, Any]) -> dict[str, Any]:
    method, query = environ["REQUEST_METHOD"], parse_qs(environ["QUERY_STRING"], keep_blank_values=True)
    bucket, _, key = unquote(environ["PATH_INFO"]).lstrip("/").partition("/")
    if not key and method == "GET" and query.get("list-type") == ["2"]:
        return {
            "action": "s3:ListBucket",
            "resource": bucket_arn(bucket),
            "prefix": query.get("prefix", [""])[0],
        }
    if key and method in _OBJECT and set(query) <= {"x-id", "partNumber", "uploadId"}:
        action = "s3:AbortMultipartUpload" if method == "DELETE" and "uploadId" in query else _OBJECT[method]
    elif key and method == "POST" and ("uploads" in query or "uploadId" in query):
        action = "s3:PutObject"
    elif method == "POST" and "delete" in query:
        body = _body(environ)
        keys = re.findall(rb"<Key>([^<]*)</Key>", body)
        key, action = keys[0].decode(), "s3:DeleteObject"
    else:
        action = f"s3:{method} {sorted(query)}"  # in no policy: the test says so
    return {"action": action, "resource": f"{bucket_arn(bucket)}/{key}"}


def bucket_arn(name: str) -> str:
    return f"arn:aws:s3:::{name}"


def _of_others(environ: dict[str, Any], service: str, region: str) -> dict[str, Any]:
    body = _body(environ)
    target = environ.get("HTTP_X_AMZ_TARGET", "").rpartition(".")[2]
    if target:
        told = json.loads(body)
        name = told.get("TableName") or next(iter(told.get("RequestItems", {})), None)
        name = name or told.get("StreamName") or _stream_read(told)
        name = name or told.get("SecretId") or told.get("Name") or ""
    else:
        form = {key: each[0] for key, each in parse_qs(body.decode(errors="replace")).items()}
        target = form.get("Action") or environ["PATH_INFO"].rpartition("/")[2]
        name = form.get("TopicArn", "")
        told = form
    kinds = {
        "dynamodb": "table/",
        "kinesis": "stream/",
        "secretsmanager": "secret:",
        "ssm": "parameter/",
        "sns": "",
    }
    if service == "monitoring":
        namespace = told.get("Namespace") or _cbor_text(body, b"Namespace")
        return {"action": f"cloudwatch:{target}", "resource": "*", "namespace": namespace}
    suffix = "-AbCdEf" if service == "secretsmanager" else ""
    arn = f"arn:aws:{service}:{region}:{ACCOUNT}:{kinds[service]}{name.lstrip('/')}{suffix}"
    return {"action": f"{service}:{target}", "resource": name if name.startswith("arn:") else arn}


def _stream_read(told: dict[str, Any]) -> str | None:
    """Of a request that names an iterator alone, as moto makes them."""
    if "ShardIterator" not in told:
        return None
    return base64.b64decode(told["ShardIterator"]).decode().partition(":")[0]


def _cbor_text(body: bytes, key: bytes) -> str:
    """The short text that follows a key in a CBOR map."""
    at = body.index(key) + len(key)
    head = body[at]
    length, start = (body[at + 1], at + 2) if head == 0x78 else (head & 0x1F, at + 1)
    return body[start : start + length].decode()


def _body(environ: dict[str, Any]) -> bytes:
    """Read, and laid back for moto."""
    length = int(environ.get("CONTENT_LENGTH") or 0)
    body: bytes = environ["wsgi.input"].read(length)
    if environ.get("HTTP_CONTENT_ENCODING") == "gzip":
        import gzip

        environ["wsgi.input"] = io.BytesIO(body)
        return gzip.decompress(body)
    environ["wsgi.input"] = io.BytesIO(body)
    return body


if __name__ == "__main__":
    server = make_server("127.0.0.1", 0, Recorder(Path(sys.argv[1])), threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.port, flush=True)  # noqa: T201
    # Ends with its parent, however that ends.
    input()
