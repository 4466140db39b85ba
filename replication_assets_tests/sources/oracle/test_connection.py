"""Connections keep their secrets, say what TLS is, and turn the driver's errors into the project's."""

from __future__ import annotations

import pickle
import socket
import traceback

import oracledb
import pytest

from replication_assets.errors import (
    LoadBlocked,
    ReplicationError,
    SlotLost,
    SourceError,
    SourceNotReady,
    SourceUnavailable,
)
from replication_assets.secret_references import EnvVar
from replication_assets.sources.oracle import OracleConnection, OracleSource
from replication_assets.sources.oracle.connection import driver_errors, server_error

CANARY = "canary-77-oracle"


def connection(**changed: object) -> OracleConnection:
    given: dict[str, object] = {"host": "127.0.0.1", "service": "erp", "user": "u", "password": CANARY}
    return OracleConnection(**{**given, **changed})  # type: ignore[arg-type]


def closed_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


def test_a_refused_connection_is_unavailable_and_tells_no_secret() -> None:
    with pytest.raises(SourceUnavailable) as caught:
        OracleSource("erp", connection(port=closed_port())).identify()
    told = "".join(traceback.format_exception(caught.value))
    assert CANARY not in told
    assert "127.0.0.1" in told


def test_secrets_are_in_no_repr_and_references_stay_references(monkeypatch: pytest.MonkeyPatch) -> None:
    assert CANARY not in repr(connection(wallet_password=CANARY))
    monkeypatch.setenv("ERP_PASSWORD", CANARY)
    source = OracleSource("erp", connection(password=EnvVar("ERP_PASSWORD")))
    assert CANARY.encode() not in pickle.dumps(source)
    assert pickle.loads(pickle.dumps(source)) == source


def test_tls_verifies_and_a_wallet_is_passed_on() -> None:
    plain = connection().parameters("erp")
    assert plain["protocol"] == "tcp"
    found = connection(tls=True, wallet="/w", wallet_password="x", server_name="CN=db").parameters("erp")
    assert found["protocol"] == "tcps"
    assert (found["ssl_server_dn_match"], found["ssl_server_cert_dn"]) == (True, "CN=db")
    assert (found["wallet_location"], found["wallet_password"]) == ("/w", "x")


@pytest.mark.parametrize(
    ("number", "kind", "said"),
    [
        (1555, SourceUnavailable, "UNDO_RETENTION"),
        (942, SourceNotReady, "GRANT READ"),
        (1017, SourceNotReady, "password"),
        (54, LoadBlocked, "locked"),
        (1466, LoadBlocked, "altered"),
        (1291, SlotLost, "redo log"),
        (3113, SourceUnavailable, "ORA-03113"),
        (12514, SourceUnavailable, "service"),
        (600, SourceError, "ORA-00600"),
    ],
)
def test_numbers_of_the_server_are_told_with_what_mends_them(
    number: int, kind: type[ReplicationError], said: str
) -> None:
    found = server_error(number, "erp")
    assert type(found) is kind
    assert said in str(found)


def test_the_text_of_an_error_is_dropped_with_the_values_in_it() -> None:
    class Told:
        full_code, code = "ORA-00001", 1
        message = f"unique constraint violated: {CANARY}"

        def __str__(self) -> str:
            return self.message

    with pytest.raises(SourceError) as caught, driver_errors("erp"):
        raise oracledb.IntegrityError(Told())
    told = "".join(traceback.format_exception(caught.value))
    assert "ORA-00001" in told
    assert CANARY not in told
