"""Fixtures shared by all tests: real servers, fresh databases, how hard hypothesis tries; and where
the tests keep their files."""

from __future__ import annotations

import gc
import os
import shutil
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from replication_assets.demo.postgres_binaries import debian_binaries
from replication_assets.demo.postgres_server import PostgresServer
from replication_assets_tests import in_memory
from replication_assets_tests.dynamodb_servers import (
    DynamoDbServer,
    running_dynamodb_local,
    running_moto,
)
from replication_assets_tests.kafka_servers import Broker, running_broker
from replication_assets_tests.kinesis_servers import KinesisServer, Relay, running_kinesis, running_relay
from replication_assets_tests.mysql_servers import (
    BINLOG_SETTINGS,
    MariaDbPrefix,
    MariaDbServer,
    fresh_prefix,
    running_mariadb,
)
from replication_assets_tests.postgres_servers import FreshDatabase, fresh_database, running_server

FAULTS = Path(__file__).parent / "faults"
IN_MEMORY = pytest.StashKey[Path]()
PrivatePostgres = Callable[[Mapping[str, str]], PostgresServer]

# The default is quick and repeatable: a red build stays red. `HYPOTHESIS_PROFILE=thorough` looks
# for new counterexamples. Shared machines stall, so no example has a deadline.
settings.register_profile(
    "quick",
    max_examples=50,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(
    "thorough", max_examples=2_000, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))

# Imports and thousands of tests are made to stay: looking for garbage among them finds none.
gc.disable()


def pytest_configure(config: pytest.Config) -> None:
    """Before any test asks for a temporary folder. Workers are children of the one that this moves."""
    folder = in_memory.use()
    if folder is not None:
        config.stash[IN_MEMORY] = folder
    # Tests interrupt programs, and themselves. What a shell starts in the background ignores that, and so
    # would all that it starts.
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish() -> None:
    gc.enable()
    gc.collect()
    gc.freeze()


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    gc.unfreeze()
    folder = session.config.stash.get(IN_MEMORY, None)
    if folder is not None and exitstatus == pytest.ExitCode.OK:
        shutil.rmtree(folder, ignore_errors=True)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="also what is marked `full`: minutes, not seconds")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is marked `full`, unless asked for: `make faults` does, for all that is marked
    `full` or stands in the folder `faults`."""
    for item in items:
        if item.path.is_relative_to(FAULTS):
            item.add_marker("faults")
    if config.getoption("--full"):
        return
    left_out = [item for item in items if item.get_closest_marker("full")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in set(left_out)]


@pytest.fixture(scope="session")
def broker() -> Iterator[Broker]:
    """A broker that speaks Kafka's protocol; make topics of your own on it."""
    with running_broker() as found:
        yield found


@pytest.fixture(scope="session")
def kinesis() -> Iterator[KinesisServer]:
    """moto's Kinesis; make streams of your own in it."""
    with running_kinesis() as found:
        yield found


@pytest.fixture
def relay(kinesis: KinesisServer) -> Iterator[Relay]:
    """An endpoint before it that fails as it is told."""
    with running_relay(kinesis) as found:
        yield found


@pytest.fixture(scope="session")
def full(pytestconfig: pytest.Config) -> bool:
    """Whether the long form runs: more rounds, more rows, the same behaviour."""
    return bool(pytestconfig.getoption("--full"))


@pytest.fixture(scope="session")
def postgres_18() -> Iterator[PostgresServer]:
    """The embedded server (PostgreSQL 18). Shared: settings of the server are not a test's to change."""
    with running_server() as server:
        yield server


@pytest.fixture(scope="session")
def postgres_15() -> Iterator[PostgresServer]:
    """The distribution's server: 15 on Debian 12, what there is elsewhere. Shared as well."""
    with running_server(debian_binaries()) as server:
        yield server


@pytest.fixture(params=["postgres_18", "postgres_15"])
def postgres_server(request: pytest.FixtureRequest) -> PostgresServer:
    """Each server in turn; `@pytest.mark.parametrize(..., indirect=True)` picks one by name."""
    server: PostgresServer = request.getfixturevalue(request.param)
    return server


@pytest.fixture
def database(postgres_18: PostgresServer) -> Iterator[FreshDatabase]:
    """An empty database on the embedded server; its slots go with it."""
    with fresh_database(postgres_18) as fresh:
        yield fresh


@pytest.fixture
def any_postgres_database(postgres_server: PostgresServer) -> Iterator[FreshDatabase]:
    """An empty database, on each server in turn."""
    with fresh_database(postgres_server) as fresh:
        yield fresh


@pytest.fixture
def private_postgres() -> Iterator[PrivatePostgres]:
    """Starts embedded servers with settings of the test's own: `private_postgres({"name": "value"})`."""
    with ExitStack() as servers:
        yield lambda settings: servers.enter_context(running_server(settings=settings))


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariaDbServer]:
    """The distribution's MariaDB. Shared: a test makes databases below a prefix of its own."""
    with running_mariadb() as server:
        yield server


@pytest.fixture(scope="session")
def mariadb_with_binlog() -> Iterator[MariaDbServer]:
    """One that can be captured from. Shared as well."""
    with running_mariadb(BINLOG_SETTINGS) as server:
        yield server


@pytest.fixture
def mariadb_prefix(mariadb: MariaDbServer) -> Iterator[MariaDbPrefix]:
    """A prefix of databases that nobody has yet; they go with the test."""
    with fresh_prefix(mariadb) as fresh:
        yield fresh


@pytest.fixture(scope="session")
def moto_dynamodb() -> Iterator[DynamoDbServer]:
    """moto's DynamoDB. Shared: a test makes tables with names of its own."""
    with running_moto() as server:
        yield server


@pytest.fixture(scope="session")
def dynamodb_local() -> Iterator[DynamoDbServer]:
    """Amazon's own DynamoDB Local. Shared as well."""
    with running_dynamodb_local() as server:
        yield server


@pytest.fixture(params=["dynamodb_local", pytest.param("moto_dynamodb", marks=pytest.mark.full)])
def dynamodb(request: pytest.FixtureRequest) -> DynamoDbServer:
    """Amazon's implementation, in the long form moto's as well: what we ask of either is the same.
    `@pytest.mark.parametrize(..., indirect=True)` picks one by name."""
    server: DynamoDbServer = request.getfixturevalue(request.param)
    return server
