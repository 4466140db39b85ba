"""Errors of the driver: what another attempt may mend is told from what stays, by number alone."""

from __future__ import annotations

import pymysql
import pytest

from replication_assets.core.mysql_driver import PASSING
from replication_assets.errors import RefreshError, SourceUnavailable, TargetUnavailable, VerificationFailed
from replication_assets.sources.mysql.connection import server_error
from replication_assets.targets.sql.mysql.connection import told

CANARY = "canary-2b9"


@pytest.mark.parametrize("number", sorted(PASSING))
def test_what_passes_for_a_reader_passes_for_a_writer(number: int) -> None:
    assert isinstance(server_error(number, CANARY, "here"), SourceUnavailable)
    found = told(pymysql.OperationalError(number, CANARY), "here")
    assert isinstance(found, TargetUnavailable)
    assert str(number) in str(found)
    assert CANARY not in str(found)


@pytest.mark.parametrize(
    ("number", "kind", "name"),
    [
        (1205, TargetUnavailable, "LOCK_WAIT_TIMEOUT"),
        (1062, VerificationFailed, "DUP_ENTRY"),
        (1264, RefreshError, "WARN_DATA_OUT_OF_RANGE"),
    ],
)
def test_an_error_is_told_by_its_number_and_name(number: int, kind: type[Exception], name: str) -> None:
    found = told(pymysql.OperationalError(number, CANARY), "here")
    assert type(found) is kind
    assert f"error {number} ({name})" in str(found)
    assert CANARY not in str(found)
