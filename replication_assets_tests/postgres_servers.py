"""Real PostgreSQL servers for the tests: started once, gone at the end, whatever happens."""

from __future__ import annotations

import shutil
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from replication_assets.demo.postgres_server import PostgresServer

# Test servers do not measure anything; small buffers let several of them live side by side.
# Queries over a few rows are not worth compiling, which some distributions' servers would do.
SMALL_SETTINGS: Mapping[str, str] = {"shared_buffers": "32MB", "autovacuum_naptime": "10min", "jit": "off"}

OLDEST_IN_FULL = pytest.mark.parametrize(
    "postgres_server", ["postgres_18", pytest.param("postgres_15", marks=pytest.mark.full)], indirect=True
)
"""For a test of what no version of the server has its own way of: the oldest in the long form only."""


@dataclass(frozen=True, slots=True)
class FreshDatabase:
    """An empty database of one test, on a server that it shares with others."""

    server: PostgresServer
    name: str

    @property
    def dsn(self) -> str:
        return self.server.dsn(self.name)


@contextmanager
def running_server(
    binaries: Path | None = None, settings: Mapping[str, str] | None = None
) -> Iterator[PostgresServer]:
    """A server with a data directory of its own, deleted at the end."""
    # pytest's own temporary directories are closed to the account that a server of root runs under.
    home = Path(tempfile.mkdtemp(prefix="replication-assets-pg-"))
    home.chmod(0o755)
    server = PostgresServer(
        home / "data", binaries=binaries, settings={**SMALL_SETTINGS, **(settings or {})}, durable=False
    )
    try:
        with server:
            yield server
    finally:
        server.destroy()
        shutil.rmtree(home, ignore_errors=True)


@contextmanager
def fresh_database(server: PostgresServer) -> Iterator[FreshDatabase]:
    """A new database, dropped at the end together with its slots."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    server.create_database(name)
    try:
        yield FreshDatabase(server, name)
    finally:
        server.drop_database(name)
