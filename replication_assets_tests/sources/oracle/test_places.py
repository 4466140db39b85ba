"""What `make test-oracle` needs of this machine: its URL, and SQL of the contract in Oracle's words."""

from __future__ import annotations

from pathlib import Path

import pytest

from replication_assets_tests.sources.oracle.places import VARIABLE, connection_of, require_server, translated


def test_statements_of_the_contract_are_translated() -> None:
    assert translated("INSERT INTO t VALUES (1, 10, 'a'), (2, 20, NULL)") == [
        "INSERT INTO \"t\" VALUES (1, 10, 'a')",
        'INSERT INTO "t" VALUES (2, 20, NULL)',
    ]
    assert translated("INSERT INTO t VALUES (1, 0, 'own') ON CONFLICT DO NOTHING") == [
        "INSERT INTO \"t\" VALUES (1, 0, 'own')"
    ]
    assert translated("UPDATE t SET v = v + 1 WHERE id = 3") == [
        'UPDATE "t" SET "v" = "v" + 1 WHERE "id" = 3'
    ]
    assert translated("CREATE TABLE t (id integer PRIMARY KEY, s text)") == [
        'CREATE TABLE "t" ("id" INT PRIMARY KEY, "s" VARCHAR2(4000))'
    ]
    assert translated("CREATE VIEW w AS SELECT id, s FROM t") == [
        'CREATE VIEW "w" AS SELECT "id", "s" FROM "t"'
    ]
    assert translated("ALTER TABLE t ADD COLUMN extra text") == ['ALTER TABLE "t" ADD "extra" VARCHAR2(4000)']
    assert translated("ALTER TABLE t RENAME COLUMN s TO word") == [
        'ALTER TABLE "t" RENAME COLUMN "s" TO "word"'
    ]


def test_a_url_is_a_connection_and_another_text_is_refused_without_being_told() -> None:
    found = connection_of("oracle://sys%40x:p%2Fw@db:1522/erp?log_service=root&tls=true")
    assert (found.user, found.port, found.service, found.log_service) == ("sys@x", 1522, "erp", "root")
    assert found.secret() == "p/w"
    assert found.tls
    with pytest.raises(ValueError, match="set ORACLE_URL") as caught:
        connection_of("postgres://u:canary-1@db/x")
    assert "canary-1" not in str(caught.value)


def test_without_a_url_the_contract_says_what_to_set_and_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    with pytest.raises(pytest.exit.Exception, match="set ORACLE_URL to oracle://") as caught:
        require_server()
    assert caught.value.returncode == 2
    # Its name keeps it out of every other run.
    assert not Path(__file__).with_name("server_contract.py").match("test_*.py")
