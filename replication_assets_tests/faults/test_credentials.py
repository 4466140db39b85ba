"""Credentials that are wrong, or are taken away in the middle: told at once, without trying again and
again, without the secret; and all goes on when they are mended."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg
import pytest

from replication_assets.catalog import ByCount, EnvVar, Table
from replication_assets.demo.postgres_server import PostgresServer
from replication_assets.errors import SourceError, SourceNotReady, SourceUnavailable, TargetError
from replication_assets.flows.validation.source import validate_source
from replication_assets_tests.contracts.projection_target import A, apply, at, changes, fill, row
from replication_assets_tests.dynamodb_servers import DynamoDbServer
from replication_assets_tests.e2e.system import System, audit, check_changes, system_of, wait_for
from replication_assets_tests.faults.proxy import Proxy, proxy_to
from replication_assets_tests.postgres_servers import fresh_database, running_server
from replication_assets_tests.targets.dynamodb.faulty_proxy import Faults, faulty_proxy
from replication_assets_tests.targets.dynamodb.places import DynamoDbPlace

RIGHT, WRONG = "canary-right-71ce", "canary-wrong-90ab"
VARIABLE = "TEST_SOURCE_PASSWORD"
MOST_CONNECTIONS = 3
"""Of a step that is refused: those that it opens side by side, and none to try again."""


@dataclass(frozen=True)
class Guarded:
    system: System
    proxy: Proxy
    patch: pytest.MonkeyPatch

    def password(self, text: str) -> None:
        self.patch.setenv(VARIABLE, text)

    def is_refused(
        self, step: Callable[[], object], kind: type[SourceError] | tuple[type[SourceError], ...]
    ) -> SourceError:
        self.proxy.heal()
        with pytest.raises(kind) as caught:
            step()
        assert self.proxy.connections() <= MOST_CONNECTIONS
        assert RIGHT not in repr(caught.value) + str(caught.value)
        assert WRONG not in repr(caught.value) + str(caught.value)
        return caught.value


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """A server that asks one role for its password."""
    with running_server() as running:
        with psycopg.connect(running.dsn("postgres"), autocommit=True) as session:
            session.execute(f"CREATE ROLE app LOGIN REPLICATION PASSWORD '{RIGHT}'")
            found = session.execute("SHOW hba_file").fetchone()
            assert found is not None
            rules = Path(found[0])
            asked = "".join(
                f"host {kind} app 127.0.0.1/32 scram-sha-256\n" for kind in ("all", "replication")
            )
            rules.write_text(asked + rules.read_text())
            session.execute("SELECT pg_reload_conf()")
        yield running


@pytest.fixture
def guarded(server: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Guarded]:
    """Set up and loaded by the owner; captured by a role that may read."""
    with fresh_database(server) as database, proxy_to("127.0.0.1", server.port) as proxy:
        made = system_of(database, tmp_path, [Table("app.public.t", id_ranges=ByCount(1))])
        made.execute(
            "CREATE TABLE t (id int PRIMARY KEY, v int)",
            "INSERT INTO t SELECT i, 0 FROM generate_series(1, 50) i",
        )
        made.prepare()
        audit(made, "t")
        made.load_all()
        made.execute("GRANT SELECT ON t TO app", f"ALTER ROLE app PASSWORD '{RIGHT}'")
        made.execute("UPDATE t SET v = v + 1 WHERE id % 2 = 0")
        monkeypatch.setenv(VARIABLE, RIGHT)
        source = replace(made.catalog.sources[0], port=proxy.port, user="app", password=EnvVar(VARIABLE))
        yield Guarded(System(replace(made.catalog, sources=(source,)), made.dsn), proxy, monkeypatch)


def goes_on(guarded: Guarded) -> None:
    guarded.system.execute("UPDATE t SET v = v + 1 WHERE id % 3 = 0")
    guarded.system.load_all()
    guarded.system.finish()
    check_changes(guarded.system, guarded.system.table("t").id)


def test_a_wrong_password_is_told_by_every_step_at_once(guarded: Guarded) -> None:
    system = guarded.system
    table = system.table("t")
    guarded.password(WRONG)
    for step in (
        system.prepare,
        lambda: system.load(table),
        system.capture,
        lambda: validate_source(system.source, system.store, table, catch_up=system.reach),
    ):
        error = guarded.is_refused(step, SourceNotReady)
        assert "password authentication failed" in str(error)
        assert error.fix
    guarded.password(RIGHT)
    goes_on(guarded)


@pytest.mark.full
def test_a_password_that_is_taken_away_ends_a_capture_that_runs(guarded: Guarded) -> None:
    system = guarded.system
    ended: list[SourceError] = []

    def run() -> None:
        try:
            system.capture_until(lambda: False)
        except SourceError as error:
            ended.append(error)

    capture = threading.Thread(target=run, daemon=True)
    capture.start()
    wait_for(system, "SELECT 1 FROM pg_replication_slots WHERE database = current_database() AND active")
    guarded.proxy.heal()
    system.execute(
        f"ALTER ROLE app PASSWORD '{WRONG}'",
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'",
        "UPDATE t SET v = v + 1 WHERE id % 5 = 0",
    )
    capture.join(30)
    assert not capture.is_alive()
    (error,) = ended
    assert isinstance(error, SourceUnavailable | SourceNotReady)
    assert guarded.proxy.connections() <= MOST_CONNECTIONS
    assert "password authentication failed" in str(guarded.is_refused(system.capture, SourceNotReady))
    guarded.password(WRONG)
    goes_on(guarded)


@pytest.mark.full
def test_a_right_that_is_taken_away_is_named(guarded: Guarded) -> None:
    system = guarded.system
    table = system.table("t")
    system.execute("REVOKE SELECT ON t FROM app")
    error = guarded.is_refused(lambda: system.load(table), SourceNotReady)
    assert 'GRANT SELECT ON "public"."t" TO "app"' in str(error)
    # The change stream needs no such right.
    system.capture()
    system.execute("GRANT SELECT ON t TO app", "ALTER ROLE app NOREPLICATION")
    error = guarded.is_refused(lambda: system.load(table), SourceNotReady)
    assert "REPLICATION" in str(error)
    guarded.is_refused(system.capture, SourceNotReady)
    system.execute("ALTER ROLE app REPLICATION")
    goes_on(guarded)


@pytest.mark.parametrize(
    "code",
    [
        "ExpiredTokenException",
        pytest.param("UnrecognizedClientException", marks=pytest.mark.full),
        pytest.param("AccessDeniedException", marks=pytest.mark.full),
    ],
)
def test_keys_of_aws_that_are_revoked_are_told_at_once(moto_dynamodb: DynamoDbServer, code: str) -> None:
    with faulty_proxy(moto_dynamodb.endpoint_url, Faults()) as proxy:
        place = DynamoDbPlace(moto_dynamodb, endpoint_url=proxy.endpoint_url)
        fill(place.target, [row(at(5), id=1)], at(5))
        everything = ("GetItem", "PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem", "BatchGetItem")
        more = ("Query", "Scan", "DescribeTable", "TransactWriteItems")
        proxy.faults = Faults(refused=dict.fromkeys((*everything, *more), code))
        proxy.requests.clear()
        with pytest.raises(TargetError) as caught:
            apply(place.target, changes(upserts=[row(at(6, 1), id=1)]), at(6, 1))
        assert code in str(caught.value) or caught.value.fix
        assert proxy.requests.total() <= MOST_CONNECTIONS
        assert moto_dynamodb.secret_key not in repr(caught.value) + str(caught.value)
        proxy.faults = Faults()
        found = place.target.checkpoint(A)
        assert found is not None
        assert found.position == at(5)
        apply(place.target, changes(upserts=[row(at(6, 1), id=1)]), at(6, 1))
        place.holds([row(at(6, 1), id=1)], A)
