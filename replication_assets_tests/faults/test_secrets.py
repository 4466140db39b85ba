"""Canaries for secrets, put through references, looked for in everything that is printed, raised, recorded or
written: plainly, in base64, as a URL has them, and as repr and JSON do."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, quote_plus

import psycopg
import pytest

from replication_assets.demo.child_processes import children_of, free_port
from replication_assets.demo.postgres_server import PostgresServer
from replication_assets_tests.conftest import PrivatePostgres
from replication_assets_tests.dynamodb_servers import DynamoDbServer, fresh_table_name
from replication_assets_tests.markdown import ROOT

SECRETS = {
    "CANARY_PASSWORD": "pw/c4nary +7f3a=&x",
    "CANARY_WRONG": "wrong/c4nary +91bd=&x",
    "CANARY_AWS_SECRET": "aws/c4nary+secret/1a2b3c4d5e6f=",
    "CANARY_AWS_TOKEN": "aws/c4nary+session/token/998877==",
    "CANARY_HOOK": "https://127.0.0.1:9/services/c4nary-hook-5d1e",
    "CANARY_HEADER": "Bearer c4nary-header-77aa",
    "CANARY_SMTP": "smtp c4nary/mail+66ff",
}
CATALOG = """
from replication_assets import (
    ByWidth, Catalog, DeltaProjection, DynamoDbProjection, Email, EnvVar, EventStoreConfig, ItemKey,
    Items, PostgresSourceConfig, Table, Watch, Webhook, build_definitions
)

catalog = Catalog(
    event_store=EventStoreConfig(root={folder!r} + "/store"),
    sources=[PostgresSourceConfig("shop", host="127.0.0.1", port={port}, database="bank", user="guarded",
                                  sslmode="disable", password=EnvVar({password!r}))],
    tables=[Table("shop.public.t", id_ranges=ByWidth(50))],
    projections=[
        DeltaProjection("lake", tables=["shop.*"], root={folder!r} + "/lake"),
        DynamoDbProjection(
            "serving",
            items=[Items("shop.public.t", into={into!r}, partition_key=ItemKey("pk", "t#${{id}}"))],
            region="eu-central-1", endpoint_url={endpoint!r}, control_table={into!r} + "_control",
        ),
    ],
    watch=Watch(notify=[
        Webhook(EnvVar("CANARY_HOOK"), headers={{"Authorization": EnvVar("CANARY_HEADER")}}),
        Email("127.0.0.1", port=9, sender="a@b.example", recipients=["c@d.example"], user="u",
              password=EnvVar("CANARY_SMTP")),
    ]),
)
defs = build_definitions(catalog)
"""
IN_PROCESS = """
import traceback
import guarded_catalog
from replication_assets.replication import Replication

def told(value):
    for shown in (repr, str, "{!r}".format):
        print(shown(value))

catalog = guarded_catalog.catalog
replication = Replication(catalog)
told(catalog), told(replication)
for part in (catalog.event_store, *catalog.sources, *catalog.tables, *catalog.projections, catalog.watch):
    told(part)
for work in (
    lambda: told(replication.store()),
    lambda: told(replication.source("shop")),
    lambda: told([replication.target(each, catalog.tables[0].id) for each in catalog.projections]),
    lambda: replication.source("shop").identify(),
    lambda: replication.target(catalog.projections[1], catalog.tables[0].id).checkpoint("r000000"),
):
    try:
        work()
    except Exception as error:
        cause = error
        while cause is not None:
            told(cause), told(cause.args), told(getattr(cause, "__dict__", None))
            cause = cause.__cause__ or cause.__context__
        traceback.print_exc()
        print("".join(traceback.TracebackException.from_exception(error, capture_locals=True).format()))
"""
DAGSTER = """
import dagster as dg
import guarded_catalog
from replication_assets.core.schema import TableId
from replication_assets.defs import naming

table = TableId("shop", "public", "t")
definitions = guarded_catalog.defs
with dg.DagsterInstance.get() as instance:
    instance.add_dynamic_partitions(naming.id_range_partitions(table), ["r000000"])
    job = definitions.resolve_implicit_global_asset_job_def()
    for name in ("lake", "serving"):
        job.execute_in_process(
            instance=instance, asset_selection=[naming.projection_key(name, table)], partition_key="r000000",
            raise_on_error=False,
        )
    for run in instance.get_runs():
        for entry in instance.all_logs(run.run_id):
            print(entry, repr(entry), entry.message)
        print(run, run.tags, run.run_config)
"""


def disguises(secret: str) -> set[bytes]:
    """How a secret may look in a text."""
    raw = secret.encode()
    found = {secret, quote(secret, safe=""), quote(secret), quote_plus(secret), json.dumps(secret)[1:-1]}
    coded = [base64.b64encode(raw), base64.urlsafe_b64encode(raw), base64.b64encode(b"\0u\0" + raw)]
    # Without what comes before and after it: base64 of three bytes is four characters.
    for shift in range(3):
        found.add(base64.b64encode(b"\0" * shift + raw)[4:-4].decode())
    return {text.encode() for text in found} | set(coded)


def canaries_in(content: bytes) -> list[str]:
    return [name for name, secret in SECRETS.items() if any(each in content for each in disguises(secret))]


@dataclass(frozen=True)
class Guarded:
    """A catalog in a folder, whose source asks for a password."""

    folder: Path
    server: PostgresServer
    dynamodb: DynamoDbServer
    into: str

    def declare(self, *, password: str = "CANARY_PASSWORD", endpoint: str = "") -> None:
        text = CATALOG.format(
            folder=str(self.folder),
            port=self.server.port,
            password=password,
            into=self.into,
            endpoint=endpoint or self.dynamodb.endpoint_url,
        )
        (self.folder / "guarded_catalog.py").write_text(text)

    def run(self, *arguments: str) -> tuple[int, bytes]:
        """The code that the program ended with, and all that it and its children showed."""
        home = self.folder / "dagster"
        home.mkdir(exist_ok=True)
        ours = {
            "REPLICATION_ASSETS_CATALOG": "guarded_catalog:catalog",
            "PYTHONPATH": f"{ROOT}:{self.folder}",
            "DAGSTER_HOME": str(home),
            "TMPDIR": str(self.folder),
            "AWS_ACCESS_KEY_ID": self.dynamodb.access_key,
            "AWS_SECRET_ACCESS_KEY": SECRETS["CANARY_AWS_SECRET"],
            "AWS_SESSION_TOKEN": SECRETS["CANARY_AWS_TOKEN"],
        }
        seen = bytearray()
        with (
            (self.folder / "shown.log").open("ab") as log,
            subprocess.Popen(
                [sys.executable, *arguments],
                cwd=self.folder,
                env={**os.environ, **SECRETS, **ours},
                stdout=log,
                stderr=subprocess.STDOUT,
            ) as process,
        ):
            while process.poll() is None:
                seen += _command_lines(process.pid)
                time.sleep(0.05)
        shown = (self.folder / "shown.log").read_bytes()
        assert canaries_in(bytes(seen)) == [], f"arguments of a process of {arguments}"
        assert canaries_in(shown) == [], arguments
        return process.returncode, shown

    def command(self, *arguments: str) -> int:
        return self.run("-m", "replication_assets", *arguments)[0]

    def nothing_is_written(self) -> None:
        files = [path for path in self.folder.rglob("*") if path.is_file()]
        assert files
        for path in files:
            assert canaries_in(path.read_bytes()) == [], path
            assert canaries_in(str(path).encode()) == []


def _command_lines(pid: int) -> bytes:
    """Of a process and its children, as everybody on the machine may read them."""
    return b"\n".join(_arguments(each) for each in (pid, *children_of(pid)))


def _arguments(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:  # it ended
        return b""


@pytest.fixture
def guarded(private_postgres: PrivatePostgres, moto_dynamodb: DynamoDbServer, tmp_path: Path) -> Guarded:
    server = private_postgres({})
    server.create_database("bank")
    rules = server.data_dir / "pg_hba.conf"
    with psycopg.connect(server.dsn("bank"), autocommit=True) as session:
        password = SECRETS["CANARY_PASSWORD"]
        session.execute(f"CREATE ROLE guarded LOGIN SUPERUSER PASSWORD '{password}'".encode())
        session.execute("CREATE TABLE t (id int PRIMARY KEY, v int)")
        session.execute("INSERT INTO t SELECT i, 0 FROM generate_series(1, 40) i")
        rules.write_text("host all guarded all scram-sha-256\n" + rules.read_text())
        session.execute("SELECT pg_reload_conf()")
    made = Guarded(tmp_path, server, moto_dynamodb, fresh_table_name())
    made.declare()
    return made


def test_the_search_finds_a_secret_in_each_disguise() -> None:
    for name, secret in SECRETS.items():
        basic = base64.b64encode(f"user:{secret}".encode())
        for shown in (
            secret.encode(),
            quote_plus(secret).encode(),
            base64.b64encode(secret.encode()),
            basic,
        ):
            assert name in canaries_in(b"... " + shown + b" ...")


def test_no_repr_and_no_error_of_a_failed_login_shows_a_secret(guarded: Guarded) -> None:
    """Locals of each frame included: what drivers are given is gone from them, or shows itself as stars."""
    guarded.declare(password="CANARY_WRONG", endpoint=f"http://127.0.0.1:{free_port('127.0.0.1')}")
    code, shown = guarded.run("-c", IN_PROCESS)
    assert code == 0
    assert b"Catalog(" in shown
    assert b"Traceback" in shown
    guarded.nothing_is_written()


@pytest.mark.full
@pytest.mark.timeout(600)
def test_no_command_writes_or_shows_a_secret(guarded: Guarded) -> None:
    for command in (
        ("--help",),
        ("check",),
        ("setup", "shop"),
        ("load",),
        ("capture", "shop"),
        ("project",),
        ("validate",),
        ("status", "--json"),
        ("dead-letters", "list"),
        ("query", "SELECT count(*) FROM now.t"),
    ):
        assert guarded.command(*command) == 0, (guarded.folder / "shown.log").read_text()[-2000:]
    with psycopg.connect(guarded.server.dsn("bank"), autocommit=True) as session:
        session.execute("UPDATE t SET v = 1")
    assert guarded.command("capture", "shop") == 0
    guarded.declare(endpoint=f"http://127.0.0.1:{free_port('127.0.0.1')}")
    assert guarded.command("project", "--debug") != 0
    guarded.declare(password="CANARY_WRONG")
    for failing in (("check",), ("load", "--debug"), ("capture", "shop", "--debug"), ("status",)):
        assert guarded.command(*failing) != 0
    guarded.nothing_is_written()


@pytest.mark.full
@pytest.mark.timeout(600)
def test_no_run_of_dagster_records_a_secret(guarded: Guarded) -> None:
    """Events, metadata, tags, configuration and compute logs, of runs that go well and of runs that fail."""
    for command in (("setup", "shop"), ("load",), ("capture", "shop")):
        assert guarded.command(*command) == 0
    code, shown = guarded.run("-c", DAGSTER)
    assert code == 0, shown[-2000:]
    assert b"ASSET_MATERIALIZATION" in shown
    guarded.declare(endpoint=f"http://127.0.0.1:{free_port('127.0.0.1')}")
    code, shown = guarded.run("-c", DAGSTER)
    assert b"STEP_FAILURE" in shown
    guarded.nothing_is_written()
