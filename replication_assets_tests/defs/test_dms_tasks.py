"""A task of DMS in Dagster: run once, watched by its sensor, and followed by a capture of what it landed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from replication_assets import (
    Catalog,
    DmsTask,
    EnvVar,
    EventStoreConfig,
    LandedSourceConfig,
    Replication,
    Schedule,
    Table,
    build_definitions,
)
from replication_assets.core.schema import TableId
from replication_assets.defs.dms_tasks import dms_task_key
from replication_assets_tests.dms_servers import DmsServer, running_dms
from replication_assets_tests.dynamodb_servers import DynamoDbServer

WIDGETS = TableId("lake", "shop", "widgets")


@pytest.fixture
def dms(moto_dynamodb: DynamoDbServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[DmsServer]:
    monkeypatch.setenv("TEST_AWS_KEY", moto_dynamodb.access_key)
    monkeypatch.setenv("TEST_AWS_SECRET", moto_dynamodb.secret_key)
    with running_dms(moto_dynamodb) as server:
        yield server


def catalog(dms: DmsServer, arn: str, root: Path) -> Catalog:
    (root / "landed/shop/widgets").mkdir(parents=True)
    columns = {"shop.widgets": ["id bigint", "name text"]}
    return Catalog(
        EventStoreConfig(str(root / "store")),
        sources=[LandedSourceConfig("lake", root=str(root / "landed"), columns=columns)],
        tables=[Table(str(WIDGETS), key=["id"])],
        dms_tasks=[
            DmsTask(
                "widgets",
                arn=arn,
                start=Schedule("0 3 * * *"),
                feeds=["lake"],
                endpoint_url=dms.endpoint_url,
                access_key_id=EnvVar("TEST_AWS_KEY"),
                secret_access_key=EnvVar("TEST_AWS_SECRET"),
                look_seconds=1,
            )
        ],
    )


def test_a_task_is_run_watched_and_followed_by_a_capture_of_what_it_landed(
    dms: DmsServer, tmp_path: Path
) -> None:
    arn = dms.task("full-load")
    declared = catalog(dms, arn, tmp_path)
    definitions = build_definitions(declared)
    repository = definitions.get_repository_def()
    with dg.DagsterInstance.ephemeral() as instance:

        def tick(cursor: str | None) -> dg.SensorResult | dg.SkipReason:
            context = dg.build_sensor_context(
                instance=instance, repository_def=repository, resources=definitions.resources, cursor=cursor
            )
            with context:
                return repository.get_sensor_def("widgets_dms_task_watch").evaluate_tick(context)  # type: ignore[return-value]

        def run(job: str, config: dict[str, object] | None = None) -> dg.ExecuteInProcessResult:
            ops = {"ops": {"dms_tasks__widgets": {"config": config}}} if config else None
            return repository.get_job(job).execute_in_process(instance=instance, run_config=ops)

        assert run("lake_setup").success
        waiting = tick(None)
        assert list(waiting.run_requests or ()) == []  # type: ignore[union-attr]
        (tmp_path / "landed/shop/widgets/LOAD00000001.csv").write_text("1,a\n2,b\n")
        dms.client().start_replication_task(
            ReplicationTaskArn=arn, StartReplicationTaskType="start-replication"
        )
        dms.end(arn, "FULL_LOAD_ONLY_FINISHED")
        dms.statistics[arn] = [
            {"SchemaName": "shop", "TableName": "widgets", "FullLoadRows": 2, "TableState": "Table completed"}
        ]
        done = tick(waiting.cursor)  # type: ignore[union-attr]
        assert [each.job_name for each in done.run_requests or ()] == ["lake_capture"]  # type: ignore[union-attr]
        seen = done.asset_events[0]  # type: ignore[union-attr]
        assert seen.asset_key == dms_task_key("widgets")
        assert seen.metadata["stop_reason"].value == "FULL_LOAD_ONLY_FINISHED"
        assert seen.metadata["loaded"].value == 2
        assert run("lake_capture").success
        again = tick(done.cursor)  # type: ignore[union-attr]
        assert not getattr(again, "run_requests", None)
        cursor = again.cursor if isinstance(again, dg.SensorResult) else done.cursor  # type: ignore[union-attr]
        assert not getattr(tick(cursor), "run_requests", None)
    store = Replication(declared).store()
    snapshot = store.log(WIDGETS).snapshot()
    rows = sum(snapshot.events(key).count_rows() for key in snapshot.range_keys() if key != "all")
    assert rows == 2


def test_a_run_starts_the_task_and_shows_what_dms_says_of_it(dms: DmsServer, tmp_path: Path) -> None:
    arn = dms.task()
    dms.statistics[arn] = [
        {"SchemaName": "shop", "TableName": "widgets", "Inserts": 5, "TableState": "Table completed"}
    ]
    repository = build_definitions(catalog(dms, arn, tmp_path)).get_repository_def()
    with dg.DagsterInstance.ephemeral() as instance:
        result = repository.get_job("widgets_dms_task").execute_in_process(instance=instance)
        (made,) = result.get_asset_materialization_events()
        assert made.materialization.metadata["status"].value == "running"
        assert made.materialization.metadata["inserts"].value == 5
        assert "| shop.widgets | Table completed |" in str(
            made.materialization.metadata["table_statistics"].value
        )
    assert dms.starts() == ["start-replication"]
    assert repository.get_schedule_def("widgets_dms_task_schedule").cron_schedule == "0 3 * * *"
