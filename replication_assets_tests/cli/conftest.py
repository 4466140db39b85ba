"""A folder with a catalog module, as a user has it, over a fresh database of a real server."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from typing import Any

import psycopg
import pytest

from replication_assets.catalog import Catalog
from replication_assets.flows.capture import capture
from replication_assets.flows.load import load_range
from replication_assets.flows.prepare import open_table, prepare
from replication_assets.replication import Replication
from replication_assets_tests.cli import warm
from replication_assets_tests.postgres_servers import FreshDatabase

CANARY = "canary-7f3a-not-to-be-seen"
CATALOG = """
from pathlib import Path

from replication_assets import (
    ByCount, ByWidth, Catalog, DeltaProjection, EnvVar, EventStoreConfig, PostgresSourceConfig, Table
)

HERE = Path(__file__).parent

catalog = Catalog(
    event_store=EventStoreConfig(root=str(HERE / "store")),
    sources=[
        PostgresSourceConfig("shop", {source}, password=EnvVar("SHOP_PASSWORD")),
    ],
    tables=[
        Table("shop.public.orders", id_ranges=ByWidth(1_000)),
        Table("shop.public.customers", id_ranges=ByCount(2)),
    ],
    projections=[DeltaProjection("lake", tables=["shop.*"], root=str(HERE / "lake"))],
)
"""


@dataclass
class Project:
    """What is in the folder, and the program as a user runs it there."""

    folder: Path
    database: FreshDatabase
    source: dict[str, Any] = field(default_factory=dict)
    more: dict[str, str] = field(default_factory=dict)
    """Further variables of the program's environment."""

    def write_catalog(self, **changes: Any) -> None:
        self.source.update(changes)
        declared = ", ".join(f"{name}={value!r}" for name, value in self.source.items())
        (self.folder / "shop.py").write_text(CATALOG.replace("{source}", declared))

    def edit_catalog(self, old: str, new: str) -> None:
        module = self.folder / "shop.py"
        module.write_text(module.read_text().replace(old, new, 1))

    def sql(self, *statements: str) -> None:
        with psycopg.connect(self.database.dsn, autocommit=True) as session:
            for statement in statements:
                session.execute(statement.encode())

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.database.dsn) as session:
            return session.execute(query.encode()).fetchall()

    @property
    def slot_is_read(self) -> bool | None:
        """None: there is no such slot."""
        found = self.rows(
            f"SELECT active FROM pg_replication_slots WHERE slot_name = '{self.source['slot']}'"
        )
        return bool(found[0][0]) if found else None

    @property
    def environment(self) -> dict[str, str]:
        inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        ours = {"REPLICATION_ASSETS_CATALOG": "shop:catalog", "SHOP_PASSWORD": CANARY}
        return {**inherited, **ours, **self.more}

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "replication_assets", *arguments]

    def capture(self) -> None:
        """What is committed, without the program: for tests of what follows it."""
        catalog = self.catalog()
        source, store = Replication(catalog).source("shop"), Replication(catalog).store()
        tables = [open_table(source, store, table) for table in catalog.tables]
        capture(source, store, tables, upto=source.status().head)

    def catalog(self) -> Catalog:
        names: dict[str, Any] = {"__file__": str(self.folder / "shop.py")}
        exec((self.folder / "shop.py").read_text().replace('EnvVar("SHOP_PASSWORD")', "None"), names)
        found: Catalog = names["catalog"]
        return found

    def start(self, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        streams: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(
            self.command(*arguments), cwd=self.folder, env=self.environment, **{**streams, **options}
        )

    def run(self, *arguments: str, code: int | None = 0, **environment: str) -> Ran:
        ended = warm.run(arguments, self.folder, {**self.environment, **environment})
        ran = Ran(ended.code, ended.out, ended.err.decode())
        ran.must_be_plain()
        if code is not None:
            assert ran.code == code, ran.err + ran.text
        return ran

    def run_in_terminal(self, *arguments: str, interrupt_when: str = "", **environment: str) -> Ran:
        """Both streams together, as a person sees them."""
        terminal, program = pty.openpty()
        env = {**self.environment, "TERM": "xterm-256color", "COLUMNS": "120", **environment}
        process = subprocess.Popen(
            self.command(*arguments),
            cwd=self.folder,
            env=env,
            stdin=program,
            stdout=program,
            stderr=program,
            start_new_session=True,
        )
        os.close(program)
        seen = bytearray()
        reader = Thread(target=_read, args=(terminal, seen), daemon=True)
        reader.start()
        deadline = time.monotonic() + 60
        while interrupt_when and process.poll() is None and time.monotonic() < deadline:
            if interrupt_when in seen.decode(errors="replace"):
                process.send_signal(signal.SIGINT)
                break
            time.sleep(0.05)
        code = process.wait(60)
        reader.join(10)
        os.close(terminal)
        return Ran(code, bytes(seen), "")


def _read(terminal: int, seen: bytearray) -> None:
    while True:
        try:
            part = os.read(terminal, 65_536)
        except OSError:  # the program closed its side
            return
        if not part:
            return
        seen.extend(part)


@dataclass(frozen=True)
class Ran:
    """What a command said, and how it ended."""

    code: int
    out: bytes
    err: str

    @property
    def text(self) -> str:
        return self.out.decode()

    @property
    def lines(self) -> list[str]:
        return self.text.splitlines()

    def must_be_plain(self) -> None:
        """Of every run in a pipe: nothing that moves or is coloured, no secret, no traceback."""
        for said in (self.out, self.err.encode()):
            assert b"\x1b" not in said
            assert CANARY.encode() not in said
        assert "\r" not in self.err


@pytest.fixture
def project(database: FreshDatabase, tmp_path: Path) -> Project:
    """Two tables, nothing set up."""
    made = Project(tmp_path, database)
    made.sql(
        "CREATE TABLE orders (id bigint PRIMARY KEY, status text NOT NULL, total numeric(12,2) NOT NULL)",
        "INSERT INTO orders SELECT g, 'placed', g * 1.5 FROM generate_series(1, 2500) g",
        "CREATE TABLE customers (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), name text)",
        "INSERT INTO customers (name) SELECT 'name ' || g FROM generate_series(1, 50) g",
    )
    made.write_catalog(
        host="127.0.0.1",
        port=database.server.port,
        database=database.name,
        user="postgres",
        sslmode="disable",
        slot=f"cli_{database.name}",
        publication=f"cli_{database.name}",
    )
    return made


@pytest.fixture
def loaded(project: Project) -> Project:
    """Set up and loaded, not yet captured."""
    catalog = project.catalog()
    source, store = Replication(catalog).source("shop"), Replication(catalog).store()
    for table in prepare(source, store, catalog.tables):
        column = table.id_ranges.column
        for id_range in table.loads(source.bounds(table.id, column).high if column else None):
            load_range(source, store, table, id_range)
    return project
