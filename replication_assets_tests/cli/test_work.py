"""From nothing to a projection that follows, with what each step stores and says."""

from __future__ import annotations

import io
import json
import re
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pyarrow as pa
import pytest
from deltalake import DeltaTable

from replication_assets.cli import exits, main
from replication_assets.core.schema import TableId
from replication_assets.defs import naming
from replication_assets.secret_references import Secret
from replication_assets_tests.cli.conftest import CANARY, Project


def test_the_whole_way_from_nothing_to_a_projection_that_follows(project: Project) -> None:
    refused = project.run("load", code=1)
    assert "Fix: replication-assets setup shop" in refused.err
    said = project.run("setup", "shop").err
    assert "shop.public.orders: key id, 0 of 3 id ranges loaded" in said
    first = project.run("load", "orders", "--range", "r000001").err
    assert "shop.public.orders r000001: 1,000 rows in" in first
    rest = project.run("load").err
    assert "r000001: 1,000 rows" not in rest.replace("customers r000001", "")
    assert "shop.public.orders r000002: 501 rows in" in rest
    assert "Nothing to load" in project.run("load").err
    project.sql("UPDATE orders SET status = 'sent' WHERE id <= 10", "DELETE FROM orders WHERE id = 11")
    captured = project.run("capture", "shop").err
    assert "shop: 11 changes of 1 table in" in captured
    assert "shop: 0 changes" in project.run("capture", "shop").err
    projected = project.run("project").err
    assert "lake shop.public.orders r000000: replaced, 998 rows" in projected
    for name in ("now.orders", "lake.orders"):
        found = project.run("query", f"SELECT id, status, total FROM {name} ORDER BY id", "--format", "csv")
        expected = project.rows("SELECT id, status, total FROM orders ORDER BY id")
        assert found.lines[1:] == [f'"{key}","{status}","{total}"' for key, status, total in expected]
    again = project.run("load", "orders", "--all", "--parallel", "3").err
    assert "2,499 rows of 3 id ranges" in again


def test_a_query_sees_the_past_events_and_every_format(loaded: Project) -> None:
    loaded.run("capture", "shop")
    loaded.sql("UPDATE orders SET status = 'packed' WHERE id = 1")
    loaded.run("capture", "shop")
    ((moment,),) = loaded.rows(
        "SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"
    )
    position = json.loads(loaded.run("status", "--json").text)["tables"][0]["captured"]
    time.sleep(0.02)
    loaded.sql("UPDATE orders SET status = 'sent' WHERE id = 1", "DELETE FROM orders WHERE id = 2")
    loaded.run("capture", "shop")
    asked = "SELECT id, status, total FROM now.orders WHERE id < 3 ORDER BY id"
    current = loaded.run("query", asked, "--format", "json")
    assert [json.loads(line) for line in current.lines] == [{"id": 1, "status": "sent", "total": "1.50"}]
    for then in (moment, position):
        past = loaded.run("query", asked, "--as-of", then, "--format", "json").lines
        assert [json.loads(line)["status"] for line in past] == ["packed", "placed"]
    events = 'SELECT _op, count(*) AS n FROM events."shop.public.orders" GROUP BY 1 ORDER BY 1'
    table = loaded.run("query", events)
    assert [line.split() for line in table.lines] == [
        ["_op", "n"],
        ["D", "1"],
        ["R", "2500"],
        ["U", "2"],
        ["X", "3"],
    ]
    arrow = pa.ipc.open_stream(loaded.run("query", asked, "--format", "arrow").out).read_all()
    assert arrow.schema.field("total").type == pa.decimal128(12, 2)
    assert arrow.num_rows == 1
    shown = loaded.run("query", "SELECT id FROM now.orders", "--limit", "5")
    assert len(shown.lines) == 6
    assert "Only the first 5 rows are shown" in shown.err


REFUSED = [
    (["query", "SELECT * FROM now.ordres"], "ordres does not exist"),
    (["query", "selekt"], "syntax error"),
    (["query", "SELECT 1", "--as-of", "yesterday"], "a position as status shows it: 00000001-"),
    (["query", "SELECT 1", "--as-of", "2026-01-01T00:00"], "no time with a zone"),
    (["load", "order"], "did you mean shop.public.orders?"),
    (["load", "--range", "r000000"], "--range is of one table"),
    (["load", "orders", "--range", "r000009"], "Fix: r000000 to r000002"),
    (["capture", "shpo"], "did you mean shop?"),
    (["project", "lak"], "did you mean lake?"),
    (["teardown", "shop"], "Fix: --yes"),
    (["status", "--catalog", "nothere:catalog"], "--catalog: 'nothere:catalog' cannot be loaded"),
    (["status", "--catalog", "shop:nothing"], "module 'shop' has no attribute 'nothing'"),
    (["status", "--catalog", "shop"], "no attribute is named after a colon"),
    (["status", "--catalog", ""], "no catalog is named"),
]


def test_what_cannot_be_meant_is_refused_in_one_paragraph(
    project: Project, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    project.run("setup", "shop")
    monkeypatch.chdir(project.folder)
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    monkeypatch.setattr(exits, "interrupt_on_signals", lambda: None)
    monkeypatch.setattr(exits, "end", sys.exit)
    for name, value in project.environment.items():
        monkeypatch.setenv(name, value)
    for arguments, said in REFUSED:
        monkeypatch.setattr(sys, "argv", ["replication-assets", *arguments])
        monkeypatch.delitem(sys.modules, "shop", raising=False)
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capfd.readouterr()
        assert (ended.value.code, out) == (2, ""), err
        assert said in err
        assert len(err.splitlines()) == 1, err


def test_a_retyped_column_is_projected_after_a_reset_that_somebody_agreed_to(loaded: Project) -> None:
    loaded.run("project", "lake", "orders")
    loaded.sql("ALTER TABLE orders ALTER total TYPE text", "UPDATE orders SET status = 'x' WHERE id = 1")
    loaded.run("capture", "shop")
    early = loaded.run("project", "lake", "orders", "--reset", "--yes", code=1)
    assert "nothing was emptied" in early.err
    assert "Fix: replication-assets load shop.public.orders" in early.err
    loaded.run("load", "orders", "--all")
    refused = loaded.run("project", "lake", "orders", code=1)
    assert "replication-assets project --reset" in refused.err
    assert "Fix: --yes" in loaded.run("project", "lake", "orders", "--reset", code=2).err
    done = loaded.run("project", "lake", "orders", "--reset", "--yes").err
    assert "3 id ranges: 2,500 rows, 2,500 written" in done
    held = DeltaTable(loaded.folder / "lake" / "shop" / "public.orders").to_pyarrow_table()
    assert sorted(zip(held["id"].to_pylist(), held["total"].to_pylist(), strict=True)) == loaded.rows(
        "SELECT id, total FROM orders ORDER BY id"
    )


def test_a_continuous_capture_ends_in_order_and_says_how_far_it_came(loaded: Project) -> None:
    process = loaded.start("capture", "shop", "--continuous")
    _until(
        lambda: (
            loaded.rows(
                f"SELECT active FROM pg_replication_slots WHERE slot_name = '{loaded.source['slot']}'"
            )
            == [(True,)]
        )
    )
    busy = loaded.run("capture", "shop", code=1)
    assert "Fix: stop the other capture" in busy.err
    loaded.sql("UPDATE orders SET status = 'sent' WHERE id <= 100")
    _until(lambda: "100" in loaded.run("query", "SELECT count(*) FROM events.orders WHERE _op = 'U'").text)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert err.startswith("Interrupted. 100 changes of 1 table in")
    assert "where the next capture goes on" in err
    assert "0 changes" in loaded.run("capture", "shop").err


def test_teardown_and_recovery(loaded: Project) -> None:
    loaded.run("teardown", "shop", "--yes")
    assert (
        loaded.rows(f"SELECT 1 FROM pg_replication_slots WHERE slot_name = '{loaded.source['slot']}'") == []
    )
    lost = loaded.run("capture", "shop", code=1)
    assert "Traceback" not in lost.err
    checked = loaded.run("check", code=3)
    assert "Fix: replication-assets recover shop, then load every id range again" in checked.text
    assert loaded.run("status", code=3).code == 3
    assert "epoch 2 starts at" in loaded.run("recover", "shop", "--yes").err
    assert "2,550 rows of 5 id ranges" in loaded.run("load").err
    loaded.run("check")


def test_upkeep_says_what_it_did(loaded: Project) -> None:
    for _ in range(9):  # a few small files are left alone
        loaded.sql("UPDATE orders SET status = status || '!' WHERE id < 5")
        loaded.capture()
    said = loaded.run("compact").err
    assert "shop.public.orders: " in said
    assert "small files rewritten" in said
    assert "shop.public.customers: nothing to do" in said


def test_dagster_is_told_where_there_is_an_instance(project: Project) -> None:
    home = project.folder / "dagster"
    home.mkdir()
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    project.more["DAGSTER_HOME"] = str(home)
    project.run("setup", "shop")
    project.run("load", "orders")
    project.sql("UPDATE orders SET status = 'sent' WHERE id = 1")
    project.run("capture", "shop")
    project.run("project", "lake", "orders")
    with dg.DagsterInstance.from_config(str(home)) as instance:
        orders = TableId("shop", "public", "orders")
        listed = instance.get_dynamic_partitions(naming.id_range_partitions(orders))
        assert sorted(listed) == ["r000000", "r000001", "r000002"]
        stored = instance.get_materialized_partitions(naming.event_store_key(orders))
        assert {partition.partition("|")[2] for partition in stored} == set(listed)
        assert instance.get_materialized_partitions(naming.projection_key("lake", orders)) == set(listed)
        newest = instance.get_latest_materialization_event(naming.event_store_key(orders))
        assert newest is not None
        assert newest.asset_materialization is not None
        assert newest.asset_materialization.metadata["rows"].value == 1


def test_a_dagster_that_cannot_be_told_stops_no_work(loaded: Project) -> None:
    loaded.more["DAGSTER_HOME"] = str(loaded.folder / "nowhere")
    said = loaded.run("load", "orders", "--all").err
    assert "Dagster is not told (DagsterInvariantViolationError). Fix: check DAGSTER_HOME" in said
    assert "2,500 rows of 3 id ranges" in said


def test_no_secret_is_shown_even_with_tracebacks(project: Project) -> None:
    project.write_catalog(port=1)
    shown = project.run("setup", "shop", "--debug", code=1)
    assert "Traceback" in shown.err
    assert CANARY not in shown.err + shown.text
    assert "nothing listens there" in shown.err


def _until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_mismatch_is_found_named_and_repaired(loaded: Project) -> None:
    loaded.capture()
    loaded.run("project", "lake", "orders")
    lake = DeltaTable(loaded.folder / "lake" / "shop" / "public.orders")
    lake.delete("id = 77")
    lake.update({"status": "'tampered'"}, predicate="id = 78")
    loaded.sql("UPDATE orders SET status = 'sent' WHERE id = 5")  # not captured yet, and no mismatch
    found = loaded.run("validate", "lake", "orders", code=3)
    assert re.search(r"^event store shop\.public\.orders +equal +3 of 3 +2,500", found.text, re.MULTILINE)
    assert re.search(
        r"^lake shop\.public\.orders +DIFFERS +2 of 3 +2,500 +1 +0 +1 ", found.text, re.MULTILINE
    )
    assert 'missing: {"id":"77"} (range r000000)' in found.text
    assert 'differing in status: {"id":"78"} (range r000000)' in found.text
    (listed,) = re.findall(r"all 2 are in (\S+)", found.text)
    assert Path(listed).exists()
    assert "lake shop.public.orders: equal now" in loaded.run("repair", "lake", "orders").err
    document = json.loads(loaded.run("validate", "lake", "orders", "--no-source", "--json").text)
    assert [(part["what"], part["passed"], part["rows"]) for part in document] == [
        ("lake shop.public.orders", True, 2500)
    ]
    loaded.run("project", "lake", "orders")
    held = loaded.run(
        "query", "SELECT id, status FROM lake.orders WHERE id IN (5, 77, 78)", "--format", "csv"
    )
    assert sorted(held.lines[1:]) == ['"5","sent"', '"77","placed"', '"78","placed"']


def test_a_secret_in_an_error_of_others_is_taken_out(capsys: pytest.CaptureFixture[str]) -> None:
    secret = Secret("s3cr3t-of-a-library").reveal()
    assert exits.code_of(RuntimeError(f"cannot log in with {secret}"), debug=True) == 1
    said = capsys.readouterr().err
    assert "cannot log in with ***" in said
    assert secret not in said
