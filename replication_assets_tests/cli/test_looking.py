"""Commands that look: what `check`, `status` and `metrics` find, and that it is told as documented."""

from __future__ import annotations

import json
import re
import socket
import urllib.request
from typing import Any

import psycopg
import pytest

from replication_assets.demo.child_processes import free_port
from replication_assets_tests.cli.conftest import Project
from replication_assets_tests.markdown import ROOT, quoted, rows

DOCUMENT = ROOT / "docs" / "command-line.md"


ANOTHER = 'Table("shop.public.logs", append_only=True), Table("shop.public.nothing"),'


def test_a_sound_catalog_is_told_to_be_so_with_the_next_step(project: Project) -> None:
    checked = project.run("check")
    assert [line for line in checked.lines if not line.startswith(" ")] == [
        "ok      event store",
        "ok      source shop",
        "ok      projection lake",
    ]
    assert "Fix: replication-assets setup shop" in checked.text
    assert checked.err == "0 problems, 1 piece of advice\n"
    assert not (project.folder / "store").exists(), "a check leaves nothing behind"
    assert not (project.folder / "lake").exists()
    assert project.slot_is_read is None


def test_everything_that_is_missing_is_listed_at_once_with_its_statement(project: Project) -> None:
    role = f"poor_{project.database.name}"
    project.sql(f"CREATE ROLE {role} LOGIN", "CREATE TABLE logs (id int, at date)")
    project.write_catalog(user=role)
    project.edit_catalog("tables=[", f"tables=[{ANOTHER}")
    try:
        connected = project.run("check", "--json", code=3)
        examined = {each["subject"]: each for each in json.loads(connected.text)["examined"]}
        (finding,) = examined["source shop"]["findings"]
        assert "REPLICATION" in finding["fix"]
        project.sql(f"ALTER ROLE {role} REPLICATION")
        told = project.run("check", code=3).text
        for statement in (
            f'GRANT SELECT ON "public"."orders" TO "{role}"',
            f'GRANT SELECT ON "public"."customers" TO "{role}"',
            f'GRANT CREATE ON DATABASE "{project.database.name}" TO "{role}"',
            "check the spelling (case counts) and the database of the connection",
        ):
            assert f"Fix: {statement}" in told, told
    finally:
        project.sql(f"DROP OWNED BY {role}", f"DROP ROLE {role}")


@pytest.mark.parametrize(
    ("change", "what", "fix"),
    [
        ({"port": 1}, "Connection refused", "nothing listens there"),
        ({"host": "no-such-host.invalid"}, "resolve host|not known", "unknown to DNS"),
        ({"database": "nowhere"}, 'database "nowhere" does not exist', "check `database`"),
        ({"sslmode": "require"}, "does not support SSL", "sslmode="),
        ({"user": "nobody"}, 'role "nobody" does not exist', "CREATE ROLE"),
    ],
)
def test_a_connection_that_fails_is_diagnosed(
    project: Project, change: dict[str, Any], what: str, fix: str
) -> None:
    project.write_catalog(**change)
    checked = project.run("check", code=3)
    assert re.search(what, checked.text)
    assert fix in checked.text
    assert "FAILED  source shop" in checked.lines
    assert checked.err.startswith("1 problem,")


def test_a_wrong_password_is_told_as_one(private_postgres: Any, project: Project) -> None:
    server = private_postgres({})
    hba = server.data_dir / "pg_hba.conf"
    project.write_catalog(port=server.port, database="postgres", user="ann")
    with psycopg.connect(server.dsn(), autocommit=True) as session:
        session.execute("SET password_encryption = 'scram-sha-256'")
        session.execute("CREATE ROLE ann LOGIN REPLICATION PASSWORD 'another'")
        hba.write_text("host all ann 127.0.0.1/32 scram-sha-256\n" + hba.read_text())
        session.execute("SELECT pg_reload_conf()")
    checked = project.run("check", code=3)
    assert 'password authentication failed for user "ann"' in checked.text
    assert "Fix: check `user`, and the password that its reference points at" in checked.text


def test_a_range_column_without_an_index_is_advised_with_the_statement(project: Project) -> None:
    project.sql(
        "ALTER TABLE orders DROP CONSTRAINT orders_pkey, ALTER id SET NOT NULL",
        "CREATE UNIQUE INDEX by_status ON orders (status, id)",
        "ALTER TABLE orders REPLICA IDENTITY USING INDEX by_status",
    )
    project.edit_catalog('"shop.public.orders", ', '"shop.public.orders", range_column="id", ')
    project.sql("INSERT INTO orders SELECT i, 'new', 1 FROM generate_series(10001, 25000) AS i")
    (advice,) = [line.strip() for line in project.run("check").lines if "CREATE INDEX" in line]
    assert advice == 'Fix: CREATE INDEX CONCURRENTLY ON "public"."orders" ("id")'
    project.sql(advice.removeprefix("Fix: "))
    assert "CREATE INDEX" not in project.run("check").text


def test_an_event_store_that_cannot_be_written_is_found(project: Project) -> None:
    (project.folder / "store").write_text("a file in the way")
    checked = project.run("check", code=3)
    assert "FAILED  event store" in checked.lines


def test_status_tells_every_documented_key_and_no_other(loaded: Project) -> None:
    loaded.capture()
    loaded.run("project", "lake", "orders")
    document = json.loads(loaded.run("status", "--json").text)
    for number, (name, part) in enumerate([("sources", 0), ("tables", 0), ("projections", 0)], start=1):
        documented = [quoted(row[0])[0] for row in rows(DOCUMENT, "status", number)]
        assert list(document[name][part]) == documented
    assert list(document) == [quoted(row[0])[0] for row in rows(DOCUMENT, "status", 0)]
    assert document["conditions"] == []
    (source,) = document["sources"]
    assert (source["set_up"], source["slot_state"], source["error"]) == (True, "reserved", None)
    orders, customers = document["tables"]
    assert (orders["ranges_known"], orders["ranges_loaded"], orders["events"]) == (3, 3, 2500)
    assert customers["ranges_to_load"] == {}
    lake_orders, lake_customers = document["projections"]
    assert (lake_orders["rows"], lake_orders["ranges"], lake_orders["ranges_filled"]) == (2500, 3, 3)
    assert lake_orders["checkpoint"] is not None
    assert lake_customers["checkpoint"] is None
    assert lake_customers["waiting_events"] == 50


def test_status_of_a_source_that_does_not_answer_still_tells_the_rest(loaded: Project) -> None:
    loaded.write_catalog(port=1)
    told = loaded.run("status", code=3)
    assert "unreachable" in told.text
    assert re.search(r"shop\.public\.orders +3 of \? +2,500", told.text)
    assert "Fix: nothing listens there" in told.text
    assert told.text.count("Connection refused") == 1


def test_status_is_repeated_as_a_stream_of_lines(loaded: Project) -> None:
    process = loaded.start("status", "--watch", "0.5", "--json")
    assert process.stdout is not None
    looks = [json.loads(process.stdout.readline()) for _ in range(2)]
    process.terminate()
    _, err = process.communicate(timeout=30)
    assert looks[0]["at"] < looks[1]["at"]
    assert (process.returncode, err) == (130, "Interrupted. Nothing was left half-done.\n")


def test_metrics_are_printed_and_served(loaded: Project) -> None:
    printed = loaded.run("metrics")
    assert 'replication_assets_source_reachable{source="shop"} 1.0' in printed.lines
    port = free_port("127.0.0.1")
    process = loaded.start("metrics", "--serve", str(port))
    try:
        assert process.stderr is not None
        assert f"http://127.0.0.1:{port}/metrics" in process.stderr.readline()
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
            assert b'replication_assets_source_reachable{source="shop"} 1.0' in answer.read()
    finally:
        process.terminate()
        process.communicate(timeout=30)
    assert process.returncode == 130
    with socket.create_server(("127.0.0.1", port)):
        assert "Fix: --serve another port" in loaded.run("metrics", "--serve", str(port), code=2).err
