"""Credentials are typed or piped in, stored, checked through the catalog, and shown nowhere."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from replication_assets_tests.cli import warm

REGION = "eu-west-1"
CANARY = "canary-19ce-not-to-be-seen"
CATALOG = """
from replication_assets import (
    Catalog, EnvVar, EventStoreConfig, PostgresSourceConfig, SecretsManager, SsmParameter, Table
)

def source(name, password):
    return PostgresSourceConfig(name, host="h", database="d", user="u", password=password)

def secret(field):
    return SecretsManager("shop/db", field, region="eu-west-1", endpoint_url="{url}")

catalog = Catalog(
    EventStoreConfig("store"),
    sources=[
        source("shop", secret("password")),
        source("again", secret("password")),
        source("other", secret("other")),
        source("third", SsmParameter("/third", region="eu-west-1", endpoint_url="{url}")),
        source("fourth", EnvVar("FOURTH_PASSWORD")),
    ],
)
"""


class Project:
    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.url = folder, url
        (folder / "shop.py").write_text(CATALOG.replace("{url}", url))
        self.environment = {
            **{name: os.environ[name] for name in ("PATH", "HOME", "PYTHONPATH") if name in os.environ},
            "REPLICATION_ASSETS_CATALOG": "shop:catalog",
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
        }

    def run(self, *arguments: str, code: int, **environment: str) -> tuple[str, str]:
        """With nothing on standard input."""
        ended = warm.run(arguments, self.folder, {**self.environment, **environment})
        out, err = ended.out.decode(), ended.err.decode()
        assert ended.code == code, out + err
        assert CANARY not in out + err
        return out, err

    def piped(self, text: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "replication_assets", *arguments]
        return subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment,
            input=text,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def client(self, service: str) -> Any:
        keys = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
        return boto3.client(service, region_name=REGION, endpoint_url=self.url, **keys)

    def members(self) -> dict[str, Any]:
        text = self.client("secretsmanager").get_secret_value(SecretId="shop/db")["SecretString"]
        found: dict[str, Any] = json.loads(text)
        return found


@pytest.fixture(scope="module")
def aws() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        yield f"http://127.0.0.1:{server.get_host_and_port()[1]}"
    finally:
        server.stop()


@pytest.fixture
def project(tmp_path: Path, aws: str) -> Iterator[Project]:
    yield Project(tmp_path, aws)
    urllib.request.urlopen(urllib.request.Request(f"{aws}/moto-api/reset", method="POST")).close()


def test_a_piped_value_is_stored_where_the_catalog_points_and_not_replaced_unasked(project: Project) -> None:
    put = (
        "secrets",
        "put",
        "shop/db",
        "--field",
        "password",
        "--with",
        "username=replicator",
        "--with",
        "port=5432",
    )
    stored = project.piped(CANARY + "\n", *put)
    assert stored.returncode == 0, stored.stderr
    assert stored.stderr == "created: Secrets Manager secret shop/db field password; it resolves\n"
    assert project.members() == {"username": "replicator", "port": "5432", "password": CANARY}
    again = project.piped("another-9e", *put)
    assert again.returncode == 1
    assert "--rotate" in again.stderr
    assert "another-9e" not in again.stderr + again.stdout
    assert project.members()["password"] == CANARY


def test_what_is_typed_is_asked_for_twice_and_never_echoed(project: Project) -> None:
    seen, code = _typed(project, [CANARY, CANARY], "secrets", "put", "/third")
    assert code == 0, seen
    assert "Value of SSM parameter /third (not shown):" in seen
    assert "Once more:" in seen
    assert CANARY not in seen
    parameter = project.client("ssm").get_parameter(Name="/third", WithDecryption=True)["Parameter"]
    assert (parameter["Value"], parameter["Type"]) == (CANARY, "SecureString")
    seen, code = _typed(project, ["one-9e", "two-9e"], "secrets", "put", "/third", "--rotate")
    assert code == 1
    assert "the two values differ" in seen
    assert "-9e" not in seen


def test_a_check_tells_what_is_missing_and_nothing_of_what_is_there(project: Project) -> None:
    document = json.dumps({"password": CANARY, "other": ""})
    project.client("secretsmanager").create_secret(Name="shop/db", SecretString=document)
    out, err = project.run("secrets", "check", "--json", code=3, FOURTH_PASSWORD=CANARY)
    told = json.loads(out)
    assert told["missing"] == 2
    assert {each["declared_at"]: each["ok"] for each in told["references"]} == {
        "source shop: password": True,
        "source again: password": True,
        "source other: password": False,
        "source third: password": False,
        "source fourth: password": True,
    }
    assert told["references"][2]["problem"] == "is empty"
    assert "ParameterNotFound" in told["references"][3]["problem"]
    project.client("ssm").put_parameter(Name="/third", Value=CANARY, Type="SecureString")
    whole = json.dumps({"password": CANARY, "other": CANARY})
    project.client("secretsmanager").put_secret_value(SecretId="shop/db", SecretString=whole)
    out, err = project.run("secrets", "check", code=0, FOURTH_PASSWORD=CANARY)
    assert out.count("ok     ") == 5
    assert err == "4 credentials, 0 missing\n"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["shop/db"], "declared 2 times"),
        (["nothing"], "one of /third, shop/db"),
        (["FOURTH_PASSWORD"], "stored nowhere"),
        (["shop/db", "--field", "other", "--with", f"password={CANARY}"], "shell's history"),
        (["shop/db", "--field", "other", "--with", CANARY], "MEMBER=VALUE"),
        (["x", "--to", "vault"], "--to secrets-manager or ssm"),
        (["x", "--to", "ssm", "--field", "f"], "no members"),
    ],
)
def test_a_name_or_member_that_will_not_do_is_refused_before_a_value_is_asked_for(
    project: Project, arguments: list[str], complaint: str
) -> None:
    _, err = project.run("secrets", "put", *arguments, code=2)
    assert complaint in err


def test_an_empty_pipe_stores_nothing(project: Project) -> None:
    _, err = project.run("secrets", "put", "/third", code=1)
    assert "no value was piped in" in err
    assert not project.client("ssm").describe_parameters()["Parameters"]


def _typed(project: Project, answers: list[str], *arguments: str) -> tuple[str, int]:
    """All that a person sees who answers each prompt, and the exit code."""
    terminal, program = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "replication_assets", *arguments],
        cwd=project.folder,
        env={**project.environment, "TERM": "xterm"},
        stdin=program,
        stdout=program,
        stderr=program,
        start_new_session=True,
        preexec_fn=_take_terminal,
    )
    os.close(program)
    seen = bytearray()
    reader = Thread(target=_read, args=(terminal, seen), daemon=True)
    reader.start()
    deadline = time.monotonic() + 60
    for number, answer in enumerate(answers, 1):
        while seen.count(b": ") < number and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(0.1)  # between the prompt and the end of echoing
        os.write(terminal, f"{answer}\n".encode())
    code = process.wait(60)
    reader.join(10)
    os.close(terminal)
    return seen.decode(), code


def _take_terminal() -> None:
    """As a login does: `getpass` asks the terminal that controls the session."""
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def _read(terminal: int, seen: bytearray) -> None:
    while True:
        try:
            part = os.read(terminal, 65_536)
        except OSError:  # the program closed its side
            return
        if not part:
            return
        seen.extend(part)
